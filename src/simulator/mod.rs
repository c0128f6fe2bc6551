//! A GitHub that runs on this machine, a scripted model server and an inbox: for the demo and the tests.

pub mod inbox;
pub mod model;
