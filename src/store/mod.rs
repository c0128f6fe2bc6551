//! The only SQL. A file an aggregate.

pub mod embedded;
