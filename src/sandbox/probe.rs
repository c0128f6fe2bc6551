//! What the sandbox can do on this machine, in words for `doctor`.

use std::fmt;
use std::time::{Duration, Instant};

use super::bubblewrap::{Bubblewrap, Shared};
use super::cgroup::Places;
use super::launch::Stages;
use super::model::{Command, Exit, Outcome, Sandbox, SandboxError};
use crate::workspace::Snapshot;

/// What was found out about the sandbox.
#[derive(Debug, Clone)]
pub struct ProbeReport {
    /// Whether a command ran.
    pub works: bool,
    /// From the request for a sandbox to the end of a command that does nothing, where one ran.
    pub start_time: Option<Duration>,
    pub findings: Vec<Finding>,
}

/// One property of the sandbox here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    Good {
        what: String,
    },
    /// It works, with less protection or less precision than it could.
    Weaker {
        what: String,
        mend: String,
    },
    Broken {
        what: String,
        mend: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good { what } => f.write_str(what),
            Self::Weaker { what, mend } | Self::Broken { what, mend } => write!(f, "{what}. {mend}"),
        }
    }
}

pub(super) async fn probe(sandbox: &Bubblewrap, shared: &Shared) -> ProbeReport {
    let mut report = try_out(sandbox, mend).await;
    report.findings.push(identity(shared));
    report.findings.extend(groups(shared));
    report.findings.extend(features(shared));
    report.findings.push(disk());
    for toolchain in &shared.options.toolchains {
        report.findings.push(Finding::Good { what: format!("the {} toolchain is visible", toolchain.name) });
    }
    report
}

/// Runs a command that does nothing; `mend` says what to do about an error.
pub(super) async fn try_out(
    sandbox: &dyn Sandbox,
    mend: impl Fn(&SandboxError) -> &'static str,
) -> ProbeReport {
    let start = Instant::now();
    let outcome = attempt(sandbox).await;
    let start_time = start.elapsed();
    let mut findings = vec![];
    let works = match &outcome {
        Ok(outcome) if outcome.exit == Exit::Code(0) => true,
        Ok(outcome) => {
            let said = format!("{}{}", outcome.stdout.text(), outcome.stderr.text());
            findings.push(Finding::Broken {
                what: format!("a command in a sandbox ended with {:?}: {}", outcome.exit, said.trim()),
                mend: "Look at what it said".into(),
            });
            false
        }
        Err(error) => {
            findings.push(Finding::Broken { what: error.to_string(), mend: mend(error).into() });
            false
        }
    };
    ProbeReport { works, start_time: works.then_some(start_time), findings }
}

async fn attempt(sandbox: &dyn Sandbox) -> Result<Outcome, SandboxError> {
    let session = sandbox.open(&Snapshot::default()).await?;
    let outcome = session.run(&Command::new(["true"])).await;
    session.close().await?;
    outcome
}

fn mend(error: &SandboxError) -> &'static str {
    match error {
        SandboxError::Setup { reason } if reason.contains("namespace") || reason.contains("uid map") => {
            "Unprivileged user namespaces are off. Turn them on: `sysctl kernel.unprivileged_userns_clone=1` \
             on older Debian, `sysctl kernel.apparmor_restrict_unprivileged_userns=0` or a profile for bwrap on \
             Ubuntu 24.04; in a container, allow `unshare` and `mount` and do not mask /proc; in a systemd \
             unit, let RestrictNamespaces name those of deploy/orchestrator.service or leave it out"
        }
        SandboxError::Unavailable { .. } => "Install bubblewrap 0.5 or newer",
        _ => {
            "The words before are bubblewrap's own. What it needs of a container is in deploy/compose.yaml, what \
             it needs of a systemd unit in deploy/orchestrator.service"
        }
    }
}

fn identity(shared: &Shared) -> Finding {
    let (first, last) = (shared.options.user_ids.start(), shared.options.user_ids.end());
    match (nix::unistd::geteuid().is_root(), shared.stages) {
        (true, Stages::Mounts) => {
            Finding::Good { what: format!("each sandbox has a user id of its own, {first} to {last}") }
        }
        (true, Stages::Direct) => Finding::Weaker {
            what: "root without CAP_SYS_ADMIN: toolchains and data below folders that only root may enter cannot \
                   be used"
                .into(),
            mend: "Run as an ordinary user, or keep them where everybody may read".into(),
        },
        (false, _) => Finding::Weaker {
            what: "all sandboxes run as this program's own user, apart from each other by namespaces only".into(),
            mend: "Running as root gives each a user id of its own".into(),
        },
    }
}

fn groups(shared: &Shared) -> Vec<Finding> {
    let places = &shared.places;
    let of_what = [
        ("memory", "memory", &places.memory),
        ("processes", "pids", &places.pids),
        ("processor time", "cpuacct", &places.cpu),
    ];
    of_what
        .into_iter()
        .map(|(what, controller, place)| match place {
            Some(_) => Finding::Good { what: format!("{what}: counted and limited by a control group") },
            None => Finding::Weaker {
                what: format!(
                    "{what}: no control group may be made, so the limit is sampled ten times a second"
                ),
                mend: if Places::are_v1(controller) {
                    "Run as root: this machine's control groups are of version 1, which only root may make"
                        .into()
                } else {
                    "Run as root, or as a systemd unit with Delegate=yes".into()
                },
            },
        })
        .collect()
}

/// What there is of a quota. Nothing that an ordinary user may set up stops the very write that is too much.
fn disk() -> Finding {
    Finding::Good {
        what: "disk: the tree's size is looked at twice a second, so a fast writer can overshoot by what it \
               writes meanwhile; no file grows past its own limit"
            .into(),
    }
}

fn features(shared: &Shared) -> Vec<Finding> {
    let upgrade = "Upgrade bubblewrap to 0.8 or newer";
    let weaker = |what: &str| Finding::Weaker { what: what.into(), mend: upgrade.into() };
    let mut findings = vec![];
    if !shared.features.size {
        findings.push(weaker("files in /tmp are limited only by the memory limit"));
    }
    if !shared.features.disable_userns {
        findings.push(weaker("user namespaces inside are refused by the system call filter alone"));
    }
    findings.push(Finding::Good { what: "system calls are filtered".into() });
    findings
}
