//! A line of speech as a value: our own words and, told apart from them, text from outside.
//!
//! It becomes Markdown, plain text or HTML in the gateway; here nothing is escaped yet.

use std::borrow::Cow;

use crate::domain::{CommitSha, IssueNumber};

/// Part of a line.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Own(Own),
    Strong(&'static str),
    /// Outside text on one line, cut to so many characters.
    Quoted(String, usize),
    /// Outside text, a path or a command, shown as code on one line.
    Code(String),
    /// A reference to an issue or pull request that we make ourselves.
    Issue(IssueNumber),
    Place(Place),
}

/// Lines of a file at a commit, which we found there ourselves.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// `path:1-3`, where the path is outside text.
    pub shown: String,
    /// Made of an operator's address and escaped parts alone.
    pub address: Option<String>,
}

impl Place {
    /// `repository`: the server's address and `owner/name`; without it there is no link.
    pub(super) fn new(
        repository: Option<(&str, &str)>,
        commit: &CommitSha,
        path: &str,
        (first, last): (u32, u32),
    ) -> Self {
        let address = repository.map(|(server, name)| {
            let (server, name, path) = (server.trim_end_matches('/'), escaped(name), escaped(path));
            format!("{server}/{name}/blob/{commit}/{path}#L{first}-L{last}")
        });
        let shown = if first == last { format!("{path}:{first}") } else { format!("{path}:{first}-{last}") };
        Self { shown, address }
    }
}

/// A path in an address: everything but letters, digits and what stands for itself is escaped.
fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    path.bytes().map(escape).collect()
}

impl From<Place> for Piece {
    fn from(place: Place) -> Self {
        Self::Place(place)
    }
}

/// Words of ours. They come from literals and figures, never from a string made elsewhere.
#[derive(Debug, Clone)]
pub(super) struct Own(Cow<'static, str>);

impl Own {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Longest quotation inside a line, in characters.
pub(super) const QUOTE_MAX_CHARS: usize = 400;

pub(super) fn quote(text: impl Into<String>) -> Piece {
    Piece::Quoted(text.into(), QUOTE_MAX_CHARS)
}

pub(super) fn quote_up_to(max_chars: usize, text: impl Into<String>) -> Piece {
    Piece::Quoted(text.into(), max_chars)
}

pub(super) fn code(text: impl Into<String>) -> Piece {
    Piece::Code(text.into())
}

pub(super) fn strong(text: &'static str) -> Piece {
    Piece::Strong(text)
}

/// A number, a sum of money, a time: text that was formatted from a value that cannot carry words.
pub(super) fn figure(text: String) -> Piece {
    Piece::Own(Own(Cow::Owned(text)))
}

/// The first ten digits of a commit.
pub(super) fn commit(sha: &CommitSha) -> Piece {
    Piece::Code(sha.as_str().chars().take(10).collect())
}

impl From<&'static str> for Piece {
    fn from(words: &'static str) -> Self {
        Self::Own(Own(Cow::Borrowed(words)))
    }
}

impl From<IssueNumber> for Piece {
    fn from(number: IssueNumber) -> Self {
        Self::Issue(number)
    }
}

macro_rules! from_number {
    ($($number:ty),*) => {$(
        impl From<$number> for Piece {
            fn from(number: $number) -> Self {
                figure(number.to_string())
            }
        }
    )*};
}
from_number!(u8, u32, u64, usize, i32);

/// A line of pieces.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(Vec<Piece>);

impl Line {
    pub(super) fn new(pieces: Vec<Piece>) -> Self {
        Self(pieces)
    }

    pub(super) fn pieces(&self) -> &[Piece] {
        &self.0
    }

    pub(super) fn push(&mut self, piece: impl Into<Piece>) {
        self.0.push(piece.into());
    }

    pub(super) fn extend(&mut self, other: Line) {
        self.0.extend(other.0);
    }

    /// The entries with commas between them.
    pub(super) fn listed(entries: impl IntoIterator<Item = Piece>) -> Self {
        let mut line = Self::default();
        for (index, entry) in entries.into_iter().enumerate() {
            if index > 0 {
                line.push(", ");
            }
            line.push(entry);
        }
        line
    }
}

impl From<Piece> for Line {
    fn from(piece: Piece) -> Self {
        Self(vec![piece])
    }
}

impl From<&'static str> for Line {
    fn from(words: &'static str) -> Self {
        Self(vec![words.into()])
    }
}

/// `line_of!["Gate ", code(name), " failed"]`: a [`Line`] of literals, figures and marked outside text.
macro_rules! line_of {
    ($($piece:expr),* $(,)?) => {
        $crate::speech::text::Line::new(vec![$($crate::speech::text::Piece::from($piece)),*])
    };
}
pub(super) use line_of;
