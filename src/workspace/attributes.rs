//! What the `.gitattributes` files of a commit say about a file that changes (gitattributes(5)): whether it is kept
//! in Git LFS, and whether git keeps its lines with LF. They are read from the commit that a change is made on, so
//! nothing that a change does to them matters to it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use git2::Odb;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::error::WorkspaceError;
use super::snapshot::RepoPath;
use super::tree::{LINK, Leaves};

/// The rules of one commit, read as they are asked for.
pub(super) struct Attributes<'a> {
    odb: &'a Odb<'a>,
    leaves: &'a Leaves,
    folders: RefCell<HashMap<String, Rc<[Line]>>>,
}

/// What holds for one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct OfFile {
    pub(super) text: Text,
    pub(super) is_lfs: bool,
}

/// Whether git turns CRLF into LF when it takes a file in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Text {
    #[default]
    Never,
    Always,
    /// Where the file looks like text and has no CRLF in the repository already.
    Auto,
}

/// The largest `.gitattributes` that is read, as in git (`ATTR_MAX_FILE_SIZE`).
const LARGEST: usize = 100 << 20;
/// What every pointer begins with (Git LFS specification).
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";
/// A pointer is smaller than this (Git LFS specification).
const POINTER_BYTES: usize = 1024;

/// Whether the content is that of a pointer to a file in Git LFS.
pub(super) fn is_pointer(content: &[u8]) -> bool {
    content.len() < POINTER_BYTES && content.starts_with(POINTER)
}

impl Text {
    /// The content as git would take it in. `before` is what the repository has at that path.
    pub(super) fn taken_in<'c>(self, content: &'c [u8], before: Option<&[u8]>) -> Cow<'c, [u8]> {
        let has_crlf = |content: &[u8]| content.windows(2).any(|pair| pair == b"\r\n");
        let convert = match self {
            Self::Never => false,
            Self::Always => true,
            Self::Auto => !is_binary(content) && !before.is_some_and(has_crlf),
        };
        if !convert || !has_crlf(content) {
            return Cow::Borrowed(content);
        }
        let mut lines = Vec::with_capacity(content.len());
        for (at, byte) in content.iter().enumerate() {
            if *byte != b'\r' || content.get(at + 1) != Some(&b'\n') {
                lines.push(*byte);
            }
        }
        Cow::Owned(lines)
    }
}

/// As git tells text (`gather_stats` in its convert.c, without its count of odd characters): no NUL, no lone CR.
fn is_binary(content: &[u8]) -> bool {
    let lone = |at: usize| content[at] == b'\r' && content.get(at + 1) != Some(&b'\n');
    content.contains(&0) || (0..content.len()).any(lone)
}

impl<'a> Attributes<'a> {
    pub(super) fn new(odb: &'a Odb<'a>, leaves: &'a Leaves) -> Self {
        Self { odb, leaves, folders: RefCell::default() }
    }

    pub(super) fn of(&self, path: &RepoPath) -> Result<OfFile, WorkspaceError> {
        let mut found = Found::default();
        let ends = path.as_str().match_indices('/').map(|(at, _)| at);
        // From the root down: the deepest file has the last word.
        for folder in [""].into_iter().chain(ends.map(|at| &path.as_str()[..at])) {
            let inside = path.as_str()[folder.len()..].trim_start_matches('/');
            for line in self.lines(folder)?.iter().filter(|line| line.matches(inside)) {
                found.add(&line.words);
            }
        }
        Ok(found.of_file())
    }

    fn lines(&self, folder: &str) -> Result<Rc<[Line]>, WorkspaceError> {
        if let Some(known) = self.folders.borrow().get(folder) {
            return Ok(known.clone());
        }
        let name =
            if folder.is_empty() { ".gitattributes".into() } else { format!("{folder}/.gitattributes") };
        let leaf = self.leaves.get(name.as_bytes()).filter(|leaf| leaf.mode != LINK);
        let mut lines = Vec::new();
        if let Some(leaf) = leaf
            && self.odb.read_header(leaf.id)?.0 <= LARGEST
        {
            let text = self.odb.read(leaf.id)?;
            lines.extend(String::from_utf8_lossy(text.data()).lines().filter_map(Line::parse));
        }
        let lines: Rc<[Line]> = lines.into();
        self.folders.borrow_mut().insert(folder.to_owned(), lines.clone());
        Ok(lines)
    }
}

/// A line of such a file: a pattern and what holds for the files that it matches.
struct Line {
    pattern: Gitignore,
    words: Vec<String>,
}

impl Line {
    /// `None`: a comment, a macro's definition, or a line that git passes over too.
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim_matches([' ', '\t', '\r']);
        let (pattern, rest) = match line.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => line.split_once([' ', '\t'])?,
        };
        // Other than in .gitignore, a pattern cannot be negated, and one of a folder matches nothing in it.
        if line.starts_with(['#', '!']) || line.starts_with("[attr]") || pattern.ends_with('/') {
            return None;
        }
        let mut builder = GitignoreBuilder::new("");
        builder.add_line(None, pattern).ok()?;
        Some(Self {
            pattern: builder.build().ok()?,
            words: rest.split_ascii_whitespace().map(str::to_owned).collect(),
        })
    }

    fn matches(&self, path: &str) -> bool {
        self.pattern.matched(path, false).is_ignore()
    }
}

/// What the lines so far say; `None`: nothing.
#[derive(Default)]
struct Found {
    text: Option<Text>,
    has_eol: bool,
    is_lfs: bool,
}

impl Found {
    fn add(&mut self, words: &[String]) {
        for word in words {
            match word.as_str() {
                "text" => self.text = Some(Text::Always),
                "text=auto" => self.text = Some(Text::Auto),
                "-text" | "binary" => self.text = Some(Text::Never),
                "!text" => self.text = None,
                "eol=lf" | "eol=crlf" => self.has_eol = true,
                "-eol" | "!eol" => self.has_eol = false,
                "-filter" | "!filter" => self.is_lfs = false,
                filter if filter.starts_with("filter=") => self.is_lfs = filter == "filter=lfs",
                _ => {}
            }
        }
    }

    fn of_file(&self) -> OfFile {
        let unsaid = if self.has_eol { Text::Always } else { Text::Never };
        OfFile { text: self.text.unwrap_or(unsaid), is_lfs: self.is_lfs }
    }
}
