//! Outside text as Markdown that only shows and never acts.
//!
//! The text is parsed, and written anew from a small vocabulary: paragraphs, lists, quotations, strong
//! and emphasised words, code. Everything else (HTML, images, links, references) is written as the
//! characters it is made of. A zero-width space after `@` and after `#` keeps GitHub from linking them,
//! as Renovate and Dependabot do (`@&#8203;name`).

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::markdown::{code, fence};

const NO_LINK: &str = "&#8203;";
/// Deeper lists and quotations are written at this depth: their prefixes would grow without bound.
const MAX_DEPTH: usize = 6;
/// Languages whose blocks GitHub draws or applies instead of showing them.
const ACTING_LANGUAGES: [&str; 6] = ["mermaid", "math", "geojson", "topojson", "stl", "suggestion"];

/// Paragraphs.
pub(super) fn prose(text: &str, links: &[String]) -> String {
    let mut writer = Writer { links, ..Writer::default() };
    for (event, range) in Parser::new_ext(text, Options::empty()).into_offset_iter() {
        writer.event(event, &text[range]);
    }
    writer.end_block();
    writer.lines.join("\n").trim_matches('\n').to_owned()
}

/// One line; of the vocabulary only code is left.
pub(super) fn line(text: &str, links: &[String]) -> String {
    let mut out = String::new();
    let mut rest = text;
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line != text {
        rest = &one_line;
    }
    while let Some((before, inside, after)) = next_code(rest) {
        literal(&mut out, before, links);
        push_apart(&mut out, &code(&shown(inside)));
        rest = after;
    }
    literal(&mut out, rest, links);
    out
}

/// The first code span, by CommonMark's rule: a run of backticks up to the next run as long.
pub(super) fn next_code(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find('`').map(|at| at + from) {
        let run = text[at..].len() - text[at..].trim_start_matches('`').len();
        let mut search = at + run;
        while let Some(close) = text[search..].find('`').map(|close| close + search) {
            let close_run = text[close..].len() - text[close..].trim_start_matches('`').len();
            if close_run == run {
                return Some((&text[..at], text[at + run..close].trim(), &text[close + run..]));
            }
            search = close + close_run;
        }
        from = at + run;
    }
    None
}

/// The first so many characters, with an ellipsis for the rest.
pub(super) fn cut(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

/// Beginning and end, with a line between them that says how much is missing. The end is longer:
/// that is where tools say what went wrong.
pub(super) fn cut_middle(text: &str, max_chars: usize) -> String {
    let total = text.chars().count();
    if total <= max_chars {
        return text.to_owned();
    }
    let head: String = text.chars().take(max_chars / 3).collect();
    let tail: String = text.chars().skip(total - (max_chars - max_chars / 3)).collect();
    format!("{head}\n[… {} characters cut …]\n{tail}", total - max_chars)
}

/// Text to be shown as code: GitHub links nothing in there, but a squashed commit takes a pull
/// request's whole text for its message.
pub(super) fn shown(text: &str) -> String {
    without_closing_references(&without_markers(text))
}

/// Takes its effect from a marker of ours that somebody else wrote.
pub(super) fn without_markers(text: &str) -> String {
    text.replace("<!--", "<! --")
}

/// In what may become part of a commit's message, `Fixes #1` closes nothing.
fn without_closing_references(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            let lower = line.to_ascii_lowercase();
            let closes = ["close", "fix", "resolve"].iter().any(|word| lower.contains(word));
            if closes { super::plain::without_references(line) } else { line.to_owned() }
        })
        .collect()
}

#[derive(Default)]
struct Writer<'a> {
    links: &'a [String],
    lines: Vec<String>,
    /// What a line of the present block begins with, one entry a list item or quotation.
    prefixes: Vec<&'static str>,
    /// `- ` or `1. `, until the first line of its item is written.
    marker: Option<String>,
    /// The numbers of the open lists; `None` for bullets.
    lists: Vec<Option<u64>>,
    /// The present block, escaped.
    inline: String,
    /// Text that is not escaped yet: the parser hands it out in pieces.
    pending: String,
    /// Where the open links lead, and at which length of `inline` they began.
    targets: Vec<(String, usize)>,
    code_block: Option<(String, String)>,
}

impl Writer<'_> {
    fn event(&mut self, event: Event, source: &str) {
        match event {
            Event::Text(text) => match &mut self.code_block {
                Some((_, code)) => code.push_str(&text),
                None => self.pending.push_str(&text),
            },
            Event::Html(text) | Event::InlineHtml(text) => self.pending.push_str(&text),
            Event::Code(text) => {
                self.settle();
                push_apart(&mut self.inline, &code(&shown(&text)));
            }
            Event::SoftBreak | Event::HardBreak => {
                self.settle();
                self.inline.push('\n');
            }
            Event::Rule => self.end_block(),
            Event::Start(tag) => self.start(tag, source),
            Event::End(end) => self.end(end, source),
            // Not enabled: footnotes, tasks, mathematics.
            _ => self.pending.push_str(source),
        }
    }

    fn start(&mut self, tag: Tag, source: &str) {
        match tag {
            Tag::Emphasis | Tag::Strong => self.delimiter(source, &tag.to_end()),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.settle();
                self.targets.push((dest_url.to_string(), self.inline.len()));
            }
            Tag::CodeBlock(kind) => {
                self.end_block();
                let language = match kind {
                    CodeBlockKind::Fenced(info) => language(&info),
                    CodeBlockKind::Indented => "text".to_owned(),
                };
                self.code_block = Some((language, String::new()));
            }
            Tag::List(first) => {
                self.end_block();
                self.lists.push(first);
            }
            Tag::Item => {
                self.end_block();
                self.start_item();
            }
            Tag::BlockQuote(_) => {
                self.end_block();
                self.prefixes.push(if self.prefixes.len() < MAX_DEPTH { "> " } else { "" });
            }
            _ => self.end_block(),
        }
    }

    fn start_item(&mut self) {
        if self.marker.is_some() {
            self.write_line("");
        }
        let deep = self.prefixes.len() >= MAX_DEPTH;
        let (marker, prefix) = match self.lists.last_mut() {
            Some(Some(number)) => {
                *number = number.saturating_add(1);
                (format!("{}. ", (*number - 1).min(999)), "     ")
            }
            _ => ("- ".to_owned(), "  "),
        };
        self.marker = (!deep).then_some(marker);
        self.prefixes.push(if deep { "" } else { prefix });
    }

    fn end(&mut self, end: TagEnd, source: &str) {
        match end {
            TagEnd::Emphasis | TagEnd::Strong => self.delimiter(source, &end),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::CodeBlock => {
                if let Some((language, text)) = self.code_block.take() {
                    self.write_code(&language, &text);
                }
            }
            TagEnd::List(_) => {
                self.end_block();
                self.lists.pop();
                if self.lists.is_empty() {
                    self.blank();
                }
            }
            TagEnd::Item => {
                self.end_block();
                self.marker = None;
                self.prefixes.pop();
            }
            TagEnd::BlockQuote(_) => {
                self.end_block();
                self.prefixes.pop();
                while self.lines.last().is_some_and(|last| last.chars().all(|c| "> ".contains(c))) {
                    self.lines.pop();
                }
                self.blank();
            }
            _ => {
                self.end_block();
                if self.lists.is_empty() {
                    self.blank();
                }
            }
        }
    }

    /// `*` marks emphasis in prose; `_` is far more often part of a name such as `__init__`.
    fn delimiter(&mut self, source: &str, end: &TagEnd) {
        self.settle();
        let (stars, underscores) =
            if matches!(end, TagEnd::Strong) { ("**", "\\_\\_") } else { ("*", "\\_") };
        self.inline.push_str(if source.starts_with('*') { stars } else { underscores });
    }

    fn end_link(&mut self) {
        self.settle();
        let Some((target, from)) = self.targets.pop() else { return };
        let mut shown = String::new();
        url(&mut shown, &target, self.links);
        let label = self.inline.split_off(from.min(self.inline.len()));
        if label.is_empty() || label == shown {
            self.inline.push_str(&shown);
        } else {
            self.inline.push_str(&format!("{label} ({shown})"));
        }
    }

    fn settle(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let text = std::mem::take(&mut self.pending);
        for (index, part) in text.split('\n').enumerate() {
            if index > 0 {
                self.inline.push('\n');
            }
            let part =
                if self.inline.is_empty() || self.inline.ends_with('\n') { part.trim_start() } else { part };
            literal_at(&mut self.inline, part, self.links);
        }
    }

    fn end_block(&mut self) {
        self.settle();
        let inline = std::mem::take(&mut self.inline);
        for target in &mut self.targets {
            target.1 = 0;
        }
        if inline.trim().is_empty() {
            return;
        }
        for line in inline.trim().lines() {
            let line = line.trim();
            if line.is_empty() {
                self.blank();
            } else {
                self.write_line(line);
            }
        }
    }

    fn write_code(&mut self, language: &str, text: &str) {
        if self.lists.is_empty() {
            self.blank();
        }
        for line in fence(language, &shown(text)).lines() {
            self.write_line(line);
        }
        if self.lists.is_empty() {
            self.blank();
        }
    }

    fn write_line(&mut self, line: &str) {
        let marker = self.marker.take();
        let outer = self.prefixes.len() - usize::from(marker.is_some() && !self.prefixes.is_empty());
        let prefix: String = self.prefixes[..outer.min(MAX_DEPTH)].concat();
        self.lines.push(format!("{prefix}{}{line}", marker.unwrap_or_default()).trim_end().to_owned());
    }

    fn blank(&mut self) {
        let prefix: String = self.prefixes[..self.prefixes.len().min(MAX_DEPTH)].concat();
        let blank = prefix.trim_end().to_owned();
        if self.lines.last().is_some_and(|last| *last != blank && !last.is_empty()) {
            self.lines.push(blank);
        }
    }
}

/// A language that GitHub only colours.
fn language(info: &str) -> String {
    let name: String = info
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "+#-_.".contains(*c))
        .take(20)
        .collect::<String>()
        .to_lowercase();
    if name.is_empty() || ACTING_LANGUAGES.contains(&name.as_str()) { "text".to_owned() } else { name }
}

/// Text as the characters it is made of, as if it stood at the start of a line.
fn literal(out: &mut String, text: &str, links: &[String]) {
    let mut piece = String::new();
    literal_at(&mut piece, text, links);
    push_apart(out, &piece);
}

/// The same behind what `out` holds already.
fn literal_at(out: &mut String, text: &str, links: &[String]) {
    let mut rest = text;
    while let Some((before, address, after)) = next_url(rest) {
        characters(out, before);
        url(out, address, links);
        rest = after;
    }
    characters(out, rest);
}

/// The first address, up to white space or a character that no address has bare; the punctuation of
/// the sentence around it stays outside.
pub(super) fn next_url(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(colon) = text[from..].find("://").map(|at| at + from) {
        let scheme = text[..colon]
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || "+.-".contains(c)))
            .map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
        if scheme == colon {
            from = colon + 3;
            continue;
        }
        let stops = |c: char| c.is_whitespace() || c.is_control() || "<>\"`|\\^{}[]".contains(c);
        let end = text[colon + 3..].find(stops).map_or(text.len(), |at| at + colon + 3);
        let address =
            text[scheme..end].trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '\'', '*', '_']);
        let end = scheme + address.len().max(colon + 3 - scheme);
        return Some((&text[..scheme], &text[scheme..end], &text[end..]));
    }
    None
}

fn url(out: &mut String, address: &str, links: &[String]) {
    if may_link(address, links) {
        out.push_str(&format!("<{address}>"));
    } else {
        push_apart(out, &code(&without_markers(address)));
    }
}

/// Two code spans side by side would be one, with other ends.
pub(super) fn push_apart(out: &mut String, text: &str) {
    if out.ends_with('`') && text.starts_with('`') {
        out.push(' ');
    }
    out.push_str(text);
}

/// Whether quoted text may link there: HTTPS to a host of the list, without credentials, and no
/// issue, pull request or commit, since GitHub would tell there that it was mentioned.
pub(super) fn may_link(address: &str, links: &[String]) -> bool {
    let Ok(uri) = address.parse::<http::Uri>() else { return false };
    let Some(authority) = uri.authority() else { return false };
    let plain = address.is_ascii()
        && !address.contains(['<', '>', '"', '\'', '`', '\\', '*', '|', '(', ')'])
        && address.matches("://").count() == 1;
    let refers =
        ["/issues/", "/pull/", "/discussions/", "/commit/"].iter().any(|part| uri.path().contains(part));
    plain
        && !refers
        && uri.scheme_str() == Some("https")
        && !authority.as_str().contains('@')
        && links.iter().any(|host| host.eq_ignore_ascii_case(authority.as_str()))
}

fn characters(out: &mut String, text: &str) {
    let chars: Vec<char> = text.chars().collect();
    for (index, &c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).map(|i| chars[i]);
        let next = chars.get(index + 1).copied();
        let starts_line = out.is_empty() || out.ends_with('\n');
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' => out.push_str("&#124;"),
            '$' => out.push_str("&#36;"),
            '_' if before.is_some_and(char::is_alphanumeric) && next.is_some_and(char::is_alphanumeric) => {
                out.push('_');
            }
            '\\' | '`' | '*' | '_' | '[' | ']' | '~' => out.extend(['\\', c]),
            '@' => out.push_str(&format!("@{NO_LINK}")),
            '#' if next.is_some_and(|c| c.is_ascii_digit()) => out.push_str(&format!("#{NO_LINK}")),
            '#' | '+' | '-' | '=' if starts_line => out.extend(['\\', c]),
            '/' if starts_line => out.push_str("&#47;"),
            '-' if ends_with_gh(out) && next.is_some_and(|c| c.is_ascii_digit()) => {
                out.push_str(&format!("-{NO_LINK}"));
            }
            '.' | ')' if is_line_of_digits(out) => out.extend(['\\', c]),
            '.' if ends_with_www(out) => out.push_str(&format!("{NO_LINK}.")),
            _ => out.push(c),
        }
    }
}

fn ends_with_gh(out: &str) -> bool {
    out.len() >= 2 && out.is_char_boundary(out.len() - 2) && out[out.len() - 2..].eq_ignore_ascii_case("gh")
}

fn ends_with_www(out: &str) -> bool {
    out.len() >= 3 && out.is_char_boundary(out.len() - 3) && out[out.len() - 3..].eq_ignore_ascii_case("www")
}

/// `1.` and `1)` at the start of a line begin a list; CommonMark takes up to nine digits for one.
fn is_line_of_digits(out: &str) -> bool {
    let digits = out.bytes().rev().take(10).take_while(u8::is_ascii_digit).count();
    let before = out[..out.len() - digits].bytes().next_back();
    (1..=9).contains(&digits) && before.is_none_or(|b| b == b'\n')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::parse_command;
    use crate::speech::tests::rules::assert_harmless;
    use crate::speech::tests::samples::{HOSTILE, redact};

    #[test]
    fn what_a_model_means_is_kept() {
        for (text, expected) in [
            ("plain words", "plain words"),
            ("use `a | b` and ``x`y``", "use `a | b` and `` x`y ``"),
            (
                "**strong** and *soft* and __init__ and snake_case",
                "**strong** and *soft* and \\_\\_init\\_\\_ and snake_case",
            ),
            ("one\ntwo\n\nthree", "one\ntwo\n\nthree"),
            ("- a\n- b\n  - c\n- d", "- a\n- b\n  - c\n- d"),
            ("1. a\n2. b", "1. a\n2. b"),
            ("# Head\n\ntext", "Head\n\ntext"),
            ("```rust\nlet a = \"@x\";\n```\nafter", " ```rust\n let a = \"@x\";\n ```\n\nafter"),
            ("```mermaid\ngraph\n```", " ```text\n graph\n ```"),
            ("> said\n\nmore", "> said\n\nmore"),
            ("2 * 3 < 7 & 1 | 0", "2 \\* 3 &lt; 7 &amp; 1 &#124; 0"),
            ("see https://docs.example/a.", "see <https://docs.example/a>."),
            ("[the docs](https://docs.example/a)", "the docs (<https://docs.example/a>)"),
        ] {
            assert_eq!(prose(text, &["docs.example".to_owned()]), expected, "{text:?}");
        }
    }

    #[test]
    fn what_would_act_only_shows() {
        for (text, expected) in [
            ("@ada and @acme/team", "@&#8203;ada and @&#8203;acme/team"),
            ("#1 o/r#2 GH-3 gh-4", "#&#8203;1 o/r#&#8203;2 GH-&#8203;3 gh-&#8203;4"),
            ("Fixes #1", "Fixes #&#8203;1"),
            ("/lgtm", "&#47;lgtm"),
            ("x\n/lgtm", "x\n&#47;lgtm"),
            ("https://evil.example/x)", "`https://evil.example/x`)"),
            ("https://docs.example/o/r/issues/5", "`https://docs.example/o/r/issues/5`"),
            ("www.evil.example", "www&#8203;.evil.example"),
            ("![x](https://evil.example/p.png)", "x (`https://evil.example/p.png`)"),
            ("[x](https://evil.example)", "x (`https://evil.example`)"),
            ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"),
            ("<!-- orchestrator:k -->", "&lt;!-- orchestrator:k --&gt;"),
            ("\\@ada &#64;ada", "@&#8203;ada @&#8203;ada"),
            ("\\- a", "\\- a"),
            ("1\\. a", "1\\. a"),
            ("$x$", "&#36;x&#36;"),
        ] {
            assert_eq!(prose(text, &["docs.example".to_owned()]), expected, "{text:?}");
        }
    }

    #[test]
    fn a_line_stays_one_line() {
        for (text, expected) in [
            ("a\n\n# b\n- c `d\ne` f", "a # b - c `d e` f"),
            ("`a` @b", "`a` @&#8203;b"),
            ("`` ` `` `", "`` ` `` \\`"),
            ("``` ``", "\\`\\`\\` \\`\\`"),
            ("https://e.x/```<b>`@bob```", "`https://e.x/` `` <b>`@bob ``"),
            ("- item", "\\- item"),
            ("", ""),
        ] {
            assert_eq!(line(text, &[]), expected, "{text:?}");
        }
    }

    #[test]
    fn a_cut_says_how_much_is_missing() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "abc…");
        assert_eq!(cut_middle("äbcdefghij", 6), "äb\n[… 4 characters cut …]\nghij");
        assert_eq!(cut_middle("abc", 3), "abc");
    }

    #[test]
    fn nothing_hostile_acts_in_prose_or_in_a_line() {
        let links = ["docs.example".to_owned()];
        for text in HOSTILE {
            let clean = super::super::hidden::clean(text, super::super::hidden::Hidden::Remove);
            let clean = redact(&clean);
            for out in [prose(&clean, &links), line(&clean, &links)] {
                assert_harmless(&format!("{out}\n\n<!-- orchestrator:k -->"));
                assert_eq!(parse_command(&out), None, "{out}");
            }
        }
    }

    #[test]
    fn text_that_is_only_escaped_as_html_acts() {
        // The weak variant escapes HTML, as templates do, and leaves Markdown as it is.
        let weak = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let marker = "\n\n<!-- orchestrator:k -->";
        for attack in [
            "@ada",
            "o/r#99",
            "![x](https://evil.example/p.png)",
            "[x](https://evil.example)",
            "https://evil.example/x",
            "/lgtm",
            "www.evil.example",
        ] {
            let acts = std::panic::catch_unwind(|| assert_harmless(&format!("{}{marker}", weak(attack))));
            assert!(acts.is_err(), "{attack} is harmless as it is");
            assert_harmless(&format!("{}{marker}", prose(attack, &[])));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn no_text_acts(text in r#"([-@#1a/\\`*_~<>\[\]()!|$&;:. \n\t+=]|https://e\.x/|GH-1|@bob|#99|```|<b>|</details>|<!--|-->|www\.e|\[a\]\(b\)|!\[c\]|    |> ){0,24}"#) {
            for out in [prose(&text, &[]), line(&text, &[])] {
                assert_harmless(&format!("{out}\n\n<!-- orchestrator:k -->"));
                prop_assert_eq!(parse_command(&out), None);
            }
        }

        #[test]
        fn any_text_at_all_is_taken(text in "\\PC{0,80}") {
            prose(&text, &[]);
            line(&text, &[]);
        }
    }

    #[test]
    fn deep_nesting_costs_no_more_than_its_length() {
        for unit in
            ["> ", "- ", "1. ", "[", "*", "`", "<", "![", "(", "_a ", "a.", "x://", "www.", "`a`", "1) "]
        {
            let text = unit.repeat(20_000);
            let began = std::time::Instant::now();
            let longest = prose(&text, &[]).len().max(line(&text, &[]).len());
            assert!(
                began.elapsed() < std::time::Duration::from_secs(30),
                "{unit:?} took {:?}",
                began.elapsed()
            );
            assert!(longest < 1_000_000, "{unit:?} grew to {longest}");
        }
    }
}
