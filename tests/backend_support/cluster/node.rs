//! The node: it runs a pod's container in the tests' engine, and reports how it ended.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountType};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
};
use futures::Stream;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::{Value, json};
use tokio::io::AsyncWrite;

use super::{Cluster, PROGRAM, Policy};
use crate::backend_support::engine::Engine;

/// A container's standard streams.
pub struct Streams {
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    pub output: Pin<Box<dyn Stream<Item = Result<LogOutput, Error>> + Send>>,
}

fn docker() -> Docker {
    let socket = Engine::get().socket.display().to_string();
    Docker::connect_with_unix(&socket, 120, bollard::API_DEFAULT_VERSION).expect("an engine")
}

/// Runs a pod to its end.
pub async fn run(cluster: Cluster, name: String, spec: PodSpec, labels: BTreeMap<String, String>) {
    let (docker, container) = (docker(), spec.containers[0].clone());
    if container.image.as_deref() != Some(&Engine::get().image) {
        let waiting =
            json!({ "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } });
        return set(&cluster, &name, "Pending", &waiting, None);
    }
    let body = body(&cluster, &name, &spec, &container, labels);
    let id = docker.create_container(None, body).await.expect("a container").id;
    let everything =
        AttachContainerOptionsBuilder::default().stream(true).stdin(true).stdout(true).stderr(true).build();
    let attached = docker.attach_container(&id, Some(everything)).await.expect("attached");
    // A start that fails is the end: the state says how.
    let started = docker.start_container(&id, None).await;
    {
        let mut state = cluster.state();
        let Some(pod) = state.pods.get_mut(&name) else { return };
        pod.container = Some(id.clone());
        pod.streams = Some(Streams { input: attached.input, output: attached.output });
    }
    if let Err(error) = started {
        let reason = json!({ "waiting": { "reason": "RunContainerError", "message": error.to_string() } });
        return set(&cluster, &name, "Pending", &reason, None);
    }
    set(&cluster, &name, "Running", &json!({ "running": {} }), None);
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Ok(found) = docker.inspect_container(&id, None).await else { continue };
        let state = found.state.unwrap_or_default();
        if state.running == Some(true) {
            continue;
        }
        let code = state.exit_code.unwrap_or(0);
        let killed = state.oom_killed == Some(true);
        let reason = if killed {
            "OOMKilled"
        } else if code == 0 {
            "Completed"
        } else {
            "Error"
        };
        let ended = json!({ "terminated": { "exitCode": code, "reason": reason } });
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        return set(&cluster, &name, phase, &ended, cluster.shared.behaviour.pods_end.as_ref());
    }
}

fn set(cluster: &Cluster, name: &str, phase: &str, container: &Value, more: Option<&Value>) {
    let mut state = cluster.state();
    let Some(pod) = state.pods.get_mut(name) else { return };
    pod.object["status"]["phase"] = phase.into();
    pod.object["status"]["containerStatuses"][0]["state"] = container.clone();
    for (field, value) in more.and_then(Value::as_object).into_iter().flatten() {
        pod.object["status"][field] = value.clone();
    }
}

/// What a kubelet and its runtime make of a pod.
fn body(
    cluster: &Cluster,
    name: &str,
    spec: &PodSpec,
    container: &Container,
    mut labels: BTreeMap<String, String>,
) -> ContainerCreateBody {
    labels.insert("tests.pod".into(), name.into());
    let security = spec.security_context.clone().unwrap_or_default();
    let own = container.security_context.clone().unwrap_or_default();
    let limits = container.resources.clone().and_then(|resources| resources.limits).unwrap_or_default();
    let limit = |name: &str| limits.get(name).and_then(|amount| amount.0.parse::<i64>().ok());
    let is_walled = cluster.shared.behaviour.policy == Policy::Enforced
        && labels.get("app.kubernetes.io/name").is_some_and(|name| name == "orchestrator-sandbox");
    let (mounts, mut tmpfs) = volumes(cluster, name, spec, container);
    // Podman puts writable file systems there of its own accord where the root is read-only.
    for place in ["/run", "/var/tmp"] {
        tmpfs.insert(place.into(), "rw,noexec,nosuid,nodev,size=65536,mode=755,notmpcopyup".into());
    }
    let host = HostConfig {
        network_mode: Some(if is_walled { "none" } else { "host" }.into()),
        readonly_rootfs: own.read_only_root_filesystem,
        cap_drop: own.capabilities.and_then(|capabilities| capabilities.drop),
        security_opt: (own.allow_privilege_escalation == Some(false))
            .then(|| vec!["no-new-privileges".into()]),
        memory: limit("memory"),
        memory_swap: limit("memory"),
        nano_cpus: limit("cpu").map(|cpus| cpus * 1_000_000_000),
        mounts: Some(mounts),
        tmpfs: Some(tmpfs),
        log_config: Some(HostConfigLogConfig { typ: Some("none".into()), config: None }),
        ipc_mode: Some("private".into()),
        ..HostConfig::default()
    };
    let address = cluster.shared.address;
    let user = security.run_as_user.unwrap_or(0);
    let command = container.command.clone().unwrap_or_default();
    ContainerCreateBody {
        image: container.image.clone(),
        // With the node's network goes its name.
        hostname: spec.hostname.clone().filter(|_| is_walled),
        user: Some(format!("{user}:{}", security.run_as_group.unwrap_or(user))),
        labels: Some(labels.into_iter().collect()),
        env: Some(vec![
            format!("KUBERNETES_SERVICE_HOST={}", address.ip()),
            format!("KUBERNETES_SERVICE_PORT={}", address.port()),
            "FROM_THE_IMAGE=yes".into(),
        ]),
        entrypoint: Some(command),
        cmd: container.args.clone(),
        working_dir: container.working_dir.clone(),
        attach_stdin: container.stdin,
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: container.stdin,
        stdin_once: container.stdin_once,
        tty: container.tty,
        host_config: Some(host),
        ..ContainerCreateBody::default()
    }
}

/// An emptyDir is a folder that everybody may write to, or a file system in memory.
fn volumes(
    cluster: &Cluster,
    name: &str,
    spec: &PodSpec,
    container: &Container,
) -> (Vec<Mount>, HashMap<String, String>) {
    let (mut mounts, mut tmpfs) = (vec![], HashMap::new());
    let program = cluster.shared.behaviour.program.clone();
    let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_orchestrator").into());
    // A part of the image, which would be large with it.
    mounts.push(bind(&program.display().to_string(), PROGRAM, true));
    for mount in container.volume_mounts.iter().flatten() {
        let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name).expect("checked");
        let source = volume.empty_dir.clone().expect("checked");
        let size = source.size_limit.map(|limit| limit.0).unwrap_or_default();
        // runc before 1.2 gives a file system in memory the mode of the folder below it: these have 1777.
        if source.medium.is_some() && ["/tmp", "/dev/shm"].contains(&mount.mount_path.as_str()) {
            let options = format!("rw,exec,nosuid,nodev,size={size},mode=1777,notmpcopyup");
            tmpfs.insert(mount.mount_path.clone(), options);
            continue;
        }
        let folder = cluster.shared.disk.path().join(name).join(&mount.name);
        std::fs::create_dir_all(&folder).expect("a folder");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&folder, open).expect("a mode");
        mounts.push(bind(&folder.display().to_string(), &mount.mount_path, false));
    }
    (mounts, tmpfs)
}

fn bind(source: &str, target: &str, is_read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.into()),
        target: Some(target.into()),
        read_only: Some(is_read_only),
        ..Mount::default()
    }
}

/// Ends the pods of a job, and then removes both.
pub async fn remove(cluster: Cluster, job: String) {
    let pods: Vec<(String, Option<String>)> = {
        let state = cluster.state();
        let own = state.pods.iter().filter(|(name, _)| name.starts_with(&job));
        own.map(|(name, pod)| (name.clone(), pod.container.clone())).collect()
    };
    for (name, container) in pods {
        if let Some(id) = container {
            let docker = docker();
            let kill = KillContainerOptionsBuilder::default().signal("SIGKILL").build();
            let _ = docker.kill_container(&id, Some(kill)).await;
            let force = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            for _ in 0..200 {
                match docker.remove_container(&id, Some(force.clone())).await {
                    Ok(()) | Err(Error::DockerResponseServerError { status_code: 404, .. }) => break,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        }
        cluster.state().pods.remove(&name);
        let _ = std::fs::remove_dir_all(cluster.shared.disk.path().join(&name));
    }
    cluster.state().jobs.remove(&job);
}
