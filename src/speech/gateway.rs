//! The one way out: what was built as a page becomes text that may be posted.
//!
//! Redaction comes before escaping, since an escaped token would not be recognised, and after the
//! removal of hidden characters, since a token with one inside would not be either. The finished text
//! is redacted once more, for what only its parts together give away.

use super::hidden::{Hidden, clean};
use super::markdown;
use super::page::{Page, Room};
use super::plain;
use super::text::Line;

/// Longest body of a comment, review or pull request, in characters: GitHub answers 422 above it
/// (`body is too long (maximum is 65536 characters)`).
pub const BODY_MAX_CHARS: usize = 65_536;

/// Left free for the marker and for what a redaction may add.
const RESERVE_CHARS: usize = 1_024;

/// Text that went through the gateway; the only kind that effects post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(String);

impl Body {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

/// Redacts secrets, and takes their effect from mentions, references, commands, HTML, images and
/// links in quoted text.
#[derive(Clone, Copy)]
pub struct Gateway<'a> {
    redact: &'a (dyn Fn(&str) -> String + Send + Sync),
    links: &'a [String],
}

impl<'a> Gateway<'a> {
    /// `links`: hosts that quoted text may link to, each by its exact name.
    pub fn new(redact: &'a (dyn Fn(&str) -> String + Send + Sync), links: &'a [String]) -> Self {
        Self { redact, links }
    }

    /// Outside text with nothing hidden in it and no secret.
    pub(super) fn taken_in(&self, text: &str, hidden: Hidden) -> String {
        let plain = clean(text, Hidden::Remove);
        let redacted = (self.redact)(&plain);
        // Showing a hidden character would part a secret that it stands in, and so save it.
        if hidden == Hidden::Remove || redacted != plain {
            return redacted;
        }
        clean(text, Hidden::Show)
    }

    pub(super) fn links(&self) -> &[String] {
        self.links
    }

    /// A single line for places without Markdown: titles, subjects, terminals.
    pub(super) fn plain(&self, line: &Line) -> String {
        (self.redact)(&plain::line(self, line))
    }

    pub(super) fn redacted(&self, text: &str) -> String {
        (self.redact)(text)
    }

    /// The page with its marker, built with as much room for logs as fits.
    pub(super) fn fit(&self, key: &str, build: impl Fn(Room) -> Page) -> Body {
        let mut text = String::new();
        for room in Room::STEPS {
            text = self.redacted(&markdown::page(self, &build(room)));
            if text.chars().count() <= BODY_MAX_CHARS - RESERVE_CHARS {
                break;
            }
        }
        self.seal(&text, key)
    }

    /// A page that is short by its making, without a marker.
    pub(super) fn body(&self, build: impl Fn(Room) -> Page) -> Body {
        self.fit("", build)
    }

    fn seal(&self, text: &str, key: &str) -> Body {
        let mut body = text.trim_end().to_owned();
        if let Some((end, _)) = body.char_indices().nth(BODY_MAX_CHARS - RESERVE_CHARS) {
            body.truncate(end);
            body.push_str(&markdown::closing_of_what_is_open(&body));
            body.push_str("\n\nThis text was cut here: it is too long for GitHub.");
        }
        if !key.is_empty() {
            body.push_str("\n\n");
            body.push_str(&marker(key));
        }
        body.push('\n');
        Body(body)
    }
}

/// The hidden marker by which an effect finds what it has already posted.
pub fn marker(key: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || "._/:".contains(c) { c } else { '-' };
    let mut safe: String = key.chars().map(kept).collect();
    // Two hyphens would end the comment early.
    while safe.contains("--") {
        safe = safe.replace("--", "-");
    }
    format!("<!-- orchestrator:{safe} -->")
}

/// Whether a body is ours by its last line. Only the last line counts, and only we write it: what a
/// body quotes cannot pretend to be the marker.
pub fn has_marker(body: &str, key: &str) -> bool {
    body.trim_end().lines().next_back().is_some_and(|last| last.trim() == marker(key))
}

#[cfg(test)]
mod tests {
    use super::super::page::Block;
    use super::super::text::{line_of, quote};
    use super::*;
    use crate::speech::tests::samples::{gateway, no_links, redact};

    fn body_of(block: Block) -> String {
        let gateway = Gateway::new(&redact, no_links());
        gateway
            .fit("k", |_| {
                let mut page = Page::default();
                page.push(block.clone());
                page
            })
            .into_string()
    }

    #[test]
    fn a_marker_is_found_on_the_last_line_only() {
        let ours = format!("text\n\n{}\n", marker("a/1.0/comment"));
        assert!(has_marker(&ours, "a/1.0/comment"));
        assert!(has_marker(&ours.replace('\n', "\r\n"), "a/1.0/comment"));
        assert!(!has_marker(&ours, "a/1.1/comment"));
        assert!(!has_marker(&format!("{}\n\ntext", marker("a/1.0/comment")), "a/1.0/comment"));
        assert!(!has_marker("", "a"));
    }

    #[test]
    fn a_key_cannot_end_the_marker_early() {
        assert_eq!(marker("x --> <b>"), "<!-- orchestrator:x-b- -->");
    }

    #[test]
    fn a_quoted_marker_does_not_survive() {
        let forged = format!("x\n{}", marker("k2"));
        for block in [
            Block::Prose(forged.clone(), 4_000),
            Block::Exact(forged.clone(), 4_000),
            Block::Log(forged.clone(), 4_000),
            Block::Suggestion(forged.clone()),
            Block::Paragraph(line_of![quote(forged.clone())]),
        ] {
            let body = body_of(block.clone());
            assert!(!body.contains(&marker("k2")), "{block:?}: {body}");
            assert_eq!(body.matches("<!-- orchestrator:").count(), 1, "{body}");
            assert!(has_marker(&body, "k"));
        }
    }

    #[test]
    fn a_secret_leaves_in_no_kind_of_block_even_with_a_hidden_character_inside() {
        for secret in ["ghp_SECRET", "ghp_\u{200b}SECRET", "ghp_SEC\u{200d}RET"] {
            for block in [
                Block::Prose(format!("a {secret} b"), 4_000),
                Block::Log(format!("a {secret} b"), 4_000),
                Block::Exact(format!("a {secret} b"), 4_000),
                Block::Paragraph(line_of![quote(format!("a {secret} b"))]),
                Block::Paragraph(line_of![super::super::text::code(format!("a {secret} b"))]),
            ] {
                let body = body_of(block.clone());
                assert!(!body.contains("SECRET") && !body.contains("RET b"), "{block:?}: {body}");
            }
        }
    }

    #[test]
    fn a_page_gives_up_its_logs_before_anything_else() {
        let gateway = gateway();
        let body = gateway.fit("k", |room| {
            let mut page = Page::default();
            page.paragraph("The first fact.");
            for _ in 0..9 {
                page.push(Block::Log("line of a log\n".repeat(20_000), room.log));
            }
            page.paragraph("The last fact.");
            page
        });
        assert!(body.as_str().chars().count() <= BODY_MAX_CHARS);
        assert!(body.as_str().contains("The first fact.") && body.as_str().contains("The last fact."));
        assert!(body.as_str().contains("characters cut"));
        assert!(has_marker(body.as_str(), "k"));
    }

    #[test]
    fn what_cannot_fit_is_cut_with_its_fence_closed_and_its_marker_kept() {
        let body = gateway().fit("k", |_| {
            let mut page = Page::default();
            page.push(Block::Exact("`````\n".repeat(40_000), usize::MAX));
            page
        });
        assert!(body.as_str().chars().count() <= BODY_MAX_CHARS);
        assert!(has_marker(body.as_str(), "k"));
        let sentence = "This text was cut here";
        let rendered = crate::speech::tests::rules::text_outside_of_code(body.as_str());
        assert!(rendered.contains(sentence), "the sentence is swallowed by the fence");
    }
}
