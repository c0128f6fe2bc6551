//! What stages made is kept without the secrets that the deployment has at that time. Later ones may be others, and
//! whoever reads the database reads what was kept.
//!
//! Commits and patches are kept as they are: they are the work, and a change that would hold a secret is refused.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::domain::Event;
use crate::store::{Artifact, ArtifactKind};
use crate::telemetry::Redactor;

use super::StageEnd;

/// A log is looked through in pieces of about this many bytes, each of whole lines.
const PIECE: u64 = 1 << 20;
/// A line that goes on for longer than this after a piece is cut.
const LONGEST_LINE: u64 = 1 << 16;

/// What a stage came to, without secrets.
pub(super) fn clean(end: &mut StageEnd, redactor: &Redactor) {
    for artifact in &mut end.artifacts {
        clean_artifact(artifact, redactor);
    }
    for event in &mut end.events {
        if let Event::StageFailed { reason, .. } = event {
            *reason = without_secrets(reason.clone(), redactor);
        }
    }
}

pub(super) fn clean_artifact(artifact: &mut Artifact, redactor: &Redactor) {
    match made_of(artifact) {
        // The last is packed, and cleaned before that.
        ArtifactKind::Commits | ArtifactKind::Patch | ArtifactKind::GateLog => return,
        _ => {}
    }
    let Ok(text) = std::str::from_utf8(&artifact.body) else { return };
    // Read as JSON first: in its text, a secret of several lines is written in another way.
    let clean = match serde_json::from_str::<Value>(text) {
        Ok(value) => serde_json::to_string_pretty(&redactor.clean_json(value)).ok(),
        Err(_) => Some(redactor.clean(text)),
    };
    if let Some(clean) = clean {
        artifact.body = clean.into_bytes();
    }
}

/// The kind, and of what was made for a candidate its own: see [`super::candidates`].
fn made_of(artifact: &Artifact) -> ArtifactKind {
    let own = match artifact.kind {
        ArtifactKind::Candidate => artifact.name.split('/').nth(1).and_then(ArtifactKind::named),
        _ => None,
    };
    own.unwrap_or(artifact.kind)
}

/// The same with clean texts. What would not be the same kind of thing any more stays as it is.
pub(super) fn without_secrets<T: Serialize + DeserializeOwned>(value: T, redactor: &Redactor) -> T {
    let clean = serde_json::to_value(&value).map(|value| redactor.clean_json(value));
    match clean.and_then(serde_json::from_value) {
        Ok(clean) => clean,
        Err(error) => {
            tracing::warn!(%error, "what is to be kept cannot be cleaned of secrets as a whole");
            value
        }
    }
}

/// Copies a text piece by piece, without secrets.
pub(super) fn copy_clean(from: impl Read, to: &mut impl Write, redactor: &Redactor) -> io::Result<()> {
    let mut from = BufReader::new(from);
    loop {
        let mut piece = Vec::new();
        from.by_ref().take(PIECE).read_to_end(&mut piece)?;
        from.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut piece)?;
        if piece.is_empty() {
            return Ok(());
        }
        match std::str::from_utf8(&piece) {
            Ok(text) => to.write_all(redactor.clean(text).as_bytes())?,
            Err(_) => {
                let text = String::from_utf8_lossy(&piece);
                // What is no text stays as it is, unless there is a secret in it.
                let clean = redactor.clean(&text);
                to.write_all(if clean == text { &piece } else { clean.as_bytes() })?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;
    use crate::domain::{Reason, Stage};

    const SECRET: &str = "a-secret-of-the-deployment";

    fn redactor() -> Redactor {
        Redactor::new([SecretString::from(SECRET)])
    }

    fn artifact(kind: ArtifactKind, name: &str, body: &str) -> Artifact {
        Artifact { kind, version: 1, name: name.to_owned(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn what_a_stage_made_is_kept_without_secrets_and_the_work_as_it_is() {
        let text = format!("said {SECRET} to \"me\"");
        let json = json!({ "log": text, "exit": 3 }).to_string();
        let kept = |kind, name: &str, body: &str| artifact(kind, name, body);
        let mut end = StageEnd {
            events: vec![Event::StageFailed {
                stage: Stage::Gate,
                reason: Reason::Internal { detail: text.clone() },
            }],
            artifacts: vec![
                kept(ArtifactKind::Gates, "gates.json", &json),
                kept(ArtifactKind::Summary, "summary.md", &text),
                kept(ArtifactKind::Candidate, "2/transcript/transcript.json", &json),
                kept(ArtifactKind::Patch, "work.patch", &text),
                kept(ArtifactKind::Candidate, "2/patch/work.patch", &text),
            ],
        };
        clean(&mut end, &redactor());
        let has = |artifact: &Artifact| String::from_utf8_lossy(&artifact.body).contains(SECRET);
        assert_eq!(end.artifacts.iter().map(has).collect::<Vec<_>>(), [false, false, false, true, true]);
        let gates: Value = serde_json::from_slice(&end.artifacts[0].body).expect("JSON still");
        assert_eq!(gates, json!({ "log": "said [redacted] to \"me\"", "exit": 3 }));
        let Event::StageFailed { reason, .. } = &end.events[0] else { panic!("another event") };
        assert_eq!(*reason, Reason::Internal { detail: "said [redacted] to \"me\"".into() });
    }

    #[test]
    fn a_long_log_is_cleaned_wherever_the_secret_stands() {
        let line = "0123456789 abcdef\n";
        let before = line.repeat(PIECE as usize / line.len());
        // Across the end of the first piece, and in bytes that are no text.
        let mut log = format!("{before}x {SECRET}\n{line}").into_bytes();
        log.extend_from_slice(b"\xff\xfe\n");
        log.extend_from_slice(SECRET.as_bytes());
        let mut clean = Vec::new();
        copy_clean(log.as_slice(), &mut clean, &redactor()).expect("copied");
        assert!(!String::from_utf8_lossy(&clean).contains(SECRET));
        assert_eq!(
            clean.len(),
            log.len() - 2 * (SECRET.len() - "[redacted]".len()) + 2 * ("\u{fffd}".len() - 1)
        );
        let mut same = Vec::new();
        copy_clean(&b"\xff\xfe"[..], &mut same, &redactor()).expect("copied");
        assert_eq!(same, b"\xff\xfe");
    }
}
