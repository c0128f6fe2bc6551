//! The threats of `docs/security.md`. Each attack succeeds here against a weak variant that the test builds
//! itself, and fails against the product; rows whose tests live elsewhere are named there.

#[path = "security/canaries.rs"]
mod canaries;
#[path = "security/changes.rs"]
mod changes;
#[path = "security/host_git.rs"]
mod host_git;
#[path = "security/hostile.rs"]
mod hostile;
#[path = "security/index.rs"]
mod index;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "story/process.rs"]
mod process;
#[path = "support/published.rs"]
mod published;
#[allow(dead_code, reason = "shared with the stories, which use all of it")]
#[path = "story/scene.rs"]
mod scene;
#[path = "security/tokens.rs"]
mod tokens;
#[path = "security/traps.rs"]
mod traps;
#[path = "security/words.rs"]
mod words;
