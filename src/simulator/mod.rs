//! A GitHub that runs on this machine, a scripted model server and an inbox.
//!
//! The demo, the tests and `orchestrator simulate` use the same servers: they are the outside world in
//! executable form, and strict, so that what works here works there. Nothing of the product's own rooms
//! is used in here; the simulator knows only the protocols.

pub mod github;
pub mod inbox;
pub mod model;
pub mod surroundings;
