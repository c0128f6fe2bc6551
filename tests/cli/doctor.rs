//! `orchestrator doctor` on machines with nothing, with everything, and with things broken.

use orchestrator::simulator::github::{AppManifest, GithubSimulator, SimulatorOptions};
use orchestrator::simulator::model::Scenario;
use orchestrator::simulator::surroundings::{Surroundings, SurroundingsOptions};
use serde_json::Value;

use super::harness::*;

const APP_ID: u64 = 77;

/// Area, mark and text of every check with this mark.
fn marked<'a>(answer: &'a Value, mark: &str) -> Vec<(&'a str, &'a str)> {
    let checks = answer["checks"].as_array().expect("checks").iter().filter(|check| check["mark"] == mark);
    let text = |check: &'a Value, name: &str| check[name].as_str().expect("text");
    checks.map(|check| (text(check, "area"), text(check, "what"))).collect()
}

fn has(found: &[(&str, &str)], area: &str, part: &str) -> bool {
    found.iter().any(|(one, what)| *one == area && what.contains(part))
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_bare_machine_nothing_is_broken_and_what_is_missing_is_explained() {
    let machine = Machine::without_a_server();
    let said = machine.say(&["doctor", "--json"], &[("ORCHESTRATOR_LISTEN", "127.0.0.1:0".into())]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    let answer = said.json();
    assert_eq!(marked(&answer, "broken"), []);
    let missing: String =
        marked(&answer, "not_configured").iter().map(|(area, what)| format!("{area}: {what}\n")).collect();
    insta::assert_snapshot!(missing);
    let good = marked(&answer, "ok");
    assert!(has(&good, "database", "a private server in the data folder"), "{good:?}");
    assert!(has(&good, "sandbox", "a command ran in a sandbox"), "{good:?}");
    let pid = machine.data().join("postgres/cluster/postmaster.pid");
    assert!(!pid.exists(), "doctor left the private server behind");
}

async fn surroundings(machine: &Machine) -> Surroundings {
    let scenario = Scenario::embedded("demo").expect("the demo's script");
    let options = SurroundingsOptions::new(&machine.path("around"), scenario);
    let surroundings = Surroundings::start(options).await.expect("it starts");
    surroundings.deliver_to("127.0.0.1:8080".parse().expect("an address"));
    surroundings
}

fn environment(surroundings: &Surroundings) -> Vec<(String, String)> {
    let mut pairs = surroundings.environment();
    pairs.push(("ORCHESTRATOR_LISTEN".into(), "127.0.0.1:0".into()));
    pairs
}

async fn doctor(machine: &Machine, options: &[&str], environment: &[(String, String)]) -> Said {
    let pairs: Vec<_> = environment.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    machine.say(&[&["doctor"], options].concat(), &pairs).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_deployment_is_found_to_be_one() {
    let machine = Machine::new().await;
    let surroundings = surroundings(&machine).await;
    let said = doctor(&machine, &["--json"], &environment(&surroundings)).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    let answer = said.json();
    assert_eq!(marked(&answer, "broken"), []);
    let good = marked(&answer, "ok");
    for (area, part) in [
        ("database", "(DATABASE_URL)"),
        ("models", "anthropic:claude-sonnet-5-5 answers"),
        ("models", "openai:gpt-5.2 answers"),
        ("GitHub App", "knows the App Orchestrator"),
        ("GitHub App", "webhooks go to http://127.0.0.1:8080/webhooks/github"),
        ("GitHub App", "clock agrees"),
        ("GitHub App", "permissions and events are those of app-manifest.yml"),
        ("mail", "takes the connection"),
        ("mail", "mails go to ada@acme.example"),
    ] {
        assert!(has(&good, area, part), "no {part:?} of {area} in {good:#?}");
    }
    assert!(surroundings.inbox.messages().is_empty(), "doctor sends no mail");
    assert_eq!(surroundings.model.journal().len(), 2);
    assert_eq!(surroundings.github.journal().unknown_routes(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_asked_only_where_they_may_be() {
    let machine = Machine::new().await;
    let surroundings = surroundings(&machine).await;
    let said = doctor(&machine, &["--no-model-calls"], &environment(&surroundings)).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(surroundings.model.journal().is_empty());
    let line = "not checked     models         openai:gpt-5.2 was not asked (--no-model-calls)";
    assert!(said.stdout.lines().any(|one| one == line), "{}", said.stdout);
    assert!(said.stdout.ends_with("\nNothing is broken.\n"), "{}", said.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_named_with_what_mends_it_and_no_secret() {
    let machine = Machine::new().await;
    let surroundings = surroundings(&machine).await;
    let secret = "sk-wrong-0123456789abcdef0123456789";
    let database = "postgres://app:hunter2secret@127.0.0.1:9/orchestrator";
    let cases: [(&str, &str, &str, &str); 7] = [
        ("ANTHROPIC_API_KEY", secret, "models", "weak"),
        ("DATABASE_URL", database, "database", "broken"),
        ("SMTP_URL", "smtp://user:hunter2secret@127.0.0.1:9", "mail", "broken"),
        ("MAIL_TO", "", "mail", "broken"),
        ("GITHUB_APP_ID", "1", "GitHub App", "broken"),
        ("GITHUB_WEBHOOK_SECRET", "", "GitHub App", "broken"),
        ("ORCHESTRATOR_DATA_DIR", "/proc/nowhere", "data folder", "broken"),
    ];
    for (name, value, area, mark) in cases {
        let mut environment = environment(&surroundings);
        environment.push((name.to_owned(), value.to_owned()));
        let said = doctor(&machine, &["--json"], &environment).await;
        let answer = said.json();
        let found = answer["checks"].as_array().expect("checks");
        let found = found.iter().find(|check| check["area"] == area && check["mark"] == mark);
        let found = found.unwrap_or_else(|| panic!("{name}: {answer:#}"));
        assert!(found["mend"].as_str().is_some_and(|mend| mend.len() > 10), "{name}: {found}");
        assert_eq!(said.code, Some(i32::from(mark == "broken")), "{name}: {answer:#}");
        for secret in [secret, "hunter2secret"] {
            assert!(!format!("{said:?}").contains(secret), "{name}: a secret was printed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_whose_only_model_fails_is_broken() {
    let machine = Machine::new().await;
    let model = demo_model().await;
    let config =
        machine.write("one.yaml", "models:\n  default: [{ model: 'anthropic:claude-sonnet-4-5' }]\n");
    let config = config.display().to_string();
    let mut environment = anthropic(&model);
    environment[0].1 = "wrong".to_owned();
    let said = machine.say(&["--config", &config, "doctor"], &environment).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    let line = said.stdout.lines().find(|line| line.starts_with("BROKEN ")).expect("a line");
    assert_eq!(
        line,
        "BROKEN          models         anthropic:claude-sonnet-4-5: the provider refused the key: invalid \
         x-api-key. To mend it: check the key of the provider anthropic"
    );
}

/// An App that was registered by hand with too little, and with something too much.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_app_was_not_granted_is_broken() {
    let machine = Machine::new().await;
    let manifest = include_str!("../../app-manifest.yml")
        .replace("  checks: write", "  administration: read")
        .replace("  contents: write", "  contents: read")
        .replace("  - issue_comment\n", "")
        .replace("  - repository\n", "");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    let manifest = AppManifest::from_yaml(&manifest).expect("a manifest");
    let options = SimulatorOptions::new(machine.path("github"), manifest, APP_ID, key.public_key_pem());
    let github = GithubSimulator::start(options).await.expect("it starts");
    let environment = [
        ("GITHUB_APP_ID", APP_ID.to_string()),
        ("GITHUB_APP_PRIVATE_KEY", key.serialize_pem()),
        ("GITHUB_WEBHOOK_SECRET", "secret".to_owned()),
        ("GITHUB_API_URL", github.api_url()),
        ("GITHUB_SERVER_URL", github.server_url()),
    ];
    let said = machine.say(&["doctor", "--json", "--no-model-calls"], &environment).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    let answer = said.json();
    let broken = marked(&answer, "broken");
    for part in [
        "`checks: write` is missing (granted: none)",
        "`contents: write` is missing (granted: read)",
        "gets no `issue_comment` events",
        "has no webhook address",
    ] {
        assert!(has(&broken, "GitHub App", part), "no {part:?} in {broken:#?}");
    }
    let weak = marked(&answer, "weak");
    for part in
        ["gets no `repository` events", "`administration: read`, which it does not need", "installed nowhere"]
    {
        assert!(has(&weak, "GitHub App", part), "no {part:?} in {weak:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration_is_the_first_thing_to_mend() {
    let machine = Machine::without_a_server();
    let config = machine.write("wrong.yaml", "limits:\n  gate_round: 2\n").display().to_string();
    let said = machine.say(&["--config", &config, "doctor"], &[]).await;
    assert_eq!(said.code, Some(2), "{said:#?}");
    let stable = said.stdout.replace(&machine.path("").display().to_string(), "/somewhere/");
    insta::assert_snapshot!(stable);
}
