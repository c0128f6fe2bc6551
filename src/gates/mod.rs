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
pub use failed_tests::read as failed_tests_in;
pub use findings::read as findings_in;
pub use log::{ends as kept_ends, plain as plain_log};
pub use model::{Ecosystem, Gate};
pub use policy::{CommandLine, GatePolicy, GateRule, PythonSetup, SetupPolicy};
pub use results::Results;
pub use round::{Base, Round, RoundEnd, WholeOutput, file_name};
pub use run::run;
pub use signs::{could_not_run, tested_nothing};
