//! The section `paths`, which deployment and repository write in the same way: what a change may touch, and
//! how large it may be.

use serde::Deserialize;

use super::document::Document;
use super::error::ConfigError;

/// As written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Paths {
    pub allowed: Option<Vec<String>>,
    pub protected: Option<Vec<String>>,
    pub max_files: Option<u64>,
    pub max_lines: Option<u64>,
    pub max_file_bytes: Option<u64>,
    pub max_total_bytes: Option<u64>,
    pub binary_files: Option<bool>,
}

/// What the deployment says of changes in every repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSettings {
    /// Changes outside of these globs are refused.
    pub allowed: Vec<String>,
    /// Changes inside of these need a plan that asks for them, besides what is always protected.
    pub protected: Vec<String>,
    pub max_files: u64,
    /// Lines added and removed.
    pub max_lines: u64,
    /// Of a file that is new or grows.
    pub max_file_bytes: u64,
    /// What all files together grow by.
    pub max_total_bytes: u64,
    /// Whether a file that is not text may be changed without the plan's naming it.
    pub binary_files: bool,
}

/// What a repository says of changes. `None`: as the deployment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathPolicy {
    pub allowed: Option<Vec<String>>,
    pub protected: Option<Vec<String>>,
    pub max_files: Option<u64>,
    pub max_lines: Option<u64>,
    pub max_file_bytes: Option<u64>,
    pub max_total_bytes: Option<u64>,
    pub binary_files: Option<bool>,
}

impl Default for PathSettings {
    fn default() -> Self {
        Self {
            allowed: vec!["**".to_owned()],
            protected: Vec::new(),
            max_files: 200,
            max_lines: 20_000,
            max_file_bytes: 1 << 20,
            max_total_bytes: 8 << 20,
            binary_files: false,
        }
    }
}

impl From<PathPolicy> for PathSettings {
    fn from(written: PathPolicy) -> Self {
        let default = Self::default();
        Self {
            allowed: written.allowed.unwrap_or(default.allowed),
            protected: written.protected.unwrap_or(default.protected),
            max_files: written.max_files.unwrap_or(default.max_files),
            max_lines: written.max_lines.unwrap_or(default.max_lines),
            max_file_bytes: written.max_file_bytes.unwrap_or(default.max_file_bytes),
            max_total_bytes: written.max_total_bytes.unwrap_or(default.max_total_bytes),
            binary_files: written.binary_files.unwrap_or(default.binary_files),
        }
    }
}

impl Paths {
    /// Checks globs and numbers; `error` points at the key.
    pub(super) fn resolve(
        self,
        error: impl Fn(&str, String) -> ConfigError,
    ) -> Result<PathPolicy, ConfigError> {
        let globs = [("paths.allowed", &self.allowed), ("paths.protected", &self.protected)];
        for (key, patterns) in globs {
            for (index, pattern) in patterns.iter().flatten().enumerate() {
                globset::Glob::new(pattern)
                    .map_err(|problem| error(&format!("{key}[{index}]"), problem.kind().to_string()))?;
                if pattern.trim().is_empty() {
                    return Err(error(&format!("{key}[{index}]"), "must not be empty".to_owned()));
                }
            }
        }
        for (name, value) in [
            ("max_files", self.max_files),
            ("max_lines", self.max_lines),
            ("max_file_bytes", self.max_file_bytes),
            ("max_total_bytes", self.max_total_bytes),
        ] {
            if value == Some(0) {
                return Err(error(&format!("paths.{name}"), "must be at least 1".to_owned()));
            }
        }
        Ok(PathPolicy {
            allowed: self.allowed,
            protected: self.protected,
            max_files: self.max_files,
            max_lines: self.max_lines,
            max_file_bytes: self.max_file_bytes,
            max_total_bytes: self.max_total_bytes,
            binary_files: self.binary_files,
        })
    }

    pub(super) fn of_policy(self, document: &Document) -> Result<PathPolicy, ConfigError> {
        self.resolve(|key, problem| document.error(key, problem))
    }
}
