//! A GitHub that runs on this machine, a scripted model server and an inbox.

pub mod inbox;
