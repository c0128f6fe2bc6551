use std::convert::Infallible;

use proptest::prelude::*;

use super::*;
use crate::workspace::RepoPath;

const WIDE: ChangeLimits = ChangeLimits {
    files: 100,
    lines: 1000,
    file_bytes: 1000,
    total_bytes: 2000,
    binary: BinaryFiles::Protected,
};

fn rules(allowed: Option<&[&str]>, protected: &[&str]) -> PathRules {
    let owned = |globs: &[&str]| globs.iter().map(|glob| (*glob).to_owned()).collect();
    PathRules { allowed: allowed.map(owned), protected: owned(protected) }
}

fn policy() -> PathPolicy {
    PathPolicy::new(&PathRules::default(), &PathRules::default(), WIDE).expect("a policy")
}

fn path(path: &str) -> RepoPath {
    RepoPath::parse(path).expect(path)
}

fn file(name: &str, status: FileStatus) -> FileDiff {
    let content = FileContent::Text { additions: 1, deletions: 1, hunks: vec![] };
    FileDiff { path: path(name), old_path: None, status, old_bytes: 10, bytes: 11, content }
}

fn change(files: Vec<FileDiff>) -> TreeDiff {
    TreeDiff { files, ..TreeDiff::default() }
}

fn touching(names: &[&str]) -> TreeDiff {
    change(names.iter().map(|name| file(name, FileStatus::Modified)).collect())
}

/// Where no manifest asks for anything.
fn violations(policy: &PathPolicy, diff: &TreeDiff, opened: &[String]) -> Vec<Violation> {
    let Ok(found) = policy.violations(diff, opened, &|_, _| Ok::<_, Infallible>(None));
    found
}

fn refused(policy: &PathPolicy, diff: &TreeDiff, opened: &[&str]) -> Vec<String> {
    let opened: Vec<String> = opened.iter().map(|path| (*path).to_owned()).collect();
    violations(policy, diff, &opened).into_iter().map(|v| v.path.unwrap_or(v.rule)).collect()
}

#[test]
fn what_decides_what_runs_reviews_or_instructs_is_protected_in_every_repository() {
    for name in [
        ".github/workflows/ci.yml",
        ".github",
        ".GitHub/Workflows/CI.yml",
        ".github./dependabot.yml",
        ".orchestrator/config.yaml",
        "AGENTS.md",
        "crates/a/agents.md",
        "CLAUDE.md",
        ".claude/settings.json",
        "web/.cursor/rules/a.mdc",
        ".cursorrules",
        "GEMINI.md",
        "docs/copilot-instructions.md",
        "CODEOWNERS",
        "docs/CODEOWNERS",
        "codeowners",
        ".gitmodules",
        "a/.gitattributes",
        "jenkinsfile",
        ".husky/pre-commit",
        ".cargo/config.toml",
        "crates/a/.cargo/config",
        "web/.npmrc",
        ".yarnrc",
        ".yarnrc.yml",
        ".yarn/releases/yarn.cjs",
        ".mvn/maven.config",
        ".mvn/extensions.xml",
        "app/gradle/wrapper/gradle-wrapper.properties",
    ] {
        for status in [FileStatus::Added, FileStatus::Modified, FileStatus::Deleted, FileStatus::TypeChanged]
        {
            let diff = change(vec![file(name, status)]);
            assert_eq!(refused(&policy(), &diff, &[]), [name], "{status:?}");
            assert_eq!(refused(&policy(), &diff, &[name]), [""; 0], "opened by the plan");
        }
    }
    for name in [
        "src/github.rs",
        "docs/agents/x.md",
        "my.github/x",
        "src/CODEOWNERS.rs",
        "src/claude.rs",
        ".gitignore",
    ] {
        assert_eq!(refused(&policy(), &touching(&[name]), &[]), [""; 0], "{name}");
    }
}

#[test]
fn a_plan_opens_exactly_the_files_that_it_names() {
    let diff = touching(&[".github/workflows/ci.yml", ".github/workflows/release.yml"]);
    assert_eq!(refused(&policy(), &diff, &[".github/workflows/ci.yml"]), [".github/workflows/release.yml"]);
    for near in [
        ".github/workflows/CI.yml",
        ".github/workflows",
        ".github/**",
        "./.github/workflows/ci.yml",
        "ci.yml",
    ] {
        let diff = touching(&[".github/workflows/ci.yml"]);
        assert_eq!(refused(&policy(), &diff, &[near]).len(), 1, "{near} is another name");
    }
}

#[test]
fn a_renamed_file_counts_where_it_was_and_where_it_is() {
    let renamed = |old: &str, new: &str| {
        change(vec![FileDiff { old_path: Some(path(old)), ..file(new, FileStatus::Renamed) }])
    };
    assert_eq!(refused(&policy(), &renamed(".github/ci.yml", "ci.yml"), &[]), [".github/ci.yml"]);
    assert_eq!(refused(&policy(), &renamed("ci.yml", ".github/ci.yml"), &[]), [".github/ci.yml"]);
    assert_eq!(refused(&policy(), &renamed("AGENTS.md", "CLAUDE.md"), &["CLAUDE.md"]), ["AGENTS.md"]);
    let only_src = rules(Some(&["src/**"]), &[]);
    let narrow = PathPolicy::new(&only_src, &PathRules::default(), WIDE).expect("a policy");
    assert_eq!(refused(&narrow, &renamed("src/a", "b"), &[]), ["b"]);
    assert_eq!(refused(&narrow, &renamed("b", "src/a"), &[]), ["b"]);
}

/// The paths that are refused where these are the texts of manifests, before and after.
fn refused_with(names: &[&str], texts: &[(&str, &str, &str)]) -> Vec<String> {
    let read = |side: Side, path: &str| {
        let text = texts.iter().find(|(name, ..)| *name == path);
        let text = text.map(|(_, before, after)| if side == Side::Before { *before } else { *after });
        Ok::<_, Infallible>(text.filter(|text| !text.is_empty()).map(str::to_owned))
    };
    let Ok(found) = policy().violations(&touching(names), &[], &read);
    found.into_iter().map(|found| found.path.unwrap_or(found.rule)).collect()
}

#[test]
fn a_lock_file_changes_only_with_what_it_is_made_from() {
    assert_eq!(refused(&policy(), &touching(&["Cargo.lock"]), &[]), ["Cargo.lock"]);
    assert_eq!(refused(&policy(), &touching(&["CARGO.LOCK"]), &[]), ["CARGO.LOCK"]);
    assert_eq!(refused(&policy(), &touching(&["Cargo.lock"]), &["Cargo.lock"]), [""; 0]);
    let (cargo, more) = ("[package]\nname = \"a\"\n", "[package]\nname = \"a\"\n[dependencies]\nb = \"1\"\n");
    let (package, another) = (r#"{"name": "a"}"#, r#"{"name": "a", "dependencies": {"b": "1"}}"#);
    let root = "[workspace]\nmembers = [\"crates/*\"]\n";
    for (names, texts) in [
        (["Cargo.lock", "Cargo.toml"], vec![("Cargo.toml", cargo, more)]),
        (
            ["Cargo.lock", "crates/a/Cargo.toml"],
            vec![("Cargo.toml", root, root), ("crates/a/Cargo.toml", cargo, more)],
        ),
        (
            ["Cargo.lock", "crates/b/Cargo.toml"],
            vec![("Cargo.toml", root, root), ("crates/b/Cargo.toml", "", cargo)],
        ),
        (["web/yarn.lock", "web/package.json"], vec![("web/package.json", package, another)]),
        (["uv.lock", "pyproject.toml"], vec![("pyproject.toml", "", "[project]\ndependencies = [\"a\"]\n")]),
        (["go.sum", "go.mod"], vec![("go.mod", "module a\n", "module a\nrequire b v1\n")]),
        (["Gemfile.lock", "a.gemspec"], vec![("a.gemspec", "x\n", "y\n")]),
    ] {
        assert_eq!(refused_with(&names, &texts), [""; 0], "{names:?}");
    }
    for (names, texts) in [
        (["Cargo.lock", "Cargo.toml"], vec![("Cargo.toml", cargo, "# a blank\n\n[package]\nname = \"a\"\n")]),
        (["package-lock.json", "package.json"], vec![("package.json", package, "{\n  \"name\": \"a\"\n}\n")]),
        (["Cargo.lock", "web/package.json"], vec![("web/package.json", package, another)]),
        (
            ["Cargo.lock", "fuzz/Cargo.toml"],
            vec![("Cargo.toml", root, root), ("fuzz/Cargo.toml", cargo, more)],
        ),
        (
            ["package-lock.json", "docs/package.json"],
            vec![("package.json", package, package), ("docs/package.json", package, another)],
        ),
        (["go.sum", "tools/go.mod"], vec![("tools/go.mod", "module a\n", "module a\nrequire b v1\n")]),
        (["web/package-lock.json", "package.json"], vec![("package.json", package, another)]),
    ] {
        assert_eq!(refused_with(&names, &texts), names[..1], "{names:?}");
    }
}

#[test]
fn the_stricter_side_wins() {
    let (src, lib) = (rules(Some(&["src/**", "lib/**"]), &["src/a"]), rules(Some(&["src/**"]), &["src/b"]));
    for (deployment, repository) in [(&src, &lib), (&lib, &src)] {
        let policy = PathPolicy::new(deployment, repository, WIDE).expect("a policy");
        let diff = touching(&["src/a", "src/b", "src/c", "lib/x", "Src/c"]);
        assert_eq!(refused(&policy, &diff, &["lib/x"]), ["Src/c", "lib/x", "src/a", "src/b"]);
    }
    let low = ChangeLimits { files: 1, binary: BinaryFiles::Allowed, ..WIDE };
    let both = WIDE.lowered_by(low);
    assert_eq!(both, low.lowered_by(WIDE));
    assert_eq!((both.files, both.binary), (1, BinaryFiles::Protected));
}

#[test]
fn each_limit_is_the_first_number_that_is_still_taken() {
    let sized = |old_bytes, bytes| FileDiff { old_bytes, bytes, ..file("a", FileStatus::Modified) };
    let many = |count: usize| touching(&(0..count).map(|_| "a").collect::<Vec<_>>());
    let with = |diff: &TreeDiff| violations(&policy(), diff, &[]).len();
    assert_eq!((with(&many(100)), with(&many(101))), (0, 1));
    assert_eq!((with(&change(vec![sized(0, 1000)])), with(&change(vec![sized(0, 1001)]))), (0, 1));
    assert_eq!(
        with(&change(vec![sized(5000, 4999)])),
        0,
        "a large file that shrinks is no fault of the change"
    );
    let total = |each| change(vec![sized(0, each), sized(0, 1000)]);
    assert_eq!(
        (with(&total(1000)), with(&change(vec![sized(0, 1000), sized(0, 1000), sized(0, 1)]))),
        (0, 1)
    );
    let lines = |additions| {
        let content = FileContent::Text { additions, deletions: 400, hunks: vec![] };
        change(vec![FileDiff { content, ..file("a", FileStatus::Modified) }])
    };
    assert_eq!((with(&lines(600)), with(&lines(601))), (0, 1));
}

#[test]
fn what_is_no_text_is_named_by_the_plan_or_not_changed() {
    let binary = |status| change(vec![FileDiff { content: FileContent::Binary, ..file("logo.png", status) }]);
    assert_eq!(refused(&policy(), &binary(FileStatus::Added), &[]), ["logo.png"]);
    assert_eq!(refused(&policy(), &binary(FileStatus::Added), &["logo.png"]), [""; 0]);
    assert_eq!(refused(&policy(), &binary(FileStatus::Deleted), &[]), [""; 0]);
    let lax = ChangeLimits { binary: BinaryFiles::Allowed, ..WIDE };
    let lax = PathPolicy::new(&PathRules::default(), &PathRules::default(), lax).expect("a policy");
    assert_eq!(refused(&lax, &binary(FileStatus::Added), &[]), [""; 0]);
}

#[test]
fn the_rules_in_words_name_every_glob_and_what_the_plan_opens() {
    let policy =
        PathPolicy::new(&rules(None, &["x/**"]), &rules(Some(&["src/**"]), &["y"]), WIDE).expect("a policy");
    let words = policy.in_words(&["CODEOWNERS".to_owned()]);
    for part in [".github/**", "x/**", " y", "may change: src/**", "100 files", "opens: CODEOWNERS"] {
        assert!(words.contains(part), "{part:?} is missing: {words}");
    }
}

proptest! {
    #[test]
    fn more_files_never_make_a_change_better(names in proptest::collection::vec("[a-c.]{1,3}(/[a-c]{1,2}){0,2}", 1..8)) {
        prop_assume!(names.iter().all(|name| RepoPath::parse(name.as_str()).is_ok()));
        let policy = PathPolicy::new(&rules(Some(&["a*", "b*"]), &["b/**"]), &rules(None, &["**/c"]), WIDE).expect("a policy");
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let few = violations(&policy, &touching(&names[1..]), &[]);
        let more = violations(&policy, &touching(&names), &[]);
        prop_assert!(few.iter().all(|violation| more.contains(violation)));
    }
}
