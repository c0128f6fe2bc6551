//! One command: started, fed, heard, watched, and ended with all that it started.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{AccessFlags, Pid, access};

use super::child::{NotStarted, Start};
use super::wire::{self, End, Kind, Ran, Run};
use super::{OWN_TASKS, say};
use crate::sandbox::arguments::WORK;
use crate::sandbox::cgroup::Group;
use crate::sandbox::model::{Exit, LimitHit};
use crate::sandbox::rlimits::{self, Memory};
use crate::sandbox::seccomp;
use crate::sandbox::walk::{self, Kind as Entry};
use crate::sandbox::watch::{Watch, limit_by_signs};

/// Between two looks at what the command uses.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn run(run: Run) -> io::Result<End> {
    if let Some(moved) = moved_mount(&run.mounted)? {
        return Ok(End::ThroughALink(moved));
    }
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
    let group = Group::own().map(Arc::new);
    let memory = if group.is_some() { Memory::Grouped } else { Memory::PerProcess };
    let start = Start {
        argv: &run.argv,
        env: &run.env,
        folder: &folder,
        limits: rlimits::of(&run.limits, None, memory),
        filters: seccomp::filters().map_err(io::Error::other)?,
    };
    let mut watch = Watch::new(group, run.watched.clone(), run.limits.clone());
    // Our own threads are below this process too.
    watch.limits.processes = watch.limits.processes.saturating_add(OWN_TASKS);
    watch.first = Some(1);
    // Threads first: a command that takes every process there may be must not keep us from having them.
    let threads = Threads::start(watch, &run);
    let child = match start.spawn() {
        Ok(child) => child,
        Err(NotStarted::Setup(error)) => return Err(error),
        Err(NotStarted::Command { code, reason }) => {
            say(&wire::frame(Kind::Err, reason.as_bytes()))?;
            let wall_us = micros(threads.began.elapsed());
            let exit = Exit::Code(code);
            return Ok(End::Ran(Ran { exit, limit: None, cpu_us: 0, peak_memory_bytes: 0, wall_us }));
        }
    };
    Ok(End::Ran(threads.attend(child, &run)?))
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

/// What the threads share.
#[derive(Default)]
struct State {
    limit: Mutex<Option<LimitHit>>,
    ended: Mutex<bool>,
    end: Condvar,
    heard: AtomicU64,
    silent: AtomicBool,
}

impl State {
    fn kill_for(&self, limit: LimitHit) {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(limit);
        kill_all();
    }

    /// Waits, at most so long, for the command's end; `true` when it came.
    fn ended_within(&self, time: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.end.wait_timeout_while(ended, time, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// Kills every process but this one; the kernel does it all at once, and forks that are under way fail.
fn kill_all() {
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
}

/// What waits for the command, and then attends to it.
struct Threads {
    state: Arc<State>,
    began: Instant,
    stdin: Sender<ChildStdin>,
    out: (Sender<ChildStdout>, JoinHandle<()>),
    err: (Sender<ChildStderr>, JoinHandle<()>),
    clock: JoinHandle<()>,
    watch: JoinHandle<Watch>,
}

impl Threads {
    fn start(watch: Watch, run: &Run) -> Self {
        let (state, began) = (Arc::new(State::default()), Instant::now());
        let clock = {
            let (state, wall) = (Arc::clone(&state), run.limits.wall);
            std::thread::spawn(move || {
                if !state.ended_within(wall) {
                    state.kill_for(LimitHit::Wall);
                }
            })
        };
        let most = run.limits.output_bytes;
        let out = hear(Kind::Out, most, &state);
        let err = hear(Kind::Err, most, &state);
        let watch = look(watch, &state);
        Self { state, began, stdin: feed(), out, err, clock, watch }
    }

    fn attend(self, mut child: Child, run: &Run) -> io::Result<Ran> {
        let state = self.state;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        // A thread that is not there any more has said why.
        let _ = child.stdin.take().map(|pipe| self.stdin.send(pipe));
        let _ = child.stdout.take().map(|pipe| self.out.0.send(pipe));
        let _ = child.stderr.take().map(|pipe| self.err.0.send(pipe));
        let exit = wait_for(pid)?;
        *state.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        state.end.notify_all();
        reap_all();
        let wall_us = micros(self.began.elapsed());
        let watch = self.watch.join().map_err(|_| io::Error::other("the watch broke"))?;
        for thread in [self.out.1, self.err.1, self.clock] {
            let _ = thread.join();
        }
        let counted = watch.group.as_ref().map(|group| group.counted()).unwrap_or_default();
        let cpu = counted.cpu.unwrap_or(used()?);
        let hit = *state.limit.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Ran {
            exit,
            limit: hit.or_else(|| limit_by_signs(exit, cpu, counted, &run.limits)),
            cpu_us: micros(cpu),
            peak_memory_bytes: counted.peak_memory.unwrap_or(watch.peak_memory),
            wall_us,
        })
    }
}

/// Processor time of all that has ended: every orphan becomes a child of the first process.
fn used() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Waits for the command, and meanwhile for every orphan.
fn wait_for(command: Pid) -> io::Result<Exit> {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == command => return Ok(exit(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == command => {
                return Ok(Exit::Signal(signal as i32));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// 128 + n reads as signal n, as bubblewrap reports it.
fn exit(code: i32) -> Exit {
    if (129..=192).contains(&code) { Exit::Signal(code - 128) } else { Exit::Code(code) }
}

/// Kills what is left and waits until it is gone.
fn reap_all() {
    kill_all();
    while !matches!(waitpid(None, None), Err(error) if error != Errno::EINTR) {
        kill_all();
    }
}

/// Passes the host's input on; when the host is gone, so is everything here.
fn feed() -> Sender<ChildStdin> {
    let (sender, command) = channel();
    std::thread::spawn(move || {
        let mut stdin: Option<ChildStdin> = command.recv().ok();
        let mut input = io::stdin();
        while let Ok(frame) = wire::read(&mut input) {
            match (frame.kind, &mut stdin) {
                // A command that does not read all of its input is no error.
                (Kind::Content, Some(pipe)) => drop(pipe.write_all(&frame.bytes)),
                (Kind::End, _) => stdin = None,
                _ => {}
            }
        }
        kill_all();
        std::process::exit(128 + libc::SIGKILL);
    });
    sender
}

/// Passes a stream on until its end; past the limit the command is killed and the rest is dropped.
fn hear<R: Read + Send + 'static>(kind: Kind, most: u64, state: &Arc<State>) -> (Sender<R>, JoinHandle<()>) {
    let state = Arc::clone(state);
    let (sender, command) = channel::<R>();
    let thread = std::thread::spawn(move || {
        let Ok(mut from) = command.recv() else { return };
        let mut buffer = vec![0; wire::PIECE];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            let heard = state.heard.fetch_add(n as u64, Ordering::Relaxed) + n as u64;
            let was_silent = state.silent.load(Ordering::Relaxed);
            if !was_silent && say(&wire::frame(kind, &buffer[..n])).is_err() {
                return;
            }
            if heard > most && !was_silent {
                state.silent.store(true, Ordering::Relaxed);
                state.kill_for(LimitHit::Output);
            }
        }
    });
    (sender, thread)
}

fn look(mut watch: Watch, state: &Arc<State>) -> JoinHandle<Watch> {
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        while !state.ended_within(PAUSE) {
            if let Some(limit) = watch.look() {
                state.kill_for(limit);
            }
        }
        watch
    })
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
