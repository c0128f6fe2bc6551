//! Control groups, of either version: memory, number of processes and processor time of one command.
//!
//! A group is made below the one that this program runs in, which is the only place that is ours. Where
//! nothing may be written there, the limits of [`super::launch`] and the eyes of [`super::watch`] remain.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::model::Limits;

/// Processes in a group that are not the command's: bubblewrap's two, and the shell that starts the command.
pub(super) const OWN_PROCESSES: u64 = 3;

/// Where groups can be made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) memory: Option<Place>,
    pub(super) pids: Option<Place>,
    pub(super) cpu: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) version: Version,
    pub(super) folder: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// The groups of one command.
#[derive(Debug)]
pub(super) struct Group {
    places: Places,
    name: String,
}

/// What the groups have counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) cpu: Option<Duration>,
    pub(super) peak_memory: Option<u64>,
    pub(super) killed_for_memory: bool,
    pub(super) refused_processes: bool,
}

impl Places {
    /// Looks where this process may make groups; makes and removes one to be sure.
    pub(super) fn find() -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let v1 = |controller: &str| {
            let folder = v1_folder(&own, &mounts, controller)?;
            writable(&folder).then_some(Place { version: Version::V1, folder })
        };
        let unified = v2_folder(&own, &mounts).filter(|folder| writable(folder));
        let v2 = |controller: &str| {
            let folder = unified.clone()?;
            delegated(&folder, controller).then_some(Place { version: Version::V2, folder })
        };
        Self {
            memory: v1("memory").or_else(|| v2("memory")),
            pids: v1("pids").or_else(|| v2("pids")),
            cpu: v1("cpuacct").or_else(|| v2("cpu")),
        }
    }

    /// Whether this machine keeps a controller in groups of version 1, which are not handed on to users.
    pub(super) fn are_v1(controller: &str) -> bool {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        v1_folder(&own, &mounts, controller).is_some()
    }

    fn all(&self) -> impl Iterator<Item = &Place> {
        [&self.memory, &self.pids, &self.cpu].into_iter().flatten()
    }

    /// The folders that a group of this name has or will have, each once.
    pub(super) fn folders(&self, name: &str) -> Vec<PathBuf> {
        let mut folders: Vec<_> = self.all().map(|place| place.folder.join(name)).collect();
        folders.sort();
        folders.dedup();
        folders
    }

    /// Makes the groups and writes the limits into them.
    pub(super) fn create(&self, name: &str, limits: &Limits) -> io::Result<Group> {
        let group = Group { places: self.clone(), name: name.to_owned() };
        for folder in group.folders() {
            if folder.exists() {
                remove(&folder)?;
            }
            fs::create_dir(&folder)?;
        }
        if let Some(place) = &self.memory {
            limit_memory(place.version, &place.folder.join(name), limits.memory_bytes)?;
        }
        if let Some(place) = &self.pids {
            let most = u64::from(limits.processes) + OWN_PROCESSES;
            fs::write(place.folder.join(name).join("pids.max"), most.to_string())?;
        }
        Ok(group)
    }
}

fn limit_memory(version: Version, folder: &Path, bytes: u64) -> io::Result<()> {
    match version {
        Version::V1 => {
            fs::write(folder.join("memory.limit_in_bytes"), bytes.to_string())?;
            // Missing where the kernel does not count swap.
            let _ = fs::write(folder.join("memory.memsw.limit_in_bytes"), bytes.to_string());
        }
        Version::V2 => {
            fs::write(folder.join("memory.max"), bytes.to_string())?;
            let _ = fs::write(folder.join("memory.swap.max"), "0");
            let _ = fs::write(folder.join("memory.oom.group"), "1");
        }
    }
    Ok(())
}

impl Group {
    /// The group that this process is in, where a container shows it. `None` where there is none with a
    /// limit on memory: what is counted there may be the whole machine's.
    pub(super) fn own() -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let v1 = |controller: &str| {
            let folder = root.join(controller);
            folder.is_dir().then_some(Place { version: Version::V1, folder })
        };
        let limited = |file: &str| number(&root.join(file)).is_some_and(|bytes| bytes < 1 << 60);
        let places = if limited("memory/memory.limit_in_bytes") {
            Places { memory: v1("memory"), pids: v1("pids"), cpu: v1("cpuacct") }
        } else if limited("memory.max") {
            let place = Some(Place { version: Version::V2, folder: root.into() });
            Places { memory: place.clone(), pids: place.clone(), cpu: place }
        } else {
            return None;
        };
        Some(Self { places, name: String::new() })
    }

    fn folders(&self) -> Vec<PathBuf> {
        self.places.folders(&self.name)
    }

    /// Open files that take members: a process of one thread that writes `0` to each has joined.
    ///
    /// In version 1 that is `tasks`: moving one thread does not wait, as moving a process through
    /// `cgroup.procs` does, until no thread of the machine forks (5 to 12 ms).
    pub(super) fn doors(&self) -> io::Result<Vec<OwnedFd>> {
        let open = |folder: &PathBuf| {
            let tasks = folder.join("tasks");
            let door = if tasks.exists() { tasks } else { folder.join("cgroup.procs") };
            OpenOptions::new().write(true).open(door).map(File::into)
        };
        self.folders().iter().map(open).collect()
    }

    pub(super) fn counted(&self) -> Counted {
        let mut counted = Counted::default();
        if let Some(place) = &self.places.cpu {
            let folder = place.folder.join(&self.name);
            counted.cpu = match place.version {
                Version::V1 => number(&folder.join("cpuacct.usage")).map(Duration::from_nanos),
                Version::V2 => field(&folder.join("cpu.stat"), "usage_usec").map(Duration::from_micros),
            };
        }
        if let Some(place) = &self.places.memory {
            let folder = place.folder.join(&self.name);
            let (peak, events) = match place.version {
                Version::V1 => ("memory.max_usage_in_bytes", "memory.oom_control"),
                Version::V2 => ("memory.peak", "memory.events"),
            };
            counted.peak_memory = number(&folder.join(peak));
            counted.killed_for_memory = field(&folder.join(events), "oom_kill").is_some_and(|n| n > 0);
        }
        if let Some(place) = &self.places.pids {
            let events = place.folder.join(&self.name).join("pids.events");
            counted.refused_processes = field(&events, "max").is_some_and(|n| n > 0);
        }
        counted
    }

    /// Memory in use now that cannot be given back, files in memory included: what is kept of files on disk
    /// does not count.
    pub(super) fn in_use(&self) -> Option<u64> {
        let place = self.places.memory.as_ref()?;
        let file = place.folder.join(&self.name).join("memory.stat");
        let text = fs::read_to_string(file).ok()?;
        let own = match place.version {
            Version::V1 => "rss",
            Version::V2 => "anon",
        };
        Some(value(&text, own)? + value(&text, "shmem").unwrap_or(0))
    }

    /// How often the kernel has killed for memory.
    pub(super) fn kills(&self) -> u64 {
        let Some(place) = &self.places.memory else { return 0 };
        let events = match place.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        field(&place.folder.join(&self.name).join(events), "oom_kill").unwrap_or(0)
    }

    pub(super) fn limits_memory(&self) -> bool {
        self.places.memory.is_some()
    }

    pub(super) fn limits_processes(&self) -> bool {
        self.places.pids.is_some()
    }

    /// Kills what is left in the groups and removes them. Blocks for up to about two seconds.
    pub(super) fn remove(&self) -> io::Result<()> {
        self.folders().iter().try_for_each(|folder| remove(folder))
    }

    /// Kills every process in the groups, once.
    pub(super) fn kill(&self) {
        self.folders().iter().for_each(|folder| kill(folder));
    }
}

/// Kills what is in a group and removes it. A group that is not there is fine.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    for attempt in 0..100 {
        match fs::remove_dir(folder) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if attempt == 99 => return Err(error),
            Err(_) => {
                kill(folder);
                std::thread::sleep(Duration::from_millis(if attempt < 20 { 1 } else { 25 }));
            }
        }
    }
    Ok(())
}

fn kill(folder: &Path) {
    if fs::write(folder.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 1) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
    }
}

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn field(file: &Path, name: &str) -> Option<u64> {
    value(&fs::read_to_string(file).ok()?, name)
}

fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn writable(folder: &Path) -> bool {
    let attempt = folder.join(format!("orchestrator-attempt-{}", std::process::id()));
    fs::create_dir(&attempt).and_then(|()| fs::remove_dir(&attempt)).is_ok()
}

/// Whether children of a version 2 group get a controller; turns it on where that is allowed.
///
/// The kernel refuses to turn it on in a group that has processes itself, so this process moves into a
/// child first. That is only done where it is the only one: a service with a group of its own.
fn delegated(folder: &Path, controller: &str) -> bool {
    let has = |file: &str| {
        let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
        text.split_whitespace().any(|word| word == controller)
    };
    if has("cgroup.subtree_control") {
        return true;
    }
    if !has("cgroup.controllers") {
        return false;
    }
    let turn_on = || fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
    if turn_on().is_err() {
        let members = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        let own = std::process::id().to_string();
        if members.lines().any(|pid| pid != own) {
            return false;
        }
        let inner = folder.join("orchestrator");
        let _ = fs::create_dir(&inner);
        if fs::write(inner.join("cgroup.procs"), &own).and_then(|()| turn_on()).is_err() {
            return false;
        }
    }
    has("cgroup.subtree_control")
}

/// The folder of the process's own version 1 group of a controller (cgroups(7), proc(5) on mountinfo).
fn v1_folder(own: &str, mounts: &str, controller: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        controllers.split(',').any(|name| name == controller).then_some(path)
    })?;
    mounted(mounts, "cgroup", Some(controller), path)
}

/// The folder of the process's own version 2 group.
fn v2_folder(own: &str, mounts: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounted(mounts, "cgroup2", None, path)
}

fn mounted(mounts: &str, kind: &str, option: Option<&str>, path: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let (found, _, options) = (file_system.next()?, file_system.next()?, file_system.next()?);
        if found != kind || option.is_some_and(|option| !options.split(',').any(|name| name == option)) {
            return None;
        }
        let inside = if root == "/" { path } else { path.strip_prefix(root)? };
        Some(Path::new(point).join(inside.trim_start_matches('/')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
32 31 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
";

    #[test]
    fn the_own_group_is_found_in_a_hybrid_layout() {
        let own = "4:memory:/a/b\n2:cpu,cpuacct:/\n0::/init.scope\n";
        let folder = |controller| v1_folder(own, HYBRID, controller);
        assert_eq!(folder("memory"), Some(PathBuf::from("/sys/fs/cgroup/memory/a/b")));
        assert_eq!(folder("cpuacct"), Some(PathBuf::from("/sys/fs/cgroup/cpu,cpuacct/")));
        assert_eq!(folder("pids"), None);
        assert_eq!(v2_folder(own, HYBRID), Some(PathBuf::from("/sys/fs/cgroup/unified/init.scope")));
    }

    #[test]
    fn a_mount_that_shows_only_a_part_of_the_hierarchy_is_understood() {
        let mounts = "34 31 0:31 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let at = |path: &str| v1_folder(&format!("4:memory:{path}"), mounts, "memory");
        assert_eq!(at("/docker/x/y"), Some(PathBuf::from("/sys/fs/cgroup/memory/y")));
        assert_eq!(at("/elsewhere"), None);
    }
}
