use proptest::prelude::*;
use similar::TextDiff;

use super::*;

/// Texts of few different lines, so that the same block often stands in several places.
fn text() -> impl Strategy<Value = String> {
    let line =
        prop_oneof!["[ab]", Just(String::new()), "  [ab]", "    [a-d]", "-- x", "\\+\\+ y", "[a-z]{1,8}"];
    (prop::collection::vec(line, 0..24), any::<bool>()).prop_map(|(lines, open)| {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        if open { text.trim_end_matches('\n').to_owned() } else { text }
    })
}

/// Two texts of which the second is the first with some lines changed.
fn two_texts() -> impl Strategy<Value = (String, String)> {
    let near = (text(), text(), 0usize..24, 0usize..24).prop_map(|(first, other, from, size)| {
        let mut lines: Vec<&str> = first.split_inclusive('\n').collect();
        let from = from.min(lines.len());
        let to = (from + size % 5).min(lines.len());
        lines.splice(from..to, other.split_inclusive('\n').take(4));
        let second = lines.concat();
        (first.clone(), second)
    });
    prop_oneof![near, (text(), text())]
}

fn diff(before: &str, after: &str) -> String {
    TextDiff::from_lines(before, after).unified_diff().context_radius(3).header("a/f", "b/f").to_string()
}

/// How often a text stands in another, overlaps included.
fn count(text: &str, part: &str) -> usize {
    text.char_indices().filter(|(at, _)| text[*at..].starts_with(part)).count()
}

/// Whether no two lines are the same but for white space, so that a block of them has one place only.
fn all_different(text: &str) -> bool {
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.sort_unstable();
    lines.windows(2).all(|pair| pair[0] != pair[1])
}

/// The smallest block of whole lines whose replacement makes `after` and which stands once in `before`.
fn unique_block<'t>(before: &'t str, after: &'t str) -> (&'t str, &'t str) {
    let common = |one: Vec<&str>, other: Vec<&str>| {
        one.iter()
            .zip(&other)
            .take_while(|(one, other)| one == other)
            .map(|(line, _)| line.len())
            .sum::<usize>()
    };
    let (old, new): (Vec<&str>, Vec<&str>) =
        (before.split_inclusive('\n').collect(), after.split_inclusive('\n').collect());
    let mut start = common(old.clone(), new.clone());
    let back = |lines: Vec<&'t str>| lines.into_iter().rev().collect::<Vec<_>>();
    let mut end = common(back(old), back(new)).min(before.len() - start).min(after.len() - start);
    loop {
        let block = &before[start..before.len() - end];
        if !block.is_empty() && count(before, block) == 1 {
            return (block, &after[start..after.len() - end]);
        }
        if start == 0 && end == 0 {
            return (before, after);
        }
        start = before[..start].trim_end_matches('\n').rfind('\n').map_or(0, |at| at + 1);
        end = end - before[before.len() - end..].find('\n').map_or(end, |at| at + 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_diff_of_two_texts_makes_the_second_of_the_first((before, after) in two_texts()) {
        if before == after {
            return Ok(());
        }
        prop_assert_eq!(edited(&before, patch(&diff(&before, &after))), Ok(after));
    }

    #[test]
    fn a_diff_with_wrong_numbers_makes_the_second_text_or_is_refused((before, after) in two_texts(), wrong in 50usize..90) {
        if before == after {
            return Ok(());
        }
        let exact = diff(&before, &after);
        let damaged: String = exact.split_inclusive('\n').map(|line| {
            if line.starts_with("@@") { format!("@@ -{wrong},{wrong} +{wrong},{wrong} @@\n") } else { line.to_owned() }
        }).collect();
        match edited(&before, patch(&damaged)) {
            Ok(made) => prop_assert_eq!(made, after),
            Err(refusal) => prop_assert!(!all_different(&before), "{}", refusal),
        }
    }

    #[test]
    fn a_replacement_of_a_block_makes_the_second_text((before, after) in two_texts()) {
        let (old, new) = unique_block(&before, &after);
        if old.is_empty() || old == new {
            return Ok(());
        }
        prop_assert_eq!(edited(&before, replace("f", old, new)), Ok(after));
    }

    #[test]
    fn a_replacement_with_damaged_white_space_makes_the_second_text_or_is_refused(
        (before, after) in two_texts(), spaces in "[ \t]{1,3}", windows in any::<bool>(),
    ) {
        let (old, new) = unique_block(&before, &after);
        if old.is_empty() || old == new {
            return Ok(());
        }
        // A single open line does not tell how lines end.
        let windows = windows && before.contains('\n');
        let damaged: String = old.split_inclusive('\n').map(|line| {
            match line.strip_suffix('\n') { Some(line) => format!("{line}{spaces}\n"), None => format!("{line}{spaces}") }
        }).collect();
        prop_assume!(!before.contains(&damaged) && damaged != new);
        let ended = |text: &str| if windows { text.replace('\n', "\r\n") } else { text.to_owned() };
        match edited(&ended(&before), replace("f", &damaged, new)) {
            // Lines that both texts have stay as the file has them; how the last one ends may differ.
            Ok(made) => prop_assert_eq!(made.trim_end(), ended(&after).trim_end().to_owned()),
            Err(refusal) => prop_assert!(!all_different(&before), "{}", refusal),
        }
    }

    #[test]
    fn writing_the_second_text_makes_it((before, after) in two_texts()) {
        // The line feed at the end of a file stays.
        let end = if before.ends_with('\n') && !after.is_empty() && !after.ends_with('\n') { "\n" } else { "" };
        let write = Edit::Write { path: path("f"), content: after.clone() };
        prop_assert_eq!(edited(&before, write), Ok(format!("{after}{end}")));
    }

    #[test]
    fn a_patch_without_numbers_makes_the_second_text_or_is_refused((before, after) in two_texts()) {
        if before == after || before.is_empty() {
            return Ok(());
        }
        let body: String = diff(&before, &after).split_inclusive('\n').skip(2)
            .filter(|line| !line.starts_with('\\'))
            .map(|line| if line.starts_with("@@") { "@@\n" } else { line })
            .collect();
        let text = format!("*** Begin Patch\n*** Update File: f\n{body}*** End Patch\n");
        match edited(&before, patch(&text)) {
            Ok(made) => prop_assert_eq!(made.trim_end(), after.trim_end()),
            Err(refusal) => prop_assert!(!all_different(&before), "{}", refusal),
        }
    }

    #[test]
    fn blocks_make_the_second_text_or_are_refused((before, after) in two_texts(), windows in any::<bool>()) {
        let (old, new) = unique_block(&before, &after);
        let whole_lines = |text: &str| text.is_empty() || text.ends_with('\n');
        if old.is_empty() || old == new || !whole_lines(old) || !whole_lines(new) {
            return Ok(());
        }
        let text = format!("f\n<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n");
        let text = if windows { text.replace('\n', "\r\n") } else { text };
        match edited(&before, patch(&text)) {
            Ok(made) => prop_assert_eq!(made.trim_end(), after.trim_end()),
            Err(refusal) => prop_assert!(!all_different(&before), "{}", refusal),
        }
    }

    /// Shifted as a whole, with tabs for spaces or with typographic marks, a block makes what it would make undamaged.
    #[test]
    fn a_damaged_block_makes_the_second_text_or_is_refused(
        (before, after) in two_texts(), damage in 0usize..3, quote in "['\"]",
    ) {
        let quoted = |text: &str| text.replace('a', &quote);
        let (before, after) = (quoted(&before), quoted(&after));
        let (old, new) = unique_block(&before, &after);
        if old.is_empty() || old == new {
            return Ok(());
        }
        let damaged = |text: &str| -> String {
            text.split_inclusive('\n').map(|line| match damage {
                _ if line.trim().is_empty() => line.to_owned(),
                0 => format!("   {line}"),
                1 => {
                    let rest = line.trim_start_matches(' ');
                    format!("{}{rest}", "\t".repeat((line.len() - rest.len()) / 2))
                }
                _ => line.replace('\'', "\u{2019}").replace('"', "\u{201C}"),
            }).collect()
        };
        let made = edited(&before, replace("f", &damaged(old), &damaged(new)));
        // Where nothing of the damage is in the old lines, the new ones are meant as they stand.
        let shows = old.split_inclusive('\n').any(|line| damaged(line) != line);
        match made {
            Ok(made) if shows && !before.contains(&damaged(old)) => prop_assert_eq!(made.trim_end(), after.trim_end()),
            Ok(_) => {}
            Err(refusal) => prop_assert!(refusal.starts_with("None of the edits"), "{}", refusal),
        }
    }

    #[test]
    fn no_text_makes_it_panic(
        junk in "(\\*\\*\\* (Begin Patch|Update File: f|Add File: g|Delete File: f|Move to: h|End of File|End Patch)\n|f\n|<<<<<<< SEARCH\n|=======\n|>>>>>>> REPLACE\n|@@( a)?\n|[ +-]?[ab]?\r?\n|\\.\\.\\.\n){0,12}",
    ) {
        let _ = edited("a\nb\n", patch(&junk));
    }

    #[test]
    fn no_diff_makes_it_panic(junk in "(--- a/f\n\\+\\+\\+ b/f\n)?(@@ -1,[0-9] \\+1 @@\n)?([ +\\-\\\\@x]?[ab]?\r?\n){0,9}") {
        let _ = edited("a\nb\n", patch(&junk));
    }
}
