//! Configuration: one YAML file and the environment become a typed [`Config`], once.
//!
//! The order is: built-in default, then `orchestrator.yaml`, then the environment. What is wrong ends
//! in one [`ConfigError`] that names the key, the file and line, and the nearest right key. What was
//! put right silently would be a trap, so it is listed in [`Config::notices`].
//! [`RepositoryPolicy`] is what a repository may say about itself in `.orchestrator/config.yaml`; its templates of
//! tasks, and a task that a person wrote as a file, are read here too.
//!
//! Not here: command-line arguments, connections, and anything that changes while the program runs.
//! Every key is described in `orchestrator.example.yaml`, every variable in `.env.example`; a test
//! holds code and documents together.

mod candidates;
mod catalog;
mod document;
mod environment;
mod error;
mod file;
mod implementer;
mod keys;
mod paths;
mod policy;
mod policy_file;
mod policy_models;
mod redacted;
mod resolve;
mod resolve_models;
mod resolve_sandbox;
mod retention;
mod router;
mod sections;
mod stages;
mod task_file;
mod templates;
mod urls;

use std::path::{Path, PathBuf};

pub use candidates::CandidatesConfig;
pub use environment::{Environment, VARIABLES, Variable, variable_of};
pub use error::ConfigError;
pub use implementer::{AgentLine, ChosenEngine, EngineName, ImplementerConfig, ImplementerPolicy};
pub use keys::{deployment_keys, policy_keys};
pub use paths::{PathPolicy, PathSettings};
pub use policy::{
    GATE_KINDS, GateCommand, GateEntry, PolicyLimits, REVIEWERS_FOLDER, RepositoryPolicy, reviewer_of_file,
};
pub use policy_models::{ModelsPolicy, WantedModel};
pub(crate) use resolve::percent_decoded;
pub use router::{Profile, RouterConfig, RouterPolicy};
pub use sections::{
    AppCredentials, ContainerConfig, DatabaseConfig, DigestSchedule, EffortName, GitIdentity, GithubConfig,
    Limits, LogConfig, MailConfig, ModelChoice, ModelsConfig, Polling, Prices, Protocol, ProviderConfig,
    RoleModels, SandboxBackend, SandboxConfig, SeverityName, UidRange, WebConfig,
};
pub use task_file::parse_task;
pub use templates::{MOST_TEMPLATES, TEMPLATE_MAX_BYTES, TEMPLATES_FOLDER, parse_template, template_of_file};

pub use stages::{StageRule, StagesConfig, StagesPolicy};

/// The name of the configuration file that is looked for in the working directory.
pub const FILE_NAME: &str = "orchestrator.yaml";

/// The whole configuration of one deployment, checked and complete.
///
/// `Debug` and [`Config::redacted`] never show a secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the program keeps its mirrors, its private PostgreSQL and its run folders.
    pub data_dir: PathBuf,
    /// GitHub is read, nothing is written to it or mailed, and models are simulated.
    pub dry_run: bool,
    /// The label that starts a task.
    pub label: String,
    pub database: DatabaseConfig,
    pub github: GithubConfig,
    pub web: WebConfig,
    pub models: ModelsConfig,
    /// Who writes changes.
    pub implementer: ImplementerConfig,
    /// How many candidates are written for a task.
    pub candidates: CandidatesConfig,
    /// Which workflows there may be, and whether a router chooses among them.
    pub router: RouterConfig,
    /// Which of the stages that work can do without take place.
    pub stages: StagesConfig,
    pub limits: Limits,
    pub polling: Polling,
    pub git: GitIdentity,
    pub mail: MailConfig,
    pub sandbox: SandboxConfig,
    /// What changes may touch in every repository; a repository's own policy can only be stricter.
    pub paths: PathSettings,
    /// The reviewers that look at every change, by name; each has a prompt of that name.
    pub reviewers: Vec<String>,
    /// Findings of these severities keep a change from being published.
    pub blocking_severities: Vec<SeverityName>,
    /// Findings of these severities are given to the fixer too; those that block always are.
    pub fix_severities: Vec<SeverityName>,
    /// Prompts in this folder replace the embedded ones of the same name.
    pub prompts_dir: Option<PathBuf>,
    /// Prompts in a repository's `.orchestrator/prompts/` replace those for its own tasks.
    pub repository_prompts: bool,
    /// Days for which what was said to models and what they answered is kept. 0: not at all.
    pub model_texts_days: u32,
    pub log: LogConfig,
    /// What was changed or looks wrong, for the log and for `doctor`: one sentence each.
    pub notices: Vec<String>,
}

impl Config {
    /// Builds the configuration from the file, if one is given, and the environment, which wins.
    ///
    /// Relative paths in the file are relative to the file's folder, those in the environment to the
    /// working directory.
    ///
    /// # Errors
    /// The first thing that is wrong: the file cannot be read or is not YAML, a key is unknown, a value
    /// has the wrong type or lies outside its bounds, or a `${NAME}` has no value.
    pub fn load(file: Option<&Path>, env: &Environment) -> Result<Self, ConfigError> {
        match file {
            None => resolve::resolve(document::Document::empty(), file::File::default(), env),
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    ConfigError::new(format!("cannot read the configuration file: {error}")).in_file(path)
                })?;
                Self::from_text(path, &text, env)
            }
        }
    }

    /// [`Config::load`] for text that is at hand; `name` is the file's path in errors and for paths.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn from_text(name: &Path, text: &str, env: &Environment) -> Result<Self, ConfigError> {
        let document = document::Document::index(name, text)?;
        let file = document.parse(text, Some(env), deployment_keys())?;
        resolve::resolve(document, file, env)
    }
}

#[cfg(test)]
mod tests;
