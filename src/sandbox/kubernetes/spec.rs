//! What the API is told to make: the Job of a session.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, PodDNSConfig, PodSecurityContext, PodSpec,
    PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

use super::{KubernetesOptions, Shared, UserNamespaces};
use crate::sandbox::arguments::{PROGRAM_INSIDE, WORK, base_environment};
use crate::sandbox::deployment::{DEPLOYMENT_LABEL, SESSION_LABEL};
use crate::sandbox::model::{Access, Command, Network};
use crate::sandbox::supervise::wire::{Rooms, Run};
use crate::sandbox::supervise::{DEPENDENCIES, OWN_TASKS};

/// What the network policy selects sandboxes by.
pub(super) const NAME_LABEL: (&str, &str) = ("app.kubernetes.io/name", "orchestrator-sandbox");
pub(super) const CONTAINER: &str = "sandbox";
/// Where certificates are put, beside the packages.
pub(super) const CA_BUNDLE: &str = "/deps/.ca.pem";
/// Memory for this program inside, beside what commands may use.
const OWN_MEMORY: u64 = 256 << 20;
/// Space for what is not the tree and not mounts.
const OWN_DISK: u64 = 64 << 20;
/// A session that is still there after this long is nobody's.
const LONGEST: i64 = 12 * 3600;
/// Seconds that an ended Job stays, should nobody remove it.
const KEPT: i32 = 300;
/// User ids of pods: high enough to be nobody, low enough for a user namespace of 65,536.
const USERS: std::ops::Range<u32> = 10_000..60_000;
/// Above the most processes that are watched for: the kernel's own count has threads that are just ending.
const PROCESS_SLACK: u64 = 64;

/// The name of a session's Job: names in the API are lower case, and of all deployments together.
pub(super) fn job_name(shared: &Shared, session: &str) -> String {
    format!("orchestrator-{}", &hex::encode(digest(shared, session))[..24])
}

/// A user that other pods on the same node hardly have: the kernel counts processes by user.
fn user(shared: &Shared, session: &str) -> i64 {
    let digest = digest(shared, session);
    let number = u32::from_be_bytes([digest[28], digest[29], digest[30], digest[31]]);
    i64::from(USERS.start + number % (USERS.end - USERS.start))
}

fn digest(shared: &Shared, session: &str) -> [u8; 32] {
    Sha256::digest(format!("{}/{session}", shared.deployment)).into()
}

fn labels(shared: &Shared, session: &str) -> BTreeMap<String, String> {
    [NAME_LABEL, (DEPLOYMENT_LABEL, &shared.deployment), (SESSION_LABEL, session)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// The Job of a session.
pub(super) fn job(shared: &Shared, session: &str) -> Job {
    let labels = labels(shared, session);
    let metadata = |name| ObjectMeta { name, labels: Some(labels.clone()), ..ObjectMeta::default() };
    Job {
        metadata: metadata(Some(job_name(shared, session))),
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            completions: Some(1),
            parallelism: Some(1),
            active_deadline_seconds: Some(LONGEST),
            ttl_seconds_after_finished: Some(KEPT),
            template: PodTemplateSpec { metadata: Some(metadata(None)), spec: Some(pod(shared, session)) },
            ..JobSpec::default()
        }),
        status: None,
    }
}

fn pod(shared: &Shared, session: &str) -> PodSpec {
    let options = &shared.options;
    let user = user(shared, session);
    PodSpec {
        restart_policy: Some("Never".into()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        host_users: (options.user_namespaces == UserNamespaces::Own).then_some(false),
        share_process_namespace: Some(false),
        runtime_class_name: options.runtime_class.clone(),
        node_selector: (!options.node_selector.is_empty()).then(|| options.node_selector.clone()),
        // The first process takes no notice of anything but its end of the connection and SIGKILL.
        termination_grace_period_seconds: Some(1),
        hostname: Some("sandbox".into()),
        // There is nobody to ask; the API wants one address.
        dns_policy: Some("None".into()),
        dns_config: Some(PodDNSConfig {
            nameservers: Some(vec!["127.0.0.1".into()]),
            ..PodDNSConfig::default()
        }),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(user),
            run_as_group: Some(user),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".into(),
                ..SeccompProfile::default()
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(options)],
        volumes: Some(volumes(options).into_iter().map(|(name, source, _)| volume(name, source)).collect()),
        ..PodSpec::default()
    }
}

fn container(options: &KubernetesOptions) -> Container {
    let words = |list: &[&str]| Some(list.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
    let mount = |(name, _, place): (&str, EmptyDirVolumeSource, &str)| VolumeMount {
        name: name.into(),
        mount_path: place.into(),
        ..VolumeMount::default()
    };
    Container {
        name: CONTAINER.into(),
        image: Some(options.image.clone()),
        image_pull_policy: Some("IfNotPresent".into()),
        command: Some(vec![options.program.display().to_string()]),
        args: words(&["in-sandbox", "supervise"]),
        working_dir: Some("/".into()),
        stdin: Some(true),
        // The first process ends when its input does, and so when this program is gone.
        stdin_once: Some(true),
        tty: Some(false),
        resources: Some(resources(options)),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            privileged: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: words(&["ALL"]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(volumes(options).into_iter().map(mount).collect()),
        ..Container::default()
    }
}

fn resources(options: &KubernetesOptions) -> ResourceRequirements {
    let quantities = |list: [(&str, String); 3]| {
        Some(BTreeMap::from(list.map(|(name, amount)| (name.to_owned(), Quantity(amount)))))
    };
    let memory = (options.limits.memory_bytes + OWN_MEMORY).to_string();
    let disk = options.limits.disk_bytes.saturating_mul(2).saturating_add(OWN_DISK);
    ResourceRequirements {
        limits: quantities([
            ("cpu", options.cpus.to_string()),
            ("memory", memory.clone()),
            ("ephemeral-storage", disk.to_string()),
        ]),
        // Memory is not promised twice, or the node would end somebody's sandbox; the rest is shared.
        requests: quantities([
            ("cpu", "250m".into()),
            ("memory", memory),
            ("ephemeral-storage", (disk / 8).to_string()),
        ]),
        ..ResourceRequirements::default()
    }
}

/// Each with its name and its place.
fn volumes(options: &KubernetesOptions) -> [(&'static str, EmptyDirVolumeSource, &'static str); 4] {
    let limit = |bytes: u64| Some(Quantity(bytes.to_string()));
    let disk = |bytes| EmptyDirVolumeSource { medium: None, size_limit: limit(bytes) };
    let memory = |bytes| EmptyDirVolumeSource { medium: Some("Memory".into()), size_limit: limit(bytes) };
    let (most_disk, most_memory) = (options.limits.disk_bytes, options.limits.memory_bytes);
    [
        ("work", disk(most_disk), WORK),
        ("dependencies", disk(most_disk), DEPENDENCIES),
        ("tmp", memory(most_memory / 2), "/tmp"),
        ("shm", memory(most_memory / 4), "/dev/shm"),
    ]
}

fn volume(name: &str, source: EmptyDirVolumeSource) -> Volume {
    Volume { name: name.into(), empty_dir: Some(source), ..Volume::default() }
}

/// What the first process is told about a command; `image_env` is what the image's programs expect.
pub(super) fn request(options: &KubernetesOptions, image_env: &[(String, String)], command: &Command) -> Run {
    let bundle = options.ca_bundle.is_some().then_some(CA_BUNDLE);
    let mut env: BTreeMap<String, String> = image_env.iter().cloned().collect();
    let path = env.get("PATH").cloned();
    env.extend(base_environment(&command.network, bundle));
    env.extend(path.map(|path| ("PATH".to_owned(), path)));
    env.extend(command.env.clone());
    let mut argv = command.argv.clone();
    // There it is where the image has it.
    if let Some(program) = argv.first_mut().filter(|program| *program == PROGRAM_INSIDE) {
        *program = options.program.display().to_string();
    }
    let mut limits = command.limits.clone();
    limits.memory_bytes = limits.memory_bytes.min(options.limits.memory_bytes);
    limits.disk_bytes = limits.disk_bytes.min(options.limits.disk_bytes);
    let writable = command.mounts.iter().filter(|mount| mount.access == Access::ReadWrite);
    let watched = [WORK.into()].into_iter().chain(writable.map(|mount| mount.inside.clone()));
    let tunnel = command.network.leads_out();
    let bundle = bundle.filter(|_| matches!(command.network, Network::AllowList(_))).map(PathBuf::from);
    Run {
        argv,
        env,
        cwd: command.cwd.clone(),
        mounted: command.mounts.iter().map(|mount| mount.inside.clone()).chain(bundle).collect(),
        watched: watched.collect(),
        writable: vec!["/tmp".into()],
        rooms: Rooms::Shared {
            emptied: vec!["/tmp".into(), "/dev/shm".into()],
            scratch: command.scratch.clone(),
            tunnel,
            most_processes: u64::from(limits.processes) * 2 + u64::from(OWN_TASKS) + PROCESS_SLACK,
        },
        limits,
    }
}

/// The image's variables, without those of the cluster and of the pod.
pub(super) fn image_environment(env: Vec<(String, String)>) -> Vec<(String, String)> {
    let own = ["HOME", "HOSTNAME", "PWD", "TERM", "container"];
    let of_the_pod = |name: &str| name.starts_with("KUBERNETES_") || own.contains(&name);
    env.into_iter().filter(|(name, _)| !of_the_pod(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_learns_nothing_of_the_cluster_from_its_environment() {
        let env = ["KUBERNETES_SERVICE_HOST", "KUBERNETES_PORT_443_TCP", "HOSTNAME", "RUSTUP_HOME", "PATH"];
        let kept = image_environment(env.map(|name| (name.to_owned(), "x".to_owned())).into());
        assert_eq!(kept.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["RUSTUP_HOME", "PATH"]);
    }
}
