//! What a run is given, checked before anything is started.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::agents::PromptError;
use crate::config::{Config, ConfigError, ModelChoice, parse_task, variable_of};
use crate::domain::{BranchName, SourceText, WrittenTask};
use crate::workspace::{Head, Survey, WorkspaceError};

/// Longest text and title of an issue, in characters: what GitHub takes, so that an issue means the same
/// in both places.
const TEXT_MAX_CHARS: usize = 65_536;
const TITLE_MAX_CHARS: usize = 256;

/// What is wrong with what a run was given, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum InputError {
    #[error("{} does not exist", .0.display())]
    NoFolder(PathBuf),
    #[error(
        "{} is not in a git repository: name the folder of one with --repo, or make one there \
         (git init, git add -A, git commit)", .0.display()
    )]
    NoRepository(PathBuf),
    #[error("{} has no commit on its branch yet, and work starts from a commit: git add -A, git commit", .0.display())]
    NoCommit(PathBuf),
    #[error("nothing is checked out of {} but a commit of no branch: name the branch to start from with --branch; {known}", .path.display())]
    Detached { path: PathBuf, known: String },
    #[error("{} has no branch `{branch}`; {known}", .path.display())]
    NoBranch { path: PathBuf, branch: String, known: String },
    #[error(
        "{} has a branch named `auto`, so git can hold no branch below auto/: rename it, as in \
         git branch -m auto old-auto", .0.display()
    )]
    AutoTaken(PathBuf),
    #[error("{revision:?} names no commit of {}: give a commit's id, a branch or a tag", .path.display())]
    NoRevision { path: PathBuf, revision: String },
    #[error("{0}")]
    Repository(#[from] WorkspaceError),
    #[error("cannot read the issue from {from}: {problem}")]
    Issue { from: String, problem: String },
    #[error("the issue in {0} is empty: its first line is the title, the rest says what is wrong or wanted")]
    EmptyIssue(String),
    #[error("the issue in {from} has {chars} characters; {TEXT_MAX_CHARS} is the most, as on GitHub")]
    LongIssue { from: String, chars: usize },
    #[error("cannot read the task from {from}: {problem}")]
    Task { from: String, problem: String },
    #[error(transparent)]
    TaskFile(#[from] ConfigError),
    #[error("the report cannot be written to {}: {problem}", .path.display())]
    Report { path: PathBuf, problem: String },
    #[error("there is no task {id:?}; {near}")]
    NoTask { id: String, near: String },
    #[error("{count} tasks begin with {id:?}, give more of the number: {known}")]
    SeveralTasks { id: String, count: usize, known: String },
    #[error("nothing can be written to {}: {problem}", .path.display())]
    Folder { path: PathBuf, problem: String },
    #[error("no prompt is named {name:?}; there are {known}")]
    NoPrompt { name: String, known: String },
    #[error(transparent)]
    Prompt(#[from] PromptError),
    #[error("there is no run with a task {0} in this data folder")]
    NoRun(uuid::Uuid),
    #[error(
        "no model is configured: set ANTHROPIC_API_KEY or OPENAI_API_KEY, or name models in orchestrator.yaml \
         (`models.default`), which may be on a server of your own (ANTHROPIC_BASE_URL, OPENAI_BASE_URL); \
         DRY_RUN=true shows the way without a model"
    )]
    NoModel,
    #[error("the model {model} needs a key: set {variable}; DRY_RUN=true shows the way without a model")]
    NoKey { model: String, variable: String },
}

/// The repository and the branch that the work starts from.
#[derive(Debug)]
pub(super) struct Place {
    pub repository: PathBuf,
    pub base: BranchName,
}

/// The repository that a path lies in.
pub(in crate::cli) fn surveyed(path: &Path) -> Result<Survey, InputError> {
    let path = path.canonicalize().map_err(|_| InputError::NoFolder(path.to_owned()))?;
    Survey::of(&path)?.ok_or(InputError::NoRepository(path))
}

pub(super) fn place(path: &Path, branch: Option<&str>) -> Result<Place, InputError> {
    let found = surveyed(path)?;
    let known = known(&found.branches);
    if found.branches.iter().any(|branch| branch.as_str() == "auto") {
        return Err(InputError::AutoTaken(found.path));
    }
    let base = match (branch, found.head) {
        (Some(name), _) => {
            let base = found.branches.into_iter().find(|branch| branch.as_str() == name);
            base.ok_or_else(|| InputError::NoBranch {
                path: found.path.clone(),
                branch: name.to_owned(),
                known,
            })?
        }
        (None, Head::Branch(base)) => base,
        (None, Head::Detached) => return Err(InputError::Detached { path: found.path, known }),
        (None, Head::Unborn) => return Err(InputError::NoCommit(found.path)),
    };
    Ok(Place { repository: found.path, base })
}

/// Branches that a person may have meant.
fn known(branches: &[BranchName]) -> String {
    const MOST: usize = 10;
    let mut names: Vec<&str> = branches.iter().filter(|b| !b.is_auto()).map(BranchName::as_str).collect();
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    match (names.as_slice(), more) {
        ([], _) => "it has no branch yet".to_owned(),
        (names, 0) => format!("there is {}", names.join(", ")),
        (names, more) => format!("there is {} and {more} more", names.join(", ")),
    }
}

/// The issue in a file, or in standard input for `-`.
pub(in crate::cli) fn issue(file: &Path) -> Result<SourceText, InputError> {
    let (from, read) = text_of(file);
    let text = read.map_err(|problem| InputError::Issue { from: from.clone(), problem })?;
    let text = text.as_str();
    let chars = text.chars().count();
    if chars > TEXT_MAX_CHARS {
        return Err(InputError::LongIssue { from, chars });
    }
    source(text).ok_or(InputError::EmptyIssue(from))
}

/// The task in a file, or in standard input for `-`, and its text.
pub(super) fn task(file: &Path) -> Result<(WrittenTask, SourceText), InputError> {
    let (from, read) = text_of(file);
    let text = read.map_err(|problem| InputError::Task { from: from.clone(), problem })?;
    let task = parse_task(Path::new(&from), &text)?;
    let source = SourceText { title: task.title.clone(), body: text, comments: Vec::new() };
    Ok((task, source))
}

/// Where a text comes from, for people, and the text or why there is none.
fn text_of(file: &Path) -> (String, Result<String, String>) {
    let (from, read) = if file == Path::new("-") {
        let mut bytes = Vec::new();
        ("standard input".to_owned(), std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes))
    } else {
        (file.display().to_string(), std::fs::read(file))
    };
    let text = read.map_err(|error| error.to_string()).and_then(|bytes| {
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())?;
        Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
    });
    (from, text)
}

/// The first line with words in it is the title, as a heading or not. One that is too long for a title is
/// a paragraph: it lends its beginning and stays in the text.
fn source(text: &str) -> Option<SourceText> {
    let has_words = |line: &&str| !line.trim_matches(['#', ' ', '\t', '\r']).is_empty();
    let heading = text.lines().find(has_words)?;
    let title = heading.trim().trim_start_matches('#').trim();
    let after = text.split_once(heading).map_or("", |(_, after)| after);
    let (title, body) = match title.char_indices().nth(TITLE_MAX_CHARS) {
        Some((end, _)) => (&title[..end], text),
        None => (title, after),
    };
    Some(SourceText { title: title.to_owned(), body: body.trim().to_owned(), comments: Vec::new() })
}

/// Whether each role has a model that can be asked.
pub(super) fn models(config: &Config) -> Result<(), InputError> {
    for (_, choices) in config.models.roles.all() {
        let Some(first) = choices.first() else { return Err(InputError::NoModel) };
        if choices.iter().all(|choice| lacks_key(config, choice)) {
            let provider = &first.provider;
            let key = format!("models.providers.{provider}.api_key");
            let variable = variable_of(&key).map_or_else(|| format!("`{key}`"), str::to_owned);
            let model = format!("{provider}:{}", first.model);
            return Err(InputError::NoKey { model, variable });
        }
    }
    Ok(())
}

/// The providers' own servers ask for a key; one at another address may do without.
pub(in crate::cli) fn lacks_key(config: &Config, choice: &ModelChoice) -> bool {
    let Some(provider) = config.models.providers.get(&choice.provider) else { return false };
    provider.api_key.is_none() && provider.asks_for_key()
}

/// A report is written at the end of hours of work: whether it can be is looked at first.
pub(super) fn report(path: &Path) -> Result<(), InputError> {
    let wrong = |problem: &str| InputError::Report { path: path.to_owned(), problem: problem.to_owned() };
    if path.is_dir() {
        return Err(wrong("it is a folder"));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.is_dir() { Ok(()) } else { Err(wrong("its folder does not exist")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(String, String)> {
        source(text).map(|source| (source.title, source.body))
    }

    #[test]
    fn the_first_line_is_the_title() {
        let pair = |title: &str, body: &str| Some((title.to_owned(), body.to_owned()));
        assert_eq!(read("# A title\n\nText\n\n## More\n"), pair("A title", "Text\n\n## More"));
        assert_eq!(read("\n\nA title\r\nText\r\n"), pair("A title", "Text"));
        assert_eq!(read("#\n---"), pair("---", ""));
        assert_eq!(read("C# leaks"), pair("C# leaks", ""));
        assert_eq!(read("# \n \n##\t\n"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_paragraph_is_no_title_and_loses_nothing() {
        let long = "word ".repeat(100);
        let (title, body) = read(&long).expect("an issue");
        assert_eq!((title.chars().count(), body.as_str()), (256, long.trim()));
    }
}
