//! Diffs, and where a review comment may stand.

use orchestrator::workspace::{FileContent, FileEntry, FileMode, FileStatus, LineKind, Side};

use crate::git_server::git;
use crate::scene::{Scene, branch, commit, file, path, snapshot};

fn numbered(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|number| format!("line {number}\n")).collect()
}

#[tokio::test]
async fn a_diff_tells_what_git_tells() {
    let scene = Scene::start().await;
    scene.write("long.txt", numbered(1..=60));
    scene.write("moved.txt", numbered(100..=140));
    scene.write("gone.txt", "gone\n");
    scene.write("bin", b"\0\x01\x02");
    scene.write("no-newline", "a\nb");
    scene.publish("files");
    let mirror = scene.mirror().await;
    let base = mirror.resolve(&branch("main")).expect("main");
    let mut files = snapshot(&mirror, &base);
    let text = numbered(1..=60).replace("line 20\n", "line twenty\nand more\n").replace("line 50\n", "");
    files.files.insert(path("long.txt"), file(text));
    let moved = files.files.remove(&path("moved.txt")).expect("the file");
    let mut bytes = moved.bytes.to_vec();
    bytes.extend_from_slice(b"one more\n");
    files.files.insert(path("elsewhere/moved.txt"), file(bytes));
    files.files.remove(&path("gone.txt"));
    files.files.insert(path("bin"), file(b"\0\x01\x03"));
    files.files.insert(path("new.txt"), file("new\n"));
    files.files.insert(path("no-newline"), file("a\nc"));
    files.files.insert(path("ln"), FileEntry { mode: FileMode::Symlink, bytes: b"new.txt".to_vec().into() });
    let head = commit(&mirror, &base, &files).expect("a change");
    let diff = mirror.diff(&base, &head).expect("a diff");

    let repository = scene.folder.path().join("mirrors/7.git");
    let range = [base.as_str(), head.as_str()];
    let ours: Vec<String> = diff
        .files
        .iter()
        .map(|file| match &file.content {
            FileContent::Text { additions, deletions, .. } => {
                format!("{additions}\t{deletions}\t{}", file.path)
            }
            FileContent::Binary => format!("-\t-\t{}", file.path),
        })
        .collect();
    let numstat = git(&repository, &["diff", "-M", "--numstat", range[0], range[1]]);
    let theirs: Vec<String> = numstat
        .lines()
        .map(|line| line.replace("moved.txt => elsewhere/moved.txt", "elsewhere/moved.txt"))
        .collect();
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    assert_eq!(sorted(ours), sorted(theirs));
    let theirs = git(&repository, &["diff", "-M", "--full-index", range[0], range[1]]);
    let body = |text: &str| -> Vec<String> {
        let same = |line: &&str| !line.starts_with("index ") && !line.starts_with("similarity ");
        text.lines().filter(same).map(str::to_owned).collect()
    };
    assert_eq!(body(&diff.unified), body(&theirs));

    let moved = diff.file(&path("elsewhere/moved.txt")).expect("the file");
    assert_eq!((moved.status, moved.old_path.as_ref()), (FileStatus::Renamed, Some(&path("moved.txt"))));
    assert_eq!((moved.old_bytes + 9, moved.bytes), (moved.bytes, 41 * 9 + 9), "sizes are of both sides");
    let gone = diff.file(&path("gone.txt")).expect("the file");
    assert_eq!((gone.old_bytes, gone.bytes), (5, 0));
    assert_eq!(diff.file(&path("gone.txt")).expect("the file").status, FileStatus::Deleted);
    assert_eq!(diff.file(&path("bin")).expect("the file").content, FileContent::Binary);
    assert_eq!(diff.file(&path("new.txt")).expect("the file").status, FileStatus::Added);

    let long = diff.file(&path("long.txt")).expect("the file");
    assert_eq!(
        long.lines(Side::Right).collect::<Vec<_>>(),
        [17, 18, 19, 20, 21, 22, 23, 24, 48, 49, 50, 51, 52, 53]
    );
    let added: Vec<_> = long.hunks()[0].lines.iter().filter(|line| line.kind == LineKind::Added).collect();
    assert_eq!((added[0].new, added[0].old, added[0].text.as_str()), (Some(20), None, "line twenty"));
    assert!(diff.takes_comment(&path("long.txt"), Side::Right, 24));
    assert!(!diff.takes_comment(&path("long.txt"), Side::Right, 25));
    assert!(diff.takes_comment(&path("long.txt"), Side::Left, 50));
    assert!(!diff.takes_comment(&path("README.md"), Side::Right, 1));
    assert!(!diff.takes_comment(&path("bin"), Side::Right, 1));
    assert_eq!(diff.nearest_line(&path("long.txt"), Side::Right, 40), Some(48));
    let ends = diff.file(&path("no-newline")).expect("the file");
    assert_eq!(ends.lines(Side::Right).collect::<Vec<_>>(), [1, 2]);
}
