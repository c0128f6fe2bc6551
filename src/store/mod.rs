//! The only SQL. A file an aggregate.
