//! Hearing a command out: its output, its end, and the moment when it has to be stopped.

use std::future::pending;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use nix::libc;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::capture::Captured;
use super::cgroup::Group;
use super::model::{Command, LimitHit};
use super::run::Started;
use super::watch::Watch;

/// Between two looks at what the command uses.
const PAUSE: Duration = Duration::from_millis(100);
/// How long after its end, or after it was killed, a command's last output is waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// All that was heard of a command.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
    /// The limit for which it was killed.
    pub(super) limit: Option<LimitHit>,
    /// The command's exit code, as the first process inside reported it.
    pub(super) code: Option<i32>,
    /// How bubblewrap itself ended.
    pub(super) status: Option<ExitStatus>,
    pub(super) watch: Watch,
}

/// Listens to a command until it and all that it started are dead. Dropping the future kills them.
pub(super) async fn listen(started: Started, command: &Command, watch: Watch) -> io::Result<Heard> {
    let Started { mut child, status, spool, _etc } = started;
    let mut reports = Some(pipe::Receiver::from_owned_fd(status)?);
    let mut streams = (child.stdout.take(), child.stderr.take());
    let feeding = feed(child.stdin.take(), command.stdin.as_deref().unwrap_or_default());
    tokio::pin!(feeding);
    let output = || Captured::spooled(&spool, command.limits.output_bytes);
    let mut listener = Listener::new(child, watch, command, (output(), output()));
    let (mut out, mut err, mut report) = (vec![0; 64 * 1024], vec![0; 64 * 1024], vec![0; 4096]);
    let mut fed = false;
    while !(listener.status.is_some() && streams.0.is_none() && streams.1.is_none() && reports.is_none()) {
        tokio::select! {
            () = &mut feeding, if !fed => fed = true,
            n = chunk(&mut streams.0, &mut out) => listener.hear(Stream::Out, &out[..n]),
            n = chunk(&mut streams.1, &mut err) => listener.hear(Stream::Err, &err[..n]),
            n = chunk(&mut reports, &mut report) => listener.take_report(&report[..n]),
            status = listener.child.wait(), if listener.status.is_none() => listener.ended(status?),
            looked = joined(&mut listener.looking) => listener.looked(looked?),
            () = sleep_until(listener.next_look), if listener.watch.is_some() => listener.look(),
            () = sleep_until(listener.deadline) => {
                if !listener.time_is_up() {
                    // It may be we who were held up: what had come by then still counts.
                    listener.hear(Stream::Out, &rest(&mut streams.0).await);
                    listener.hear(Stream::Err, &rest(&mut streams.1).await);
                    listener.take_report(&rest(&mut reports).await);
                    break;
                }
            }
        }
    }
    listener.end(streams).await
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

struct Listener {
    child: Child,
    group: Option<Arc<Group>>,
    first: Option<FirstProcess>,
    /// Not there while it looks.
    watch: Option<Watch>,
    looking: Option<JoinHandle<(Watch, Option<LimitHit>)>>,
    next_look: Instant,
    /// When to kill; once killed or ended, when to stop listening.
    deadline: Instant,
    output_left: u64,
    stdout: Captured,
    stderr: Captured,
    reports: Vec<u8>,
    limit: Option<LimitHit>,
    status: Option<ExitStatus>,
}

impl Listener {
    fn new(child: Child, watch: Watch, command: &Command, output: (Captured, Captured)) -> Self {
        Self {
            child,
            group: watch.group.clone(),
            first: None,
            watch: Some(watch),
            looking: None,
            next_look: Instant::now() + PAUSE / 4,
            deadline: Instant::now() + command.limits.wall,
            output_left: command.limits.output_bytes,
            stdout: output.0,
            stderr: output.1,
            reports: vec![],
            limit: None,
            status: None,
        }
    }

    fn hear(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Out => self.stdout.push(bytes),
            Stream::Err => self.stderr.push(bytes),
        }
        match self.output_left.checked_sub(bytes.len() as u64) {
            Some(left) => self.output_left = left,
            None => self.kill(LimitHit::Output),
        }
    }

    fn take_report(&mut self, bytes: &[u8]) {
        if self.reports.len() < 64 * 1024 {
            self.reports.extend_from_slice(bytes);
        }
        if self.first.is_none()
            && let Some(pid) = reported(&self.reports, "child-pid")
        {
            self.first = FirstProcess::open(pid);
        }
    }

    fn look(&mut self) {
        let first = reported(&self.reports, "child-pid");
        let Some(mut watch) = self.watch.take() else { return };
        watch.first = first;
        self.looking = Some(tokio::task::spawn_blocking(move || {
            let passed = watch.look();
            (watch, passed)
        }));
    }

    fn looked(&mut self, (watch, passed): (Watch, Option<LimitHit>)) {
        self.looking = None;
        self.watch = Some(watch);
        self.next_look = Instant::now() + PAUSE;
        if let Some(limit) = passed {
            self.kill(limit);
        }
    }

    fn ended(&mut self, status: ExitStatus) {
        self.status = Some(status);
        self.deadline = Instant::now() + LAST_WORDS;
    }

    /// Kills for the time on the clock; `false` when that, or the end, is already past.
    fn time_is_up(&mut self) -> bool {
        let first_time = self.status.is_none() && self.limit.is_none();
        if first_time {
            self.kill(LimitHit::Wall);
        }
        first_time
    }

    fn kill(&mut self, limit: LimitHit) {
        if self.limit.is_none() && self.status.is_none() {
            self.limit = Some(limit);
            self.deadline = Instant::now() + LAST_WORDS;
        }
        self.kill_all();
    }

    /// bubblewrap's death kills its first process inside, and that one's death kills all others; each is
    /// also killed for itself.
    fn kill_all(&mut self) {
        if let Some(first) = &self.first {
            first.kill();
        }
        // An error means that it has already ended.
        let _ = self.child.start_kill();
        if let Some(group) = &self.group {
            group.kill();
        }
    }

    /// Waits until nothing is left that could write a file or use the machine.
    async fn end(mut self, streams: (Option<ChildStdout>, Option<ChildStderr>)) -> io::Result<Heard> {
        if let Some(first) = &self.first
            && timeout(LAST_WORDS, first.ended()).await.is_err()
        {
            self.kill_all();
        }
        if self.status.is_none() {
            self.kill_all();
            self.status = Some(self.child.wait().await?);
        }
        drop(streams);
        let watch = match (self.watch.take(), self.looking.take()) {
            (Some(watch), _) => watch,
            (None, looking) => joined(&mut { looking }).await?.0,
        };
        Ok(Heard {
            code: reported(&self.reports, "exit-code"),
            stdout: self.stdout,
            stderr: self.stderr,
            limit: self.limit,
            status: self.status,
            watch,
        })
    }
}

/// A number from the JSON documents, one a line, that `bwrap --json-status-fd` writes.
fn reported(reports: &[u8], field: &str) -> Option<i32> {
    let lines = reports.split(|byte| *byte == b'\n');
    let mut documents = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    documents.find_map(|document| i32::try_from(document.get(field)?.as_i64()?).ok())
}

/// Reads some of a stream, which becomes `None` at its end.
async fn chunk<R: AsyncRead + Unpin>(stream: &mut Option<R>, buffer: &mut [u8]) -> usize {
    let Some(reader) = stream else { return pending().await };
    let n = reader.read(buffer).await.unwrap_or(0);
    if n == 0 {
        *stream = None;
    }
    n
}

/// What a stream holds at this moment; whoever goes on writing is not heard out.
async fn rest<R: AsyncRead + Unpin>(stream: &mut Option<R>) -> Vec<u8> {
    let until = Instant::now() + Duration::from_millis(50);
    let (mut all, mut buffer) = (vec![], vec![0; 64 * 1024]);
    while stream.is_some()
        && all.len() < 1 << 20
        && let Ok(n) = timeout_at(until, chunk(stream, &mut buffer)).await
    {
        all.extend_from_slice(&buffer[..n]);
    }
    all
}

/// The result of a task; waits for ever where there is none.
async fn joined<T>(task: &mut Option<JoinHandle<T>>) -> io::Result<T> {
    match task {
        Some(task) => task.await.map_err(io::Error::other),
        None => pending().await,
    }
}

/// Writes a command's input. One that does not read all of it is no error.
async fn feed(stdin: Option<ChildStdin>, bytes: &[u8]) {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(bytes).await;
        let _ = stdin.shutdown().await;
    }
}

/// The first process inside, held so that its number cannot come to mean another one.
struct FirstProcess(AsyncFd<OwnedFd>);

impl FirstProcess {
    fn open(pid: i32) -> Option<Self> {
        // SAFETY: numbers only; a descriptor that is not negative is ours, and stays open in its `OwnedFd`.
        unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
            let fd = OwnedFd::from_raw_fd(i32::try_from(fd).ok().filter(|fd| *fd >= 0)?);
            AsyncFd::register_with_interest(fd, Interest::READABLE).ok().map(Self)
        }
    }

    fn kill(&self) {
        let no_info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: no memory is read: the pointer is null.
        unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.get_ref().as_raw_fd(),
                libc::SIGKILL,
                no_info,
                0,
            )
        };
    }

    /// Waits for its end, which the kernel reports only when every process in its namespace is gone.
    async fn ended(&self) {
        let _ = self.0.readable().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_line_by_line() {
        let text = b"{ \"child-pid\": 42, \"net-namespace\": 4026531833 }\n{ \"exit-code\": 3 }\n";
        assert_eq!(reported(text, "child-pid"), Some(42));
        assert_eq!(reported(text, "exit-code"), Some(3));
        assert_eq!(reported(&text[..20], "child-pid"), None);
    }
}
