//! The tools as the provider's API describes them, and a model's call as a request.

use serde::Deserialize;
use serde_json::{Value, json};

use super::tools::ToolRequest;
use crate::llm::{ModelName, ToolDefinition};

/// Longest subject of a commit, in characters.
const SUBJECT_MAX_CHARS: usize = 100;
const SUMMARY_MAX_CHARS: usize = 4_000;
/// Longest time a command may ask for, in seconds; the sandbox has limits of its own.
const MAX_COMMAND_SECONDS: u32 = 600;

/// A call, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Understood {
    Tool(ToolRequest),
    Finish(Finish),
}

/// The end of a loop, in the model's words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    pub summary: String,
    pub commit_subject: String,
}

/// The form of edits that a model was trained on. Each is taken from every model; this says which tools come
/// first, and what their descriptions advise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EditStyle {
    /// `*** Begin Patch`, as OpenAI's models write it.
    Patch,
    /// Old text and new text.
    Replace,
}

impl EditStyle {
    /// By the model's own name, whoever serves it: `gpt-5.2`, `openai/gpt-oss-120b`, `o4-mini`, `codex-mini-latest`.
    pub fn of(model: Option<&ModelName>) -> Self {
        let name = model.map(|model| model.model.to_ascii_lowercase()).unwrap_or_default();
        let name = name.rsplit('/').next().unwrap_or_default();
        let reasoning = |name: &str| {
            let mut chars = name.chars();
            chars.next() == Some('o') && chars.next().is_some_and(|c| c.is_ascii_digit())
        };
        let trained = ["gpt", "chatgpt", "codex"].iter().any(|family| name.starts_with(family));
        if trained || reasoning(name) { Self::Patch } else { Self::Replace }
    }
}

/// The tools, in the order in which they are offered.
pub(super) fn definitions(style: EditStyle) -> Vec<ToolDefinition> {
    let mut tools = looking();
    let [replace, patch] = [replacing(style), patching(style)];
    match style {
        EditStyle::Patch => tools.extend(patch.into_iter().chain(replace)),
        EditStyle::Replace => tools.extend(replace.into_iter().chain(patch)),
    }
    tools.extend(ending());
    tools
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn number(description: &str) -> Value {
    json!({"type": "integer", "description": description})
}

fn path() -> Value {
    text("Path from the root of the repository, with `/`.")
}

fn tool(name: &str, description: &str, properties: Value, required: &[&str]) -> ToolDefinition {
    ToolDefinition {
        name: name.to_owned(),
        description: description.to_owned(),
        schema: json!({
            "type": "object", "properties": properties, "required": required, "additionalProperties": false,
        }),
    }
}

fn looking() -> Vec<ToolDefinition> {
    vec![
        tool(
            "list_files",
            "Lists the files below a folder with their sizes.",
            json!({
                "path": text("A folder; left out: the whole repository."),
            }),
            &[],
        ),
        tool(
            "search",
            "Finds lines that match a regular expression (Rust syntax, a line at a time).",
            json!({
                "pattern": text("The regular expression."),
                "glob": text("Only files that match, as in `*.rs` or `src/**/*.py`."),
            }),
            &["pattern"],
        ),
        tool(
            "read_file",
            "Reads a text file, with line numbers.",
            json!({
                "path": path(),
                "start": number("First line, from 1."),
                "end": number("Last line, inclusive."),
            }),
            &["path"],
        ),
    ]
}

fn replacing(style: EditStyle) -> Vec<ToolDefinition> {
    let edit = match style {
        EditStyle::Replace => {
            "Replaces one place in a file: the way to change a few lines. `old` has to stand there exactly once."
        }
        EditStyle::Patch => "Replaces one place in a file. `old` has to stand there exactly once.",
    };
    vec![
        tool(
            "edit_file",
            edit,
            json!({
                "path": path(),
                "old": text("The text to replace, copied exactly, without line numbers."),
                "new": text("What stands there afterwards."),
            }),
            &["path", "old", "new"],
        ),
        tool(
            "write_file",
            "Makes a file, or replaces a whole one.",
            json!({
                "path": path(), "content": text("The whole new text."),
            }),
            &["path", "content"],
        ),
        tool("delete_file", "Deletes a file.", json!({ "path": path() }), &["path"]),
    ]
}

fn patching(style: EditStyle) -> Vec<ToolDefinition> {
    let description = match style {
        EditStyle::Patch => {
            "Changes any number of files by one patch: the way to edit here. Its form is `*** Begin Patch`, then for \
             each file `*** Update File: path`, `*** Add File: path` or `*** Delete File: path`, below an update \
             `@@` with lines that begin with a space, `-` or `+`, then `*** End Patch`."
        }
        EditStyle::Replace => {
            "Changes any number of files by one text. Its form is, below the path of each file, `<<<<<<< SEARCH`, \
             `=======` and `>>>>>>> REPLACE`; or a unified diff; or `*** Begin Patch`, then for each file \
             `*** Update File: path`, `*** Add File: path` or `*** Delete File: path`, then `*** End Patch`."
        }
    };
    vec![tool(
        "apply_patch",
        description,
        json!({
            "patch": text("The text. Old lines and lines of context are copied exactly, without line numbers."),
        }),
        &["patch"],
    )]
}

fn ending() -> Vec<ToolDefinition> {
    vec![
        tool(
            "run_command",
            "Runs a shell command in the root of the repository, without network.",
            json!({
                "command": text("A line for `sh -c`."),
                "timeout_seconds": number("After which the command is killed; at most 600."),
            }),
            &["command"],
        ),
        tool(
            "finish",
            "Ends the work.",
            json!({
                "summary": text("What was done and why, what was not, for the person who reviews it."),
                "commit_subject": text("One line, in the imperative, at most 100 characters."),
            }),
            &["summary", "commit_subject"],
        ),
    ]
}

/// Whether a tool of that name changes files by what its call says.
pub(super) fn edits(name: &str) -> bool {
    matches!(name, "edit_file" | "write_file" | "delete_file" | "apply_patch")
}

/// What the model wants, or what is wrong with its call.
pub fn understand(name: &str, arguments: &Value) -> Result<Understood, String> {
    let kind = match name {
        "list_files" => "list",
        "search" => "search",
        "read_file" => "read",
        "edit_file" => "edit",
        "write_file" => "write",
        "delete_file" => "delete",
        "apply_patch" => "patch",
        "run_command" => "run",
        "finish" => return finish(arguments).map(Understood::Finish),
        other => {
            let names: Vec<_> = definitions(EditStyle::Replace).into_iter().map(|tool| tool.name).collect();
            return Err(format!("there is no tool {other:?}; the tools are {}", names.join(", ")));
        }
    };
    let Some(object) = arguments.as_object() else {
        return Err(format!("the arguments of {name} have to be an object"));
    };
    if object.contains_key("tool") {
        return Err(format!("{name} has no argument `tool`"));
    }
    // Models send `null` for what they leave out; an absent option reads the same.
    let mut request: serde_json::Map<String, Value> = object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    request.insert("tool".to_owned(), json!(kind));
    let mut request: ToolRequest = serde_json::from_value(Value::Object(request))
        .map_err(|error| format!("the arguments of {name} are not right: {error}"))?;
    if let ToolRequest::Run { command, timeout_seconds } = &mut request {
        if command.trim().is_empty() {
            return Err("`command` is empty".to_owned());
        }
        *timeout_seconds = timeout_seconds.map(|seconds| seconds.clamp(1, MAX_COMMAND_SECONDS));
    }
    Ok(Understood::Tool(request))
}

pub(super) fn finish(arguments: &Value) -> Result<Finish, String> {
    let finish: Finish = serde_json::from_value(arguments.clone())
        .map_err(|error| format!("the arguments of finish are not right: {error}"))?;
    let finish = Finish {
        summary: finish.summary.trim().to_owned(),
        commit_subject: finish.commit_subject.trim().to_owned(),
    };
    for (name, text, max) in [
        ("summary", &finish.summary, SUMMARY_MAX_CHARS),
        ("commit_subject", &finish.commit_subject, SUBJECT_MAX_CHARS),
    ] {
        if text.is_empty() || text.chars().count() > max {
            return Err(format!("`{name}` has to have 1 to {max} characters"));
        }
    }
    if finish.commit_subject.contains('\n') {
        return Err("`commit_subject` has to be one line".to_owned());
    }
    Ok(finish)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edit_tools_that_a_model_was_trained_on_come_first_and_none_is_missing() {
        let style = |name: &str| EditStyle::of(name.parse::<ModelName>().ok().as_ref());
        for name in
            ["openai:gpt-5.2", "groq:openai/gpt-oss-120b", "openai:o4-mini", "azure:codex-mini-latest"]
        {
            assert_eq!(style(name), EditStyle::Patch, "{name}");
        }
        for name in ["anthropic:claude-sonnet-5-5", "gemini:gemini-3-pro", "ollama:qwen3:8b", "x:olmo-2"] {
            assert_eq!(style(name), EditStyle::Replace, "{name}");
        }
        assert_eq!(EditStyle::of(None), EditStyle::Replace);
        let names = |style| -> Vec<String> { definitions(style).into_iter().map(|tool| tool.name).collect() };
        let (patch, replace) = (names(EditStyle::Patch), names(EditStyle::Replace));
        let place = |names: &[String], name: &str| names.iter().position(|one| one == name);
        assert!(place(&patch, "apply_patch") < place(&patch, "edit_file"));
        assert!(place(&replace, "edit_file") < place(&replace, "apply_patch"));
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names
        };
        assert_eq!(sorted(patch), sorted(replace));
    }

    #[test]
    fn a_call_that_fits_its_description_is_understood() {
        let read =
            understand("read_file", &json!({"path": "a", "start": 3, "end": null})).expect("understood");
        assert_eq!(read, Understood::Tool(ToolRequest::Read { path: "a".into(), start: Some(3), end: None }));
        let run = understand("run_command", &json!({"command": "make", "timeout_seconds": 100_000}));
        let expected = ToolRequest::Run { command: "make".into(), timeout_seconds: Some(600) };
        assert_eq!(run, Ok(Understood::Tool(expected)));
    }

    #[test]
    fn a_call_that_does_not_fit_is_told_why() {
        let cases = [
            ("open_file", json!({}), "there is no tool \"open_file\"; the tools are list_files"),
            ("read_file", json!({}), "missing field `path`"),
            ("read_file", json!({"path": 1}), "expected a string"),
            ("read_file", json!({"path": "a", "line": 1}), "unknown field `line`"),
            ("read_file", json!("a"), "have to be an object"),
            ("read_file", json!({"path": "a", "tool": "delete"}), "no argument `tool`"),
            ("run_command", json!({"command": " "}), "is empty"),
            ("finish", json!({"summary": "", "commit_subject": "x"}), "`summary` has to have"),
            ("finish", json!({"summary": "s", "commit_subject": "a\nb"}), "one line"),
        ];
        for (name, arguments, part) in cases {
            let error = understand(name, &arguments).expect_err(name);
            assert!(error.contains(part), "{name} {arguments}: {error}");
        }
    }
}
