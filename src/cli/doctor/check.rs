//! What a check came to, and how it is printed.

use std::fmt;

use serde::Serialize;

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mark {
    Ok,
    /// It works, with less than it could.
    Weak,
    Broken,
    NotConfigured,
    /// Left out, on request or because something before it is broken.
    NotChecked,
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub area: &'static str,
    pub mark: Mark,
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Weak => "weak",
            Self::Broken => "BROKEN",
            Self::NotConfigured => "not configured",
            Self::NotChecked => "not checked",
        })
    }
}

/// `ok              sandbox       system calls are filtered`
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a server or a tool said may have lines of its own.
        let line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        write!(f, "{:<15} {:<14} {}", self.mark, self.area, line(&self.what))?;
        match &self.mend {
            Some(mend) => {
                let stop = if self.what.ends_with(['.', '?', '!']) { "" } else { "." };
                write!(f, "{stop} To mend it: {}", line(mend))
            }
            None => Ok(()),
        }
    }
}

/// The checks of one area.
pub(super) struct Checks {
    area: &'static str,
    pub found: Vec<Check>,
}

impl Checks {
    pub(super) fn of(area: &'static str) -> Self {
        Self { area, found: Vec::new() }
    }

    pub(super) fn ok(&mut self, what: impl Into<String>) {
        self.push(Mark::Ok, what, None);
    }

    pub(super) fn weak(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.push(Mark::Weak, what, Some(mend.into()));
    }

    pub(super) fn broken(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.push(Mark::Broken, what, Some(mend.into()));
    }

    /// `what` says what it means that this is missing.
    pub(super) fn not_configured(&mut self, what: impl Into<String>) {
        self.push(Mark::NotConfigured, what, None);
    }

    pub(super) fn not_checked(&mut self, why: impl Into<String>) {
        self.push(Mark::NotChecked, why, None);
    }

    fn push(&mut self, mark: Mark, what: impl Into<String>, mend: Option<String>) {
        self.found.push(Check { area: self.area, mark, what: what.into(), mend });
    }
}
