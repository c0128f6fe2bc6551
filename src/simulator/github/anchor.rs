//! Where review comments stand: the place a caller asks for, found in the diff, and where it is now.

use serde_json::Value;

use super::answer::Refusal;
use super::diff_lines::{DiffLine, Side, carry_line, diff_lines, find_line};
use super::pull::Pull;
use super::refusals;
use super::repository::Repository;
use super::review::unprocessable;

/// Where a comment was put, in the diff it was put on.
#[derive(Clone, Debug)]
pub(super) struct Anchor {
    pub path: String,
    pub commit: String,
    pub side: Side,
    /// `None` for a comment on the whole file.
    pub line: Option<u64>,
    pub start: Option<(Side, u64)>,
    pub position: u64,
    pub diff_hunk: String,
}

/// Where a caller asks a comment to stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    path: String,
    line: Option<u64>,
    side: Option<String>,
    start_line: Option<u64>,
    start_side: Option<String>,
    position: Option<u64>,
    whole_file: bool,
}

impl Place {
    pub fn from_json(body: &Value) -> Result<Self, Refusal> {
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        Ok(Self {
            path: text("path").ok_or_else(|| unprocessable("path can't be blank"))?,
            line: body["line"].as_u64(),
            side: text("side"),
            start_line: body["start_line"].as_u64(),
            start_side: text("start_side"),
            position: body["position"].as_u64(),
            whole_file: body["subject_type"] == "file",
        })
    }
}

/// Finds a place in the diff from the merge base to `commit`. The error is GitHub's sentence.
pub(super) fn anchor_of(
    repo: &Repository,
    pull: &Pull,
    commit: &str,
    place: &Place,
) -> Result<Anchor, String> {
    let changes = repo.bare.diff(Some(&pull.merge_base), commit).map_err(|error| format!("{error:#}"))?;
    let file = changes.iter().find(|file| file.path == place.path).ok_or("Path could not be resolved")?;
    let anchor = |side, line: Option<u64>, start, found: Option<&DiffLine>| Anchor {
        path: place.path.clone(),
        commit: commit.to_owned(),
        side,
        line,
        start,
        position: found.map_or(1, |line| line.position),
        diff_hunk: found.map_or_else(String::new, |line| line.diff_hunk.clone()),
    };
    if place.whole_file {
        return Ok(anchor(Side::Right, None, None, None));
    }
    if let (None, Some(position)) = (place.line, place.position) {
        let found = diff_lines(&file.patch).into_iter().find(|line| line.position == position);
        let found = found.ok_or("Position could not be resolved")?;
        let side = found.own_side();
        return Ok(anchor(side, found.number(side), None, Some(&found)));
    }
    let line = place.line.ok_or("Line could not be resolved")?;
    let side = Side::parse(place.side.as_deref().unwrap_or("RIGHT")).ok_or("Side is invalid")?;
    let found = find_line(&file.patch, side, line).ok_or(refusals::REVIEW_OUTSIDE_DIFF.says)?;
    let start = match place.start_line {
        None => None,
        Some(start_line) => {
            let text = place.start_side.as_deref().unwrap_or(side.as_str());
            let start_side = Side::parse(text).ok_or("Start side is invalid")?;
            let first = find_line(&file.patch, start_side, start_line)
                .filter(|first| first.hunk == found.hunk)
                .ok_or(refusals::OTHER_HUNK.says)?;
            if first.position >= found.position {
                return Err(refusals::START_AFTER_END.says.into());
            }
            Some((start_side, start_line))
        }
    };
    Ok(anchor(side, Some(line), start, Some(&found)))
}

/// Where an anchored comment stands in the pull request's present diff: line and position.
pub(super) fn present_place(repo: &Repository, pull: &Pull, anchor: &Anchor) -> Option<(u64, u64)> {
    let line = anchor.line?;
    if anchor.commit == pull.head_sha {
        return Some((line, anchor.position));
    }
    let now = match anchor.side {
        Side::Left => line,
        Side::Right => {
            let moved = repo.bare.diff(Some(&anchor.commit), &pull.head_sha).ok()?;
            match moved.iter().find(|file| file.path == anchor.path) {
                Some(file) if file.status == "removed" => return None,
                Some(file) => carry_line(&file.patch, line)?,
                None => line,
            }
        }
    };
    let changes = repo.bare.diff(Some(&pull.merge_base), &pull.head_sha).ok()?;
    let file = changes.iter().find(|file| file.path == anchor.path)?;
    find_line(&file.patch, anchor.side, now).map(|found| (now, found.position))
}
