//! What models get slightly wrong, done to right edits by a fixed seed.

use std::collections::HashSet;

use crate::changes::{self, Altered, Change, Hunk, Line, Step};
use crate::render::{Format, Text};

/// A sequence that is the same in each run (splitmix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % limit.max(1) as u64) as usize
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Damage {
    None,
    SpaceAdded,
    SpaceLost,
    Shifted,
    OtherIndentation,
    EditInCrlf,
    FileInCrlf,
    WrongNumbers,
    WrongCounts,
    LeftOut,
    BlankWithoutColumn,
    ContextWithoutColumn,
    NoFinalLineFeed,
    TypographicQuotes,
    PlainQuotes,
    Misremembered,
    OutOfOrder,
    InProse,
}

impl Damage {
    pub const ALL: [(Self, &str); 18] = [
        (Self::None, "nothing"),
        (Self::SpaceAdded, "white space added at line ends"),
        (Self::SpaceLost, "white space lost at line ends"),
        (Self::Shifted, "indentation shifted as a whole"),
        (Self::OtherIndentation, "tabs for spaces, spaces for tabs"),
        (Self::EditInCrlf, "CRLF in the edit"),
        (Self::FileInCrlf, "CRLF in the file only"),
        (Self::WrongNumbers, "wrong line numbers"),
        (Self::WrongCounts, "wrong counts of lines"),
        (Self::LeftOut, "context left out with a mark"),
        (Self::BlankWithoutColumn, "blank context without its space"),
        (Self::ContextWithoutColumn, "all context without its space"),
        (Self::NoFinalLineFeed, "last line feed lost"),
        (Self::TypographicQuotes, "typographic quotes for plain ones"),
        (Self::PlainQuotes, "plain quotes for typographic ones"),
        (Self::Misremembered, "a line of context misremembered"),
        (Self::OutOfOrder, "blocks out of order"),
        (Self::InProse, "prose and a fence around"),
    ];

    /// The lines of a change, damaged; `None` where there is nothing to damage.
    pub fn hunks(self, change: &Change, format: Format, chance: &mut Chance) -> Option<Vec<Hunk>> {
        let context = if self == Self::LeftOut { 9 } else { 3 };
        let mut hunks = changes::hunks(&change.before, &change.after, context);
        let diff = matches!(format, Format::Diff | Format::ApplyPatch);
        let fits = match self {
            Self::WrongNumbers | Self::WrongCounts => format == Format::Diff,
            Self::BlankWithoutColumn => {
                diff && hunks.iter().any(|hunk| hunk.kept().any(|line| line.text.is_empty()))
            }
            Self::ContextWithoutColumn => diff && unmistakable(&hunks),
            Self::OutOfOrder => hunks.len() > 1 && format != Format::Whole,
            Self::InProse => !matches!(format, Format::Replace | Format::Whole),
            // What is lost of two line feeds shows nowhere.
            Self::NoFinalLineFeed => format != Format::Whole || !change.after.ends_with("\n\n"),
            Self::None | Self::EditInCrlf | Self::FileInCrlf => true,
            _ => format != Format::Whole,
        };
        if !fits {
            return None;
        }
        let before: Vec<String> =
            hunks.iter().flat_map(|hunk| &hunk.lines).map(|line| line.text.clone()).collect();
        let count = hunks.len();
        for hunk in &mut hunks {
            self.hunk(hunk, change, chance);
        }
        match self {
            Self::WrongNumbers => {
                let drift = 1 + chance.below(60);
                let down = chance.below(2) == 0;
                for hunk in &mut hunks {
                    let moved = |at: usize| if down { at + drift } else { at.saturating_sub(drift).max(1) };
                    hunk.start = (moved(hunk.start.0), moved(hunk.start.1));
                }
            }
            Self::OutOfOrder => hunks.rotate_left(1 + chance.below(count - 1)),
            Self::Misremembered => misremember(&mut hunks, change, chance)?,
            _ => {}
        }
        let alters = matches!(
            self,
            Self::SpaceAdded
                | Self::SpaceLost
                | Self::Shifted
                | Self::OtherIndentation
                | Self::LeftOut
                | Self::TypographicQuotes
                | Self::PlainQuotes
        );
        let same = hunks.iter().flat_map(|hunk| &hunk.lines).map(|line| &line.text).eq(&before);
        (!alters || !same).then_some(hunks)
    }

    fn hunk(self, hunk: &mut Hunk, change: &Change, chance: &mut Chance) {
        let old = |line: &&mut Line| line.step != Step::Add;
        let there: HashSet<String> = hunk.lines.iter().map(|line| line.text.clone()).collect();
        match self {
            // Where another line is like the damaged one, nothing shows which of the two was meant.
            Self::SpaceAdded => {
                for line in hunk.lines.iter_mut().filter(old) {
                    let padded = format!("{}{}", line.text, ["", "", " ", "  ", "\t"][chance.below(5)]);
                    if !there.contains(&padded) {
                        line.text = padded;
                    }
                }
            }
            Self::SpaceLost => {
                let fits = |line: &&mut Line| {
                    !line.text.trim().is_empty()
                        && (line.text.trim_end() == line.text || !there.contains(line.text.trim_end()))
                };
                for line in hunk.lines.iter_mut().filter(old).filter(fits) {
                    line.text.truncate(line.text.trim_end().len());
                }
            }
            Self::Shifted => shift(hunk, chance),
            Self::OtherIndentation if hunk.shows(&|text| text.starts_with([' ', '\t'])) => {
                other_indentation(hunk, &change.before);
            }
            Self::LeftOut => leave_out(hunk, &change.path, chance),
            Self::TypographicQuotes if hunk.shows(&|text| text.contains(['\'', '"'])) => {
                for line in &mut hunk.lines {
                    line.text = line.text.replace('\'', "\u{2019}");
                    let mut open = false;
                    line.text = line
                        .text
                        .chars()
                        .map(|c| {
                            open ^= c == '"';
                            if c != '"' {
                                c
                            } else if open {
                                '\u{201C}'
                            } else {
                                '\u{201D}'
                            }
                        })
                        .collect();
                }
            }
            Self::PlainQuotes if hunk.shows(&|text| text.contains(TYPOGRAPHIC)) => {
                for line in &mut hunk.lines {
                    line.text = line
                        .text
                        .replace(['\u{2018}', '\u{2019}'], "'")
                        .replace(['\u{201C}', '\u{201D}'], "\"");
                    line.text = line.text.replace(['\u{2013}', '\u{2014}'], "-").replace('\u{2026}', "...");
                }
            }
            _ => {}
        }
    }

    /// What is done to the finished text.
    pub fn text(self, text: Text, chance: &mut Chance) -> Text {
        match self {
            Self::EditInCrlf => text.map(|part| part.replace('\n', "\r\n")),
            Self::NoFinalLineFeed => text.map(|part| part.strip_suffix('\n').unwrap_or(part).to_owned()),
            Self::InProse => text.map(|part| {
                let fence = ["```diff\n", "```\n", "```text\n"][chance.below(3)];
                format!("Here is the change, which I have checked:\n\n{fence}{part}```\n\nLet me know - I can go on.\n")
            }),
            _ => text,
        }
    }
}

const TYPOGRAPHIC: [char; 7] =
    ['\u{2018}', '\u{2019}', '\u{201C}', '\u{201D}', '\u{2013}', '\u{2014}', '\u{2026}'];

impl Hunk {
    /// Whether the file itself shows what a model that damages such lines got wrong.
    fn shows(&self, fits: &dyn Fn(&str) -> bool) -> bool {
        self.lines
            .iter()
            .any(|line| line.step != Step::Add && !line.text.trim().is_empty() && fits(&line.text))
    }

    pub fn kept(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.step == Step::Keep)
    }
}

/// Without their first column, lines that begin with a mark of their own say something else.
fn unmistakable(hunks: &[Hunk]) -> bool {
    let marked = |line: &Line| line.text.starts_with(['+', '-', '@', '\\', '*']);
    hunks.iter().all(|hunk| !hunk.kept().any(marked))
}

fn shift(hunk: &mut Hunk, chance: &mut Chance) {
    let filled = || hunk.lines.iter().filter(|line| !line.text.trim().is_empty());
    let indent = |line: &Line| line.text.len() - line.text.trim_start().len();
    let common = filled().map(indent).min().unwrap_or(0);
    let prefix = filled().next().map(|line| line.text[..common].to_owned()).unwrap_or_default();
    if common > 0 && filled().all(|line| line.text.starts_with(&prefix)) && chance.below(4) > 0 {
        for line in hunk.lines.iter_mut().filter(|line| !line.text.trim().is_empty()) {
            line.text.drain(..common);
        }
        return;
    }
    let tabs = filled().any(|line| line.text.starts_with('\t'));
    let more = if tabs { "\t" } else { ["  ", "    "][chance.below(2)] };
    for line in hunk.lines.iter_mut().filter(|line| !line.text.trim().is_empty()) {
        line.text.insert_str(0, more);
    }
}

/// Each level of indentation by the other character.
fn other_indentation(hunk: &mut Hunk, file: &str) {
    let indent = |text: &str| text[..text.len() - text.trim_start_matches([' ', '\t']).len()].to_owned();
    let filled: Vec<String> = hunk
        .lines
        .iter()
        .filter(|line| !line.text.trim().is_empty())
        .map(|line| indent(&line.text))
        .collect();
    let tabs = filled.iter().any(|indent| indent.contains('\t'));
    let unit = if file.lines().any(|line| line.starts_with("  ") && line.trim_start().len() + 2 == line.len())
    {
        2
    } else {
        4
    };
    let regular = |indent: &String| {
        if tabs { !indent.contains(' ') } else { indent.len().is_multiple_of(unit) }
    };
    if !filled.iter().all(regular) {
        return;
    }
    for line in hunk.lines.iter_mut().filter(|line| !line.text.trim().is_empty()) {
        let old = indent(&line.text);
        let new = if tabs { "    ".repeat(old.len()) } else { "\t".repeat(old.len() / unit) };
        line.text.replace_range(..old.len(), &new);
    }
}

/// Puts a mark in the place of kept lines that are not beside a change.
fn leave_out(hunk: &mut Hunk, path: &str, chance: &mut Chance) {
    const NEAR: usize = 3;
    let changes: Vec<usize> = (0..hunk.lines.len()).filter(|at| hunk.lines[*at].step != Step::Keep).collect();
    let far = |at: usize| changes.iter().all(|change| change.abs_diff(at) > NEAR);
    let ends = path.rsplit('.').next().unwrap_or_default();
    let begin = match ends {
        "py" | "rb" | "yml" | "yaml" | "toml" | "sh" => "# ",
        "md" | "html" | "txt" => "",
        _ => "// ",
    };
    let words = ["...", "... existing code ...", "... rest of the code ..."][chance.below(3)];
    let mut lines: Vec<Line> = Vec::new();
    let last = hunk.lines.len() - 1;
    for (at, line) in hunk.lines.iter().enumerate() {
        // The first and last lines stay, as a person would leave them.
        if !far(at) || at == 0 || at == last {
            lines.push(line.clone());
        } else if lines.last().is_none_or(|line| line.altered != Altered::LeftOut) {
            let indent = &line.text[..line.text.len() - line.text.trim_start().len()];
            let words = if begin.is_empty() { "..." } else { words };
            lines.push(Line {
                text: format!("{indent}{begin}{words}"),
                altered: Altered::LeftOut,
                ..line.clone()
            });
        }
    }
    hunk.lines = lines;
}

/// Alters a word of one kept line so that it is no line of the file.
fn misremember(hunks: &mut [Hunk], change: &Change, chance: &mut Chance) -> Option<()> {
    let long = |line: &&mut Line| line.step == Step::Keep && line.text.trim().len() >= 12;
    let mut kept: Vec<&mut Line> = hunks.iter_mut().flat_map(|hunk| &mut hunk.lines).filter(long).collect();
    let count = kept.len();
    if count == 0 {
        return None;
    }
    let line = kept.swap_remove(chance.below(count));
    let letters: Vec<(usize, char)> =
        line.text.char_indices().filter(|(_, c)| c.is_ascii_alphabetic()).collect();
    let (at, letter) = *letters.get(chance.below(letters.len()))?;
    let text = match chance.below(3) {
        0 => format!("{}{}", &line.text[..at], &line.text[at + 1..]),
        1 => format!("{}{letter}{}", &line.text[..at], &line.text[at..]),
        _ => {
            let other = if letter.is_ascii_uppercase() { "New" } else { "my_" };
            format!("{}{other}{}", &line.text[..at], &line.text[at..])
        }
    };
    let there =
        |text: &str| change.before.lines().chain(change.after.lines()).any(|line| line.trim() == text.trim());
    if there(&text) || text.trim().is_empty() {
        return None;
    }
    line.text = text;
    line.altered = Altered::Words;
    Some(())
}
