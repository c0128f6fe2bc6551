//! From a forked child of ours to a running bubblewrap.
//!
//! Between fork and exec the child joins its control groups, makes what it needs visible to a user who
//! could not reach it (a toolchain or a data folder below a home that only root may enter), gives up
//! being root, and lowers its limits. All of that happens in its own mount namespace and without
//! allocating: other threads of the parent may hold any lock.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{OnceLock, mpsc};

use nix::libc;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::identity::Owner;

/// The folder that the child covers with its staged mounts, in its own mount namespace only. It exists
/// everywhere, and bubblewrap itself builds on it.
const STAGING: &CStr = c"/tmp";

/// What the child does before it becomes bubblewrap.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) owner: Owner,
    /// Files to which the child writes itself, to join a control group.
    pub(super) doors: Vec<OwnedFd>,
    /// Descriptors that bubblewrap inherits under the same numbers.
    pub(super) inherited: Vec<OwnedFd>,
    /// Resource and limit, soft and hard.
    pub(super) limits: Vec<(libc::__rlimit_resource_t, u64, u64)>,
    staged: Vec<Staged>,
    stages: Stages,
}

/// Whether sources are made visible by mounts of the child's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stages {
    /// As root: sources may lie where the sandbox's user cannot go.
    Mounts,
    /// Sources are used where they are.
    Direct,
}

#[derive(Debug)]
struct Staged {
    source: CString,
    target: CString,
    is_folder: bool,
    opened: RawFd,
}

impl Plan {
    pub(super) fn new(owner: Owner, stages: Stages) -> Self {
        Self { owner, doors: vec![], inherited: vec![], limits: vec![], staged: vec![], stages }
    }

    /// The path by which bubblewrap will find a file or folder of the host.
    pub(super) fn stage(&mut self, host: &Path) -> io::Result<PathBuf> {
        let is_folder = host.metadata()?.is_dir();
        if self.stages == Stages::Direct {
            return Ok(host.to_path_buf());
        }
        let target = format!("/tmp/{}", self.staged.len());
        let staged = Staged {
            source: CString::new(host.as_os_str().as_bytes())?,
            target: CString::new(target.as_str())?,
            is_folder,
            opened: -1,
        };
        self.staged.push(staged);
        Ok(target.into())
    }

    /// Keeps a descriptor open for bubblewrap; gives its number.
    pub(super) fn inherit(&mut self, fd: OwnedFd) -> RawFd {
        let number = fd.as_raw_fd();
        self.inherited.push(fd);
        number
    }

    /// Makes a command carry out this plan in its child.
    pub(super) fn attach(mut self, command: &mut Command) {
        let parent = libc::pid_t::try_from(std::process::id()).unwrap_or(0);
        // SAFETY: `carry_out` only makes system calls on memory that was prepared before the fork.
        unsafe { command.pre_exec(move || self.carry_out(parent)) };
    }

    fn carry_out(&mut self, parent: libc::pid_t) -> io::Result<()> {
        for door in &self.doors {
            // SAFETY: one byte of a literal.
            check(unsafe { libc::write(door.as_raw_fd(), c"0".as_ptr().cast(), 1) } as libc::c_int)?;
        }
        if !self.staged.is_empty() {
            self.mount_stage()?;
        }
        if let (Some(uid), Some(gid)) = (self.owner.uid(), self.owner.gid()) {
            // SAFETY: no pointers but an empty list.
            unsafe {
                check(libc::setgroups(0, std::ptr::null()))?;
                check(libc::setresgid(gid, gid, gid))?;
                check(libc::setresuid(uid, uid, uid))?;
            }
        }
        for (resource, soft, hard) in &self.limits {
            lower(*resource, *soft, *hard)?;
        }
        for fd in &self.inherited {
            // SAFETY: a descriptor that we own, and flags.
            check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) })?;
        }
        // A change of user clears the signal, so it is asked for last; a parent that died before has
        // already left us to another.
        // SAFETY: no pointers.
        unsafe {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            if libc::getppid() != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
        }
        Ok(())
    }

    /// Binds every source into a small file system over [`STAGING`]. The sources are opened first: some
    /// may lie below it.
    fn mount_stage(&mut self) -> io::Result<()> {
        // SAFETY: every pointer is to a string that lives as long as the plan.
        unsafe {
            check(libc::unshare(libc::CLONE_NEWNS))?;
            let slave = libc::MS_REC | libc::MS_SLAVE;
            check(libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), slave, std::ptr::null()))?;
            for staged in &mut self.staged {
                staged.opened = check(libc::open(staged.source.as_ptr(), libc::O_PATH | libc::O_CLOEXEC))?;
            }
            let flags = libc::MS_NOSUID | libc::MS_NODEV;
            let options = c"mode=0755,size=1m";
            let kind = c"tmpfs";
            check(libc::mount(
                kind.as_ptr(),
                STAGING.as_ptr(),
                kind.as_ptr(),
                flags,
                options.as_ptr().cast(),
            ))?;
            for staged in &self.staged {
                if staged.is_folder {
                    check(libc::mkdir(staged.target.as_ptr(), 0o755))?;
                } else {
                    let created = libc::open(staged.target.as_ptr(), libc::O_CREAT | libc::O_CLOEXEC, 0o644);
                    check(libc::close(check(created)?))?;
                }
                let source = ProcPath::of(staged.opened);
                let bind = libc::MS_BIND | libc::MS_REC;
                let target = staged.target.as_ptr();
                check(libc::mount(source.as_ptr(), target, std::ptr::null(), bind, std::ptr::null()))?;
                check(libc::close(staged.opened))?;
            }
        }
        Ok(())
    }
}

/// Sets a limit, or as much of it as the present hard limit allows.
pub(super) fn lower(resource: libc::__rlimit_resource_t, soft: u64, hard: u64) -> io::Result<()> {
    let mut now = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a pointer to a local of the right type.
    unsafe {
        check(libc::getrlimit(resource, &raw mut now))?;
        let wanted = libc::rlimit { rlim_cur: soft.min(now.rlim_max), rlim_max: hard.min(now.rlim_max) };
        check(libc::setrlimit(resource, &raw const wanted))?;
    }
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// `/proc/self/fd/N`, written without allocating.
struct ProcPath([u8; 32]);

impl ProcPath {
    fn of(fd: RawFd) -> Self {
        let mut path = [0; 32];
        let prefix = b"/proc/self/fd/";
        path[..prefix.len()].copy_from_slice(prefix);
        let mut rest = fd.unsigned_abs();
        let mut digits = [0; 10];
        let mut count = 0;
        while count == 0 || rest > 0 {
            digits[count] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
            count += 1;
        }
        for (place, digit) in digits[..count].iter().rev().enumerate() {
            path[prefix.len() + place] = *digit;
        }
        Self(path)
    }

    fn as_ptr(&self) -> *const libc::c_char {
        self.0.as_ptr().cast()
    }
}

struct Job {
    command: Command,
    runtime: tokio::runtime::Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// Starts a command from a thread that lives as long as this program.
///
/// "Kill me when my parent dies" means the parent *thread* (prctl(2)), and threads of a runtime's blocking
/// pool come and go. The command is dropped here, and with it our copies of the child's descriptors.
pub(super) async fn start(command: Command) -> io::Result<Child> {
    static LAUNCHER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let launcher = LAUNCHER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        // Where no thread can be made the channel is closed, and each start says so.
        let _ = std::thread::Builder::new().name("sandbox-launcher".into()).spawn(move || {
            for Job { mut command, runtime, reply } in jobs {
                let _entered = runtime.enter();
                // Spawning panics on a runtime that shuts down; the other runtimes still need this thread.
                let child = catch_unwind(AssertUnwindSafe(|| command.spawn()))
                    .unwrap_or_else(|_| Err(io::Error::other("the runtime is shutting down")));
                drop(command);
                // Nobody waits any more: the child is dropped here and so killed.
                let _ = reply.send(child);
            }
        });
        sender
    });
    let (reply, child) = oneshot::channel();
    let job = Job { command, runtime: tokio::runtime::Handle::current(), reply };
    let gone = || io::Error::other("the thread that starts sandboxes is gone");
    launcher.send(job).map_err(|_| gone())?;
    child.await.map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_paths_are_written_as_the_kernel_names_them() {
        for fd in [0, 7, 10, 19_999, i32::MAX] {
            let path = ProcPath::of(fd);
            let text = CStr::from_bytes_until_nul(&path.0).expect("terminated");
            assert_eq!(text.to_str(), Ok(format!("/proc/self/fd/{fd}").as_str()));
        }
    }
}
