//! Watching a run until it ends, with a line for each state that its tasks come to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};

use crate::domain::{GateReport, State, Task, TaskId};
use crate::speech::{Gateway, gate_progress, progress};
use crate::store::{ArtifactKind, Store};
use crate::telemetry::Redactor;

/// How often it is looked whether something happened.
const LOOK: Duration = Duration::from_millis(100);

/// Progress goes to standard error, so that standard output is the result alone.
pub(super) struct Follower<'a> {
    pub store: &'a Store,
    pub run: TaskId,
    pub redactor: &'a Redactor,
    shown: BTreeMap<TaskId, u64>,
    started: Instant,
    /// A line that moves, on a terminal only.
    spinner: ProgressBar,
}

impl<'a> Follower<'a> {
    /// `shown`: versions of tasks up to which nothing is told, because an earlier process did.
    pub(super) fn new(
        store: &'a Store,
        run: TaskId,
        redactor: &'a Redactor,
        shown: BTreeMap<TaskId, u64>,
    ) -> Self {
        let spinner = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>8}  {spinner} {wide_msg}") {
            spinner.set_style(style);
        }
        Self { store, run, redactor, shown, started: Instant::now(), spinner }
    }

    /// Returns once no task of the run goes on by itself.
    ///
    /// # Errors
    /// When the database fails, and when a task was left at work with nobody to do it: a fault of ours.
    pub(super) async fn run_to_the_end(&mut self) -> anyhow::Result<()> {
        loop {
            let tasks = self.store.tasks_of_run(self.run).await?;
            for task in &tasks {
                self.show(task, tasks.len()).await?;
            }
            self.turn(&tasks).await?;
            let mut left = 0;
            for task in &tasks {
                left += self.store.jobs_left(task.id).await?;
            }
            if left == 0 && self.unchanged(&tasks).await? {
                self.spinner.finish_and_clear();
                return match tasks.iter().find(|task| task.stage().is_some()) {
                    None => Ok(()),
                    Some(stuck) => bail!(
                        "the task {} is {} and nobody works on it: run with --verbose and --resume {} to see why",
                        stuck.id,
                        stuck.state.name(),
                        stuck.id
                    ),
                };
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) fn say(&self, line: &str) {
        if self.spinner.is_hidden() {
            eprintln!("{line}");
        } else {
            self.spinner.println(line);
        }
    }

    /// Two looks at tasks and jobs are no snapshot: a job may end and start another between them.
    async fn unchanged(&self, seen: &[Task]) -> anyhow::Result<bool> {
        let now = self.store.tasks_of_run(self.run).await?;
        let versions = |tasks: &[Task]| tasks.iter().map(|task| (task.id, task.version)).collect::<Vec<_>>();
        Ok(versions(&now) == versions(seen))
    }

    async fn show(&mut self, task: &Task, of: usize) -> anyhow::Result<()> {
        let known = self.shown.get(&task.id).copied();
        let history = self.store.history(task.id).await?;
        let redact = |text: &str| self.redactor.clean(text);
        let gateway = Gateway::new(&redact, &[]);
        let mark = if of > 1 { format!("[{}/{of}] ", task.ordinal) } else { String::new() };
        for record in history.iter().filter(|record| known.is_none_or(|known| record.version > known)) {
            if record.event == "gated" {
                let gates = self.store.latest_artifact(task, ArtifactKind::Gates).await?;
                match read_gates(gates.as_deref()) {
                    Ok(gates) => gates.iter().for_each(|gate| self.say(&gate_progress(&gateway, gate))),
                    Err(reason) => self.say(&redact(&format!("          the gates ran, but {reason}"))),
                }
            }
            let then = self.store.task_as_of(task.id, record.version).await?;
            // What runs here is approved by running it and at work at once, and the check before publishing
            // changes nothing that a person sees.
            let quiet = matches!(then.state, State::Queued | State::AwaitingApproval);
            if !quiet && record.event != "publish_checked" {
                self.say(&format!("{mark}{}", progress(&gateway, &then, self.started.elapsed())));
            }
        }
        let last = history.last().map_or(0, |record| record.version);
        self.shown.insert(task.id, last);
        Ok(())
    }

    /// The line that moves: what was spent so far.
    async fn turn(&self, tasks: &[Task]) -> anyhow::Result<()> {
        if self.spinner.is_hidden() {
            return Ok(());
        }
        let mut usage = crate::domain::Usage::default();
        for task in tasks {
            usage += self.store.usage_of(task.id).await?;
        }
        let cost = match usage.cost_micro_usd {
            0 => String::new(),
            _ => format!(", {:.2} USD", usage.cost_usd()),
        };
        let message = format!("{} model calls, {} tokens{cost}", usage.calls, usage.tokens());
        self.spinner.set_message(message);
        self.spinner.tick();
        Ok(())
    }
}

/// The reports that a task kept, or why they cannot be shown.
fn read_gates(kept: Option<&[u8]>) -> Result<Vec<GateReport>, String> {
    let bytes = kept.ok_or("their report was not kept")?;
    serde_json::from_slice(bytes).map_err(|error| format!("their kept report cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_cannot_be_read_is_said_to_be_so() {
        assert_eq!(read_gates(Some(b"[]")), Ok(vec![]));
        assert_eq!(read_gates(None), Err("their report was not kept".into()));
        let reason = read_gates(Some(b"[{}]")).expect_err("no report");
        assert!(reason.starts_with("their kept report cannot be read: missing field"), "{reason}");
    }
}
