//! What a scripted model said, before a wire format is put around it.

use serde_json::{Value, json};

use super::scenario::{ScriptedCall, Stop};

#[derive(Debug, Clone)]
pub(super) struct Said<'a> {
    /// Of the exchange.
    pub number: usize,
    pub model: &'a str,
    /// What it thought first; empty where it did not.
    pub thought: &'a str,
    pub text: &'a str,
    pub calls: &'a [ScriptedCall],
    pub stop: Stop,
    /// Whether the last call's arguments break off in the middle, where the format lets them.
    pub half_a_call: bool,
}

impl Said<'_> {
    pub fn call_id(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}_{:04}_{index}", self.number)
    }

    /// The arguments of a call as text.
    pub fn arguments(&self, index: usize) -> String {
        let whole = self.calls[index].arguments.to_string();
        let is_last = index + 1 == self.calls.len();
        if self.half_a_call && is_last { whole[..whole.len() * 2 / 3].to_owned() } else { whole }
    }

    /// What a client cannot read, and has to bring back unchanged.
    pub fn signature(&self) -> String {
        format!("c2lnbmVk{:04}", self.number)
    }

    /// Everything that is charged as output.
    pub fn counted(&self) -> Value {
        let calls: Vec<_> = (0..self.calls.len()).map(|i| (&self.calls[i].name, self.arguments(i))).collect();
        json!([self.thought, self.text, calls])
    }
}

/// A piece of a streamed answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frame {
    pub text: String,
    pub mark: Mark,
}

/// What has gone out once a frame has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Part,
    /// Some of a tool call's arguments, and more of them are to come.
    InCall,
    /// The provider's last word on what the call used.
    Usage,
    /// Nothing but the end of the stream.
    End,
}

impl Frame {
    /// A server-sent event with a name.
    pub fn named(name: &str, data: &Value, mark: Mark) -> Self {
        Self { text: format!("event: {name}\ndata: {data}\n\n"), mark }
    }

    /// One without.
    pub fn data(data: &Value, mark: Mark) -> Self {
        Self { text: format!("data: {data}\n\n"), mark }
    }
}

/// A text in pieces, as models write them; never empty.
pub(super) fn pieces(text: &str) -> Vec<String> {
    // A giant text comes in larger pieces, or it would take all day.
    let size = (text.len() / 50).max(9);
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = (size.min(rest.len())..=rest.len()).find(|&at| rest.is_char_boundary(at));
        let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
        pieces.push(piece.to_owned());
        rest = after;
    }
    pieces
}
