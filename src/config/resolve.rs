//! From what was written to what is meant: the environment wins, then bounds are checked and defaults
//! filled in.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;

use super::document::Document;
use super::environment::{Environment, VARIABLES, variable_of};
use super::error::{ConfigError, nearest};
use super::file::{self, File, Secret};
use super::sections::{
    DatabaseConfig, DigestSchedule, GitIdentity, GithubConfig, Limits, LogConfig, MailConfig, Polling,
    SeverityName, WebConfig,
};
use super::{Config, candidates, resolve_models, retention, router};
use crate::domain::BudgetLimits;
use crate::telemetry::LogFormat;

const DEFAULT_REVIEWERS: [&str; 3] = ["safety", "architecture", "quality"];
const BLOCKING: &[SeverityName] = &[SeverityName::Critical];
const WORTH_A_FIX: &[SeverityName] = &[SeverityName::Critical, SeverityName::High];
pub(super) const SEVERITIES: [SeverityName; 4] =
    [SeverityName::Critical, SeverityName::High, SeverityName::Medium, SeverityName::Low];
/// Rounds are clamped, not refused: a model-made or copied number must not stop the deployment.
pub(super) const ROUNDS: RangeInclusive<u64> = 1..=4;
const TOKENS: RangeInclusive<u64> = 1000..=1_000_000_000_000;
const TOKENS_OF_A_TASK: u64 = 2_000_000;
const MOST_USD: f64 = 1e6;

pub(super) fn resolve(document: Document, file: File, env: &Environment) -> Result<Config, ConfigError> {
    let mut r = Resolver { document: &document, env, notices: Vec::new() };
    r.notice_unknown_variables();
    let data_dir = match r.path("data_dir", file.data_dir)? {
        Some(folder) => folder,
        None => default_data_dir(env)?,
    };
    let dry_run = r.switch("dry_run", file.dry_run)?.unwrap_or(false);
    let (workflows, profile) = (file.workflows, file.models.profile.clone());
    let router = router::resolve(&r, router::Written { router: file.router, workflows, profile })?;
    let models = resolve_models::resolve(&mut r, file.models)?;
    let models = super::sections::ModelsConfig { roles: router.ordered(&models.roles), ..models };
    Ok(Config {
        data_dir,
        dry_run,
        label: r.non_empty("label", file.label, "auto")?,
        database: DatabaseConfig {
            url: r.secret("database.url", file.database.url),
            max_connections: r.number(
                "database.max_connections",
                file.database.max_connections,
                16,
                2..=1000,
            )?,
        },
        github: r.github(file.github)?,
        web: r.web(file.web)?,
        models,
        router,
        stages: file.stages.resolve(&r)?,
        candidates: candidates::resolve(&r, &file.implementer)?,
        implementer: r.implementer(file.implementer)?,
        limits: r.limits(file.limits)?,
        polling: r.polling(&file.polling)?,
        git: r.git(file.git)?,
        mail: r.mail(file.mail)?,
        sandbox: r.sandbox(file.sandbox)?,
        paths: file.paths.resolve(|key, problem| r.error(key, problem))?.into(),
        reviewers: r.reviewers(file.reviewers)?,
        blocking_severities: r.severities("blocking_severities", file.blocking_severities, BLOCKING)?,
        fix_severities: r.severities("fix_severities", file.fix_severities, WORTH_A_FIX)?,
        prompts_dir: r.path("prompts_dir", file.prompts_dir)?,
        repository_prompts: r.switch("repository_prompts", file.repository_prompts)?.unwrap_or(true),
        model_texts_days: retention::model_texts_days(&r, &file.retention)?,
        log: r.log(file.log)?,
        notices: r.notices,
    })
}

/// The system's folder for root, whose home no other user can enter, and the user's own otherwise.
fn default_data_dir(env: &Environment) -> Result<PathBuf, ConfigError> {
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/orchestrator"));
    }
    let absolute = |name: &str| env.get(name).map(Path::new).filter(|path| path.is_absolute());
    let data_home = absolute("XDG_DATA_HOME").map(Path::to_owned);
    let folder = data_home.or_else(|| absolute("HOME").map(|home| home.join(".local/share")));
    folder.map(|folder| folder.join("orchestrator")).ok_or_else(|| {
        ConfigError::new("there is no HOME to keep data in: set ORCHESTRATOR_DATA_DIR").of_key("data_dir")
    })
}

/// One pass over the file's shape: each method takes a key and the file's value for it.
pub(super) struct Resolver<'a> {
    document: &'a Document,
    pub(super) env: &'a Environment,
    pub notices: Vec<String>,
}

impl Resolver<'_> {
    /// An error about a key, pointing at where its value came from.
    pub fn error(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        match variable_of(key).filter(|name| self.env.get(name).is_some()) {
            Some(variable) => ConfigError::new(problem).of_key(key).of_variable(variable),
            None => self.document.error(key, problem),
        }
    }

    fn variable(&self, key: &str) -> Option<&str> {
        variable_of(key).and_then(|name| self.env.get(name))
    }

    pub fn text(&self, key: &str, file: Option<String>) -> Option<String> {
        self.variable(key).map(str::to_owned).or(file).filter(|text| !text.is_empty())
    }

    pub fn secret(&self, key: &str, file: Option<Secret>) -> Option<SecretString> {
        use secrecy::ExposeSecret;
        let value = self.variable(key).map(SecretString::from).or(file.map(|secret| secret.0));
        value.filter(|secret| !secret.expose_secret().is_empty())
    }

    fn non_empty(&self, key: &str, file: Option<String>, default: &str) -> Result<String, ConfigError> {
        match file {
            Some(text) if text.trim().is_empty() => Err(self.error(key, "must not be empty")),
            file => {
                Ok(self.text(key, file).map_or_else(|| default.to_owned(), |text| text.trim().to_owned()))
            }
        }
    }

    fn switch(&self, key: &str, file: Option<bool>) -> Result<Option<bool>, ConfigError> {
        match self.variable(key).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(file),
            Some("true" | "1" | "yes" | "on") => Ok(Some(true)),
            Some("false" | "0" | "no" | "off") => Ok(Some(false)),
            Some(_) => Err(self.error(key, "expected true or false")),
        }
    }

    fn optional_number(&self, key: &str, file: Option<u64>) -> Result<Option<u64>, ConfigError> {
        match self.variable(key) {
            None => Ok(file),
            Some(text) => text.parse().map(Some).map_err(|_| self.error(key, "expected a whole number")),
        }
    }

    pub fn number<T: TryFrom<u64>>(
        &self,
        key: &str,
        file: Option<u64>,
        default: u64,
        bounds: RangeInclusive<u64>,
    ) -> Result<T, ConfigError> {
        let number = self.optional_number(key, file)?.unwrap_or(default);
        let fitting = bounds.contains(&number).then(|| T::try_from(number).ok()).flatten();
        fitting.ok_or_else(|| {
            self.error(key, format!("must lie between {} and {}", bounds.start(), bounds.end()))
        })
    }

    fn rounds(&mut self, key: &str, file: Option<u64>, default: u64) -> u8 {
        let asked = file.unwrap_or(default);
        let rounds = asked.clamp(*ROUNDS.start(), *ROUNDS.end());
        if rounds != asked {
            self.notices.push(format!("`{key}` is {asked}; rounds lie between 1 and 4, so {rounds} is used"));
        }
        u8::try_from(rounds).unwrap_or(4)
    }

    /// Paths in the file start from the file's folder, those in the environment from the working one.
    pub fn path(&self, key: &str, file: Option<String>) -> Result<Option<PathBuf>, ConfigError> {
        if let Some(path) = self.variable(key) {
            return Ok(Some(PathBuf::from(path)));
        }
        match file {
            None => Ok(None),
            Some(path) if path.is_empty() => Err(self.error(key, "must not be empty")),
            Some(path) => Ok(Some(self.document.folder().unwrap_or(Path::new("")).join(path))),
        }
    }

    pub fn choice<T: Copy>(
        &self,
        key: &str,
        written: &str,
        choices: &[(&'static str, T)],
    ) -> Result<T, ConfigError> {
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(written.trim()));
        found.map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.error(key, format!("expected one of {}", names.join(", ")))
                .suggest(nearest(written, names.iter().copied()).map(str::to_owned))
        })
    }

    fn github(&mut self, file: file::Github) -> Result<GithubConfig, ConfigError> {
        let private_key = self.secret("github.private_key", file.private_key);
        let private_key_path = self.path("github.private_key_path", file.private_key_path)?;
        if private_key.is_some() && private_key_path.is_some() {
            let problem = "both the private key and a path to it are set; keep one of \
                           GITHUB_APP_PRIVATE_KEY and GITHUB_APP_PRIVATE_KEY_PATH";
            return Err(self.error("github.private_key", problem));
        }
        let interval = file.write_interval_ms;
        let interval = self.number("github.write_interval_ms", interval, 1000, 0..=60_000)?;
        let api_url = self.base_url("github.api_url", file.api_url, "https://api.github.com")?;
        if interval < 1000 && api_url == "https://api.github.com" {
            let notice = "`github.write_interval_ms` is below the second that GitHub asks for between writes";
            self.notices.push(notice.to_owned());
        }
        Ok(GithubConfig {
            app_id: self.optional_number("github.app_id", file.app_id)?,
            private_key,
            private_key_path,
            webhook_secret: self.secret("github.webhook_secret", file.webhook_secret),
            api_url,
            server_url: self.base_url("github.server_url", file.server_url, "https://github.com")?,
            write_interval_ms: interval,
        })
    }

    fn web(&self, file: file::Web) -> Result<WebConfig, ConfigError> {
        let listen = self.text("web.listen", file.listen).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
        let listen = SocketAddr::from_str(&listen).map_err(|_| {
            self.error("web.listen", "expected an IP address and a port, such as 127.0.0.1:8080 or [::]:8080")
        })?;
        Ok(WebConfig { listen })
    }

    fn limits(&mut self, file: file::LimitsSection) -> Result<Limits, ConfigError> {
        let task_usd = self.usd("limits.task_usd", file.task_usd)?.unwrap_or(10.0);
        let task_tokens = self.number("limits.task_tokens", file.task_tokens, TOKENS_OF_A_TASK, TOKENS)?;
        let most = BudgetLimits {
            tokens: Some(self.number("limits.most_tokens", file.most_tokens, task_tokens * 5, TOKENS)?),
            cost_micro_usd: Some(micro_usd(
                self.usd("limits.most_usd", file.most_usd)?.unwrap_or(task_usd * 5.0),
            )),
        };
        let wall = self.number("limits.stage_wall_seconds", file.stage_wall_seconds, 1800, 10..=86_400)?;
        let concurrent: u32 = self.number("limits.concurrent_tasks", file.concurrent_tasks, 2, 1..=256)?;
        let key = "limits.concurrent_tasks_per_repository";
        Ok(Limits {
            gate_rounds: self.rounds("limits.gate_rounds", file.gate_rounds, 3),
            review_rounds: self.rounds("limits.review_rounds", file.review_rounds, 2),
            agent_steps: self.number("limits.agent_steps", file.agent_steps, 60, 1..=1000)?,
            stage_wall: Duration::from_secs(wall),
            task_tokens,
            task_usd,
            most,
            repository_day: self.purse(
                "repository_day",
                file.repository_day_usd,
                file.repository_day_tokens,
            )?,
            day: self.purse("day", file.day_usd, file.day_tokens)?,
            month: self.purse("month", file.month_usd, file.month_tokens)?,
            concurrent_tasks: concurrent,
            concurrent_tasks_per_repository: self.number(
                key,
                file.concurrent_tasks_per_repository,
                1,
                1..=256,
            )?,
        })
    }

    /// A limit that holds only where it is written.
    fn purse(&self, name: &str, usd: Option<f64>, tokens: Option<u64>) -> Result<BudgetLimits, ConfigError> {
        let key = format!("limits.{name}_tokens");
        let tokens = tokens.map(|tokens| self.number(&key, Some(tokens), 0, TOKENS)).transpose()?;
        let usd = self.usd(&format!("limits.{name}_usd"), usd)?;
        Ok(BudgetLimits { tokens, cost_micro_usd: usd.map(micro_usd) })
    }

    fn usd(&self, key: &str, usd: Option<f64>) -> Result<Option<f64>, ConfigError> {
        if usd.is_some_and(|usd| !(usd.is_finite() && usd > 0.0 && usd <= MOST_USD)) {
            return Err(self.error(key, "must be greater than 0, and a million at most"));
        }
        Ok(usd)
    }

    fn polling(&self, file: &file::PollingSection) -> Result<Polling, ConfigError> {
        let reactions = self.number("polling.reactions_seconds", file.reactions_seconds, 30, 1..=60)?;
        let reconcile = self.number("polling.reconcile_seconds", file.reconcile_seconds, 600, 60..=86_400)?;
        Ok(Polling { reactions: Duration::from_secs(reactions), reconcile: Duration::from_secs(reconcile) })
    }

    fn git(&self, file: file::Git) -> Result<GitIdentity, ConfigError> {
        let author_name = self.non_empty("git.author_name", file.author_name, "Orchestrator")?;
        let default_email = "orchestrator@users.noreply.github.com";
        let author_email = self.non_empty("git.author_email", file.author_email, default_email)?;
        for (key, text) in [("git.author_name", &author_name), ("git.author_email", &author_email)] {
            // Git's own rule for an identity: these bytes end the name or the address.
            if text.contains(['<', '>', '\n', '\r', '\0']) {
                return Err(self.error(key, "must not hold <, > or a line's end"));
            }
        }
        Ok(GitIdentity { author_name, author_email })
    }

    fn mail(&self, file: file::Mail) -> Result<MailConfig, ConfigError> {
        let smtp_url = self.secret("mail.smtp_url", file.smtp_url);
        let from = self.text("mail.from", file.from);
        let to: Vec<String> = match self.variable("mail.to") {
            Some(list) => list.split(',').map(|one| one.trim().to_owned()).collect(),
            None => file.to.unwrap_or_default(),
        };
        for (key, address) in from.iter().map(|a| ("mail.from", a)).chain(to.iter().map(|a| ("mail.to", a))) {
            check_address(address).map_err(|problem| self.error(key, problem))?;
        }
        if smtp_url.is_some() && from.is_none() {
            return Err(self.error("mail.from", "must be set (or MAIL_FROM), because mail.smtp_url is"));
        }
        let digests = [
            ("off", DigestSchedule::Off),
            ("daily", DigestSchedule::Daily),
            ("weekly", DigestSchedule::Weekly),
        ];
        Ok(MailConfig {
            smtp_url,
            from,
            to,
            digest: self.choice("mail.digest", file.digest.as_deref().unwrap_or("daily"), &digests)?,
            digest_hour_utc: self.number("mail.digest_hour_utc", file.digest_hour_utc, 6, 0..=23)?,
        })
    }

    fn reviewers(&self, file: Option<Vec<String>>) -> Result<Vec<String>, ConfigError> {
        let names = file.unwrap_or_else(|| DEFAULT_REVIEWERS.map(str::to_owned).to_vec());
        check_reviewers(&names).map_err(|problem| self.error("reviewers", problem))?;
        Ok(names)
    }

    fn severities(
        &self,
        key: &str,
        file: Option<Vec<String>>,
        default: &[SeverityName],
    ) -> Result<Vec<SeverityName>, ConfigError> {
        let choices = SEVERITIES.map(|severity| (severity.as_str(), severity));
        let Some(names) = file else { return Ok(default.to_vec()) };
        let mut severities = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let severity = self.choice(&format!("{key}[{index}]"), name, &choices)?;
            if !severities.contains(&severity) {
                severities.push(severity);
            }
        }
        Ok(severities)
    }

    fn log(&self, file: file::Log) -> Result<LogConfig, ConfigError> {
        let formats = [("pretty", LogFormat::Pretty), ("json", LogFormat::Json)];
        let format = self.text("log.format", file.format).unwrap_or_else(|| "pretty".to_owned());
        let filter = self.text("log.filter", file.filter).unwrap_or_else(|| "info".to_owned());
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&filter) {
            return Err(self.error("log.filter", format!("not a log filter: {error}")));
        }
        Ok(LogConfig { filter, format: self.choice("log.format", &format, &formats)? })
    }

    /// A notice and no error: platforms set variables of this prefix by themselves (Kubernetes does for
    /// a service called `orchestrator`).
    fn notice_unknown_variables(&mut self) {
        for name in self.env.names().filter(|name| name.starts_with("ORCHESTRATOR_")) {
            if VARIABLES.iter().any(|variable| variable.name == name) {
                continue;
            }
            let near = nearest(name, VARIABLES.iter().map(|variable| variable.name));
            let advice = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            self.notices
                .push(format!("the environment variable {name} means nothing to Orchestrator{advice}"));
        }
    }
}

/// The text that a part of a URL stands for, or `None` where that is no UTF-8. A `%` that encodes
/// nothing stays.
pub fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let encoded = (first == b'%' && after.len() >= 2).then(|| hex::decode(&after[..2]).ok()).flatten();
        match encoded {
            Some(byte) => {
                bytes.extend(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

pub(super) fn check_address(text: &str) -> Result<(), String> {
    let parsed = text.parse::<lettre::message::Mailbox>();
    parsed.map(|_| ()).map_err(|_| "expected `Name <address@host>` or `address@host`".to_owned())
}

pub(super) fn is_reviewer_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= 40 && name.chars().all(plain)
}

/// Millionths of a US dollar.
pub(super) fn micro_usd(usd: f64) -> u64 {
    (usd * 1e6).round() as u64
}

/// Names become names of prompt files and parts of comments.
pub(super) fn check_reviewers(names: &[String]) -> Result<(), String> {
    if names.is_empty() {
        return Err("name at least one reviewer".to_owned());
    }
    if !names.iter().all(|name| is_reviewer_name(name)) {
        return Err("a reviewer's name is made of a-z, 0-9, - and _".to_owned());
    }
    let mut sorted = names.to_vec();
    sorted.sort();
    sorted.dedup();
    if sorted.len() < names.len() { Err("a reviewer is named twice".to_owned()) } else { Ok(()) }
}
