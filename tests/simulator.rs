//! The GitHub simulator against GitHub's published description, its documented refusals and its faults.
//!
//! The description must be installed (`scripts/contract`); without it these tests fail, and never skip.

#[path = "simulator/client.rs"]
mod client;
#[path = "simulator/faults.rs"]
mod faults;
#[path = "simulator/git.rs"]
mod git;
#[path = "simulator/harness.rs"]
mod harness;
#[path = "simulator/contract.rs"]
mod judge;
#[path = "simulator/refusals.rs"]
mod refusals;
#[path = "simulator/rest.rs"]
mod rest;
#[path = "simulator/routes.rs"]
mod routes;
#[path = "simulator/webhooks.rs"]
mod webhooks;
