//! Answers that go out piece by piece, whole or not.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

use super::evidence::WireFormat;
use super::said::{Frame, Mark};
use super::scenario::Cut;

/// How a stream goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Course {
    Whole,
    /// Closed at this point, or whole where the format has no such point.
    Cut(Cut),
    /// Nothing for so long after the first event, and then closed.
    Idle(f64),
}

/// What of a stream goes out.
pub(super) struct Sent {
    pub frames: Vec<Frame>,
    pub is_whole: bool,
    pub usage_sent: bool,
}

pub(super) fn sent(frames: Vec<Frame>, course: Course) -> Sent {
    let at = |mark: Mark| frames.iter().position(|frame| frame.mark == mark);
    let upto = match course {
        Course::Whole => frames.len(),
        Course::Cut(Cut::Start) | Course::Idle(_) => 1,
        // The first piece of a call's arguments, and no more of them.
        Course::Cut(Cut::InCall) => at(Mark::InCall).map_or(1, |at| at + 1),
        Course::Cut(Cut::BeforeUsage) => at(Mark::Usage).unwrap_or(frames.len()),
        Course::Cut(Cut::AfterUsage) => at(Mark::Usage).map_or(frames.len(), |at| at + 1),
    };
    let (all, mut frames) = (frames.len(), frames);
    frames.truncate(upto);
    let usage_sent = frames.iter().any(|frame| frame.mark == Mark::Usage);
    Sent { is_whole: upto == all, usage_sent, frames }
}

/// The pieces on the wire are cut without regard to events, as networks cut them.
pub(super) fn response(wire: WireFormat, sent: &Sent, course: Course) -> Response {
    let text: String = sent.frames.iter().map(|frame| frame.text.as_str()).collect();
    let size = (text.len() / 100).max(61);
    let pieces: Vec<Bytes> = text.as_bytes().chunks(size).map(Bytes::copy_from_slice).collect();
    let silent = match course {
        Course::Idle(seconds) => Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        // What was written goes out before the connection is closed.
        _ => Duration::from_millis(30),
    };
    let parts = futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let is_whole = matches!(course, Course::Whole) || sent.is_whole;
    let end = futures::stream::once(async move {
        tokio::time::sleep(silent).await;
        Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "the connection is closed"))
    });
    let body = if is_whole { Body::from_stream(parts) } else { Body::from_stream(parts.chain(end)) };
    ([(header::CONTENT_TYPE, content_type(wire))], body).into_response()
}

pub(super) fn content_type(wire: WireFormat) -> &'static str {
    match wire {
        WireFormat::Ollama => "application/x-ndjson",
        _ => "text/event-stream; charset=utf-8",
    }
}
