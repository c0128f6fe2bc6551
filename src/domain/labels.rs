//! A label beside the starting one that names the workflow: `auto:science`.

use super::specification::Workflow;

/// What an issue's labels say of its workflow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelledWorkflow {
    /// `None`: they name none, or none that counts.
    pub workflow: Option<Workflow>,
    /// What people have to know about it, one sentence each.
    pub notes: Vec<String>,
}

/// Longest label that a note quotes, in characters: GitHub allows 50.
const QUOTED_MAX_CHARS: usize = 60;

impl LabelledWorkflow {
    /// Of labels `start:workflow`. Case is of no account, as on GitHub. Labels that contradict each other, and
    /// one that names a workflow outside of `allowed`, do not count, and are told.
    pub fn of(labels: &[String], start: &str, allowed: &[Workflow]) -> Self {
        let mut read = Self::default();
        let mut named: Vec<(&str, Workflow)> = Vec::new();
        for label in labels {
            let Some(name) = after(label, start) else { continue };
            match Workflow::named(&name) {
                Some(workflow) => named.push((label, workflow)),
                None => {
                    let known = listed(&Workflow::ALL);
                    let label = quoted(label);
                    read.notes.push(format!(
                        "The label {label} names no workflow and does not count; there are {known}."
                    ));
                }
            }
        }
        let Some(&(label, workflow)) = named.first() else { return read };
        if named.iter().any(|(_, other)| *other != workflow) {
            let all: Vec<String> = named.iter().map(|(label, _)| quoted(label)).collect();
            read.notes.push(format!(
                "The labels {} contradict each other, so none of them counts.",
                all.join(" and ")
            ));
        } else if !allowed.contains(&workflow) {
            let (label, allowed) = (quoted(label), listed(allowed));
            read.notes.push(format!(
                "The label {label} names a workflow that is not allowed here and does not count; allowed are {allowed}."
            ));
        } else {
            read.notes.push(format!("The label {} names the workflow; no router was asked.", quoted(label)));
            read.workflow = Some(workflow);
        }
        read
    }
}

/// What follows the starting label and a colon, in lower case.
fn after(label: &str, start: &str) -> Option<String> {
    let (label, start) = (label.to_lowercase(), format!("{}:", start.to_lowercase()));
    label.strip_prefix(&start).map(|name| name.trim().to_owned())
}

fn listed(workflows: &[Workflow]) -> String {
    workflows.iter().map(|workflow| workflow.as_str()).collect::<Vec<_>>().join(", ")
}

fn quoted(label: &str) -> String {
    let plain = |c: &char| !c.is_control() && *c != '`';
    format!("`{}`", label.chars().filter(plain).take(QUOTED_MAX_CHARS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &[&str], allowed: &[Workflow]) -> (Option<Workflow>, String) {
        let labels: Vec<String> = labels.iter().map(|label| (*label).to_owned()).collect();
        let read = LabelledWorkflow::of(&labels, "auto", allowed);
        (read.workflow, read.notes.join("\n"))
    }

    #[test]
    fn a_label_names_the_workflow_whatever_its_case() {
        for label in ["auto:science", "Auto:Science", "AUTO: science"] {
            let (workflow, notes) = read(&["bug", "auto", label], &Workflow::ALL);
            assert_eq!(workflow, Some(Workflow::Science), "{label}");
            assert!(notes.contains(label), "{notes}");
        }
        let none = ["auto", "science", "automatic:science", "robot:science"];
        assert_eq!(read(&none, &Workflow::ALL), (None, String::new()));
    }

    #[test]
    fn what_does_not_count_is_told() {
        let cases: [(&[&str], &[Workflow], &str); 3] = [
            (&["auto:poetry"], &Workflow::ALL, "`auto:poetry` names no workflow"),
            (&["auto:science"], &[Workflow::Coding, Workflow::RagQa], "allowed are coding, rag_qa"),
            (
                &["auto:science", "auto:reasoning"],
                &Workflow::ALL,
                "`auto:science` and `auto:reasoning` contradict each other",
            ),
        ];
        for (labels, allowed, part) in cases {
            let (workflow, notes) = read(labels, allowed);
            assert_eq!(workflow, None, "{labels:?}");
            assert!(notes.contains(part), "{part}: {notes}");
        }
        let (workflow, _) = read(&["auto:poetry", "auto:coding"], &Workflow::ALL);
        assert_eq!(
            workflow,
            Some(Workflow::Coding),
            "a label that says nothing does not contradict one that does"
        );
    }
}
