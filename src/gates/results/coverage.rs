//! Line coverage from LCOV and Cobertura.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::junit::attribute;
use crate::domain::Coverage;

/// LCOV's tracefile format (geninfo(1)): `LF` and `LH` count a file's lines, `DA` are the lines themselves.
pub(super) fn lcov(text: &str) -> Option<Coverage> {
    let (mut covered, mut total) = (0u64, 0u64);
    let mut file = (0u64, 0u64);
    let mut counted: Option<(u64, u64)> = None;
    for line in text.lines() {
        let number = |text: &str| text.trim().parse::<u64>().unwrap_or(0);
        match line.trim().split_once(':') {
            Some(("DA", rest)) => {
                let hits = rest.split(',').nth(1).map_or(0, number);
                file = (file.0 + u64::from(hits > 0), file.1 + 1);
            }
            Some(("LH", rest)) => counted = Some((number(rest), counted.map_or(0, |c| c.1))),
            Some(("LF", rest)) => counted = Some((counted.map_or(0, |c| c.0), number(rest))),
            None if line.trim() == "end_of_record" => {
                let (hit, found) = counted.take().filter(|counted| counted.1 > 0).unwrap_or(file);
                covered = covered.saturating_add(hit);
                total = total.saturating_add(found);
                file = (0, 0);
            }
            _ => {}
        }
    }
    counts(covered, total)
}

/// Cobertura's `coverage` element says it all, or its `line` elements do. `method`s repeat lines of their class.
pub(super) fn cobertura(text: &str) -> Option<Coverage> {
    let mut reader = Reader::from_str(text);
    let (mut covered, mut total, mut in_methods) = (0u64, 0u64, 0u32);
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) if tag.name().as_ref() == "coverage" => {
                let number = |name| attribute(&tag, name)?.parse::<u64>().ok();
                if let (Some(covered), Some(total)) = (number("lines-covered"), number("lines-valid")) {
                    return counts(covered, total);
                }
            }
            Ok(Event::Start(tag)) if tag.name().as_ref() == "methods" => in_methods += 1,
            Ok(Event::End(tag)) if tag.name().as_ref() == "methods" => {
                in_methods = in_methods.saturating_sub(1);
            }
            Ok(Event::Start(tag) | Event::Empty(tag)) if tag.name().as_ref() == "line" && in_methods == 0 => {
                let hits = attribute(&tag, "hits").and_then(|hits| hits.parse::<u64>().ok()).unwrap_or(0);
                covered += u64::from(hits > 0);
                total += 1;
            }
            Ok(Event::Eof) | Err(_) => return counts(covered, total),
            Ok(_) => {}
        }
    }
}

fn counts(covered: u64, total: u64) -> Option<Coverage> {
    (total > 0).then_some(Coverage { covered: covered.min(total), total })
}
