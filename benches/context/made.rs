//! A repository with a history of fixes, made for those who name none: the same every time. It shows that nothing broke
//! and how fast the search is; what it finds of real fixes, only real histories tell.

use std::path::Path;

use git2::build::TreeUpdateBuilder;
use git2::{Commit, FileMode, Oid, Repository, Signature, Time, Tree};

const PARTS: [&str; 12] = [
    "invoice", "parser", "session", "cache", "router", "ledger", "upload", "search", "mailer", "queue",
    "token", "report",
];
const DEEDS: [&str; 10] =
    ["validate", "render", "merge", "split", "encode", "resolve", "schedule", "collect", "rotate", "compare"];
const THINGS: [&str; 10] =
    ["header", "amount", "window", "address", "cursor", "digest", "locale", "quota", "boundary", "retry"];
const WRONGS: [&str; 4] = ["is rounded down", "is lost", "comes twice", "ends too early"];
const FIXES: usize = 80;

/// Each part has a file for each deed; each file has a function for each thing.
pub fn repository(folder: &Path) {
    let git = Repository::init_bare(folder).expect("a repository");
    let empty = git.treebuilder(None).expect("a tree").write().expect("an id");
    let mut tree = git.find_tree(empty).expect("the tree");
    let mut first = TreeUpdateBuilder::new();
    for (part, deed) in PARTS.iter().flat_map(|part| DEEDS.iter().map(move |deed| (part, deed))) {
        let text: String = THINGS.iter().map(|thing| function(part, deed, thing)).collect();
        first.upsert(path(part, deed), git.blob(text.as_bytes()).expect("a blob"), FileMode::Blob);
    }
    tree = updated(&git, &tree, &mut first);
    let mut last = commit(&git, &tree, None, "Begin", 0);
    for n in 0..FIXES {
        // Steps without common divisors, so that all combinations come.
        let (part, deed, thing) = (PARTS[n * 5 % 12], DEEDS[n * 3 % 10], THINGS[(n * 7 + n / 10) % 10]);
        let mut fix = TreeUpdateBuilder::new();
        fix.upsert(path(part, deed), fixed(&git, &tree, &path(part, deed), (thing, n)), FileMode::Blob);
        tree = updated(&git, &tree, &mut fix);
        let message = format!(
            "Fix that the {thing} {} when we {deed} a {part}\n\nIt was wrong since the beginning.",
            WRONGS[n % 4]
        );
        last = commit(&git, &tree, Some(last), &message, n as i64 + 1);
    }
    git.reference("refs/heads/main", last, true, "made").expect("a branch");
    git.set_head("refs/heads/main").expect("a head");
}

fn path(part: &str, deed: &str) -> String {
    format!("src/{part}/{deed}.rs")
}

fn updated<'a>(git: &'a Repository, before: &Tree<'_>, changed: &mut TreeUpdateBuilder) -> Tree<'a> {
    git.find_tree(changed.create_updated(git, before).expect("an id")).expect("the tree")
}

fn fixed(git: &Repository, tree: &Tree<'_>, path: &str, (thing, n): (&str, usize)) -> Oid {
    let old = tree.get_path(Path::new(path)).expect("an entry");
    let old = git.find_blob(old.id()).expect("the blob");
    let text = String::from_utf8_lossy(old.content()).replace(
        &format!("    let {thing} = input.{thing};\n"),
        &format!("    let {thing} = input.{thing}.checked(LIMIT_{n});\n"),
    );
    git.blob(text.as_bytes()).expect("a blob")
}

fn function(part: &str, deed: &str, thing: &str) -> String {
    let steps: String = (0..12).map(|step| format!("    trace(step_{step}, state);\n")).collect();
    format!(
        "/// Takes what the {part} has and gives it back.\npub fn {deed}_{thing}(input: &Input, state: &mut State) {{\n    \
         let {thing} = input.{thing};\n{steps}    state.done({thing});\n}}\n\n"
    )
}

fn commit(git: &Repository, tree: &Tree<'_>, parent: Option<Oid>, message: &str, time: i64) -> Oid {
    let author =
        Signature::new("Ada", "ada@example.org", &Time::new(1_700_000_000 + time, 0)).expect("a name");
    let parent = parent.map(|id| git.find_commit(id).expect("the parent"));
    let parents: Vec<&Commit<'_>> = parent.iter().collect();
    git.commit(None, &author, &author, message, tree, &parents).expect("a commit")
}
