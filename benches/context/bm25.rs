//! Plain BM25 (k1 = 1.2, b = 0.75) over all text files of a commit: words in lower case, as they stand.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use git2::{ObjectType, Oid, Repository, TreeWalkMode, TreeWalkResult};

use crate::cases::Case;

const K1: f64 = 1.2;
const B: f64 = 0.75;

struct Document {
    path: String,
    counts: HashMap<String, f64>,
    length: f64,
}

pub fn ranked(repository: &Path, case: &Case) -> Vec<String> {
    let asked: BTreeSet<String> = words(&case.text).collect();
    let documents = documents(repository, case, &asked);
    let total = documents.len() as f64;
    let mean = documents.iter().map(|document| document.length).sum::<f64>() / total.max(1.0);
    let rarity: BTreeMap<&String, f64> = asked
        .iter()
        .map(|word| {
            let with = documents.iter().filter(|document| document.counts.contains_key(word)).count() as f64;
            (word, ((total - with + 0.5) / (with + 0.5) + 1.0).ln())
        })
        .collect();
    let score = |document: &Document| -> f64 {
        let norm = K1 * (1.0 - B + B * document.length / mean.max(1.0));
        let of = |(word, rarity): (&&String, &f64)| {
            let count = document.counts.get(*word).copied().unwrap_or(0.0);
            rarity * count * (K1 + 1.0) / (count + norm)
        };
        rarity.iter().map(of).sum()
    };
    let mut scored: Vec<(f64, String)> =
        documents.iter().map(|document| (score(document), document.path.clone())).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    scored.into_iter().map(|(_, path)| path).collect()
}

fn documents(repository: &Path, case: &Case, asked: &BTreeSet<String>) -> Vec<Document> {
    let git = Repository::open(repository).expect("the repository");
    let commit = git.find_commit(Oid::from_str(case.before.as_str()).expect("an id")).expect("the commit");
    let mut files: Vec<(String, Oid)> = Vec::new();
    let walked = commit.tree().expect("its tree").walk(TreeWalkMode::PreOrder, |folder, entry| {
        if entry.kind() == Some(ObjectType::Blob) {
            files.push((format!("{folder}{}", String::from_utf8_lossy(entry.name_bytes())), entry.id()));
        }
        TreeWalkResult::Ok
    });
    walked.expect("the files");
    let mut documents = Vec::new();
    for (path, id) in files {
        let Ok(blob) = git.find_blob(id) else { continue };
        if blob.is_binary() {
            continue;
        }
        let mut document = Document { path, counts: HashMap::new(), length: 0.0 };
        for word in words(&String::from_utf8_lossy(blob.content())) {
            document.length += 1.0;
            if asked.contains(&word) {
                *document.counts.entry(word).or_default() += 1.0;
            }
        }
        documents.push(document);
    }
    documents
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let runs = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    runs.filter(|run| run.len() > 1).map(str::to_lowercase)
}
