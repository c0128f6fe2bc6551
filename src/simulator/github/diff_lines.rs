//! Which lines of a diff may carry a review comment, and where they stand in it.
//!
//! GitHub takes comments only on lines that the diff shows: changed lines and three lines of context.
//! Source: docs.github.com/rest/pulls/comments#create-a-review-comment-for-a-pull-request.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The old file: deleted lines and context.
    Left,
    /// The new file: added lines and context.
    Right,
}

impl Side {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "LEFT",
            Self::Right => "RIGHT",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "LEFT" => Some(Self::Left),
            "RIGHT" => Some(Self::Right),
            _ => None,
        }
    }
}

/// A line of a patch that may carry a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DiffLine {
    /// Lines down from the file's first `@@`, later hunk headers counted.
    pub position: u64,
    /// Which hunk, from zero.
    pub hunk: usize,
    pub left: Option<u64>,
    pub right: Option<u64>,
    /// The hunk from its header to this line, as `diff_hunk` shows it.
    pub diff_hunk: String,
}

impl DiffLine {
    pub fn number(&self, side: Side) -> Option<u64> {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }

    /// The side of a comment given by position only: the old one for a deleted line.
    pub fn own_side(&self) -> Side {
        if self.right.is_none() { Side::Left } else { Side::Right }
    }
}

/// All lines of a patch that starts with its first `@@`.
pub(super) fn diff_lines(patch: &str) -> Vec<DiffLine> {
    let mut lines = Vec::new();
    let (mut left, mut right) = (0, 0);
    let mut hunks = 0;
    let mut hunk_text = String::new();
    // The first header is position 0.
    for (position, text) in patch.split('\n').enumerate() {
        if let Some((old, new)) = hunk_starts(text) {
            (left, right) = (old, new);
            hunks += 1;
            hunk_text = text.to_owned();
            continue;
        }
        if hunks == 0 {
            continue;
        }
        hunk_text.push('\n');
        hunk_text.push_str(text);
        let (on_left, on_right) = match text.bytes().next() {
            Some(b'+') => (false, true),
            Some(b'-') => (true, false),
            Some(b'\\') => continue,
            _ => (true, true),
        };
        lines.push(DiffLine {
            position: position as u64,
            hunk: hunks - 1,
            left: on_left.then_some(left),
            right: on_right.then_some(right),
            diff_hunk: hunk_text.clone(),
        });
        left += u64::from(on_left);
        right += u64::from(on_right);
    }
    lines
}

pub(super) fn find_line(patch: &str, side: Side, line: u64) -> Option<DiffLine> {
    diff_lines(patch).into_iter().find(|one| one.number(side) == Some(line))
}

/// Where a line of the old file stands in the new one; `None` if it was changed or removed.
pub(super) fn carry_line(patch: &str, line: u64) -> Option<u64> {
    let mut shift: i64 = 0;
    for one in diff_lines(patch) {
        match (one.left, one.right) {
            (Some(left), Some(right)) if left == line => return Some(right),
            (Some(left), None) if left == line => return None,
            (Some(left), Some(_)) if left > line => break,
            (Some(left), None) if left > line => break,
            (Some(_), None) => shift -= 1,
            (None, Some(right)) if right.cast_signed() - shift > line.cast_signed() => break,
            (None, Some(_)) => shift += 1,
            _ => {}
        }
    }
    u64::try_from(line.cast_signed() + shift).ok()
}

fn hunk_starts(text: &str) -> Option<(u64, u64)> {
    let rest = text.strip_prefix("@@ -")?;
    let (old, rest) = rest.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let start = |range: &str| range.split(',').next().and_then(|number| number.parse::<u64>().ok());
    Some((start(old)?, start(new)?))
}

#[cfg(test)]
mod tests {
    use super::{Side, carry_line, diff_lines, find_line};

    const PATCH: &str = "@@ -2,4 +2,5 @@ fn f()\n a\n-b\n+B\n+C\n d\n e\n@@ -20,2 +21,2 @@\n x\n-y\n+z\n\\ No newline at end of file";

    #[test]
    fn lines_inside_hunks_are_found_on_their_sides() {
        let added = find_line(PATCH, Side::Right, 4).expect("line 4 is new");
        assert_eq!((added.position, added.left, added.right, added.hunk), (4, None, Some(4), 0));
        assert_eq!(added.diff_hunk, "@@ -2,4 +2,5 @@ fn f()\n a\n-b\n+B\n+C");
        let removed = find_line(PATCH, Side::Left, 3).expect("line 3 was removed");
        assert_eq!((removed.position, removed.own_side()), (2, Side::Left));
        // Position 7 is the second header.
        let second = find_line(PATCH, Side::Right, 22).expect("line 22 is new");
        assert_eq!((second.position, second.hunk), (10, 1));
    }

    #[test]
    fn lines_outside_hunks_are_not_found() {
        for line in [1, 7, 20, 23] {
            assert!(find_line(PATCH, Side::Right, line).is_none(), "{line}");
        }
        assert!(diff_lines("").is_empty());
    }

    #[test]
    fn a_line_is_carried_over_a_change() {
        assert_eq!(carry_line(PATCH, 1), Some(1));
        assert_eq!(carry_line(PATCH, 3), None);
        assert_eq!(carry_line(PATCH, 4), Some(5));
        assert_eq!(carry_line(PATCH, 10), Some(11));
        assert_eq!(carry_line(PATCH, 21), None);
        assert_eq!(carry_line(PATCH, 30), Some(31));
        assert_eq!(carry_line("@@ -0,0 +1,2 @@\n+n\n+m", 1), Some(3));
        assert_eq!(carry_line("", 9), Some(9));
    }
}
