//! Prompts that a repository has in force for itself, in `.orchestrator/prompts/`. The files are taken from the base of
//! the work, never from a change, and pass the checks that the deployment's own pass.

use crate::workspace::{ContentReader, FileMode, Snapshot};

use super::prompts::{PromptError, PromptSource, Prompts};

/// Where a repository's prompts are, one file `NAME.md` each.
pub const PROMPTS_FOLDER: &str = ".orchestrator/prompts/";
/// Longest file.
const MAX_BYTES: usize = 64 * 1024;
/// More files than there are jobs for a prompt, and reviewers in one round.
const MOST_FILES: usize = 64;

impl Prompts {
    /// These prompts, replaced or joined by those of a repository. `None`: it has none.
    ///
    /// # Errors
    /// One that cannot be used fails all of them: work that its maintainers want done by their words is not done by
    /// others.
    pub fn of_repository(&self, files: &Snapshot, commit: &str) -> Result<Option<Self>, PromptError> {
        let mut prompts = None;
        for (number, (path, name, entry)) in files
            .files
            .iter()
            .filter_map(|(path, entry)| Some((path, prompt_of_file(path.as_str())?, entry)))
            .enumerate()
        {
            let source =
                PromptSource::Repository { path: path.as_str().to_owned(), commit: commit.to_owned() };
            let fault =
                |reason: String| PromptError { prompt: name.to_owned(), place: source.to_string(), reason };
            if number >= MOST_FILES {
                return Err(fault(format!("{PROMPTS_FOLDER} has more than {MOST_FILES} prompts")));
            }
            if entry.mode == FileMode::Symlink {
                return Err(fault("it is a symbolic link, and has to be a file".to_owned()));
            }
            let bytes = entry.bytes.len();
            if bytes > MAX_BYTES {
                return Err(fault(format!("it has {bytes} bytes; {MAX_BYTES} is the most")));
            }
            let mut reader = ContentReader::default();
            let text = entry.bytes.read(&mut reader);
            let text = text.map_err(|error| fault(format!("it cannot be read: {error}")))?.to_vec();
            prompts.get_or_insert_with(|| self.clone()).put(name, source.clone(), text)?;
        }
        Ok(prompts)
    }
}

/// The prompt that a file of a repository would be.
fn prompt_of_file(path: &str) -> Option<&str> {
    let name = path.strip_prefix(PROMPTS_FOLDER)?.strip_suffix(".md")?;
    (!name.contains('/')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{FileEntry, RepoPath};

    const WHOLE: &str = "version: 7\nMine. {{specification}}\n=== user ===\n{{first}} {{second}}\n";

    fn tree(files: &[(&str, FileMode, &str)]) -> Snapshot {
        let files = files.iter().map(|(path, mode, text)| {
            let path = RepoPath::parse(*path).expect("a path");
            (path, FileEntry { mode: *mode, bytes: text.as_bytes().into() })
        });
        Snapshot { files: files.collect() }
    }

    #[test]
    fn a_repositorys_prompt_takes_the_place_of_the_one_in_force() {
        let own = Prompts::embedded().expect("whole");
        let files = tree(&[
            (".orchestrator/prompts/judge.md", FileMode::Regular, WHOLE),
            (".orchestrator/prompts/notes.txt", FileMode::Regular, "not one"),
            (".orchestrator/prompts/old/judge.md", FileMode::Regular, "not one"),
        ]);
        let prompts = own.of_repository(&files, "abc").expect("whole").expect("some");
        let of = |prompts: &Prompts, name: &str| {
            let found = prompts.in_force().find(|(known, ..)| *known == name);
            found.map(|(_, version, source)| (version, source.to_string())).expect("in force")
        };
        assert_eq!(of(&prompts, "judge"), (7, ".orchestrator/prompts/judge.md at abc".to_owned()));
        assert_eq!(of(&prompts, "fixer"), of(&own, "fixer"));
        assert_eq!(prompts.text("judge").as_deref(), Some(WHOLE));
        assert!(own.of_repository(&tree(&[]), "abc").expect("whole").is_none());
    }

    #[test]
    fn one_that_cannot_be_used_is_named_with_its_fault() {
        let own = Prompts::embedded().expect("whole");
        let long = format!("{WHOLE}{}", "x".repeat(MAX_BYTES));
        let cases = [
            ("judge", FileMode::Symlink, WHOLE, "symbolic link"),
            ("judge", FileMode::Regular, long.as_str(), "65536 is the most"),
            ("judge", FileMode::Regular, "version: 1\n{{first}}\n=== user ===\n", "does not use {{second}}"),
            ("juge", FileMode::Regular, WHOLE, "no role reads it"),
        ];
        for (name, mode, text, part) in cases {
            let path = format!("{PROMPTS_FOLDER}{name}.md");
            let error = own.of_repository(&tree(&[(&path, mode, text)]), "abc").expect_err(part).to_string();
            assert!(error.contains(part) && error.contains(&path), "{error}");
        }
    }
}
