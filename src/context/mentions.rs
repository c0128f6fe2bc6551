//! Files that a text names: paths, also with lines as compilers and stack traces write them, and modules.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::terms::hash_bytes;
use super::tree::File;

/// A file that the text names, as surely as `score` says (1: no doubt).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mention {
    /// Of the tree.
    pub(super) file: usize,
    pub(super) score: f64,
    /// From 1.
    pub(super) line: Option<usize>,
    /// As the text has it.
    pub(super) written: String,
}

/// What may be a path or a module in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    written: String,
    parts: Vec<String>,
    line: Option<usize>,
    module: bool,
}

const MOST_NAMED: usize = 200;
const MOST_PARTS: usize = 12;
/// A name that fits more files names none.
const MOST_FITTING: usize = 12;
/// Whole path; its end; a bare file name; the file name alone of a path; a module by its end; a module's last part.
const WHOLE: f64 = 1.0;
const ENDING: f64 = 0.9;
const BARE: f64 = 0.8;
const NAME_ALONE: f64 = 0.25;
const MODULE: f64 = 0.6;

/// The files that `text` names, the surest first, each once.
pub(super) fn mentions(text: &str, files: &[File]) -> Vec<Mention> {
    let named = named(text);
    if named.is_empty() {
        return Vec::new();
    }
    let tree = Tree::of(files, &named);
    let mut best: BTreeMap<usize, Mention> = BTreeMap::new();
    for named in &named {
        let fitting = tree.fitting(named);
        if fitting.len() > MOST_FITTING {
            continue;
        }
        let share = 1.0 / (fitting.len() as f64).sqrt();
        for (file, score) in fitting {
            let found =
                Mention { file, score: score * share, line: named.line, written: named.written.clone() };
            match best.get_mut(&file) {
                Some(known) if known.score >= found.score => known.line = known.line.or(found.line),
                Some(known) => *known = Mention { line: found.line.or(known.line), ..found },
                None => {
                    best.insert(file, found);
                }
            }
        }
    }
    let mut mentions: Vec<Mention> = best.into_values().collect();
    mentions.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.file.cmp(&b.file)));
    mentions
}

/// The words of a text that have the shape of a path or a module.
fn named(text: &str) -> Vec<Named> {
    let mut found: Vec<Named> = Vec::new();
    let outside = |c: char| c.is_whitespace() || "\"'`()[]{}<>,;|=*".contains(c);
    for line in text.lines() {
        // Python: File "a/b.py", line 12, in f
        let python = line.trim_start().starts_with("File \"").then(|| number_after(line, "line ")).flatten();
        for word in line.split(outside).filter(|word| word.len() > 2 && word.len() < 400) {
            if found.len() >= MOST_NAMED {
                return found;
            }
            // `a.json.b` may be a file or a module.
            for mut named in path(word).into_iter().chain(module(word)) {
                named.line = named.line.or(python.filter(|_| !named.module));
                if !found.contains(&named) {
                    found.push(named);
                }
            }
        }
    }
    found
}

fn number_after(text: &str, mark: &str) -> Option<usize> {
    let rest = &text[text.find(mark)? + mark.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// `a/b.rs`, `b.rs:12:3`, `a\b.cs:line`, `…/b.rs#L12-L20`, `b.rb:12:in`.
fn path(word: &str) -> Option<Named> {
    let word = word.trim_end_matches(['.', ':', '!', '?']);
    let (word, fragment) = word.split_once('#').unwrap_or((word, ""));
    let word = word.split_once("?").map_or(word, |(path, _)| path);
    let slashed = word.replace('\\', "/");
    let after_scheme = slashed.find("://").map_or(slashed.as_str(), |at| &slashed[at + 3..]);
    let mut pieces = after_scheme.split(':');
    let mut path = pieces.next()?;
    // A drive's letter.
    if path.len() == 1 {
        path = pieces.next()?;
    }
    let line = fragment
        .strip_prefix('L')
        .map_or_else(|| pieces.next().and_then(|line| line.parse().ok()), |line| number_after(line, ""));
    let name = path.rsplit('/').next()?;
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let has_ending = !stem.is_empty()
        && (1..=8).contains(&ending.len())
        && ending.chars().all(|c| c.is_ascii_alphanumeric())
        && ending.chars().any(|c| c.is_ascii_alphabetic());
    if !has_ending && !path.contains('/') {
        return None;
    }
    let parts: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != "." && *part != "..")
        .map(str::to_owned)
        .collect();
    let plausible = (1..=40).contains(&parts.len()) && parts.iter().all(|part| part.len() < 120);
    // `and/or` is no path: a path without an ending has to fit a whole path of the tree.
    plausible.then(|| Named { written: word.to_owned(), parts, line, module: false })
}

/// `a.b.C`, `crate::a::b`, `A::B`.
fn module(word: &str) -> Option<Named> {
    let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
    let colons = word.contains("::");
    let parts: Vec<String> =
        if colons { word.split("::") } else { word.split(".") }.map(str::to_owned).collect();
    let is_name = |part: &String| {
        !part.is_empty()
            && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '$')
            && part.chars().any(char::is_alphabetic)
    };
    let is = (2..=MOST_PARTS).contains(&parts.len()) && parts.iter().all(is_name);
    is.then(|| Named { written: word.to_owned(), parts, line: None, module: true })
}

/// The files that may be meant, by hashes of their names and of their modules' last parts.
struct Tree<'a> {
    files: &'a [File],
    by_name: HashMap<u64, Vec<usize>>,
    by_stem: HashMap<u64, Vec<usize>>,
}

/// Files that stand for their folder.
const OF_FOLDER: [&str; 5] = ["mod", "index", "__init__", "lib", "main"];

impl<'a> Tree<'a> {
    fn of(files: &'a [File], named: &[Named]) -> Self {
        let mut tree = Self { files, by_name: HashMap::new(), by_stem: HashMap::new() };
        let paths = named.iter().filter(|named| !named.module);
        let names: HashSet<u64> =
            paths.filter_map(|named| named.parts.last()).map(|name| hash_bytes(name.as_bytes())).collect();
        let modules = named.iter().filter(|named| named.module).flat_map(|named| &named.parts);
        let stems: HashSet<u64> = modules.map(|part| hash_bytes(plain(part).as_bytes())).collect();
        for (at, file) in files.iter().enumerate() {
            if names.contains(&file.named.name) {
                tree.by_name.entry(file.named.name).or_default().push(at);
            }
            if stems.contains(&file.named.stem) {
                tree.by_stem.entry(file.named.stem).or_default().push(at);
            }
        }
        tree
    }

    fn fitting(&self, named: &Named) -> Vec<(usize, f64)> {
        if named.module { self.modules(named) } else { self.files(named) }
    }

    fn files(&self, named: &Named) -> Vec<(usize, f64)> {
        let name = named.parts.last().map(|name| hash_bytes(name.as_bytes()));
        let Some(files) = name.and_then(|name| self.by_name.get(&name)) else {
            return Vec::new();
        };
        let agreeing = |file: &usize| {
            let theirs = self.files[*file].path().rsplit('/');
            theirs.zip(named.parts.iter().rev()).take_while(|(a, b)| a == b).count()
        };
        let most = files.iter().map(agreeing).max().unwrap_or(0);
        let score = |file: usize| match most {
            _ if most == self.files[file].path().split('/').count() && most == named.parts.len() => WHOLE,
            1 if named.parts.len() == 1 => BARE,
            1 => NAME_ALONE,
            _ => ENDING,
        };
        files.iter().filter(|file| agreeing(file) == most).map(|&file| (file, score(file))).collect()
    }

    /// Files whose path without ending ends as a stretch of the module's name does, the longest stretch first.
    fn modules(&self, named: &Named) -> Vec<(usize, f64)> {
        let parts: Vec<String> = named.parts.iter().map(|part| plain(part)).collect();
        let mut best: Vec<(usize, usize)> = Vec::new();
        for end in (1..=parts.len()).rev() {
            for &file in self.by_stem.get(&hash_bytes(parts[end - 1].as_bytes())).into_iter().flatten() {
                let theirs = module_parts(self.files[file].path());
                let agreeing = theirs
                    .iter()
                    .rev()
                    .zip(parts[..end].iter().rev())
                    .take_while(|(a, b)| plain(a) == **b)
                    .count();
                best.push((agreeing, file));
            }
        }
        let most = best.iter().map(|(agreeing, _)| *agreeing).max().unwrap_or(0);
        if most < 2 {
            return Vec::new();
        }
        let mut files: Vec<usize> =
            best.into_iter().filter(|(agreeing, _)| *agreeing == most).map(|(_, file)| file).collect();
        files.sort_unstable();
        files.dedup();
        files.into_iter().map(|file| (file, MODULE)).collect()
    }
}

/// The folders and the stem of a path, without a last part that stands for its folder.
fn module_parts(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = path.split('/').collect();
    if let Some(name) = parts.last_mut() {
        *name = name.split('.').next().unwrap_or(name);
    }
    if parts.len() > 1 && parts.last().is_some_and(|name| OF_FOLDER.contains(name)) {
        parts.pop();
    }
    parts
}

/// The last part of the module that a file is.
pub(super) fn module_stem(path: &str) -> &str {
    let stem = |part: &'_ str| part.split('.').next().map_or(0, str::len);
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    match &name[..stem(name)] {
        last if !folders.is_empty() && OF_FOLDER.contains(&last) => {
            folders.rsplit('/').next().unwrap_or(folders)
        }
        last => last,
    }
}

/// `FooBar`, `foo_bar` and `foo-bar` are one: Ruby's and JavaScript's files are not spelt as their classes.
pub(super) fn plain(part: &str) -> String {
    part.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::objects::Leaf;
    use crate::context::tree::Naming;

    const PATHS: [&str; 10] = [
        "src/flask/app.py",
        "src/flask/json/__init__.py",
        "src/main/java/com/acme/JsonReader.java",
        "lib/rack/multipart/parser.rb",
        "lib/core/Axios.js",
        "lib/core/index.js",
        "crates/core/src/walk.rs",
        "gin/context.go",
        "a/util.go",
        "b/util.go",
    ];

    fn files() -> Vec<File> {
        let mut naming = Naming::default();
        PATHS.map(|path| naming.file(Leaf { path: path.to_owned(), id: [0; 20] })).into()
    }

    fn found(text: &str) -> Vec<(&'static str, Option<usize>)> {
        mentions(text, &files()).into_iter().map(|mention| (PATHS[mention.file], mention.line)).collect()
    }

    #[test]
    fn paths_and_lines_of_traces_are_found() {
        for (text, path, line) in [
            ("  File \"/usr/lib/python3/site-packages/flask/app.py\", line 120, in run", PATHS[0], Some(120)),
            ("    at com.acme.JsonReader.peek(JsonReader.java:41)", PATHS[2], Some(41)),
            ("/gems/rack-2.0/lib/rack/multipart/parser.rb:12:in `parse'", PATHS[3], Some(12)),
            ("    at Axios.request (/app/node_modules/axios/lib/core/Axios.js:44:15)", PATHS[4], Some(44)),
            ("thread 'main' panicked at crates/core/src/walk.rs:7:5:", PATHS[6], Some(7)),
            ("\t/go/pkg/mod/gin/context.go:99 +0x1d", PATHS[7], Some(99)),
            ("see https://git.example/x/blob/abc/src/flask/app.py#L10-L20", PATHS[0], Some(10)),
            ("C:\\src\\lib\\core\\Axios.js:3", PATHS[4], Some(3)),
        ] {
            assert_eq!(found(text).first(), Some(&(path, line)), "{text}");
        }
    }

    #[test]
    fn modules_are_found_by_their_spelling() {
        for (text, path) in [
            ("in flask.json.dumps", PATHS[1]),
            ("com.acme.JsonReader fails", PATHS[2]),
            ("Rack::Multipart::Parser raises", PATHS[3]),
        ] {
            assert_eq!(found(text).first().map(|found| found.0), Some(path), "{text}");
        }
    }

    #[test]
    fn a_name_that_two_files_have_is_half_sure_and_prose_names_nothing() {
        let both = mentions("util.go breaks", &files());
        assert_eq!(both.len(), 2);
        assert!(both[0].score < mentions("context.go breaks", &files())[0].score);
        assert!(found("e.g. and/or i.e. v1.2.3 3.14 done. Next").is_empty());
    }
}
