//! What a change may not do, whoever made it: the paths it may touch and how much of them, and the tests
//! and settings of gates that it may not make weaker. Pure: a difference goes in, objections come out.
//!
//! Nothing here reads a repository or decides what follows; [`crate::pipeline`] does. What a tree may hold
//! at all (links, names, sizes) is checked where it becomes a commit, in [`crate::workspace`].

mod assertions;
mod commands;
mod globs;
mod known;
mod manifests;
mod paths;
mod protected;
mod settings;
mod shadows;
mod tampering;
mod test_cases;
mod test_files;
mod test_text;
mod tested_set;

pub use commands::files_run_by;
pub use globs::BadGlob;
pub use known::has_rule_for;
pub use paths::{BinaryFiles, ChangeLimits, PathPolicy, PathRules, Side, Violation};
pub use shadows::shadows;
pub use tampering::{REVIEWER, TextPair, is_blocking, tampering};
pub use test_cases::count_tests;
pub use test_files::{is_gate_setting, is_test_file, with_inline_tests_of};
