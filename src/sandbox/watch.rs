//! What a running command uses, looked at from outside a few times a second.
//!
//! Control groups say it exactly. Without them the processes are found by walking down from the sandbox's
//! first process, to which every orphan in there is given.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::libc;

use super::cgroup::{Counted, Group};
use super::model::{Exit, LimitHit, Limits};
use super::walk;

/// Between two looks at the disk: at least this, and at least twenty times what the last one took.
const DISK_PAUSE: Duration = Duration::from_millis(500);

/// The eyes on one command.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) group: Option<Arc<Group>>,
    /// The sandbox's first process, once it is known.
    pub(super) first: Option<i32>,
    /// Folders whose size is limited.
    pub(super) folders: Vec<PathBuf>,
    pub(super) limits: Limits,
    pub(super) cpu: Duration,
    pub(super) peak_memory: u64,
    disk_due: Instant,
}

impl Watch {
    pub(super) fn new(group: Option<Arc<Group>>, folders: Vec<PathBuf>, limits: Limits) -> Self {
        let disk_due = Instant::now() + DISK_PAUSE;
        Self { group, first: None, folders, limits, cpu: Duration::ZERO, peak_memory: 0, disk_due }
    }

    /// Adds what is used already, by whoever is there before the command, to the limits.
    pub(super) fn begin(&mut self) {
        let seen = self.first.map(usage_below).unwrap_or_default();
        self.limits.cpu += seen.cpu;
        self.limits.memory_bytes = self.limits.memory_bytes.saturating_add(seen.memory);
    }

    /// Looks once; says which limit is passed. Blocks.
    pub(super) fn look(&mut self) -> Option<LimitHit> {
        let counted = self.group.as_ref().map(|group| group.counted()).unwrap_or_default();
        let mut processes = 0;
        if counted.cpu.is_none() || counted.peak_memory.is_none() {
            let seen = self.first.map(usage_below).unwrap_or_default();
            self.cpu = self.cpu.max(seen.cpu);
            self.peak_memory = self.peak_memory.max(seen.memory);
            processes = seen.processes;
        }
        self.cpu = counted.cpu.unwrap_or(self.cpu);
        let counted_memory = counted.peak_memory.is_some();
        self.peak_memory = counted.peak_memory.unwrap_or(self.peak_memory);
        if self.cpu > self.limits.cpu {
            return Some(LimitHit::Cpu);
        }
        if !counted_memory && self.peak_memory > self.limits.memory_bytes {
            return Some(LimitHit::Memory);
        }
        if processes > self.limits.processes.saturating_add(2) {
            return Some(LimitHit::Processes);
        }
        self.look_at_disk()
    }

    fn look_at_disk(&mut self) -> Option<LimitHit> {
        let start = Instant::now();
        if start < self.disk_due {
            return None;
        }
        let most = self.limits.disk_bytes;
        let used = self
            .folders
            .iter()
            .fold(0u64, |sum, folder| sum.saturating_add(walk::disk_use(folder, most).unwrap_or_default()));
        self.disk_due = Instant::now() + DISK_PAUSE.max(start.elapsed() * 20);
        (used > most).then_some(LimitHit::Disk)
    }
}

/// Limits that only show in how a command ended.
pub(super) fn limit_by_signs(
    exit: Exit,
    cpu: Duration,
    counted: Counted,
    limits: &Limits,
) -> Option<LimitHit> {
    match exit {
        _ if counted.killed_for_memory => Some(LimitHit::Memory),
        Exit::Signal(libc::SIGXFSZ) => Some(LimitHit::FileSize),
        Exit::Signal(libc::SIGXCPU) => Some(LimitHit::Cpu),
        _ if cpu > limits.cpu => Some(LimitHit::Cpu),
        _ if counted.refused_processes => Some(LimitHit::Processes),
        _ => None,
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Usage {
    cpu: Duration,
    memory: u64,
    processes: u32,
}

/// The usage of a process and all its descendants, with that of children who have already ended.
fn usage_below(first: i32) -> Usage {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
    let mut usage = Usage::default();
    let mut ticks_used = 0;
    let mut open = vec![first];
    while let Some(pid) = open.pop() {
        let text = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        ticks_used += processor_ticks(&text("stat")).unwrap_or(0);
        usage.memory += number(text("statm").split(' ').nth(1)) * page.unsigned_abs();
        let threads: Vec<_> =
            fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten().collect();
        usage.processes += u32::try_from(threads.len()).unwrap_or(u32::MAX);
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            open.extend(children.split_whitespace().filter_map(|pid| pid.parse::<i32>().ok()));
        }
    }
    usage.cpu = Duration::from_secs_f64(ticks_used as f64 / ticks as f64);
    usage
}

/// utime, stime, cutime and cstime of `/proc/PID/stat` (proc(5)), added. The name before them can hold
/// anything, so the fields are counted from its last bracket.
fn processor_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    Some(fields.split(' ').skip(11).take(4).map(|field| number(Some(field))).sum())
}

fn number(text: Option<&str>) -> u64 {
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_whatever_a_process_calls_itself() {
        let stat = "7 (a) b) 1 2) S 1 7 7 0 -1 4194304 100 200 0 0 11 22 33 44 20 0 1 0 5 1000 10";
        assert_eq!(processor_ticks(stat), Some(110));
        assert_eq!(processor_ticks("nonsense"), None);
    }

    #[test]
    fn a_child_is_counted_with_its_parent() {
        let mut child = std::process::Command::new("/bin/sh")
            .args(["-c", "sleep 300 & sleep 300 & wait"])
            .spawn()
            .expect("started");
        let pid = i32::try_from(child.id()).expect("a pid");
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = usage_below(pid);
        while seen.processes < 3 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
            seen = usage_below(pid);
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let pids = children.split_whitespace().map(|pid| pid.parse().expect("a pid"));
        for pid in pids.chain([pid]) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
        }
        child.wait().expect("reaped");
        assert_eq!(seen.processes, 3);
        assert!(seen.memory > 0);
    }
}
