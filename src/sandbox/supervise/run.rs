//! One command: what has to be so before it, how it is started, and what is made of its end.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::unistd::{AccessFlags, Pid, access};

use super::attend::{Eyes, Threads, micros};
use super::child::{NotStarted, Start};
use super::ipc;
use super::listen::Listener;
use super::places::{self, Scratch};
use super::tunnel::Tunnel;
use super::wire::{self, End, Kind, Ran, Rooms, Run};
use super::{OWN_TASKS, say};
use crate::sandbox::arguments::WORK;
use crate::sandbox::cgroup::{Counted, Group};
use crate::sandbox::model::Exit;
use crate::sandbox::rlimits::{self, Memory};
use crate::sandbox::seccomp;
use crate::sandbox::walk::{self, Kind as Entry};
use crate::sandbox::watch::{Watch, limit_by_signs};

pub(super) fn run(run: Run, listener: &Listener) -> io::Result<End> {
    let Rooms::Shared { emptied, scratch, tunnel, .. } = &run.rooms else {
        return match moved_mount(&run.mounted)? {
            Some(moved) => Ok(End::ThroughALink(moved)),
            None => attend(&run, listener),
        };
    };
    for place in &run.mounted {
        match places::kind(place) {
            Ok(Some(Entry::Folder | Entry::File)) => {}
            Ok(_) => return Ok(End::NotThere(place.clone())),
            Err(_) => return Ok(End::ThroughALink(place.clone())),
        }
    }
    let scratch = match Scratch::make(scratch)? {
        Ok(scratch) => scratch,
        Err(moved) => return Ok(End::ThroughALink(moved)),
    };
    if *tunnel {
        listener.connect(Some(Tunnel::start()?));
    }
    let end = attend(&run, listener);
    listener.connect(None);
    scratch.empty()?;
    emptied.iter().try_for_each(|place| places::empty(place, &[]))?;
    ipc::remove_all()?;
    end
}

fn attend(run: &Run, listener: &Listener) -> io::Result<End> {
    let is_writable = |place: &&PathBuf| access(place.as_path(), AccessFlags::W_OK).is_ok();
    if let Some(place) = run.writable.iter().find(|place| !is_writable(place)) {
        // runc before 1.2 gives a file system in memory the owner and the mode of the folder below it.
        let why = "make the folder below it writable for everybody (mode 1777), or use crun or runc 1.2";
        return Ok(End::Failed(format!("{} cannot be written to: {why}", place.display())));
    }
    let mut folder = PathBuf::from(WORK);
    if let Some(cwd) = &run.cwd {
        let below = Path::new(cwd.as_str());
        if !matches!(walk::kind_below(&folder, below), Ok(Some(Entry::Folder))) {
            return Ok(End::NoSuchFolder);
        }
        folder.push(below);
    }
    // It is there when a file system in memory kept it; the command sees what is wrong with it.
    let _ = std::fs::create_dir("/tmp/home");
    let before = Before::look(&run.rooms)?;
    let start = Start {
        argv: &run.argv,
        env: &run.env,
        folder: &folder,
        limits: before.rlimits(run),
        filters: seccomp::filters().map_err(io::Error::other)?,
    };
    let (watch, eyes) = before.watch(run);
    // Threads first: a command that takes every process there may be must not keep us from having them.
    let threads = Threads::start(watch, eyes, run, listener);
    let child = match start.spawn() {
        Ok(child) => child,
        Err(not_started) => {
            let wall_us = micros(threads.nothing_started());
            let (code, reason) = match not_started {
                NotStarted::Setup(error) => return Err(error),
                NotStarted::Command { code, reason } => (code, reason),
            };
            say(&wire::frame(Kind::Err, reason.as_bytes()))?;
            let exit = Exit::Code(code);
            return Ok(End::Ran(Ran { exit, limit: None, cpu_us: 0, peak_memory_bytes: 0, wall_us }));
        }
    };
    if listener.is_stopped() {
        kill_all();
    }
    let ended = threads.attend(child)?;
    let counted = before.counted();
    let cpu = counted.cpu.unwrap_or(used()?.saturating_sub(before.cpu));
    Ok(End::Ran(Ran {
        exit: ended.exit,
        limit: ended.limit.or_else(|| limit_by_signs(ended.exit, cpu, counted, &run.limits)),
        cpu_us: micros(cpu),
        peak_memory_bytes: counted.peak_memory.unwrap_or(ended.peak_memory),
        wall_us: micros(ended.wall),
    }))
}

/// What is counted already when a command begins.
struct Before {
    group: Option<Arc<Group>>,
    cpu: Duration,
    /// Of a pod, whose control group is not the command's alone: memory in use, and how often the kernel has
    /// killed for it.
    shared: Option<(u64, u64)>,
}

impl Before {
    fn look(rooms: &Rooms) -> io::Result<Self> {
        let group = Group::own().map(Arc::new);
        let shared = match rooms {
            Rooms::Own => None,
            Rooms::Shared { .. } => Some(
                group.as_ref().map(|group| (group.in_use().unwrap_or(0), group.kills())).unwrap_or_default(),
            ),
        };
        Ok(Self { group, cpu: used()?, shared })
    }

    fn rlimits(&self, run: &Run) -> Vec<rlimits::Rlimit> {
        let processes = match run.rooms {
            Rooms::Own => None,
            Rooms::Shared { most_processes, .. } => Some(most_processes),
        };
        let counted =
            self.group.as_ref().is_some_and(|group| self.shared.is_none() || group.in_use().is_some());
        let memory = if counted { Memory::Grouped } else { Memory::PerProcess };
        rlimits::of(&run.limits, processes, memory)
    }

    fn watch(&self, run: &Run) -> (Watch, Option<Eyes>) {
        let own_group = self.group.clone().filter(|_| self.shared.is_none());
        let mut watch = Watch::new(own_group, run.watched.clone(), run.limits.clone());
        // Our own threads are below this process too.
        watch.limits.processes = watch.limits.processes.saturating_add(OWN_TASKS);
        watch.first = Some(1);
        let Some((before, _)) = self.shared else { return (watch, None) };
        watch.begin();
        let group = self.group.clone().filter(|group| group.in_use().is_some());
        if group.is_some() {
            // It is looked at more often than all processes could be.
            watch.limits.memory_bytes = u64::MAX;
        }
        let (memory, processes) = (run.limits.memory_bytes, run.limits.processes);
        (watch, Some(Eyes { group, before, memory, processes, peak: 0 }))
    }

    fn counted(&self) -> Counted {
        let Some(group) = &self.group else { return Counted::default() };
        match self.shared {
            None => group.counted(),
            Some((_, kills)) => Counted { killed_for_memory: group.kills() > kills, ..Counted::default() },
        }
    }
}

/// Processor time of all that has ended: every orphan becomes a child of the first process.
fn used() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// The first place at which nothing is mounted by that name.
fn moved_mount(expected: &[PathBuf]) -> io::Result<Option<PathBuf>> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    // proc(5): the fifth field, with white space and backslashes as octal numbers.
    let is_there = |place: &PathBuf| {
        let written: String = place.to_string_lossy().chars().map(escaped).collect();
        mounts.lines().any(|line| line.split(' ').nth(4) == Some(written.as_str()))
    };
    Ok(expected.iter().find(|place| !is_there(place)).cloned())
}

fn escaped(character: char) -> String {
    match character {
        ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(character)),
        other => other.to_string(),
    }
}

/// Kills every process but this one; the kernel does it all at once, and forks that are under way fail.
pub(super) fn kill_all() {
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_where_nothing_is_mounted_is_found() {
        let (there, missing) = (PathBuf::from("/proc"), PathBuf::from("/no/such place"));
        assert_eq!(moved_mount(std::slice::from_ref(&there)).expect("mounts"), None);
        assert_eq!(moved_mount(&[there, missing.clone()]).expect("mounts"), Some(missing));
    }

    #[test]
    fn it_refuses_to_run_outside_of_a_container() {
        let error = super::super::serve().expect_err("this is a test's process").to_string();
        assert_eq!(error, "this is not the first process of a container");
    }
}
