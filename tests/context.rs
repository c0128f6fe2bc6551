//! The search for context, on real repositories: that each sign finds what only it can find, that nothing beyond
//! the commit is read, and that the index survives damage, crowds and sudden deaths.

#[path = "context/command.rs"]
mod command;
#[path = "context/index.rs"]
mod index;
#[path = "context/repository.rs"]
mod repository;
#[path = "context/signs.rs"]
mod signs;
