//! A change as a reviewer or fixer reads it: hunks with the line numbers of the new side.

/// Everything that a task changed so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    pub files: Vec<ChangedFile>,
}

/// One changed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// After the change, or before it where the file was deleted.
    pub path: String,
    /// Where a renamed file was.
    pub old_path: Option<String>,
    /// The whole text after the change; `None` where there is none: deleted, or not text.
    pub new_text: Option<String>,
    pub hunks: Vec<Hunk>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// Number of the first line on the new side, from 1.
    pub new_start: u32,
    pub lines: Vec<HunkLine>,
}

/// A line without its line feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HunkLine {
    Context(String),
    Added(String),
    Removed(String),
}

impl Change {
    pub fn file(&self, path: &str) -> Option<&ChangedFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The change as text of at most about `max_chars` characters; what does not fit is named.
    pub(super) fn text(&self, max_chars: usize) -> String {
        within(max_chars, self.files.iter().map(|file| (file.path.as_str(), file.text())))
    }

    /// The changed files as they are now, with line numbers, within `max_chars` characters.
    pub(super) fn files_text(&self, max_chars: usize) -> String {
        let files = self.files.iter().filter_map(|file| {
            let text = file.new_text.as_ref()?;
            let lines: String =
                text.lines().enumerate().map(|(index, line)| format!("{:>5}\t{line}\n", index + 1)).collect();
            Some((file.path.as_str(), format!("=== {}\n{lines}", file.path)))
        });
        within(max_chars, files)
    }

    /// The lines around places (path, first and last line) of the changed files, with their numbers.
    pub(super) fn around(&self, places: &[(&str, u32, u32)], lines: u32, max_chars: usize) -> String {
        let shown = self.files.iter().filter_map(|file| {
            let text = file.new_text.as_ref()?;
            let near: Vec<_> = places
                .iter()
                .filter(|(path, ..)| *path == file.path)
                .map(|(_, first, last)| first.saturating_sub(lines)..=last.saturating_add(lines))
                .collect();
            let mut shown = format!("=== {}\n", file.path);
            let mut left_out = false;
            for (number, line) in (1_u32..).zip(text.lines()) {
                if near.iter().any(|range| range.contains(&number)) {
                    shown.push_str(&format!("{number:>5}\t{line}\n"));
                    left_out = false;
                } else if !left_out {
                    shown.push_str("  ...\n");
                    left_out = true;
                }
            }
            (!near.is_empty()).then_some((file.path.as_str(), shown))
        });
        within(max_chars, shown)
    }
}

/// As many whole texts as fit; the first is cut if even it does not.
fn within<'a>(max_chars: usize, texts: impl Iterator<Item = (&'a str, String)>) -> String {
    let mut shown = String::new();
    let mut chars = 0;
    let mut left_out = Vec::new();
    for (path, text) in texts {
        let length = text.chars().count();
        if chars + length <= max_chars {
            shown.push_str(&text);
            chars += length;
        } else if chars == 0 {
            shown.push_str(&super::tools::cut_in_the_middle(&text, max_chars));
            chars = max_chars;
        } else {
            left_out.push(path);
        }
    }
    if !left_out.is_empty() {
        shown.push_str(&format!("[not shown, there was no room: {}]\n", left_out.join(", ")));
    }
    shown
}

impl ChangedFile {
    /// Lines of the new side; 0 where there is none.
    pub fn new_lines(&self) -> u32 {
        let count = self.new_text.as_ref().map_or(0, |text| text.lines().count());
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn text(&self) -> String {
        let mut text = format!("=== {}", self.path);
        if let Some(old) = &self.old_path {
            text.push_str(&format!(" (was {old})"));
        }
        match (&self.new_text, self.hunks.is_empty()) {
            (None, true) => text.push_str(" (deleted, or not text)"),
            (None, false) => text.push_str(" (deleted)"),
            (Some(_), _) => {}
        }
        text.push('\n');
        for hunk in &self.hunks {
            text.push_str("@@\n");
            let mut number = hunk.new_start;
            for line in &hunk.lines {
                let (mark, content) = match line {
                    HunkLine::Context(content) => (' ', content),
                    HunkLine::Added(content) => ('+', content),
                    HunkLine::Removed(content) => ('-', content),
                };
                if mark == '-' {
                    text.push_str(&format!("      -{content}\n"));
                } else {
                    text.push_str(&format!("{number:>5} {mark}{content}\n"));
                    number += 1;
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> ChangedFile {
        ChangedFile {
            path: path.into(),
            old_path: None,
            new_text: Some(text.into()),
            hunks: vec![Hunk {
                new_start: 1,
                lines: vec![
                    HunkLine::Context("a".into()),
                    HunkLine::Removed("x".into()),
                    HunkLine::Added("y".into()),
                    HunkLine::Context("b".into()),
                ],
            }],
        }
    }

    #[test]
    fn lines_carry_the_numbers_of_the_new_side() {
        let change = Change { files: vec![file("src/a.rs", "a\ny\nb\n")] };
        assert_eq!(change.text(1_000), "=== src/a.rs\n@@\n    1  a\n      -x\n    2 +y\n    3  b\n");
        assert_eq!(change.files_text(1_000), "=== src/a.rs\n    1\ta\n    2\ty\n    3\tb\n");
    }

    #[test]
    fn only_the_lines_around_a_place_are_shown() {
        let text: String = (1..=9).map(|number| format!("line {number}\n")).collect();
        let change = Change { files: vec![file("a", &text), file("b", "b\n")] };
        let shown = change.around(&[("a", 2, 2), ("a", 7, 8), ("c", 1, 1)], 1, 1_000);
        let lines: Vec<&str> = shown.lines().map(str::trim_start).collect();
        let expected = [
            "=== a",
            "1\tline 1",
            "2\tline 2",
            "3\tline 3",
            "...",
            "6\tline 6",
            "7\tline 7",
            "8\tline 8",
            "9\tline 9",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let change =
            Change { files: vec![file("a", "a\n"), file("b", &"b\n".repeat(500)), file("c", "c\n")] };
        let text = change.files_text(100);
        assert!(text.contains("=== a") && text.contains("=== c"), "{text}");
        assert!(text.ends_with("[not shown, there was no room: b]\n"), "{text}");
    }
}
