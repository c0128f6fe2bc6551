//! What the engine is told to make: the container of one command, and the ones that carry the tree.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount as EngineMount,
    MountType,
};

use super::Shared;
use crate::sandbox::arguments::{CA_BUNDLE, PROGRAM_INSIDE, SOCKET, WORK, base_environment};
use crate::sandbox::model::{Access, Command, Limits};
use crate::sandbox::supervise::OWN_TASKS;
use crate::sandbox::supervise::wire::{Rooms, Run};

/// Memory for this program when it carries the tree.
const CARRIER_MEMORY: u64 = 512 << 20;
/// For one that serves the file tools this is what files in memory may take at least.
const LEAST_IN_MEMORY: u64 = 1 << 20;

/// A container that is to be made.
pub(super) struct Spec {
    capabilities: &'static [&'static str],
    memory_bytes: u64,
    processes: u32,
    mounts: Vec<EngineMount>,
    tmpfs: Vec<(String, u64)>,
    /// Who the first process is, and whose the file systems in memory are.
    owner: (u32, u32),
}

/// Who the first process is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Carrier {
    /// Root, with no more than it takes to give the tree's folder away and to become its owner.
    GivesAway,
    /// The tree's owner.
    Owner { uid: u32, gid: u32 },
}

impl Spec {
    /// A container that writes or reads the tree; no code of the tree runs in it.
    pub(super) fn carrier(shared: &Shared, session: &str, carrier: Carrier) -> Self {
        let (owner, capabilities): (_, &[&str]) = match carrier {
            Carrier::GivesAway => ((0, 0), &["CHOWN", "SETUID", "SETGID"]),
            Carrier::Owner { uid, gid } => ((uid, gid), &[]),
        };
        Self {
            owner,
            capabilities,
            memory_bytes: CARRIER_MEMORY,
            processes: OWN_TASKS,
            mounts: base_mounts(shared, session),
            tmpfs: vec![("/tmp".into(), LEAST_IN_MEMORY)],
        }
    }

    /// The container of a command.
    pub(super) fn command(
        shared: &Shared,
        session: &str,
        (uid, gid): (u32, u32),
        command: &Command,
        egress: Option<&Path>,
    ) -> Self {
        let Limits { memory_bytes, processes, .. } = command.limits;
        let mut mounts = base_mounts(shared, session);
        if let Some(socket) = egress {
            mounts.push(bind(socket, Path::new(SOCKET), Access::ReadWrite));
            mounts.extend(
                shared
                    .options
                    .ca_bundle
                    .iter()
                    .map(|file| bind(file, Path::new(CA_BUNDLE), Access::ReadOnly)),
            );
        }
        mounts.extend(command.mounts.iter().map(|mount| bind(&mount.host, &mount.inside, mount.access)));
        let mut tmpfs = vec![("/tmp".to_owned(), memory_bytes / 2)];
        tmpfs.extend(command.scratch.iter().map(|folder| (folder.display().to_string(), memory_bytes / 4)));
        let processes = processes.saturating_add(OWN_TASKS);
        Self { capabilities: &[], memory_bytes, processes, mounts, tmpfs, owner: (uid, gid) }
    }

    /// The request to the engine. Resource limits that are set for each process are set by this program
    /// inside: an engine that may not raise a limit that it is given would refuse to start at all.
    pub(super) fn body(self, shared: &Shared, session: &str) -> ContainerCreateBody {
        let engine = &shared.engine;
        let memory = i64::try_from(self.memory_bytes).unwrap_or(i64::MAX);
        let words = |list: &[&str]| Some(list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        let host = HostConfig {
            network_mode: Some("none".into()),
            readonly_rootfs: Some(true),
            privileged: Some(false),
            cap_drop: words(&["ALL"]),
            cap_add: words(self.capabilities),
            // The engine's own system call filter stays; ours is added inside.
            security_opt: words(&["no-new-privileges"]),
            memory: engine.limits_memory.then_some(memory),
            memory_swap: engine.limits_memory.then_some(memory),
            pids_limit: engine.limits_processes.then_some(i64::from(self.processes)),
            shm_size: Some(memory / 4),
            tmpfs: Some(self.tmpfs(engine.is_podman)),
            mounts: Some(self.mounts),
            // What is written is heard as it is written; nothing is kept on the engine's disk.
            log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
            ipc_mode: Some("private".into()),
            runtime: engine.runtime.clone(),
            // Rootless Podman: the same user id inside and outside, so that mounted folders fit.
            userns_mode: (engine.is_podman && engine.is_rootless).then(|| "keep-id".into()),
            ..HostConfig::default()
        };
        ContainerCreateBody {
            image: Some(shared.image.id.clone()),
            hostname: Some("sandbox".into()),
            user: Some(format!("{}:{}", self.owner.0, self.owner.1)),
            labels: Some(shared.labels(session)),
            entrypoint: words(&[PROGRAM_INSIDE]),
            cmd: words(&["in-sandbox", "supervise"]),
            working_dir: Some("/".into()),
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            open_stdin: Some(true),
            // The first process ends when its input does, and so when this program is gone.
            stdin_once: Some(true),
            tty: Some(false),
            network_disabled: Some(true),
            stop_signal: Some("SIGKILL".into()),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        }
    }

    fn tmpfs(&self, is_podman: bool) -> HashMap<String, String> {
        // Podman copies what the image has at the place, unless it is told not to, and takes no owner.
        let more = match (is_podman, self.owner) {
            (true, _) => ",notmpcopyup".to_owned(),
            (false, (uid, gid)) => format!(",uid={uid},gid={gid}"),
        };
        let mut tmpfs: HashMap<String, String> = self
            .tmpfs
            .iter()
            .map(|(place, bytes)| {
                let size = (*bytes).max(LEAST_IN_MEMORY);
                (place.clone(), format!("rw,exec,nosuid,nodev,size={size},mode=1777{more}"))
            })
            .collect();
        if is_podman {
            // Podman puts writable file systems there of its own accord where the root is read-only.
            for place in ["/run", "/var/tmp"] {
                tmpfs.insert(place.into(), format!("rw,noexec,nosuid,nodev,size=65536,mode=755{more}"));
            }
        }
        tmpfs
    }
}

fn base_mounts(shared: &Shared, session: &str) -> Vec<EngineMount> {
    let tree = EngineMount {
        typ: Some(MountType::VOLUME),
        source: Some(session.to_owned()),
        target: Some(WORK.into()),
        ..EngineMount::default()
    };
    vec![tree, bind(&shared.options.program, Path::new(PROGRAM_INSIDE), Access::ReadOnly)]
}

fn bind(host: &Path, inside: &Path, access: Access) -> EngineMount {
    EngineMount {
        typ: Some(MountType::BIND),
        source: Some(host.display().to_string()),
        target: Some(inside.display().to_string()),
        read_only: Some(access == Access::ReadOnly),
        ..EngineMount::default()
    }
}

/// What the first process is told about a command.
pub(super) fn request(shared: &Shared, command: &Command) -> Run {
    let mut env: BTreeMap<String, String> = shared.image.env.iter().cloned().collect();
    let bundle = shared.options.ca_bundle.is_some().then_some(CA_BUNDLE);
    env.extend(base_environment(&command.network, bundle));
    if let Some((_, path)) = shared.image.env.iter().find(|(name, _)| name == "PATH") {
        env.insert("PATH".into(), path.clone());
    }
    env.extend(command.env.clone());
    let mut argv = vec![];
    if command.network.leads_out() {
        argv.extend([PROGRAM_INSIDE, "in-sandbox", "forward", "--socket", SOCKET, "--"].map(str::to_owned));
    }
    argv.extend(command.argv.clone());
    let writable = command.mounts.iter().filter(|mount| mount.access == Access::ReadWrite);
    let watched = [PathBuf::from(WORK)].into_iter().chain(writable.map(|mount| mount.inside.clone()));
    let places = command.mounts.iter().map(|mount| &mount.inside).chain(&command.scratch);
    Run {
        argv,
        env,
        cwd: command.cwd.clone(),
        limits: command.limits.clone(),
        mounted: places.map(|place| place.components().collect()).collect(),
        watched: watched.collect(),
        writable: [PathBuf::from("/tmp")].into_iter().chain(command.scratch.clone()).collect(),
        rooms: Rooms::Own,
    }
}
