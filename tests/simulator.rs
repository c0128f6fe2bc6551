//! The GitHub simulator against GitHub's published description, its documented refusals and its faults.
//!
//! The description must be installed (`scripts/contract`); without it these tests fail, and never skip.

#[path = "simulator/harness.rs"]
mod harness;
#[path = "simulator/contract.rs"]
mod judge;
#[path = "simulator/refusals.rs"]
mod refusals;
#[path = "simulator/routes.rs"]
mod routes;
