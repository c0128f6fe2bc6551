//! The API's resources.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State as Shared};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use super::{Cluster, NAMESPACE, Pod, Policy, TOKEN, attach, checks, manifest, node};

pub fn router(cluster: Cluster) -> Router {
    Router::new().fallback(serve).with_state(cluster)
}

/// An answer as the API gives it where it does not do what is asked (`metav1.Status`).
pub fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

fn answer(body: Value) -> Response {
    let code = if body["kind"] == "Status" { body["code"].as_u64().unwrap_or(200) } else { 200 };
    let code = StatusCode::from_u16(u16::try_from(code).expect("a code")).expect("a code");
    (code, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

fn not_found(resource: &str, name: &str) -> Value {
    status(404, "NotFound", &format!("{resource} \"{name}\" not found"))
}

async fn serve(Shared(cluster): Shared<Cluster>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let token = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if token != Some(&format!("Bearer {TOKEN}")) {
        return answer(status(401, "Unauthorized", "Unauthorized"));
    }
    if let Some(wrong) = put_in_its_mouth(&cluster, &method, &path) {
        return answer(wrong);
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    if let Err(forbidden) = manifest::authorize(method.as_str(), &parts) {
        return answer(status(403, "Forbidden", &forbidden));
    }
    if let ["api", "v1", "namespaces", NAMESPACE, "pods", name, "attach"] = parts[..] {
        while cluster.shared.behaviour.attaches_late && !cluster.has_ended(name) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        return attach::attach(&cluster, name, request).unwrap_or_else(answer);
    }
    let selector = selector(request.uri().query().unwrap_or_default());
    let body = to_bytes(request.into_body(), 1 << 20).await.expect("a body");
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    answer(match (method.as_str(), &parts[..]) {
        ("GET", ["version"]) => json!({
            "major": "1", "minor": "33", "gitVersion": "v1.33.1", "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "", "goVersion": "", "compiler": "gc", "platform": "linux/amd64",
        }),
        ("GET", ["api", "v1", "namespaces", NAMESPACE]) => json!({
            "kind": "Namespace", "apiVersion": "v1",
            "metadata": { "name": NAMESPACE, "labels": { "pod-security.kubernetes.io/enforce": "restricted" } },
        }),
        ("GET", ["apis", "networking.k8s.io", "v1", "namespaces", NAMESPACE, "networkpolicies"]) => {
            list("NetworkPolicyList", "networking.k8s.io/v1", policies(&cluster).iter(), &selector)
        }
        ("GET", ["apis", "node.k8s.io", "v1", "runtimeclasses", name]) => match *name {
            "gvisor" => json!({ "kind": "RuntimeClass", "apiVersion": "node.k8s.io/v1", "handler": "runsc",
                "metadata": { "name": "gvisor" } }),
            name => not_found("runtimeclasses.node.k8s.io", name),
        },
        ("POST", ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"]) => {
            review(&cluster, body)
        }
        (_, ["apis", "batch", "v1", "namespaces", NAMESPACE, "jobs", rest @ ..]) => {
            match (method.as_str(), rest) {
                ("POST", []) => create(&cluster, body),
                ("GET", []) => list("JobList", "batch/v1", cluster.state().jobs.values(), &selector),
                ("GET", [name]) => {
                    cluster.state().jobs.get(*name).cloned().unwrap_or_else(|| not_found("jobs.batch", name))
                }
                ("DELETE", [name]) => delete(&cluster, name, &body),
                _ => not_found("jobs.batch", &path),
            }
        }
        ("GET", ["api", "v1", "namespaces", NAMESPACE, "pods"]) => {
            list("PodList", "v1", cluster.state().pods.values().map(|pod| &pod.object), &selector)
        }
        _ => not_found("the server could not find the requested resource", &path),
    })
}

fn put_in_its_mouth(cluster: &Cluster, method: &Method, path: &str) -> Option<Value> {
    let answers = &cluster.shared.behaviour.answers;
    let matching =
        answers.iter().enumerate().filter(|(_, (of, end, ..))| method == of && path.ends_with(end));
    for (number, (_, _, times, body)) in matching {
        let mut state = cluster.state();
        let given = state.given.entry(number).or_default();
        if *given < *times {
            *given += 1;
            return Some(body.clone());
        }
    }
    None
}

/// `labelSelector`, of which only equality is used.
fn selector(query: &str) -> BTreeMap<String, String> {
    let text = query.split('&').find_map(|pair| pair.strip_prefix("labelSelector=")).unwrap_or_default();
    let text = text.replace("%2C", ",").replace("%3D", "=").replace("%2F", "/");
    text.split(',').filter_map(|pair| pair.split_once('=')).map(|(n, v)| (n.into(), v.into())).collect()
}

fn list<'a>(
    kind: &str,
    version: &str,
    objects: impl Iterator<Item = &'a Value>,
    selector: &BTreeMap<String, String>,
) -> Value {
    let chosen = objects.filter(|object| {
        selector.iter().all(|(name, value)| object["metadata"]["labels"][name] == value.as_str())
    });
    json!({
        "kind": kind, "apiVersion": version, "metadata": { "resourceVersion": "1" },
        "items": chosen.cloned().collect::<Vec<_>>(),
    })
}

/// The policy of the manifest that operators apply, and those of others.
fn policies(cluster: &Cluster) -> Vec<Value> {
    let behaviour = &cluster.shared.behaviour;
    let applied = manifest::objects().into_iter().filter(|object| object["kind"] == "NetworkPolicy");
    let applied = applied.filter(|_| behaviour.policy != Policy::Missing);
    let mut all: Vec<Value> = applied.chain(behaviour.other_policies.clone()).collect();
    for policy in &mut all {
        policy["metadata"]["namespace"] = NAMESPACE.into();
    }
    all
}

fn review(cluster: &Cluster, mut review: Value) -> Value {
    let asked = &review["spec"]["resourceAttributes"];
    let text = |field: &str| asked[field].as_str().unwrap_or_default().to_owned();
    let name = [text("resource"), text("subresource")].join("/");
    let right = format!("{} {}", text("verb"), name.trim_end_matches('/'));
    let allowed =
        text("namespace") == NAMESPACE && !cluster.shared.behaviour.denied.contains(&right.as_str());
    review["status"] = json!({ "allowed": allowed });
    review
}

fn create(cluster: &Cluster, body: Value) -> Value {
    let job = match checks::job(&body) {
        Ok(job) => job,
        Err(wrong) => return wrong,
    };
    let name = job.metadata.name.clone().expect("checked");
    let mut state = cluster.state();
    if state.jobs.contains_key(&name) {
        return status(409, "AlreadyExists", &format!("jobs.batch \"{name}\" already exists"));
    }
    let mut object = body;
    object["metadata"]["namespace"] = NAMESPACE.into();
    object["metadata"]["uid"] = format!("uid-of-{name}").into();
    object["status"] = cluster.shared.behaviour.jobs_stay.clone().unwrap_or(json!({}));
    state.jobs.insert(name.clone(), object.clone());
    if cluster.shared.behaviour.jobs_stay.is_none() {
        controller(cluster, &mut state, &job);
    }
    object
}

/// What the Job's controller does: it makes the one pod.
fn controller(cluster: &Cluster, state: &mut super::State, job: &Job) {
    let name = format!("{}-abcde", job.metadata.name.as_deref().expect("checked"));
    let spec = job.spec.as_ref().expect("checked");
    let template = spec.template.metadata.clone().unwrap_or_default();
    let pod_spec = spec.template.spec.clone().expect("checked");
    let waiting = json!({ "phase": "Pending", "containerStatuses": [{
        "name": pod_spec.containers[0].name, "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "waiting": { "reason": "ContainerCreating" } },
    }] });
    let stays = cluster.shared.behaviour.pods_stay.clone();
    let object = json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": { "name": name, "namespace": NAMESPACE, "labels": template.labels },
        "spec": pod_spec,
        "status": stays.clone().unwrap_or(waiting),
    });
    state.pods.insert(name.clone(), Pod { object, streams: None, container: None });
    if stays.is_none() {
        tokio::spawn(node::run(cluster.clone(), name, pod_spec, template.labels.unwrap_or_default()));
    }
}

/// Removing with the pod first. Whoever leaves pods behind is told so.
fn delete(cluster: &Cluster, name: &str, options: &Value) -> Value {
    let mut state = cluster.state();
    if !state.jobs.contains_key(name) {
        return not_found("jobs.batch", name);
    }
    if options["propagationPolicy"] != "Foreground" {
        return status(400, "BadRequest", "the tests' cluster wants pods to go with their job");
    }
    if let Some(job) = state.jobs.get_mut(name) {
        job["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    }
    let object = state.jobs[name].clone();
    tokio::spawn(node::remove(cluster.clone(), name.to_owned()));
    object
}

pub fn plain(code: StatusCode) -> Response {
    (code, Body::empty()).into_response()
}
