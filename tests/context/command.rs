//! `orchestrator context` as a process.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::repository::{Repository, borrowed, filler};

fn start(repository: &Path, cache: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orchestrator"));
    command.args(["context", "--json", "--issue", "-", "--repo"]).arg(repository);
    command.arg("--cache").arg(cache).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program");
    let mut input = child.stdin.take().expect("its input");
    // A child that is killed or that refuses its arguments reads nothing.
    let _ = input.write_all(b"part_7 returns the wrong total\n\nIt is off by one.\n");
    child
}

fn done(child: Child) -> (Output, Value) {
    let output = child.wait_with_output().expect("its output");
    let value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, value)
}

/// The answer without what differs from run to run.
fn steady(mut value: Value) -> Value {
    for key in ["elapsed_ms", "indexed_blobs"] {
        value[key].take();
    }
    value
}

#[test]
fn the_answer_is_one_object_from_bare_repositories_and_work_trees_alike() {
    let filler = filler(20);
    let (repository, commit) = Repository::of(&borrowed(&filler));
    let cache = repository.folder.path().join("cache");
    let (output, value) = done(start(repository.git_dir(), &cache, &["--rev", "main", "--top", "3"]));
    assert!(output.status.success(), "{output:?}");
    assert_eq!(value["rev"], commit.as_str());
    assert_eq!(value["files"].as_array().map(Vec::len), Some(3));
    assert_eq!(value["files"][0]["path"], "src/part7.rs");
    assert!(value["files"][0]["reasons"][0].is_string() && value["files"][0]["score"].is_f64());
    assert_eq!(value["snippets"][0]["path"], "src/part7.rs");
    assert_eq!(
        (&value["snippets"][0]["start_line"], &value["snippets"][0]["end_line"]),
        (&1.into(), &20.into())
    );
    assert!(value["tokens"].as_u64() <= Some(12_000) && value["indexed_blobs"] == 20);
    let keys: Vec<&String> = value.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["repo", "rev", "files", "snippets", "tokens", "indexed_blobs", "elapsed_ms"]);

    let tree = repository.folder.path().join("tree");
    let cloned = git2::Repository::clone(&repository.git_dir().to_string_lossy(), &tree).expect("a clone");
    cloned.set_head_detached(git2::Oid::from_str(commit.as_str()).expect("an id")).expect("a head");
    std::fs::write(tree.join("not-committed.rs"), "fn part_7() { total }").expect("a file");
    std::fs::create_dir_all(tree.join("src")).expect("a folder");
    let (output, other) = done(start(&tree.join("src"), &cache, &["--top", "3"]));
    assert!(output.status.success(), "{output:?}");
    assert_eq!((&other["files"], &other["snippets"]), (&value["files"], &value["snippets"]));
}

#[test]
fn wrong_input_is_told_with_its_exit_code() {
    let (repository, _) = Repository::of(&[("a.rs", "fn a() {}\n")]);
    let (cache, empty) = (repository.folder.path().join("cache"), repository.folder.path().join("empty"));
    std::fs::create_dir(&empty).expect("a folder");
    // As `git init --object-format=sha256` makes it.
    let other_hash = repository.folder.path().join("sha256.git");
    std::fs::create_dir_all(other_hash.join("objects/pack")).expect("a folder");
    std::fs::create_dir_all(other_hash.join("refs/heads")).expect("a folder");
    std::fs::write(other_hash.join("HEAD"), "ref: refs/heads/main\n").expect("a file");
    let config =
        "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n";
    std::fs::write(other_hash.join("config"), config).expect("a file");
    for (folder, arguments, words) in [
        (repository.git_dir(), vec!["--rev", "nowhere"], "\"nowhere\" names no commit of"),
        (&empty, vec![], "is not in a git repository"),
        (&other_hash, vec![], "unknown object format 'sha256'"),
        (Path::new("/no/such/folder"), vec![], "does not exist"),
    ] {
        let (output, value) = done(start(folder, &cache, &arguments));
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(value["error"].as_str().is_some_and(|error| error.contains(words)), "{value}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(words));
    }
    let (output, _) = done(start(repository.git_dir(), &cache, &["--budget-tokens", "many"]));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn processes_at_once_and_processes_that_are_killed_leave_a_whole_index() {
    let filler = filler(600);
    let (repository, _) = Repository::of(&borrowed(&filler));
    let cache = repository.folder.path().join("cache");
    let rev = ["--rev", "main"];
    let other = repository.folder.path().join("other");
    let (_, right) = done(start(repository.git_dir(), &other, &rev));
    assert!(right["files"][0].is_object(), "{right}");
    let right = steady(right);
    for n in 0..12 {
        let mut child = start(repository.git_dir(), &cache, &rev);
        std::thread::sleep(Duration::from_millis(3 * n));
        child.kill().expect("kill");
        child.wait().expect("its end");
    }
    let children: Vec<Child> = (0..4).map(|_| start(repository.git_dir(), &cache, &rev)).collect();
    for child in children {
        let (output, value) = done(child);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(steady(value), right);
    }
    let (_, warm) = done(start(repository.git_dir(), &cache, &rev));
    assert_eq!(warm["indexed_blobs"], 0);
}
