//! What only Kubernetes has: an API that refuses, pods that do not run or are ended, and mounts that are carried.

use std::path::Path;
use std::process::Command as Program;
use std::time::Duration;

use orchestrator::sandbox::{
    Access, Backend, Command, Exit, HostName, Kubernetes, KubernetesOptions, LimitHit, Mount, Network,
    Sandbox, SandboxError, Session, UserNamespaces,
};
use serde_json::{Value, json};

mod backend_support;
use backend_support::cluster::{Behaviour, Cluster, Policy, manifest};
use backend_support::engine::Engine;
use backend_support::*;

/// A cluster in which something is not as it should be, and a bot.
struct Scene {
    root: tempfile::TempDir,
    cluster: Cluster,
    /// How long a pod may take to run: not long where it never will.
    start_time: Duration,
}

impl Scene {
    fn new(behaviour: Behaviour) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let never = behaviour.pods_stay.is_some() || behaviour.jobs_stay.is_some();
        let start_time = if never { Duration::from_millis(300) } else { Duration::from_secs(60) };
        let cluster = Cluster::start(behaviour);
        cluster.kubeconfig(&root.path().join("kubeconfig"));
        Self { root, cluster, start_time }
    }

    fn options(&self) -> KubernetesOptions {
        KubernetesOptions { start_time: self.start_time, ..kubernetes_options(self.root.path()) }
    }

    async fn open(&self, options: KubernetesOptions) -> Result<Box<dyn Session>, SandboxError> {
        Kubernetes::connect(options).await?.open(&snapshot(&[])).await
    }

    /// What is said where no session comes of it.
    async fn refusal(&self) -> String {
        let said = self.open(self.options()).await.err().expect("refused").to_string();
        let work = self.root.path().join("work");
        let deadline = std::time::Instant::now() + Duration::from_secs(120);
        while !self.cluster.of_deployment(&work).is_empty() {
            assert!(
                std::time::Instant::now() < deadline,
                "{said}: there stays {:?}",
                self.cluster.of_deployment(&work)
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        said
    }
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_api_refuses_is_said_with_what_to_do() {
    let forbidden =
        "jobs.batch is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"jobs\"";
    let quota = "pods \"x\" is forbidden: exceeded quota: small, requested: limits.memory=1Gi, used: 0, limited: 512Mi";
    for (end, method, answer, expected) in [
        (
            "/jobs",
            "POST",
            status(403, "Forbidden", forbidden),
            "cannot create resource \"jobs\" (403). Apply deploy/",
        ),
        ("/jobs", "POST", status(403, "Forbidden", quota), "Raise the namespace's quota"),
        (
            "/jobs",
            "POST",
            status(404, "NotFound", "namespaces \"sandboxes\" not found"),
            "sandbox.kubernetes.namespace",
        ),
        (
            "/jobs",
            "POST",
            status(422, "Invalid", "Job.batch \"x\" is invalid: spec.template"),
            "making a job: Job.batch \"x\" is invalid",
        ),
        (
            "/jobs",
            "POST",
            status(500, "InternalError", "etcdserver: request timed out"),
            "etcdserver: request timed out (500)",
        ),
        (
            "/pods",
            "GET",
            status(410, "Expired", "too old resource version"),
            "too old resource version (410)",
        ),
        ("/attach", "GET", status(500, "InternalError", "error dialing backend"), "attaching to a pod"),
        ("/networkpolicies", "GET", status(401, "Unauthorized", "Unauthorized"), "renew the kubeconfig"),
    ] {
        let method: &'static str = method;
        let scene =
            Scene::new(Behaviour { answers: vec![(method, end, 99, answer)], ..Behaviour::default() });
        let said = scene.refusal().await;
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_asked_for_again() {
    let scene = Scene::new(Behaviour {
        answers: vec![
            ("GET", "/pods", 2, status(500, "InternalError", "leader changed")),
            ("GET", "/networkpolicies", 1, status(429, "TooManyRequests", "slow down")),
        ],
        ..Behaviour::default()
    });
    let session = scene.open(scene.options()).await.expect("a session");
    assert_eq!(sh(&*session, "echo $FROM_THE_IMAGE").await.stdout.text(), "yes\n");
    session.close().await.expect("closed");
    assert_eq!(scene.cluster.jobs(), [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_does_not_run_is_said_with_its_reason() {
    let waiting = |reason: &str, message: &str| {
        json!({ "phase": "Pending", "containerStatuses": [{
            "name": "sandbox", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": reason, "message": message } },
        }] })
    };
    let unschedulable = json!({ "phase": "Pending", "conditions": [{
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient memory.",
    }] });
    let evicted =
        json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory." });
    for (pod, expected) in [
        (
            unschedulable,
            "does not run after 300ms: Unschedulable: 0/3 nodes are available: 3 Insufficient memory.",
        ),
        (waiting("ImagePullBackOff", "Back-off pulling image"), "imagePullSecrets"),
        (
            waiting("CreateContainerConfigError", "no such key"),
            "cannot run: CreateContainerConfigError: no such key",
        ),
        (waiting("ContainerCreating", ""), "does not run after 300ms: ContainerCreating"),
        (evicted, "The node was low on resource"),
    ] {
        let said = Scene::new(Behaviour { pods_stay: Some(pod), ..Behaviour::default() }).refusal().await;
        assert!(said.contains(expected), "{said}");
    }
    let failed = json!({ "conditions": [{
        "type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "Job has reached the limit",
    }] });
    for (job, expected) in [(json!({}), "describe job orchestrator-"), (failed, "BackoffLimitExceeded")] {
        let said = Scene::new(Behaviour { jobs_stay: Some(job), ..Behaviour::default() }).refusal().await;
        assert!(said.contains(expected), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_that_is_ended_under_a_command_is_a_limit_or_an_error_and_leaves_nothing() {
    let evicted = |message: &str| json!({ "reason": "Evicted", "message": message });
    let out_of_memory = json!({ "containerStatuses": [{
        "name": "sandbox", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
    }] });
    for (end, expected) in [
        (out_of_memory, Ok(LimitHit::Memory)),
        (evicted("Usage of EmptyDir volume \"work\" exceeds the limit \"8Gi\". "), Ok(LimitHit::Disk)),
        (
            json!({ "reason": "DeadlineExceeded", "message": "Pod was active on the node" }),
            Ok(LimitHit::Wall),
        ),
        (evicted("The node was low on resource: memory."), Err("Evicted: The node was low on resource")),
        (json!({}), Err("code 137")),
    ] {
        let scene = Scene::new(Behaviour { pods_end: Some(end), ..Behaviour::default() });
        let session = scene.open(scene.options()).await.expect("a session");
        let kill = async {
            let began = scene.cluster.work_of(&scene.root.path().join("work")).expect("a pod").join("began");
            while !began.exists() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            // What it said before that is given a moment to be on its way.
            tokio::time::sleep(Duration::from_millis(1000)).await;
            let containers = scene.cluster.containers();
            tokio::task::spawn_blocking(move || Engine::get().podman(&["kill", &containers[0]]))
                .await
                .expect("killed");
        };
        let command = shell("echo began; touch began; sleep 1000");
        let (outcome, ()) = tokio::join!(session.run(&command), kill);
        match (outcome, expected) {
            (Ok(outcome), Ok(limit)) => {
                assert_eq!((outcome.limit, outcome.exit), (Some(limit), Exit::Signal(9)));
                assert_eq!(outcome.stdout.text(), "began\n");
            }
            (Err(error), Err(why)) => assert!(error.to_string().contains(why), "{error}"),
            (outcome, expected) => panic!("{outcome:?} instead of {expected:?}"),
        }
        let error = session.run(&command).await.expect_err("the pod is gone").to_string();
        assert!(error.contains("the connection to the sandbox is broken"), "{error}");
        session.close().await.expect("closed");
        assert_eq!(scene.cluster.jobs(), [Value::Null; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_is_said_and_ends_the_pod() {
    let cut = std::sync::Arc::new(tokio::sync::Notify::new());
    let scene = Scene::new(Behaviour { cut: Some(cut.clone()), ..Behaviour::default() });
    let session = scene.open(scene.options()).await.expect("a session");
    let began = scene.cluster.work_of(&scene.root.path().join("work")).expect("a pod").join("began");
    let breaks = async {
        while !began.exists() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        cut.notify_one();
    };
    let command = shell("touch began; sleep 1000");
    let (outcome, ()) = tokio::join!(session.run(&command), breaks);
    let error = outcome.expect_err("nobody knows what became of it").to_string();
    assert!(error.contains("running a command: the pod is gone: Error: code 75"), "{error}");
    session.close().await.expect("closed");
    assert_eq!(scene.cluster.jobs(), [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_policy_that_holds_nothing_runs() {
    let said = Scene::new(Behaviour { policy: Policy::Missing, ..Behaviour::default() }).refusal().await;
    assert!(
        said.contains("the namespace sandboxes has no network policy orchestrator-sandbox")
            && said.contains("Apply deploy/kubernetes/sandbox.yaml"),
        "{said}"
    );
    // The weak variant: the policy is there, and its pods have the node's network.
    let said = Scene::new(Behaviour { policy: Policy::Ignored, ..Behaviour::default() }).refusal().await;
    assert!(
        said.contains("a sandbox could reach the API at 127.0.0.1:") && said.contains("not enforced"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_somebody_added_for_all_pods_is_named_and_nothing_runs() {
    let policy = |name: &str, selector: Value| {
        json!({
            "kind": "NetworkPolicy", "apiVersion": "networking.k8s.io/v1", "metadata": { "name": name },
            "spec": {
                "podSelector": selector, "policyTypes": ["Egress"],
                "egress": [{ "ports": [{ "port": 53, "protocol": "UDP" }] }],
            },
        })
    };
    let other_policies = vec![policy("allow-dns", json!({}))];
    let said = Scene::new(Behaviour { other_policies, ..Behaviour::default() }).refusal().await;
    assert!(
        said.contains("the network policy allow-dns of the namespace sandboxes selects sandboxes"),
        "{said}"
    );
    let other_policies = vec![policy("of-others", json!({ "matchLabels": { "app": "db" } }))];
    let scene = Scene::new(Behaviour { other_policies, ..Behaviour::default() });
    let sandbox = Kubernetes::connect(scene.options()).await.expect("connected");
    let said: Vec<_> = sandbox.probe().await.findings.iter().map(ToString::to_string).collect();
    assert!(said.join(" ").contains("no other policy allows them anything"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_that_is_not_ours_and_a_way_that_leads_nowhere_are_refused() {
    let program = ["/bin/busybox", "/usr/bin/busybox"].iter().find(|file| Path::new(file).exists());
    // It ends at once: sometimes before anybody can be attached to it, sometimes after.
    for attaches_late in [false, true] {
        let program = program.map(Into::into);
        let said = Scene::new(Behaviour { program, attaches_late, ..Behaviour::default() }).refusal().await;
        assert!(said.contains("to be this very program"), "{said}");
    }

    let scene = Scene::new(Behaviour::default());
    let missing = format!("registry.example/box@sha256:{}", "0".repeat(64));
    type Change<'a> = &'a dyn Fn(&mut KubernetesOptions);
    let changes: [(Change<'_>, &str); 4] = [
        (&|options| options.image = "registry.example/box:latest".into(), "is not named by its digest"),
        (&|options| options.image = missing.clone(), "cannot run: ImagePullBackOff"),
        (&|options| options.kubeconfig = Some("/no/such/kubeconfig".into()), "/no/such/kubeconfig"),
        (&|options| options.context = Some("elsewhere".into()), "elsewhere"),
    ];
    for (change, expected) in changes {
        let mut options = scene.options();
        change(&mut options);
        let said = scene.open(options).await.err().expect("refused").to_string();
        assert!(said.contains(expected), "{said}");
    }
    let config = std::fs::read_to_string(scene.root.path().join("kubeconfig")).expect("a kubeconfig");
    let other = config.replace("a-token-of-the-tests", "another");
    std::fs::write(scene.root.path().join("kubeconfig"), other).expect("a kubeconfig");
    let said = scene.open(scene.options()).await.err().expect("refused").to_string();
    assert!(said.contains("Its token or certificate is not taken"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_probe_names_the_rights_that_lack() {
    let denied = vec!["create pods/attach", "delete jobs"];
    let scene = Scene::new(Behaviour { denied, ..Behaviour::default() });
    let options = KubernetesOptions { runtime_class: Some("kata".into()), ..scene.options() };
    let report = Kubernetes::connect(options).await.expect("connected").probe().await;
    let said: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let said = said.join("\n");
    for expected in [
        "Kubernetes v1.33.1",
        "we may not delete jobs, create pods/attach. Apply deploy/kubernetes/sandbox.yaml",
        "the cluster has no runtime class kata",
        "the namespace takes restricted pods only",
    ] {
        assert!(said.contains(expected), "{expected} is missing in {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_for_and_what_operators_apply_passes_kubernetes_own_schemas() {
    let scene = Scene::new(Behaviour::default());
    let options = KubernetesOptions {
        runtime_class: Some("gvisor".into()),
        user_namespaces: UserNamespaces::Own,
        node_selector: [("sandboxes".to_owned(), "yes".to_owned())].into(),
        ..scene.options()
    };
    let session = scene.open(options).await.expect("a session");
    let mut job = scene.cluster.jobs().remove(0);
    session.close().await.expect("closed");
    let (pod, labels) = (&job["spec"]["template"]["spec"], &job["metadata"]["labels"]);
    assert_eq!((&pod["runtimeClassName"], &pod["hostUsers"]), (&json!("gvisor"), &json!(false)));
    assert_eq!(pod["nodeSelector"], json!({ "sandboxes": "yes" }));
    assert_eq!(labels["app.kubernetes.io/name"], "orchestrator-sandbox");
    job.as_object_mut().expect("an object").remove("status");
    let file = scene.root.path().join("job.json");
    std::fs::write(&file, job.to_string()).expect("a file");
    let validate = |file: &Path, version: &str| {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/venv/bin/kubernetes-validate");
        let checked = Program::new(program).args(["--strict", "-k", version]).arg(file).output();
        checked.expect("kubernetes-validate: run scripts/bootstrap --test")
    };
    for version in ["1.30", "1.33"] {
        for file in [file.as_path(), Path::new(manifest::FILE)] {
            let checked = validate(file, version);
            let said = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success() && said.contains("passed"), "{said}");
        }
    }
    job["spec"]["template"]["spec"]["hostUser"] = json!(false);
    std::fs::write(&file, job.to_string()).expect("a file");
    assert!(!validate(&file, "1.33").status.success(), "a field that does not exist passes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mounts_are_carried_once_and_what_was_written_comes_back_as_it_was_left() {
    let scene = Scene::new(Behaviour::default());
    let (read, cache) = (scene.root.path().join("read"), scene.root.path().join("cache"));
    let outside = scene.root.path().join("outside");
    for folder in [&read, &cache, &outside] {
        std::fs::create_dir(folder).expect("a folder");
    }
    std::fs::write(read.join("file"), "read").expect("a file");
    std::fs::write(outside.join("kept"), "kept").expect("a file");
    // What an earlier step left in a cache leads nowhere when the next one is written back.
    std::os::unix::fs::symlink(&outside, cache.join("away")).expect("a link");
    // As distributions have it: a link to the file.
    let bundle = scene.root.path().join("ca.pem");
    std::fs::write(scene.root.path().join("ca-2.pem"), "certificates").expect("a file");
    std::os::unix::fs::symlink("ca-2.pem", &bundle).expect("a link");
    let options = KubernetesOptions { ca_bundle: Some(bundle), ..scene.options() };
    let session = scene.open(options).await.expect("a session");
    let mount =
        |host: &Path, inside: &str, access| Mount { host: host.into(), inside: inside.into(), access };

    let with = |script: &str, mounts: Vec<Mount>| Command { mounts, ..shell(script) };
    let only_read = || {
        vec![
            mount(&read, "/deps/rust", Access::ReadOnly),
            mount(&read, "/tree/node_modules", Access::ReadOnly),
        ]
    };
    let look = with("ls -i /deps/rust/file /tree/node_modules/file; cat /deps/rust/file", only_read());
    let first = session.run(&look).await.expect("ran").stdout.text();
    assert!(first.ends_with("read"), "{first}");
    assert_eq!(sh(&*session, "ls").await.stdout.text(), "node_modules\n");
    assert_eq!(session.run(&look).await.expect("ran").stdout.text(), first, "they were carried again");

    let script = "test -L /deps/own/away && rm /deps/own/away && mkdir -p /deps/own/away /deps/own/empty && \
                  echo x > /deps/own/away/kept && chmod 755 /deps/own/away/kept && ln -s /etc/passwd /deps/own/link";
    let mut fill = with(script, vec![mount(&cache, "/deps/own", Access::ReadWrite)]);
    fill.network = Network::AllowList(vec![HostName::parse("packages.example").expect("a host")]);
    fill.argv[2].push_str(" && cat $SSL_CERT_FILE");
    let outcome = session.run(&fill).await.expect("ran");
    assert_eq!(outcome.stdout.text(), "certificates", "{}", outcome.stderr.text());
    assert_eq!(std::fs::read_to_string(outside.join("kept")).expect("there"), "kept");
    assert_eq!(std::fs::read_to_string(cache.join("away/kept")).expect("written"), "x\n");
    assert!(cache.join("empty").is_dir());
    assert_eq!(std::fs::read_link(cache.join("link")).expect("a link"), Path::new("/etc/passwd"));
    assert_eq!(sh(&*session, "ls /deps").await.stdout.text(), "rust\n");

    let back = session.read_back().await.expect("read back");
    assert!(back.tree.files.is_empty(), "{:?}", back.tree.files.keys());
    let elsewhere = with("true", vec![mount(&read, "/opt/tools", Access::ReadOnly)]);
    let error = session.run(&elsewhere).await.expect_err("refused").to_string();
    assert!(error.contains("/opt/tools is no place for a mount: a pod has /tree and /deps"), "{error}");
    session.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_covers_what_the_tree_has_there_and_uncovers_it_again() {
    let scene = Scene::new(Behaviour::default());
    let read = scene.root.path().join("read");
    std::fs::create_dir(&read).expect("a folder");
    std::fs::write(read.join("file"), "mounted").expect("a file");
    let sandbox = Kubernetes::connect(scene.options()).await.expect("connected");
    let tree = snapshot(&[("vendor/own", "own\n"), ("vendor/deep/run", "#!/bin/sh\n")]);
    let session = sandbox.open(&tree).await.expect("a session");
    let with = |script: &str, access| {
        let mounts = vec![Mount { host: read.clone(), inside: "/tree/vendor".into(), access }];
        Command { mounts, ..shell(script) }
    };
    let run = async |command: &Command| session.run(command).await.expect("ran").stdout.text();
    assert_eq!(run(&with("ls vendor; ls -A", Access::ReadOnly)).await, "file\nvendor\n");
    assert_eq!(run(&with("ls vendor", Access::ReadOnly)).await, "file\n");
    assert_eq!(sh(&*session, "cat vendor/own; ls vendor").await.stdout.text(), "own\ndeep\nown\n");
    assert_eq!(run(&with("ls vendor", Access::ReadOnly)).await, "file\n");
    assert_eq!(session.read_back().await.expect("read back").tree, tree);
    assert_eq!(run(&with("ls vendor; echo new > vendor/new", Access::ReadWrite)).await, "file\n");
    assert_eq!(std::fs::read_to_string(read.join("new")).expect("written"), "new\n");
    assert_eq!(session.read_back().await.expect("read back").tree, tree);
    session.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_that_a_command_moved_away_is_there_for_the_next_one() {
    let scene = Scene::new(Behaviour::default());
    let read = scene.root.path().join("read");
    std::fs::create_dir(&read).expect("a folder");
    std::fs::write(read.join("file"), "mounted").expect("a file");
    let session = scene.open(scene.options()).await.expect("a session");
    let with = |script: &str, access| {
        let mounts = vec![Mount { host: read.clone(), inside: "/tree/node_modules".into(), access }];
        Command { mounts, ..shell(script) }
    };
    let look = with("cat node_modules/file", Access::ReadOnly);
    for script in ["mv node_modules x", "chmod -R u+w node_modules && rm -r node_modules", "true"] {
        let outcome = session.run(&with(script, Access::ReadOnly)).await.expect("ran");
        assert_eq!(outcome.exit, Exit::Code(0), "{}", outcome.stderr.text());
        assert_eq!(session.run(&look).await.expect("ran").stdout.text(), "mounted", "after {script}");
    }
    let gone = with("rm -r node_modules", Access::ReadWrite);
    let error = session.run(&gone).await.expect_err("nothing comes back").to_string();
    assert!(error.contains("/tree/node_modules is no longer there"), "{error}");
    assert!(read.join("file").exists());
    session.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn much_goes_in_and_out_at_once_and_nothing_waits_for_the_other() {
    let scene = Scene::new(Behaviour::default());
    let session = scene.open(scene.options()).await.expect("a session");
    let mut command = shell("cat");
    command.stdin = Some(vec![b'x'; 20 << 20]);
    let outcome = session.run(&command).await.expect("ran");
    assert_eq!((outcome.exit, outcome.stdout.total_bytes()), (Exit::Code(0), 20 << 20));
    // Nobody reads: the next command does not get to see any of it.
    command.argv = vec!["true".into()];
    assert_eq!(session.run(&command).await.expect("ran").exit, Exit::Code(0));
    command.argv = vec!["wc".into(), "-c".into()];
    command.stdin = Some(b"four".to_vec());
    assert_eq!(session.run(&command).await.expect("ran").stdout.text().trim(), "4");
    session.close().await.expect("closed");
}
