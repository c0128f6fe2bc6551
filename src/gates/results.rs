//! What result files and machine-readable output say: SARIF, JUnit, LCOV, Cobertura, and the JSON of
//! compilers, linters and test runners.
//!
//! The change's own code writes all of this. It can add findings, tests that failed and a coverage that is too
//! low; a verdict is never made better by it. Nothing here can fail: what cannot be read says nothing.

use std::collections::BTreeSet;

use super::findings::{self, Place};
use crate::domain::{Coverage, GateFinding};
use crate::workspace::RepoPath;

mod collect;
mod coverage;
mod json;
mod junit;
mod sarif;

pub(super) use collect::collect;

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Results {
    pub findings: Vec<GateFinding>,
    pub failed_tests: BTreeSet<String>,
    pub coverage: Option<Coverage>,
}

impl Results {
    /// Reads one result file. Its format is told by what is in it.
    pub fn file(&mut self, bytes: &[u8], cwd: Option<&RepoPath>) {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}').trim_start();
        match text.as_bytes().first() {
            Some(b'{') => self.add(sarif::read(text, Place { cwd })),
            Some(b'<') if text.contains("<coverage") => self.cover(coverage::cobertura(text)),
            Some(b'<') => {
                let (findings, tests) = junit::read(text, Place { cwd });
                self.add(findings);
                self.failed_tests.extend(tests);
            }
            _ => self.cover(coverage::lcov(text)),
        }
    }

    /// Reads what a gate printed, where that is meant for programs.
    pub fn output(&mut self, log: &str, cwd: Option<&RepoPath>) {
        let (findings, tests) = json::read(log, Place { cwd });
        self.add(findings);
        self.failed_tests.extend(tests);
    }

    fn add(&mut self, found: Vec<GateFinding>) {
        for finding in found {
            if self.findings.len() < findings::READ && !self.findings.contains(&finding) {
                self.findings.push(finding);
            }
        }
    }

    fn cover(&mut self, more: Option<Coverage>) {
        let Some(more) = more else { return };
        let sum = self.coverage.map_or(more, |before| Coverage {
            covered: before.covered.saturating_add(more.covered),
            total: before.total.saturating_add(more.total),
        });
        self.coverage = Some(sum);
    }
}

#[cfg(test)]
mod tests;
