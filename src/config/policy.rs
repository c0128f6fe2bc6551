//! What a repository says about itself in `.orchestrator/config.yaml`, read from its default branch.
//!
//! Strangers write this file: nothing in it can raise a limit of the deployment, and `${…}` in it is
//! plain text.

use std::path::Path;
use std::time::Duration;

use super::candidates;
use super::document::Document;
use super::error::{ConfigError, nearest};
use super::implementer::ImplementerPolicy;
use super::keys::policy_keys;
use super::paths::PathPolicy;
use super::policy_file::{Gate, PolicyFile, PolicyLimitsFile};
use super::policy_models::ModelsPolicy;
use super::resolve::{ROUNDS, SEVERITIES, check_address, check_reviewers, is_reviewer_name, micro_usd};
use super::router::RouterPolicy;
use super::sections::{Limits, SeverityName};
use super::stages::StagesPolicy;
use crate::domain::BudgetLimits;

/// The largest policy file that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;
const MAX_GATES: usize = 64;

/// A repository's own rules. The default is an absent file: everything as the deployment says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RepositoryPolicy {
    pub label: Option<String>,
    /// `None`: gates are found from the repository's files. An empty list means no gates.
    pub gates: Option<Vec<GateEntry>>,
    /// Commands that fetch dependencies, run before the gates where the deployment allows a set-up step.
    pub setup: Option<Vec<GateCommand>>,
    /// The least share of lines that tests have to reach, in percent: above 0, 100 at most.
    pub coverage_floor: Option<f64>,
    pub reviewers: Option<Vec<String>>,
    /// Findings of these severities block here besides those that block in the whole deployment.
    pub blocking_severities: Vec<SeverityName>,
    pub paths: PathPolicy,
    /// Who gets this repository's mail instead of the deployment's recipients.
    pub mail_to: Option<Vec<String>>,
    pub implementer: ImplementerPolicy,
    /// Candidates to write for a task; the deployment may allow fewer.
    pub candidates: Option<u32>,
    /// Workflows and the router, within what the deployment allows.
    pub router: RouterPolicy,
    /// Models by role, out of those that the deployment allows.
    pub models: ModelsPolicy,
    /// Stages that are switched on or off.
    pub stages: StagesPolicy,
    pub limits: PolicyLimits,
}

/// Where a repository describes reviewers of its own, each in a file of its name.
pub const REVIEWERS_FOLDER: &str = ".orchestrator/reviewers/";

/// The reviewer that a file of a repository describes, if it is such a file.
pub fn reviewer_of_file(path: &str) -> Option<&str> {
    let name = path.strip_prefix(REVIEWERS_FOLDER)?.strip_suffix(".md")?;
    is_reviewer_name(name).then_some(name)
}

/// What a gate may be for.
pub const GATE_KINDS: [&str; 9] =
    ["format", "lint", "types", "test", "coverage", "security", "audit", "secrets", "custom"];

/// One gate as written.
#[derive(Clone, Debug, PartialEq)]
pub struct GateEntry {
    pub name: String,
    pub run: GateCommand,
    /// One of [`GATE_KINDS`]; `None`: `custom`.
    pub kind: Option<&'static str>,
    /// `None`: the sandbox's own limit.
    pub timeout: Option<Duration>,
    /// An advisory gate (`false`) is reported and blocks nothing.
    pub required: bool,
}

/// A command: a line for the shell inside the sandbox, or a program with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateCommand {
    Shell(String),
    Argv(Vec<String>),
}

impl GateCommand {
    /// The program and its arguments; a line becomes an argument of `/bin/sh -c`.
    pub fn argv(&self) -> Vec<String> {
        match self {
            Self::Shell(line) => ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
            Self::Argv(arguments) => arguments.clone(),
        }
    }
}

/// Lower limits that a repository sets for itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyLimits {
    pub gate_rounds: Option<u8>,
    pub review_rounds: Option<u8>,
    pub agent_steps: Option<u32>,
    pub stage_wall: Option<Duration>,
    pub task_tokens: Option<u64>,
    pub task_usd: Option<f64>,
    pub repository_day: BudgetLimits,
}

impl RepositoryPolicy {
    /// Where the file lies in a repository.
    pub const PATH: &'static str = ".orchestrator/config.yaml";

    /// Reads a policy. Rounds are clamped to 1..=4 as they are in the deployment's file.
    ///
    /// # Errors
    /// The first thing that is wrong, with key, line and the nearest right key.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let name = Path::new(Self::PATH);
        if text.len() > MAX_BYTES {
            return Err(ConfigError::new(format!("the file is larger than {MAX_BYTES} bytes")).in_file(name));
        }
        let document = Document::index(name, text)?;
        let file: PolicyFile = document.parse(text, None, policy_keys())?;
        let error = |key: &str, problem: String| document.error(key, problem);
        if let Some(names) = &file.reviewers {
            check_reviewers(names).map_err(|problem| error("reviewers", problem))?;
        }
        for (index, address) in file.mail_to.iter().flatten().enumerate() {
            check_address(address).map_err(|problem| error(&format!("mail_to[{index}]"), problem))?;
        }
        if file.coverage.lines_percent.is_some_and(|floor| !(floor > 0.0 && floor <= 100.0)) {
            return Err(error("coverage.lines_percent", "must be greater than 0 and at most 100".to_owned()));
        }
        if file.label.as_deref().is_some_and(|label| label.trim().is_empty()) {
            return Err(error("label", "must not be empty".to_owned()));
        }
        Ok(Self {
            label: file.label.map(|label| label.trim().to_owned()),
            gates: file.gates.map(|gates| resolve_gates(&document, gates)).transpose()?,
            setup: file.setup,
            coverage_floor: file.coverage.lines_percent,
            reviewers: file.reviewers,
            blocking_severities: resolve_severities(&document, file.blocking_severities)?,
            paths: file.paths.of_policy(&document)?,
            mail_to: file.mail_to,
            candidates: candidates::of_policy(&document, &file.implementer)?,
            implementer: file.implementer.resolve(&document)?,
            router: file.router.resolve(&document, file.workflows)?,
            models: file.models.resolve(&document)?,
            stages: file.stages.of_policy(&document)?,
            limits: resolve_limits(&document, &file.limits)?,
        })
    }
}

fn resolve_severities(
    document: &Document,
    written: Option<Vec<String>>,
) -> Result<Vec<SeverityName>, ConfigError> {
    let known = |(index, name): (usize, &String)| {
        let found =
            SEVERITIES.into_iter().find(|severity| severity.as_str().eq_ignore_ascii_case(name.trim()));
        found.ok_or_else(|| {
            let names = SEVERITIES.map(SeverityName::as_str);
            let problem = format!("expected one of {}", names.join(", "));
            let near = nearest(name, names).map(str::to_owned);
            document.error(&format!("blocking_severities[{index}]"), problem).suggest(near)
        })
    };
    written.iter().flatten().enumerate().map(known).collect()
}

fn resolve_gates(document: &Document, gates: Vec<Gate>) -> Result<Vec<GateEntry>, ConfigError> {
    if gates.len() > MAX_GATES {
        return Err(document.error("gates", format!("there are more than {MAX_GATES} gates")));
    }
    let mut entries: Vec<GateEntry> = Vec::with_capacity(gates.len());
    for (index, gate) in gates.into_iter().enumerate() {
        let key = |field: &str| format!("gates[{index}].{field}");
        let name = gate.name.as_deref().map(str::trim).unwrap_or_default().to_owned();
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            let problem = "every gate needs a `name` of at most 100 characters on one line";
            return Err(document.error(&format!("gates[{index}]"), problem));
        }
        if entries.iter().any(|entry| entry.name == name) {
            return Err(document.error(&key("name"), "another gate has this name"));
        }
        let run = gate.run.filter(|run| !matches!(run, GateCommand::Shell(line) if line.trim().is_empty()));
        let Some(run) = run else {
            return Err(document.error(&format!("gates[{index}]"), "every gate needs a command in `run`"));
        };
        if gate.timeout_seconds.is_some_and(|seconds| !(1..=86_400).contains(&seconds)) {
            return Err(document.error(&key("timeout_seconds"), "must lie between 1 and 86400"));
        }
        let kind = gate.kind.map(|kind| known_kind(&kind).ok_or(kind)).transpose();
        let kind = kind.map_err(|unknown| {
            let problem = format!("`{unknown}` is no kind of gate, which are {}", GATE_KINDS.join(", "));
            document.error(&key("kind"), problem).suggest(nearest(&unknown, GATE_KINDS).map(str::to_owned))
        })?;
        entries.push(GateEntry {
            name,
            run,
            kind,
            timeout: gate.timeout_seconds.map(Duration::from_secs),
            required: gate.required.unwrap_or(true),
        });
    }
    Ok(entries)
}

fn known_kind(written: &str) -> Option<&'static str> {
    GATE_KINDS.into_iter().find(|kind| *kind == written.trim())
}

fn resolve_limits(document: &Document, file: &PolicyLimitsFile) -> Result<PolicyLimits, ConfigError> {
    let at_least_one = |name: &str, value: Option<u64>| match value {
        Some(0) => Err(document.error(&format!("limits.{name}"), "must be at least 1")),
        value => Ok(value),
    };
    let rounds = |value: Option<u64>| {
        value.map(|rounds| u8::try_from(rounds.clamp(*ROUNDS.start(), *ROUNDS.end())).unwrap_or(4))
    };
    for (name, usd) in [("task_usd", file.task_usd), ("repository_day_usd", file.repository_day_usd)] {
        if usd.is_some_and(|usd| !(usd.is_finite() && usd > 0.0)) {
            return Err(document.error(&format!("limits.{name}"), "must be greater than 0"));
        }
    }
    let steps = at_least_one("agent_steps", file.agent_steps)?;
    Ok(PolicyLimits {
        gate_rounds: rounds(file.gate_rounds),
        review_rounds: rounds(file.review_rounds),
        agent_steps: steps.map(|steps| u32::try_from(steps).unwrap_or(u32::MAX)),
        stage_wall: at_least_one("stage_wall_seconds", file.stage_wall_seconds)?.map(Duration::from_secs),
        task_tokens: at_least_one("task_tokens", file.task_tokens)?,
        task_usd: file.task_usd,
        repository_day: BudgetLimits {
            tokens: at_least_one("repository_day_tokens", file.repository_day_tokens)?,
            cost_micro_usd: file.repository_day_usd.map(micro_usd),
        },
    })
}

impl Limits {
    /// What a task may spend where nobody changed it.
    pub fn task(&self) -> BudgetLimits {
        BudgetLimits { tokens: Some(self.task_tokens), cost_micro_usd: Some(micro_usd(self.task_usd)) }
    }

    /// The deployment's limits, lowered where the repository's policy asks for less.
    #[must_use]
    pub fn lowered_by(&self, policy: &PolicyLimits) -> Self {
        fn lower<T: PartialOrd + Copy>(ours: T, theirs: Option<T>) -> T {
            theirs.filter(|theirs| *theirs < ours).unwrap_or(ours)
        }
        fn lower_of(ours: Option<u64>, theirs: Option<u64>) -> Option<u64> {
            [ours, theirs].into_iter().flatten().min()
        }
        Self {
            gate_rounds: lower(self.gate_rounds, policy.gate_rounds),
            review_rounds: lower(self.review_rounds, policy.review_rounds),
            agent_steps: lower(self.agent_steps, policy.agent_steps),
            stage_wall: lower(self.stage_wall, policy.stage_wall),
            task_tokens: lower(self.task_tokens, policy.task_tokens),
            task_usd: lower(self.task_usd, policy.task_usd),
            repository_day: BudgetLimits {
                tokens: lower_of(self.repository_day.tokens, policy.repository_day.tokens),
                cost_micro_usd: lower_of(
                    self.repository_day.cost_micro_usd,
                    policy.repository_day.cost_micro_usd,
                ),
            },
            ..self.clone()
        }
    }
}
