//! What goes on while a command runs: threads that feed it, hear it and watch it, and the wait for its end
//! and that of all that it started.

use std::io::{self, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::listen::{Input, Listener};
use super::run::kill_all;
use super::say;
use super::wire::{self, Kind, Run};
use crate::sandbox::cgroup::Group;
use crate::sandbox::model::{Exit, LimitHit};
use crate::sandbox::watch::Watch;

/// Between two looks at what the command uses.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two quick looks, where no control group of its own limits memory and processes.
const BLINK: Duration = Duration::from_millis(10);

/// Quick looks at what no control group limits, because it has more in it than the command.
pub(super) struct Eyes {
    pub(super) group: Option<Arc<Group>>,
    /// Bytes in use when the command began.
    pub(super) before: u64,
    pub(super) memory: u64,
    pub(super) processes: u32,
    pub(super) peak: u64,
}

impl Eyes {
    fn look(&mut self) -> Option<LimitHit> {
        if let Some(group) = &self.group {
            self.peak = group.in_use().unwrap_or(0).saturating_sub(self.before).max(self.peak);
            if self.peak > self.memory {
                return Some(LimitHit::Memory);
            }
        }
        // This process is one of them; threads are counted by the slower look.
        (processes() > self.processes.saturating_add(1)).then_some(LimitHit::Processes)
    }
}

fn processes() -> u32 {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_process = |name: &std::ffi::OsStr| name.as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
    u32::try_from(entries.filter(|entry| is_process(&entry.file_name())).count()).unwrap_or(u32::MAX)
}

/// How a command ended.
pub(super) struct Ended {
    pub(super) exit: Exit,
    pub(super) limit: Option<LimitHit>,
    pub(super) wall: Duration,
    pub(super) peak_memory: u64,
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

    fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.end.notify_all();
    }
}

/// What waits for the command, and then attends to it.
pub(super) struct Threads {
    state: Arc<State>,
    began: Instant,
    stdin: Sender<ChildStdin>,
    out: (Sender<ChildStdout>, JoinHandle<()>),
    err: (Sender<ChildStderr>, JoinHandle<()>),
    clock: JoinHandle<()>,
    /// Gives the highest use of memory that was seen.
    watch: JoinHandle<u64>,
}

impl Threads {
    pub(super) fn start(watch: Watch, eyes: Option<Eyes>, run: &Run, listener: &Listener) -> Self {
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
        let watch = look(watch, eyes, &state);
        Self { state, began, stdin: feed(listener.input()), out, err, clock, watch }
    }

    /// Ends all of them without a command; gives the time since they began.
    pub(super) fn nothing_started(self) -> Duration {
        self.state.end();
        drop((self.stdin, self.out, self.err));
        let _ = (self.clock.join(), self.watch.join());
        self.began.elapsed()
    }

    pub(super) fn attend(self, mut child: Child) -> io::Result<Ended> {
        let state = self.state;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        // A thread that is not there any more has said why.
        let _ = child.stdin.take().map(|pipe| self.stdin.send(pipe));
        let _ = child.stdout.take().map(|pipe| self.out.0.send(pipe));
        let _ = child.stderr.take().map(|pipe| self.err.0.send(pipe));
        let (exit, memory) = wait_for(pid)?;
        state.end();
        reap_all();
        let wall = self.began.elapsed();
        let peak_memory = self.watch.join().map_err(|_| io::Error::other("the watch broke"))?;
        for thread in [self.out.1, self.err.1, self.clock] {
            let _ = thread.join();
        }
        // What ended before the first look was seen by nobody else.
        let peak_memory = if peak_memory == 0 { memory } else { peak_memory };
        let limit = *state.limit.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Ended { exit, limit, wall, peak_memory })
    }
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Waits for the command, and meanwhile for every orphan. Gives how it ended, and the most memory that it, or
/// a process that it waited for, was seen to have by the kernel.
fn wait_for(command: Pid) -> io::Result<(Exit, u64)> {
    loop {
        match wait() {
            Ok((WaitStatus::Exited(pid, code), memory)) if pid == command => return Ok((exit(code), memory)),
            Ok((WaitStatus::Signaled(pid, signal, _), memory)) if pid == command => {
                return Ok((Exit::Signal(signal as i32), memory));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// wait4(2) for any child.
fn wait() -> nix::Result<(WaitStatus, u64)> {
    let mut status = 0;
    // SAFETY: a structure of numbers, for which zeros are values.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to variables of the right type.
    let pid = Errno::result(unsafe { libc::wait4(-1, &raw mut status, 0, &raw mut usage) })?;
    let memory = u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024;
    Ok((WaitStatus::from_raw(Pid::from_raw(pid), status)?, memory))
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

/// Passes the host's input on.
fn feed(input: Option<Receiver<Input>>) -> Sender<ChildStdin> {
    let (sender, command) = channel::<ChildStdin>();
    std::thread::spawn(move || {
        let (Some(input), Ok(mut stdin)) = (input, command.recv()) else { return };
        while let Ok(Input::Bytes(bytes)) = input.recv() {
            // A command that does not read all of its input is no error.
            let _ = stdin.write_all(&bytes);
        }
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

fn look(mut watch: Watch, mut eyes: Option<Eyes>, state: &Arc<State>) -> JoinHandle<u64> {
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        let mut due = Instant::now() + PAUSE;
        let pause = if eyes.is_some() { BLINK } else { PAUSE };
        while !state.ended_within(pause) {
            if let Some(limit) = eyes.as_mut().and_then(Eyes::look) {
                state.kill_for(limit);
            }
            if eyes.is_none() || Instant::now() >= due {
                due = Instant::now() + PAUSE;
                if let Some(limit) = watch.look() {
                    state.kill_for(limit);
                }
            }
        }
        eyes.filter(|eyes| eyes.group.is_some()).map_or(watch.peak_memory, |eyes| eyes.peak)
    })
}
