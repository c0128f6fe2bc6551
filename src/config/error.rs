//! What a person reads when the configuration is wrong. Values are never part of it: any of them
//! could have come from a secret.

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong with the configuration: where, which key, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(Box<Detail>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Detail {
    problem: String,
    file: Option<PathBuf>,
    /// Line and column, both from 1.
    position: Option<(u64, u64)>,
    key: Option<String>,
    variable: Option<&'static str>,
    suggestion: Option<String>,
}

impl ConfigError {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        let problem = problem.into();
        let nothing =
            Detail { problem, file: None, position: None, key: None, variable: None, suggestion: None };
        Self(Box::new(nothing))
    }

    pub(super) fn in_file(mut self, file: &Path) -> Self {
        self.0.file = Some(file.to_owned());
        self
    }

    pub(super) fn at(mut self, position: Option<(u64, u64)>) -> Self {
        self.0.position = position;
        self
    }

    pub(super) fn of_key(mut self, key: impl Into<String>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    pub(super) fn of_variable(mut self, variable: &'static str) -> Self {
        self.0.variable = Some(variable);
        self
    }

    pub(super) fn suggest(mut self, suggestion: Option<String>) -> Self {
        self.0.suggestion = suggestion;
        self
    }

    /// The key with its sections, such as `limits.gate_rounds`.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// The line in the file, from 1.
    pub fn line(&self) -> Option<u64> {
        self.0.position.map(|(line, _)| line)
    }

    /// The nearest right key or value, when one is near.
    pub fn suggestion(&self) -> Option<&str> {
        self.0.suggestion.as_deref()
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(variable) = self.0.variable {
            write!(f, "environment variable {variable}: ")?;
        } else if let Some(file) = &self.0.file {
            write!(f, "{}", file.display())?;
            if let Some((line, column)) = self.0.position {
                write!(f, ":{line}:{column}")?;
            }
            write!(f, ": ")?;
        }
        if let Some(key) = &self.0.key {
            write!(f, "`{key}`: ")?;
        }
        write!(f, "{}", self.0.problem)?;
        match &self.0.suggestion {
            Some(suggestion) => write!(f, "; did you mean `{suggestion}`?"),
            None => Ok(()),
        }
    }
}

/// The candidate nearest to what was written, if it is near enough to be what was meant.
pub(super) fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let normal = |text: &str| text.to_lowercase().replace('-', "_");
    let wanted = normal(written);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &normal(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(wanted.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
