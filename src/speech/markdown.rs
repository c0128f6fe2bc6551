//! A page as GitHub's Markdown.
//!
//! Fences are indented by one space. CommonMark takes that space off every line again, so the text is
//! exact when it is shown; in the source no quoted line begins with `/`, where other bots look for
//! their commands.

use super::gateway::Gateway;
use super::hidden::Hidden;
use super::page::{Block, Page};
use super::quoted;
use super::text::{Line, Piece};

/// Longest code inside a line, in characters.
const CODE_MAX_CHARS: usize = 300;

pub(super) fn page(gateway: &Gateway, page: &Page) -> String {
    let blocks: Vec<String> =
        page.blocks().iter().map(|one| block(gateway, one)).filter(|text| !text.is_empty()).collect();
    blocks.join("\n\n")
}

fn block(gateway: &Gateway, block: &Block) -> String {
    match block {
        Block::Heading(heading) => format!("### {}", line(gateway, heading)),
        Block::Paragraph(paragraph) => line(gateway, paragraph),
        Block::Bullets(lines) => {
            let lines: Vec<String> = lines.iter().map(|one| format!("- {}", line(gateway, one))).collect();
            lines.join("\n")
        }
        Block::Table { head, rows } => table(gateway, head, rows),
        Block::Prose(text, max) => {
            let text = gateway.taken_in(text, Hidden::Remove);
            quoted::prose(&quoted::cut(&text, *max), gateway.links())
        }
        Block::Exact(_, 0) | Block::Log(_, 0) => String::new(),
        Block::Exact(text, max) => {
            let text = gateway.taken_in(text, Hidden::Show);
            fence("text", &quoted::cut_middle(&quoted::without_markers(&text), *max))
        }
        Block::Log(text, max) => {
            let text = gateway.taken_in(text, Hidden::Show);
            fence("text", &quoted::cut_middle(&quoted::shown(&text), *max))
        }
        Block::Suggestion(text) => suggestion(gateway, text),
        Block::Details { summary, page } => details(gateway, summary.as_str(), page),
    }
}

fn details(gateway: &Gateway, summary: &str, inner: &Page) -> String {
    let inner = page(gateway, inner);
    if inner.is_empty() {
        return String::new();
    }
    format!("<details><summary>{summary}</summary>\n\n{inner}\n\n</details>")
}

fn table(gateway: &Gateway, head: &[&'static str], rows: &[Vec<Line>]) -> String {
    let mut out = format!("| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        // In a table even code has to escape its bars.
        let cells: Vec<String> = row.iter().map(|cell| line(gateway, cell).replace('|', "\\|")).collect();
        out.push_str(&format!("\n| {} |", cells.join(" | ")));
    }
    out
}

/// GitHub replaces the lines by exactly these bytes, so it is offered only where nothing in it had to
/// be changed; else the text is shown for a person to apply.
fn suggestion(gateway: &Gateway, text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let safe = quoted::without_markers(&gateway.taken_in(text, Hidden::Show));
    let commands =
        |line: &str| line.strip_prefix('/').is_some_and(|rest| rest.starts_with(char::is_alphabetic));
    if safe != text || text.lines().any(commands) {
        return format!("A replacement to apply by hand:\n\n{}", fence("text", &safe));
    }
    let ticks = "`".repeat(longest_run(text, '`').max(2) + 1);
    if text.is_empty() {
        return format!("{ticks}suggestion\n{ticks}");
    }
    format!("{ticks}suggestion\n{text}\n{ticks}")
}

pub(super) fn line(gateway: &Gateway, line: &Line) -> String {
    let mut out = String::new();
    for piece in line.pieces() {
        match piece {
            Piece::Own(own) => out.push_str(own.as_str()),
            Piece::Strong(words) => out.push_str(&format!("**{words}**")),
            Piece::Quoted(text, max) => {
                let text = gateway.taken_in(text, Hidden::Remove);
                quoted::push_apart(&mut out, &quoted::line(&quoted::cut(&text, *max), gateway.links()));
            }
            Piece::Code(text) => {
                let text = gateway.taken_in(text, Hidden::Show);
                let text = quoted::cut(&quoted::shown(&text), CODE_MAX_CHARS);
                quoted::push_apart(&mut out, &code(&text));
            }
            Piece::Issue(number) => out.push_str(&format!("#{number}")),
            Piece::Place(place) => {
                let text = gateway.taken_in(&place.shown, Hidden::Show);
                let text = code(&quoted::cut(&quoted::shown(&text), CODE_MAX_CHARS));
                quoted::push_apart(
                    &mut out,
                    &place.address.as_ref().map_or(text.clone(), |address| format!("[{text}]({address})")),
                );
            }
        }
    }
    out
}

/// A fenced block that nothing inside can end.
pub(super) fn fence(language: &str, text: &str) -> String {
    let ticks = "`".repeat(longest_run(text, '`').max(2) + 1);
    let mut out = format!(" {ticks}{language}\n");
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        if !line.is_empty() {
            out.push(' ');
            out.push_str(line);
        }
        out.push('\n');
    }
    out.push_str(&format!(" {ticks}"));
    out
}

/// A code span on one line.
pub(super) fn code(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let run = longest_run(&text, '`');
    let ticks = "`".repeat(run + 1);
    if run == 0 { format!("{ticks}{text}{ticks}") } else { format!("{ticks} {text} {ticks}") }
}

fn longest_run(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// What ends a fence and the folded sections that a cut left open.
pub(super) fn closing_of_what_is_open(text: &str) -> String {
    let mut open: Option<&str> = None;
    let mut folded = 0_usize;
    for line in text.lines() {
        let bare = line.strip_prefix(' ').unwrap_or(line);
        let ticks = bare.len() - bare.trim_start_matches('`').len();
        match open {
            Some(fence) if ticks >= fence.len() && bare[ticks..].trim().is_empty() => open = None,
            None if ticks >= 3 => open = Some(&bare[..ticks]),
            None if line.starts_with("<details>") => folded += 1,
            None if line.starts_with("</details>") => folded = folded.saturating_sub(1),
            _ => {}
        }
    }
    let fence = open.map(|fence| format!("\n{fence}")).unwrap_or_default();
    format!("{fence}{}", "\n\n</details>".repeat(folded))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

    use super::*;

    /// The text of the only fenced block of a document; `None` if there is anything else in it.
    fn only_fence(markdown: &str) -> Option<String> {
        let mut text = String::new();
        let mut inside = false;
        let mut blocks = 0;
        for event in Parser::new(markdown) {
            match event {
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) if blocks == 0 => {
                    inside = true;
                    blocks += 1;
                }
                Event::End(TagEnd::CodeBlock) => inside = false,
                Event::Text(part) if inside => text.push_str(&part),
                _ => return None,
            }
        }
        (blocks == 1 && !inside).then_some(text)
    }

    proptest! {
        #[test]
        fn a_fence_shows_exactly_its_text(text in "[ a`~\n>#/<-]{0,60}") {
            let shown = only_fence(&fence("text", &text)).expect("one fenced block");
            let lines = |text: &str| text.strip_suffix('\n').unwrap_or(text).to_owned();
            prop_assert_eq!(lines(&shown), lines(&text));
        }

        #[test]
        fn a_code_span_cannot_be_left(text in "[ a`<@*/]{1,20}") {
            let markdown = code(&text);
            let mut code_text = String::new();
            for event in Parser::new(&markdown) {
                match event {
                    Event::Code(text) => code_text.push_str(&text),
                    Event::Start(Tag::Paragraph) | Event::End(TagEnd::Paragraph) => {}
                    Event::Text(text) if &*text == "(empty)" => {}
                    other => prop_assert!(false, "{:?} in {}", other, markdown),
                }
            }
            prop_assert_eq!(code_text, text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }

    #[test]
    fn in_the_source_of_a_fence_no_line_begins_with_a_command() {
        let source = fence("text", "/lgtm\n\n/orchestrate approve");
        assert!(source.lines().all(|line| !line.starts_with('/')), "{source}");
    }
}
