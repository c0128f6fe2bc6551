//! Templates of specifications that a repository has in `.orchestrator/templates/`, read from its default branch.
//! Strangers may write these files: they are bounded in number and size, and `${…}` in them is plain text.

use std::path::Path;

use serde::Deserialize;

use super::document::Document;
use super::error::ConfigError;
use super::keys::template_keys;
use super::resolve::{check_reviewers, is_reviewer_name};
use super::task_file::Named;
use crate::domain::{TEXT_MAX_CHARS, Template};

/// Where a repository's templates are, one file `NAME.yaml` each.
pub const TEMPLATES_FOLDER: &str = ".orchestrator/templates/";
/// Most templates of a repository: the model that reads an issue is shown all of them.
pub const MOST_TEMPLATES: usize = 12;
/// The largest file, in bytes.
pub const TEMPLATE_MAX_BYTES: usize = 8 * 1024;
/// Most entries that a template adds to a list: a task needs room for its own.
const MOST_ENTRIES: usize = 10;
/// As many questions as people are asked at once.
const MOST_QUESTIONS: usize = 5;
const WHEN_MAX_CHARS: usize = 1_000;
const QUESTION_MAX_CHARS: usize = 500;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TemplateFile {
    when: Option<String>,
    label: Option<String>,
    requirements: Option<Vec<String>>,
    constraints: Option<Vec<String>>,
    acceptance_criteria: Option<Vec<String>>,
    workflow: Option<String>,
    reviewers: Option<Vec<String>>,
    questions: Option<Vec<String>>,
}

/// The name of the template that a file of a repository is, where it lies and ends as one. Other files of the
/// folder are no templates.
///
/// # Errors
/// Why a file that looks like a template cannot be one.
pub fn template_of_file(path: &str) -> Result<Option<&str>, String> {
    let Some(file) = path.strip_prefix(TEMPLATES_FOLDER).filter(|file| !file.contains('/')) else {
        return Ok(None);
    };
    if let Some(name) = file.strip_suffix(".yml") {
        return Err(format!("a template's file ends in .yaml: call it {TEMPLATES_FOLDER}{name}.yaml"));
    }
    match file.strip_suffix(".yaml") {
        Some(name) if is_reviewer_name(name) => Ok(Some(name)),
        Some(_) => {
            Err("a template's name is made of a-z, 0-9, - and _, and has 40 characters at most".into())
        }
        None => Ok(None),
    }
}

/// Reads the template `name`; `path` is the file's path in errors.
///
/// # Errors
/// The first thing that is wrong, with key, line and the nearest right key.
pub fn parse_template(name: &str, path: &str, text: &str) -> Result<Template, ConfigError> {
    let path = Path::new(path);
    if text.len() > TEMPLATE_MAX_BYTES {
        let problem = format!("the file is larger than {TEMPLATE_MAX_BYTES} bytes");
        return Err(ConfigError::new(problem).in_file(path));
    }
    let document = Document::index(path, text)?;
    let file: TemplateFile = document.parse(text, None, template_keys())?;
    let list = |key: &str, entries: Option<Vec<String>>, (most, max_chars): (usize, usize)| {
        checked(&document, key, entries.unwrap_or_default(), (most, max_chars))
    };
    let entries =
        |key: &str, written: Option<Vec<String>>| list(key, written, (MOST_ENTRIES, TEXT_MAX_CHARS));
    let when = file
        .when
        .filter(|when| !when.trim().is_empty())
        .ok_or_else(|| document.error("when", "every template says what kind of task it is for"))?;
    let when = list("when", Some(vec![when]), (1, WHEN_MAX_CHARS))?.concat();
    if file.label.as_deref().is_some_and(|label| label.trim().is_empty()) {
        return Err(document.error("label", "must not be empty"));
    }
    if let Some(names) = &file.reviewers {
        check_reviewers(names).map_err(|problem| document.error("reviewers", problem))?;
    }
    Ok(Template {
        name: name.to_owned(),
        when,
        label: file.label.map(|label| label.trim().to_owned()),
        requirements: entries("requirements", file.requirements)?,
        constraints: entries("constraints", file.constraints)?,
        acceptance_criteria: entries("acceptance_criteria", file.acceptance_criteria)?,
        workflow: file.workflow.map(|name| Named(&document).workflow(&name)).transpose()?,
        reviewers: file.reviewers.unwrap_or_default(),
        questions: list("questions", file.questions, (MOST_QUESTIONS, QUESTION_MAX_CHARS))?,
    })
}

/// Entries without white space around them.
fn checked(
    document: &Document,
    key: &str,
    entries: Vec<String>,
    (most, max_chars): (usize, usize),
) -> Result<Vec<String>, ConfigError> {
    if entries.len() > most {
        return Err(document.error(key, format!("has more than {most} entries")));
    }
    let mut all = Vec::with_capacity(entries.len());
    for (index, entry) in entries.iter().map(|entry| entry.trim()).enumerate() {
        let place = if key == "when" { key.to_owned() } else { format!("{key}[{index}]") };
        if entry.is_empty() {
            return Err(document.error(&place, "is empty"));
        }
        if entry.chars().count() > max_chars {
            return Err(document.error(&place, format!("is longer than {max_chars} characters")));
        }
        all.push(entry.to_owned());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Workflow;

    const PATH: &str = ".orchestrator/templates/docs.yaml";
    const WHOLE: &str = "when: Documentation.\nlabel: docs\nrequirements:\n  - Examples run.\n\
                         workflow: coding\nreviewers: [tone]\nquestions: [Who reads it?]\n";

    #[test]
    fn a_file_is_read() {
        let template = parse_template("docs", PATH, WHOLE).expect("whole");
        let expected = Template {
            name: "docs".into(),
            when: "Documentation.".into(),
            label: Some("docs".into()),
            requirements: vec!["Examples run.".into()],
            workflow: Some(Workflow::Coding),
            reviewers: vec!["tone".into()],
            questions: vec!["Who reads it?".into()],
            ..Template::default()
        };
        assert_eq!(template, expected);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let long = "x".repeat(TEXT_MAX_CHARS + 1);
        let cases = [
            (WHOLE.replace("when: Documentation.\n", ""), "docs.yaml: `when`: every template says"),
            (String::new(), "docs.yaml: `when`: every template says"),
            (
                WHOLE.replace("reviewers", "reviewer"),
                "docs.yaml:6:1: `reviewer`: unknown key; did you mean `rev",
            ),
            (WHOLE.replace("Examples run.", "''"), "docs.yaml:4:5: `requirements[0]`: is empty"),
            (WHOLE.replace("Examples run.", &long), "docs.yaml:4:5: `requirements[0]`: is longer than 2000"),
            (WHOLE.replace("[tone]", "[]"), "docs.yaml:6:12: `reviewers`: name at least one reviewer"),
            (WHOLE.replace("[tone]", "[../x]"), "docs.yaml:6:12: `reviewers`: a reviewer's name is made of"),
            (
                WHOLE.replace("workflow: coding", "workflow: code"),
                "docs.yaml:5:11: `workflow`: expected one of",
            ),
            (WHOLE.replace("label: docs", "label: ' '"), "docs.yaml:2:8: `label`: must not be empty"),
            (
                WHOLE.replace("[Who reads it?]", "[a, b, c, d, e, f]"),
                "docs.yaml:7:12: `questions`: has more than 5 entries",
            ),
            (
                format!("{WHOLE}# {}", "x".repeat(TEMPLATE_MAX_BYTES)),
                "docs.yaml: the file is larger than 8192 bytes",
            ),
        ];
        for (text, part) in cases {
            let error = parse_template("docs", PATH, &text).expect_err(part).to_string();
            assert!(error.starts_with(&format!("{TEMPLATES_FOLDER}{part}")), "{part:?}: {error}");
        }
    }

    #[test]
    fn a_file_is_a_template_by_its_place_and_its_name() {
        assert_eq!(template_of_file(PATH), Ok(Some("docs")));
        for other in
            ["docs.yaml", ".orchestrator/templates/README.md", ".orchestrator/templates/old/docs.yaml"]
        {
            assert_eq!(template_of_file(other), Ok(None), "{other}");
        }
        for wrong in ["docs.yml", "My Docs.yaml", ".yaml"] {
            template_of_file(&format!("{TEMPLATES_FOLDER}{wrong}")).expect_err(wrong);
        }
    }

    /// Those that the documentation offers for use as they are.
    #[test]
    fn the_examples_are_templates() {
        let examples = [
            ("docs", include_str!("../../docs/templates/docs.yaml")),
            ("data", include_str!("../../docs/templates/data.yaml")),
            ("tests", include_str!("../../docs/templates/tests.yaml")),
        ];
        for (name, text) in examples {
            let template = parse_template(name, name, text).expect(name);
            let lists = [&template.requirements, &template.acceptance_criteria, &template.questions];
            assert!(lists.iter().all(|list| !list.is_empty()) && template.label.is_some(), "{template:?}");
        }
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/templates");
        assert_eq!(std::fs::read_dir(folder).expect("a folder").count(), examples.len(), "each is held here");
        let documented = include_str!("../../docs/templates.md");
        for key in template_keys() {
            assert!(documented.contains(&format!("`{key}`")), "docs/templates.md does not explain {key}");
        }
    }
}
