//! Why a file was chosen, in words for a person.

use super::kind::FileKind;
use super::rank::{Ranked, Ranking, Sign};
use super::tree::Tree;

/// Most words in one reason.
const WORDS: usize = 5;
/// A literal text is shown as far.
const SHOWN: usize = 60;

/// The reasons for a file, the strongest kinds first.
pub(super) fn reasons(ranking: &Ranking, tree: &Tree, ranked: &Ranked) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(mention) = ranking.mentions.iter().find(|mention| mention.file == ranked.file) {
        reasons.push(match mention.line {
            Some(line) => format!("the text names it: {}, line {line}", mention.written),
            None => format!("the text names it: {}", mention.written),
        });
    }
    if let Some(phrase) = ranked.chunks.iter().find_map(|chunk| chunk.phrase) {
        let text: String = ranking.asked.phrases[phrase].chars().take(SHOWN).collect();
        reasons.push(format!("it has the text \"{text}\""));
    }
    let name = |at: u16| ranking.asked.names[usize::from(at)].text.as_str();
    let word = |at: u16| ranking.asked.words[usize::from(at)].text.as_str();
    let hits = &ranked.hits;
    let defined = heaviest(&hits.defined, &ranking.worth.defined);
    push(&mut reasons, "it defines", defined.into_iter().map(name));
    let words = heaviest(&hits.words, &ranking.worth.words);
    push(&mut reasons, "it has the words", words.into_iter().map(word));
    let names = heaviest(&hits.compounds, &ranking.worth.names);
    push(&mut reasons, "it uses the names", names.into_iter().map(name));
    let path = &ranked.path;
    let in_path: Vec<(u16, u8)> = path.name.iter().chain(&path.folders).copied().collect();
    push(
        &mut reasons,
        "its path has the words",
        heaviest(&in_path, &ranking.worth.path).into_iter().map(word),
    );
    match ranked.voters {
        0 => {}
        1 => reasons.push("1 past commit with a similar message changed it".to_owned()),
        voters => reasons.push(format!("{voters} past commits with similar messages changed it")),
    }
    let has = |sign: Sign| ranked.signs[sign as usize] > 0.0;
    if ranked.voters == 0 && has(Sign::Told) {
        reasons.push("messages of past commits that changed it have some of the words".to_owned());
    }
    if has(Sign::Called) {
        reasons.push("it defines names that are used in the best places".to_owned());
    }
    if has(Sign::Together) {
        reasons.push("it was often changed together with the best of these files".to_owned());
    }
    let kind = tree.files[ranked.file].kind();
    if kind != FileKind::Source {
        reasons.push(format!("kind of file: {}", kind.name()));
    }
    reasons
}

/// The numbers of a list that are worth most, each once.
fn heaviest(list: &[(u16, u8)], worth: &[f64]) -> Vec<u16> {
    let mut numbers: Vec<u16> = list.iter().map(|(at, _)| *at).collect();
    let value = |at: &u16| worth[usize::from(*at)];
    numbers.sort_by(|a, b| value(b).total_cmp(&value(a)).then(a.cmp(b)));
    numbers.dedup();
    numbers.truncate(WORDS);
    numbers
}

fn push<'a>(reasons: &mut Vec<String>, beginning: &str, words: impl Iterator<Item = &'a str>) {
    let words: Vec<&str> = words.collect();
    if !words.is_empty() {
        reasons.push(format!("{beginning} {}", words.join(", ")));
    }
}
