//! Templates of specifications: what a repository's maintainers ask of every task of a kind, besides what the task
//! says itself. A model, a label or a person names one; its entries are added here, so that nobody can leave them out.

use serde::{Deserialize, Serialize};

use super::specification::{LIST_MAX_ENTRIES, TaskSpecification, Workflow};

/// One template, by the maintainers' words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Template {
    pub name: String,
    /// What kind of task it is for.
    pub when: String,
    /// An issue with this label uses it, whatever a model says.
    pub label: Option<String>,
    pub requirements: Vec<String>,
    pub constraints: Vec<String>,
    pub acceptance_criteria: Vec<String>,
    /// `None`: as the task needs.
    pub workflow: Option<Workflow>,
    /// Who reviews the change; empty: as for any other.
    pub reviewers: Vec<String>,
    /// What an issue of this kind has to say.
    pub questions: Vec<String>,
}

/// What a task has from its template, as far as it decides how it is worked on. Part of what is approved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedTemplate {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Workflow>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reviewers: Vec<String>,
}

/// The templates of a repository, as one of its issues sees them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Templates {
    all: Vec<Template>,
    /// Indexes of those whose label the issue has.
    labelled: Vec<usize>,
}

impl Templates {
    /// In the order of their names, so that nothing depends on how they were found.
    pub fn new(mut all: Vec<Template>) -> Self {
        all.sort_by(|one, other| one.name.cmp(&other.name));
        Self { all, labelled: Vec::new() }
    }

    /// The same for an issue with these labels. GitHub compares labels without regard to case.
    #[must_use]
    pub fn for_labels(mut self, labels: &[String]) -> Self {
        let has = |wanted: &str| labels.iter().any(|label| label.eq_ignore_ascii_case(wanted));
        let labelled = self.all.iter().enumerate();
        let labelled = labelled.filter(|(_, template)| template.label.as_deref().is_some_and(has));
        self.labelled = labelled.map(|(index, _)| index).collect();
        self
    }

    pub fn all(&self) -> &[Template] {
        &self.all
    }

    /// Those that the labels ask for.
    pub fn labelled(&self) -> impl Iterator<Item = &Template> {
        self.labelled.iter().map(|&index| &self.all[index])
    }

    /// The template of a task for which `named` was said. A label goes before what was said: of several templates
    /// that labels ask for, the named one counts, else the first.
    ///
    /// # Errors
    /// In words for whoever named it, where there is none of this name.
    pub fn chosen(&self, named: Option<&str>) -> Result<Option<&Template>, String> {
        let found = match named {
            None => None,
            Some(name) => {
                let found = self.all.iter().find(|template| template.name == name);
                Some(found.ok_or_else(|| self.unknown(name))?)
            }
        };
        let labelled = self.labelled().find(|template| found == Some(*template));
        Ok(labelled.or_else(|| self.labelled().next()).or(found))
    }

    fn unknown(&self, name: &str) -> String {
        if self.all.is_empty() {
            return format!("`template` is {name:?}, and the repository has no templates");
        }
        let known: Vec<&str> = self.all.iter().map(|template| template.name.as_str()).collect();
        format!("`template` is {name:?}; the templates are {}", known.join(", "))
    }
}

impl Template {
    /// Adds what the template asks for, but for what the task says itself.
    ///
    /// # Errors
    /// In words for whoever wrote the task, where a list becomes too long.
    pub fn add_to(&self, task: &mut TaskSpecification) -> Result<(), Vec<String>> {
        let mut faults = Vec::new();
        for (name, own, entries) in [
            ("requirements", &mut task.requirements, &self.requirements),
            ("constraints", &mut task.constraints, &self.constraints),
            ("acceptance_criteria", &mut task.acceptance_criteria, &self.acceptance_criteria),
        ] {
            for entry in entries {
                if !own.iter().any(|other| same(other, entry)) {
                    own.push(entry.clone());
                }
            }
            if own.len() > LIST_MAX_ENTRIES {
                faults.push(format!(
                    "`{name}` has {} entries with those that the template `{}` adds; {LIST_MAX_ENTRIES} is the most",
                    own.len(),
                    self.name
                ));
            }
        }
        if let Some(workflow) = self.workflow {
            task.workflow = workflow;
        }
        task.prepared.template = Some(UsedTemplate {
            name: self.name.clone(),
            workflow: self.workflow,
            reviewers: self.reviewers.clone(),
        });
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// Whether two entries say the same in the same words: white space, case and a full stop at the end tell nothing.
fn same(one: &str, other: &str) -> bool {
    let plain = |text: &str| {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        words.join(" ").trim_end_matches('.').to_owned()
    };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(name: &str, label: Option<&str>) -> Template {
        Template { name: name.into(), label: label.map(str::to_owned), ..Template::default() }
    }

    fn task() -> TaskSpecification {
        let mut task = TaskSpecification::question("What?", Workflow::Coding);
        task.requirements = vec!["Say  what the flag does.".into()];
        task
    }

    #[test]
    fn entries_are_added_once_and_stand_behind_the_tasks_own() {
        let mut docs = template("docs", None);
        docs.requirements = vec!["say what the flag does".into(), "Examples run.".into()];
        docs.constraints = vec!["No code changes.".into()];
        docs.acceptance_criteria = vec!["Links work.".into()];
        docs.reviewers = vec!["tone".into()];
        docs.workflow = Some(Workflow::RagQa);
        let mut changed = task();
        docs.add_to(&mut changed).expect("there is room");
        assert_eq!(changed.requirements, ["Say  what the flag does.", "Examples run."]);
        assert_eq!(changed.constraints, ["No code changes."]);
        assert_eq!(changed.acceptance_criteria, ["The answer says what it rests on.", "Links work."]);
        assert_eq!(changed.workflow, Workflow::RagQa);
        let used = changed.prepared.template.clone().expect("noted");
        assert_eq!((used.name.as_str(), used.reviewers.as_slice()), ("docs", &["tone".to_owned()][..]));
        let once = changed.clone();
        docs.add_to(&mut changed).expect("there is room");
        assert_eq!(changed, once, "a second time adds nothing");
    }

    #[test]
    fn a_list_that_would_be_too_long_is_told() {
        let mut docs = template("docs", None);
        docs.requirements = vec!["One more.".into(), "And another.".into()];
        let mut full = task();
        full.requirements = (0..LIST_MAX_ENTRIES - 1).map(|number| format!("r{number}")).collect();
        let faults = docs.add_to(&mut full).expect_err("too long");
        let told = "`requirements` has 31 entries with those that the template `docs` adds; 30 is the most";
        assert_eq!(faults, [told]);
    }

    #[test]
    fn a_label_goes_before_what_was_said() {
        let all = vec![
            template("tests", Some("tests")),
            template("data", None),
            template("docs", Some("Documentation")),
        ];
        let name = |templates: &Templates, named: Option<&str>| {
            templates.chosen(named).expect("known").map(|template| template.name.clone())
        };
        let plain = Templates::new(all.clone());
        assert_eq!((name(&plain, None), name(&plain, Some("data"))), (None, Some("data".into())));
        let one = Templates::new(all.clone()).for_labels(&["documentation".into(), "auto".into()]);
        assert_eq!((name(&one, None), name(&one, Some("data"))), (Some("docs".into()), Some("docs".into())));
        let two = Templates::new(all).for_labels(&["documentation".into(), "tests".into()]);
        assert_eq!(
            (name(&two, None), name(&two, Some("tests"))),
            (Some("docs".into()), Some("tests".into()))
        );
        assert_eq!(name(&two, Some("data")), Some("docs".into()));
    }

    /// What was stored before there were templates is read, and is written as it was.
    #[test]
    fn a_task_without_a_template_is_stored_as_it_was_before_there_were_any() {
        let mut designed = task();
        designed.prepared.design = "A table.".into();
        let stored = serde_json::to_value(&designed).expect("serialises");
        assert_eq!(stored["prepared"], serde_json::json!({"design": "A table.", "route": null}));
        assert_eq!(serde_json::from_value::<TaskSpecification>(stored).expect("read"), designed);
        let mut docs = template("docs", None);
        docs.reviewers = vec!["tone".into()];
        docs.add_to(&mut designed).expect("there is room");
        let stored = serde_json::to_value(&designed).expect("serialises");
        assert_eq!(serde_json::from_value::<TaskSpecification>(stored).expect("read"), designed);
    }

    #[test]
    fn an_unknown_name_is_answered_with_those_that_there_are() {
        let templates = Templates::new(vec![template("tests", None), template("docs", None)]);
        let told = templates.chosen(Some("dosc")).expect_err("unknown");
        assert_eq!(told, "`template` is \"dosc\"; the templates are docs, tests");
        let none = Templates::default().chosen(Some("docs")).expect_err("unknown");
        assert!(none.contains("has no templates"), "{none}");
    }
}
