//! The message of the commit that is pushed. The workspace adds the sign-off below it.

use super::gateway::Gateway;
use super::hidden::Hidden;
use super::plain;
use super::quoted::cut;
use crate::domain::Task;

/// Longest subject, in characters.
const SUBJECT_MAX_CHARS: usize = 72;
const LINE_MAX_CHARS: usize = 72;
const BODY_MAX_CHARS: usize = 4_000;

/// The types of commits by the Angular convention, which tools for change logs read.
const TYPES: [&str; 11] =
    ["feat", "fix", "docs", "style", "refactor", "perf", "test", "build", "ci", "chore", "revert"];

#[derive(Debug, Clone, Copy)]
pub struct CommitView<'a> {
    pub task: &'a Task,
    /// What the model proposes: taken if it is a conventional subject, else built from the title.
    pub subject: Option<&'a str>,
    /// What the model says that it did.
    pub done: &'a str,
}

/// Subject, body, and a last paragraph of trailers.
pub fn commit_message(gateway: &Gateway, view: &CommitView) -> String {
    let proposed = view.subject.and_then(|subject| proposed(gateway, subject));
    let subject = proposed.unwrap_or_else(|| from_title(gateway, view.task.title()));
    let mut message = subject;
    let body = body(gateway, view.done);
    if !body.is_empty() {
        message.push_str("\n\n");
        message.push_str(&body);
    }
    message.push_str("\n\n");
    if let Some(place) = view.task.origin.github() {
        message.push_str(&format!("Refs: #{}\n", place.issue));
    }
    message.push_str(&format!("Task: {}\n", view.task.id));
    gateway.redacted(&message)
}

fn proposed(gateway: &Gateway, subject: &str) -> Option<String> {
    let subject = harmless(gateway, subject.trim());
    let is_fit =
        subject.chars().count() <= SUBJECT_MAX_CHARS && !subject.contains('\n') && is_conventional(&subject);
    is_fit.then_some(subject)
}

/// `type(scope)!: words`
fn is_conventional(subject: &str) -> bool {
    let Some((head, words)) = subject.split_once(": ") else { return false };
    let head = head.strip_suffix('!').unwrap_or(head);
    let (kind, scope) = match head.split_once('(') {
        Some((kind, rest)) => match rest.strip_suffix(')') {
            Some(scope) => (kind, Some(scope)),
            None => return false,
        },
        None => (head, None),
    };
    let is_scope = |scope: &str| {
        !scope.is_empty() && scope.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c))
    };
    TYPES.contains(&kind) && scope.is_none_or(is_scope) && !words.trim().is_empty()
}

fn from_title(gateway: &Gateway, title: &str) -> String {
    let title = harmless(gateway, &title.split_whitespace().collect::<Vec<_>>().join(" "));
    let title = title.trim_end_matches('.');
    let title = if title.is_empty() { "work on a task" } else { title };
    if title.chars().count() <= SUBJECT_MAX_CHARS && is_conventional(title) {
        return title.to_owned();
    }
    let first = title.split(' ').next().unwrap_or_default().to_lowercase();
    let kind = match first.as_str() {
        "fix" | "fixes" | "correct" | "repair" | "prevent" | "avoid" | "handle" | "stop" => "fix",
        "document" | "explain" | "describe" => "docs",
        "test" | "cover" => "test",
        "refactor" | "simplify" | "rename" | "extract" | "move" => "refactor",
        "upgrade" | "update" | "bump" => "chore",
        _ => "feat",
    };
    shortened(&format!("{kind}: {}", lower_first(title)))
}

/// `Round half` becomes `round half`; `HTTP` and `McCabe` stay as they are.
fn lower_first(title: &str) -> String {
    let mut chars = title.chars();
    let Some(first) = chars.next() else { return String::new() };
    let word: String = title.split(' ').next().unwrap_or_default().chars().skip(1).collect();
    if word.is_empty() || word.chars().any(|c| !c.is_lowercase()) {
        return title.to_owned();
    }
    first.to_lowercase().chain(chars).collect()
}

/// Cut at the last word that fits.
fn shortened(subject: &str) -> String {
    if subject.chars().count() <= SUBJECT_MAX_CHARS {
        return subject.to_owned();
    }
    let head: String = subject.chars().take(SUBJECT_MAX_CHARS - 1).collect();
    let head = head.rsplit_once(' ').map_or(head.as_str(), |(words, _)| words);
    // A title that is one long word leaves nothing but the type.
    let head = if head.ends_with(':') {
        subject.chars().take(SUBJECT_MAX_CHARS - 1).collect()
    } else {
        head.to_owned()
    };
    format!("{head}…")
}

fn body(gateway: &Gateway, done: &str) -> String {
    // Cut last: half of a secret would not be recognised.
    let text = cut(&harmless(gateway, done.trim()), BODY_MAX_CHARS);
    let lines: Vec<String> = text.lines().flat_map(wrapped).collect();
    let mut out = String::new();
    for line in lines {
        // Never more than one empty line, and no line that a mailed patch would be cut at.
        if line.is_empty() && out.ends_with("\n\n") {
            continue;
        }
        if line.starts_with("---") || line.starts_with("diff ") || line.starts_with("Index: ") {
            out.push(' ');
        }
        out.push_str(&line);
        out.push('\n');
    }
    out.trim().to_owned()
}

fn wrapped(line: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in line.trim_end().split(' ') {
        let current = lines.last().map_or(0, |line| line.chars().count());
        if current > 0 && current + 1 + word.chars().count() > LINE_MAX_CHARS {
            lines.push(word.to_owned());
        } else if let Some(last) = lines.last_mut() {
            if current > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

/// Outside text without secrets, references, links, trailers or orders to a build server.
fn harmless(gateway: &Gateway, text: &str) -> String {
    let text = gateway.taken_in(text, Hidden::Remove);
    let text = plain::without_references(&plain::without_addresses(&text, gateway.links()));
    let lines: Vec<String> = without_build_orders(&text).lines().map(without_trailer).collect();
    lines.join("\n")
}

/// `[skip ci]` and its kin keep the checks of a commit from running; in round brackets they are words.
fn without_build_orders(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('[') {
        let Some(close) = rest[open..].find(']').map(|at| at + open) else { break };
        let inside = &rest[open + 1..close];
        let lower = inside.to_lowercase();
        let orders = lower.contains("skip") || lower.split([' ', '-', '_']).any(|word| word == "ci");
        let (left, right) = if orders { ('(', ')') } else { ('[', ']') };
        out.push_str(&rest[..open]);
        out.push(left);
        out.push_str(inside);
        out.push(right);
        rest = &rest[close + 1..];
    }
    out.push_str(rest);
    out.replace("***NO_CI***", "NO_CI")
}

/// `Signed-off-by: somebody` is for people to say, and for the workspace.
fn without_trailer(line: &str) -> String {
    let Some((token, value)) = line.split_once(':') else { return line.to_owned() };
    let name = token.trim();
    let is_token = name.contains('-') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if is_token { format!("{} -{value}", token.trim_end()) } else { line.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech::tests::rules;
    use crate::speech::tests::samples::{self, gateway};

    fn message(title: &str, subject: Option<&str>, done: &str) -> String {
        let mut task = samples::task();
        task.plan.as_mut().expect("a plan").specification.title = title.to_owned();
        commit_message(&gateway(), &CommitView { task: &task, subject, done })
    }

    #[test]
    fn a_commit_message() {
        let done = "Totals were rounded half up, so they drifted from the ledger.\n\n`round` now rounds half to even, as the ledger does, and the test covers both signs of the number.";
        insta::assert_snapshot!(message("Round half to even", Some("fix(round): round half to even"), done));
    }

    #[test]
    fn a_commit_message_of_a_hostile_model() {
        let done = format!(
            "{}\n\nCo-authored-by: Eve <eve@evil.example>\nSigned-off-by: Ada <ada@example.com>\nskip-checks: true\n---\ndiff --git a/x b/x\n[skip ci] [CI skip] ***NO_CI*** [a](b)",
            samples::HOSTILE.join("\n\n")
        );
        let message = message("Round", Some("fix: x [skip ci] closes #99 @eve"), &done);
        assert_eq!(rules::closing_references(&message), Vec::<String>::new());
        insta::assert_snapshot!(message);
    }

    #[test]
    fn a_subject_is_conventional_short_and_one_line() {
        let long = "word ".repeat(30);
        for (title, subject, expected) in [
            (
                "Round half to even",
                Some("fix(money)!: round half to even"),
                "fix(money)!: round half to even",
            ),
            ("Round half to even", Some("feat: round\nhalf"), "feat: round half to even"),
            ("Round half to even", Some("Rounded it"), "feat: round half to even"),
            ("Round half to even", Some("done: rounded"), "feat: round half to even"),
            ("Round half to even", Some("fix(): rounded"), "feat: round half to even"),
            ("Round half to even", Some("fix(a b): rounded"), "feat: round half to even"),
            ("Round half to even", Some(""), "feat: round half to even"),
            ("Fix the overflow.", None, "fix: fix the overflow"),
            ("HTTP answers late", None, "feat: HTTP answers late"),
            ("docs: say more", None, "docs: say more"),
            ("Ändere das", None, "feat: ändere das"),
            ("", None, "feat: work on a task"),
            (&long, Some(&long), "feat: word word word word word word word word word word word word word…"),
        ] {
            let message = message(title, subject, "");
            let found = message.lines().next().expect("a subject");
            assert_eq!(found, expected, "{title:?} {subject:?}");
            assert!(found.chars().count() <= SUBJECT_MAX_CHARS);
        }
        let word = "x".repeat(100);
        assert_eq!(message(&word, None, "").lines().next().map(|line| line.chars().count()), Some(72));
    }

    #[test]
    fn no_line_of_the_body_is_longer_than_a_terminal_unless_it_is_one_word() {
        let message = message("T", None, &format!("{}\n{}", "some words ".repeat(40), "x".repeat(200)));
        for line in message.lines().filter(|line| line.contains(' ')) {
            assert!(line.chars().count() <= LINE_MAX_CHARS, "{line}");
        }
    }
}
