//! `orchestrator gates`: which gates are found in a repository and why, and what they say of the commit that is
//! checked out. No database, no model, and nothing is written into the repository.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use crate::application::{self, command_limits, egress_policy, redactor};
use crate::config::{Config, Environment, RepositoryPolicy};
use crate::domain::{GateReport, Requirement, Verdict};
use crate::gates::{self, Gate, Round, RoundEnd, Stores};
use crate::pipeline::gate_policy;
use crate::speech::{FoundGate, Gateway, found_gate, gate_result};
use crate::workspace::{CommitSha, ContentReader, Mirrors, RepoPath, Snapshot, SnapshotLimits};

use super::run::{InputError, surveyed};
use super::{Exit, load_quietly, quiet_log};

#[derive(Debug, Args)]
pub(super) struct GatesArguments {
    /// The git repository to look at: its folder, or one inside it. The commit that is checked out counts.
    #[arg(long, value_name = "PATH", default_value = ".")]
    repo: PathBuf,
    /// Run the gates in the sandbox.
    #[arg(long)]
    run: bool,
    /// Write everything that the gates print into this folder, a file each.
    #[arg(long, value_name = "DIR", requires = "run")]
    logs: Option<PathBuf>,
    /// Print one JSON object, also where it is an error.
    #[arg(long)]
    json: bool,
    /// Print the log too.
    #[arg(long, short)]
    verbose: bool,
}

/// A repository as it is checked out.
struct Looked {
    repository: PathBuf,
    commit: CommitSha,
    files: Snapshot,
    policy: gates::GatePolicy,
}

pub(super) async fn gates(
    arguments: GatesArguments,
    file: Option<PathBuf>,
    environment: &Environment,
) -> anyhow::Result<Exit> {
    let for_programs = arguments.json;
    let done = work(arguments, file, environment).await;
    if for_programs {
        let value = match &done {
            Ok((_, value)) => value.clone(),
            Err(error) => {
                let exit = Exit::of(error);
                json!({ "outcome": exit.name(), "exit": exit as u8, "error": format!("{error:#}") })
            }
        };
        println!("{value}");
    }
    done.map(|(exit, _)| exit)
}

async fn work(
    arguments: GatesArguments,
    file: Option<PathBuf>,
    environment: &Environment,
) -> anyhow::Result<(Exit, Value)> {
    quiet_log(arguments.verbose)?;
    let config = load_quietly(file, environment)?;
    let looked = look(&arguments, &config).await?;
    let found = gates::discover(&looked.files, Some(&looked.policy))?;
    let say = |line: &dyn Fn(&Gateway) -> String| {
        if !arguments.json {
            let redactor = redactor(&config, None);
            let redact = |text: &str| redactor.clean(text);
            println!("{}", line(&Gateway::new(&redact, &[])));
        }
    };
    for gate in &found {
        say(&|gateway| found_gate(gateway, &shown(gate)));
    }
    if found.is_empty() {
        say(&|_| "no gate was found: name some in .orchestrator/config.yaml".to_owned());
    }
    let ended = match arguments.run {
        true => run(&config, &looked, &found).await?,
        false => RoundEnd::default(),
    };
    if let Some(folder) = &arguments.logs {
        write_logs(folder, &ended).with_context(|| format!("writing logs into {}", folder.display()))?;
    }
    let reports = ended.reports;
    for report in &reports {
        say(&|gateway| gate_result(gateway, report));
    }
    let exit = if arguments.run { exit(&reports) } else { Exit::Done };
    let gates: Vec<Value> =
        found.iter().enumerate().map(|(at, gate)| as_json(gate, reports.get(at))).collect();
    let commit = looked.commit.as_str();
    Ok((exit, json!({ "outcome": exit.name(), "exit": exit as u8, "commit": commit, "gates": gates })))
}

async fn look(arguments: &GatesArguments, config: &Config) -> anyhow::Result<Looked> {
    let survey = surveyed(&arguments.repo)?;
    let mirrors = Mirrors::new(config.data_dir.join("mirrors"));
    let local = mirrors.open_local(&survey.path).await.map_err(InputError::from)?;
    let (mirror, head) = (local.mirror.clone(), local.head.clone());
    let files =
        tokio::task::spawn_blocking(move || mirror.snapshot(&head, &SnapshotLimits::default())).await??;
    let path = RepoPath::parse(RepositoryPolicy::PATH)?;
    let policy = match files.files.get(&path) {
        Some(entry) => {
            let mut reader = ContentReader::default();
            RepositoryPolicy::parse(&String::from_utf8_lossy(entry.bytes.read(&mut reader)?))?
        }
        None => RepositoryPolicy::default(),
    };
    Ok(Looked { repository: survey.path, commit: local.head, files, policy: gate_policy(&policy) })
}

async fn run(config: &Config, looked: &Looked, found: &[Gate]) -> anyhow::Result<RoundEnd> {
    let sandbox = application::sandbox(config).await?;
    let egress = egress_policy(config)?;
    let repository = format!("local-{}", looked.repository.display());
    let stores = Stores {
        cache_root: &config.data_dir.join("dependencies"),
        repository: &repository,
        egress: egress.as_ref(),
        limits: &command_limits(config),
    };
    let dependencies = gates::prepare(&*sandbox, &looked.files, Some(&looked.policy), stores).await?;
    let round = Round {
        sandbox: &*sandbox,
        dependencies: &dependencies,
        at_once: config.sandbox.gates_at_once,
        coverage_floor: looked.policy.coverage_floor,
        tree: &looked.files,
        base: None,
    };
    Ok(round.run(found).await?)
}

/// What a report shows whole is whole; of the rest there is more.
fn write_logs(folder: &Path, ended: &RoundEnd) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (number, report) in ended.reports.iter().enumerate() {
        let name = format!("{number}-{}.log", gates::file_name(&report.name));
        let mut file = std::fs::File::create(folder.join(name))?;
        match ended.outputs.iter().find(|output| output.gate == report.name) {
            Some(output) => std::io::copy(&mut output.text.whole(), &mut file)?,
            None => std::io::copy(&mut report.log.as_bytes(), &mut file)?,
        };
    }
    Ok(())
}

/// What blocks is a failure; a required gate that could not run, or none at all, proves nothing.
fn exit(reports: &[GateReport]) -> Exit {
    let mut required = reports.iter().filter(|report| report.requirement == Requirement::Required).peekable();
    if reports.iter().any(GateReport::blocks) {
        Exit::Failed
    } else if required.peek().is_some() && required.all(|report| report.verdict == Verdict::Passed) {
        Exit::Done
    } else {
        Exit::Unverified
    }
}

fn shown(gate: &Gate) -> FoundGate<'_> {
    FoundGate {
        name: &gate.name,
        kind: gate.kind,
        requirement: gate.requirement,
        command: gate.as_typed(),
        folder: gate.cwd.as_ref().map(RepoPath::as_str),
        source: &gate.source,
    }
}

fn as_json(gate: &Gate, report: Option<&GateReport>) -> Value {
    json!({
        "name": gate.name,
        "kind": gate.kind,
        "requirement": gate.requirement,
        "command": gate.command,
        "folder": gate.cwd,
        "timeout_seconds": gate.timeout.as_secs(),
        "needs": gate.needs_dependencies,
        "source": gate.source,
        "report": report,
    })
}
