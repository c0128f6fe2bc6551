//! From a forked child of the first process to the command.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::libc;

use crate::sandbox::launch::lower;
use crate::sandbox::rlimits::Rlimit;

/// What a command is started with.
pub(super) struct Start<'a> {
    pub(super) argv: &'a [String],
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) folder: &'a Path,
    pub(super) limits: Vec<Rlimit>,
    /// System call filters, as bytes of `struct sock_filter`.
    pub(super) filters: Vec<Vec<u8>>,
}

/// Why a command did not start.
pub(super) enum NotStarted {
    /// As a shell says it: 127 where there is no such program, 126 where it cannot be executed.
    Command { code: i32, reason: String },
    /// The child could not be prepared.
    Setup(io::Error),
}

impl Start<'_> {
    pub(super) fn spawn(self) -> Result<Child, NotStarted> {
        let Some((program, arguments)) = self.argv.split_first() else {
            return Err(NotStarted::Setup(io::Error::other("no command was given")));
        };
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.env).current_dir(self.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (limits, filters) = (self.limits, self.filters);
        // SAFETY: `prepare` only makes system calls on memory that was made before the fork.
        unsafe { command.pre_exec(move || prepare(&limits, &filters)) };
        command.spawn().map_err(|error| {
            let reason = format!("{program}: {error}\n");
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => NotStarted::Command { code: 127, reason },
                Some(libc::EACCES | libc::ENOEXEC | libc::EISDIR | libc::ELOOP | libc::E2BIG) => {
                    NotStarted::Command { code: 126, reason }
                }
                _ => NotStarted::Setup(error),
            }
        })
    }
}

/// The first to go when memory runs out (proc(5)), whatever the first process takes: it has to tell of it. With
/// less, a small limit lets the kernel choose the first process.
const OUT_OF_MEMORY_FIRST: &[u8] = b"1000";

fn prepare(limits: &[Rlimit], filters: &[Vec<u8>]) -> io::Result<()> {
    // SAFETY: each pointer is to a literal, or to memory that outlives the call.
    unsafe {
        check(libc::setsid())?;
        // Without this its own files in /proc would be root's, as its parent's are.
        check(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0))?;
        let file = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if file >= 0 {
            // Without it the kernel may choose worse, and the host still learns of it.
            libc::write(file, OUT_OF_MEMORY_FIRST.as_ptr().cast(), OUT_OF_MEMORY_FIRST.len());
            libc::close(file);
        }
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
    }
    for (resource, soft, hard) in limits {
        lower(*resource, *soft, *hard)?;
    }
    for filter in filters {
        let program = libc::sock_fprog {
            len: libc::c_ushort::try_from(filter.len() / 8).unwrap_or(0),
            filter: filter.as_ptr().cast_mut().cast(),
        };
        // SAFETY: the kernel copies the filter, whose length is right.
        unsafe {
            check(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0))?
        };
    }
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
