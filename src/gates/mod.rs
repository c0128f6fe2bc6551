//! Quality gates: which checks a repository has, running them in a sandbox, and reading what they say.
//!
//! Everything that decides what runs is read from the base branch, never from the change. A verdict comes
//! from an exit code that was seen ([`run`]), and only what a change made worse holds it up ([`Round`]); a gate that could not do its work says so and never passes.
//! How a sandbox is made is not known here, only [`crate::sandbox::Session`].

mod cache;
mod compare;
mod dependencies;
mod discover;
mod failed_tests;
mod findings;
mod log;
mod model;
mod policy;
mod results;
mod round;
mod run;
mod setup;
mod signs;

pub use compare::BaseRun;
pub use dependencies::{Dependencies, EgressPolicy, SetupRecord, Stores, prepare};
pub use discover::discover;
pub use model::{Ecosystem, Gate};
pub use policy::{CommandLine, GatePolicy, GateRule, PythonSetup, SetupPolicy};
pub use round::{Base, Round, RoundEnd, WholeOutput, file_name};
pub use run::run;
