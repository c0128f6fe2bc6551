//! What a repository's maintainers write for those who work in it: `AGENTS.md` and its like, from the base branch,
//! so that a change cannot instruct whoever goes on with it.

use std::collections::BTreeSet;

use crate::llm::boundary::{PromptText, Written};
use crate::workspace::{FileMode, RepoPath, Snapshot};

/// For the whole repository, in the order of precedence; what says the same as one before is told once.
const ROOT: [&str; 3] = ["AGENTS.md", "CLAUDE.md", ".github/copilot-instructions.md"];
/// For a folder and what is below it (agents.md).
const NESTED: &str = "AGENTS.md";
const MOST_FILES: usize = 8;
const FILE_MAX_CHARS: usize = 12_000;
const ALL_MAX_CHARS: usize = 30_000;
/// Links to links that are followed.
const MOST_LINKS: usize = 4;
/// Longer files are no instructions.
const MAX_BYTES: usize = 1 << 20;

/// The instructions that hold for files which a task will probably touch. Empty where there are none.
pub(super) fn instructions(base: &Snapshot, likely: &[String]) -> PromptText {
    let mut texts: Vec<PromptText> = Vec::new();
    let (mut seen, mut places) = (BTreeSet::new(), BTreeSet::new());
    let mut left = ALL_MAX_CHARS;
    for path in paths(likely) {
        if texts.len() >= MOST_FILES || left == 0 {
            break;
        }
        let Some((place, text)) = resolved(base, &path, 0) else { continue };
        let same = !places.insert(place) | !seen.insert(text.trim().to_owned());
        if same || text.trim().is_empty() {
            continue;
        }
        let most = FILE_MAX_CHARS.min(left);
        left -= text.chars().count().min(most);
        texts.push(PromptText::data(&format!("the maintainers' {path}"), &text, Written::ForPeople, most));
    }
    PromptText::joined(texts, "\n")
}

/// Where instructions may be: for all, then for each folder on the way to a likely file.
fn paths(likely: &[String]) -> Vec<String> {
    let mut paths: Vec<String> = ROOT.map(str::to_owned).to_vec();
    for file in likely {
        let folders = file.match_indices('/').map(|(end, _)| &file[..end]);
        for folder in folders.filter(|folder| !folder.is_empty()) {
            let path = format!("{folder}/{NESTED}");
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    paths
}

/// A file's text and where it really is.
fn resolved(base: &Snapshot, path: &str, links: usize) -> Option<(RepoPath, String)> {
    let place = RepoPath::parse(path).ok()?;
    let entry = base.files.get(&place)?;
    if entry.bytes.len() > MAX_BYTES {
        return None;
    }
    let text = String::from_utf8(entry.bytes.to_vec()).ok()?;
    if entry.mode != FileMode::Symlink {
        return Some((place, text));
    }
    if links >= MOST_LINKS {
        return None;
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    resolved(base, &joined(folder, &text)?, links + 1)
}

/// A link's target from the root. `None`: it leads out.
fn joined(folder: &str, target: &str) -> Option<String> {
    if target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::FileEntry;

    fn tree(files: &[(&str, &str, FileMode)]) -> Snapshot {
        let entry = |text: &str, mode| FileEntry { mode, bytes: text.as_bytes().into() };
        let files = files
            .iter()
            .map(|&(path, text, mode)| (RepoPath::parse(path).expect("a path"), entry(text, mode)));
        Snapshot { files: files.collect() }
    }

    const FILE: FileMode = FileMode::Regular;
    const LINK: FileMode = FileMode::Symlink;

    #[test]
    fn each_instruction_is_told_once_fenced_and_nearest_last() {
        let tree = tree(&[
            ("AGENTS.md", "Use tabs.", FILE),
            ("CLAUDE.md", "AGENTS.md", LINK),
            (".github/copilot-instructions.md", "Use tabs.\n", FILE),
            ("src/core/AGENTS.md", "No panics.", FILE),
            ("src/AGENTS.md", "../docs/code.md", LINK),
            ("docs/code.md", "Short functions.", FILE),
            ("web/AGENTS.md", "Not for this.", FILE),
        ]);
        let likely = ["src/core/lib.rs", "src/core/a/b.rs", "README.md"].map(str::to_owned);
        let text = instructions(&tree, &likely).into_string();
        assert_eq!(
            text,
            "<data name=\"the maintainers' AGENTS.md\">\nUse tabs.\n</data>\n\
             <data name=\"the maintainers' src/AGENTS.md\">\nShort functions.\n</data>\n\
             <data name=\"the maintainers' src/core/AGENTS.md\">\nNo panics.\n</data>"
        );
    }

    #[test]
    fn links_that_lead_out_or_in_circles_and_what_is_no_text_are_nothing() {
        let tree = tree(&[
            ("AGENTS.md", "/etc/passwd", LINK),
            ("CLAUDE.md", "../../secret", LINK),
            (".github/copilot-instructions.md", "copilot-instructions.md", LINK),
            ("src/AGENTS.md", "  \n", FILE),
        ]);
        assert_eq!(instructions(&tree, &["src/a.rs".to_owned()]).as_str(), "");
    }

    #[test]
    fn what_is_hidden_is_gone_and_what_is_long_is_cut() {
        let long = format!("Begin.<!-- obey -->\u{E0041}{}", "x".repeat(2 * ALL_MAX_CHARS));
        let tree = tree(&[("AGENTS.md", &long, FILE), ("CLAUDE.md", &format!("2 {long}"), FILE)]);
        let text = instructions(&tree, &[]).into_string();
        assert!(!text.contains("obey") && !text.contains('\u{E0041}'));
        assert!(text.chars().count() < ALL_MAX_CHARS + 1_000, "{}", text.chars().count());
        assert_eq!(text.matches("characters left out").count(), 2);
    }
}
