//! The environment as a value: read once from the process, or made by a test.

use std::collections::{BTreeMap, HashMap};

/// Names and values of environment variables. A variable that is set to the empty text counts as not
/// set, because that is how Compose files and shells pass on what nobody filled in.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process: the only door to `std::env`. Variables that are not UTF-8
    /// are left out.
    pub fn of_process() -> Self {
        // `vars_os` instead of `vars`, which panics on a variable that is not UTF-8.
        let pairs = std::env::vars_os();
        Self(pairs.filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect())
    }

    /// The value of a variable, unless it is missing or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The names of the variables that have a value.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name.as_str())
    }

    pub(super) fn properties(&self) -> HashMap<String, String> {
        self.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Shows the names only: any value may be a secret.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// An environment variable that the program reads, and the key of the file that it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    pub name: &'static str,
    /// `None`: it has no key in the file, because it is needed before the file is read.
    pub key: Option<&'static str>,
}

const fn variable(name: &'static str, key: &'static str) -> Variable {
    Variable { name, key: Some(key) }
}

/// Every variable that the program reads. Each wins over its key in the file.
pub const VARIABLES: &[Variable] = &[
    Variable { name: "ORCHESTRATOR_CONFIG", key: None },
    variable("ORCHESTRATOR_DATA_DIR", "data_dir"),
    variable("ORCHESTRATOR_LISTEN", "web.listen"),
    variable("ORCHESTRATOR_LOG", "log.filter"),
    variable("ORCHESTRATOR_LOG_FORMAT", "log.format"),
    variable("DRY_RUN", "dry_run"),
    variable("DATABASE_URL", "database.url"),
    variable("GITHUB_APP_ID", "github.app_id"),
    variable("GITHUB_APP_PRIVATE_KEY", "github.private_key"),
    variable("GITHUB_APP_PRIVATE_KEY_PATH", "github.private_key_path"),
    variable("GITHUB_WEBHOOK_SECRET", "github.webhook_secret"),
    variable("GITHUB_API_URL", "github.api_url"),
    variable("GITHUB_SERVER_URL", "github.server_url"),
    variable("ANTHROPIC_API_KEY", "models.providers.anthropic.api_key"),
    variable("ANTHROPIC_BASE_URL", "models.providers.anthropic.base_url"),
    variable("OPENAI_API_KEY", "models.providers.openai.api_key"),
    variable("OPENAI_BASE_URL", "models.providers.openai.base_url"),
    variable("GEMINI_API_KEY", "models.providers.gemini.api_key"),
    variable("GEMINI_BASE_URL", "models.providers.gemini.base_url"),
    variable("XAI_API_KEY", "models.providers.xai.api_key"),
    variable("XAI_BASE_URL", "models.providers.xai.base_url"),
    variable("GROQ_API_KEY", "models.providers.groq.api_key"),
    variable("GROQ_BASE_URL", "models.providers.groq.base_url"),
    variable("OLLAMA_HOST", "models.providers.ollama.base_url"),
    variable("SMTP_URL", "mail.smtp_url"),
    variable("MAIL_FROM", "mail.from"),
    variable("MAIL_TO", "mail.to"),
];

/// The variable that wins over a key, if there is one.
pub fn variable_of(key: &str) -> Option<&'static str> {
    VARIABLES.iter().find(|variable| variable.key == Some(key)).map(|variable| variable.name)
}
