//! A repository with a history of fixes, made for those who name none: the same every time. It shows that nothing broke
//! and how fast the search is; what it finds of real fixes, only real histories tell.

use std::path::Path;

use git2::{Commit, IndexEntry, IndexTime, Repository, Signature, Time};

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
    let mut index = git2::Index::new().expect("an index");
    for (part, deed) in PARTS.iter().flat_map(|part| DEEDS.iter().map(move |deed| (part, deed))) {
        put(&git, &mut index, part, deed, None);
    }
    let mut last = commit(&git, &mut index, None, "Begin", 0);
    for n in 0..FIXES {
        // Steps without common divisors, so that all combinations come.
        let (part, deed, thing) = (PARTS[n * 5 % 12], DEEDS[n * 3 % 10], THINGS[(n * 7 + n / 10) % 10]);
        put(&git, &mut index, part, deed, Some((thing, n)));
        let message = format!(
            "Fix that the {thing} {} when we {deed} a {part}\n\nIt was wrong since the beginning.",
            WRONGS[n % 4]
        );
        last = commit(&git, &mut index, Some(last), &message, n as i64 + 1);
    }
    git.reference("refs/heads/main", last, true, "made").expect("a branch");
    git.set_head("refs/heads/main").expect("a head");
}

fn put(git: &Repository, index: &mut git2::Index, part: &str, deed: &str, changed: Option<(&str, usize)>) {
    let path = format!("src/{part}/{deed}.rs");
    let old = index.get_path(Path::new(&path), 0).map(|entry| git.find_blob(entry.id).expect("the blob"));
    let old = old.map(|blob| String::from_utf8_lossy(blob.content()).into_owned());
    let text = match (old, changed) {
        (Some(old), Some((thing, n))) => old.replace(
            &format!("    let {thing} = input.{thing};\n"),
            &format!("    let {thing} = input.{thing}.checked(LIMIT_{n});\n"),
        ),
        _ => THINGS.iter().map(|thing| function(part, deed, thing)).collect(),
    };
    let zero = IndexTime::new(0, 0);
    let id = git.blob(text.as_bytes()).expect("a blob");
    let (path, mode) = (path.into_bytes(), 0o100_644);
    let entry = IndexEntry {
        ctime: zero,
        mtime: zero,
        dev: 0,
        ino: 0,
        mode,
        uid: 0,
        gid: 0,
        file_size: 0,
        id,
        flags: 0,
        flags_extended: 0,
        path,
    };
    index.add(&entry).expect("an entry");
}

fn function(part: &str, deed: &str, thing: &str) -> String {
    let steps: String = (0..12).map(|step| format!("    trace(step_{step}, state);\n")).collect();
    format!(
        "/// Takes what the {part} has and gives it back.\npub fn {deed}_{thing}(input: &Input, state: &mut State) {{\n    \
         let {thing} = input.{thing};\n{steps}    state.done({thing});\n}}\n\n"
    )
}

fn commit(
    git: &Repository,
    index: &mut git2::Index,
    parent: Option<git2::Oid>,
    message: &str,
    time: i64,
) -> git2::Oid {
    let tree = git.find_tree(index.write_tree_to(git).expect("a tree")).expect("the tree");
    let author =
        Signature::new("Ada", "ada@example.org", &Time::new(1_700_000_000 + time, 0)).expect("a name");
    let parent = parent.map(|id| git.find_commit(id).expect("the parent"));
    let parents: Vec<&Commit<'_>> = parent.iter().collect();
    git.commit(None, &author, &author, message, &tree, &parents).expect("a commit")
}
