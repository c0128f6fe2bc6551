//! A loop's conversation: it only grows, so that a provider can cache its beginning, until it is too long. Then it
//! is condensed once: old answers of tools become a line each, and if that is not enough, old turns become a
//! summary. The task, the files that were edited and the last results of commands are never lost.
//!
//! Nothing is asked of a model for this, so that the same work condenses to the same text.

use std::collections::BTreeSet;

use serde_json::Value;

use super::tool_calls;
use super::tool_loop::Step;
use super::tools::{ToolOutcome, cut_in_the_middle};
use crate::llm::boundary::{PromptText, Written};
use crate::llm::{Message, ToolCall, ToolResult};

/// Turns at the end that stay word for word.
const KEPT_TURNS: usize = 6;
/// Answers to commands that stay word for word, the last ones, wherever they stand.
const KEPT_COMMANDS: usize = 2;
/// Shorter answers are no longer than the line in their place.
const SHORT: usize = 300;
const CALL_MAX_CHARS: usize = 160;
/// Of the summary.
const WORDS_MAX_CHARS: usize = 2_000;
const RESULT_MAX_CHARS: usize = 4_000;
const MOST_CALLS: usize = 120;
const MOST_FILES: usize = 300;
const SUMMARY_MAX_CHARS: usize = 60_000;

/// The conversation so far.
#[derive(Debug)]
pub(super) struct History {
    /// What the loop began with.
    task: PromptText,
    messages: Vec<Message>,
    bytes: usize,
    /// Bytes of text after which it is condensed.
    limit: usize,
    edited: BTreeSet<String>,
}

impl History {
    pub fn new(task: PromptText, limit: usize) -> Self {
        let first = Message::user(task.clone());
        Self { task, bytes: first.bytes(), messages: vec![first], limit, edited: BTreeSet::new() }
    }

    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    pub fn push(&mut self, message: Message) {
        self.bytes += message.bytes();
        self.messages.push(message);
    }

    /// Notes what an edit changed.
    pub fn note_edit(&mut self, call: &ToolCall) {
        self.edited.extend(edited_paths(call));
    }

    /// Condenses if it is time; `record` is what the loop did so far.
    pub fn condense(&mut self, record: &[Step]) {
        if self.bytes <= self.limit {
            return;
        }
        let before = self.bytes;
        self.shorten_old_answers();
        // Far below the limit, or the next turn would condense again and nothing could be cached.
        if self.bytes > self.limit / 2 {
            self.summarise(record);
        }
        tracing::debug!(before, after = self.bytes, "a conversation was condensed");
    }

    fn count(&mut self) {
        self.bytes = self.messages.iter().map(Message::bytes).sum();
    }

    /// Where the last turns begin: at an answer of the model.
    fn recent(&self, turns: usize) -> usize {
        let answers = self.messages.iter().enumerate().rev().filter(|(_, message)| is_answer(message));
        answers.take(turns).last().map_or(self.messages.len(), |(at, _)| at)
    }

    fn shorten_old_answers(&mut self) {
        let recent = self.recent(KEPT_TURNS);
        let mut commands = 0;
        for at in (0..self.messages.len()).rev() {
            let (before, rest) = self.messages.split_at_mut(at);
            let Some(Message::ToolResults { results }) = rest.first_mut() else { continue };
            let calls = match before.last() {
                Some(Message::Assistant { tool_calls, .. }) => tool_calls.as_slice(),
                _ => &[],
            };
            for result in results.iter_mut().rev() {
                if result.name == "run_command" {
                    commands += 1;
                    if commands <= KEPT_COMMANDS {
                        continue;
                    }
                }
                if at < recent && result.content.len() > SHORT {
                    let call = calls.iter().find(|call| call.id == result.id);
                    *result = left_out(result, call);
                }
            }
        }
        self.count();
    }

    fn summarise(&mut self, record: &[Step]) {
        let mut turns = KEPT_TURNS;
        loop {
            let recent = self.recent(turns);
            let kept: usize = self.messages[recent..].iter().map(Message::bytes).sum();
            if kept <= self.limit / 3 || turns <= 1 {
                let summary = self.summary(record);
                let first = PromptText::joined(
                    [
                        self.task.clone(),
                        PromptText::own(
                            "You have been at it for a while. So that there is room to go on, what you did is summed \
                             up here, and the files are as you left them. Go on from there:",
                        ),
                        PromptText::data("work so far", &summary, Written::AsCode, SUMMARY_MAX_CHARS),
                    ],
                    "\n\n",
                );
                self.messages.splice(..recent, [Message::user(first)]);
                return self.count();
            }
            turns -= 1;
        }
    }

    /// What was done, for the one who did it.
    fn summary(&self, record: &[Step]) -> String {
        let mut parts = Vec::new();
        let words = |step: &&Step| !step.text.trim().is_empty();
        if let Some(first) = record.iter().find(words) {
            parts.push(format!(
                "Your plan at the beginning:\n{}",
                cut_in_the_middle(&first.text, WORDS_MAX_CHARS)
            ));
        }
        let files: Vec<&str> = self.edited.iter().map(String::as_str).take(MOST_FILES).collect();
        let files = if files.is_empty() { "(none)".to_owned() } else { files.join("\n") };
        parts.push(format!("Files that you edited:\n{files}"));
        let calls = || record.iter().flat_map(|step| step.calls.iter().map(move |call| (step.number, call)));
        let lines: Vec<String> = calls()
            .map(|(number, call)| {
                let end = match call.answer.outcome {
                    ToolOutcome::Done => "done",
                    ToolOutcome::Failed => "failed",
                };
                format!("{number}. {}: {end}", in_short(&call.name, &call.arguments))
            })
            .collect();
        let skipped = lines.len().saturating_sub(MOST_CALLS);
        let more = if skipped > 0 { format!("({skipped} earlier calls)\n") } else { String::new() };
        parts.push(format!("What you called:\n{more}{}", lines[skipped..].join("\n")));
        let commands: Vec<_> = calls().filter(|(_, call)| call.name == "run_command").collect();
        for (number, call) in &commands[commands.len().saturating_sub(KEPT_COMMANDS)..] {
            let answer = cut_in_the_middle(&call.answer.text, RESULT_MAX_CHARS);
            parts.push(format!(
                "What {} answered, turn {number}:\n{answer}",
                in_short(&call.name, &call.arguments)
            ));
        }
        if let Some(last) = record.iter().rev().find(words) {
            parts.push(format!("Your last words:\n{}", cut_in_the_middle(&last.text, WORDS_MAX_CHARS)));
        }
        parts.join("\n\n")
    }
}

fn is_answer(message: &Message) -> bool {
    matches!(message, Message::Assistant { .. })
}

/// The line in place of an old answer.
fn left_out(result: &ToolResult, call: Option<&ToolCall>) -> ToolResult {
    let what = call.map_or_else(|| result.name.clone(), |call| in_short(&call.name, &call.arguments));
    let end = if result.content.starts_with("FAILED: ") { "failed" } else { "was done" };
    let chars = result.content.chars().count();
    let line =
        format!("[left out: {what} {end} and said {chars} characters; call it again if you need them]");
    ToolResult { content: PromptText::answer(&line, 2 * CALL_MAX_CHARS).into_string(), ..result.clone() }
}

/// A call on one short line.
fn in_short(name: &str, arguments: &Value) -> String {
    let told = ["path", "command", "pattern"].iter().find_map(|key| arguments.get(key)?.as_str());
    let line = match told {
        Some(told) => format!("{name} {told}"),
        None if arguments.as_object().is_some_and(serde_json::Map::is_empty) => name.to_owned(),
        None => format!("{name} {arguments}"),
    };
    let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= CALL_MAX_CHARS {
        return line;
    }
    line.chars().take(CALL_MAX_CHARS - 1).chain(['…']).collect()
}

/// The files that an edit names.
fn edited_paths(call: &ToolCall) -> Vec<String> {
    if !tool_calls::edits(&call.name) {
        return Vec::new();
    }
    let text = |key: &str| call.arguments.get(key).and_then(Value::as_str);
    if let Some(path) = text("path") {
        return vec![path.to_owned()];
    }
    let patch = text("patch").or_else(|| text("input")).unwrap_or_default();
    let heads =
        ["*** Update File: ", "*** Add File: ", "*** Delete File: ", "*** Move to: ", "+++ b/", "--- a/"];
    let mut paths: Vec<String> = Vec::new();
    let mut before = "";
    for line in patch.lines() {
        if let Some(path) = heads.iter().find_map(|head| line.strip_prefix(head)) {
            paths.push(path.trim().to_owned());
        } else if line.starts_with("<<<<<<< SEARCH") && !before.is_empty() {
            paths.push(before.trim().to_owned());
        }
        if !line.trim().is_empty() && !line.starts_with("```") {
            before = line;
        }
    }
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tool_loop::StepCall;
    use super::super::tools::ToolAnswer;
    use super::*;

    /// Plays turns of one call each into a history of that limit.
    struct Played {
        history: History,
        record: Vec<Step>,
        condensed: usize,
    }

    impl Played {
        fn new(limit: usize) -> Self {
            let history = History::new(PromptText::own("TASK: greet the world"), limit);
            Self { history, record: Vec::new(), condensed: 0 }
        }

        fn turn(&mut self, name: &str, arguments: Value, said: &str) {
            let number = self.record.len() as u32 + 1;
            let text = if number == 1 { "PLAN: first look, then write." } else { "" };
            let call = ToolCall { id: number.to_string(), name: name.into(), arguments: arguments.clone() };
            let (text, tool_calls) = (text.to_owned(), vec![call.clone()]);
            self.history.push(Message::Assistant { text: text.clone(), tool_calls, continuation: None });
            let results = vec![ToolResult::of(&call, PromptText::answer(said, 20_000))];
            self.history.push(Message::ToolResults { results });
            self.history.note_edit(&call);
            let call = StepCall { name: name.into(), arguments, answer: ToolAnswer::done(said) };
            self.record.push(Step { number, text, calls: vec![call] });
            let before = self.history.bytes;
            self.history.condense(&self.record);
            if self.history.bytes < before {
                self.condensed += 1;
            }
        }

        fn text(&self) -> String {
            let texts = self.history.messages.iter().map(|message| match message {
                Message::User { text } => text.clone(),
                Message::Assistant { text, tool_calls, .. } => format!("{text} {}", tool_calls.len()),
                Message::ToolResults { results } => {
                    results.iter().map(|result| result.content.as_str()).collect::<Vec<_>>().join("\n")
                }
            });
            texts.collect::<Vec<_>>().join("\n")
        }

        /// Providers want each call answered right after it, and nothing answered that was not called.
        fn every_call_is_answered(&self) {
            let messages = &self.history.messages;
            assert!(matches!(messages[0], Message::User { .. }));
            for pair in messages[1..].chunks(2) {
                let [Message::Assistant { tool_calls, .. }, Message::ToolResults { results }] = pair else {
                    panic!("{pair:?}");
                };
                assert_eq!(tool_calls[0].id, results[0].id);
            }
        }
    }

    #[test]
    fn below_its_limit_it_only_grows() {
        let mut played = Played::new(1_000_000);
        let mut before: Vec<String> = Vec::new();
        for round in 0..40 {
            played.turn("read_file", json!({"path": format!("src/{round}.rs")}), &"x".repeat(5_000));
            let now: Vec<String> = played.history.messages.iter().map(|m| format!("{m:?}")).collect();
            assert!(now.starts_with(&before));
            before = now;
        }
        assert_eq!((played.condensed, played.history.messages.len()), (0, 81));
    }

    #[test]
    fn old_answers_become_a_line_first_and_the_last_results_of_commands_stay() {
        let mut played = Played::new(80_000);
        played.turn(
            "run_command",
            json!({"command": "cargo test"}),
            &format!("FAILED one {}", "y".repeat(2_000)),
        );
        for round in 0..18 {
            played.turn("read_file", json!({"path": format!("src/{round}.rs")}), &"x".repeat(5_000));
        }
        assert_eq!(played.condensed, 1);
        let text = played.text();
        assert!(text.contains("[left out: read_file src/2.rs was done and said 5000 characters;"), "{text}");
        assert!(text.contains("FAILED one yyyy") && text.contains("TASK: greet the world"), "{text}");
        assert!(!text.contains("summed up") && played.history.bytes < 80_000);
        played.every_call_is_answered();
    }

    #[test]
    fn a_very_long_work_keeps_its_task_its_plan_its_files_and_its_last_results() {
        let mut played = Played::new(40_000);
        for round in 0..300 {
            let path = format!("src/{}.rs", round % 7);
            played.turn("write_file", json!({"path": path, "content": "z".repeat(900)}), "src was made");
            let patch = "*** Begin Patch\n*** Update File: docs/a.md\n@@\n-a\n+b\n*** End Patch";
            played.turn("apply_patch", json!({"patch": patch}), "edited");
            played.turn("run_command", json!({"command": "make test"}), &format!("round {round}: 3 failed"));
        }
        assert!(played.history.bytes <= 40_000 && played.condensed > 3, "{}", played.condensed);
        let text = played.text();
        for part in
            ["TASK: greet the world", "PLAN: first look", "src/0.rs", "src/6.rs", "docs/a.md", "round 299"]
        {
            assert!(text.contains(part), "{part} is lost");
        }
        assert_eq!(text.matches("TASK: greet the world").count(), 1);
        // Far between, or nothing could be cached.
        assert!(played.condensed < 900 / 10, "{} times in 900 turns", played.condensed);
        played.every_call_is_answered();
    }

    #[test]
    fn every_form_of_an_edit_names_its_files() {
        let call = |name: &str, arguments| ToolCall { id: "1".into(), name: name.into(), arguments };
        let search = "```\nsrc/a.rs\n<<<<<<< SEARCH\nx\n=======\ny\n>>>>>>> REPLACE\n```";
        let cases = [
            (call("edit_file", json!({"path": "a", "old": "x", "new": "y"})), vec!["a"]),
            (
                call("apply_patch", json!({"input": "*** Add File: b\n+x\n*** Delete File: c\n"})),
                vec!["b", "c"],
            ),
            (call("apply_patch", json!({"patch": "--- a/d\n+++ b/d\n@@ -1 +1 @@\n-a\n+b\n"})), vec!["d"]),
            (call("apply_patch", json!({ "patch": search })), vec!["src/a.rs"]),
            (call("read_file", json!({"path": "e"})), vec![]),
        ];
        for (call, paths) in cases {
            assert_eq!(edited_paths(&call), paths, "{call:?}");
        }
    }
}
