//! What the cluster can do, in words for `doctor`.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::api::PostParams;
use kube::{Api, Error};

use super::errors::patiently;
use super::{Kubernetes, POLICY, Shared, UserNamespaces};
use crate::sandbox::model::SandboxError;
use crate::sandbox::probe::{Finding, ProbeReport, try_out};

/// What a session does, as the API names it: group, resource, subresource, verb.
const NEEDED: &[(&str, &str, &str, &str)] = &[
    ("batch", "jobs", "", "create"),
    ("batch", "jobs", "", "get"),
    ("batch", "jobs", "", "list"),
    ("batch", "jobs", "", "delete"),
    ("", "pods", "", "list"),
    ("", "pods", "attach", "create"),
    ("", "pods", "attach", "get"),
    ("networking.k8s.io", "networkpolicies", "", "list"),
];
const MANIFEST: &str = "Apply deploy/kubernetes/sandbox.yaml";

pub(super) async fn probe(sandbox: &Kubernetes, shared: &Shared) -> ProbeReport {
    let mut report = try_out(sandbox, |error| match error {
        SandboxError::Unavailable { .. } => MANIFEST,
        _ => "See the section on sandboxes in docs/operations.md",
    })
    .await;
    let findings =
        [version(shared).await, rights(shared).await, runtime_class(shared).await, security(shared).await];
    report.findings.extend(findings);
    if report.works {
        report.findings.push(good(format!(
            "sandboxes run the image {} in the namespace {}, the network policy {POLICY} kept one from the API, and no \
             other policy allows them anything",
            shared.options.image, shared.options.namespace
        )));
    }
    report.findings.push(match shared.options.user_namespaces {
        UserNamespaces::Own => good("pods have a user namespace of their own".into()),
        UserNamespaces::Nodes => weaker(
            "pods share the nodes' user namespace",
            "Where nodes can (Kubernetes 1.33, containerd 2 or CRI-O), set sandbox.kubernetes.user_namespaces: true",
        ),
    });
    report.findings.push(weaker(
        "memory and processes of one command are sampled; the pod's own limits are the kernel's",
        "That is so in every cluster. Set podPidsLimit in the kubelets' configuration, so that no pod can take all \
         of a node's processes",
    ));
    report.findings.push(weaker(
        "what is only to be read (fetched packages) could be changed by a command for the session's next ones",
        "That is so in every cluster: a pod's mounts are fixed when it starts",
    ));
    report
}

fn good(what: String) -> Finding {
    Finding::Good { what }
}

fn weaker(what: &str, mend: &str) -> Finding {
    Finding::Weaker { what: what.into(), mend: mend.into() }
}

fn broken(what: String, mend: &str) -> Finding {
    Finding::Broken { what, mend: mend.into() }
}

async fn version(shared: &Shared) -> Finding {
    match patiently(|| shared.client.apiserver_version()).await {
        Ok(version) => good(format!("the API answers: Kubernetes {}", version.git_version)),
        Err(error) => {
            broken(format!("the API does not say its version: {error}"), "See that it can be reached")
        }
    }
}

/// Asks for each right that is needed, so that one that lacks is named.
async fn rights(shared: &Shared) -> Finding {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(shared.client.clone());
    let (mut missing, how) = (vec![], PostParams::default());
    for (group, resource, subresource, verb) in NEEDED {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    namespace: Some(shared.options.namespace.clone()),
                    group: text(group),
                    resource: text(resource),
                    subresource: text(subresource),
                    verb: text(verb),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let answer = patiently(|| reviews.create(&how, &review)).await;
        let name = [*resource, *subresource].join("/");
        match answer.map(|review| review.status.is_some_and(|status| status.allowed)) {
            Ok(true) => {}
            Ok(false) => missing.push(format!("{verb} {}", name.trim_end_matches('/'))),
            Err(error) => return broken(format!("the API does not say what we may do: {error}"), MANIFEST),
        }
    }
    match missing.is_empty() {
        true => good(format!("the role allows what is needed in {}", shared.options.namespace)),
        false => broken(format!("we may not {}", missing.join(", ")), MANIFEST),
    }
}

async fn runtime_class(shared: &Shared) -> Finding {
    let Some(name) = &shared.options.runtime_class else {
        return weaker(
            "sandboxes share the nodes' kernel",
            "That is usual; for a kernel between install gVisor or Kata and set sandbox.kubernetes.runtime_class",
        );
    };
    let classes: Api<RuntimeClass> = Api::all(shared.client.clone());
    match patiently(|| classes.get(name)).await {
        Ok(class) => good(format!("pods are run by {} (runtime class {name})", class.handler)),
        Err(Error::Api(status)) if status.code == 404 => broken(
            format!("the cluster has no runtime class {name}"),
            "Make it, or set another sandbox.kubernetes.runtime_class",
        ),
        Err(error) => weaker(&format!("we may not look at runtime class {name}: {error}"), MANIFEST),
    }
}

/// Whether the namespace itself refuses pods that are more than ours.
async fn security(shared: &Shared) -> Finding {
    let namespaces: Api<Namespace> = Api::all(shared.client.clone());
    let found = patiently(|| namespaces.get(&shared.options.namespace)).await;
    let labels = found.map(|namespace| namespace.metadata.labels.unwrap_or_default());
    let level = labels.map(|labels| labels.get("pod-security.kubernetes.io/enforce").cloned());
    match level {
        Ok(Some(level)) if level == "restricted" => good("the namespace takes restricted pods only".into()),
        Ok(level) => weaker(
            &format!(
                "the namespace enforces the pod security level {}",
                level.as_deref().unwrap_or("of the cluster")
            ),
            "Label it pod-security.kubernetes.io/enforce: restricted, as deploy/kubernetes/sandbox.yaml does",
        ),
        Err(error) => weaker(&format!("we may not look at the namespace: {error}"), MANIFEST),
    }
}
