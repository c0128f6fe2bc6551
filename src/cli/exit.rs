//! Exit codes that mean something.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what was asked.
    Done = 0,
    /// It failed: see the message.
    Failed = 1,
    /// The arguments or the configuration are wrong.
    Usage = 2,
    /// The work stopped and waits for a person; it is kept.
    NeedsPerson = 3,
    /// Questions have to be answered first.
    NeedsAnswer = 4,
    /// Done, but a required gate could not run, so that nothing is known about the change; or answered, and nothing
    /// bears the answer out or the verifier doubts it.
    Unverified = 5,
}

impl Exit {
    /// The name in answers for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NeedsPerson => "needs_person",
            Self::NeedsAnswer => "needs_answer",
            Self::Unverified => "unverified",
        }
    }

    /// What an error means for the exit code: whether the input was wrong, or the work failed.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        let wrong_input = error.is::<crate::config::ConfigError>() || error.is::<super::run::InputError>();
        if wrong_input { Self::Usage } else { Self::Failed }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Tells a person what went wrong.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
    Exit::of(error).into()
}
