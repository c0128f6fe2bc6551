//! The only user of octocrab: App authentication, calls and webhook payloads.
//!
//! Answers are read into small structs of our own that hold what we use, so that a field that GitHub
//! adds or leaves out elsewhere breaks nothing. Nothing here decides anything, and nothing is tried
//! again here: whether a request may be repeated is known to the effect that made it.

mod app;
mod checks;
mod client;
mod error;
mod issues;
mod pacing;
pub mod payload;
mod pulls;
mod repositories;
mod tokens;

pub use app::{HookConfig, RegisteredApp};
pub use checks::{
    ANNOTATIONS_A_REQUEST, CheckAnnotation, CheckConclusion, CheckProgress, CheckRun, NewCheckRun,
};
pub use client::{AppIdentity, Conditional, GitHub, GitHubOptions, RepositoryClient};
pub use error::GitHubError;
pub use issues::{Comment, Issue, Reaction, ReactionContent};
pub use pulls::{Fate, NewPullRequest, NewReview, PullRequest, Review, ReviewComment};
pub use repositories::Repository;
pub use tokens::Purpose;

use serde::Deserialize;

use crate::domain::{Account, UserId};

/// An account as GitHub's answers and payloads carry it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Actor {
    pub id: u64,
    pub login: String,
    /// `User`, `Bot`, `Organization`, `Mannequin`.
    #[serde(rename = "type", default)]
    pub kind: String,
}

impl Actor {
    pub fn account(&self) -> Account {
        Account { id: UserId(self.id), login: self.login.clone() }
    }

    /// Only a person counts as a person: Apps, bots, organisations and ghosts do not.
    pub fn is_person(&self) -> bool {
        self.kind == "User" && !self.login.ends_with("[bot]")
    }
}
