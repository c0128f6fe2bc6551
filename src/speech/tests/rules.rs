//! Rules that no text of ours breaks, whatever it quotes.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The rules for every body that quotes: whatever GitHub's Markdown would link, load, run or hide is
/// neither in the text outside of code nor in the document's structure.
pub(in crate::speech) fn assert_harmless(body: &str) {
    let sign = |text: &str| {
        text.char_indices().filter(|(_, c)| "@#".contains(*c)).map(|(at, _)| at).collect::<Vec<_>>()
    };
    let text = text_outside_of_code(body);
    for at in sign(&text) {
        let (c, rest) = (&text[at..=at], &text[at + 1..]);
        // `#12` and `#13` are the issue and the pull request that we name ourselves.
        let own = c == "#" && (rest.starts_with("12") || rest.starts_with("13"));
        let links = rest
            .starts_with(|next: char| if c == "@" { next.is_alphanumeric() } else { next.is_ascii_digit() });
        assert!(!links || own, "{:?} links in {body}", &text[at..].chars().take(20).collect::<String>());
    }
    let lower = text.to_lowercase();
    for acts in ["gh-4", "www.evil", "http://", "https://", "ftp://"] {
        assert!(!lower.contains(acts), "{acts} in {body}");
    }
    assert!(!body.contains("ghp_SECRET"), "a secret in {body}");
    for c in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{e0041}', '\u{1b}', '\0'] {
        assert!(!body.contains(c), "{c:?} in {body}");
    }
    let without_ours = body.trim_end().rsplit_once('\n').map_or(body, |(above, _)| above);
    assert!(!without_ours.contains("<!--"), "a comment in {body}");
    assert!(body.lines().all(|line| !line.starts_with('/')), "a command in {body}");
    let mut depth = 0_i32;
    for event in Parser::new_ext(body, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH) {
        match event {
            Event::Start(Tag::Image { dest_url, .. }) => panic!("image {dest_url} in {body}"),
            Event::Start(Tag::Link { dest_url, .. }) => {
                assert!(dest_url.starts_with("https://docs.example"), "link {dest_url} in {body}");
            }
            Event::Html(html) | Event::InlineHtml(html) => {
                let html = html.trim();
                let ours = html.starts_with("<details><summary>") && html.ends_with("</summary>")
                    || html == "</details>"
                    || html.starts_with("<!-- orchestrator:")
                    || html.is_empty();
                assert!(ours, "HTML {html:?} in {body}");
                depth += i32::from(html.starts_with("<details>")) - i32::from(html == "</details>");
                assert!(depth >= 0, "{body}");
            }
            Event::Start(Tag::CodeBlock(pulldown_cmark::CodeBlockKind::Fenced(info))) => {
                assert!(!["mermaid", "math"].contains(&&*info), "{info} in {body}");
            }
            _ => {}
        }
    }
    assert_eq!(depth, 0, "an open section in {body}");
}

/// The text that GitHub's filters would look for references in.
pub(in crate::speech) fn text_outside_of_code(body: &str) -> String {
    let mut out = String::new();
    let mut code = 0;
    for event in Parser::new_ext(body, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::CodeBlock(_) | Tag::Link { .. }) => code += 1,
            Event::End(TagEnd::CodeBlock | TagEnd::Link) => code -= 1,
            Event::Text(text) if code == 0 => out.push_str(&text),
            // Pieces on both sides of code do not join.
            Event::Code(_) => out.push('\u{fffc}'),
            Event::SoftBreak | Event::HardBreak | Event::End(_) => out.push('\n'),
            _ => {}
        }
    }
    out
}

/// What GitHub would take as an order to close an issue, were the raw text a commit message.
pub(in crate::speech) fn closing_references(text: &str) -> Vec<String> {
    let pattern = r"(?i)\b(?:close[sd]?|fix(?:e[sd])?|resolve[sd]?):?\s+(?:[\w.-]+/[\w.-]+)?(?:#|GH-|https?://\S*/issues/)\d+";
    let pattern = regex::Regex::new(pattern).expect("a pattern");
    pattern.find_iter(text).map(|found| found.as_str().to_owned()).collect()
}
