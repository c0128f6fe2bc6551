//! Source files as the rules read them: code without comments, literals and tests.

use std::fs;
use std::path::Path;

/// A Rust file.
pub struct Source {
    /// From the repository's root, with `/`.
    pub path: String,
    /// The file is part of a `mod tests`.
    pub is_test: bool,
    text: String,
    /// As long as the text, line by line; comments, literals and test modules are blank.
    code: String,
    /// The same with its test modules.
    whole: String,
}

/// A path that begins at the crate's root.
pub struct Use {
    /// `room::item`, or `room` where the room itself is named.
    pub path: String,
    pub line: usize,
}

/// Any other file that is text.
pub struct Text {
    pub path: String,
    pub text: String,
}

/// Every Rust file of a folder of the repository.
pub fn rust_files(folder: &str) -> Vec<Source> {
    let files = text_files().into_iter();
    let inside =
        files.filter(|file| file.path.starts_with(&format!("{folder}/")) && file.path.ends_with(".rs"));
    inside.map(|file| Source::new(file.path, file.text)).collect()
}

/// Every text file that git would track, found without git: what `.gitignore` names is left out.
pub fn text_files() -> Vec<Text> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let is_git = |entry: &ignore::DirEntry| entry.file_name() == ".git";
    for entry in ignore::WalkBuilder::new(root)
        .hidden(false)
        .parents(false)
        .require_git(false)
        .filter_entry(move |entry| !is_git(entry))
        .build()
    {
        let entry = entry.expect("the repository can be read");
        if !entry.file_type().is_some_and(|kind| kind.is_file()) {
            continue;
        }
        // What is not UTF-8 is no text.
        let Ok(text) = fs::read_to_string(entry.path()) else { continue };
        let path =
            entry.path().strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
        files.push(Text { path, text });
    }
    assert!(files.len() > 50, "only {} files were found: the rules would hold for nothing", files.len());
    files
}

impl Source {
    pub fn new(path: String, text: String) -> Self {
        let whole = without_comments_and_literals(&text);
        let code = without_test_modules(&whole);
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        Self { path, is_test, text, code, whole }
    }

    /// `pipeline` of `src/pipeline/gate.rs`, `main` of `src/main.rs`.
    pub fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// Lines, counted from 1, whose code has one of the words.
    pub fn lines_with(&self, words: &[&'static str]) -> Vec<(usize, &'static str)> {
        let mut found = Vec::new();
        for (number, line) in self.code.lines().enumerate() {
            for word in words {
                found.extend(
                    line.match_indices(word)
                        .filter(|(at, _)| begins(line, *at, word))
                        .map(|_| (number + 1, *word)),
                );
            }
        }
        found
    }

    /// The string literals of one line each above its tests, with their lines.
    pub fn literals(&self) -> Vec<(usize, &str)> {
        let lines = self.text.lines().take(self.lines_above_tests()).enumerate();
        let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
        // Between quotes stands every second part.
        code.flat_map(|(at, line)| line.split('"').skip(1).step_by(2).map(move |text| (at + 1, text)))
            .collect()
    }

    pub fn lines_above_tests(&self) -> usize {
        let tests = self.whole.lines().position(|line| line.trim_start().starts_with("#[cfg(test)]"));
        tests.unwrap_or_else(|| self.text.lines().count())
    }

    /// Every path of the crate that the code outside of tests names, groups taken apart.
    pub fn uses(&self) -> Vec<Use> {
        if self.is_test {
            return Vec::new();
        }
        let mut uses = Vec::new();
        for (at, _) in self.code.match_indices("crate::") {
            let line = self.code[..at].matches('\n').count() + 1;
            let rest = &self.code[at + "crate::".len()..];
            // `$crate::` of a macro is the same root.
            uses.extend(paths(rest, 2).into_iter().map(|path| Use { path, line }));
        }
        uses
    }

    /// Lines with a switch for tests that is not on a module of tests.
    pub fn test_switches_that_are_no_test_module(&self) -> Vec<usize> {
        let mut lines = Vec::new();
        for (at, switch) in
            self.whole.match_indices("cfg(test)").chain(self.whole.match_indices("cfg!(test)"))
        {
            let rest = self.whole[at + switch.len()..].trim_start_matches(']').trim_start();
            let is_module = switch == "cfg(test)"
                && ["mod tests;", "mod tests {"].iter().any(|tests| rest.starts_with(tests));
            if !is_module {
                lines.push(self.whole[..at].matches('\n').count() + 1);
            }
        }
        lines
    }
}

/// Whether the word at that place is not the end of a longer name.
fn begins(line: &str, at: usize, word: &str) -> bool {
    let is_name = word.starts_with(|c: char| c.is_alphabetic());
    !is_name || !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// The first `depth` segments of each path that the text begins with: `a::{b, c::d}` is `a::b`, `a::c`.
fn paths(text: &str, depth: usize) -> Vec<String> {
    let text = text.trim_start();
    if let Some(group) = text.strip_prefix('{') {
        return entries(group).iter().flat_map(|entry| paths(entry, depth)).collect();
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Vec::new();
    }
    match rest.strip_prefix("::") {
        Some(rest) if depth > 1 => {
            let below = paths(rest, depth - 1);
            if below.is_empty() {
                vec![name.to_owned()]
            } else {
                below.iter().map(|one| format!("{name}::{one}")).collect()
            }
        }
        _ => vec![name.to_owned()],
    }
}

/// What stands between commas up to the group's end.
fn entries(group: &str) -> Vec<&str> {
    let mut entries = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                entries.push(&group[start..at]);
                return entries;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                entries.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    entries
}

/// The code with everything blank that the compiler does not read as code; line ends stay.
fn without_comments_and_literals(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| raw_string(rest, &out)).or_else(|| quoted(rest));
        match skipped {
            Some(length) => {
                out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = &rest[length..];
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(rest.len())
}

/// `r"…"`, `r#"…"#` and their byte kin, not at the end of a name.
fn raw_string(rest: &str, before: &str) -> Option<usize> {
    if before.ends_with(|c: char| c.is_alphanumeric() || c == '_') && !before.ends_with('b') {
        return None;
    }
    let inside = rest.strip_prefix('r')?;
    let hashes = inside.len() - inside.trim_start_matches('#').len();
    let body = inside[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end)? + end.len();
    Some(rest.len() - body.len() + length)
}

/// A string, or a character; `'a` of a lifetime is neither.
fn quoted(rest: &str) -> Option<usize> {
    let quote = rest.chars().next().filter(|c| "\"'".contains(*c))?;
    let mut chars = rest.char_indices().skip(1);
    let mut length = 0;
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            c if c == quote => return Some(at + 1),
            _ if quote == '\'' && length > 0 && !rest[1..].starts_with('\\') => return None,
            _ => {}
        }
        length += 1;
    }
    None
}

/// The code without its `mod tests { … }`.
fn without_test_modules(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(at) = out.find("#[cfg(test)]") {
        let Some(open) = out[at..].find(['{', ';']).map(|open| open + at) else { break };
        let mut depth = 0;
        let end = out[open..]
            .char_indices()
            .find(|(_, c)| {
                depth += i32::from(*c == '{') - i32::from(*c == '}');
                depth == 0
            })
            .map_or(out.len(), |(end, c)| open + end + c.len_utf8());
        let blank: String = out[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(at..end, &blank);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("src/room/file.rs".to_owned(), text.to_owned())
    }

    #[test]
    fn paths_are_found_in_every_form() {
        let text = "use crate::{a::{b, c::d}, e};\nfn f() { crate::g::h(); }\npub(crate) use crate::i::*;\nlet x = $crate::j::k;";
        let found: Vec<String> = source(text).uses().into_iter().map(|used| used.path).collect();
        assert_eq!(found, ["a::b", "a::c", "e", "g::h", "i", "j::k"]);
    }

    #[test]
    fn comments_literals_and_tests_are_not_code() {
        let text = "// crate::a::b\n/* /* */ todo!() */ let s = \"crate::c \\\" todo!()\"; let r = r#\"todo!() \" \"#;\n\
                    let c = '\"'; let l: &'static str = x; let q = '\\''; todo!();\n\
                    #[cfg(test)]\nmod tests {\n    fn f() { todo!(); crate::d::e(); }\n}\nfn after() { todo!() }\n";
        let source = source(text);
        assert_eq!(source.lines_with(&["todo!"]), [(3, "todo!"), (8, "todo!")]);
        assert!(source.uses().is_empty());
        assert_eq!(source.lines_above_tests(), 3);
    }

    #[test]
    fn a_switch_for_tests_is_found_unless_it_is_a_module_of_tests() {
        let text = "#[cfg(test)]\nmod tests {}\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nfn f() {}\nif cfg!(test) {}\n#[cfg(test)]\nmod samples;";
        assert_eq!(source(text).test_switches_that_are_no_test_module(), [5, 8, 7]);
    }

    #[test]
    fn a_word_is_not_the_end_of_a_longer_one() {
        assert!(source("my_dbg!(x); sea_query!(y)").lines_with(&["dbg!", "query!"]).is_empty());
        assert_eq!(source("dbg!(x); a.unwrap()").lines_with(&["dbg!", ".unwrap()"]).len(), 2);
    }
}
