//! Every sentence that a person reads: comments, reviews, pull-request text, mail, commit messages.
//!
//! Values in, text out: nothing here does I/O, reads a clock or knows another room than `domain`.
//! Outside text (of models, of strangers, of logs) travels through this module as a value of its own
//! kind and becomes text only in the [`Gateway`], which redacts and neutralises it; a plain `String`
//! has no other way into a [`Body`], and effects post nothing but a `Body`.

mod answer;
mod check_run;
mod commit;
mod evidence;
mod gateway;
mod help;
mod hidden;
mod mail;
mod markdown;
mod notice;
mod page;
mod plain;
mod plan;
mod progress;
mod pull_request;
mod quoted;
mod reason;
mod report;
mod review;
mod route;
mod status;
mod text;
mod verification;
mod words;

#[cfg(test)]
mod tests;

pub use answer::{AnswerView, answer_comment};
pub use check_run::{Annotation, AnnotationLevel, CheckText, CheckView, Conclusion, check_run};
pub use commit::{CommitView, commit_message};
pub use evidence::{Evidence, Spend};
pub use gateway::{BODY_MAX_CHARS, Body, Gateway, has_marker, marker};
pub use mail::{DigestEntry, DigestView, MailText, MailView, digest, mail};
pub use notice::{NoticeView, notice};
pub use plan::{Estimate, PlanView, plan_comment};
pub use progress::{FoundGate, found_gate, gate_progress, gate_result, progress};
pub use pull_request::{ChangeSize, PullRequestText, PullRequestView, pull_request};
pub use report::{LocalReportView, local_outcome, local_report};
pub use review::{DiffLines, InlineComment, ReviewText, ReviewView, review};
pub use words::Mode;
