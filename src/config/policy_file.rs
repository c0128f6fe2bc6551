//! The shape of `.orchestrator/config.yaml` as written.

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::implementer::ImplementerPolicyFile;
use super::paths::Paths;
use super::policy::GateCommand;
use super::policy_models::ModelsPolicyFile;
use super::router::RouterPolicyFile;
use super::stages::StagesFile;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PolicyFile {
    pub label: Option<String>,
    pub gates: Option<Vec<Gate>>,
    pub setup: Option<Vec<GateCommand>>,
    pub coverage: Coverage,
    pub reviewers: Option<Vec<String>>,
    pub blocking_severities: Option<Vec<String>>,
    pub paths: Paths,
    pub mail_to: Option<Vec<String>>,
    pub implementer: ImplementerPolicyFile,
    pub workflows: Option<Vec<String>>,
    pub router: RouterPolicyFile,
    pub models: ModelsPolicyFile,
    pub stages: StagesFile,
    pub limits: PolicyLimitsFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Gate {
    pub name: Option<String>,
    pub run: Option<GateCommand>,
    pub kind: Option<String>,
    pub timeout_seconds: Option<u64>,
    pub required: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Coverage {
    pub lines_percent: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PolicyLimitsFile {
    pub gate_rounds: Option<u64>,
    pub review_rounds: Option<u64>,
    pub agent_steps: Option<u64>,
    pub stage_wall_seconds: Option<u64>,
    pub task_tokens: Option<u64>,
    pub task_usd: Option<f64>,
    pub repository_day_usd: Option<f64>,
    pub repository_day_tokens: Option<u64>,
}

impl<'de> Deserialize<'de> for GateCommand {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CommandVisitor)
    }
}

struct CommandVisitor;

impl<'de> Visitor<'de> for CommandVisitor {
    type Value = GateCommand;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a command line or a list of arguments")
    }

    fn visit_str<E>(self, line: &str) -> Result<GateCommand, E> {
        Ok(GateCommand::Shell(line.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<GateCommand, A::Error> {
        let mut arguments = Vec::new();
        while let Some(argument) = seq.next_element::<String>()? {
            arguments.push(argument);
        }
        if arguments.is_empty() {
            return Err(A::Error::custom("the list of arguments is empty"));
        }
        Ok(GateCommand::Argv(arguments))
    }
}
