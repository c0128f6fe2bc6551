//! Every sentence that a person reads. Pure: values in, text out.
