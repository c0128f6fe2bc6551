//! What is reached over the network: GitHub, the mail server, the models.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use futures::future::BoxFuture;
use serde::Deserialize;

use crate::application::{self, github, model_settings};
use crate::cli::run::lacks_key;
use crate::config::{Config, ModelChoice, variable_of};
use crate::github::{GitHubError, RegisteredApp};
use crate::llm::boundary::PromptText;
use crate::llm::{
    CallContext, CallLabel, CallRecord, Client, Ledger, LedgerError, LlmError, Message, ModelName, Request,
    Role,
};
use crate::mail::Mailer;
use crate::pipeline::StoreLedger;
use crate::store::Store;
use crate::telemetry::clock;

use super::check::Checks;

/// The permissions and events that the product needs; the same file registers the App.
const MANIFEST: &str = include_str!("../../../app-manifest.yml");
/// Without these nothing starts, is approved by command, or is noticed as merged. The others add to it.
const NEEDED_EVENTS: [&str; 3] = ["issues", "issue_comment", "pull_request"];
/// The App's tokens are dated 60 s back, so a clock that is further ahead is refused.
const REFUSED_SKEW: TimeDelta = TimeDelta::seconds(60);
const NOTED_SKEW: TimeDelta = TimeDelta::seconds(10);

#[derive(Deserialize)]
struct Manifest {
    default_permissions: BTreeMap<String, String>,
    default_events: BTreeSet<String>,
}

pub(super) async fn github_app(config: &Config) -> Checks {
    let mut checks = Checks::of("GitHub App");
    let settings = &config.github;
    let given = [
        settings.app_id.is_some(),
        settings.private_key.is_some() || settings.private_key_path.is_some(),
        settings.webhook_secret.is_some(),
    ];
    if given == [false; 3] {
        checks.not_configured("no App: `orchestrator serve` does not start; `orchestrator run` needs none");
        return checks;
    }
    let app = match settings.app_credentials() {
        Ok(credentials) => github(config, &credentials),
        Err(error) => {
            checks.broken(error.to_string(), "set what is missing");
            return checks;
        }
    };
    let registered = match app {
        Ok(app) => registered(&mut checks, config, &app).await,
        Err(error) => {
            checks.broken(error.to_string(), "download a private key from the App's settings page");
            None
        }
    };
    if let Some(registered) = registered {
        skew(&mut checks, &registered);
        granted(&mut checks, &registered);
    }
    checks
}

async fn registered(
    checks: &mut Checks,
    config: &Config,
    app: &crate::github::GitHub,
) -> Option<RegisteredApp> {
    let registered = match app.registered().await {
        Ok(registered) => registered,
        Err(error) => {
            let mend = match &error {
                GitHubError::Unauthorized { .. } | GitHubError::NotFound { .. } => {
                    "check that GITHUB_APP_ID and the private key belong to the same App, and that this \
                     machine's clock is right"
                }
                _ => "check GITHUB_API_URL, and that this machine reaches it",
            };
            checks.broken(format!("{}: {error}", config.github.api_url), mend);
            return None;
        }
    };
    checks.ok(format!("{} knows the App {}", config.github.api_url, registered.identity.name));
    match registered.installations_count {
        Some(0) => checks.weak(
            "the App is installed nowhere",
            "install it on the repositories that it is to work in, from its settings page",
        ),
        Some(1) => checks.ok("it is installed in 1 account"),
        Some(count) => checks.ok(format!("it is installed in {count} accounts")),
        None => {}
    }
    match app.hook_config().await {
        Ok(hook) if hook.url.as_deref().unwrap_or_default().is_empty() => checks.broken(
            "the App has no webhook address",
            "set https://YOUR-HOST/webhooks/github on its settings page",
        ),
        Ok(hook) if hook.content_type.as_deref() == Some("form") => {
            checks.broken("the App's webhooks come as forms", "choose application/json on its settings page")
        }
        Ok(hook) => checks.ok(format!("webhooks go to {}", hook.url.unwrap_or_default())),
        Err(error) => checks
            .weak(format!("where the webhooks go is not known: {error}"), "look at the App's settings page"),
    }
    Some(registered)
}

fn skew(checks: &mut Checks, registered: &RegisteredApp) {
    let Some(theirs) = registered.answered_at else { return };
    let ahead = clock::now() - theirs;
    let mend = "let this machine follow a time server (timedatectl set-ntp true)";
    let what = || {
        let way = if ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
        format!("this machine's clock is {} s {way} GitHub's", ahead.abs().num_seconds())
    };
    if ahead.abs() > REFUSED_SKEW {
        checks.broken(what(), mend);
    } else if ahead.abs() > NOTED_SKEW {
        checks.weak(what(), mend);
    } else {
        checks.ok("this machine's clock agrees with GitHub's");
    }
}

/// What the App was granted beside what the manifest asks for.
fn granted(checks: &mut Checks, registered: &RegisteredApp) {
    let manifest: Manifest = match serde_saphyr::from_str(MANIFEST) {
        Ok(manifest) => manifest,
        Err(error) => {
            return checks.broken(
                format!("the manifest that this program carries cannot be read: {error}"),
                "this is a fault of the program: report it",
            );
        }
    };
    let mend = "change it on the App's settings page under Permissions & events; each installation then has \
                to accept it";
    let level = |name: &str| match name {
        "read" => 1,
        "write" => 2,
        "admin" => 3,
        _ => 0,
    };
    let mut complete = true;
    for (name, wanted) in &manifest.default_permissions {
        let has = registered.permissions.get(name).map_or("none", String::as_str);
        if level(has) < level(wanted) {
            complete = false;
            checks.broken(format!("the permission `{name}: {wanted}` is missing (granted: {has})"), mend);
        }
    }
    for event in manifest.default_events.difference(&registered.events) {
        complete = false;
        let what = format!("the App gets no `{event}` events");
        if NEEDED_EVENTS.contains(&event.as_str()) {
            checks.broken(what, mend);
        } else {
            checks.weak(what, mend);
        }
    }
    for (name, has) in &registered.permissions {
        let wanted = manifest.default_permissions.get(name).map_or("none", String::as_str);
        if level(has) > level(wanted) {
            checks.weak(
                format!("the App has the permission `{name}: {has}`, which it does not need"),
                "take it away on the App's settings page: what it may not do, nobody can make it do",
            );
        }
    }
    if complete {
        checks.ok("permissions and events are those of app-manifest.yml");
    }
}

pub(super) async fn mail(config: &Config) -> Checks {
    let mut checks = Checks::of("mail");
    let mailer = match Mailer::from_config(&config.mail) {
        Ok(Some(mailer)) => mailer,
        Ok(None) => {
            checks.not_configured("no SMTP_URL: nobody is mailed; everything is still said on the issue");
            return checks;
        }
        Err(error) => {
            checks.broken(error.to_string(), "mend SMTP_URL");
            return checks;
        }
    };
    match mailer.check().await {
        Ok(()) => checks.ok("the mail server takes the connection and the sign-in"),
        Err(error) => checks.broken(
            error.to_string(),
            "check host, port, user and password in SMTP_URL (smtps:// for TLS from the start)",
        ),
    }
    if config.mail.from.is_none() {
        checks.broken("there is no sender", "set MAIL_FROM");
    }
    match config.mail.to.as_slice() {
        [] => checks.broken("there is nobody to mail to", "set MAIL_TO"),
        to => checks.ok(format!("mails go to {}", to.join(", "))),
    }
    checks
}

/// Whether models are really asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ModelCalls {
    Made,
    LeftOut,
}

/// Longest answer that is asked for, in tokens: some providers refuse fewer.
const ANSWER_TOKENS: u32 = 16;
const ANSWER_TIME: Duration = Duration::from_secs(60);

pub(super) async fn models(config: &Config, calls: ModelCalls, store: Option<&Store>) -> Checks {
    let mut checks = Checks::of("models");
    let roles = &config.models.roles;
    let mut known: BTreeMap<String, Result<(), (String, String)>> = BTreeMap::new();
    for (_, choices) in roles.all() {
        for choice in choices {
            let name = name_of(choice).to_string();
            if known.contains_key(&name) {
                continue;
            }
            let answer = match calls {
                _ if lacks_key(config, choice) => Err(missing_key(choice)),
                ModelCalls::Made => ask(config, choice, store).await,
                ModelCalls::LeftOut => Ok(()),
            };
            known.insert(name, answer);
        }
    }
    if known.is_empty() {
        checks.not_configured(
            "no model: no task can be worked on but in a dry run (DRY_RUN=true). Set ANTHROPIC_API_KEY, \
             OPENAI_API_KEY, GEMINI_API_KEY, XAI_API_KEY or GROQ_API_KEY, or name models in orchestrator.yaml (`models.default`)",
        );
        return checks;
    }
    for (name, answer) in &known {
        // Another model of the same role stands in for one that fails.
        let alone = roles.all().any(|(_, choices)| {
            let names: Vec<String> = choices.iter().map(|choice| name_of(choice).to_string()).collect();
            names.contains(name) && names.iter().all(|name| known.get(name).is_some_and(Result::is_err))
        });
        match (answer, calls) {
            (Ok(()), ModelCalls::Made) => checks.ok(format!("{name} answers")),
            (Ok(()), ModelCalls::LeftOut) => {
                checks.not_checked(format!("{name} was not asked (--no-model-calls)"))
            }
            (Err((what, mend)), _) if alone => checks.broken(format!("{name}: {what}"), mend),
            (Err((what, mend)), _) => checks.weak(format!("{name}: {what}"), mend),
        }
    }
    for (role, _) in roles.all().filter(|(_, choices)| choices.is_empty()) {
        checks.broken(
            format!("the role {role} has no model, so no task can be worked on"),
            format!("name one in `models.roles.{role}`, or one for all in `models.default`"),
        );
    }
    checks
}

fn name_of(choice: &ModelChoice) -> ModelName {
    ModelName { provider: choice.provider.clone(), model: choice.model.clone() }
}

fn missing_key(choice: &ModelChoice) -> (String, String) {
    let key = format!("models.providers.{}.api_key", choice.provider);
    let mend = match variable_of(&key) {
        Some(variable) => format!("set {variable}"),
        None => format!("set `{key}` in orchestrator.yaml"),
    };
    ("there is no key for it".to_owned(), mend)
}

/// One tiny question, asked once.
async fn ask(config: &Config, choice: &ModelChoice, store: Option<&Store>) -> Result<(), (String, String)> {
    let mut settings = model_settings(&config.models);
    let name = name_of(choice);
    let wanted = settings.roles.values().flatten().find(|model| model.name == name).cloned();
    settings.roles = wanted.map(|model| (Role::Discussion, vec![model])).into_iter().collect();
    settings.call_timeout = settings.call_timeout.min(ANSWER_TIME);
    settings.retry.max_calls = 1;
    let ledger: Arc<dyn Ledger> = match store {
        Some(store) => {
            let redactor = Arc::new(application::redactor(config, None));
            Arc::new(StoreLedger::new(store.clone(), 0, redactor))
        }
        None => Arc::new(Unrecorded),
    };
    let client =
        Client::new(settings, ledger).map_err(|error| (error.to_string(), "mend `models`".to_owned()))?;
    let request = Request {
        system: "This is a check of the connection. Answer with one word.".to_owned(),
        messages: vec![Message::user(PromptText::own("Say ok."))],
        tools: Vec::new(),
        max_output_tokens: Some(ANSWER_TOKENS),
        temperature: None,
        response_schema: None,
    };
    let label = CallLabel { task: None, stage: "doctor".to_owned(), prompt: None };
    let context = CallContext { role: Role::Discussion, label, budgets: Vec::new() };
    match client.call(&context, request).await {
        Ok(_) => Ok(()),
        Err(error) => Err((error.to_string(), mend(choice, &error))),
    }
}

fn mend(choice: &ModelChoice, error: &LlmError) -> String {
    let provider = &choice.provider;
    match error {
        LlmError::Unauthorized(_) => format!("check the key of the provider {provider}"),
        LlmError::OutOfCredit(_) => format!("add credit at the provider {provider}"),
        LlmError::InvalidRequest(_) => {
            "check the model's name, and that your account may use it and its settings".to_owned()
        }
        LlmError::Transport(_)
        | LlmError::Malformed(_)
        | LlmError::TimedOut { .. }
        | LlmError::Silent { .. } => {
            format!(
                "check the address of the provider {provider} (its base_url), and that this machine reaches it"
            )
        }
        LlmError::RateLimited { .. } | LlmError::Overloaded { .. } | LlmError::Server { .. } => {
            "wait, and try again".to_owned()
        }
        _ => "see the message".to_owned(),
    }
}

/// Where there is no database yet, there is nowhere to note the few tokens of the question.
struct Unrecorded;

impl Ledger for Unrecorded {
    fn record<'a>(&'a self, record: &'a CallRecord) -> BoxFuture<'a, Result<(), LedgerError>> {
        tracing::info!(model = %record.model, tokens = record.usage.tokens(), "a call that is not recorded");
        Box::pin(async { Ok(()) })
    }
}
