//! Answers a question: looks at the tree as often as it needs, computes where that is allowed, and says what
//! the answer rests on.
//!
//! A turn is one structured answer, either looks or the answer, so any model can do it, with tools or without.
//! Nothing here can change a file: a look is a list, a search or a read, or a program for [`Desk::python`].

use futures::future::BoxFuture;
use serde::Deserialize;
use serde_json::{Value, json};

use super::AgentContext;
use super::error::{AgentError, Interrupted, Interruption};
use super::tool_loop::{Step, StepCall};
use super::tools::{ANSWER_MAX_CHARS, ToolAnswer, ToolRequest, ToolboxError, cut_in_the_middle};
use super::{discussion, sections, structured};
use crate::domain::{Citation, Computation, SourceText, TaskSpecification, Usage, Workflow, references};
use crate::llm::Role;
use crate::llm::boundary::{PromptText, Written};

/// Turns in which a solver may look, revisions included.
const MOST_TURNS: usize = 10;
/// Looks of one turn.
const MOST_LOOKS: usize = 6;
/// Characters of all that was seen together: about 50,000 tokens.
const SEEN_MAX_CHARS: usize = 200_000;
const TEXT_MAX_CHARS: usize = 20_000;
const CODE_MAX_CHARS: usize = 20_000;
const MOST_CITATIONS: usize = 40;

/// What a solver looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// A list, a search or a read.
    Tree(ToolRequest),
    /// A program for Python.
    Python(String),
}

/// Where a solver looks.
pub trait Desk: Send + Sync {
    fn look<'a>(&'a self, look: &'a Look) -> BoxFuture<'a, Result<ToolAnswer, ToolboxError>>;
}

/// What a solver reads before it begins.
#[derive(Clone, Copy)]
pub struct AnswerInput<'a> {
    pub specification: &'a TaskSpecification,
    /// What is written where the question was asked.
    pub source: &'a SourceText,
    /// See [`crate::context::overview`].
    pub overview: &'a PromptText,
    /// See [`crate::context::Contexts::select`]; fenced by [`crate::context::snippets_text`].
    pub snippets: &'a PromptText,
}

/// An answer whose citations nobody has looked at yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    pub text: String,
    pub citations: Vec<Citation>,
}

/// One question's work, with all that was seen for it.
pub struct Solver<'a> {
    context: &'a AgentContext,
    input: AnswerInput<'a>,
    desk: &'a dyn Desk,
    seen: Vec<PromptText>,
    room: usize,
    /// Each turn, for the record.
    pub transcript: Vec<Step>,
    pub computations: Vec<Computation>,
}

enum Turn {
    Look(Vec<Look>),
    Answer(Draft),
}

impl<'a> Solver<'a> {
    pub fn new(context: &'a AgentContext, input: AnswerInput<'a>, desk: &'a dyn Desk) -> Self {
        let (transcript, computations) = (Vec::new(), Vec::new());
        Self { context, input, desk, seen: Vec::new(), room: SEEN_MAX_CHARS, transcript, computations }
    }

    /// The answer, or a better one where `objected` says what was wrong with the last.
    pub async fn answer(&mut self, objected: Option<(&Draft, &[String])>) -> Result<Draft, AgentError> {
        let workflow = self.input.specification.workflow;
        let (role, prompt) = match workflow {
            Workflow::RagQa => (Role::Retriever, "answer"),
            Workflow::Science => (Role::Implementer, "science"),
            Workflow::Reasoning | Workflow::Coding => (Role::Implementer, "solver"),
        };
        let python = workflow == Workflow::Science;
        let objections = objections(objected);
        loop {
            let left = MOST_TURNS.saturating_sub(self.transcript.len());
            let values = [
                ("question", sections::specification(self.input.specification)),
                ("said", discussion::issue_text(self.input.source)),
                ("overview", self.input.overview.or("(none)")),
                ("snippets", self.input.snippets.or("(none)")),
                ("seen", PromptText::joined(self.seen.clone(), "\n").or("(nothing yet)")),
                ("objections", objections.clone()),
                ("turns_left", PromptText::number(left)),
            ];
            let prompt = self.context.prompts.render_owned(prompt, &values)?;
            let call = self.context.call(role, "answer", &prompt);
            let check = |object| check(object, left, python);
            match structured::ask(self.context, &call, prompt, schema(python), check).await? {
                Turn::Answer(draft) => return Ok(draft),
                Turn::Look(looks) => self.look(looks).await?,
            }
        }
    }

    async fn look(&mut self, looks: Vec<Look>) -> Result<(), AgentError> {
        let number = self.transcript.len() as u32 + 1;
        self.transcript.push(Step { number, text: String::new(), calls: Vec::new() });
        for look in looks {
            let answer = match self.desk.look(&look).await {
                Ok(answer) => {
                    ToolAnswer { text: cut_in_the_middle(&answer.text, ANSWER_MAX_CHARS), ..answer }
                }
                Err(error) => return Err(self.interrupted(error)),
            };
            let (name, arguments) = look.told();
            let shown =
                PromptText::data(&name, &answer.text, Written::AsCode, self.room.min(ANSWER_MAX_CHARS));
            self.room = self.room.saturating_sub(shown.as_str().chars().count());
            if let Look::Python(code) = look {
                // A later turn has to see what it ran, not only what came of it.
                self.seen.push(PromptText::data("python program", &code, Written::AsCode, CODE_MAX_CHARS));
                self.computations.push(Computation { code, output: answer.text.clone() });
            }
            self.seen.push(shown);
            if let Some(step) = self.transcript.last_mut() {
                step.calls.push(StepCall { name, arguments, answer });
            }
        }
        Ok(())
    }

    fn interrupted(&mut self, error: ToolboxError) -> AgentError {
        let transcript = std::mem::take(&mut self.transcript);
        let why = Interruption::Toolbox(error);
        AgentError::Interrupted(Box::new(Interrupted { why, transcript, usage: Usage::default() }))
    }
}

impl Look {
    /// For the record, and as a heading for the model.
    fn told(&self) -> (String, Value) {
        match self {
            Self::Python(code) => ("python".to_owned(), json!({ "code": code })),
            Self::Tree(ToolRequest::Read { path, start, end }) => {
                let lines = match (start, end) {
                    (None, None) => String::new(),
                    (start, end) => {
                        let end = end.map_or(String::new(), |end| end.to_string());
                        format!(" lines {}-{end}", start.unwrap_or(1))
                    }
                };
                (format!("read {path}{lines}"), json!({ "path": path, "start": start, "end": end }))
            }
            Self::Tree(ToolRequest::Search { pattern, glob }) => {
                (format!("search {pattern}"), json!({ "pattern": pattern, "glob": glob }))
            }
            Self::Tree(ToolRequest::List { path }) => {
                (format!("list {}", path.as_deref().unwrap_or(".")), json!({ "path": path }))
            }
            Self::Tree(other) => ("other".to_owned(), json!({ "request": other })),
        }
    }
}

fn objections(objected: Option<(&Draft, &[String])>) -> PromptText {
    let Some((draft, objections)) = objected else {
        return PromptText::own("(none: this is the first answer)");
    };
    let list: Vec<String> = objections.iter().map(|objection| format!("- {objection}")).collect();
    PromptText::joined(
        [
            PromptText::data("your last answer", &draft.text, Written::AsCode, TEXT_MAX_CHARS),
            PromptText::data("objections", &list.join("\n"), Written::AsCode, TEXT_MAX_CHARS),
        ],
        "\n",
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTurn {
    #[serde(default)]
    look: Vec<RawLook>,
    #[serde(default)]
    answer: Option<RawAnswer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnswer {
    text: String,
    #[serde(default)]
    citations: Vec<Citation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLook {
    tool: String,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default)]
    glob: Option<String>,
    #[serde(default)]
    start_line: Option<u32>,
    #[serde(default)]
    end_line: Option<u32>,
    #[serde(default)]
    code: Option<String>,
}

fn check(object: Value, turns_left: usize, python: bool) -> Result<Turn, Vec<String>> {
    let raw: RawTurn = serde_json::from_value(object).map_err(|error| vec![error.to_string()])?;
    let mut faults = Vec::new();
    if let Some(RawAnswer { text, citations }) = raw.answer {
        let text = text.trim().to_owned();
        if text.is_empty() || text.chars().count() > TEXT_MAX_CHARS {
            faults.push(format!("`answer.text` has to have 1 to {TEXT_MAX_CHARS} characters"));
        }
        if citations.len() > MOST_CITATIONS {
            faults.push(format!("`answer.citations` has more than {MOST_CITATIONS} entries"));
        }
        let mut numbers: Vec<u32> = citations.iter().map(|citation| citation.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() < citations.len() {
            faults.push("two citations have the same `number`".to_owned());
        }
        let without = references(&text).into_iter().find(|(_, number)| !numbers.contains(number));
        if let Some((_, number)) = without {
            faults.push(format!("the text refers to [{number}], and no citation has this `number`"));
        }
        return if faults.is_empty() { Ok(Turn::Answer(Draft { text, citations })) } else { Err(faults) };
    }
    if turns_left == 0 {
        return Err(vec!["there are no looks left: give the answer by what you have seen".to_owned()]);
    }
    if !(1..=MOST_LOOKS).contains(&raw.look.len()) {
        faults.push(format!("without an `answer`, `look` has to have 1 to {MOST_LOOKS} entries"));
    }
    let mut looks = Vec::new();
    for (index, look) in raw.look.into_iter().enumerate() {
        match look.understood(python) {
            Ok(look) => looks.push(look),
            Err(fault) => faults.push(format!("look[{index}]: {fault}")),
        }
    }
    if faults.is_empty() { Ok(Turn::Look(looks)) } else { Err(faults) }
}

impl RawLook {
    fn understood(self, python: bool) -> Result<Look, String> {
        let given = |value: Option<String>, name: &str| {
            value.filter(|value| !value.trim().is_empty()).ok_or(format!("`{name}` is missing"))
        };
        match self.tool.as_str() {
            "list" => Ok(Look::Tree(ToolRequest::List { path: self.path.filter(|path| !path.is_empty()) })),
            "search" => {
                let glob = self.glob.filter(|glob| !glob.is_empty());
                Ok(Look::Tree(ToolRequest::Search { pattern: given(self.pattern, "pattern")?, glob }))
            }
            "read" => {
                let (start, end) = (self.start_line, self.end_line);
                Ok(Look::Tree(ToolRequest::Read { path: given(self.path, "path")?, start, end }))
            }
            "python" if python => match given(self.code, "code")? {
                code if code.chars().count() > CODE_MAX_CHARS => {
                    Err(format!("`code` is longer than {CODE_MAX_CHARS} characters"))
                }
                code => Ok(Look::Python(code)),
            },
            other => {
                let tools = if python { "list, search, read, python" } else { "list, search, read" };
                Err(format!("`tool` is {other:?}; the tools are {tools}"))
            }
        }
    }
}

fn schema(python: bool) -> Value {
    let text = json!({"type": ["string", "null"]});
    let line = json!({"type": ["integer", "null"]});
    let tools =
        if python { json!(["list", "search", "read", "python"]) } else { json!(["list", "search", "read"]) };
    let look = json!({
        "type": "object",
        "properties": {
            "tool": {"type": "string", "enum": tools},
            "path": text, "pattern": text, "glob": text, "start_line": line, "end_line": line, "code": text,
        },
        "required": ["tool", "path", "pattern", "glob", "start_line", "end_line", "code"],
        "additionalProperties": false,
    });
    let citation = json!({
        "type": "object",
        "properties": {
            "number": {"type": "integer"},
            "path": {"type": "string"},
            "start_line": {"type": "integer"},
            "end_line": {"type": "integer"},
            "quote": {"type": "string"},
        },
        "required": ["number", "path", "start_line", "end_line", "quote"],
        "additionalProperties": false,
    });
    json!({
        "type": "object",
        "properties": {
            "look": {"type": "array", "items": look},
            "answer": {
                "type": ["object", "null"],
                "properties": {
                    "text": {"type": "string"},
                    "citations": {"type": "array", "items": citation},
                },
                "required": ["text", "citations"],
                "additionalProperties": false,
            },
        },
        "required": ["look", "answer"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(object: Value, turns_left: usize) -> Vec<String> {
        match check(object, turns_left, false) {
            Ok(_) => panic!("this is no good turn"),
            Err(faults) => faults,
        }
    }

    #[test]
    fn a_turn_is_a_look_or_an_answer() {
        let read = json!({"look": [{"tool": "read", "path": "a", "start_line": 3}], "answer": null});
        let Ok(Turn::Look(looks)) = check(read, 1, false) else { panic!("a look") };
        assert_eq!(looks, [Look::Tree(ToolRequest::Read { path: "a".into(), start: Some(3), end: None })]);
        let both =
            json!({"look": [{"tool": "read", "path": "a"}], "answer": {"text": " yes ", "citations": []}});
        let Ok(Turn::Answer(draft)) = check(both, 0, false) else { panic!("an answer") };
        assert_eq!(draft, Draft { text: "yes".into(), citations: vec![] });
    }

    #[test]
    fn a_reference_without_a_citation_is_told() {
        let answer = |text: &str| {
            json!({"look": [], "answer": {"text": text, "citations": [
            {"number": 1, "path": "a", "start_line": 1, "end_line": 1, "quote": "long enough"}]}})
        };
        let told = faults(answer("It is so [1], and safe [7]."), 1);
        assert_eq!(told, ["the text refers to [7], and no citation has this `number`"]);
        assert!(check(answer("It is so [1]: `argv[7]`."), 1, false).is_ok());
    }

    #[test]
    fn nothing_can_be_asked_for_but_looks() {
        for tool in ["write", "run", "edit", "patch", "python", "together"] {
            let look = json!({"look": [{"tool": tool, "path": "a", "code": "1"}], "answer": null});
            assert!(faults(look, 3)[0].contains("the tools are list, search, read"), "{tool}");
        }
        let python = json!({"look": [{"tool": "python", "code": "print(1)"}], "answer": null});
        assert!(
            matches!(check(python, 1, true), Ok(Turn::Look(looks)) if looks == [Look::Python("print(1)".into())])
        );
    }

    #[test]
    fn what_is_wrong_with_a_turn_is_named() {
        let look = json!({"look": [{"tool": "list"}], "answer": null});
        assert!(faults(look.clone(), 0)[0].contains("no looks left"));
        assert!(faults(json!({"look": [], "answer": null}), 1)[0].contains("1 to 6 entries"));
        assert!(
            faults(json!({"look": vec![look["look"][0].clone(); 7], "answer": null}), 1)[0]
                .contains("1 to 6")
        );
        assert!(
            faults(json!({"look": [{"tool": "read"}], "answer": null}), 1)[0].contains("`path` is missing")
        );
        let citation = json!({"number": 1, "path": "a", "start_line": 1, "end_line": 1, "quote": "q"});
        let twice = json!({"look": [], "answer": {"text": "t", "citations": [citation, citation]}});
        assert!(faults(twice, 1)[0].contains("the same `number`"));
        assert!(
            faults(json!({"look": [], "answer": {"text": " ", "citations": []}}), 1)[0]
                .contains("answer.text")
        );
    }
}
