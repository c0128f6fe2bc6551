//! The templates of a task's repository, read from the base: a change cannot alter what is asked of it.

use crate::config::{MOST_TEMPLATES, TEMPLATE_MAX_BYTES, TEMPLATES_FOLDER, parse_template, template_of_file};
use crate::domain::{Reason, TaskSpecification, Template, Templates, WrittenTask};
use crate::workspace::{Content, ContentReader, FileMode, Snapshot};

use super::StageError;
use super::reviewers::described;

/// The specification that a person wrote, with what its template adds.
pub(super) fn specification_given(
    given: &WrittenTask,
    templates: &Templates,
) -> Result<TaskSpecification, StageError> {
    let mut specification = given.specification();
    let template = templates.chosen(given.template.as_deref());
    let Some(template) = template.map_err(|fault| refused(format!("the task's {fault}")))? else {
        return Ok(specification);
    };
    if let (Some(written), Some(only)) = (given.workflow, template.workflow)
        && written != only
    {
        return Err(refused(format!(
            "the task's `workflow` is {}, and the template `{}` is for {}: leave one of them out",
            written.as_str(),
            template.name,
            only.as_str()
        )));
    }
    let added = template.add_to(&mut specification);
    added.map_err(|faults| refused(format!("the task's {}", faults.join("; "))))?;
    Ok(specification)
}

fn refused(detail: String) -> StageError {
    StageError::stop(Reason::RulesUnusable { detail })
}

/// The repository's templates. One that cannot be used stops the task, as a fault of the policy does: what the
/// maintainers ask of every task is not left out. `reviewers`: those that have a prompt.
pub(super) fn of_repository(files: &Snapshot, reviewers: &[String]) -> Result<Templates, StageError> {
    read(files, reviewers).map_err(refused)
}

/// # Errors
/// The first file that cannot be used, with what is wrong.
fn read(files: &Snapshot, reviewers: &[String]) -> Result<Templates, String> {
    let described = described(files);
    let mut all = Vec::new();
    for (path, entry) in &files.files {
        let path = path.as_str();
        let fault = |problem: String| format!("{path}: {problem}");
        let Some(name) = template_of_file(path).map_err(fault)? else { continue };
        if all.len() >= MOST_TEMPLATES {
            return Err(fault(format!("{TEMPLATES_FOLDER} has more than {MOST_TEMPLATES} templates")));
        }
        if entry.mode == FileMode::Symlink {
            return Err(fault("it is a symbolic link, and has to be a file".to_owned()));
        }
        let text = text_of(&entry.bytes).map_err(fault)?;
        let template = parse_template(name, path, &text).map_err(|error| error.to_string())?;
        known_reviewers(&template, &described, reviewers).map_err(fault)?;
        all.push(template);
    }
    Ok(Templates::new(all))
}

fn text_of(content: &Content) -> Result<String, String> {
    let bytes = content.len();
    if bytes > TEMPLATE_MAX_BYTES {
        return Err(format!("it has {bytes} bytes; {TEMPLATE_MAX_BYTES} is the most"));
    }
    let mut reader = ContentReader::default();
    let read = content.read(&mut reader).map_err(|error| format!("it cannot be read: {error}"))?;
    String::from_utf8(read.to_vec()).map_err(|_| "it is not UTF-8".to_owned())
}

/// Told before the work begins and not after it.
fn known_reviewers(template: &Template, described: &[&str], prompts: &[String]) -> Result<(), String> {
    let unknown = template
        .reviewers
        .iter()
        .find(|name| !described.contains(&name.as_str()) && !prompts.iter().any(|known| known == *name));
    match unknown {
        None => Ok(()),
        Some(name) => Err(format!(
            "`reviewers`: there is no reviewer {name}: neither the deployment nor the repository \
             (.orchestrator/reviewers/{name}.md) has one"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Priority, Risk, Size, Workflow};
    use crate::workspace::{FileEntry, RepoPath};

    fn tree(files: &[(String, FileMode, &str)]) -> Snapshot {
        let files = files.iter().map(|(path, mode, text)| {
            let path = RepoPath::parse(path.as_str()).expect("a path");
            (path, FileEntry { mode: *mode, bytes: text.as_bytes().into() })
        });
        Snapshot { files: files.collect() }
    }

    fn file(name: &str, text: &'static str) -> (String, FileMode, &'static str) {
        (format!("{TEMPLATES_FOLDER}{name}"), FileMode::Regular, text)
    }

    const DOCS: &str = "when: Documentation.\nacceptance_criteria: [Links work.]\nreviewers: [tone, safety]\nworkflow: coding\n";

    fn docs() -> Snapshot {
        let tone = (".orchestrator/reviewers/tone.md".to_owned(), FileMode::Regular, "Plain words.");
        tree(&[file("docs.yaml", DOCS), file("README.md", "no template"), tone])
    }

    #[test]
    fn the_files_of_the_folder_are_the_templates() {
        let templates = read(&docs(), &["safety".to_owned()]).expect("right");
        let names: Vec<_> = templates.all().iter().map(|template| template.name.as_str()).collect();
        assert_eq!(names, ["docs"]);
        assert_eq!(read(&tree(&[]), &[]), Ok(Templates::default()));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_its_fault() {
        const LONG: &str = concat!("# ", include_str!("../../docs/task.schema.json"));
        let (mut link, long) = (file("a.yaml", DOCS), LONG.repeat(4));
        link.1 = FileMode::Symlink;
        let long = (format!("{TEMPLATES_FOLDER}a.yaml"), FileMode::Regular, long.as_str());
        let cases = [
            (vec![link], "a.yaml: it is a symbolic link"),
            (vec![long], "a.yaml: it has "),
            (vec![file("a.yml", DOCS)], "a.yml: a template's file ends in .yaml"),
            (vec![file("a.yaml", "wen: x\n")], "a.yaml:1:1: `wen`: unknown key; did you mean `when`?"),
            (vec![file("a.yaml", DOCS)], "a.yaml: `reviewers`: there is no reviewer tone"),
            (
                (0..=MOST_TEMPLATES).map(|n| file(&format!("t{n:02}.yaml"), "when: Always.\n")).collect(),
                "t12.yaml: .orchestrator/templates/ has more than 12 templates",
            ),
        ];
        for (files, part) in cases {
            let fault = read(&tree(&files), &["safety".to_owned()]).expect_err(part);
            assert!(fault.starts_with(&format!("{TEMPLATES_FOLDER}{part}")), "{part:?}: {fault}");
        }
    }

    #[test]
    fn a_written_task_gets_what_its_template_adds() {
        let templates = read(&docs(), &["safety".to_owned()]).expect("right");
        let given = WrittenTask {
            title: "T".into(),
            objective: "O".into(),
            requirements: vec!["r".into()],
            constraints: vec![],
            acceptance_criteria: vec!["a".into()],
            likely_files: vec![],
            protected_files: vec![],
            altered_tests: vec![],
            workflow: None,
            risk: Risk::Low,
            size: Size::Small,
            priority: Priority::Normal,
            template: Some("docs".into()),
        };
        let added = specification_given(&given, &templates).expect("right");
        assert_eq!(added.acceptance_criteria, ["a", "Links work."]);
        assert_eq!(added.prepared.template.expect("noted").name, "docs");
        let plain = WrittenTask { template: None, ..given.clone() };
        assert!(specification_given(&plain, &templates).expect("right").prepared.is_empty());
        for (wrong, part) in [
            (WrittenTask { template: Some("dosc".into()), ..given.clone() }, "the templates are docs"),
            (WrittenTask { workflow: Some(Workflow::Science), ..given }, "the template `docs` is for coding"),
        ] {
            let refused = specification_given(&wrong, &templates).expect_err(part);
            assert!(format!("{refused:?}").contains(part), "{refused:?}");
        }
    }
}
