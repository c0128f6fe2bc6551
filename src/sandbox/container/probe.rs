//! What containers can do on this machine, in words for `doctor`.

use super::{Container, Shared};
use crate::sandbox::probe::{Finding, ProbeReport, try_out};

pub(super) async fn probe(sandbox: &Container, shared: &Shared) -> ProbeReport {
    let mut report = try_out(sandbox, |error| match error.to_string() {
        said if said.contains("GLIBC") || said.contains("no such file") => {
            "The image has to be able to run this program: one with a C library as recent as the one that it \
             was built with, such as that of deploy/sandbox.Containerfile"
        }
        _ => "See the section on sandboxes in docs/operations.md",
    })
    .await;
    let good = |what: String| Finding::Good { what };
    report.findings.push(good(format!("{} runs the image {}", shared.engine.name, shared.options.image)));
    report.findings.push(match &shared.options.runtime {
        Some(runtime) => good(format!("containers are made by {runtime}")),
        None => Finding::Weaker {
            what: "containers share this machine's kernel".into(),
            mend: "That is usual; for a kernel between install gVisor and set sandbox.container.runtime"
                .into(),
        },
    });
    let limits = [("memory", shared.engine.limits_memory), ("processes", shared.engine.limits_processes)];
    report.findings.extend(limits.into_iter().map(|(what, is_limited)| {
        match is_limited {
            true => good(format!("{what}: limited by the container's control group")),
            false => Finding::Weaker {
                what: format!("{what}: the engine cannot limit it, so it is sampled ten times a second"),
                mend:
                    "Use an engine that may write control groups: cgroup v2 with delegation, or a rootful one"
                        .into(),
            },
        }
    }));
    if shared.engine.is_rootless && !shared.engine.is_podman {
        report.findings.push(Finding::Weaker {
            what: "rootless Docker maps users, so set-up steps cannot fill the folders of packages".into(),
            mend: "Use rootless Podman, or Docker as root".into(),
        });
    }
    let has_seccomp = shared.engine.security.iter().any(|option| option.contains("seccomp"));
    report.findings.push(match has_seccomp {
        true => good("system calls are filtered by the engine's filter and by our own".into()),
        false => good("system calls are filtered by our own filter".into()),
    });
    report
}
