//! Globs over the paths of a repository, counted from its root.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::workspace::folded;

/// A glob that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{glob:?} is not a glob: {reason}")]
pub struct BadGlob {
    pub glob: String,
    pub reason: String,
}

/// Globs of which one has to match the path exactly as it is written.
#[derive(Debug, Clone)]
pub(super) struct Exact(GlobSet);

/// Globs that also match what some file system takes for the same path.
#[derive(Debug, Clone)]
pub(super) struct Loose {
    folded: GlobSet,
    /// Those with classes or escapes, whose fold may mean something else.
    written: GlobSet,
    /// For each entry of the two sets the number of its glob.
    owners: [Vec<usize>; 2],
}

impl Exact {
    pub fn new(globs: &[String]) -> Result<Self, BadGlob> {
        set(globs.iter().map(|glob| (glob.as_str(), normal(glob))), false).map(Self)
    }

    pub fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }
}

impl Loose {
    pub fn new<'a>(globs: impl Iterator<Item = &'a str> + Clone) -> Result<Self, BadGlob> {
        let special = |glob: &str| glob.contains(['[', '\\']);
        let normal = |glob: &'a str| (glob, normal(glob));
        let lower =
            |glob: &'a str| (glob, normal(glob).1.split('/').map(fold_part).collect::<Vec<_>>().join("/"));
        let owners = |wanted: bool| {
            let numbers = globs.clone().enumerate().filter(move |(_, glob)| special(glob) == wanted);
            numbers.flat_map(|(number, _)| [number; ENTRIES]).collect()
        };
        Ok(Self {
            folded: set(globs.clone().filter(|glob| !special(glob)).map(lower), false)?,
            written: set(globs.clone().filter(|glob| special(glob)).map(normal), true)?,
            owners: [owners(false), owners(true)],
        })
    }

    /// The number of the first glob that matches.
    pub fn first_match(&self, path: &str) -> Option<usize> {
        let folded = folded(path);
        let found = [self.folded.matches(&folded), self.written.matches(path), self.written.matches(&folded)];
        let [plain, special] = &self.owners;
        let owners = [plain, special, special];
        let numbers = found
            .iter()
            .zip(owners)
            .flat_map(|(found, owners)| found.iter().filter_map(|at| owners.get(*at)));
        numbers.min().copied()
    }
}

/// The fold of a path, unless the part has signs that mean something in a glob.
fn fold_part(part: &str) -> String {
    if part.contains(['*', '?', '{']) { part.to_lowercase() } else { folded(part) }
}

/// Without what says nothing: `./`, a slash at the beginning; a slash at the end means all below.
fn normal(glob: &str) -> String {
    let mut glob = glob.trim();
    while let Some(rest) = glob.strip_prefix("./").or_else(|| glob.strip_prefix('/')) {
        glob = rest;
    }
    match glob.strip_suffix('/') {
        Some(folder) => format!("{folder}/**"),
        None => glob.to_owned(),
    }
}

/// Entries of a set for each glob.
const ENTRIES: usize = 2;

/// A glob stands for what it matches, for all below that, and `folder/**` for a file or link in the
/// folder's place, too.
fn set<'a>(globs: impl Iterator<Item = (&'a str, String)>, any_case: bool) -> Result<GlobSet, BadGlob> {
    let mut set = GlobSetBuilder::new();
    for (written, glob) in globs {
        let other = match glob.strip_suffix("/**") {
            Some(folder) if !folder.is_empty() => folder.to_owned(),
            _ => format!("{glob}/**"),
        };
        for glob in [glob, other] {
            let built = GlobBuilder::new(&glob).literal_separator(true).case_insensitive(any_case).build();
            set.add(
                built.map_err(|error| BadGlob {
                    glob: written.to_owned(),
                    reason: error.kind().to_string(),
                })?,
            );
        }
    }
    set.build().map_err(|error| BadGlob { glob: String::new(), reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loose(glob: &str, path: &str) -> bool {
        Loose::new([glob].into_iter()).expect("a glob").first_match(path).is_some()
    }

    #[test]
    fn a_glob_is_counted_from_the_root_and_stands_for_all_below() {
        for (glob, path) in [
            ("a", "a"),
            ("a", "a/b/c"),
            ("a/", "a/b"),
            ("./a", "a"),
            ("/a/**", "a/b"),
            ("a/**", "a"),
            ("**/x.md", "x.md"),
            ("**/x.md", "a/b/x.md"),
            ("*.lock", "Cargo.lock"),
            ("src/*/mod.rs", "src/a/mod.rs"),
            ("{a,b}/**", "b/x"),
            ("**", "any/thing"),
        ] {
            assert!(loose(glob, path), "{glob} {path}");
            assert!(Exact::new(&[glob.to_owned()]).expect("a glob").matches(path), "{glob} {path}");
        }
        for (glob, path) in [
            ("a", "b/a"),
            ("a", "ab"),
            ("*.lock", "a/Cargo.lock"),
            ("src/*/mod.rs", "src/a/b/mod.rs"),
            ("a/**", "ab/x"),
        ] {
            assert!(!loose(glob, path), "{glob} {path}");
        }
        assert!(Exact::new(&["[".to_owned()]).is_err() && Loose::new(["{a"].into_iter()).is_err());
    }

    #[test]
    fn only_the_exact_spelling_is_allowed_and_any_is_protected() {
        for path in ["SRC/a.rs", "src./a.rs", "s\u{200d}rc/a.rs"] {
            assert!(!Exact::new(&["src/**".to_owned()]).expect("a glob").matches(path), "{path}");
            assert!(loose("src/**", path), "{path}");
            assert!(loose("SRC/**", path), "{path}");
        }
        assert!(loose("caf\u{e9}/**", "cafe\u{301}/x") && loose("CAFE\u{301}/*", "caf\u{e9}/x"));
    }

    #[test]
    fn the_first_of_several_globs_is_told() {
        let globs = ["a", "[b-c]", "**/x", "[D-E]/**", "d\\*"];
        let set = Loose::new(globs.into_iter()).expect("globs");
        for (path, number) in [
            ("A", Some(0)),
            ("c", Some(1)),
            ("B", Some(1)),
            ("q/x", Some(2)),
            ("e/q", Some(3)),
            ("D*", Some(4)),
            ("q", None),
        ] {
            assert_eq!(set.first_match(path), number, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_protected_path_escapes(
            upper in proptest::collection::vec(any::<bool>(), 32),
            hidden in proptest::collection::vec(any::<bool>(), 32),
            tail in "(\\.| ){0,3}",
        ) {
            let mut path = String::new();
            for ((c, upper), hidden) in ".github".chars().zip(upper).zip(hidden) {
                path.extend(hidden.then_some('\u{200c}'));
                path.push(if upper { c.to_ascii_uppercase() } else { c });
            }
            path.push_str(&tail);
            path.push_str("/workflows/ci.yml");
            prop_assert!(loose(".github/**", &path), "{path:?}");
        }

        #[test]
        fn a_path_is_matched_by_itself_and_by_its_folders(path in "[a-z][a-z.]{0,7}(/[a-zA-Z0-9é]{1,8}){0,3}") {
            prop_assert!(loose(&path, &path));
            if let Some((folder, _)) = path.rsplit_once('/') {
                let below = format!("{folder}/**");
                prop_assert!(loose(folder, &path));
                prop_assert!(loose(&below, &path));
            }
        }
    }
}
