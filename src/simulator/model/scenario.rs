//! Scenario files: rules that answer when the request carries the evidence they ask for.
//!
//! The first rule whose `when` holds and whose `not_when` does not answers. A rule never counts calls:
//! the same request gets the same answer however often it comes.

use regex::Regex;
use rust_embed::RustEmbed;
use serde::Deserialize;
use serde_json::Value;

use super::evidence::{Evidence, WireFormat};

#[derive(RustEmbed)]
#[folder = "src/simulator/model/scenarios/"]
struct Embedded;

/// A script for the model server.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: String,
    rules: Vec<Rule>,
}

/// Why a scenario cannot be played.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("scenario {name}: {reason}")]
pub struct InvalidScenario {
    pub name: String,
    pub reason: String,
}

#[derive(Debug, Clone)]
struct Rule {
    name: String,
    when: Conditions,
    not_when: Conditions,
    answer: Answer,
}

/// What the server does with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Words, then tool calls. Without tool calls the turn is over.
    Say { text: String, calls: Vec<ScriptedCall>, stop: Stop },
    /// The same after a thought that the client has to bring back with the results of the calls.
    Think { thought: String, text: String, calls: Vec<ScriptedCall>, stop: Stop },
    /// A refusal with this status. `retry_after` ending in `ms` goes into `retry-after-ms`.
    Error { status: u16, retry_after: Option<String>, message: String, code: Option<String> },
    /// Nothing for so long, then a closed connection.
    Hang { seconds: f64 },
    /// The head of a good answer, then a closed connection.
    DropConnection,
    /// Status 200 and these bytes as JSON.
    Junk { body: String },
    /// An answer that breaks off in the middle of a tool call.
    HalfToolCall { name: String },
    /// A good answer with a tool call, whose stream is closed at this point.
    CutStream { at: Cut },
    /// The beginning of a stream, then nothing for so long, then a closed connection.
    Idle { seconds: f64 },
    /// An error of the provider's own in the middle of a stream that began well.
    ErrorInStream,
    /// Status 200 and a page.
    Page { html: String },
    /// A text of so many bytes.
    Giant { bytes: usize },
}

/// Where a stream is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// After the first event.
    Start,
    /// In the middle of the arguments of a tool call.
    InCall,
    /// When everything is said, and before it is told what it used.
    BeforeUsage,
    /// When that is told too, and before the stream's own end.
    AfterUsage,
}

/// Why a scripted turn ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// As the answer suggests: a tool call, or everything said.
    #[default]
    Natural,
    OutputLimit,
    Refusal,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedCall {
    pub name: String,
    pub arguments: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioFile {
    name: String,
    rules: Vec<RuleFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    name: String,
    when: Conditions,
    #[serde(default)]
    not_when: Conditions,
    answer: AnswerFile,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Conditions {
    wire: Option<WireFormat>,
    system: Vec<Pattern>,
    first_message: Vec<Pattern>,
    last_message: Vec<Pattern>,
    any_message: Vec<Pattern>,
    called: Vec<Pattern>,
    tools_offered: Vec<String>,
}

#[derive(Debug, Clone)]
enum Pattern {
    Text(String),
    Regex(Regex),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PatternFile {
    Text(String),
    Regex { regex: String },
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match PatternFile::deserialize(deserializer)? {
            PatternFile::Text(text) => Ok(Self::Text(text)),
            PatternFile::Regex { regex } => {
                Regex::new(&regex).map(Self::Regex).map_err(serde::de::Error::custom)
            }
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AnswerFile {
    text: Option<String>,
    json: Option<Value>,
    tool_calls: Vec<ScriptedCall>,
    stop: Option<Stop>,
    error: Option<ErrorFile>,
    hang_seconds: Option<f64>,
    drop_connection: Option<bool>,
    junk: Option<String>,
    half_tool_call: Option<String>,
    thought: Option<String>,
    cut_stream: Option<Cut>,
    idle_seconds: Option<f64>,
    error_in_stream: Option<bool>,
    page: Option<String>,
    giant_bytes: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorFile {
    status: u16,
    #[serde(default)]
    retry_after: Option<String>,
    message: String,
    #[serde(default)]
    code: Option<String>,
}

impl Scenario {
    /// A scenario that is part of the program, by its file's name without `.yaml`.
    pub fn embedded(name: &str) -> Result<Self, InvalidScenario> {
        let fault = |reason: &str| InvalidScenario { name: name.to_owned(), reason: reason.to_owned() };
        let file =
            Embedded::get(&format!("{name}.yaml")).ok_or_else(|| fault("there is none of this name"))?;
        let text = std::str::from_utf8(&file.data).map_err(|_| fault("it is not UTF-8"))?;
        Self::parse(text)
    }

    /// The names of the scenarios that are part of the program.
    pub fn names() -> Vec<String> {
        Embedded::iter().filter_map(|file| file.strip_suffix(".yaml").map(str::to_owned)).collect()
    }

    /// Reads a scenario; an unknown key, an empty condition or an answer of two kinds is refused.
    pub fn parse(yaml: &str) -> Result<Self, InvalidScenario> {
        let file: ScenarioFile = serde_saphyr::from_str(yaml)
            .map_err(|error| InvalidScenario { name: "(unread)".into(), reason: error.to_string() })?;
        let fault = |reason: String| InvalidScenario { name: file.name.clone(), reason };
        let mut rules = Vec::new();
        for rule in file.rules {
            if rule.when.is_empty() {
                return Err(fault(format!("the rule {:?} asks for no evidence", rule.name)));
            }
            let answer =
                rule.answer.read().map_err(|reason| fault(format!("the rule {:?}: {reason}", rule.name)))?;
            rules.push(Rule { name: rule.name, when: rule.when, not_when: rule.not_when, answer });
        }
        Ok(Self { name: file.name, rules })
    }

    /// The answer to a request with the name of its rule, or what evidence is missing.
    pub(super) fn answer(&self, evidence: &Evidence) -> Result<(&str, &Answer), String> {
        let mut closest: Option<(f64, String)> = None;
        for rule in &self.rules {
            let mut missing = rule.when.missing(evidence);
            missing.extend(rule.not_when.present(evidence));
            if missing.is_empty() {
                return Ok((&rule.name, &rule.answer));
            }
            let asked = rule.when.checks(evidence).len() + rule.not_when.checks(evidence).len();
            // A rule for other instructions is farther away than any for these.
            let other_instructions = missing.iter().any(|condition| condition.starts_with("system "));
            let distance = missing.len() as f64 / asked as f64 + f64::from(u8::from(other_instructions));
            if closest.as_ref().is_none_or(|(nearest, _)| distance < *nearest) {
                closest = Some((distance, format!("{:?} lacks: {}", rule.name, missing.join("; "))));
            }
        }
        let closest = closest.map_or_else(|| "it has no rules".to_owned(), |(_, text)| text);
        Err(format!("no rule of the scenario {:?} fits this request; the closest, {closest}", self.name))
    }
}

impl Conditions {
    fn is_empty(&self) -> bool {
        self.wire.is_none()
            && self.tools_offered.is_empty()
            && [&self.system, &self.first_message, &self.last_message, &self.any_message, &self.called]
                .iter()
                .all(|patterns| patterns.is_empty())
    }

    /// Each condition with whether it holds.
    fn checks(&self, evidence: &Evidence) -> Vec<(String, bool)> {
        let mut checks = Vec::new();
        if let Some(wire) = self.wire {
            checks.push((format!("wire {wire:?}"), wire == evidence.wire));
        }
        for tool in &self.tools_offered {
            checks.push((format!("the tool {tool}"), evidence.tools.contains(tool)));
        }
        let fields = [
            ("system", &self.system, evidence.system.clone()),
            ("first message", &self.first_message, evidence.first_message()),
            ("last message", &self.last_message, evidence.last_message()),
            ("any message", &self.any_message, evidence.all_messages()),
            ("calls", &self.called, evidence.calls()),
        ];
        for (field, patterns, text) in fields {
            for pattern in patterns {
                checks.push((format!("{field} with {pattern}"), pattern.is_in(&text)));
            }
        }
        checks
    }

    fn missing(&self, evidence: &Evidence) -> Vec<String> {
        self.checks(evidence).into_iter().filter(|(_, holds)| !holds).map(|(name, _)| name).collect()
    }

    fn present(&self, evidence: &Evidence) -> Vec<String> {
        let present = self.checks(evidence).into_iter().filter(|(_, holds)| *holds);
        present.map(|(name, _)| format!("not {name}")).collect()
    }
}

impl Pattern {
    fn is_in(&self, text: &str) -> bool {
        match self {
            Self::Text(part) => text.contains(part.as_str()),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Regex(regex) => write!(f, "/{regex}/"),
        }
    }
}

impl AnswerFile {
    fn read(self) -> Result<Answer, String> {
        let mut answers = Vec::new();
        let says = self.text.is_some() || self.json.is_some() || !self.tool_calls.is_empty();
        if self.text.is_some() && self.json.is_some() {
            return Err("`text` and `json` exclude each other".to_owned());
        }
        if says {
            let text = self.text.or_else(|| self.json.map(|json| json.to_string())).unwrap_or_default();
            let (calls, stop) = (self.tool_calls, self.stop.unwrap_or_default());
            answers.push(match self.thought {
                Some(thought) => Answer::Think { thought, text, calls, stop },
                None => Answer::Say { text, calls, stop },
            });
        } else if self.thought.is_some() {
            return Err("`thought` needs something that is said after it".to_owned());
        }
        if !says && self.stop.is_some() {
            return Err("`stop` needs something that is said".to_owned());
        }
        if let Some(error) = self.error {
            answers.push(Answer::Error {
                status: error.status,
                retry_after: error.retry_after,
                message: error.message,
                code: error.code,
            });
        }
        answers.extend(self.hang_seconds.map(|seconds| Answer::Hang { seconds }));
        answers.extend(self.drop_connection.filter(|&drop| drop).map(|_| Answer::DropConnection));
        answers.extend(self.junk.map(|body| Answer::Junk { body }));
        answers.extend(self.half_tool_call.map(|name| Answer::HalfToolCall { name }));
        answers.extend(self.cut_stream.map(|at| Answer::CutStream { at }));
        answers.extend(self.idle_seconds.map(|seconds| Answer::Idle { seconds }));
        answers.extend(self.error_in_stream.filter(|&error| error).map(|_| Answer::ErrorInStream));
        answers.extend(self.page.map(|html| Answer::Page { html }));
        answers.extend(self.giant_bytes.map(|bytes| Answer::Giant { bytes }));
        match answers.len() {
            1 => Ok(answers.remove(0)),
            count => Err(format!("it gives {count} kinds of answer instead of one")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::Turn;
    use super::*;

    fn evidence(text: &str) -> Evidence {
        Evidence {
            wire: WireFormat::Openai,
            model: "m".into(),
            system: "You review.".into(),
            turns: vec![Turn::User(text.into())],
            tools: vec!["read_file".into()],
            max_tokens: None,
        }
    }

    const SCENARIO: &str = r#"
name: two rules
rules:
  - name: the failing test
    when:
      any_message: ["test result: FAILED", { regex: "left: [0-9]+" }]
      tools_offered: [read_file]
    not_when: { any_message: ["already mended"] }
    answer: { tool_calls: [{ name: read_file, arguments: { path: src/lib.rs } }] }
  - name: hello
    when: { last_message: ["hello"] }
    answer: { json: { greeting: hi } }
"#;

    #[test]
    fn the_first_rule_whose_evidence_is_there_answers() {
        let scenario = Scenario::parse(SCENARIO).expect("parses");
        let (rule, answer) =
            scenario.answer(&evidence("test result: FAILED, left: 3 hello")).expect("answers");
        assert_eq!(rule, "the failing test");
        assert!(matches!(answer, Answer::Say { calls, .. } if calls[0].name == "read_file"));
        let (rule, answer) = scenario.answer(&evidence("hello")).expect("answers");
        assert_eq!(rule, "hello");
        assert!(matches!(answer, Answer::Say { text, .. } if text == r#"{"greeting":"hi"}"#));
    }

    #[test]
    fn a_request_without_the_evidence_is_told_what_it_lacks() {
        let scenario = Scenario::parse(SCENARIO).expect("parses");
        let missing = scenario.answer(&evidence("test result: FAILED")).expect_err("no rule");
        assert!(missing.contains("the failing test") && missing.contains("left: [0-9]+"), "{missing}");
        let excluded =
            scenario.answer(&evidence("test result: FAILED, left: 3, already mended")).expect_err("excluded");
        assert!(excluded.contains("not any message with \"already mended\""), "{excluded}");
    }

    #[test]
    fn a_careless_scenario_is_refused() {
        let cases = [
            ("rules: [{ name: a, when: { sytem: [x] }, answer: { text: t } }]", "sytem"),
            ("rules: [{ name: a, when: {}, answer: { text: t } }]", "asks for no evidence"),
            ("rules: [{ name: a, when: { system: [x] }, answer: {} }]", "0 kinds of answer"),
            (
                "rules: [{ name: a, when: { system: [x] }, answer: { text: t, junk: j } }]",
                "2 kinds of answer",
            ),
            ("rules: [{ name: a, when: { system: [{ regex: '(' }] }, answer: { text: t } }]", "regex"),
        ];
        for (rules, part) in cases {
            let error = Scenario::parse(&format!("name: careless\n{rules}\n")).expect_err(rules).to_string();
            assert!(error.contains(part), "{rules}: {error}");
        }
    }

    #[test]
    fn every_embedded_scenario_parses() {
        let names = Scenario::names();
        assert!(names.contains(&"demo".to_owned()) && names.contains(&"hostile".to_owned()), "{names:?}");
        for name in names {
            Scenario::embedded(&name).expect(&name);
        }
    }
}
