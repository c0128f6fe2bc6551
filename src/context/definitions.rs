//! Names that a source file defines, found line by line by what definitions look like in the usual languages.
//!
//! No parser: it reads some hundred megabytes a second, needs no grammar and does not mind code that does not
//! compile. What it takes for a definition counts for the rank of a file and nothing else.

/// Words that may stand before what says what is defined.
const MODIFIERS: &[&[u8]] = &[
    b"pub",
    b"crate",
    b"public",
    b"private",
    b"protected",
    b"internal",
    b"static",
    b"async",
    b"export",
    b"default",
    b"abstract",
    b"final",
    b"override",
    b"unsafe",
    b"extern",
    b"inline",
    b"virtual",
    b"sealed",
    b"partial",
    b"readonly",
    b"declare",
    b"synchronized",
    b"native",
    b"suspend",
    b"open",
    b"data",
    b"local",
    b"constexpr",
    b"explicit",
    b"fileprivate",
    b"mutating",
    b"noinline",
    b"operator",
    b"inner",
    b"companion",
    b"super",
    b"in",
    b"typedef",
    b"template",
    b"global",
];
/// Words after which the name comes.
const DEFINING: &[&[u8]] = &[
    b"fn",
    b"func",
    b"function",
    b"fun",
    b"def",
    b"defp",
    b"defmodule",
    b"defmacro",
    b"class",
    b"struct",
    b"enum",
    b"trait",
    b"interface",
    b"type",
    b"mod",
    b"module",
    b"namespace",
    b"macro_rules",
    b"record",
    b"object",
    b"union",
    b"protocol",
    b"extension",
    b"impl",
    b"sub",
    b"procedure",
    b"actor",
    b"const",
    b"let",
    b"var",
    b"val",
    b"static",
    b"mixin",
    b"define_method",
    b"package",
];
/// Words that begin statements which look like functions.
const STATEMENTS: &[&[u8]] = &[
    b"if",
    b"for",
    b"while",
    b"switch",
    b"return",
    b"else",
    b"catch",
    b"elif",
    b"elsif",
    b"unless",
    b"until",
    b"when",
    b"match",
    b"case",
    b"do",
    b"try",
    b"with",
    b"assert",
    b"throw",
    b"raise",
    b"await",
    b"yield",
    b"new",
    b"delete",
    b"using",
    b"lock",
    b"foreach",
    b"import",
    b"from",
    b"print",
    b"sizeof",
    b"defer",
    b"go",
    b"select",
    b"loop",
    b"and",
    b"or",
    b"not",
    b"except",
    b"finally",
    b"require",
    b"include",
    b"expect",
    b"describe",
    b"it",
    b"super",
    b"function",
    b"constructor",
];
const LONGEST_LINE: usize = 400;

/// What a word of code may be in a line that defines something; one word may be several of these.
const MODIFIER: u8 = 1;
const DEFINER: u8 = 2;
const STATEMENT: u8 = 4;
/// Places for words: some hundreds, most of them empty, since nearly all words of code are none of these.
const PLACES: usize = 1024;

/// All words of the lists with what they are, by a hash of their length and some of their letters.
#[derive(Debug)]
struct Keywords([(&'static [u8], u8); PLACES]);

static KEYWORDS: Keywords =
    Keywords::of([(MODIFIERS, MODIFIER), (DEFINING, DEFINER), (STATEMENTS, STATEMENT)]);

impl Keywords {
    const fn of(lists: [(&'static [&'static [u8]], u8); 3]) -> Self {
        let mut places: [(&'static [u8], u8); PLACES] = [(b"", 0); PLACES];
        let mut list = 0;
        while list < lists.len() {
            let (words, kind) = lists[list];
            let mut at = 0;
            while at < words.len() {
                let mut place = Self::place(words[at]);
                while !places[place].0.is_empty() && !Self::same(places[place].0, words[at]) {
                    place = (place + 1) % PLACES;
                }
                places[place] = (words[at], places[place].1 | kind);
                at += 1;
            }
            list += 1;
        }
        Self(places)
    }

    const fn same(a: &[u8], b: &[u8]) -> bool {
        let mut at = 0;
        while at < a.len() && at < b.len() && a[at] == b[at] {
            at += 1;
        }
        at == a.len() && at == b.len()
    }

    const fn place(word: &[u8]) -> usize {
        let length = word.len();
        if length < 2 {
            return 0;
        }
        let sum = word[0] as usize + 37 * word[1] as usize + 101 * word[length - 1] as usize + 11 * length;
        sum % PLACES
    }

    /// What a word is; 0 where it is none of them.
    fn kind(&self, word: &[u8]) -> u8 {
        let mut place = Self::place(word);
        loop {
            let (known, kind) = self.0[place];
            if known.is_empty() || known == word {
                return kind;
            }
            place = (place + 1) % PLACES;
        }
    }
}

fn is_defining(word: &[u8]) -> bool {
    KEYWORDS.kind(word) & DEFINER != 0
}

fn is_statement(word: &[u8]) -> bool {
    KEYWORDS.kind(word) & STATEMENT != 0
}

/// Calls `each` with every name that `text` seems to define.
pub(super) fn definitions(text: &[u8], mut each: impl FnMut(&[u8])) {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', text).chain([text.len()]) {
        if let Some(name) = defined(&text[start..end]) {
            each(name);
        }
        start = (end + 1).min(text.len());
    }
}

/// The name that a line defines.
fn defined(line: &[u8]) -> Option<&[u8]> {
    let text = line.trim_ascii_start();
    let first = *text.first()?;
    if !(first.is_ascii_alphabetic() || matches!(first, b'#' | b'_' | b'$' | b'~')) {
        return None;
    }
    let text = text.trim_ascii_end();
    if text.len() < 4 || text.len() > LONGEST_LINE {
        return None;
    }
    if first == b'#' {
        return text.strip_prefix(b"#define").and_then(|rest| name_at(rest.trim_ascii_start()));
    }
    let indented = line[0] == b' ' || line[0] == b'\t';
    let mut at = 0;
    for _ in 0..6 {
        let word = word_at(text, at);
        if word.is_empty() {
            break;
        }
        let after = at + word.len();
        let kind = KEYWORDS.kind(word);
        if kind & DEFINER != 0 {
            if let Some(name) = after_keyword(text, word, after, indented) {
                return Some(name);
            }
        } else if at == 0 && kind & STATEMENT != 0 {
            return None;
        } else if kind & MODIFIER == 0 {
            break;
        }
        at = next_word(text, after);
    }
    bare_function(text, indented).or_else(|| assigned(text, indented))
}

fn after_keyword<'a>(text: &'a [u8], keyword: &[u8], after: usize, indented: bool) -> Option<&'a [u8]> {
    let mut rest = text.get(after..)?;
    rest = rest.strip_prefix(b"!").or(rest.strip_prefix(b"*")).unwrap_or(rest);
    if !rest.starts_with(b" ") && !rest.starts_with(b"\t") && !rest.starts_with(b"<") {
        return None;
    }
    match keyword {
        // A local variable is no definition to look for.
        b"const" | b"let" | b"var" | b"val" | b"static" if indented => return None,
        b"package" | b"impl" => return None,
        _ => {}
    }
    rest = rest.trim_ascii_start();
    if keyword == b"func" && rest.starts_with(b"(") {
        let close = memchr::memchr(b')', rest)?;
        rest = rest[close + 1..].trim_ascii_start();
    }
    let name = rest.strip_prefix(b"self.").unwrap_or(rest);
    let name = name.strip_prefix(b"mut ").or(name.strip_prefix(b"*")).unwrap_or(name);
    let rest = name.trim_ascii_start();
    let name = name_at(rest).filter(|name| !is_defining(name))?;
    // `static int f(`, `struct a *b(` and `struct a b = {` are C, and the name is a type.
    let next = rest[name.len()..].trim_ascii_start().first();
    let is_type = next.is_some_and(|&byte| is_name(byte) || byte == b'*' || byte == b'=');
    let may_be_type = matches!(keyword, b"struct" | b"enum" | b"union");
    let follows_type =
        matches!(keyword, b"static" | b"const") && next.is_some_and(|&byte| is_name(byte) || byte == b'*');
    if (may_be_type && is_type) || follows_type { None } else { Some(name) }
}

/// `int frob(struct x *y)`, `frob(a, b) {`: a name before the first bracket of a line that opens a body.
fn bare_function(text: &[u8], indented: bool) -> Option<&[u8]> {
    let last = *text.last()?;
    let opens_body = last == b'{' || (!indented && matches!(last, b')' | b','));
    if !opens_body {
        return None;
    }
    let open = memchr::memchr(b'(', text)?;
    let before = text[..open].trim_ascii_end();
    if before.iter().any(|byte| matches!(byte, b'=' | b'"' | b'\'' | b'.' | b'{' | b'!' | b'?')) {
        return None;
    }
    let name = name_before(before)?;
    let alone = name.len() == before.len();
    // `frob(a)` at the margin is a call, `int frob(a)` is none.
    if alone && last != b'{' {
        return None;
    }
    (!is_statement(name)).then_some(name)
}

/// `frob = function (`, `frob: (a) => {`, `exports.frob = `, and constants at the margin.
fn assigned(text: &[u8], indented: bool) -> Option<&[u8]> {
    let opens = matches!(text.last(), Some(b'{' | b'(' | b'>'));
    if indented && !opens {
        return None;
    }
    let sign = text.iter().position(|&byte| byte == b'=' || byte == b':')?;
    let after = &text[sign..];
    let constant = !indented && text[sign] == b'=' && after.get(1) != Some(&b'=');
    let function = || {
        memchr::memmem::find(after, b"function").is_some()
            || memchr::memmem::find(after, b"=>").is_some()
            || memchr::memmem::find(after, b"lambda").is_some()
    };
    if !constant && !function() {
        return None;
    }
    let before = text[..sign].trim_ascii_end();
    if before.contains(&b'(') || before.contains(&b'[') {
        return None;
    }
    name_before(before)
}

/// Which bytes names have.
static NAME: [bool; 256] = {
    let mut of_names = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        of_names[byte] = (byte as u8).is_ascii_alphanumeric() || byte == b'_' as usize || byte >= 128;
        byte += 1;
    }
    of_names
};

fn is_name(byte: u8) -> bool {
    NAME[usize::from(byte)]
}

fn word_at(text: &[u8], at: usize) -> &[u8] {
    let rest = &text[at.min(text.len())..];
    let end = rest.iter().position(|&byte| !is_name(byte)).unwrap_or(rest.len());
    &rest[..end]
}

/// Beyond spaces, and beyond the brackets of `pub(crate)` and `template<…>`.
fn next_word(text: &[u8], mut at: usize) -> usize {
    while at < text.len() && !is_name(text[at]) {
        at += 1;
    }
    at
}

fn name_at(text: &[u8]) -> Option<&[u8]> {
    let name = word_at(text, 0);
    (name.len() > 1 && !name[0].is_ascii_digit()).then_some(name)
}

fn name_before(text: &[u8]) -> Option<&[u8]> {
    let start = text.iter().rposition(|&byte| !is_name(byte)).map_or(0, |at| at + 1);
    let name = &text[start..];
    (name.len() > 1 && !name[0].is_ascii_digit()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        definitions(text.as_bytes(), |name| found.push(String::from_utf8_lossy(name).into_owned()));
        found
    }

    #[test]
    fn definitions_of_many_languages_are_found() {
        for (line, name) in [
            ("pub(crate) async fn split_amount<T>(x: T) {", "split_amount"),
            ("macro_rules! frob {", "frob"),
            ("    def self.parse_query(qs)", "parse_query"),
            ("class Request(RequestBase):", "Request"),
            ("DEFAULT_TIMEOUT = 30", "DEFAULT_TIMEOUT"),
            ("func (c *Command) ExecuteC() (cmd *Command, err error) {", "ExecuteC"),
            ("type Engine struct {", "Engine"),
            ("export default class Axios {", "Axios"),
            ("export const buildURL = (url) => {", "buildURL"),
            ("exports.compileETag = function(val) {", "compileETag"),
            ("  setHeader(name, value) {", "setHeader"),
            ("  frob: function (a) {", "frob"),
            ("    public static <T> T fromJson(String json, Class<T> type) {", "fromJson"),
            ("static int foo_probe(struct platform_device *pdev)", "foo_probe"),
            ("int main(int argc,", "main"),
            ("#define FROB_MAX 12", "FROB_MAX"),
            ("struct sk_buff {", "sk_buff"),
            ("struct page *alloc_page(int order)", "alloc_page"),
            ("pub struct Wrapper(u8);", "Wrapper"),
            ("    protected function getName(): string", "getName"),
            ("namespace Foo.Bar", "Foo"),
            ("interface Shape<T> {", "Shape"),
        ] {
            assert_eq!(of(line), [name], "{line}");
        }
    }

    #[test]
    fn statements_and_calls_define_nothing() {
        for line in [
            "    if (a > b) {",
            "  return frob(a) {",
            "    let x = frob(1);",
            "frob(a, b)",
            "  } else if (x) {",
            "// fn commented() {",
            "    for (int i = 0; i < n; i++) {",
            "x",
            "",
            "describe('it works', () => {",
        ] {
            assert!(of(line).is_empty(), "{line}: {:?}", of(line));
        }
    }
}
