//! The product as a whole, on real parts: GitHub's stand-in judged by GitHub's own description, a model
//! server, an SMTP server, PostgreSQL, git and bubblewrap. Whatever is missing fails here, and never skips.
//!
//! Each file plays one sort of story; [`scene`] sets it up and holds what every story has to end with.

#[path = "story/answers.rs"]
mod answers;
#[path = "story/deliveries.rs"]
mod deliveries;
#[path = "story/digest.rs"]
mod digest;
#[path = "story/dry_run.rs"]
mod dry_run;
#[path = "story/edits.rs"]
mod edits;
#[path = "story/engines.rs"]
mod engines;
#[path = "story/gates.rs"]
mod gates;
#[path = "story/github_faults.rs"]
mod github_faults;
#[path = "story/kills.rs"]
mod kills;
#[path = "story/live_state.rs"]
mod live_state;
#[path = "story/mail_to.rs"]
mod mail_to;
#[path = "story/model_faults.rs"]
mod model_faults;
#[path = "story/other_pushes.rs"]
mod other_pushes;
#[path = "story/paths.rs"]
mod paths;
#[path = "story/people.rs"]
mod people;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "story/process.rs"]
mod process;
#[path = "support/published.rs"]
mod published;
#[path = "story/repository_choices.rs"]
mod repository_choices;
#[path = "story/repository_rules.rs"]
mod repository_rules;
#[path = "story/reviews.rs"]
mod reviews;
#[path = "story/scene.rs"]
mod scene;
#[path = "story/templates.rs"]
mod templates;
#[path = "story/traces.rs"]
mod traces;
#[path = "story/whole.rs"]
mod whole;
