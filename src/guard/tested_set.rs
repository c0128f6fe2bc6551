//! Which packages a workspace's tests are run for. What leaves that set is tested by nobody any more.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::test_text::pattern;

/// What a change of the file of that name, in lower case, takes out of the packages that are tested; `None`
/// where it takes out none. More packages are no fault, and what is not there is empty.
pub(super) fn smaller(name: &str, before: &str, after: &str) -> Option<String> {
    let read = match name {
        "cargo.toml" => cargo,
        "package.json" => package,
        "pnpm-workspace.yaml" => pnpm,
        "go.work" => go,
        "settings.gradle" | "settings.gradle.kts" => gradle,
        "pom.xml" => maven,
        _ => return None,
    };
    let (before, after) = (read(before), read(after));
    let gone = before.taken.difference(&after.taken).next().map(|gone| format!("`{gone}` is left out"));
    let left = || after.left.difference(&before.left).next().map(|new| format!("`{new}` is left out"));
    let narrowed = || {
        let narrowed = after.narrow.is_some() && before.narrow != after.narrow;
        let fewer = before.narrow.is_none_or(|old| after.narrow.iter().any(|new| !old.is_subset(new)));
        (narrowed && fewer).then(|| "fewer packages are taken by default".to_owned())
    };
    gone.or_else(left).or_else(narrowed)
}

#[derive(Default)]
struct Packages {
    taken: BTreeSet<String>,
    /// What is left out by name.
    left: BTreeSet<String>,
    /// Those that are taken where nobody says which; `None`: all.
    narrow: Option<BTreeSet<String>>,
}

fn strings(value: Option<&Value>) -> BTreeSet<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str)
        .map(|text| text.trim_start_matches("./").trim_end_matches('/').to_owned())
        .collect()
}

/// Entries that begin with `!` take others out again.
fn signed(entries: BTreeSet<String>) -> Packages {
    let (left, taken) = entries.into_iter().partition(|entry| entry.starts_with('!'));
    Packages { taken, left, narrow: None }
}

fn cargo(text: &str) -> Packages {
    let root = toml::from_str::<toml::Table>(text).ok().and_then(|root| serde_json::to_value(root).ok());
    let workspace = root.as_ref().and_then(|root| root.get("workspace"));
    let list = |key: &str| workspace.and_then(|workspace| workspace.get(key));
    let narrow = list("default-members").map(|members| strings(Some(members)));
    Packages { taken: strings(list("members")), left: strings(list("exclude")), narrow }
}

fn package(text: &str) -> Packages {
    let root: Value = serde_json::from_str(text).unwrap_or_default();
    let workspaces = root.get("workspaces");
    signed(strings(workspaces.and_then(|workspaces| workspaces.get("packages")).or(workspaces)))
}

fn pnpm(text: &str) -> Packages {
    let root: Value = serde_saphyr::from_str(text).unwrap_or_default();
    signed(strings(root.get("packages")))
}

/// The folders of `use ./a` and `use ( … )`.
fn go(text: &str) -> Packages {
    let mut taken = BTreeSet::new();
    let mut inside = false;
    for line in text.lines().map(|line| line.split("//").next().unwrap_or_default().trim()) {
        let folder = match line.strip_prefix("use").filter(|rest| rest.starts_with([' ', '\t', '('])) {
            Some(rest) if rest.trim() == "(" => {
                inside = true;
                continue;
            }
            Some(rest) => rest.trim(),
            None if line == ")" => {
                inside = false;
                continue;
            }
            None if inside => line,
            None => continue,
        };
        if !folder.is_empty() {
            taken.insert(folder.trim_matches(['"', '`']).trim_start_matches("./").to_owned());
        }
    }
    Packages { taken, ..Packages::default() }
}

static GRADLE_COMMENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s:/\*.*?\*/)|(?m:(^|\s)//.*$)"));
static INCLUDE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"\binclude(?:Flat|Build)?\b\s*\(?((?:\s*["'][^"'\n]*["']\s*,?)+)"#));
static QUOTED: LazyLock<Regex> = LazyLock::new(|| pattern(r#"["']([^"']*)["']"#));

fn gradle(text: &str) -> Packages {
    let text = GRADLE_COMMENT.replace_all(text, "");
    let names = INCLUDE.captures_iter(&text).flat_map(|list| {
        let list = list.get(1).map_or("", |list| list.as_str());
        let names = QUOTED.captures_iter(list).filter_map(|name| name.get(1));
        names.map(|name| name.as_str().trim_start_matches(':').to_owned())
    });
    Packages { taken: names.collect(), ..Packages::default() }
}

static XML_COMMENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)<!--.*?-->"));
static MODULE: LazyLock<Regex> = LazyLock::new(|| pattern(r"<module>\s*([^<]*?)\s*</module>"));

fn maven(text: &str) -> Packages {
    let text = XML_COMMENT.replace_all(text, "");
    let names = MODULE.captures_iter(&text).filter_map(|module| module.get(1));
    Packages { taken: names.map(|name| name.as_str().to_owned()).collect(), ..Packages::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_tested_packages_is_seen_and_what_joins_them_is_not() {
        for (name, before, less, more) in [
            (
                "cargo.toml",
                "[workspace]\nmembers = [\"a\", \"b\"]\n",
                "[workspace]\nmembers = [\"a\"]\n",
                "[workspace]\nmembers = [\"b\", \"a\", \"c\"]\n[workspace.dependencies]\nx = \"1\"\n",
            ),
            (
                "cargo.toml",
                "[workspace]\nmembers = [\"*\"]\nexclude = [\"x\"]\n",
                "[workspace]\nmembers = [\"*\"]\nexclude = [\"x\", \"a\"]\n",
                "[workspace]\nmembers = [\"*\"]\n",
            ),
            (
                "cargo.toml",
                "[workspace]\nmembers = [\"*\"]\n",
                "[workspace]\nmembers = [\"*\"]\ndefault-members = [\"a\"]\n",
                "[workspace]\nmembers = [\"*\", \"b\"]\n",
            ),
            (
                "cargo.toml",
                "[workspace]\ndefault-members = [\"a\", \"b\"]\n",
                "[workspace]\ndefault-members = [\"a\", \"c\"]\n",
                "[workspace]\ndefault-members = [\"a\", \"b\", \"c\"]\n",
            ),
            (
                "package.json",
                r#"{"workspaces": ["a", "b"]}"#,
                r#"{"workspaces": ["a"]}"#,
                r#"{"workspaces": {"packages": ["a", "b", "c"]}}"#,
            ),
            (
                "package.json",
                r#"{"workspaces": ["p/*"]}"#,
                r#"{"workspaces": ["p/*", "!p/a"]}"#,
                r#"{"workspaces": ["./p/*/"]}"#,
            ),
            (
                "pnpm-workspace.yaml",
                "packages: [a, b]\n",
                "packages: [a]\n",
                "packages:\n  - a\n  - b\n  - c\n",
            ),
            (
                "go.work",
                "go 1.22\nuse (\n\t./a\n\t./b\n)\n",
                "go 1.22\nuse (\n\t./a\n\t// ./b\n)\n",
                "use ./b\nuse ./a // x\n",
            ),
            (
                "settings.gradle",
                "include ':a', ':b'\n",
                "// x\ninclude ':a'\n/* include\n ':b' */\n",
                "// x\ninclude(\":a\",\n  \":b\")\ninclude 'c'\n",
            ),
            (
                "pom.xml",
                "<modules><module>a</module><module>b</module></modules>",
                "<modules><module>a</module><!-- <module>b</module> --></modules>",
                "<modules>\n<module> b </module><module>a</module><module>c</module></modules>",
            ),
        ] {
            assert!(smaller(name, before, less).is_some(), "{name}: {less}");
            assert_eq!(smaller(name, before, more), None, "{name}: {more}");
            assert_eq!(smaller(name, before, before), None, "{name}");
            assert!(
                smaller(name, before, "").is_some()
                    || before.contains("members = [\"*\"]")
                    || before.contains("default-"),
                "{name}: gone"
            );
            assert_eq!(
                smaller(name, "", before)
                    .filter(|_| !before.contains("exclude") && !before.contains("default-")),
                None,
                "{name}: new"
            );
        }
    }
}
