//! The targets of `make fuzz` on a few thousand inputs: every input that was ever at fault, the seeds, and
//! deterministic variations of both. The long run finds faults; this keeps them from coming back.

#[path = "fuzz/targets/mod.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use targets::{ALL, Target, named, stretched};

/// Variations of each target's inputs.
const VARIATIONS: usize = 200;
const LONGEST: usize = 300;

#[test]
fn every_parser_takes_what_was_found_and_what_is_made() {
    let mut failed = vec![];
    std::thread::scope(|threads| {
        let running: Vec<_> = ALL.iter().map(|target| threads.spawn(|| fault_of(target))).collect();
        failed.extend(running.into_iter().filter_map(|one| one.join().expect("faults are caught")));
    });
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_folder_of_inputs_that_were_at_fault_has_its_target() {
    for entry in fs::read_dir(corpus()).expect("the corpus").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(named(&name).is_some(), "tests/fuzz/corpus/{name} belongs to no target");
    }
}

/// Bounds of time are held by the long run, with an optimised build; here it has to end at all.
#[test]
fn repetition_is_taken_by_every_parser() {
    for target in ALL {
        for input in stretched(target, target.cap.min(600)).iter().step_by(5) {
            (target.run)(input);
        }
    }
}

fn fault_of(target: &Target) -> Option<String> {
    let mut inputs: Vec<Vec<u8>> = target.seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect();
    let mut found: Vec<_> =
        fs::read_dir(corpus().join(target.name)).into_iter().flatten().flatten().collect();
    found.sort_by_key(fs::DirEntry::file_name);
    inputs.extend(found.iter().map(|file| fs::read(file.path()).expect("an input that was at fault")));
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    for _ in 0..VARIATIONS {
        let one = varied(&inputs, target, &mut chance);
        inputs.push(one);
    }
    inputs.into_iter().find_map(|input| {
        catch_unwind(AssertUnwindSafe(|| (target.run)(&input))).err()?;
        Some(format!(
            "{} fails on {:?} (the reason is printed above)",
            target.name,
            String::from_utf8_lossy(&input)
        ))
    })
}

fn corpus() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus")
}

/// A piece of one input, a word or a byte of the target in it, and the end of another.
fn varied(inputs: &[Vec<u8>], target: &Target, chance: &mut Chance) -> Vec<u8> {
    let one = &inputs[chance.below(inputs.len())];
    let other = &inputs[chance.below(inputs.len())];
    let cut = chance.below(one.len() + 1);
    let mut input = match chance.below(4) {
        // Made of words, and of repeated words.
        0 => [&[1], one.as_slice()].concat(),
        1 => [&[2, 9, 4], &one[cut..]].concat(),
        _ => [&one[..cut], &other[chance.below(other.len() + 1)..]].concat(),
    };
    for _ in 0..chance.below(4) {
        let at = chance.below(input.len() + 1);
        let word = target.words[chance.below(target.words.len())].as_bytes();
        let byte = [u8::try_from(chance.below(256)).unwrap_or_default()];
        let piece = if chance.below(3) == 0 { &byte[..] } else { word };
        input.splice(at..at, piece.iter().copied());
    }
    input.truncate(target.longest.min(LONGEST));
    input
}

/// Xorshift (Marsaglia, 2003): the same inputs in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or_default() % bound.max(1)
    }
}
