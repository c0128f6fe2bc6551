//! Where strangers' code runs.
