//! Reading, and the way of each request to what carries it out.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use super::edit;
use super::place::{Purpose, place};
use super::search;
use super::{ToolAnswer, ToolRequest};
use crate::llm::boundary;

/// Larger files are neither read nor written.
pub(super) const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024;
/// Longest answer to a reading, in characters; whole lines.
const MAX_READ_CHARS: usize = 9_000;
const MAX_LINE_CHARS: usize = 2_000;

/// Carries out a request on the files below `root`. A command is refused: it belongs to the sandbox.
pub fn execute(root: &Path, request: &ToolRequest) -> ToolAnswer {
    let done = match request {
        ToolRequest::List { path } => return search::list(root, path.as_deref()),
        ToolRequest::Search { pattern, glob } => return search::search(root, pattern, glob.as_deref()),
        ToolRequest::Read { path, start, end } => read(root, path, *start, *end),
        ToolRequest::Together { edits } => edit::edit(root, edits),
        one if one.is_edit() => edit::edit(root, std::slice::from_ref(one)),
        _ => Err("commands are run by the sandbox, not by the file tools".to_owned()),
    };
    done.map_or_else(ToolAnswer::failed, ToolAnswer::done)
}

/// The text of a file; an error for what is no text of a bearable size.
fn text_of(root: &Path, path: &str) -> Result<String, String> {
    let place = place(root, path, Purpose::Read)?;
    let metadata = fs::metadata(&place).map_err(|_| format!("there is no file {path}"))?;
    if metadata.is_dir() {
        return Err(format!("{path} is a folder: use list_files"));
    }
    if !metadata.is_file() {
        return Err(format!("{path} is neither a file nor a folder"));
    }
    let mut bytes = Vec::new();
    let file = File::open(&place).map_err(|error| format!("{path}: {error}"))?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| format!("{path}: {error}"))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("{path} is larger than {MAX_FILE_BYTES} bytes"));
    }
    if search::is_binary(&bytes) {
        return Err(format!("{path} is a binary file of {} bytes", bytes.len()));
    }
    String::from_utf8(bytes).map_err(|_| format!("{path} is not UTF-8 text"))
}

fn read(root: &Path, path: &str, start: Option<u32>, end: Option<u32>) -> Result<String, String> {
    let text = text_of(root, path)?;
    let hidden = boundary::hidden_characters(&text);
    let total = text.lines().count();
    let start = start.unwrap_or(1).max(1) as usize;
    let end = end.map_or(total, |end| end as usize).min(total);
    if total == 0 {
        return Ok(format!("{path} is empty"));
    }
    if start > end {
        return Err(format!("{path} has {total} lines; {start} to {end} is no range of them"));
    }
    let (lines, last) = numbered(&text, start, end);
    let mut head = format!("{path}, lines {start}-{last} of {total}");
    if last < end {
        head.push_str(&format!("; read on from line {}", last + 1));
    }
    if hidden > 0 {
        head.push_str(&format!("; {hidden} hidden characters of the file are not shown"));
    }
    Ok(format!("{head}\n{lines}"))
}

/// Lines `start..=end` with their numbers, as many as fit, and the last one that did.
pub(super) fn numbered(text: &str, start: usize, end: usize) -> (String, usize) {
    let mut shown = String::new();
    let mut last = start;
    for (index, line) in text.lines().enumerate().skip(start - 1).take(end + 1 - start) {
        let line = boundary::without_hidden_characters(line);
        let cut: String = line.chars().take(MAX_LINE_CHARS).collect();
        let mark = if cut.len() < line.len() { " [the line goes on]" } else { "" };
        let row = format!("{:>5}\t{cut}{mark}\n", index + 1);
        if !shown.is_empty() && shown.chars().count() + row.chars().count() > MAX_READ_CHARS {
            break;
        }
        shown.push_str(&row);
        last = index + 1;
    }
    (shown, last)
}
