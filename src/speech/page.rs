//! A page of speech as a value: headings, paragraphs, lists, tables, quoted blocks.

use super::text::Line;

#[derive(Debug, Clone)]
pub(super) enum Block {
    Heading(Line),
    Paragraph(Line),
    Bullets(Vec<Line>),
    Table {
        head: Vec<&'static str>,
        rows: Vec<Vec<Line>>,
    },
    /// Outside text in paragraphs, cut to so many characters.
    Prose(String, usize),
    /// Outside text, shown byte for byte; its middle is cut beyond so many characters.
    Exact(String, usize),
    /// Output of a tool or a patch, the middle cut beyond so many characters.
    Log(String, usize),
    /// A replacement that GitHub offers to commit.
    Suggestion(String),
    Details {
        summary: Summary,
        page: Page,
    },
}

/// What stands on a folded section: literals, and names cut down to letters, digits and `._-`, since
/// Markdown is not read there.
#[derive(Debug, Clone, Default)]
pub(super) struct Summary(String);

impl Summary {
    pub(super) fn words(mut self, words: &'static str) -> Self {
        self.0.push_str(words);
        self
    }

    pub(super) fn number(mut self, number: usize) -> Self {
        self.0.push_str(&number.to_string());
        self
    }

    pub(super) fn name(mut self, name: &str) -> Self {
        let kept = |c: char| if c.is_alphanumeric() || "._- ".contains(c) { c } else { '_' };
        self.0.extend(name.chars().take(60).map(kept));
        self
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for Summary {
    fn from(words: &'static str) -> Self {
        Self::default().words(words)
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Page(Vec<Block>);

impl Page {
    pub(super) fn blocks(&self) -> &[Block] {
        &self.0
    }

    pub(super) fn push(&mut self, block: Block) {
        self.0.push(block);
    }

    pub(super) fn append(&mut self, other: Page) {
        self.0.extend(other.0);
    }

    pub(super) fn heading(&mut self, line: impl Into<Line>) {
        self.push(Block::Heading(line.into()));
    }

    pub(super) fn paragraph(&mut self, line: impl Into<Line>) {
        self.push(Block::Paragraph(line.into()));
    }

    /// Nothing for an empty list.
    pub(super) fn bullets(&mut self, lines: Vec<Line>) {
        if !lines.is_empty() {
            self.push(Block::Bullets(lines));
        }
    }

    pub(super) fn details(&mut self, summary: impl Into<Summary>, page: Page) {
        self.push(Block::Details { summary: summary.into(), page });
    }
}

/// How much room long quotations have. A page is built with less and less until it fits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Characters of each log, patch or exact text.
    pub(super) log: usize,
    /// Characters of each entry or paragraph.
    pub(super) text: usize,
}

impl Room {
    pub(super) const STEPS: [Self; 8] = [
        Self { log: 50_000, text: 4_000 },
        Self { log: 24_000, text: 4_000 },
        Self { log: 10_000, text: 4_000 },
        Self { log: 4_000, text: 2_000 },
        Self { log: 1_500, text: 1_000 },
        Self { log: 500, text: 400 },
        Self { log: 0, text: 200 },
        Self { log: 0, text: 80 },
    ];
}
