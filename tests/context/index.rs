//! The index on disk: shared, damaged, bounded.

use std::fs;
use std::sync::Barrier;

use orchestrator::context::Selection;

use crate::repository::{Repository, borrowed, filler};

const TEXT: &str = "part_7 returns the wrong total";

fn without_count(selection: Selection) -> Selection {
    Selection { indexed_blobs: 0, ..selection }
}

#[test]
fn the_same_commit_and_text_give_the_same_answer_cold_warm_and_anew() {
    let filler = filler(60);
    let (mut repository, first) = Repository::of(&borrowed(&filler));
    let tip = repository.commit(Some(&first), &[("src/new.rs", "fn total() {}\n")], "fix the total");
    let contexts = repository.contexts();
    repository.select(&contexts, &first, "something else");
    let grown = repository.select(&contexts, &tip, TEXT);
    assert_eq!(grown.indexed_blobs, 1);
    let warm = repository.select(&contexts, &tip, TEXT);
    assert_eq!(warm.indexed_blobs, 0);
    let read_again = repository.select(&repository.contexts(), &tip, TEXT);
    assert_eq!(read_again.indexed_blobs, 0);
    fs::remove_dir_all(repository.folder.path().join("cache")).expect("remove");
    let cold = repository.select(&repository.contexts(), &tip, TEXT);
    assert_eq!(cold.indexed_blobs, 61);
    let (cold, warm) = (without_count(cold), without_count(warm));
    assert!(!cold.files.is_empty() && !cold.snippets.is_empty());
    assert_eq!(cold, warm);
    assert_eq!(cold, without_count(grown));
    assert_eq!(cold, without_count(read_again));
}

#[test]
fn a_damaged_file_of_the_index_is_made_anew() {
    let filler = filler(30);
    let (repository, commit) = Repository::of(&borrowed(&filler));
    let right = without_count(repository.select(&repository.contexts(), &commit, TEXT));
    let damages: [fn(Vec<u8>) -> Vec<u8>; 5] = [
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |_| Vec::new(),
        |mut bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
            bytes
        },
        |mut bytes| {
            bytes[9] ^= 0xff;
            bytes
        },
        |mut bytes| {
            bytes.extend_from_slice(b"more");
            bytes
        },
    ];
    for damage in damages {
        let segments = repository.segments();
        assert_eq!(segments.len(), 2, "{segments:?}");
        for path in &segments {
            let bytes = fs::read(path).expect("a segment");
            fs::write(path, damage(bytes)).expect("damage");
        }
        let again = repository.select(&repository.contexts(), &commit, TEXT);
        assert_eq!(again.indexed_blobs, 30);
        assert_eq!(without_count(again), right);
        let healed = repository.select(&repository.contexts(), &commit, TEXT);
        assert_eq!(healed.indexed_blobs, 0);
        assert_eq!(repository.segments().len(), 2);
    }
}

#[test]
fn many_at_once_share_one_index() {
    let filler = filler(200);
    let (repository, commit) = Repository::of(&borrowed(&filler));
    let (barrier, git_dir) = (Barrier::new(6), repository.git_dir().to_owned());
    let root = repository.folder.path().join("cache");
    let answers: Vec<Selection> = std::thread::scope(|scope| {
        let ask = || {
            // Contexts of their own, as processes have.
            let contexts = orchestrator::context::Contexts::new(root.clone());
            barrier.wait();
            let request = orchestrator::context::ContextRequest {
                commit: &commit,
                text: TEXT,
                top: 50,
                budget_tokens: 4_000,
            };
            contexts.select(&git_dir, &request).expect("a selection")
        };
        let askers: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        askers.into_iter().map(|asker| asker.join().expect("an answer")).collect()
    });
    // The lock lets one of them read the blobs.
    assert_eq!(answers.iter().map(|answer| answer.indexed_blobs).sum::<usize>(), 200);
    let first = without_count(answers[0].clone());
    assert!(answers.into_iter().all(|answer| without_count(answer) == first));
}

#[test]
fn the_index_stays_small_in_files_over_many_commits() {
    let filler = filler(20);
    let (mut repository, mut tip) = Repository::of(&borrowed(&filler));
    let contexts = repository.contexts();
    for n in 0..60 {
        let text = format!("fn total_{n}() {{}}\n");
        tip = repository.commit(Some(&tip), &[("src/part1.rs", &text)], &format!("change {n}"));
        repository.select(&contexts, &tip, TEXT);
        assert!(repository.segments().len() <= 34, "{}", repository.segments().len());
    }
    let warm = repository.select(&repository.contexts(), &tip, "total_59");
    assert_eq!((warm.indexed_blobs, warm.files[0].path.as_str()), (0, "src/part1.rs"));
}

#[test]
fn what_comes_in_a_pack_while_the_process_lives_is_found() {
    let filler = filler(20);
    let (mut repository, first) = Repository::of(&borrowed(&filler));
    repository.pack();
    let contexts = repository.contexts();
    assert_eq!(repository.select(&contexts, &first, TEXT).indexed_blobs, 20);
    let tip = repository.commit(Some(&first), &[("src/late.rs", "fn latecomer() {}\n")], "more");
    repository.pack();
    let late = repository.select(&contexts, &tip, "latecomer");
    assert_eq!((late.indexed_blobs, late.files[0].path.as_str()), (1, "src/late.rs"));
}

#[test]
fn the_next_commit_is_answered_as_if_it_were_the_first() {
    let filler = filler(40);
    let (mut repository, first) = Repository::of(&borrowed(&filler));
    let contexts = repository.contexts();
    repository.select(&contexts, &first, TEXT);
    let changes = [
        ("src/part7.rs", "fn other() {}\n"),
        ("src/deep/folder/part_7.rs", "fn part_7() { total }\n"),
        ("a.rs", "fn total() {}\n"),
        ("zz.rs", "fn wrong_total() {}\n"),
    ];
    let tip = repository.commit(Some(&first), &changes, "move part_7");
    let known = repository.select(&contexts, &tip, TEXT);
    std::fs::remove_dir_all(repository.folder.path().join("cache")).expect("remove");
    let anew = repository.select(&repository.contexts(), &tip, TEXT);
    assert_eq!(known.indexed_blobs, 4);
    assert_eq!(without_count(known), without_count(anew));
}

#[test]
fn a_commit_that_is_not_there_is_told() {
    let (repository, _) = Repository::of(&[("a.rs", "fn a() {}\n")]);
    let missing = orchestrator::workspace::CommitSha::parse("1".repeat(40)).expect("an id");
    let request =
        orchestrator::context::ContextRequest { commit: &missing, text: "a", top: 1, budget_tokens: 1 };
    let error = repository.contexts().select(repository.git_dir(), &request).expect_err("no commit");
    assert_eq!(error.to_string(), format!("the commit {missing} is not in the repository"));
}
