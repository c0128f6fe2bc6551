//! Walking and searching a tree: bounded, linear in its size, with no configuration but the tree's own.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use globset::{Glob, GlobMatcher};
use ignore::{DirEntry, WalkBuilder};
use regex::{Regex, RegexBuilder};

use super::{ToolAnswer, place};
use crate::llm::boundary;

/// Most entries or matches in one answer.
const MAX_LINES: usize = 200;
const MAX_ANSWER_CHARS: usize = 9_000;
const MAX_LINE_CHARS: usize = 300;
/// Larger files are not searched.
const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024;
const MAX_SECONDS: u64 = 20;

/// Files below `path`, with their sizes.
pub(super) fn list(root: &Path, path: Option<&str>) -> ToolAnswer {
    let start = match path.map(|path| path.trim_end_matches('/')) {
        None | Some("" | ".") => root.to_owned(),
        Some(path) => match place::place(root, path, place::Purpose::Read) {
            Ok(start) => start,
            Err(error) => return ToolAnswer::failed(error),
        },
    };
    if !start.is_dir() {
        return ToolAnswer::failed("there is no such folder");
    }
    let mut found = Found::default();
    for (name, entry) in files(root, &start) {
        let size = entry.metadata().map(|metadata| metadata.len()).unwrap_or(0);
        found.push(format!("{name} ({size} bytes)"));
    }
    found.answer("no files", "more files; name a folder to see them")
}

/// Lines that match `pattern`.
pub(super) fn search(root: &Path, pattern: &str, glob: Option<&str>) -> ToolAnswer {
    let regex = match RegexBuilder::new(pattern).size_limit(1 << 20).build() {
        Ok(regex) => regex,
        Err(error) => return ToolAnswer::failed(format!("`pattern` is not a regular expression: {error}")),
    };
    let glob = match glob.map(Glob::new).transpose() {
        Ok(glob) => glob.map(|glob| glob.compile_matcher()),
        Err(error) => return ToolAnswer::failed(format!("`glob` is not a glob: {error}")),
    };
    let until = Instant::now() + Duration::from_secs(MAX_SECONDS);
    let mut found = Found::default();
    for (name, entry) in files(root, root) {
        if Instant::now() > until {
            found.push("[the search took too long and was ended; use a glob]".to_owned());
            break;
        }
        if glob.as_ref().is_none_or(|glob| takes(glob, &name)) {
            search_file(&entry, &name, &regex, &mut found);
        }
    }
    found.answer("nothing matches", "more matches; use a narrower pattern or a glob")
}

/// A glob without a slash is for the file's name, as people write it.
fn takes(glob: &GlobMatcher, name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    glob.is_match(name) || (!glob.glob().glob().contains('/') && glob.is_match(file))
}

fn search_file(entry: &DirEntry, name: &str, regex: &Regex, found: &mut Found) {
    let mut bytes = Vec::new();
    let Ok(file) = File::open(entry.path()) else { return };
    if file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).is_err()
        || bytes.len() as u64 > MAX_FILE_BYTES
        || is_binary(&bytes)
    {
        return;
    }
    for (index, line) in String::from_utf8_lossy(&bytes).lines().enumerate() {
        if regex.is_match(line) {
            let line: String =
                boundary::without_hidden_characters(line).chars().take(MAX_LINE_CHARS).collect();
            found.push(format!("{name}:{}: {line}", index + 1));
        }
    }
}

/// As git does it: a NUL among the first 8,000 bytes.
pub(super) fn is_binary(bytes: &[u8]) -> bool {
    bytes.iter().take(8_000).any(|&byte| byte == 0)
}

/// Regular files below `start` in a stable order, with their paths from `root`. What the tree itself
/// ignores is left out, and so are git directories, installed packages and caches that mark themselves.
pub(super) fn files(root: &Path, start: &Path) -> impl Iterator<Item = (String, DirEntry)> {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let start = start.canonicalize().unwrap_or_else(|_| start.to_owned());
    let walk = WalkBuilder::new(start)
        .hidden(false)
        .parents(false)
        .git_global(false)
        .git_exclude(false)
        .require_git(false)
        .follow_links(false)
        .sort_by_file_name(|a, b| a.cmp(b))
        .filter_entry(|entry| {
            let name = entry.file_name();
            name != ".git" && name != "node_modules" && !entry.path().join("CACHEDIR.TAG").is_file()
        })
        .build();
    walk.filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
        .filter_map(move |entry| {
            let name = entry.path().strip_prefix(&root).ok()?.to_str()?.to_owned();
            Some((name, entry))
        })
}

/// Lines for an answer, up to its limits, and how many more there were.
#[derive(Default)]
struct Found {
    lines: Vec<String>,
    chars: usize,
    left_out: usize,
}

impl Found {
    fn push(&mut self, line: String) {
        let chars = line.chars().count() + 1;
        if self.left_out > 0 || self.lines.len() >= MAX_LINES || self.chars + chars > MAX_ANSWER_CHARS {
            self.left_out += 1;
            return;
        }
        self.chars += chars;
        self.lines.push(line);
    }

    fn answer(mut self, none: &str, more: &str) -> ToolAnswer {
        if self.lines.is_empty() && self.left_out == 0 {
            return ToolAnswer::done(none);
        }
        if self.left_out > 0 {
            self.lines.push(format!("[{} {more}]", self.left_out));
        }
        ToolAnswer::done(self.lines.join("\n"))
    }
}
