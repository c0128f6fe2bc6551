//! `/orchestrate` comments: finding the command in a comment's Markdown.
//!
//! Whether the comment counts at all (created and not edited, by its author, not by a bot) is decided
//! in `ingest`; who may give which command, in [`super::permission`].

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde::{Deserialize, Serialize};

use super::budget::BudgetChange;
use super::specification::Workflow;

/// What a person asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verb", content = "text")]
pub enum Command {
    Help,
    Status,
    Approve,
    Reject,
    Retry,
    Fix(String),
    Cancel,
    Budget(BudgetChange),
    Ask(Question),
}

/// What a person asks, and how it is to be answered where they say so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    pub workflow: Option<Workflow>,
    pub text: String,
}

/// A comment that addresses us but says nothing we can act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "fault", content = "text")]
pub enum CommandFault {
    #[error("there is no verb after `/orchestrate`")]
    NoVerb,
    #[error("`{0}` is not a verb that I know")]
    UnknownVerb(String),
    #[error("`fix` needs a text that says what to change")]
    NothingToFix,
    #[error("`ask` needs a question")]
    NothingAsked,
    #[error("`{}` ends in a pull request and not in an answer", .0.as_str())]
    NoAnswerFrom(Workflow),
    #[error("`budget` needs an amount, and {0:?} is none")]
    NoAmount(String),
    #[error("`{0}` takes no text after it")]
    UnexpectedText(String),
    #[error("there is more than one command in the comment, and I act on one at a time")]
    Several,
}

/// Longest text of `fix`, in characters; the rest of GitHub's 65,536 would not fit beside the code.
const FIX_MAX_CHARS: usize = 8_000;
/// Longest question, in characters: as long as an objective may be.
const ASK_MAX_CHARS: usize = super::specification::TEXT_MAX_CHARS;
const PREFIX: &str = "/orchestrate";

/// Finds the command of a comment. `None`: the comment is not for us. A command stands at the start
/// of a line of plain text; quotes, code, lists and HTML comments only talk about commands.
pub fn parse_command(comment: &str) -> Option<Result<Command, CommandFault>> {
    let starts = command_starts(comment);
    let &start = starts.first()?;
    if starts.len() > 1 {
        return Some(Err(CommandFault::Several));
    }
    let rest = &comment[start + PREFIX.len()..];
    let (first_line, below) = rest.split_once('\n').unwrap_or((rest, ""));
    let first_line = first_line.trim();
    let (verb, text) = first_line.split_once(char::is_whitespace).unwrap_or((first_line, ""));
    Some(command(&verb.to_lowercase(), text.trim(), below.trim()))
}

fn command(verb: &str, text: &str, below: &str) -> Result<Command, CommandFault> {
    let plain = match verb {
        "" => return Err(CommandFault::NoVerb),
        "fix" => return fix(text, below),
        "ask" => return ask(text, below),
        "budget" => return budget(text),
        "help" => Command::Help,
        "status" => Command::Status,
        "approve" => Command::Approve,
        "reject" => Command::Reject,
        "retry" => Command::Retry,
        "cancel" => Command::Cancel,
        other => return Err(CommandFault::UnknownVerb(other.chars().take(40).collect())),
    };
    if text.is_empty() { Ok(plain) } else { Err(CommandFault::UnexpectedText(verb.to_owned())) }
}

fn fix(text: &str, below: &str) -> Result<Command, CommandFault> {
    let whole = format!("{text}\n{below}");
    let whole = whole.trim();
    if whole.is_empty() {
        return Err(CommandFault::NothingToFix);
    }
    Ok(Command::Fix(whole.chars().take(FIX_MAX_CHARS).collect()))
}

/// `ask science: how long does it take?` names the workflow; without a name one is chosen.
fn ask(text: &str, below: &str) -> Result<Command, CommandFault> {
    let whole = format!("{text}\n{below}");
    let named = whole.split_once(':').and_then(|(name, rest)| Some((Workflow::named(name.trim())?, rest)));
    let (workflow, text) = match named {
        Some((workflow, _)) if !workflow.ends_in_answer() => {
            return Err(CommandFault::NoAnswerFrom(workflow));
        }
        Some((workflow, rest)) => (Some(workflow), rest),
        None => (None, whole.as_str()),
    };
    match text.trim() {
        "" => Err(CommandFault::NothingAsked),
        text => Ok(Command::Ask(Question { workflow, text: text.chars().take(ASK_MAX_CHARS).collect() })),
    }
}

fn budget(text: &str) -> Result<Command, CommandFault> {
    let change = BudgetChange::parse(text);
    change.map(Command::Budget).ok_or_else(|| CommandFault::NoAmount(text.chars().take(40).collect()))
}

/// Byte offsets of every `/orchestrate` that begins a line of a paragraph at the top level.
fn command_starts(comment: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut depth = 0_usize;
    let mut in_top_paragraph = false;
    let mut at_line_start = false;
    for (event, range) in Parser::new_ext(comment, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Paragraph) if depth == 0 => {
                depth += 1;
                in_top_paragraph = true;
                at_line_start = true;
                continue;
            }
            Event::Start(_) => depth += 1,
            Event::End(end) => {
                depth = depth.saturating_sub(1);
                if matches!(end, TagEnd::Paragraph) {
                    in_top_paragraph = false;
                }
            }
            Event::SoftBreak | Event::HardBreak => {
                at_line_start = true;
                continue;
            }
            Event::Text(_)
                if in_top_paragraph
                    && depth == 1
                    && at_line_start
                    && addresses_us(&comment[range.clone()]) =>
            {
                starts.push(range.start);
            }
            _ => {}
        }
        at_line_start = false;
    }
    starts
}

fn addresses_us(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::super::budget::Amount;
    use super::*;

    fn fix(text: &str) -> Option<Result<Command, CommandFault>> {
        Some(Ok(Command::Fix(text.to_owned())))
    }

    fn ask(workflow: Option<Workflow>, text: &str) -> Option<Result<Command, CommandFault>> {
        Some(Ok(Command::Ask(Question { workflow, text: text.to_owned() })))
    }

    #[test]
    fn a_command_stands_at_the_start_of_a_line_of_plain_text() {
        let cases: &[(&str, Option<Result<Command, CommandFault>>)] = &[
            ("/orchestrate status", Some(Ok(Command::Status))),
            ("  /orchestrate   APPROVE  ", Some(Ok(Command::Approve))),
            ("Thanks!\n/orchestrate retry\nSee you.", Some(Ok(Command::Retry))),
            ("Thanks!\n\n/orchestrate cancel\r\n", Some(Ok(Command::Cancel))),
            ("/orchestrate help", Some(Ok(Command::Help))),
            ("/orchestrate reject", Some(Ok(Command::Reject))),
            ("/orchestrate fix use a loop", fix("use a loop")),
            ("/orchestrate fix\n```\nlet x;\n```", fix("```\nlet x;\n```")),
            ("/orchestrate ask Why?\n\nI wonder.", ask(None, "Why?\nI wonder.")),
            ("/orchestrate ask why: because?", ask(None, "why: because?")),
            ("/orchestrate ask science:\nHow long?", ask(Some(Workflow::Science), "How long?")),
            ("/orchestrate ask rag_qa: ", Some(Err(CommandFault::NothingAsked))),
            ("/orchestrate ask", Some(Err(CommandFault::NothingAsked))),
            ("/orchestrate ask coding: it", Some(Err(CommandFault::NoAnswerFrom(Workflow::Coding)))),
            ("/orchestrate", Some(Err(CommandFault::NoVerb))),
            ("/orchestrate fix", Some(Err(CommandFault::NothingToFix))),
            (
                "/orchestrate budget +2.50",
                Some(Ok(Command::Budget(BudgetChange::Add(Amount::MicroUsd(2_500_000))))),
            ),
            (
                "/orchestrate budget 9k tokens",
                Some(Ok(Command::Budget(BudgetChange::Set(Amount::Tokens(9_000))))),
            ),
            ("/orchestrate budget", Some(Err(CommandFault::NoAmount(String::new())))),
            ("/orchestrate budget much", Some(Err(CommandFault::NoAmount("much".into())))),
            ("/orchestrate dance", Some(Err(CommandFault::UnknownVerb("dance".into())))),
            ("/orchestrate approve all", Some(Err(CommandFault::UnexpectedText("approve".into())))),
            ("/orchestrate approve\n/orchestrate cancel", Some(Err(CommandFault::Several))),
        ];
        for (comment, expected) in cases {
            assert_eq!(&parse_command(comment), expected, "{comment:?}");
        }
    }

    #[test]
    fn talk_about_a_command_is_not_a_command() {
        for comment in [
            "please /orchestrate approve",
            "> /orchestrate approve",
            "> quoted\n/orchestrate approve",
            "`/orchestrate approve`",
            "a `code\n/orchestrate approve` b",
            "```\n/orchestrate approve\n```",
            "~~~sh\n/orchestrate approve\n~~~",
            "    /orchestrate approve",
            "- /orchestrate approve",
            "1. /orchestrate approve",
            "# /orchestrate approve",
            "<!-- /orchestrate approve -->",
            "<!--\n/orchestrate approve\n-->",
            "/orchestrated approve",
            "/orchestrate-approve",
            "[x\n/orchestrate approve](y)",
            "",
        ] {
            assert_eq!(parse_command(comment), None, "{comment:?}");
        }
    }
}
