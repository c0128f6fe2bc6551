//! A task that a person wrote as a file, YAML or JSON. `docs/task.schema.json` says the same to editors.

use std::path::Path;

use serde::Deserialize;

use super::document::Document;
use super::error::{ConfigError, nearest};
use super::keys::task_keys;
use crate::domain::{Priority, Risk, Size, Workflow, WrittenTask};

/// The largest file, in bytes: as much text as an issue can have.
const MAX_BYTES: usize = 64 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TaskFile {
    title: Option<String>,
    objective: Option<String>,
    requirements: Option<Vec<String>>,
    constraints: Option<Vec<String>>,
    acceptance_criteria: Option<Vec<String>>,
    likely_files: Option<Vec<String>>,
    protected_files: Option<Vec<String>>,
    altered_tests: Option<Vec<String>>,
    workflow: Option<String>,
    risk: Option<String>,
    size: Option<String>,
    priority: Option<String>,
    template: Option<String>,
}

/// Reads a task; `name` is the file's path in errors.
///
/// # Errors
/// The first thing that is wrong, with key, line and the nearest right key.
pub fn parse_task(name: &Path, text: &str) -> Result<WrittenTask, ConfigError> {
    if text.len() > MAX_BYTES {
        return Err(ConfigError::new(format!("the file is larger than {MAX_BYTES} bytes")).in_file(name));
    }
    let document = Document::index(name, text)?;
    let file: TaskFile = document.parse(text, None, task_keys())?;
    let missing = |key: &str| document.error(key, "the key is missing, and every task needs it");
    let named = Named(&document);
    let task = WrittenTask {
        title: file.title.ok_or_else(|| missing("title"))?,
        objective: file.objective.ok_or_else(|| missing("objective"))?,
        requirements: file.requirements.ok_or_else(|| missing("requirements"))?,
        constraints: file.constraints.unwrap_or_default(),
        acceptance_criteria: file.acceptance_criteria.ok_or_else(|| missing("acceptance_criteria"))?,
        likely_files: file.likely_files.unwrap_or_default(),
        protected_files: file.protected_files.unwrap_or_default(),
        altered_tests: file.altered_tests.unwrap_or_default(),
        workflow: file.workflow.map(|name| named.workflow(&name)).transpose()?,
        risk: named.one("risk", file.risk, &RISKS)?.unwrap_or(WrittenTask::RISK),
        size: named.one("size", file.size, &SIZES)?.unwrap_or(WrittenTask::SIZE),
        priority: named.one("priority", file.priority, &PRIORITIES)?.unwrap_or(WrittenTask::PRIORITY),
        template: file.template,
    };
    match task.specification().validate(0, 1) {
        Ok(()) => Ok(task),
        Err(faults) => {
            let fault = faults.0.into_iter().next();
            Err(fault.map_or_else(|| missing("title"), |fault| document.error(&fault.key, fault.problem)))
        }
    }
}

const RISKS: [(&str, Risk); 3] = [("low", Risk::Low), ("medium", Risk::Medium), ("high", Risk::High)];
const SIZES: [(&str, Size); 3] = [("small", Size::Small), ("medium", Size::Medium), ("large", Size::Large)];
const PRIORITIES: [(&str, Priority); 3] =
    [("low", Priority::Low), ("normal", Priority::Normal), ("high", Priority::High)];

/// Values that are one of a few names.
pub(super) struct Named<'a>(pub &'a Document);

impl Named<'_> {
    pub(super) fn workflow(&self, written: &str) -> Result<Workflow, ConfigError> {
        let known = Workflow::ALL.map(|workflow| (workflow.as_str(), workflow));
        self.find("workflow", written, &known)
    }

    fn one<T: Copy>(
        &self,
        key: &str,
        written: Option<String>,
        known: &[(&str, T)],
    ) -> Result<Option<T>, ConfigError> {
        written.map(|written| self.find(key, &written, known)).transpose()
    }

    fn find<T: Copy>(&self, key: &str, written: &str, known: &[(&str, T)]) -> Result<T, ConfigError> {
        let names = || known.iter().map(|(name, _)| *name);
        let found = known.iter().find(|(name, _)| *name == written.trim());
        found.map(|(_, value)| *value).ok_or_else(|| {
            let problem = format!("expected one of {}", names().collect::<Vec<_>>().join(", "));
            self.0.error(key, problem).suggest(nearest(written, names()).map(str::to_owned))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{LIST_MAX_ENTRIES, TEXT_MAX_CHARS, TITLE_MAX_CHARS};

    const EXAMPLE: &str = include_str!("../../docs/task.example.yaml");
    const WHOLE: &str =
        "title: T\nobjective: O\nrequirements: [r]\nacceptance_criteria:\n  - a\n  - b\nrisk: high\n";

    fn read(text: &str) -> Result<WrittenTask, ConfigError> {
        parse_task(Path::new("task.yaml"), text)
    }

    fn schema() -> Value {
        serde_json::from_str(include_str!("../../docs/task.schema.json")).expect("JSON")
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let task = read(WHOLE).expect("whole");
        assert_eq!((task.risk, task.size, task.workflow), (Risk::High, Size::Medium, None));
        assert_eq!(task.specification().workflow, Workflow::Coding);
        let as_json = json!({
            "title": "T", "objective": "O \u{1f600}", "requirements": ["r"], "acceptance_criteria": ["a", "b"],
            "risk": "high",
        });
        let pretty = serde_json::to_string_pretty(&as_json).expect("JSON").replace("  ", "\t");
        let from_json = read(&pretty).expect("JSON is read too");
        assert_eq!(from_json, WrittenTask { objective: "O \u{1f600}".into(), ..task });
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let long = "x".repeat(TITLE_MAX_CHARS + 1);
        let cases = [
            (WHOLE.replace("objective: O\n", ""), "task.yaml: `objective`: the key is missing"),
            (String::new(), "task.yaml: `title`: the key is missing"),
            (
                WHOLE.replace("objective", "objektive"),
                "task.yaml:2:1: `objektive`: unknown key; did you mean",
            ),
            (
                WHOLE.replace("high", "hgih"),
                "task.yaml:7:7: `risk`: expected one of low, medium, high; did you",
            ),
            (WHOLE.replace("[r]", "r"), "task.yaml:3:15: `requirements`: expected a list"),
            (WHOLE.replace("[r]", "[]"), "task.yaml:3:15: `requirements`: needs at least 1 entry"),
            (WHOLE.replace("- b", "- ' '"), "task.yaml:6:5: `acceptance_criteria[1]`: is empty"),
            (
                WHOLE.replace("title: T", &format!("title: {long}")),
                "task.yaml:1:8: `title`: is longer than 100",
            ),
            (
                format!("{WHOLE}altered_tests: ['tests/**']\n"),
                "task.yaml:8:17: `altered_tests[0]`: is \"tests/**\"",
            ),
            (
                format!("{WHOLE}workflow: codng\n"),
                "task.yaml:8:11: `workflow`: expected one of coding, reasoning",
            ),
            (format!("{WHOLE}depends_on: [0]\n"), "task.yaml:8:1: `depends_on`: unknown key"),
            (format!("{WHOLE}prepared: {{}}\n"), "task.yaml:8:1: `prepared`: unknown key"),
            (
                format!("{WHOLE}# {}\n", "x".repeat(MAX_BYTES)),
                "task.yaml: the file is larger than 65536 bytes",
            ),
        ];
        for (text, part) in cases {
            let error = read(&text).expect_err(part).to_string();
            assert!(error.starts_with(part), "{part:?}: {error}");
        }
    }

    #[test]
    fn the_schema_has_the_keys_limits_and_defaults_of_the_code() {
        let schema = schema();
        let fields = schema["properties"].as_object().expect("properties");
        let keys: BTreeSet<&str> = task_keys().iter().map(String::as_str).collect();
        assert_eq!(fields.keys().map(String::as_str).collect::<BTreeSet<_>>(), keys);
        assert_eq!(schema["additionalProperties"], json!(false));
        let minimal = json!({
            "title": "T", "objective": "O", "requirements": ["r"], "acceptance_criteria": ["a"],
        });
        let read = read(&minimal.to_string()).expect("enough");
        let defaults = serde_json::to_value(&read).expect("serialises");
        assert_eq!(defaults.as_object().expect("fields").len(), keys.len(), "the schema has every field");
        for (name, field) in fields {
            assert!(field["description"].as_str().is_some_and(|text| text.len() > 20), "{name}");
            let required = schema["required"].as_array().expect("a list").contains(&json!(name));
            assert_eq!(required, minimal.get(name).is_some(), "{name} is needed or not");
            match field["type"].as_str() {
                Some("array") => {
                    let least = if required { json!(1) } else { Value::Null };
                    let limits = (&field["maxItems"], &field["minItems"], &field["items"]["maxLength"]);
                    assert_eq!(limits, (&json!(LIST_MAX_ENTRIES), &least, &json!(TEXT_MAX_CHARS)), "{name}");
                }
                Some("string") => {}
                other => panic!("{name} is a {other:?}"),
            }
            if !required && name != "workflow" && name != "template" {
                assert_eq!(field["default"], defaults[name], "the default of {name}");
            }
        }
        assert_eq!(fields["title"]["maxLength"], json!(TITLE_MAX_CHARS));
        assert_eq!(fields["objective"]["maxLength"], json!(TEXT_MAX_CHARS));
        assert_eq!(fields["workflow"]["enum"], json!(Workflow::ALL.map(Workflow::as_str)));
        assert_eq!(fields["risk"]["enum"], json!(RISKS.map(|(name, _)| name)));
        assert_eq!(fields["size"]["enum"], json!(SIZES.map(|(name, _)| name)));
        assert_eq!(fields["priority"]["enum"], json!(PRIORITIES.map(|(name, _)| name)));
    }

    /// What the schema takes and what the code takes is the same, so that an editor misleads nobody.
    #[test]
    fn schema_and_code_agree_on_the_example_and_on_what_is_wrong_with_it() {
        let validator = jsonschema::draft202012::new(&schema()).expect("a schema");
        let example: Value = serde_saphyr::from_str(EXAMPLE).expect("YAML");
        assert!(EXAMPLE.starts_with("# yaml-language-server: $schema=task.schema.json\n"));
        let shown: BTreeSet<&str> = example.as_object().expect("keys").keys().map(String::as_str).collect();
        let known: BTreeSet<&str> = task_keys().iter().map(String::as_str).collect();
        assert_eq!(shown, known, "the example shows every key");
        read(EXAMPLE).expect("the example is right");
        let changes: [(&str, Value, bool); 12] = [
            ("title", example["title"].clone(), true),
            ("title", json!(""), false),
            ("title", json!("x".repeat(TITLE_MAX_CHARS)), true),
            ("title", json!("x".repeat(TITLE_MAX_CHARS + 1)), false),
            ("title", json!("two\nlines"), false),
            ("objective", json!("x".repeat(TEXT_MAX_CHARS + 1)), false),
            ("requirements", json!(vec!["r"; LIST_MAX_ENTRIES + 1]), false),
            ("acceptance_criteria", json!([]), false),
            ("constraints", json!([""]), false),
            ("protected_files", json!([".github/**"]), false),
            ("risk", json!("huge"), false),
            ("templat", json!("docs"), false),
        ];
        for (key, value, is_right) in changes {
            let mut changed = example.clone();
            changed[key] = value;
            let text = changed.to_string();
            assert_eq!(validator.is_valid(&changed), is_right, "the schema about {key} in {text}");
            assert_eq!(read(&text).is_ok(), is_right, "the code about {key} in {text}");
        }
    }
}
