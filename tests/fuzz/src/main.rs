//! libFuzzer's side of the targets: the one to run is named in `FUZZ_TARGET`, and `FUZZ_DO` may ask for
//! something else than running it. `scripts/fuzz` is the way to start this.
//!
//! An input fails that panics, that takes more than a second of processor time, or for which more than 64 MB
//! are held at once.

#![no_main]

#[path = "../targets/mod.rs"]
mod targets;

mod meter;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

use targets::{ALL, Target, named, stretched};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    named(&name).unwrap_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|target| target.name).collect();
        eprintln!("FUZZ_TARGET={name:?} is no target; the targets are {}", names.join(" "));
        std::process::exit(2)
    })
});

fuzz_target!(
    init: {
        match std::env::var("FUZZ_DO").as_deref() {
            Ok("list") => {
                ALL.iter().for_each(|target| println!("{} {}", target.name, target.longest));
                std::process::exit(0)
            }
            Ok("stretch") => stretch(),
            Ok(folder) => prepare(Path::new(folder)),
            Err(_) => meter::report_at_exit(),
        }
    },
    |data: &[u8]| meter::measured(data, TARGET.run)
);

/// Writes the target's seeds and its dictionary into a folder.
fn prepare(folder: &Path) {
    let write =
        |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).expect("a file can be written");
    for (at, seed) in TARGET.seeds.iter().enumerate() {
        write(&format!("seeds/{at}"), seed.as_bytes());
    }
    // Pieces of the language in every place are structured inputs from the start.
    let letters: Vec<u8> = (0..u8::try_from(TARGET.words.len().min(200)).unwrap_or(200)).collect();
    write("seeds/words", &[&[1], letters.as_slice()].concat());
    write("seeds/repeated", &[&[2, 8, 3], letters.as_slice()].concat());
    let escaped = |word: &str| word.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let words = TARGET.words.iter().filter(|word| !word.is_empty());
    let dictionary: String = words.map(|word| format!("\"{}\"\n", escaped(word))).collect();
    write("words", dictionary.as_bytes());
    std::process::exit(0)
}

/// Runs the target on inputs of the greatest length and of a quarter of it, and ends. Time may grow with the
/// length, and no faster.
fn stretch() {
    meter::report_at_exit();
    let cap = TARGET.cap.min(LONGEST_STRETCH);
    let pairs = stretched(&TARGET, cap / 4).into_iter().zip(stretched(&TARGET, cap));
    for (quarter, whole) in pairs {
        meter::compared(&quarter, &whole, TARGET.run);
    }
    std::process::exit(0)
}

/// Bytes at which growth shows; result files, outputs and payloads may be longer.
const LONGEST_STRETCH: usize = 256 * 1024;
