//! What a real API server, with pod security `restricted`, refuses in a Job.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde_json::Value;

use super::api::status;

/// The job, or the answer that says what is wrong with it.
pub fn job(body: &Value) -> Result<Job, Value> {
    let bad = |message: String| status(400, "BadRequest", &message);
    let job: Job = serde_json::from_value(body.clone()).map_err(|error| bad(error.to_string()))?;
    // What the types do not know is lost on the way; fieldValidation=Strict names it.
    let known = serde_json::to_value(&job).expect("json");
    if let Some(path) = unknown(body, &known, "") {
        return Err(bad(format!("strict decoding error: unknown field {path:?}")));
    }
    let mut wrong = vec![];
    check(&job, &mut wrong);
    if wrong.is_empty() {
        return Ok(job);
    }
    let name = job.metadata.name.unwrap_or_default();
    Err(status(422, "Invalid", &format!("Job.batch \"{name}\" is invalid: [{}]", wrong.join(", "))))
}

fn unknown(given: &Value, known: &Value, path: &str) -> Option<String> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(name, value)| {
            let path = format!("{path}.{name}");
            known.get(name).map_or(Some(path.clone()), |known| unknown(value, known, &path))
        }),
        (Value::Array(given), Value::Array(known)) => given
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(at, (one, other))| unknown(one, other, &format!("{path}[{at}]"))),
        _ => None,
    }
}

fn check(job: &Job, wrong: &mut Vec<String>) {
    let name = job.metadata.name.clone().unwrap_or_default();
    let lower = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if name.is_empty() || name.len() > 63 || !lower(&name) {
        wrong.push(format!(
            "metadata.name: Invalid value: {name:?}: a lowercase RFC 1123 label must consist of …"
        ));
    }
    let Some(spec) = &job.spec else { return wrong.push("spec: Required value".into()) };
    let template = spec.template.metadata.clone().unwrap_or_default();
    for (name, value) in job.metadata.labels.iter().chain(&template.labels).flatten() {
        if !is_label(value) || !is_label(name.rsplit('/').next().unwrap_or_default()) {
            wrong.push(format!("metadata.labels: Invalid value: {name:?}: {value:?}"));
        }
    }
    match &spec.template.spec {
        Some(pod) => check_pod(pod, wrong),
        None => wrong.push("spec.template.spec: Required value".into()),
    }
}

fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63 && text.chars().all(inner) && ends(text.chars().next()) && ends(text.chars().last())
}

fn check_pod(pod: &PodSpec, wrong: &mut Vec<String>) {
    let mut must = |is_so: bool, what: &str| {
        if !is_so {
            wrong.push(format!("spec.template.spec.{what}"));
        }
    };
    must(
        pod.restart_policy.as_deref() == Some("Never"),
        "restartPolicy: Required value: valid values: OnFailure, Never",
    );
    must(
        pod.automount_service_account_token == Some(false),
        "automountServiceAccountToken: the tests want none",
    );
    let dns = pod.dns_config.as_ref().and_then(|dns| dns.nameservers.as_ref()).map_or(0, Vec::len);
    must(
        pod.dns_policy.as_deref() != Some("None") || dns > 0,
        "dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
    );
    let security = pod.security_context.clone().unwrap_or_default();
    let user = security.run_as_user.unwrap_or(0);
    must(
        security.run_as_non_root == Some(true) && user > 0,
        "securityContext: violates PodSecurity: runAsNonRoot != true",
    );
    must(
        pod.host_users != Some(false) || user < 65_536,
        "securityContext.runAsUser: outside of the user namespace",
    );
    let seccomp = security.seccomp_profile.map(|profile| profile.type_);
    must(
        seccomp.as_deref() == Some("RuntimeDefault"),
        "securityContext: violates PodSecurity: seccompProfile",
    );
    must(
        pod.host_network.is_none() && pod.host_pid.is_none() && pod.host_ipc.is_none(),
        "violates PodSecurity: host namespaces",
    );
    must(pod.containers.len() == 1, "containers: the tests want one");
    let volumes: BTreeMap<_, _> =
        pod.volumes.iter().flatten().map(|volume| (volume.name.as_str(), volume.empty_dir.clone())).collect();
    for (name, source) in &volumes {
        let source = source.clone().unwrap_or_default();
        must(
            source.size_limit.is_some_and(|limit| limit.0.parse::<u64>().is_ok()),
            &format!("volumes {name}: no emptyDir with a limit"),
        );
        must(
            matches!(source.medium.as_deref(), None | Some("Memory")),
            &format!("volumes {name}: emptyDir.medium"),
        );
    }
    for container in &pod.containers {
        for mount in container.volume_mounts.iter().flatten() {
            must(
                volumes.contains_key(mount.name.as_str()),
                &format!("containers[0].volumeMounts.name: Not found: {:?}", mount.name),
            );
        }
        check_container(container, &mut must);
    }
}

fn check_container(container: &Container, must: &mut dyn FnMut(bool, &str)) {
    let security = container.security_context.clone().unwrap_or_default();
    must(
        security.allow_privilege_escalation == Some(false),
        "violates PodSecurity: allowPrivilegeEscalation != false",
    );
    let dropped = security.capabilities.and_then(|capabilities| capabilities.drop).unwrap_or_default();
    must(dropped == ["ALL"], "violates PodSecurity: unrestricted capabilities");
    must(security.read_only_root_filesystem == Some(true), "containers[0]: the tests want a read-only root");
    let resources = container.resources.clone().unwrap_or_default();
    let (limits, requests) = (resources.limits.unwrap_or_default(), resources.requests.unwrap_or_default());
    for name in ["cpu", "memory", "ephemeral-storage"] {
        must(limits.contains_key(name), &format!("containers[0].resources.limits: no {name}"));
        let bytes = |list: &BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>| {
            list.get(name).and_then(|amount| amount.0.parse::<u64>().ok())
        };
        let fits = bytes(&requests).zip(bytes(&limits)).is_none_or(|(asked, most)| asked <= most);
        must(fits, &format!("containers[0].resources.requests: must be less than or equal to {name} limit"));
    }
    must(
        container.stdin == Some(true) && container.stdin_once == Some(true),
        "containers[0]: nobody could attach",
    );
}
