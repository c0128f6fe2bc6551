//! How well the search for context finds what a fix will change: cases are bug-fix commits of real histories, asked
//! at the commit before, with plain BM25 over the same files beside it. `scripts/bench-context` runs it;
//! docs/benchmarks.md says how to read it.

#[path = "context/bm25.rs"]
mod bm25;
#[path = "context/cases.rs"]
mod cases;
#[path = "context/made.rs"]
mod made;
#[path = "context/speed.rs"]
mod speed;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cases::Case;
use orchestrator::context::{ContextRequest, Contexts, Snippet};

const TOP: usize = 1_000;

fn main() {
    let mut paths: Vec<PathBuf> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).map(PathBuf::from).collect();
    let cache = tempfile::tempdir().expect("a folder for the index");
    if paths.is_empty() {
        let made = cache.path().join("made.git");
        made::repository(&made);
        paths.push(made);
    }
    println!("{:<34} {}", "", speed::HEAD);
    for path in &paths {
        println!("{:<34} {}", shown(path), speed::row(path));
    }
    let (mut ours, mut plain) = (Sums::default(), Sums::default());
    println!("{:<34} {}", "", Sums::HEAD);
    for path in &paths {
        let (of_ours, of_plain) = measure(path, &cache.path().join("index"));
        println!("{:<34} {}", shown(path), of_ours.row());
        ours.add(&of_ours);
        plain.add(&of_plain);
    }
    println!("{:<34} {}", "all, ours", ours.row());
    println!("{:<34} {}", "all, BM25 over the same files", plain.row());
}

fn shown(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let text = path.display().to_string();
    let start = text.char_indices().rev().nth(32).map_or(0, |(at, _)| at);
    text[start..].to_owned()
}

fn measure(path: &Path, cache: &Path) -> (Sums, Sums) {
    let (mut ours, mut plain) = (Sums::default(), Sums::default());
    let contexts = Contexts::new(cache.to_owned());
    for case in cases::of(path) {
        let ask = |budget_tokens| {
            let request = ContextRequest { commit: &case.before, text: &case.text, top: TOP, budget_tokens };
            contexts.select(&case.git_dir, &request).expect("a selection")
        };
        let wide = ask(32_000);
        let started = Instant::now();
        let narrow = ask(8_000);
        let took = started.elapsed();
        let files: Vec<String> = narrow.files.into_iter().map(|file| file.path).collect();
        let lines = [share(&case, &narrow.snippets), share(&case, &wide.snippets)];
        ours.count(&case, &files, lines, took);
        let started = Instant::now();
        let files = bm25::ranked(path, &case);
        plain.count(&case, &files, [0.0; 2], started.elapsed());
    }
    (ours, plain)
}

/// How much of the lines that the fix changed is in the snippets.
fn share(case: &Case, snippets: &[Snippet]) -> f64 {
    let within = |(path, line): &&(String, usize)| {
        let holds = |snippet: &Snippet| {
            snippet.path == *path && (snippet.start_line..=snippet.end_line).contains(line)
        };
        snippets.iter().any(holds)
    };
    case.lines.iter().filter(within).count() as f64 / case.lines.len().max(1) as f64
}

#[derive(Default)]
struct Sums {
    cases: f64,
    recall: [f64; 3],
    reciprocal: f64,
    all: f64,
    lines: [f64; 2],
    times: Vec<Duration>,
}

impl Sums {
    const HEAD: &str = "cases   r@1   r@5  r@10   MRR all@10  8k    32k   median, p90 ms";

    fn count(&mut self, case: &Case, files: &[String], lines: [f64; 2], took: Duration) {
        let right: HashSet<&str> = case.changed.iter().map(String::as_str).collect();
        let within = |count: usize| {
            let found = files.iter().take(count).filter(|file| right.contains(file.as_str())).count();
            found as f64 / right.len() as f64
        };
        for (sum, count) in self.recall.iter_mut().zip([1, 5, 10]) {
            *sum += within(count);
        }
        let first = files.iter().position(|file| right.contains(file.as_str()));
        self.reciprocal += first.map_or(0.0, |at| 1.0 / (at + 1) as f64);
        self.all += if within(10) >= 1.0 { 1.0 } else { 0.0 };
        self.lines[0] += lines[0];
        self.lines[1] += lines[1];
        self.cases += 1.0;
        self.times.push(took);
    }

    fn add(&mut self, other: &Self) {
        self.cases += other.cases;
        self.reciprocal += other.reciprocal;
        self.all += other.all;
        (0..3).for_each(|at| self.recall[at] += other.recall[at]);
        (0..2).for_each(|at| self.lines[at] += other.lines[at]);
        self.times.extend_from_slice(&other.times);
    }

    fn row(&self) -> String {
        if self.cases == 0.0 {
            return "no bug-fix commit that fits".to_owned();
        }
        let mean = |sum: f64| sum / self.cases;
        let [one, five, ten] = self.recall.map(mean);
        let (mrr, all) = (mean(self.reciprocal), mean(self.all));
        let [narrow, wide] = self.lines.map(mean);
        let mut times = self.times.clone();
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        format!(
            "{:>5} {one:>5.3} {five:>5.3} {ten:>5.3} {mrr:>5.3} {all:>5.3} {narrow:>5.3} {wide:>5.3}  {:.1}, {:.1}",
            self.cases,
            at(50),
            at(90)
        )
    }
}
