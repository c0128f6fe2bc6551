//! The section `implementer`: who writes a change. The deployment says what there is, a repository chooses
//! among it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use super::document::Document;
use super::error::{ConfigError, nearest};
use super::resolve::Resolver;

/// As a deployment writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ImplementerFile {
    pub engine: Option<String>,
    pub command: Option<String>,
    pub allowed: Option<Vec<String>>,
    pub commands: BTreeMap<String, AgentFile>,
    pub candidates: Option<u64>,
    pub max_candidates: Option<u64>,
    pub temperatures: Option<Vec<f64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AgentFile {
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub mounts: Vec<String>,
}

/// As a repository writes it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ImplementerPolicyFile {
    pub engine: Option<String>,
    pub command: Option<String>,
    pub candidates: Option<u64>,
}

/// How a change is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineName {
    /// A model with tools.
    ToolLoop,
    /// One answer with all edits.
    SingleShot,
    /// An agent's own command line.
    Command,
}

impl EngineName {
    pub const ALL: [Self; 3] = [Self::ToolLoop, Self::SingleShot, Self::Command];

    /// The name as written in the configuration file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToolLoop => "tool_loop",
            Self::SingleShot => "single_shot",
            Self::Command => "command",
        }
    }
}

/// An agent's command line; see [`crate::engines::AgentCommand`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentLine {
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub mounts: Vec<PathBuf>,
}

/// The engines of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImplementerConfig {
    /// For repositories that say nothing.
    pub engine: EngineName,
    /// A name in `commands`, for [`EngineName::Command`] where the repository names none.
    pub command: Option<String>,
    /// What a repository may choose, besides what it has anyway.
    pub allowed: Vec<EngineName>,
    pub commands: BTreeMap<String, AgentLine>,
}

/// What a repository chooses. `None`: as the deployment says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImplementerPolicy {
    pub engine: Option<EngineName>,
    pub command: Option<String>,
}

/// Who writes the changes of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenEngine<'a> {
    ToolLoop,
    SingleShot,
    Command { name: &'a str, line: &'a AgentLine },
}

impl Default for ImplementerConfig {
    fn default() -> Self {
        let (allowed, commands) = (EngineName::ALL.to_vec(), BTreeMap::new());
        Self { engine: EngineName::ToolLoop, command: None, allowed, commands }
    }
}

impl ImplementerConfig {
    /// The engine of a repository.
    ///
    /// # Errors
    /// What the repository asks for and is not to be had here, for the people of the repository.
    pub fn chosen_by(&self, policy: &ImplementerPolicy) -> Result<ChosenEngine<'_>, String> {
        let engine = policy.engine.unwrap_or(self.engine);
        if engine != self.engine && !self.allowed.contains(&engine) {
            let mut names: Vec<&str> = self.allowed.iter().map(|engine| engine.as_str()).collect();
            if !names.contains(&self.engine.as_str()) {
                names.insert(0, self.engine.as_str());
            }
            return Err(format!(
                "the repository asks for the engine `{}`, which this deployment does not allow; it allows {}",
                engine.as_str(),
                names.join(", ")
            ));
        }
        match engine {
            EngineName::ToolLoop => Ok(ChosenEngine::ToolLoop),
            EngineName::SingleShot => Ok(ChosenEngine::SingleShot),
            EngineName::Command => self.line(policy.command.as_deref()),
        }
    }

    /// The line of that name, of the deployment's choice, or the only one.
    fn line(&self, asked: Option<&str>) -> Result<ChosenEngine<'_>, String> {
        let named = |name: &str| self.commands.get_key_value(name);
        let only = || self.commands.iter().next().filter(|_| self.commands.len() == 1);
        let found = match asked.or(self.command.as_deref()) {
            Some(name) => named(name),
            None => only(),
        };
        found.map(|(name, line)| ChosenEngine::Command { name, line }).ok_or_else(|| {
            let names: Vec<&str> = self.commands.keys().map(String::as_str).collect();
            let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            match asked {
                Some(name) => {
                    format!("the repository asks for the command `{name}`; this deployment has: {known}")
                }
                None => format!("no command is named for the engine `command`; this deployment has: {known}"),
            }
        })
    }
}

impl Resolver<'_> {
    pub(super) fn implementer(&self, file: ImplementerFile) -> Result<ImplementerConfig, ConfigError> {
        let choices = EngineName::ALL.map(|engine| (engine.as_str(), engine));
        let default = ImplementerConfig::default();
        let engine = match &file.engine {
            Some(name) => self.choice("implementer.engine", name, &choices)?,
            None => default.engine,
        };
        let allowed = match &file.allowed {
            None => default.allowed,
            Some(names) => names
                .iter()
                .enumerate()
                .map(|(index, name)| self.choice(&format!("implementer.allowed[{index}]"), name, &choices))
                .collect::<Result<_, _>>()?,
        };
        let mut commands = BTreeMap::new();
        for (name, line) in file.commands {
            let key = format!("implementer.commands.{name}");
            if name.is_empty() || name.len() > 40 || !name.chars().all(is_plain) {
                return Err(self.error(&key, "a command's name is made of a-z, 0-9, - and _"));
            }
            if line.argv.is_empty() {
                return Err(self.error(&key, "every command needs `argv`: a program and its arguments"));
            }
            let mounts = line.mounts.into_iter().map(PathBuf::from).collect();
            commands.insert(name, AgentLine { argv: line.argv, env: line.env, mounts });
        }
        let config = ImplementerConfig { engine, command: file.command, allowed, commands };
        if let Some(name) = config.command.as_ref().filter(|name| !config.commands.contains_key(*name)) {
            let near = nearest(name, config.commands.keys().map(String::as_str)).map(str::to_owned);
            let problem = format!("there is no `{name}` in `implementer.commands`");
            return Err(self.error("implementer.command", problem).suggest(near));
        }
        if let Err(problem) = config.chosen_by(&ImplementerPolicy::default()) {
            return Err(self.error("implementer.engine", problem));
        }
        Ok(config)
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_'
}

impl ImplementerPolicyFile {
    pub(super) fn resolve(self, document: &Document) -> Result<ImplementerPolicy, ConfigError> {
        let engine = self.engine.map(|written| {
            let found = EngineName::ALL.into_iter().find(|engine| engine.as_str() == written.trim());
            found.ok_or_else(|| {
                let names = EngineName::ALL.map(EngineName::as_str);
                let near = nearest(&written, names).map(str::to_owned);
                let problem = format!("expected one of {}", names.join(", "));
                document.error("implementer.engine", problem).suggest(near)
            })
        });
        Ok(ImplementerPolicy { engine: engine.transpose()?, command: self.command })
    }
}
