//! How the edits that models write are applied: real changes of real histories, in each format, damaged by a fixed
//! seed in the ways models damage them, through the product's own entry point. `scripts/bench-edits` runs it;
//! docs/benchmarks.md says how to read it.

#[path = "edits/changes.rs"]
mod changes;
#[path = "edits/damage.rs"]
mod damage;
#[path = "edits/render.rs"]
mod render;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use changes::{Altered, Change, Hunk, Line, Step};
use damage::{Chance, Damage};
use orchestrator::workspace::edits::{apply, put};
use orchestrator::workspace::{FileEntry, FileMode, RepoPath, Snapshot};
use render::Format;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Outcome {
    Right,
    Refused,
    Wrong,
}

/// Right, refused and wrong ones.
#[derive(Default, Clone, Copy)]
struct Counts([usize; 3]);

fn main() {
    let mut sums: BTreeMap<(Format, Damage, bool), Counts> = BTreeMap::new();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let (told, paths): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|argument| argument.starts_with("--"));
    let tells = |outcome: Outcome| {
        told.iter().any(|flag| flag.as_str() == format!("--show-{outcome:?}").to_lowercase())
    };
    let (mut count, mut longest, started) = (0, 0.0_f64, Instant::now());
    for path in paths.into_iter().map(PathBuf::from) {
        for change in changes::of(&path) {
            count += 1;
            for (format, format_name) in Format::ALL {
                for (damage, damage_name) in Damage::ALL {
                    let mut chance = Chance((count * 1_000 + damage as usize * 10 + format as usize) as u64);
                    let began = Instant::now();
                    let Some(case) = Case::of(&change, format, damage, &mut chance) else { continue };
                    let (outcome, said) = case.outcome();
                    longest = longest.max(began.elapsed().as_secs_f64());
                    sums.entry((format, damage, case.ambiguous)).or_default().0[outcome as usize] += 1;
                    if tells(outcome) && !(case.ambiguous && outcome == Outcome::Refused) {
                        println!(
                            "{outcome:?}: {damage_name}, {format_name}, {}\n{}\n{said}\n",
                            change.path, case.shown
                        );
                    }
                }
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{count} changes, {seconds:.0} s, the longest edit {:.0} ms", longest * 1_000.0);
    println!("\nOne place fits:\n{}", table(&sums, false));
    println!("Several places fit as well as each other:\n{}", table(&sums, true));
}

struct Case {
    before: Snapshot,
    after: String,
    path: RepoPath,
    edits: Vec<orchestrator::workspace::edits::Edit>,
    /// Nothing in the edit says which of several places is meant.
    ambiguous: bool,
    shown: String,
}

impl Case {
    fn of(change: &Change, format: Format, damage: Damage, chance: &mut Chance) -> Option<Self> {
        let hunks = damage.hunks(change, format, chance)?;
        let path = RepoPath::parse(change.path.as_str()).ok()?;
        let numbered = format == Format::Diff && damage != Damage::WrongNumbers;
        let ambiguous = format != Format::Whole
            && !numbered
            && hunks.iter().any(|hunk| places(hunk, &change.before) != 1);
        let text = damage.text(render::text(format, &change.path, &change.after, &hunks, damage), chance);
        let ended = |text: &str| {
            if damage == Damage::FileInCrlf { text.replace('\n', "\r\n") } else { text.to_owned() }
        };
        let entry = FileEntry { mode: FileMode::Regular, bytes: ended(&change.before).into_bytes().into() };
        let mut before = Snapshot::default();
        before.files.insert(path.clone(), entry);
        let (shown, after) = (text.shown(), ended(&change.after));
        Some(Self { before, after, edits: text.edits(&path), path, ambiguous, shown })
    }

    fn outcome(&self) -> (Outcome, String) {
        let changes = match apply(&self.before, &self.edits) {
            Ok(changes) => changes,
            Err(refusal) => return (Outcome::Refused, refusal.to_string()),
        };
        let mut made = self.before.clone();
        put(&mut made, &changes);
        let bytes = made.files.get(&self.path).map(|entry| &*entry.bytes).unwrap_or_default();
        if bytes == self.after.as_bytes() {
            return (Outcome::Right, String::new());
        }
        let made = String::from_utf8_lossy(bytes).into_owned();
        let diff = similar::TextDiff::from_lines(&self.after, &made);
        (Outcome::Wrong, diff.unified_diff().context_radius(2).header("right", "made").to_string())
    }
}

/// In how many places the old lines of a block stand, white space aside: of the block's part that stands in the fewest,
/// where lines are left out and each part that changes something stands somewhere.
fn places(hunk: &Hunk, before: &str) -> usize {
    let file: Vec<&str> = before.lines().map(str::trim).collect();
    let parts = hunk.lines.split(|line| line.altered == Altered::LeftOut);
    let parts = parts.filter(|part| part.iter().any(|line| line.step != Step::Keep));
    let count = |part: &[Line]| {
        let old: Vec<&Line> = part.iter().filter(|line| line.step != Step::Add).collect();
        let plain =
            |text: &str| text.replace(['\u{2018}', '\u{2019}'], "'").replace(['\u{201C}', '\u{201D}'], "\"");
        let same = |(line, wanted): (&&str, &&Line)| {
            wanted.altered == Altered::Words || plain(line) == plain(wanted.text.trim())
        };
        if old.is_empty() {
            return usize::MAX;
        }
        file.windows(old.len()).filter(|window| window.iter().zip(&old).all(same)).count()
    };
    parts.map(count).max().unwrap_or(usize::MAX)
}

fn table(sums: &BTreeMap<(Format, Damage, bool), Counts>, ambiguous: bool) -> String {
    let mut rows = format!("| {:<36} |", "damage");
    for (_, name) in Format::ALL {
        rows.push_str(&format!(" {name} |"));
    }
    rows.push_str(" all | refused | wrong |\n|---|---|---|---|---|---|---|---|---|\n");
    let sum = |fits: &dyn Fn(Format, Damage) -> bool| {
        let mut total = Counts::default();
        for ((format, damage, some), counts) in sums {
            if *some == ambiguous && fits(*format, *damage) {
                (0..3).for_each(|at| total.0[at] += counts.0[at]);
            }
        }
        total
    };
    let mut row = |name: &str, damages: &dyn Fn(Damage) -> bool| {
        rows.push_str(&format!("| {name:<36} |"));
        for (format, _) in Format::ALL {
            rows.push_str(&format!(" {} |", sum(&|one, damage| one == format && damages(damage)).share()));
        }
        let all = sum(&|_, damage| damages(damage));
        rows.push_str(&format!(" {} | {} | {} |\n", all.share(), all.0[1], all.0[2]));
    };
    for (damage, name) in Damage::ALL {
        row(name, &|one| one == damage);
    }
    row("all damaged", &|one| one != Damage::None);
    rows
}

impl Counts {
    fn share(self) -> String {
        match self.0.iter().sum::<usize>() {
            0 => "–".to_owned(),
            all => format!("{:.1} % of {all}", 100.0 * self.0[0] as f64 / all as f64),
        }
    }
}
