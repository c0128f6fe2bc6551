//! Names as other file systems see them: which of two names are one there, and which cannot be written.

use unicode_normalization::UnicodeNormalization;

use super::snapshot::RepoPath;

/// A path as a file system compares it that ignores case, Unicode's forms, characters that nobody sees and
/// dots and spaces at a name's end (APFS and HFS+, NTFS). Equal folds can be one file there.
pub fn folded(path: &str) -> String {
    let parts = path.split('/').map(|part| {
        // Lower case can bring marks that compose, and the other way round: once more makes it stable.
        let seen: String =
            part.nfkc().filter(|c| !is_ignored(*c)).flat_map(char::to_lowercase).nfkc().collect();
        let stream = seen.split(':').next().unwrap_or_default();
        stream.trim_end_matches(['.', ' ']).to_owned()
    });
    parts.collect::<Vec<_>>().join("/")
}

/// What HFS+ leaves out of a comparison (`next_hfs_char` in git's utf8.c).
pub(super) fn is_ignored(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// Why a new file may not have this name, if so: somebody could not check it out, or would get another file
/// than the one shown.
pub(super) fn fault(path: &RepoPath) -> Option<&'static str> {
    path.as_str().split('/').find_map(part_fault)
}

fn part_fault(part: &str) -> Option<&'static str> {
    if part.chars().any(|c| matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*')) {
        return Some("Windows cannot write a name with one of < > : \" | ? *");
    }
    if part.ends_with(['.', ' ']) {
        return Some("Windows takes dots and spaces from the end of a name");
    }
    if part.chars().any(is_ignored) {
        return Some("it has a character that nobody sees");
    }
    if is_reserved(part) {
        return Some("Windows keeps the name for a device");
    }
    if is_short_git_name(part) {
        return Some("on Windows it is another name of one of git's own files");
    }
    None
}

/// CON, PRN, AUX, NUL, COM1 to COM9 and LPT1 to LPT9, with any extension (Microsoft: "Naming Files").
fn is_reserved(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    if matches!(stem.as_str(), "con" | "prn" | "aux" | "nul" | "conin$" | "conout$") {
        return true;
    }
    let digit = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    digit.is_some_and(|digit| {
        let mut chars = digit.chars();
        matches!((chars.next(), chars.next()), (Some('1'..='9' | '¹' | '²' | '³'), None))
    })
}

/// Names that git reads itself: a link in their place would be followed on some machine (git's fsck refuses
/// it: `gitmodulesSymlink`, `gitattributesSymlink`, `gitignoreSymlink`, `mailmapSymlink`).
pub(super) fn is_git_file(path: &RepoPath) -> bool {
    let name = folded(path.as_str());
    let name = name.rsplit('/').next().unwrap_or_default();
    matches!(name, ".gitmodules" | ".gitattributes" | ".gitignore" | ".mailmap") || is_short_git_name(name)
}

/// The 8.3 names of git's files on NTFS, `git~1` itself being refused everywhere (`is_ntfs_dotgit` and
/// `is_ntfs_dot_generic` in git's path.c).
fn is_short_git_name(part: &str) -> bool {
    let name = part.to_ascii_lowercase();
    let Some((stem, number)) = name.split_once('~') else { return false };
    let numbered = number.starts_with(|c: char| matches!(c, '1'..='9')) && number.len() == 1;
    let hashed = ["gi7eb", "gi7d2", "gi250", "maba3"].iter().any(|hash| stem.starts_with(hash));
    numbered && (matches!(stem, "git" | "gitmod" | "gitatt" | "gitign" | "mailma") || hashed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_of_a_forgiving_file_system_has_one_fold() {
        for (one, other) in [
            ("README.md", "readme.MD"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("CAF\u{c9}/x", "cafe\u{301}/X"),
            ("a/b. ", "a/b"),
            (".g\u{200d}ithub/x", ".github/x"),
            ("file::$DATA", "file"),
            ("\u{212a}elvin", "kelvin"),
        ] {
            assert_eq!(folded(one), folded(other), "{one:?} {other:?}");
        }
        for (one, other) in [("a/b", "ab"), ("a", "b"), ("caf\u{e9}", "cafe"), ("a.b", "ab")] {
            assert_ne!(folded(one), folded(other), "{one:?} {other:?}");
        }
    }

    #[test]
    fn names_that_some_machine_cannot_write_have_a_fault() {
        for path in [
            "aux",
            "src/NUL.txt",
            "com1",
            "Lpt9.log",
            "a:b",
            "what?",
            "dir./x",
            "x ",
            "gitmod~1",
            "a/GIT~2",
            "in\u{200d}visible",
            "com\u{b9}",
        ] {
            let path = RepoPath::parse(path).expect(path);
            assert!(fault(&path).is_some(), "{path} was taken");
        }
        for path in
            ["auxiliary.rs", "console/a", "com10", "lpt.txt", "null", "a~1", "gitmodel~b", "日本.md", "a.b c"]
        {
            let path = RepoPath::parse(path).expect(path);
            assert_eq!(fault(&path), None, "{path}");
        }
    }
}
