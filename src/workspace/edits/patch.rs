//! Unified diffs, read as models write them: the counts in `@@` lines may be wrong, a blank context line may
//! lack its space, prose or a code fence may stand around.

use super::hunk::{Hunk, LastLine, Step, Told, Written};
use super::lines::{self, Line};
use crate::workspace::snapshot::{FileMode, RepoPath};

/// The part of a diff that is about one file.
#[derive(Debug)]
pub(super) struct FilePatch<'a> {
    /// `None`: the file is new.
    pub(super) old: Option<RepoPath>,
    /// `None`: the file is deleted.
    pub(super) new: Option<RepoPath>,
    /// Where the diff sets it.
    pub(super) mode: Option<FileMode>,
    pub(super) hunks: Vec<Hunk<'a>>,
}

const NO_LINE_FEED: &[u8] = b"\\ No newline";

pub(super) fn begins(line: &Line<'_>) -> bool {
    [&b"diff --git "[..], b"--- ", b"@@"].iter().any(|mark| line.text.starts_with(mark))
}

pub(super) fn parse(diff: &str) -> Result<Vec<FilePatch<'_>>, String> {
    let lines = lines::split(diff.as_bytes());
    let mut reader = Reader { lines: &lines, at: 0, fenced: false };
    let mut patches = Vec::new();
    let mut header = Header::default();
    while let Some(line) = reader.peek() {
        if line.text.starts_with(b"```") {
            reader.fenced = !reader.fenced;
            reader.at += 1;
            continue;
        }
        if let Some(names) = line.text.strip_prefix(b"diff --git ") {
            patches.extend(header.into_patch_without_hunks()?);
            header = Header { both: name_of_both(names), ..Header::default() };
            reader.at += 1;
        } else if reader.at_file_names() {
            header.old = Some(side(&reader.lines[reader.at], "--- ")?);
            header.new = Some(side(&reader.lines[reader.at + 1], "+++ ")?);
            reader.at += 2;
            let hunks = reader.hunks();
            patches.push(std::mem::take(&mut header).into_patch(hunks)?);
        } else if line.text.starts_with(b"@@") {
            return Err(format!(
                "line {} of the diff begins a block, but no `--- a/…` and `+++ b/…` lines before it name the file.",
                reader.at + 1
            ));
        } else if line.text.starts_with(b"+") && !patches.is_empty() {
            return Err(format!(
                "line {} of the diff, `{}`, belongs to no block: a line without a space, `+` or `-` before it ended the one \
                 above.",
                reader.at + 1,
                super::nearest::shown(line.text)
            ));
        } else {
            header.read(line)?;
            reader.at += 1;
        }
    }
    patches.extend(header.into_patch_without_hunks()?);
    if patches.is_empty() {
        return Err(
            "it is no unified diff: `--- a/path` and `+++ b/path` lines must name the file, and `@@` lines \
                    must begin each block."
                .to_owned(),
        );
    }
    Ok(patches)
}

/// What stands before the blocks of a file.
#[derive(Debug, Default)]
struct Header {
    /// As written; `/dev/null` for none.
    old: Option<String>,
    new: Option<String>,
    /// The name in the `diff --git` line, where both sides have the same.
    both: Option<String>,
    renamed: Option<(String, Option<String>)>,
    mode: Option<FileMode>,
    existence: Existence,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Existence {
    #[default]
    Stays,
    Begins,
    Ends,
}

impl Header {
    fn read(&mut self, line: &Line<'_>) -> Result<(), String> {
        let text = String::from_utf8_lossy(line.text);
        if let Some(path) = text.strip_prefix("rename from ") {
            self.renamed = Some((unquoted(path), None));
        } else if let (Some(path), Some((_, to))) = (text.strip_prefix("rename to "), &mut self.renamed) {
            *to = Some(unquoted(path));
        } else if let Some(mode) = text.strip_prefix("new file mode ") {
            self.existence = Existence::Begins;
            self.mode = file_mode(mode)?;
        } else if let Some(mode) = text.strip_prefix("new mode ") {
            self.mode = file_mode(mode)?;
        } else if text.starts_with("deleted file mode ") {
            self.existence = Existence::Ends;
        } else if text.starts_with("GIT binary patch") || text.starts_with("Binary files ") {
            return Err("it changes a file that is not text, which a diff cannot do here.".to_owned());
        }
        Ok(())
    }

    fn into_patch(self, hunks: Vec<Hunk<'_>>) -> Result<FilePatch<'_>, String> {
        let (old, new) = (self.old.unwrap_or_default(), self.new.unwrap_or_default());
        let (old, new) = without_prefixes(&old, &new);
        let path = |name: &str| match name {
            "/dev/null" => Ok(None),
            name => RepoPath::parse(name).map(Some).map_err(|error| error.to_string()),
        };
        Ok(FilePatch { old: path(old)?, new: path(new)?, mode: self.mode, hunks })
    }

    /// A rename, a new mode and an empty file have no blocks.
    fn into_patch_without_hunks<'a>(self) -> Result<Option<FilePatch<'a>>, String> {
        let path = |name: &str| RepoPath::parse(name).map(Some).map_err(|error| error.to_string());
        let (old, new) = match (&self.renamed, &self.both, self.existence) {
            (Some((from, Some(to))), _, _) => (path(from)?, path(to)?),
            (_, Some(name), Existence::Begins) => (None, path(name)?),
            (_, Some(name), Existence::Ends) => (path(name)?, None),
            (_, Some(name), Existence::Stays) if self.mode.is_some() => (path(name)?, path(name)?),
            _ => return Ok(None),
        };
        Ok(Some(FilePatch { old, new, mode: self.mode, hunks: Vec::new() }))
    }
}

/// The mode in a diff's header; `None` where the line is prose.
fn file_mode(mode: &str) -> Result<Option<FileMode>, String> {
    match mode.trim() {
        "100644" => Ok(Some(FileMode::Regular)),
        "100755" => Ok(Some(FileMode::Executable)),
        other if other.len() == 6 && other.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(format!("it makes something of mode {other}, which is no file."))
        }
        _ => Ok(None),
    }
}

/// The name in `a/NAME b/NAME`.
fn name_of_both(names: &[u8]) -> Option<String> {
    let names = str::from_utf8(names).ok()?.strip_prefix("a/")?;
    let name = names.get(..names.len().checked_sub(3)? / 2)?;
    (names.get(name.len()..)? == format!(" b/{name}")).then(|| name.to_owned())
}

/// The name in a `---` or `+++` line.
fn side(line: &Line<'_>, mark: &str) -> Result<String, String> {
    let text = str::from_utf8(line.text).map_err(|_| "a file's name in the diff is not UTF-8.".to_owned())?;
    let name = text.strip_prefix(mark).unwrap_or(text);
    // A time may follow after a tab.
    Ok(unquoted(name.split('\t').next().unwrap_or(name)))
}

/// Takes `a/` and `b/` away where both sides have them.
fn without_prefixes<'n>(old: &'n str, new: &'n str) -> (&'n str, &'n str) {
    let null = "/dev/null";
    let strip = |name: &'n str, prefix| if name == null { Some(name) } else { name.strip_prefix(prefix) };
    match (strip(old, "a/"), strip(new, "b/")) {
        (Some(old), Some(new)) => (old, new),
        _ => (old, new),
    }
}

/// A name that git put in quotes (core.quotePath), or as it stands.
fn unquoted(name: &str) -> String {
    let name = name.trim_end();
    let Some(inner) = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) else {
        return name.to_owned();
    };
    let mut bytes = Vec::new();
    let mut rest = inner.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'n') => bytes.push(b'\n'),
            Some(b't') => bytes.push(b'\t'),
            Some(first @ b'0'..=b'3') => {
                let digits = [first, rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                bytes.push(
                    digits.iter().fold(0u8, |value, digit| {
                        value.wrapping_mul(8).wrapping_add(digit.wrapping_sub(b'0'))
                    }),
                );
            }
            Some(other) => bytes.push(other),
            None => {}
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Reader<'l, 'a> {
    lines: &'l [Line<'a>],
    at: usize,
    /// Inside of a code fence, which ends the diff with it.
    fenced: bool,
}

impl<'a> Reader<'_, 'a> {
    fn peek(&self) -> Option<&Line<'a>> {
        self.lines.get(self.at)
    }

    fn starts(&self, at: usize, mark: &[u8]) -> bool {
        self.lines.get(at).is_some_and(|line| line.text.starts_with(mark))
    }

    fn at_file_names(&self) -> bool {
        self.starts(self.at, b"--- ") && self.starts(self.at + 1, b"+++ ")
    }

    fn hunks(&mut self) -> Vec<Hunk<'a>> {
        let mut hunks = Vec::new();
        while self.starts(self.at, b"@@") {
            let mut head = Head::read(self.lines[self.at].text);
            self.at += 1;
            let body = self.counted(&head).unwrap_or_else(|| self.uncounted(&head));
            self.at += body.taken;
            hunks.extend(body.into_hunk(&mut head));
        }
        hunks
    }

    /// The body as its head counts it, if what follows is then a new part or the end.
    fn counted(&self, head: &Head<'_>) -> Option<Body<'a>> {
        let (mut old, mut new) = head.counts?;
        let mut body = Body::new();
        while old > 0 || new > 0 {
            let line = self.lines.get(self.at + body.taken)?;
            let step = body.take(line)?;
            old = old.checked_sub(usize::from(step.is_some_and(|step| step != Step::Add)))?;
            new = new.checked_sub(usize::from(step.is_some_and(|step| step != Step::Remove)))?;
        }
        if let Some(line) =
            self.lines.get(self.at + body.taken).filter(|line| line.text.starts_with(NO_LINE_FEED))
        {
            body.take(line)?;
        }
        self.ends_at(self.at + body.taken).then_some(body)
    }

    /// The body up to the next part, whatever its head says.
    fn uncounted(&self, head: &Head<'_>) -> Body<'a> {
        let mut body = Body::new();
        while let Some(line) = self.lines.get(self.at + body.taken) {
            if self.is_part(self.at + body.taken) {
                break;
            }
            body.take_any(line);
        }
        body.drop_blank_end(head.counts.map(|(old, _)| old));
        body
    }

    /// Whether only blank lines stand before the next part or the end.
    fn ends_at(&self, at: usize) -> bool {
        let next = (at..self.lines.len()).find(|at| !self.lines[*at].is_blank());
        next.is_none_or(|at| self.is_part(at))
    }

    /// Whether a new block or file begins here, or the diff is over.
    fn is_part(&self, at: usize) -> bool {
        let Some(line) = self.lines.get(at) else { return true };
        let marks: [&[u8]; 2] = [b"@@", b"diff --git "];
        // `-- ` stands before the signature of a mailed patch.
        (self.fenced && line.text.trim_ascii_end() == b"```")
            || marks.iter().any(|mark| line.text.starts_with(mark))
            || line.text == b"-- "
            || (self.starts(at, b"--- ") && self.starts(at + 1, b"+++ ") && self.starts(at + 2, b"@@"))
    }
}

/// What an `@@` line says, as far as it says anything.
#[derive(Default)]
pub(super) struct Head<'a> {
    pub(super) old_start: Option<usize>,
    counts: Option<(usize, usize)>,
    /// Where there are no numbers: the line that the block stands below.
    pub(super) headings: Vec<&'a [u8]>,
    pub(super) at_end: bool,
}

impl<'a> Head<'a> {
    pub(super) fn read(line: &'a [u8]) -> Self {
        let text = String::from_utf8_lossy(line);
        let mut parts = text.trim_start_matches('@').split_whitespace();
        let mut range = |mark: char| -> Option<(usize, usize)> {
            let part = parts.next()?.strip_prefix(mark)?;
            let (start, count) = part.split_once(',').unwrap_or((part, "1"));
            Some((start.parse().ok()?, count.parse().ok()?))
        };
        let (old, new) = (range('-'), range('+'));
        let counts = old.zip(new).map(|(old, new)| (old.1, new.1));
        let heading = line.strip_prefix(b"@@").unwrap_or(line).trim_ascii();
        let heading = heading.strip_suffix(b"@@").unwrap_or(heading).trim_ascii();
        let is_heading = old.is_none() && heading.iter().any(u8::is_ascii_alphanumeric);
        let headings = if is_heading { vec![heading] } else { Vec::new() };
        Self { old_start: old.map(|(start, _)| start), counts, headings, at_end: false }
    }
}

pub(super) struct Body<'a> {
    steps: Vec<(Step, Line<'a>)>,
    last_line: LastLine,
    /// How many lines of the diff it took.
    taken: usize,
    /// How many of the last lines were blank even of their space.
    bare: usize,
}

impl<'a> Body<'a> {
    pub(super) fn new() -> Self {
        Self { steps: Vec::new(), last_line: LastLine::AsItIs, taken: 0, bare: 0 }
    }

    /// Takes a line in: `None` if it is no line of a body, `Some(None)` if it is a remark on the one before.
    fn take(&mut self, line: &Line<'a>) -> Option<Option<Step>> {
        let step = match line.text.first() {
            Some(b' ') => Step::Keep,
            Some(b'-') => Step::Remove,
            Some(b'+') => Step::Add,
            None => Step::Keep,
            Some(b'\\') => {
                let (_, last) = self.steps.last_mut()?;
                last.ending = b"";
                self.last_line = LastLine::AsWritten;
                self.taken += 1;
                return Some(None);
            }
            Some(_) => return None,
        };
        self.bare = if line.text.is_empty() { self.bare + 1 } else { 0 };
        let text = line.text.get(1..).unwrap_or_default();
        // The diff's own end is no line's end.
        let ending = if line.ending.is_empty() { b"\n" } else { line.ending };
        self.steps.push((step, Line { text, ending }));
        self.taken += 1;
        Some(Some(step))
    }

    /// Takes a line in, one without a mark as a line of context that lost it.
    pub(super) fn take_any(&mut self, line: &Line<'a>) {
        if self.take(line).is_none() {
            let ending = if line.ending.is_empty() { b"\n" } else { line.ending };
            self.steps.push((Step::Keep, Line { text: line.text, ending }));
            self.taken += 1;
            self.bare = 0;
        }
    }

    /// The block, and nothing if there are no lines. What the head says is used up with it.
    pub(super) fn into_hunk(self, head: &mut Head<'a>) -> Option<Hunk<'a>> {
        if self.steps.is_empty() {
            return None;
        }
        let Head { old_start, headings, at_end, .. } = std::mem::take(head);
        let told = Told { line: old_start.map(|start| start.saturating_sub(1)), headings, at_end };
        Some(Hunk { steps: self.steps, told, last_line: self.last_line, written: Written::AsDiff })
    }

    /// Takes blank lines at the end for space between the parts of a diff, as far as they are more than the
    /// head counts.
    fn drop_blank_end(&mut self, counted: Option<usize>) {
        let before = |steps: &[(Step, Line<'_>)]| steps.iter().filter(|(step, _)| *step != Step::Add).count();
        while self.bare > 0 && counted.is_none_or(|counted| before(&self.steps) > counted) {
            self.steps.pop();
            self.bare -= 1;
        }
    }
}
