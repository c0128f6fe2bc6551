//! Copying result files out of a session.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::sandbox::{Command, Session};
use crate::workspace::{RepoPath, Snapshot};

/// Files, bytes of one and bytes of all that are read of one gate.
const FILES: usize = 32;
const FILE_BYTES: usize = 4 << 20;
const ALL_BYTES: usize = 12 << 20;
/// Bytes that one command prints: as base64 less than what is kept of its output.
const PIECE: usize = 480 << 10;

/// Names by which tools write results, in the words of `find`.
const NAMES: &[&str] = &[
    "*.sarif",
    "*.sarif.json",
    "*junit*.xml",
    "TEST-*.xml",
    "test-results*.xml",
    "nosetests.xml",
    "rspec.xml",
    "lcov.info",
    "*.lcov",
    "coverage.xml",
    "*cobertura*.xml",
];

/// The result files in a session's tree that its gate wrote: those that are not in the tree as it was. A
/// session that answers with anything unexpected has none.
pub(in crate::gates) async fn collect(session: &dyn Session, tree: &Snapshot) -> Vec<Vec<u8>> {
    let mut left = ALL_BYTES;
    let mut files = vec![];
    for (path, size) in listed(session).await {
        if files.len() >= FILES || size > left.min(FILE_BYTES) {
            continue;
        }
        let Some(bytes) = read(session, &path, size).await else { continue };
        let known = RepoPath::parse(path.as_str()).ok().and_then(|path| tree.files.get(&path));
        if known.is_none_or(|entry| entry.bytes != bytes) {
            left -= size;
            files.push(bytes);
        }
    }
    files
}

async fn listed(session: &dyn Session) -> Vec<(String, usize)> {
    let mut argv =
        ["find", ".", "-xdev", "-type", "f", "-size", "-8193k", "-not", "-path", "*/node_modules/*", "("]
            .map(str::to_owned)
            .to_vec();
    for (at, name) in NAMES.iter().enumerate() {
        if at > 0 {
            argv.push("-o".into());
        }
        argv.extend(["-name".to_owned(), (*name).to_owned()]);
    }
    argv.extend([")", "-printf", "%s %P\\n"].map(str::to_owned));
    let Ok(outcome) = session.run(&Command::new(argv)).await else { return vec![] };
    if outcome.limit.is_some() || outcome.stdout.cut_bytes() > 0 {
        return vec![];
    }
    let text = outcome.stdout.text();
    let mut files: Vec<(String, usize)> = text
        .lines()
        .filter_map(|line| {
            let (size, path) = line.split_once(' ')?;
            Some((path.to_owned(), size.parse().ok()?))
        })
        .collect();
    files.sort();
    files
}

async fn read(session: &dyn Session, path: &str, size: usize) -> Option<Vec<u8>> {
    const SCRIPT: &str = "tail -c +\"$2\" -- \"./$1\" | head -c \"$3\" | base64 -w 0";
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        let (from, piece) = ((bytes.len() + 1).to_string(), PIECE.to_string());
        let command = Command::new(["sh", "-c", SCRIPT, "sh", path, &from, &piece]);
        let outcome = session.run(&command).await.ok()?;
        let read = STANDARD.decode(outcome.stdout.text().trim()).ok()?;
        if !outcome.succeeded() || read.is_empty() {
            return None;
        }
        bytes.extend(read);
    }
    Some(bytes)
}
