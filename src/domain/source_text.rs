//! The text that a task is made from, and the digests that an approval binds.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ids::{Account, CommentId};
use super::route::Route;
use super::specification::{TaskSpecification, Workflow};
use super::template::UsedTemplate;

/// A comment of the issue that the model read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceComment {
    pub id: CommentId,
    pub author: Account,
    pub body: String,
}

/// Every byte of the issue that the model read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceText {
    pub title: String,
    pub body: String,
    pub comments: Vec<SourceComment>,
}

/// A SHA-256 over text that somebody approved or is asked to approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TextDigest([u8; 32]);

impl TextDigest {
    /// The first half, enough to tell two texts apart in a comment.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..8])
    }
}

impl fmt::Display for TextDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for TextDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TextDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(&text, &mut bytes)
            .map_err(|error| serde::de::Error::custom(format!("not a SHA-256 in hex: {error}")))?;
        Ok(Self(bytes))
    }
}

/// Hashes fields so that no two different lists of fields give the same bytes: each is preceded by
/// its length.
struct FieldHash(Sha256);

impl FieldHash {
    fn new(purpose: &str) -> Self {
        let mut hash = Self(Sha256::new());
        hash.field(purpose.as_bytes());
        hash
    }

    fn field(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn finish(self) -> TextDigest {
        TextDigest(self.0.finalize().into())
    }
}

impl SourceText {
    /// Over title, body and each comment with its id and author's id, in order. Logins are left out:
    /// renaming an account changes no word of the text.
    pub fn digest(&self) -> TextDigest {
        let mut hash = FieldHash::new("source text");
        hash.field(self.title.as_bytes());
        hash.field(self.body.as_bytes());
        for comment in &self.comments {
            hash.field(&comment.id.0.to_be_bytes());
            hash.field(&comment.author.id.0.to_be_bytes());
            hash.field(comment.body.as_bytes());
        }
        hash.finish()
    }

    /// The same text with only those comments that `ids` names: what an approval of an earlier
    /// reading covers, whatever was said since.
    pub fn restricted_to(&self, ids: &[CommentId]) -> Self {
        let comments = self.comments.iter().filter(|comment| ids.contains(&comment.id)).cloned().collect();
        Self { comments, ..self.clone() }
    }

    pub fn comment_ids(&self) -> Vec<CommentId> {
        self.comments.iter().map(|comment| comment.id).collect()
    }
}

/// What an approval of a plan binds: the text it came from and the task as it was understood, field by
/// field.
pub fn plan_digest(source: TextDigest, specification: &TaskSpecification) -> TextDigest {
    let TaskSpecification {
        title,
        objective,
        requirements,
        constraints,
        acceptance_criteria,
        likely_files,
        protected_files,
        altered_tests,
        workflow,
        risk,
        size,
        priority,
        depends_on,
        prepared,
    } = specification;
    let mut hash = FieldHash::new("plan");
    hash.field(&source.0);
    hash.field(title.as_bytes());
    hash.field(objective.as_bytes());
    for list in [requirements, constraints, acceptance_criteria, likely_files] {
        hash.field(&(list.len() as u64).to_be_bytes());
        list.iter().for_each(|entry| hash.field(entry.as_bytes()));
    }
    hash.field(&[*workflow as u8, *risk as u8, *size as u8, *priority as u8]);
    depends_on.iter().for_each(|&index| hash.field(&(index as u64).to_be_bytes()));
    // Plans from before these lists existed keep their digest, and so their approval.
    for (name, list) in [("protected files", protected_files), ("altered tests", altered_tests)] {
        if !list.is_empty() {
            hash.field(name.as_bytes());
            hash.field(&(list.len() as u64).to_be_bytes());
            list.iter().for_each(|entry| hash.field(entry.as_bytes()));
        }
    }
    if !prepared.is_empty() {
        hash.field(b"prepared");
        hash.field(prepared.design.as_bytes());
        hash_route(&mut hash, prepared.route.as_ref());
        hash_template(&mut hash, prepared.template.as_ref());
    }
    hash.finish()
}

fn hash_route(hash: &mut FieldHash, route: Option<&Route>) {
    let Some(Route { workflow, models, controls, corrected: _ }) = route else { return };
    hash.field(&[*workflow as u8, u8::from(controls.debate), controls.rounds]);
    for (role, models) in models {
        hash.field(role.as_str().as_bytes());
        models.iter().for_each(|model| hash.field(model.as_bytes()));
    }
}

/// Plans without a template keep the digest that they had before there were any.
fn hash_template(hash: &mut FieldHash, template: Option<&UsedTemplate>) {
    let Some(UsedTemplate { name, workflow, reviewers }) = template else { return };
    hash.field(b"template");
    hash.field(name.as_bytes());
    hash.field(workflow.map_or("", Workflow::as_str).as_bytes());
    reviewers.iter().for_each(|reviewer| hash.field(reviewer.as_bytes()));
}

/// A digest of a comment's body as GitHub returned it after we posted it, to notice an edit.
pub fn body_digest(body: &str) -> TextDigest {
    let mut hash = FieldHash::new("body");
    // GitHub stores bodies edited in its web form with CRLF; that alone is no edit.
    hash.field(body.replace("\r\n", "\n").trim_end().as_bytes());
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::super::ids::UserId;
    use super::super::specification::{Preparation, Priority, Risk, Size};
    use super::*;

    fn text() -> SourceText {
        let comment = |id, body: &str| SourceComment {
            id: CommentId(id),
            author: Account { id: UserId(7), login: "ada".into() },
            body: body.into(),
        };
        SourceText { title: "T".into(), body: "B".into(), comments: vec![comment(1, "x"), comment(2, "y")] }
    }

    #[test]
    fn any_changed_byte_changes_the_digest() {
        let original = text().digest();
        let mut changed = vec![text(), text(), text(), text(), text()];
        changed[0].title = "T ".into();
        changed[1].body = "B\n".into();
        changed[2].comments[1].body = "Y".into();
        changed[3].comments.swap(0, 1);
        changed[4].comments[0].author.id = UserId(8);
        for other in changed {
            assert_ne!(other.digest(), original, "{other:?}");
        }
    }

    #[test]
    fn moving_text_between_fields_changes_the_digest() {
        let one = SourceText { title: "ab".into(), body: "c".into(), comments: vec![] };
        let other = SourceText { title: "a".into(), body: "bc".into(), comments: vec![] };
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn any_changed_field_of_a_task_changes_its_digest() {
        let task = TaskSpecification {
            title: "t".into(),
            objective: "o".into(),
            requirements: vec!["r".into()],
            constraints: vec!["c".into()],
            acceptance_criteria: vec!["a".into()],
            likely_files: vec![],
            protected_files: vec![],
            altered_tests: vec!["t".into()],
            workflow: Workflow::Coding,
            risk: Risk::Low,
            size: Size::Small,
            priority: Priority::Normal,
            depends_on: vec![],
            prepared: super::super::specification::Preparation::default(),
        };
        let change = |change: fn(&mut TaskSpecification)| {
            let mut changed = task.clone();
            change(&mut changed);
            changed
        };
        let changed = [
            change(|t| t.title.push('!')),
            change(|t| t.objective.push('!')),
            change(|t| t.requirements.push("c".into())),
            change(|t| std::mem::swap(&mut t.requirements, &mut t.constraints)),
            change(|t| t.acceptance_criteria.clear()),
            change(|t| t.likely_files.push("f".into())),
            change(|t| t.protected_files.push("f".into())),
            change(|t| t.altered_tests.push("f".into())),
            change(|t| std::mem::swap(&mut t.protected_files, &mut t.altered_tests)),
            change(|t| t.risk = Risk::High),
            change(|t| t.size = Size::Large),
            change(|t| t.priority = Priority::High),
            change(|t| t.depends_on.push(0)),
            change(|t| t.prepared.template = Some(template(&[]))),
            change(|t| t.prepared.template = Some(template(&["tone"]))),
        ];
        let source = text().digest();
        let all = changed.iter().chain([&task]).map(|task| plan_digest(source, task).to_string());
        let all: std::collections::BTreeSet<_> = all.collect();
        assert_eq!(all.len(), changed.len() + 1, "{changed:?}");
    }

    fn template(reviewers: &[&str]) -> UsedTemplate {
        let reviewers = reviewers.iter().map(|name| (*name).to_owned()).collect();
        UsedTemplate { name: "docs".into(), workflow: None, reviewers }
    }

    #[test]
    fn lists_that_a_plan_leaves_empty_leave_its_digest_as_it_was_before_there_were_any() {
        let before = "a59f6600ca8bf1119e83e841c511fafc036bc83ddcdc09721db6dd3a9a2692c8";
        let task = TaskSpecification {
            title: "t".into(),
            objective: "o".into(),
            requirements: vec!["r".into()],
            constraints: vec![],
            acceptance_criteria: vec!["a".into()],
            likely_files: vec![],
            protected_files: vec![],
            altered_tests: vec![],
            workflow: Workflow::Coding,
            risk: Risk::Low,
            size: Size::Small,
            priority: Priority::Normal,
            depends_on: vec![],
            prepared: super::super::specification::Preparation::default(),
        };
        assert_eq!(plan_digest(text().digest(), &task).to_string(), before);
        let before_templates = "b2caf09825c25a322ef5879de3ebe6ae51067e36d9a2a51e1d4d6adb121593f1";
        let designed = Preparation { design: "d".into(), ..Preparation::default() };
        let task = TaskSpecification { prepared: designed, ..task };
        assert_eq!(plan_digest(text().digest(), &task).to_string(), before_templates);
    }

    #[test]
    fn later_comments_lie_outside_of_a_reading() {
        let mut later = text();
        later.comments.push(SourceComment { id: CommentId(3), ..later.comments[0].clone() });
        assert_eq!(later.restricted_to(&text().comment_ids()).digest(), text().digest());
    }

    #[test]
    fn a_renamed_author_does_not_void_an_approval() {
        let mut renamed = text();
        renamed.comments[0].author.login = "lovelace".into();
        assert_eq!(renamed.digest(), text().digest());
    }
}
