//! Lines of shell, taken apart as far as reading them needs: nothing is run, and of variables only those are
//! filled in that the same text assigns a plain value.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::pattern;

/// Stands for a value that only the run knows.
pub(super) const UNKNOWN: char = '\u{1}';

/// One command of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Simple {
    pub(super) text: String,
    /// The folder of the tree in which it runs, by the `cd` before it; empty for the root.
    pub(super) folder: String,
}

pub(super) type Variables = BTreeMap<String, String>;

static VARIABLE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\$(?:\{([A-Za-z_]\w*)\}|\(([A-Za-z_]\w*)\)|([A-Za-z_]\w*))"));
static ASSIGNMENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:export\s+)?([A-Za-z_]\w*)=(.*)$"));

/// The commands of a script that begins in `folder`, without those that only print, and those that install
/// what later ones use: the names of tools in these are no use of the tools.
pub(super) fn commands(script: &str, folder: &str, variables: &Variables) -> Vec<Simple> {
    let mut variables = variables.clone();
    let mut found = vec![];
    // `None`: in a folder that only the run knows.
    let mut folder = Some(folder.to_owned());
    let mut outside: Option<Option<String>> = None;
    for part in split(&script.replace("\\\n", " ")) {
        let opens = part.starts_with('(');
        if opens {
            outside = Some(folder.clone());
        }
        let closes = part.ends_with(')') && part.matches(')').count() > part.matches("$(").count();
        let part = bare(&part);
        let text = filled(part, &variables);
        if let Some(place) = text.strip_prefix("cd ").or_else(|| text.strip_prefix("pushd ")) {
            folder = folder.and_then(|folder| joined(&folder, unquoted(place.trim())));
        } else if let Some((name, value)) = assignment(&text) {
            variables.entry(name).or_insert(value);
        } else if let Some(folder) = folder.as_ref().filter(|_| !text.is_empty() && !is_preparation(&text)) {
            found.push(Simple { text, folder: folder.clone() });
        }
        if closes && let Some(before) = outside.take() {
            folder = before;
        }
    }
    found
}

/// Fills in what is known.
pub(super) fn filled(text: &str, variables: &Variables) -> String {
    // Twice: a value may name another variable.
    let once = |text: &str| {
        let value = |found: &Captures<'_>| {
            let name = found.iter().skip(1).flatten().next().map_or("", |name| name.as_str());
            variables.get(name).cloned().unwrap_or_else(|| found[0].to_owned())
        };
        VARIABLE.replace_all(text, value).into_owned()
    };
    once(&once(text))
}

/// The words of a command up to a redirection, without quotes. A word that holds what only the run knows is
/// kept: see [`is_literal`].
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = vec![];
    let (mut word, mut begun, mut quote) = (String::new(), false, None);
    for c in text.chars() {
        match (quote, c) {
            (None, '"' | '\'') => (quote, begun) = (Some(c), true),
            (Some(open), _) if open == c => quote = None,
            (None, _) if c.is_whitespace() => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            // A dollar in single quotes is a dollar, which nobody here needs.
            _ => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    let is_redirection = |word: &String| {
        word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&').starts_with(['>', '<'])
    };
    let end = words.iter().position(is_redirection).unwrap_or(words.len());
    words.truncate(end);
    words
}

/// Whether a word says the same here as it does in CI.
pub(super) fn is_literal(word: &str) -> bool {
    !word.contains(['$', '`', UNKNOWN]) && !word.contains("{{") && !word.contains("{posargs")
}

/// A folder of the tree seen from another; `None` outside, and where it is not known.
pub(super) fn joined(folder: &str, place: &str) -> Option<String> {
    if place.starts_with(['/', '~', '-']) || !is_literal(place) {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in place.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Splits where one command ends and the next begins.
fn split(script: &str) -> Vec<String> {
    let mut parts = vec![];
    let (mut part, mut quote, mut depth) = (String::new(), None, 0_usize);
    let mut rest = script.chars().peekable();
    while let Some(c) = rest.next() {
        match (quote, c) {
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '#') if part.trim().is_empty() || part.ends_with(char::is_whitespace) => {
                while rest.peek().is_some_and(|c| *c != '\n') {
                    rest.next();
                }
                continue;
            }
            // An apostrophe in a word of prose opens nothing that is not closed on its line.
            (None, '"' | '\'') if rest.clone().any(|next| next == c) => quote = Some(c),
            (None, '$') if rest.peek() == Some(&'(') => {
                depth += 1;
                part.push(c);
                rest.next();
                part.push('(');
                continue;
            }
            (None, ')') if depth > 0 => depth -= 1,
            (None, '\n' | ';' | '|') if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            (None, '&') if depth == 0 && !part.ends_with('>') && rest.peek() != Some(&'>') => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part);
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// A command without the words of the language before it and the brackets around it.
fn bare(part: &str) -> &str {
    const KEYWORDS: &[&str] =
        &["if", "then", "elif", "else", "do", "while", "until", "!", "time", "sudo", "exec"];
    let mut part = part.trim_start_matches(['(', '{', '@']).trim();
    if part.ends_with(')') && part.matches(')').count() > part.matches('(').count() {
        part = part.trim_end_matches(')').trim_end();
    }
    loop {
        let Some((first, rest)) = part.split_once(char::is_whitespace) else { return part };
        if !KEYWORDS.contains(&first) {
            return part;
        }
        part = rest.trim_start();
    }
}

/// A line that only gives a variable a plain value.
fn assignment(text: &str) -> Option<(String, String)> {
    let found = ASSIGNMENT.captures(text)?;
    let value = found[2].trim();
    let plain = unquoted(value);
    let whole = plain.len() < value.len() || !value.contains(char::is_whitespace);
    (whole && is_literal(plain)).then(|| (found[1].to_owned(), plain.to_owned()))
}

fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            return inner;
        }
    }
    text
}

fn is_preparation(text: &str) -> bool {
    static PREPARES: LazyLock<Regex> = LazyLock::new(|| {
        let pip = r"(?:uv |python\d?(?:\.\d+)? +-m +)?pip\d? +(?:install|uninstall|download)";
        let others = r"uv +(?:tool +install|sync|add|venv)|pipx +install|conda +install|mamba +install|poetry +install|pdm +install|hatch +env +create";
        let rust = r"cargo +(?:install|binstall|fetch|generate-lockfile|clean)|rustup";
        let node = r"(?:npm|pnpm|yarn|bun) +(?:ci|install|i|add|config|cache|link|publish|pack)\b|corepack";
        let system = r"apt|apt-get|brew|choco|yum|dnf|apk|pacman|snap";
        let more = r"gem +install|bundle +(?:install|config|update)|go +(?:install|get|mod +download|env|build)|echo|printf|curl|wget|mkdir|export|set|source|cp|mv|rm|git|docker|tar|test -f";
        pattern(&format!(r"^(?:{pip}|{others}|{rust}|{node}|{system}|{more})(?:\s|$)"))
    });
    PREPARES.is_match(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(script: &str) -> Vec<String> {
        let show = |one: Simple| {
            if one.folder.is_empty() { one.text } else { format!("{}: {}", one.folder, one.text) }
        };
        commands(script, "", &Variables::new()).into_iter().map(show).collect()
    }

    #[test]
    fn a_script_is_taken_apart_into_its_commands() {
        assert_eq!(
            of(
                "set -ex\npip install ruff mypy # both\nif ! cargo fmt --check; then exit 1; fi\ngo vet ./... | tee log && echo done"
            ),
            ["cargo fmt --check", "exit 1", "fi", "go vet ./...", "tee log"]
        );
        assert_eq!(of("test -z \"$(gofmt -l . | head)\""), ["test -z \"$(gofmt -l . | head)\""]);
        assert_eq!(of("a \\\n  b"), ["a    b"]);
        assert_eq!(of("a 2>&1\nb"), ["a 2>&1", "b"]);
    }

    #[test]
    fn a_command_runs_where_its_script_went() {
        assert_eq!(of("(cd web && npm test)\nmake\ncd ./a/../b\nx"), ["web: npm test", "make", "b: x"]);
        assert_eq!(of("cd $PLACE\nx"), [""; 0]);
        assert_eq!(of("cd /elsewhere\nx"), [""; 0]);
    }

    #[test]
    fn variables_are_filled_in_where_the_script_says_them() {
        assert_eq!(
            of("export FILES=\"src tests\"\nP=\nif x; then P=venv/bin/; fi\n${P}mypy $FILES $OTHER"),
            ["x", "fi", "mypy src tests $OTHER"]
        );
    }

    #[test]
    fn words_end_at_a_redirection() {
        assert_eq!(words("a 'b c' --d=\"e f\" 2>&1 g"), ["a", "b c", "--d=e f"]);
        assert_eq!(words("x > y"), ["x"]);
        assert!(is_literal("x") && !is_literal("$x") && !is_literal("\u{1}"));
    }
}
