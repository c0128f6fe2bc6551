//! Prompt files: embedded, overridable by a folder and by a repository, checked before they are used.
//!
//! A file begins with `version: N`; then come the instructions, a line `=== user ===`, and the message.
//! `{{name}}` stands for a value. A file that names an unknown value, or leaves out one of its role's, is
//! refused: the one is a slip, the other would hide something from the model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use rust_embed::RustEmbed;

use crate::llm::PromptUsed;
use crate::llm::boundary::PromptText;

#[derive(RustEmbed)]
#[folder = "prompts/"]
struct Embedded;

const SEPARATOR: &str = "\n=== user ===\n";

/// The values that each prompt has to name. A reviewer of the deployment is `review_<name>`; those that a
/// repository describes itself share `reviewer`.
const VALUES: [(&str, &[&str]); 17] = [
    ("discussion", DISCUSSION_VALUES),
    ("implementer", &["specification", "rules", "instructions", "overview", "snippets", "earlier_failures"]),
    ("fixer", &["specification", "rules", "instructions", "change", "places", "wrong"]),
    ("single_shot", &["specification", "rules", "instructions", "overview", "files", "earlier_failures"]),
    ("single_shot_fix", &["specification", "rules", "instructions", "change", "files", "wrong"]),
    ("command", &["specification", "rules", "earlier_failures"]),
    ("command_fix", &["specification", "rules", "change", "wrong"]),
    ("reviewer", &["looks_for", "specification", "change", "files", "places"]),
    ("verifier", &["specification", "findings", "code", "change", "places"]),
    ("judge", &["specification", "first", "second"]),
    ("router", &["specification", "workflows", "models", "top_models"]),
    ("design", &["specification", "overview", "snippets", "max_chars"]),
    ("answer", SOLVER_VALUES),
    ("solver", SOLVER_VALUES),
    ("science", SOLVER_VALUES),
    ("critic", &["question", "answer", "evidence", "computations"]),
    ("answer_verifier", &["question", "answer", "evidence", "computations"]),
];
const DISCUSSION_VALUES: &[&str] =
    &["max_tasks", "max_questions", "protected", "issue", "overview", "snippets", "templates"];
const SOLVER_VALUES: &[&str] =
    &["question", "said", "overview", "snippets", "objections", "seen", "turns_left"];
const REVIEW_VALUES: &[&str] = &["specification", "change", "files", "places"];
const REVIEW_PREFIX: &str = "review_";

/// All prompts that are in force.
#[derive(Debug, Clone)]
pub struct Prompts {
    files: BTreeMap<String, PromptFile>,
}

#[derive(Debug, Clone)]
struct PromptFile {
    version: u32,
    source: PromptSource,
    text: String,
}

/// Where a prompt comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PromptSource {
    Embedded,
    /// The deployment's folder.
    Override(PathBuf),
    /// A file of the repository, as a commit has it.
    Repository {
        path: String,
        commit: String,
    },
}

impl PromptSource {
    /// `embedded`, `deployment` or `repository`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Override(_) => "deployment",
            Self::Repository { .. } => "repository",
        }
    }
}

impl fmt::Display for PromptSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Override(path) => write!(f, "{}", path.display()),
            Self::Repository { path, commit } => write!(f, "{path} at {commit}"),
        }
    }
}

/// A prompt with its values set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    pub system: PromptText,
    pub user: PromptText,
    pub version: u32,
    /// Which prompt it is, for the record of the calls that are made with it.
    pub used: PromptUsed,
}

/// What is wrong with a prompt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the prompt {prompt} ({place}): {reason}")]
pub struct PromptError {
    pub prompt: String,
    pub place: String,
    pub reason: String,
}

impl Prompts {
    pub fn embedded() -> Result<Self, PromptError> {
        let mut files = BTreeMap::new();
        for file in Embedded::iter() {
            let Some(name) = file.strip_suffix(".md") else { continue };
            let bytes = Embedded::get(&file).map(|file| file.data.into_owned()).unwrap_or_default();
            files.insert(name.to_owned(), PromptFile::read(name, PromptSource::Embedded, bytes)?);
        }
        Ok(Self { files })
    }

    /// The embedded prompts, replaced or joined by the `.md` files of `folder`.
    pub fn with_overrides(folder: &Path) -> Result<Self, PromptError> {
        let mut prompts = Self::embedded()?;
        let fault = |reason: String| PromptError {
            prompt: "folder".to_owned(),
            place: folder.display().to_string(),
            reason,
        };
        let entries = fs::read_dir(folder).map_err(|error| fault(format!("cannot be read: {error}")))?;
        for entry in entries {
            let path = entry.map_err(|error| fault(error.to_string()))?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".md")) else {
                continue;
            };
            let bytes =
                fs::read(&path).map_err(|error| fault(format!("{name}.md cannot be read: {error}")))?;
            prompts.put(name, PromptSource::Override(path.clone()), bytes)?;
        }
        Ok(prompts)
    }

    /// Puts one file in the place of the one that is in force, or beside the others.
    pub(super) fn put(
        &mut self,
        name: &str,
        source: PromptSource,
        bytes: Vec<u8>,
    ) -> Result<(), PromptError> {
        self.files.insert(name.to_owned(), PromptFile::read(name, source, bytes)?);
        Ok(())
    }

    /// The prompt as it was written, its version included.
    pub fn text(&self, name: &str) -> Option<String> {
        self.files.get(name).map(|file| format!("version: {}\n{}", file.version, file.text))
    }

    /// Which file is in force for each prompt, and its version.
    pub fn in_force(&self) -> impl Iterator<Item = (&str, u32, &PromptSource)> {
        self.files.iter().map(|(name, file)| (name.as_str(), file.version, &file.source))
    }

    /// Names of the reviewers that have a prompt.
    pub fn reviewers(&self) -> Vec<String> {
        self.files.keys().filter_map(|name| name.strip_prefix(REVIEW_PREFIX)).map(str::to_owned).collect()
    }

    /// [`Prompts::render`] for values at hand.
    pub(super) fn render_owned(
        &self,
        name: &str,
        values: &[(&str, PromptText)],
    ) -> Result<Rendered, PromptError> {
        let values: Vec<_> = values.iter().map(|(name, value)| (*name, value)).collect();
        self.render(name, &values)
    }

    /// Sets the values. A value's own braces are not looked at again.
    pub fn render(&self, name: &str, values: &[(&str, &PromptText)]) -> Result<Rendered, PromptError> {
        let file = self.files.get(name).ok_or_else(|| PromptError {
            prompt: name.to_owned(),
            place: "none".to_owned(),
            reason: match name.strip_prefix(REVIEW_PREFIX) {
                Some(reviewer) => format!(
                    "neither the deployment nor the repository (.orchestrator/reviewers/{reviewer}.md) has such a reviewer"
                ),
                None => "there is none of this name".to_owned(),
            },
        })?;
        let fault = |reason| file.fault(name, reason);
        let values: BTreeMap<&str, &PromptText> = values.iter().copied().collect();
        let (system, user) = file
            .text
            .split_once(SEPARATOR)
            .ok_or_else(|| fault("the line `=== user ===` is missing".to_owned()))?;
        let set = |part: &str| substitute(part, &values).map_err(fault);
        let used =
            PromptUsed { name: name.to_owned(), version: file.version, source: file.source.to_string() };
        Ok(Rendered { system: set(system)?, user: set(user)?, version: file.version, used })
    }
}

impl PromptFile {
    fn read(name: &str, source: PromptSource, bytes: Vec<u8>) -> Result<Self, PromptError> {
        let mut file = Self { version: 0, source, text: String::new() };
        let Some(expected) = expected_values(name) else {
            let names: Vec<_> = VALUES.iter().map(|(name, _)| *name).collect();
            let reason = format!("no role reads it; the names are {} and review_<name>", names.join(", "));
            return Err(file.fault(name, reason));
        };
        let text = String::from_utf8(bytes).map_err(|_| file.fault(name, "it is not UTF-8".to_owned()))?;
        let text = text.replace("\r\n", "\n");
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let version = first.strip_prefix("version:").and_then(|version| version.trim().parse().ok());
        file.version =
            version.ok_or_else(|| file.fault(name, "the first line has to be `version: N`".to_owned()))?;
        file.text = rest.to_owned();
        if rest.matches(SEPARATOR).count() != 1 {
            return Err(file.fault(name, "it needs the line `=== user ===` exactly once".to_owned()));
        }
        let named = placeholders(rest).map_err(|reason| file.fault(name, reason))?;
        let expected: BTreeSet<&str> = expected.iter().copied().collect();
        if let Some(unknown) = named.iter().find(|named| !expected.contains(*named)) {
            let known: Vec<_> = expected.iter().copied().collect();
            let reason = format!("{{{{{unknown}}}}} is unknown; the values are {}", known.join(", "));
            return Err(file.fault(name, reason));
        }
        if let Some(missing) = expected.iter().find(|expected| !named.contains(*expected)) {
            return Err(file.fault(name, format!("it does not use {{{{{missing}}}}}")));
        }
        Ok(file)
    }

    fn fault(&self, name: &str, reason: String) -> PromptError {
        PromptError { prompt: name.to_owned(), place: self.source.to_string(), reason }
    }
}

fn expected_values(name: &str) -> Option<&'static [&'static str]> {
    if name.strip_prefix(REVIEW_PREFIX).is_some_and(|reviewer| !reviewer.is_empty()) {
        return Some(REVIEW_VALUES);
    }
    VALUES.iter().find(|(known, _)| *known == name).map(|(_, values)| *values)
}

/// The text and the names between `{{` and `}}`, in order.
fn pieces(text: &str) -> Result<Vec<(&str, Option<&str>)>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or("a `{{` is not closed")?;
        pieces.push((before, Some(name.trim())));
        rest = after;
    }
    pieces.push((rest, None));
    Ok(pieces)
}

fn placeholders(text: &str) -> Result<BTreeSet<&str>, String> {
    Ok(pieces(text)?.into_iter().filter_map(|(_, name)| name).collect())
}

fn substitute(text: &str, values: &BTreeMap<&str, &PromptText>) -> Result<PromptText, String> {
    let mut filled = Vec::new();
    for (before, name) in pieces(text)? {
        let value = match name {
            Some(name) => Some(*values.get(name).ok_or_else(|| format!("{{{{{name}}}}} has no value"))?),
            None => None,
        };
        filled.push((before, value));
    }
    Ok(PromptText::filled(filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overridden(name: &str, text: &str) -> Result<Prompts, PromptError> {
        let folder = tempfile::tempdir().expect("dir");
        fs::write(folder.path().join(name), text).expect("written");
        Prompts::with_overrides(folder.path())
    }

    #[test]
    fn every_embedded_prompt_is_whole() {
        let prompts = Prompts::embedded().expect("whole");
        for (name, _) in VALUES {
            assert!(prompts.files.contains_key(name), "{name}");
        }
        assert_eq!(prompts.reviewers(), ["architecture", "quality", "safety"]);
    }

    #[test]
    fn braces_in_a_value_are_left_alone() {
        let text = "version: 2\n{{specification}}\n=== user ===\n{{change}} {{ files }}{{places}}\n";
        let prompts = overridden("review_mine.md", text).expect("whole");
        let texts = ["{{change}}", "c", "{{unknown}}", ""].map(PromptText::own);
        let names = ["specification", "change", "files", "places"];
        let values: Vec<_> = names.into_iter().zip(&texts).collect();
        let rendered = prompts.render("review_mine", &values).expect("rendered");
        assert_eq!((rendered.system.as_str(), rendered.user.as_str()), ("{{change}}", "c {{unknown}}"));
        assert_eq!(rendered.version, 2);
        assert!(prompts.reviewers().contains(&"mine".to_owned()));
    }

    #[test]
    fn an_override_that_cannot_work_is_refused_at_once() {
        let cases = [
            ("fixer.md", "no version\n=== user ===\n", "`version: N`"),
            (
                "fixer.md",
                "version: 1\n{{specification}} {{change}} {{places}} {{wrong}}\n",
                "`=== user ===` exactly once",
            ),
            (
                "fixer.md",
                "version: 1\n{{specification}} {{rules}} {{instructions}}\n=== user ===\n{{change}}{{places}}\n",
                "does not use {{wrong}}",
            ),
            (
                "fixer.md",
                "version: 1\n{{secification}} {{rules}}\n=== user ===\n{{change}}{{places}}{{wrong}}\n",
                "{{secification}} is unknown",
            ),
            ("fixer.md", "version: 1\n{{specification\n=== user ===\n", "is not closed"),
            ("fixr.md", "version: 1\n=== user ===\n", "no role reads it"),
        ];
        for (name, text, part) in cases {
            let error = overridden(name, text).expect_err(text).to_string();
            assert!(error.contains(part) && error.contains(name), "{error}");
        }
    }
}
