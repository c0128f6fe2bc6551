//! A folder that is there whole or not at all: written beside its place, and renamed when nothing is missing. Every
//! text in it has passed the redactor.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::run::InputError;
use crate::telemetry::Redactor;

/// Longest name of a file that is made of a name from elsewhere.
const NAME_MAX_CHARS: usize = 80;

pub(super) struct Folder<'a> {
    place: PathBuf,
    /// Removed again where the end is not reached.
    beside: TempDir,
    redactor: &'a Redactor,
    files: usize,
}

impl<'a> Folder<'a> {
    /// Refuses a place that has something in it.
    pub fn begin(place: &Path, redactor: &'a Redactor) -> anyhow::Result<Self> {
        let unusable = |problem: String| InputError::Folder { path: place.to_owned(), problem };
        match fs::read_dir(place) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(unusable("there is something in it already: name another".to_owned()).into());
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(unusable(error.to_string()).into()),
        }
        let absolute = std::path::absolute(place).map_err(|error| unusable(error.to_string()))?;
        let parent = absolute.parent().map(Path::to_owned);
        let parent = parent.ok_or_else(|| unusable("it is the root of the file system".to_owned()))?;
        let made = fs::create_dir_all(&parent)
            .and_then(|()| tempfile::Builder::new().prefix(".export-").tempdir_in(&parent));
        let beside = made.map_err(|error| unusable(error.to_string()))?;
        Ok(Self { place: absolute, beside, redactor, files: 0 })
    }

    pub fn text(&mut self, path: &str, text: &str) -> anyhow::Result<()> {
        let clean = self.redactor.clean(text);
        self.write(path, clean.as_bytes())
    }

    /// Bytes, of which those that are no text are shown as such.
    pub fn bytes_as_text(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.text(path, &String::from_utf8_lossy(bytes))
    }

    pub fn json(&mut self, path: &str, value: Value) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(&self.redactor.clean_json(value))?;
        text.push('\n');
        self.write(path, text.as_bytes())
    }

    /// One value a line.
    pub fn json_lines(&mut self, path: &str, values: impl IntoIterator<Item = Value>) -> anyhow::Result<()> {
        let mut text = String::new();
        for value in values {
            text.push_str(&serde_json::to_string(&self.redactor.clean_json(value))?);
            text.push('\n');
        }
        self.write(path, text.as_bytes())
    }

    /// What is no text and was made by us: nothing in it is looked for.
    pub fn binary(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.write(path, bytes)
    }

    /// Whether a text gives no secret away.
    pub fn is_clean(&self, text: &str) -> bool {
        self.redactor.is_clean(text)
    }

    /// Puts the folder in its place; answers where that is and how many files it has.
    pub fn finish(self) -> anyhow::Result<(PathBuf, usize)> {
        // An empty folder is replaced; one that got something meanwhile is not.
        fs::rename(self.beside.path(), &self.place)
            .with_context(|| format!("the folder cannot be put at {}", self.place.display()))?;
        // It is not there any more, under that name.
        let _ = self.beside.keep();
        Ok((self.place, self.files))
    }

    fn write(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let file = self.beside.path().join(path);
        let parent = file.parent().unwrap_or(self.beside.path());
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&file, bytes))
            .with_context(|| format!("{path} cannot be written beside {}", self.place.display()))?;
        self.files += 1;
        Ok(())
    }
}

/// A name from elsewhere as the name of one file.
pub(super) fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.chars().take(NAME_MAX_CHARS).map(plain).collect();
    match name.trim_start_matches('.') {
        "" => "_".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(["canary-0123456789abcdef".to_owned().into()])
    }

    #[test]
    fn a_folder_is_there_whole_or_not_at_all() {
        let parent = tempfile::tempdir().expect("dir");
        let place = parent.path().join("new/run");
        let redactor = redactor();
        let mut folder = Folder::begin(&place, &redactor).expect("nothing is there");
        folder.text("a/b.md", "the canary-0123456789abcdef sings").expect("written");
        drop(folder);
        assert_eq!(fs::read_dir(parent.path().join("new")).expect("dir").count(), 0, "nothing half is left");

        let mut folder = Folder::begin(&place, &redactor).expect("nothing is there");
        folder.text("a/b.md", "the canary-0123456789abcdef sings").expect("written");
        folder.json("c.json", serde_json::json!({ "c": "canary-0123456789abcdef" })).expect("written");
        let (at, files) = folder.finish().expect("put");
        assert_eq!((at.as_path(), files), (place.as_path(), 2));
        let text = fs::read_to_string(place.join("a/b.md")).expect("a file");
        assert!(!text.contains("canary") && text.contains("sings"), "{text}");
        assert!(!fs::read_to_string(place.join("c.json")).expect("a file").contains("canary"));
    }

    #[test]
    fn what_is_there_is_never_written_over() {
        let parent = tempfile::tempdir().expect("dir");
        let (place, redactor) = (parent.path().join("run"), redactor());
        fs::create_dir(&place).expect("dir");
        let mut folder = Folder::begin(&place, &redactor).expect("it is empty");
        folder.text("a", "a").expect("written");
        fs::write(place.join("mine"), "mine").expect("written");
        assert!(folder.finish().is_err(), "something came there meanwhile");
        let refused = Folder::begin(&place, &redactor).err().expect("refused").to_string();
        assert!(refused.contains("something in it"), "{refused}");
        assert_eq!(fs::read_to_string(place.join("mine")).expect("a file"), "mine");
        assert_eq!(fs::read_dir(parent.path()).expect("dir").count(), 1, "nothing half is left");
    }

    #[test]
    fn a_name_from_elsewhere_stays_inside_the_folder() {
        assert_eq!(file_name("../../etc/passwd"), "_.._etc_passwd");
        assert_eq!((file_name(".."), file_name("review.json")), ("_".to_owned(), "review.json".to_owned()));
    }
}
