//! Lines for places that know no Markdown: mail, titles, commit messages, terminals.

use super::gateway::Gateway;
use super::hidden::Hidden;
use super::quoted::{cut, may_link, next_url};
use super::text::{Line, Piece};

/// The line as text.
pub(super) fn line(gateway: &Gateway, line: &Line) -> String {
    line.pieces().iter().map(|one| piece(gateway, one)).collect()
}

pub(super) fn piece(gateway: &Gateway, piece: &Piece) -> String {
    match piece {
        Piece::Own(own) => own.as_str().to_owned(),
        Piece::Strong(words) => (*words).to_owned(),
        Piece::Quoted(text, max) => quoted(gateway, text, *max),
        Piece::Code(text) => quoted(gateway, text, 300),
        Piece::Issue(number) => format!("#{number}"),
        Piece::Place(place) => quoted(gateway, &place.shown, 300),
    }
}

/// Outside text on one line, its addresses broken so that no mail program links them.
pub(super) fn quoted(gateway: &Gateway, text: &str, max_chars: usize) -> String {
    let text = gateway.taken_in(text, Hidden::Remove);
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    without_addresses(&cut(&one_line, max_chars), gateway.links())
}

/// Outside text with its lines kept.
pub(super) fn quoted_lines(gateway: &Gateway, text: &str, max_chars: usize) -> String {
    let text = gateway.taken_in(text, Hidden::Remove);
    without_addresses(cut(&text, max_chars).trim(), gateway.links())
}

/// `https[:]//host` can be read and copied, and is no link; addresses of allowed hosts stay.
pub(super) fn without_addresses(text: &str, links: &[String]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, address, after)) = next_url(rest) {
        out.push_str(before);
        if may_link(address, links) {
            out.push_str(address);
        } else {
            out.push_str(&address.replace("://", "[:]//"));
        }
        rest = after;
    }
    out.push_str(rest);
    out.replace("www.", "www[.]").replace("WWW.", "WWW[.]")
}

/// `#1`, `GH-1` and `@name` with a space put in: in a commit message GitHub links and obeys them,
/// and there is no escaping.
pub(super) fn without_references(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    for (index, &c) in chars.iter().enumerate() {
        out.push(c);
        let next = chars.get(index + 1);
        let breaks = match c {
            '#' => next.is_some_and(char::is_ascii_digit),
            '@' => next.is_some_and(|c| c.is_alphanumeric()),
            '-' => {
                let after_gh =
                    out.as_bytes().last_chunk::<3>().is_some_and(|end| end.eq_ignore_ascii_case(b"gh-"));
                after_gh && next.is_some_and(char::is_ascii_digit)
            }
            _ => false,
        };
        if breaks {
            out.push(' ');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_and_not_linked_unless_their_host_is_allowed() {
        let links = vec!["docs.example".to_owned()];
        for (text, expected) in [
            ("see https://evil.example/a?b=c.", "see https[:]//evil.example/a?b=c."),
            ("see https://docs.example/a", "see https://docs.example/a"),
            ("http://docs.example/a", "http[:]//docs.example/a"),
            ("https://docs.example@evil.example/", "https[:]//docs.example@evil.example/"),
            ("https://docs.example.evil.example/", "https[:]//docs.example.evil.example/"),
            ("https://docs.example:8443/", "https[:]//docs.example:8443/"),
            ("www.evil.example", "www[.]evil.example"),
            (
                "[https://docs.example](https://evil.example)",
                "[https://docs.example](https[:]//evil.example)",
            ),
            ("https://docs.example/(https://evil.example)", "https[:]//docs.example/(https[:]//evil.example"),
            ("javascript://docs.example/%0aalert(1)", "javascript[:]//docs.example/%0aalert(1"),
            ("é://x :// and a://b", "é://x :// and a[:]//b"),
        ] {
            let found = without_addresses(text, &links);
            assert!(found.starts_with(expected), "{text:?} became {found:?}");
        }
    }

    #[test]
    fn many_references_take_time_by_their_length() {
        let began = std::time::Instant::now();
        assert_eq!(without_references(&"GH-1".repeat(100_000)).len(), 500_000);
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
    }

    #[test]
    fn references_are_broken_visibly() {
        assert_eq!(
            without_references("Fixes #12, o/r#3, gh-4 and a/b@c by @ada; # 5 GH-x a@ b"),
            "Fixes # 12, o/r# 3, gh- 4 and a/b@ c by @ ada; # 5 GH-x a@ b"
        );
    }
}
