//! The `apply_patch` format of OpenAI's models: `*** Begin Patch`, sections that add, delete, update and move files,
//! and blocks without line numbers (grammar: codex-rs/apply-patch in github.com/openai/codex).

use super::format::FileChange;
use super::hunk::Hunk;
use super::lines::{self, Line};
use super::nearest::shown;
use super::patch::{Body, FilePatch, Head};
use crate::workspace::snapshot::RepoPath;

const ADD: &str = "*** Add File:";
const DELETE: &str = "*** Delete File:";
const UPDATE: &str = "*** Update File:";
const MOVE: &str = "*** Move to:";
const BEGIN: &[u8] = b"*** Begin Patch";
const END: &[u8] = b"*** End Patch";
const END_OF_FILE: &[u8] = b"*** End of File";

pub(super) fn begins(line: &Line<'_>) -> bool {
    line.text.trim_ascii() == BEGIN
        || [ADD, DELETE, UPDATE].iter().any(|mark| line.text.starts_with(mark.as_bytes()))
}

pub(super) fn parse(text: &str) -> Result<Vec<FileChange<'_>>, String> {
    let lines = lines::split(text.as_bytes());
    let start = lines.iter().position(begins).unwrap_or(lines.len());
    let mut reader = Reader { lines: &lines, at: start };
    let mut changes = Vec::new();
    while let Some(line) = reader.next() {
        if line.text.trim_ascii() == END {
            break;
        }
        if let Some(path) = named(line, ADD)? {
            changes.push(FileChange::Write { path, content: reader.content()? });
        } else if let Some(path) = named(line, DELETE)? {
            changes.push(FileChange::Delete { path });
        } else if let Some(path) = named(line, UPDATE)? {
            changes.push(FileChange::Patch(reader.update(path)?));
        } else if line.text.trim_ascii() != BEGIN && !line.is_blank() {
            return Err(format!(
                "line {} of the patch, `{}`, belongs to no file: `{UPDATE} path`, `{ADD} path` or `{DELETE} path` must \
                 stand before it.",
                reader.at,
                shown(line.text)
            ));
        }
    }
    if changes.is_empty() {
        return Err(format!(
            "the patch changes nothing: `{UPDATE} path`, `{ADD} path` or `{DELETE} path` must follow."
        ));
    }
    Ok(changes)
}

/// The path behind a mark.
fn named(line: &Line<'_>, mark: &str) -> Result<Option<RepoPath>, String> {
    let Some(path) = line.text.strip_prefix(mark.as_bytes()) else { return Ok(None) };
    let path =
        str::from_utf8(path).map_err(|_| "a file's name in the patch is not UTF-8.".to_owned())?.trim();
    RepoPath::parse(path.strip_prefix("./").unwrap_or(path)).map(Some).map_err(|error| error.to_string())
}

struct Reader<'l, 'a> {
    lines: &'l [Line<'a>],
    at: usize,
}

impl<'l, 'a> Reader<'l, 'a> {
    fn next(&mut self) -> Option<&'l Line<'a>> {
        let line = self.lines.get(self.at)?;
        self.at += 1;
        Some(line)
    }

    /// The lines up to the next section.
    fn section(&mut self) -> &'l [Line<'a>] {
        let start = self.at;
        while self.lines.get(self.at).is_some_and(|line| !is_section(line)) {
            self.at += 1;
        }
        &self.lines[start..self.at]
    }

    /// The lines of a new file, each behind a `+`; or none of them.
    fn content(&mut self) -> Result<String, String> {
        let start = self.at;
        let mut lines = self.section();
        while let Some((_, rest)) = lines.split_last().filter(|(last, _)| last.is_blank()) {
            lines = rest;
        }
        let marked = lines.iter().filter(|line| line.text.starts_with(b"+")).count();
        let filled = lines.iter().filter(|line| !line.is_blank()).count();
        let mut content = Vec::new();
        for (line, number) in lines.iter().zip(start + 1..) {
            let text = match line.text.strip_prefix(b"+") {
                Some(text) if marked == filled => text,
                None if marked == 0 || line.is_blank() => line.text,
                Some(_) => continue,
                None => {
                    return Err(format!(
                        "each line of a new file must begin with `+`, but line {number} of the patch, `{}`, does not.",
                        shown(line.text)
                    ));
                }
            };
            content.extend_from_slice(text);
            content.extend_from_slice(if line.ending.is_empty() { b"\n" } else { line.ending });
        }
        String::from_utf8(content).map_err(|_| "the new file is not UTF-8.".to_owned())
    }

    fn update(&mut self, path: RepoPath) -> Result<FilePatch<'a>, String> {
        let mut new = path.clone();
        if let Some(line) = self.lines.get(self.at)
            && let Some(moved) = named(line, MOVE)?
        {
            new = moved;
            self.at += 1;
        }
        let mut hunks: Vec<Hunk<'a>> = Vec::new();
        let mut head = Head::default();
        let mut body = Body::new();
        for line in self.section() {
            if line.text.starts_with(b"@@") {
                // Heads that follow each other lead from the outer to the inner.
                hunks.extend(std::mem::replace(&mut body, Body::new()).into_hunk(&mut head));
                let next = Head::read(line.text);
                head.headings.extend(next.headings);
                head.old_start = next.old_start.or(head.old_start);
            } else if line.text.trim_ascii() == END_OF_FILE {
                head.at_end = true;
                hunks.extend(std::mem::replace(&mut body, Body::new()).into_hunk(&mut head));
            } else {
                body.take_any(line);
            }
        }
        hunks.extend(body.into_hunk(&mut head));
        // What is only added, and nowhere said where, comes to the end.
        for hunk in &mut hunks {
            hunk.told.at_end |= hunk.only_adds() && hunk.told.headings.is_empty();
        }
        if hunks.is_empty() && new == path {
            return Err(format!(
                "the part about {path} changes nothing: its lines must begin with a space, `-` or `+`."
            ));
        }
        Ok(FilePatch { old: Some(path), new: Some(new), mode: None, hunks })
    }
}

fn is_section(line: &Line<'_>) -> bool {
    let text = line.text;
    text.trim_ascii_end() == END || [ADD, DELETE, UPDATE].iter().any(|mark| text.starts_with(mark.as_bytes()))
}
