//! The calls of a task: their numbers for programs, and what was said in them for people.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::io::Read as _;

use chrono::{DateTime, Utc};
use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::domain::TaskId;
use crate::llm::Said;
use crate::store::{ModelCall, Store};

use super::folder::Folder;

/// Most of one message, unpacked.
const TEXT_MAX_BYTES: u64 = 256 << 20;

/// What all calls came to.
#[derive(Debug, Default)]
pub(super) struct Spent {
    pub calls: usize,
    pub cost_micro_usd: u64,
    pub notes: Vec<String>,
}

impl Spent {
    pub fn usd(&self) -> f64 {
        self.cost_micro_usd as f64 / 1e6
    }
}

pub(super) async fn write(store: &Store, task: TaskId, folder: &mut Folder<'_>) -> anyhow::Result<Spent> {
    let calls = store.model_calls(task).await?;
    let mut spent = Spent { calls: calls.len(), ..Spent::default() };
    let mut lines = Vec::with_capacity(calls.len());
    let mut shown = HashSet::new();
    let mut without = 0;
    for (at, (time, call)) in calls.iter().enumerate() {
        spent.cost_micro_usd += call.usage.cost_micro_usd;
        let name = file(at);
        lines.push(numbers(at, *time, call, &name));
        let view = View::of(&calls, at, &mut shown);
        let wanted: Vec<i64> = view.ids(call).collect();
        let bodies = store.model_text_bodies(&wanted).await?;
        without += usize::from(
            wanted.iter().any(|id| !bodies.contains_key(id)) || call.texts.ids().next().is_none(),
        );
        let texts = bodies.iter().map(|(id, body)| (*id, unpacked(body))).collect();
        folder.text(&name, &view.text(at, (*time, call), &texts))?;
    }
    folder.json_lines("calls.jsonl", lines)?;
    if without > 0 {
        let all = calls.len();
        spent.notes.push(format!(
            "Of {without} of the {all} calls the texts are not, or no longer, all kept \
             (`retention.model_texts_days`)."
        ));
    }
    Ok(spent)
}

/// Numbers begin at 1.
fn file(at: usize) -> String {
    format!("calls/{:03}.md", at + 1)
}

fn numbers(at: usize, time: DateTime<Utc>, call: &ModelCall, transcript: &str) -> Value {
    let prompt = call.prompt.as_ref();
    json!({
        "number": at + 1,
        "at": time,
        "stage": call.stage,
        "role": call.role,
        "model": call.model,
        "prompt": prompt.map(|prompt| json!({
            "name": prompt.name, "version": prompt.version, "source": prompt.source,
        })),
        "attempt": call.attempt,
        "input_tokens": call.usage.input_tokens,
        "cached_tokens": call.usage.cached_tokens,
        "cache_written_tokens": call.cache_written_tokens,
        "output_tokens": call.usage.output_tokens,
        "cost_micro_usd": call.usage.cost_micro_usd,
        "accounting": call.accounting,
        "latency_ms": call.latency.as_millis() as u64,
        "stop_reason": call.stop_reason,
        "error": call.error,
        "transcript": transcript,
    })
}

/// What of a call is shown: not again what an earlier call of the same conversation shows.
struct View {
    /// The call that this one goes on from, and how many of its messages both have.
    before: Option<(usize, usize)>,
    /// The answer of that call, which is a message of this one.
    answered: Option<i64>,
    system: Shown,
    means: Shown,
}

#[derive(Clone, Copy, PartialEq)]
enum Shown {
    Here,
    Before,
}

impl View {
    fn of(calls: &[(DateTime<Utc>, ModelCall)], at: usize, shown: &mut HashSet<i64>) -> Self {
        let call = &calls[at].1;
        let common = |earlier: usize| {
            let other = &calls[earlier].1;
            let same = other.stage == call.stage && other.texts.system == call.texts.system;
            let pairs = other.texts.messages.iter().zip(&call.texts.messages);
            if same { pairs.take_while(|(one, other)| one == other).count() } else { 0 }
        };
        // The newest of those with which it has most in common: the rest of a conversation may have been condensed.
        let before = (0..at).map(|earlier| (earlier, common(earlier))).max_by_key(|(_, common)| *common);
        let before = before.filter(|(_, common)| *common > 0);
        let mut new = |id: Option<i64>| match id {
            Some(id) if !shown.insert(id) => Shown::Before,
            _ => Shown::Here,
        };
        Self {
            before,
            answered: before.and_then(|(earlier, _)| calls[earlier].1.texts.answer),
            system: new(call.texts.system),
            means: new(call.texts.means),
        }
    }

    fn new_messages<'a>(&self, call: &'a ModelCall) -> &'a [i64] {
        let known = self.before.map_or(0, |(_, common)| common);
        &call.texts.messages[known.min(call.texts.messages.len())..]
    }

    /// The texts that are shown.
    fn ids<'a>(&self, call: &'a ModelCall) -> impl Iterator<Item = i64> + use<'a> {
        let system = call.texts.system.filter(|_| self.system == Shown::Here);
        let means = call.texts.means.filter(|_| self.means == Shown::Here);
        let messages = self.new_messages(call).iter().copied();
        system.into_iter().chain(means).chain(messages).chain(call.texts.answer)
    }

    fn text(
        &self,
        at: usize,
        (time, call): (DateTime<Utc>, &ModelCall),
        texts: &HashMap<i64, Option<Said>>,
    ) -> String {
        let mut text = heading(at, time, call);
        let said = |id: i64| texts.get(&id).map(Option::as_ref);
        let none = "\n(not kept)\n";
        if call.texts.ids().next().is_none() {
            text.push_str("\nWhat was said in this call is not kept.\n");
            return text;
        }
        if let Some(id) = call.texts.system.filter(|_| self.system == Shown::Here) {
            text.push_str("\n## Instructions\n");
            text.push_str(&said(id).flatten().map_or_else(|| none.to_owned(), part));
        }
        if let Some(id) = call.texts.means.filter(|_| self.means == Shown::Here) {
            text.push_str("\n## Tools and form of the answer\n");
            text.push_str(&said(id).flatten().map_or_else(|| none.to_owned(), part));
        }
        if self.system == Shown::Before && call.texts.system.is_some() {
            text.push_str("\nThe instructions are those of an earlier call.\n");
        }
        if let Some((earlier, known)) = self.before {
            // Writing to a String never fails.
            let _ = writeln!(
                text,
                "\nThis goes on from [call {0:03}]({0:03}.md): its first {known} messages.",
                earlier + 1
            );
        }
        for id in self.new_messages(call) {
            text.push_str("\n## ");
            match said(*id).flatten() {
                _ if Some(*id) == self.answered => {
                    text.push_str("Assistant\n\n(the answer of the call that this goes on from)\n");
                }
                Some(message) => {
                    text.push_str(title(message));
                    text.push('\n');
                    text.push_str(&part(message));
                }
                None => text.push_str("A message\n\n(no longer kept)\n"),
            }
        }
        if let Some(id) = call.texts.answer {
            text.push_str("\n## Answer\n");
            text.push_str(&said(id).flatten().map_or_else(|| none.to_owned(), part));
        }
        text
    }
}

fn heading(at: usize, time: DateTime<Utc>, call: &ModelCall) -> String {
    let usage = &call.usage;
    let mut text = format!("# Call {:03}: {}, {}\n\n", at + 1, call.stage, call.model);
    let _ = writeln!(text, "- ended {}, after {} ms", time.to_rfc3339(), call.latency.as_millis());
    let _ = writeln!(text, "- role {}, try {}", call.role, call.attempt);
    if let Some(prompt) = &call.prompt {
        let _ = writeln!(text, "- prompt {}, version {} ({})", prompt.name, prompt.version, prompt.source);
    }
    let _ = writeln!(
        text,
        "- tokens: {} in (of these {} written to the cache), {} from the cache, {} out; ${:.6} ({})",
        usage.input_tokens,
        call.cache_written_tokens,
        usage.cached_tokens,
        usage.output_tokens,
        usage.cost_usd(),
        call.accounting.as_deref().unwrap_or("as it was counted")
    );
    if let Some(stop) = &call.stop_reason {
        let _ = writeln!(text, "- stopped: {stop}");
    }
    if let Some(error) = &call.error {
        let _ = writeln!(text, "- error: {}", error.replace('\n', " "));
    }
    text
}

fn title(said: &Said) -> &'static str {
    match said {
        Said::System { .. } => "Instructions",
        Said::Means { .. } => "Tools and form of the answer",
        Said::User { .. } => "User",
        Said::Assistant { .. } => "Assistant",
        Said::ToolResults { .. } => "Results of tools",
    }
}

fn part(said: &Said) -> String {
    let mut text = String::new();
    match said {
        Said::System { text: words } | Said::User { text: words } => text.push_str(&fenced(words)),
        Said::Means { tools, response_schema } => {
            for tool in tools {
                let _ = write!(text, "\n`{}`: {}\n", tool.name, tool.description.replace('\n', " "));
                text.push_str(&fenced(&tool.schema.to_string()));
            }
            if let Some(schema) = response_schema {
                text.push_str("\nThe answer's form:\n");
                text.push_str(&fenced(&schema.to_string()));
            }
        }
        Said::Assistant { text: words, tool_calls } => {
            if !words.trim().is_empty() || tool_calls.is_empty() {
                text.push_str(&fenced(words));
            }
            for call in tool_calls {
                let _ = write!(text, "\nCalls `{}` ({}):\n", call.name, call.id);
                let pretty = serde_json::to_string_pretty(&call.arguments);
                text.push_str(&fenced(&pretty.unwrap_or_else(|_| call.arguments.to_string())));
            }
        }
        Said::ToolResults { results } => {
            for result in results {
                let _ = write!(text, "\n`{}` ({}):\n", result.name, result.id);
                text.push_str(&fenced(&result.content));
            }
        }
    }
    text
}

/// Set apart by marks that the text has not.
fn fenced(text: &str) -> String {
    let mut longest = 2;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    format!("\n{fence}text\n{}\n{fence}\n", text.strip_suffix('\n').unwrap_or(text))
}

/// `None`: of a version that kept it in another form.
fn unpacked(body: &[u8]) -> Option<Said> {
    let mut json = Vec::new();
    GzDecoder::new(body).take(TEXT_MAX_BYTES).read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::CallTexts;

    fn call(messages: &[i64], answer: i64) -> (DateTime<Utc>, ModelCall) {
        let texts =
            CallTexts { system: Some(1), means: None, messages: messages.to_vec(), answer: Some(answer) };
        (DateTime::UNIX_EPOCH, ModelCall { stage: "implement".into(), texts, ..ModelCall::default() })
    }

    #[test]
    fn a_call_shows_what_is_new_since_the_one_that_it_goes_on_from() {
        let calls = [call(&[2], 3), call(&[2, 3, 4], 5), call(&[9], 10), call(&[2, 3, 4, 5, 6], 7)];
        let mut shown = HashSet::new();
        let views: Vec<_> = (0..calls.len()).map(|at| View::of(&calls, at, &mut shown)).collect();
        let ids = |at: usize| views[at].ids(&calls[at].1).collect::<Vec<_>>();
        assert_eq!((ids(0), ids(1)), (vec![1, 2, 3], vec![3, 4, 5]));
        assert_eq!((ids(2), ids(3)), (vec![9, 10], vec![5, 6, 7]));
        assert_eq!((views[2].before, views[3].before), (None, Some((1, 3))));
    }

    #[test]
    fn a_text_cannot_close_its_fence() {
        let text = fenced("a\n```\n# no heading\n````\n");
        assert!(text.starts_with("\n`````text\n") && text.ends_with("\n`````\n"), "{text}");
    }
}
