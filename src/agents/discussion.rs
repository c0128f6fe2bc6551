//! From a report to tasks, or to the questions that have to be answered first.

use serde::Deserialize;
use serde_json::{Value, json};

use super::AgentContext;
use super::error::AgentError;
use super::{sections, structured};
use crate::domain::{
    PLAN_MAX_TASKS, Preparation, SourceText, TaskSpecification, Template, Templates, Workflow,
};
use crate::llm::Role;
use crate::llm::boundary::{PromptText, Written};

/// Most questions in one round: people answer few.
pub const MAX_QUESTIONS: usize = 5;
/// GitHub's longest body of an issue or comment (65,536), and a little more.
const BODY_MAX_CHARS: usize = 66_000;
/// Title, body and comments together.
const CONVERSATION_MAX_CHARS: usize = 300_000;
const UNDERSTOOD_MAX_CHARS: usize = 2_000;
const QUESTION_MAX_CHARS: usize = 500;
/// More than a template's file can hold, with the names of its parts.
const TEMPLATE_MAX_CHARS: usize = 12_000;

/// What the discussion agent reads.
#[derive(Debug, Clone, Copy)]
pub struct DiscussionInput<'a> {
    pub source: &'a SourceText,
    /// See [`crate::context::overview`].
    pub overview: &'a PromptText,
    /// See [`crate::context::Contexts::select`]; fenced by [`crate::context::snippets_text`].
    pub snippets: &'a PromptText,
    /// What is protected here, as globs; see [`crate::guard::PathPolicy::protected_globs`].
    pub protected: &'a str,
    /// What the repository's maintainers ask of tasks of a kind.
    pub templates: &'a Templates,
    pub workflows: Workflows<'a>,
}

/// The workflows that tasks may have.
#[derive(Debug, Clone, Copy)]
pub enum Workflows<'a> {
    OneOf(&'a [Workflow]),
    /// A person named it, for all tasks.
    Named(Workflow),
}

impl Workflows<'_> {
    fn names(&self) -> Vec<&'static str> {
        match self {
            Self::OneOf(workflows) => workflows.iter().map(|workflow| workflow.as_str()).collect(),
            Self::Named(workflow) => vec![workflow.as_str()],
        }
    }

    /// What the model is told below the report; nothing where everything is possible.
    fn in_words(&self) -> Option<PromptText> {
        let words = match self {
            Self::OneOf(workflows) if Workflow::ALL.iter().all(|known| workflows.contains(known)) => {
                return None;
            }
            Self::OneOf(_) => "Of the workflows only these can be used here:",
            Self::Named(_) => "A maintainer has named the workflow of every task:",
        };
        let names = PromptText::data("workflows", &self.names().join(", "), Written::AsCode, BODY_MAX_CHARS);
        Some(PromptText::joined([PromptText::own(words), names], "\n"))
    }

    /// Puts the task's workflow right, or says what is wrong with it.
    fn hold(&self, task: &mut TaskSpecification) -> Result<(), String> {
        match self {
            Self::Named(workflow) => task.workflow = *workflow,
            Self::OneOf(workflows) if workflows.contains(&task.workflow) => {}
            Self::OneOf(_) => {
                let (name, names) = (task.workflow.as_str(), self.names().join(", "));
                return Err(format!("`workflow` is {name:?}; here it has to be one of {names}"));
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum DiscussionOutcome {
    Tasks { understood: String, tasks: Vec<TaskSpecification> },
    Questions { understood: String, questions: Vec<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutcome {
    kind: String,
    understood: String,
    #[serde(default)]
    tasks: Vec<Value>,
    #[serde(default)]
    questions: Vec<String>,
}

/// Reads a report. The text is cleared of what a person cannot see; see
/// [`crate::llm::boundary::visible_text`].
pub async fn discuss(
    context: &AgentContext,
    input: DiscussionInput<'_>,
) -> Result<DiscussionOutcome, AgentError> {
    let report = [Some(issue_text(input.source)), input.workflows.in_words()];
    let issue = PromptText::joined(report.into_iter().flatten(), "\n\n");
    let (max_tasks, max_questions) = (PromptText::number(PLAN_MAX_TASKS), PromptText::number(MAX_QUESTIONS));
    let prompt = context.prompts.render(
        "discussion",
        &[
            ("max_tasks", &max_tasks),
            ("max_questions", &max_questions),
            ("issue", &issue),
            ("protected", &sections::rules(input.protected)),
            ("overview", &input.overview.or("(none)")),
            ("snippets", &input.snippets.or("(none)")),
            ("templates", &templates_text(input.templates).or("(none)")),
        ],
    )?;
    let call = context.call(Role::Discussion, "discuss", &prompt);
    let (templates, workflows) = (input.templates, input.workflows);
    let schema = schema(templates, &workflows.names());
    structured::ask(context, &call, prompt, schema, |object| check(object, templates, workflows)).await
}

/// The whole conversation, as far as there is room: of a longer one, the last comments are cut.
pub(super) fn issue_text(source: &SourceText) -> PromptText {
    let mut room = CONVERSATION_MAX_CHARS;
    let mut said = |name: &str, text: &str| {
        let part = PromptText::data(name, text, Written::ForPeople, room.min(BODY_MAX_CHARS));
        room = room.saturating_sub(part.as_str().chars().count());
        part
    };
    let mut parts = vec![said("issue title", &source.title), said("issue body", &source.body)];
    for (index, comment) in source.comments.iter().enumerate() {
        let name = format!("comment {} by {}", index + 1, comment.author.login);
        parts.push(said(&name, &comment.body));
    }
    PromptText::joined(parts, "\n")
}

/// The templates, and which of them the labels ask for.
fn templates_text(templates: &Templates) -> PromptText {
    let shown = |name: &str, text: &str| PromptText::data(name, text, Written::ForPeople, TEMPLATE_MAX_CHARS);
    let mut parts: Vec<PromptText> = templates
        .all()
        .iter()
        .map(|template| shown(&format!("template {}", template.name), &template_text(template)))
        .collect();
    let labelled: Vec<&str> = templates.labelled().map(|template| template.name.as_str()).collect();
    if !labelled.is_empty() {
        parts.push(shown("templates by label", &labelled.join(", ")));
    }
    PromptText::joined(parts, "\n")
}

fn template_text(template: &Template) -> String {
    let mut text = format!("For: {}\n", template.when);
    for (name, entries) in [
        ("What a report of this kind has to say", &template.questions),
        ("Requirements that are added", &template.requirements),
        ("Constraints that are added", &template.constraints),
        ("Acceptance criteria that are added", &template.acceptance_criteria),
    ] {
        if !entries.is_empty() {
            text.push_str(&format!("{name}:\n"));
            entries.iter().for_each(|entry| text.push_str(&format!("- {entry}\n")));
        }
    }
    if let Some(workflow) = template.workflow {
        text.push_str(&format!("Workflow: {}\n", workflow.as_str()));
    }
    text
}

fn check(
    object: Value,
    templates: &Templates,
    workflows: Workflows<'_>,
) -> Result<DiscussionOutcome, Vec<String>> {
    let raw: RawOutcome = serde_json::from_value(object).map_err(|error| vec![error.to_string()])?;
    let mut faults = Vec::new();
    let understood = raw.understood.trim().to_owned();
    if understood.is_empty() || understood.chars().count() > UNDERSTOOD_MAX_CHARS {
        faults.push(format!("`understood` has to have 1 to {UNDERSTOOD_MAX_CHARS} characters"));
    }
    let outcome = match raw.kind.as_str() {
        "tasks" => {
            let tasks = tasks(raw.tasks, (templates, workflows), &mut faults);
            DiscussionOutcome::Tasks { understood, tasks }
        }
        "questions" => {
            check_questions(&raw.questions, &mut faults);
            if !raw.tasks.is_empty() {
                faults.push("`tasks` has to be empty where `kind` is \"questions\"".to_owned());
            }
            DiscussionOutcome::Questions { understood, questions: raw.questions }
        }
        other => {
            faults.push(format!("`kind` is {other:?}; it has to be \"tasks\" or \"questions\""));
            return Err(faults);
        }
    };
    if faults.is_empty() { Ok(outcome) } else { Err(faults) }
}

fn tasks(
    raw: Vec<Value>,
    asked: (&Templates, Workflows<'_>),
    faults: &mut Vec<String>,
) -> Vec<TaskSpecification> {
    let count = raw.len();
    if !(1..=PLAN_MAX_TASKS).contains(&count) {
        faults.push(format!("`tasks` has {count} entries; 1 to {PLAN_MAX_TASKS} are possible"));
    }
    let mut tasks = Vec::new();
    for (index, value) in raw.into_iter().enumerate() {
        match task(value, asked, (index, count)) {
            Ok(task) => tasks.push(task),
            Err(found) => faults.extend(found.iter().map(|fault| format!("tasks[{index}]: {fault}"))),
        }
    }
    if faults.is_empty() && has_circle(&tasks) {
        faults.push("`depends_on` goes in a circle".to_owned());
    }
    tasks
}

/// One task with what its template adds.
fn task(
    mut value: Value,
    (templates, workflows): (&Templates, Workflows<'_>),
    (index, count): (usize, usize),
) -> Result<TaskSpecification, Vec<String>> {
    let named = value.as_object_mut().and_then(|fields| fields.remove("template"));
    let template = match named {
        None | Some(Value::Null) => templates.chosen(None),
        Some(Value::String(name)) => templates.chosen(Some(&name)),
        Some(_) => Err("`template` has to be the name of a template or null".to_owned()),
    };
    let task = serde_json::from_value::<TaskSpecification>(value);
    let mut task = task.map_err(|error| vec![error.to_string()])?;
    // Ours to say, whatever the answer says.
    task.prepared = Preparation::default();
    let mut faults: Vec<String> = workflows.hold(&mut task).err().into_iter().collect();
    let valid = task.validate(index, count);
    faults.extend(valid.err().iter().flat_map(|e| &e.0).map(ToString::to_string));
    match template {
        Err(fault) => faults.push(fault),
        Ok(Some(template)) => faults.extend(template.add_to(&mut task).err().into_iter().flatten()),
        Ok(None) => {}
    }
    if faults.is_empty() { Ok(task) } else { Err(faults) }
}

/// Takes tasks away whose dependencies are gone, until none is left or nothing moves.
fn has_circle(tasks: &[TaskSpecification]) -> bool {
    let mut done = vec![false; tasks.len()];
    loop {
        let ready = (0..tasks.len())
            .find(|&index| !done[index] && tasks[index].depends_on.iter().all(|&needed| done[needed]));
        match ready {
            Some(index) => done[index] = true,
            None => return done.contains(&false),
        }
    }
}

fn check_questions(questions: &[String], faults: &mut Vec<String>) {
    if !(1..=MAX_QUESTIONS).contains(&questions.len()) {
        faults
            .push(format!("`questions` has {} entries; 1 to {MAX_QUESTIONS} are possible", questions.len()));
    }
    for (index, question) in questions.iter().enumerate() {
        if question.trim().is_empty() || question.chars().count() > QUESTION_MAX_CHARS {
            faults.push(format!("questions[{index}] has to have 1 to {QUESTION_MAX_CHARS} characters"));
        }
    }
}

fn schema(templates: &Templates, workflows: &[&str]) -> Value {
    let strings = json!({"type": "array", "items": {"type": "string"}});
    let mut task = json!({
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "objective": {"type": "string"},
            "requirements": strings,
            "constraints": strings,
            "acceptance_criteria": strings,
            "likely_files": strings,
            "protected_files": strings,
            "altered_tests": strings,
            "workflow": {"type": "string", "enum": workflows},
            "risk": {"type": "string", "enum": ["low", "medium", "high"]},
            "size": {"type": "string", "enum": ["small", "medium", "large"]},
            "priority": {"type": "string", "enum": ["low", "normal", "high"]},
            "depends_on": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["title", "objective", "requirements", "constraints", "acceptance_criteria", "likely_files",
            "protected_files", "altered_tests", "workflow", "risk", "size", "priority", "depends_on"],
        "additionalProperties": false,
    });
    if !templates.all().is_empty() {
        let names: Vec<&str> = templates.all().iter().map(|template| template.name.as_str()).collect();
        task["properties"]["template"] =
            json!({"anyOf": [{"type": "string", "enum": names}, {"type": "null"}]});
        if let Some(required) = task["required"].as_array_mut() {
            required.push("template".into());
        }
    }
    json!({
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": ["tasks", "questions"]},
            "understood": {"type": "string"},
            "tasks": {"type": "array", "items": task},
            "questions": strings,
        },
        "required": ["kind", "understood", "tasks", "questions"],
        "additionalProperties": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(depends_on: &[usize]) -> Value {
        json!({
            "title": "T", "objective": "O", "requirements": ["r"], "acceptance_criteria": ["a"],
            "workflow": "coding", "risk": "low", "size": "small", "priority": "normal", "depends_on": depends_on,
        })
    }

    const EVERY: Workflows<'static> = Workflows::OneOf(&Workflow::ALL);

    fn faults(object: Value) -> Vec<String> {
        check(object, &Templates::default(), EVERY).expect_err("faulty")
    }

    #[test]
    fn tasks_without_a_circle_are_taken() {
        let plan = json!({"kind": "tasks", "understood": "u", "tasks": [task(&[1]), task(&[]), task(&[0, 1])], "questions": []});
        let outcome = check(plan, &Templates::default(), EVERY);
        assert!(matches!(outcome, Ok(DiscussionOutcome::Tasks { tasks, .. }) if tasks.len() == 3));
    }

    #[test]
    fn what_cannot_be_worked_on_is_named() {
        let circle =
            json!({"kind": "tasks", "understood": "u", "tasks": [task(&[1]), task(&[0])], "questions": []});
        assert_eq!(faults(circle), ["`depends_on` goes in a circle"]);
        let many = json!({"kind": "tasks", "understood": "u", "tasks": vec![task(&[]); 11], "questions": []});
        assert!(faults(many)[0].contains("11 entries"));
        let none = json!({"kind": "tasks", "understood": " ", "tasks": [], "questions": []});
        assert_eq!(faults(none).len(), 2);
        let six = json!({"kind": "questions", "understood": "u", "tasks": [], "questions": vec!["q"; 6]});
        assert!(faults(six)[0].contains("6 entries"));
        let other = json!({"kind": "poem", "understood": "u"});
        assert!(faults(other)[0].contains("\"poem\""));
        let mut wrong = task(&[]);
        wrong["risk"] = "huge".into();
        let wrong = json!({"kind": "tasks", "understood": "u", "tasks": [wrong], "questions": []});
        assert!(faults(wrong)[0].contains("tasks[0]: unknown variant `huge`"));
    }

    fn docs() -> Templates {
        let docs = Template {
            name: "docs".into(),
            label: Some("documentation".into()),
            acceptance_criteria: vec!["Links work.".into()],
            reviewers: vec!["tone".into()],
            ..Template::default()
        };
        Templates::new(vec![docs])
    }

    fn answered(task: Value, templates: &Templates) -> Result<TaskSpecification, Vec<String>> {
        let object = json!({"kind": "tasks", "understood": "u", "tasks": [task], "questions": []});
        match check(object, templates, EVERY)? {
            DiscussionOutcome::Tasks { mut tasks, .. } => Ok(tasks.remove(0)),
            questions => panic!("{questions:?}"),
        }
    }

    #[test]
    fn what_a_template_asks_for_is_added_whatever_the_answer_says() {
        let mut named = task(&[]);
        named["template"] = "docs".into();
        let read = answered(named, &docs()).expect("right");
        assert_eq!(read.acceptance_criteria, ["a", "Links work."]);
        assert_eq!(read.prepared.template.expect("noted").reviewers, ["tone"]);
        assert_eq!(answered(task(&[]), &docs()).expect("right").acceptance_criteria, ["a"]);
        let labelled = docs().for_labels(&["documentation".into()]);
        let mut none = task(&[]);
        none["template"] = Value::Null;
        assert_eq!(answered(none, &labelled).expect("right").acceptance_criteria, ["a", "Links work."]);
    }

    #[test]
    fn a_template_that_there_is_not_is_a_fault_and_none_can_be_made_up() {
        let mut wrong = task(&[]);
        wrong["template"] = "dosc".into();
        let told = answered(wrong, &docs()).expect_err("unknown");
        assert_eq!(told, ["tasks[0]: `template` is \"dosc\"; the templates are docs"]);
        let mut prepared = task(&[]);
        prepared["prepared"] = json!({"design": "d", "route": null, "template": {"name": "mine"}});
        assert!(answered(prepared, &docs()).expect("read").prepared.is_empty(), "ours to say");
    }

    #[test]
    fn the_schema_offers_the_templates_that_there_are() {
        let of =
            |templates: &Templates| schema(templates, &["coding"])["properties"]["tasks"]["items"].clone();
        assert_eq!(of(&docs())["properties"]["template"]["anyOf"][0]["enum"], json!(["docs"]));
        assert!(of(&docs())["required"].as_array().expect("a list").contains(&json!("template")));
        assert_eq!(of(&Templates::default())["properties"].get("template"), None);
    }

    #[test]
    fn a_workflow_that_is_not_allowed_is_named_and_one_that_a_person_named_holds() {
        let plan = || json!({"kind": "tasks", "understood": "u", "tasks": [task(&[])], "questions": []});
        let answers = Workflows::OneOf(&[Workflow::RagQa, Workflow::Reasoning]);
        let faults = check(plan(), &Templates::default(), answers).expect_err("faulty");
        assert_eq!(
            faults,
            ["tasks[0]: `workflow` is \"coding\"; here it has to be one of rag_qa, reasoning"]
        );
        let Ok(DiscussionOutcome::Tasks { tasks, .. }) =
            check(plan(), &Templates::default(), Workflows::Named(Workflow::Science))
        else {
            panic!("a person's word stands")
        };
        assert_eq!(tasks[0].workflow, Workflow::Science);
        let told =
            |workflows: Workflows<'_>| workflows.in_words().map(PromptText::into_string).unwrap_or_default();
        assert!(told(answers).contains("rag_qa, reasoning"), "{}", told(answers));
        assert!(told(Workflows::Named(Workflow::Science)).contains("science"));
        assert_eq!(told(EVERY), "");
    }
}
