//! Whether the namespace's network policies keep all network from sandboxes. Policies add up: what one of them
//! allows, no other takes away. Whether anything enforces them is for a sandbox to try.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::api::ListParams;
use kube::{Api, Client};

use super::POLICY;
use super::errors::{api_error, patiently, unavailable};
use super::spec::NAME_LABEL;
use crate::sandbox::deployment::{DEPLOYMENT_LABEL, SESSION_LABEL};
use crate::sandbox::model::SandboxError;

/// Labels of sandboxes' pods whose values differ from pod to pod: our own, and those that a Job's pods get.
const VARIABLE_LABELS: &[&str] = &[
    DEPLOYMENT_LABEL,
    SESSION_LABEL,
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-name",
    "controller-uid",
    "job-name",
];

/// Asks for all policies of the namespace.
///
/// # Errors
/// When the API does not tell them, ours is missing or says something else, or another one gives sandboxes
/// network.
pub(super) async fn check(client: &Client, namespace: &str) -> Result<(), SandboxError> {
    let (policies, all) =
        (Api::<NetworkPolicy>::namespaced(client.clone(), namespace), ListParams::default());
    let found = patiently(|| policies.list(&all)).await;
    let found = found.map_err(api_error("asking for its network policies"))?;
    judge(&found.items, namespace).map_err(unavailable)
}

fn judge(policies: &[NetworkPolicy], namespace: &str) -> Result<(), String> {
    let is_ours = |policy: &&NetworkPolicy| policy.metadata.name.as_deref() == Some(POLICY);
    let ours = policies.iter().find(is_ours).ok_or_else(|| {
        format!(
            "the namespace {namespace} has no network policy {POLICY}, so sandboxes could have network. Apply \
             deploy/kubernetes/sandbox.yaml, and see that sandbox.kubernetes.namespace names the same namespace"
        )
    })?;
    check_own(ours)?;
    let mut others = policies.iter().filter(|policy| !is_ours(policy));
    let opens = |policy: &&NetworkPolicy| {
        policy.spec.as_ref().is_some_and(|spec| allows_something(spec) && can_select(spec))
    };
    match others.find(opens) {
        None => Ok(()),
        Some(policy) => Err(format!(
            "the network policy {} of the namespace {namespace} selects sandboxes and allows them network, which \
             no other policy takes away: remove it, or let its podSelector leave out {}: {}",
            policy.metadata.name.as_deref().unwrap_or("without a name"),
            NAME_LABEL.0,
            NAME_LABEL.1
        )),
    }
}

/// Whether a policy keeps all network from sandboxes; the `Err` says why not.
fn check_own(policy: &NetworkPolicy) -> Result<(), String> {
    let wrong = |what: &str| {
        Err(format!(
            "the network policy {POLICY} {what}, so sandboxes could have network: apply deploy/kubernetes/sandbox.yaml"
        ))
    };
    let Some(spec) = &policy.spec else { return wrong("is empty") };
    let all = LabelSelector::default();
    let selector = spec.pod_selector.as_ref().unwrap_or(&all);
    let selects = |labels: &BTreeMap<String, String>| {
        labels.iter().all(|(name, value)| (name.as_str(), value.as_str()) == NAME_LABEL)
    };
    if selector.match_expressions.as_ref().is_some_and(|list| !list.is_empty())
        || !selector.match_labels.as_ref().is_none_or(selects)
    {
        return wrong("does not select them");
    }
    let types = spec.policy_types.clone().unwrap_or_default();
    if !["Ingress", "Egress"].iter().all(|wanted| types.iter().any(|found| found == wanted)) {
        return wrong("does not hold for both directions");
    }
    if allows_something(spec) {
        return wrong("allows something");
    }
    Ok(())
}

fn allows_something(spec: &NetworkPolicySpec) -> bool {
    spec.egress.as_ref().is_some_and(|rules| !rules.is_empty())
        || spec.ingress.as_ref().is_some_and(|rules| !rules.is_empty())
}

/// Whether a policy holds for any pod of ours. In doubt it does.
fn can_select(spec: &NetworkPolicySpec) -> bool {
    let Some(selector) = &spec.pod_selector else { return true };
    let labels = selector.match_labels.iter().flatten();
    let expressions = selector.match_expressions.iter().flatten();
    labels.into_iter().all(|(name, value)| can_be(name, value)) && expressions.into_iter().all(can_meet)
}

/// Whether a sandbox can have a label with this value.
fn can_be(name: &str, value: &str) -> bool {
    (name, value) == NAME_LABEL || VARIABLE_LABELS.contains(&name)
}

fn can_meet(requirement: &LabelSelectorRequirement) -> bool {
    let name = requirement.key.as_str();
    let values = requirement.values.as_deref().unwrap_or_default();
    let (is_known, varies) = (name == NAME_LABEL.0, VARIABLE_LABELS.contains(&name));
    match requirement.operator.as_str() {
        "In" => values.iter().any(|value| can_be(name, value)),
        "NotIn" => !is_known || !values.iter().any(|value| value == NAME_LABEL.1),
        "Exists" => is_known || varies,
        "DoesNotExist" => !is_known && !varies,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_policy_that_selects_sandboxes_and_allows_nothing_will_do() {
        let policy = |spec: serde_json::Value| -> NetworkPolicy {
            let whole = serde_json::json!({ "metadata": {}, "spec": spec });
            serde_json::from_value(whole).expect("a policy")
        };
        let (both, labels) = (["Ingress", "Egress"], serde_json::json!({ NAME_LABEL.0: NAME_LABEL.1 }));
        let good = [
            serde_json::json!({ "podSelector": {}, "policyTypes": both }),
            serde_json::json!({ "podSelector": { "matchLabels": labels }, "policyTypes": both, "egress": [] }),
        ];
        for spec in good {
            assert_eq!(check_own(&policy(spec.clone())), Ok(()), "{spec}");
        }
        let narrow = serde_json::json!({ "matchExpressions": [{ "key": "a", "operator": "Exists" }] });
        for (spec, reason) in [
            (
                serde_json::json!({ "podSelector": { "matchLabels": { "app": "other" } }, "policyTypes": both }),
                "select",
            ),
            (serde_json::json!({ "podSelector": narrow, "policyTypes": both }), "does not select them"),
            (serde_json::json!({ "podSelector": {}, "policyTypes": ["Ingress"] }), "both directions"),
            (serde_json::json!({ "podSelector": {} }), "both directions"),
            (
                serde_json::json!({ "podSelector": {}, "policyTypes": both, "egress": [{}] }),
                "allows something",
            ),
            (
                serde_json::json!({ "podSelector": {}, "policyTypes": both, "ingress": [{}] }),
                "allows something",
            ),
        ] {
            let said = check_own(&policy(spec.clone())).expect_err("refused");
            assert!(
                said.contains(reason) && said.contains("apply deploy/kubernetes/sandbox.yaml"),
                "{spec}: {said}"
            );
        }
        assert!(check_own(&NetworkPolicy::default()).is_err());
    }

    #[test]
    fn another_policy_that_gives_sandboxes_network_is_named_and_one_for_other_pods_is_not() {
        let policy = |name: &str, spec: serde_json::Value| -> NetworkPolicy {
            let whole = json!({ "metadata": { "name": name }, "spec": spec });
            serde_json::from_value(whole).expect("a policy")
        };
        let ours = || policy(POLICY, json!({ "podSelector": {}, "policyTypes": ["Ingress", "Egress"] }));
        let said = |selector: serde_json::Value, rules: &str| {
            let other = policy("allow-dns", json!({ "podSelector": selector, rules: [{}] }));
            judge(&[other, ours()], "sandboxes")
        };
        let expression = |key: &str, operator: &str, values: &[&str]| json!({ "matchExpressions": [{ "key": key, "operator": operator, "values": values }] });
        let opening = [
            json!({}),
            json!({ "matchLabels": { NAME_LABEL.0: NAME_LABEL.1 } }),
            json!({ "matchLabels": { "job-name": "orchestrator-1" } }),
            expression(NAME_LABEL.0, "Exists", &[]),
            expression(NAME_LABEL.0, "In", &["other", NAME_LABEL.1]),
            expression(NAME_LABEL.0, "NotIn", &["other"]),
            expression(SESSION_LABEL, "NotIn", &["one"]),
            expression("tier", "NotIn", &["db"]),
            expression("tier", "DoesNotExist", &[]),
            expression("tier", "SomethingNew", &[]),
        ];
        for selector in opening {
            for rules in ["ingress", "egress"] {
                let reason = said(selector.clone(), rules).expect_err("refused");
                assert!(
                    reason.contains("the network policy allow-dns of the namespace sandboxes"),
                    "{reason}"
                );
            }
        }
        let harmless = [
            json!({ "matchLabels": { "app": "db" } }),
            json!({ "matchLabels": { NAME_LABEL.0: "other" } }),
            expression(NAME_LABEL.0, "NotIn", &[NAME_LABEL.1]),
            expression(NAME_LABEL.0, "DoesNotExist", &[]),
            expression("tier", "Exists", &[]),
            expression("tier", "In", &["db"]),
        ];
        for selector in harmless {
            assert_eq!(said(selector.clone(), "egress"), Ok(()), "{selector}");
        }
        let strict = policy("deny", json!({ "podSelector": {}, "policyTypes": ["Egress"], "egress": [] }));
        assert_eq!(judge(&[ours(), strict], "sandboxes"), Ok(()));
        let missing = judge(&[], "sandboxes").expect_err("refused");
        assert!(missing.contains("has no network policy orchestrator-sandbox"), "{missing}");
    }
}
