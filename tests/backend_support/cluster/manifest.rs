//! deploy/kubernetes/sandbox.yaml as the cluster of somebody who applied it: its policy is there, and what
//! its roles do not allow is forbidden.

use serde_json::Value;

pub const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/kubernetes/sandbox.yaml");

pub fn objects() -> Vec<Value> {
    let text = std::fs::read_to_string(FILE).expect("the manifest");
    let documents = text.split("\n---\n");
    documents.map(|document| serde_saphyr::from_str(document).expect("YAML")).collect()
}

/// Whether the roles allow a request; the `Err` is what the API says otherwise.
pub fn authorize(method: &str, parts: &[&str]) -> Result<(), String> {
    let (group, rest) = match parts {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        // What everybody may see.
        _ => return Ok(()),
    };
    let (resource, name, subresource) = match rest {
        ["namespaces", name] => ("namespaces", Some(name), None),
        ["namespaces", _, resource, rest @ ..] => (*resource, rest.first(), rest.get(1)),
        [resource, rest @ ..] => (*resource, rest.first(), rest.get(1)),
        [] => return Ok(()),
    };
    if group == "authorization.k8s.io" {
        return Ok(());
    }
    let full = subresource.map_or(resource.to_owned(), |subresource| format!("{resource}/{subresource}"));
    // Newer servers want both for a WebSocket.
    let verbs: &[&str] = match (method, name) {
        ("GET", _) if full == "pods/attach" => &["get", "create"],
        ("GET", Some(_)) => &["get"],
        ("GET", None) => &["list"],
        ("POST", _) => &["create"],
        ("DELETE", _) => &["delete"],
        _ => &["nothing that we do"],
    };
    let has =
        |list: &Value, wanted: &str| list.as_array().is_some_and(|list| list.iter().any(|one| one == wanted));
    let objects = objects();
    let rules: Vec<&Value> =
        objects.iter().filter_map(|object| object["rules"].as_array()).flatten().collect();
    let allows = |verb: &&&str| {
        rules.iter().any(|rule| {
            has(&rule["apiGroups"], group) && has(&rule["resources"], &full) && has(&rule["verbs"], verb)
        })
    };
    match verbs.iter().find(|verb| !allows(verb)) {
        None => Ok(()),
        Some(verb) => Err(format!(
            "{full} is forbidden: User \"system:serviceaccount:orchestrator:orchestrator\" cannot {verb} resource \
             \"{full}\" in API group \"{group}\" in the namespace \"sandboxes\""
        )),
    }
}
