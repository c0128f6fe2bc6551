//! The task specification: no specification, no work.

use serde::{Deserialize, Serialize};

use super::route::Route;
use super::template::UsedTemplate;

/// How much could break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    Low,
    Medium,
    High,
}

/// How much work it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Size {
    Small,
    Medium,
    Large,
}

/// How urgent it is. The order is the rank: `High` is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    Low,
    Normal,
    High,
}

/// What kind of end the task has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workflow {
    /// Ends in a pull request.
    Coding,
    /// Ends in an answer that was thought through: by a solver, a critic and a verifier.
    Reasoning,
    /// The same, and the solver computes with Python in a sandbox.
    Science,
    /// Ends in an answer from the repository, with places that are checked.
    RagQa,
}

impl Workflow {
    pub const ALL: [Self; 4] = [Self::Coding, Self::Reasoning, Self::Science, Self::RagQa];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Coding => "coding",
            Self::Reasoning => "reasoning",
            Self::Science => "science",
            Self::RagQa => "rag_qa",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|workflow| workflow.as_str() == name)
    }

    /// Whether it changes nothing and ends in words.
    pub fn ends_in_answer(self) -> bool {
        self != Self::Coding
    }
}

/// What is to be done, precisely enough to be approved and to be judged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSpecification {
    /// One line, fit for a commit's subject and a branch name.
    pub title: String,
    pub objective: String,
    pub requirements: Vec<String>,
    #[serde(default)]
    pub constraints: Vec<String>,
    pub acceptance_criteria: Vec<String>,
    #[serde(default)]
    pub likely_files: Vec<String>,
    /// Files that are protected and that the task has to change all the same, each by its exact path. An
    /// approval of the plan opens these and no others.
    #[serde(default)]
    pub protected_files: Vec<String>,
    /// Tests and settings of gates that are there already and that the task is about, each by its exact
    /// path: only in these may tests be removed or expect something else.
    #[serde(default)]
    pub altered_tests: Vec<String>,
    pub workflow: Workflow,
    pub risk: Risk,
    pub size: Size,
    pub priority: Priority,
    /// Indexes, from 0, of tasks of the same plan that have to be merged before.
    #[serde(default)]
    pub depends_on: Vec<usize>,
    #[serde(default, skip_serializing_if = "Preparation::is_empty")]
    pub prepared: Preparation,
}

/// What was worked out about a task before it was put before people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preparation {
    /// The short design of a large task; empty for any other.
    pub design: String,
    /// `None`: no router was asked.
    pub route: Option<Route>,
    /// The repository's template that the task has entries of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<UsedTemplate>,
    /// What labels and the repository's rules came to, where people have to know: one sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

impl Preparation {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a specification lacks, in words for whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct SpecificationFaults(pub Vec<SpecificationFault>);

/// One thing that is wrong with a field, or with an entry of one, such as `requirements[2]`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}` {problem}")]
pub struct SpecificationFault {
    pub key: String,
    pub problem: String,
}

/// Longest title, in characters: a commit's subject has to carry it.
pub const TITLE_MAX_CHARS: usize = 100;
/// Longest entry of a list or objective, in characters.
pub const TEXT_MAX_CHARS: usize = 2_000;
/// Longest design, in characters.
pub const DESIGN_MAX_CHARS: usize = 4_000;
/// Most entries in a list.
pub const LIST_MAX_ENTRIES: usize = 30;
/// Most tasks in one plan.
pub const PLAN_MAX_TASKS: usize = 10;

impl TaskSpecification {
    /// A question as a task of its own.
    pub fn question(text: &str, workflow: Workflow) -> Self {
        let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or(text).trim();
        Self {
            title: line.chars().take(TITLE_MAX_CHARS).collect(),
            objective: text.to_owned(),
            requirements: vec!["The question is answered.".to_owned()],
            constraints: Vec::new(),
            acceptance_criteria: vec!["The answer says what it rests on.".to_owned()],
            likely_files: Vec::new(),
            protected_files: Vec::new(),
            altered_tests: Vec::new(),
            workflow,
            risk: Risk::Low,
            size: Size::Small,
            priority: Priority::Normal,
            depends_on: Vec::new(),
            prepared: Preparation::default(),
        }
    }

    /// The same with each of its texts changed in the same way.
    pub fn map_texts(self, change: impl Fn(&str) -> String) -> Self {
        let all = |texts: Vec<String>| texts.iter().map(|text| change(text)).collect();
        Self {
            title: change(&self.title),
            objective: change(&self.objective),
            requirements: all(self.requirements),
            constraints: all(self.constraints),
            acceptance_criteria: all(self.acceptance_criteria),
            likely_files: all(self.likely_files),
            ..self
        }
    }

    /// Checks everything at once, so that one answer names all faults.
    pub fn validate(&self, index: usize, tasks_in_plan: usize) -> Result<(), SpecificationFaults> {
        let mut faults = Vec::new();
        text(&mut faults, "title", &self.title, TITLE_MAX_CHARS);
        if self.title.contains('\n') {
            fault(&mut faults, "title", "has to be one line");
        }
        text(&mut faults, "objective", &self.objective, TEXT_MAX_CHARS);
        list(&mut faults, "requirements", &self.requirements, 1);
        list(&mut faults, "constraints", &self.constraints, 0);
        list(&mut faults, "acceptance_criteria", &self.acceptance_criteria, 1);
        list(&mut faults, "likely_files", &self.likely_files, 0);
        paths(&mut faults, "protected_files", &self.protected_files);
        paths(&mut faults, "altered_tests", &self.altered_tests);
        for &dependency in &self.depends_on {
            if dependency == index {
                fault(&mut faults, "depends_on", "names the task itself");
            } else if dependency >= tasks_in_plan {
                let problem = format!("names task {dependency}, the plan has {tasks_in_plan}");
                fault(&mut faults, "depends_on", problem);
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(SpecificationFaults(faults)) }
    }
}

fn fault(faults: &mut Vec<SpecificationFault>, key: &str, problem: impl Into<String>) {
    faults.push(SpecificationFault { key: key.to_owned(), problem: problem.into() });
}

fn text(faults: &mut Vec<SpecificationFault>, name: &str, value: &str, max_chars: usize) {
    if value.trim().is_empty() {
        fault(faults, name, "is empty");
    } else if value.chars().count() > max_chars {
        fault(faults, name, format!("is longer than {max_chars} characters"));
    }
}

fn list(faults: &mut Vec<SpecificationFault>, name: &str, entries: &[String], at_least: usize) {
    if entries.len() < at_least {
        fault(faults, name, format!("needs at least {at_least} entry"));
    }
    if entries.len() > LIST_MAX_ENTRIES {
        fault(faults, name, format!("has more than {LIST_MAX_ENTRIES} entries"));
    }
    for (index, entry) in entries.iter().enumerate() {
        text(faults, &format!("{name}[{index}]"), entry, TEXT_MAX_CHARS);
    }
}

/// What a person approves has to say which files are meant: no pattern, no folder.
fn paths(faults: &mut Vec<SpecificationFault>, name: &str, entries: &[String]) {
    list(faults, name, entries, 0);
    for (index, entry) in entries.iter().enumerate() {
        let parts = || entry.split('/');
        let relative = parts().all(|part| !matches!(part, "" | "." | ".."));
        if !relative || entry.contains(|c: char| "*?[]{}\\".contains(c) || c.is_control()) {
            let problem = format!(
                "is {entry:?}; it has to be the exact path of one file, relative to the repository's root, \
                 without wildcards"
            );
            fault(faults, &format!("{name}[{index}]"), problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn specification() -> TaskSpecification {
        TaskSpecification {
            title: "Round half to even".into(),
            objective: "Totals agree with the ledger.".into(),
            requirements: vec!["`round` rounds half to even".into()],
            constraints: vec![],
            acceptance_criteria: vec!["the new test passes".into()],
            likely_files: vec!["src/round.rs".into()],
            protected_files: vec![".github/workflows/ci.yml".into()],
            altered_tests: vec![],
            workflow: Workflow::Coding,
            risk: Risk::Low,
            size: Size::Small,
            priority: Priority::Normal,
            depends_on: vec![],
            prepared: Preparation::default(),
        }
    }

    #[test]
    fn a_whole_specification_is_valid() {
        assert_eq!(specification().validate(0, 1), Ok(()));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let faulty = TaskSpecification {
            title: " ".into(),
            acceptance_criteria: vec![],
            depends_on: vec![0, 7],
            ..specification()
        };
        let faults = faulty.validate(0, 2).expect_err("faulty").0;
        assert_eq!(faults.len(), 4, "{faults:?}");
    }

    #[test]
    fn what_a_plan_opens_is_named_file_by_file() {
        for path in
            [".github/**", "a*", "/etc/passwd", "../x", "./a", "a/", "a//b", "a\nb", "{a,b}", "a\\b", ""]
        {
            for name in ["protected_files", "altered_tests"] {
                let mut task = serde_json::to_value(specification()).expect("serialises");
                task[name] = serde_json::json!(["tests/a.rs", path]);
                let task: TaskSpecification = serde_json::from_value(task).expect("a task");
                let faults = task.validate(0, 1).expect_err(path).0;
                assert!(faults.iter().any(|fault| fault.key == format!("{name}[1]")), "{path:?}: {faults:?}");
            }
        }
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let mut value = serde_json::to_value(specification()).expect("serialises");
        value["workfow"] = "coding".into();
        assert!(serde_json::from_value::<TaskSpecification>(value).is_err());
    }
}
