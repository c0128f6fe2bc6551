//! What is fuzzed: every parser that reads what comes from outside, with what must hold of its answer. The
//! long run (`make fuzz`) and the short one (`tests/parsers.rs`) share this.

mod answers;
mod configuration;
mod edits;
mod gates;
mod github;
mod input;
mod names;
mod people;
mod text;

/// A parser, or a few that read the same kind of text.
pub struct Target {
    pub name: &'static str,
    /// Panics where something does not hold.
    pub run: fn(&[u8]),
    /// What its language is made of: libFuzzer's dictionary, and the letters of structured inputs.
    pub words: &'static [&'static str],
    pub seeds: &'static [&'static str],
    /// Longest input of the long run, in bytes.
    pub longest: usize,
    /// The most bytes that the product hands it at once; so much repetition is tried too.
    pub cap: usize,
}

pub const ALL: &[Target] = &[
    github::SIGNATURE,
    github::PAYLOAD,
    github::COMMAND,
    edits::DIFF,
    edits::REPLACE,
    gates::SARIF,
    gates::JUNIT,
    gates::COVERAGE,
    gates::COMPILERS,
    gates::LOG,
    gates::DISCOVERY,
    configuration::CONFIGURATION,
    configuration::POLICY,
    answers::ANSWER,
    names::NAMES,
    names::EGRESS,
    text::PROMPT,
    text::REDACTION,
    people::SPEECH,
];

pub fn named(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}

/// Inputs of the greatest length that the product takes: each line and each word of a target over and over, at
/// the beginning, in the middle and at the end of what is well-formed. Time that grows faster than the
/// input shows in these.
pub fn stretched(target: &Target, cap: usize) -> Vec<Vec<u8>> {
    let filled = |before: &str, piece: &str, after: &str| {
        let room = cap.saturating_sub(before.len() + after.len());
        let times = room / piece.len().max(1);
        [before.as_bytes(), piece.repeat(times).as_bytes(), after.as_bytes()].concat()
    };
    let mut inputs = vec![];
    for word in target.words.iter().filter(|word| !word.is_empty()) {
        inputs.push(filled("", word, ""));
        inputs.push(filled("", &format!("{word}\n"), ""));
        inputs.push(filled("", &format!("{word} "), ""));
    }
    for seed in target.seeds {
        inputs.push(filled("", seed, ""));
        let mut at = 0;
        for line in seed.split_inclusive('\n') {
            let end = at + line.len();
            inputs.push(filled(&seed[..at], line, &seed[end..]));
            inputs.push(filled(&seed[..end], line, ""));
            at = end;
        }
    }
    inputs
}
