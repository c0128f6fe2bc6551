use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::*;
use crate::domain::Role;

const EXAMPLE: &str = include_str!("../../orchestrator.example.yaml");
const ENV_EXAMPLE: &str = include_str!("../../.env.example");

fn env(pairs: &[(&str, &str)]) -> Environment {
    [("HOME", "/home/ada")].iter().chain(pairs).copied().collect()
}

fn load(text: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_text(Path::new("/etc/orchestrator/orchestrator.yaml"), text, &env(pairs))
}

#[track_caller]
fn refusal(text: &str) -> String {
    load(text, &[]).expect_err("the text must be refused").to_string()
}

#[test]
fn references_inside_of_references_are_bounded() {
    let began = std::time::Instant::now();
    let said = refusal(&format!("label: {}\n", "${".repeat(32_000)));
    assert!(said.contains("more than 1000 `${…}`"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn an_empty_environment_gives_the_documented_defaults() {
    let config = Config::load(None, &env(&[])).unwrap();
    assert_eq!(config.label, "auto");
    assert_eq!(config.web.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.github.api_url, "https://api.github.com");
    assert_eq!(config.github.server_url, "https://github.com");
    assert_eq!(config.github.write_interval_ms, 1000);
    assert_eq!(config.polling.reactions, Duration::from_secs(30));
    assert_eq!(config.polling.reconcile, Duration::from_secs(600));
    assert_eq!(config.reviewers, ["safety", "architecture", "quality"]);
    assert_eq!(config.blocking_severities, [SeverityName::Critical]);
    assert!(config.database.url.is_none() && config.mail.smtp_url.is_none() && !config.dry_run);
    assert!(config.models.roles.all().all(|(_, models)| models.is_empty()));
    assert!(config.sandbox.setup_allow_hosts.is_empty());
    assert_eq!(config.notices, Vec::<String>::new());
}

#[test]
fn an_empty_file_is_a_valid_file() {
    for text in ["", "# nothing yet\n", "github:\nmail:\n"] {
        assert!(load(text, &[]).is_ok(), "{text:?}: {:?}", load(text, &[]).err());
    }
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = "web: {listen: '127.0.0.1:1'}\ngithub: {app_id: 1}\nmail: {from: a@b.c, to: [x@y.z]}\n";
    let pairs = [
        ("ORCHESTRATOR_LISTEN", "[::1]:9000"),
        ("GITHUB_APP_ID", "42"),
        ("MAIL_TO", "Ada <ada@example.org>, bob@example.org"),
        ("DRY_RUN", "true"),
        ("MAIL_FROM", ""),
    ];
    let config = load(text, &pairs).unwrap();
    assert_eq!(config.web.listen.to_string(), "[::1]:9000");
    assert_eq!(config.github.app_id, Some(42));
    assert_eq!(config.mail.to, ["Ada <ada@example.org>", "bob@example.org"]);
    assert_eq!(config.mail.from.as_deref(), Some("a@b.c"), "an empty variable is not set");
    assert!(config.dry_run);
}

#[test]
fn references_are_replaced_after_parsing_so_a_value_cannot_add_keys() {
    let text = "label: ${LABEL}\ngithub:\n  webhook_secret: ${SECRET}\n  app_id: ${ID:-7}\n";
    let config = load(text, &[("LABEL", "a: b\ndry_run: true"), ("SECRET", "x # y")]).unwrap();
    assert_eq!(config.label, "a: b\ndry_run: true");
    assert!(!config.dry_run);
    assert_eq!(config.github.webhook_secret.unwrap().expose_secret(), "x # y");
    assert_eq!(config.github.app_id, Some(7));
}

#[test]
fn what_is_wrong_is_named_with_key_line_and_the_nearest_right_key() {
    let at = "/etc/orchestrator/orchestrator.yaml";
    let cases = [
        ("labl: x", ":1:1: `labl`: unknown key; did you mean `label`?"),
        (
            "limits:\n  gate_round: 2",
            ":2:3: `limits.gate_round`: unknown key; did you mean `limits.gate_rounds`?",
        ),
        ("smtp_url: x", ":1:1: `smtp_url`: unknown key here; did you mean `mail.smtp_url`?"),
        (
            "models:\n  roles:\n    fixer:\n      - model: openai:x\n        temprature: 1",
            ":5:9: `models.roles.fixer[0].temprature`: unknown key; did you mean \
             `models.roles.fixer[0].temperature`?",
        ),
        ("limits:\n  agent_steps: many", ":2:16: `limits.agent_steps`: expected a whole number"),
        ("limits:\n  agent_steps: -1", ":2:16: `limits.agent_steps`: expected a whole number"),
        ("limits:\n  task_usd: cheap", ":2:13: `limits.task_usd`: expected a number"),
        ("dry_run: perhaps", ":1:10: `dry_run`: expected true or false"),
        ("limits: 3", ":1:9: `limits`: expected a section with keys"),
        ("label: [a]", ":1:8: `label`: expected a single value"),
        ("reviewers: safety", ":1:12: `reviewers`: expected a list"),
        (
            "mail:\n  digest: dayly",
            ":2:11: `mail.digest`: expected one of off, daily, weekly; did you mean `daily`?",
        ),
        (
            "polling:\n  reconcile_seconds: 5",
            ":2:22: `polling.reconcile_seconds`: must lie between 60 and 86400",
        ),
        ("polling:\n  reactions_seconds: 0", ":2:22: `polling.reactions_seconds`: must lie between 1 and 60"),
        ("web:\n  listen: localhost", ":2:11: `web.listen`: expected an IP address and a port, such as"),
        ("label: a\nlabel: b", ":2:1: `label`: this key is here twice"),
        (
            "github:\n  webhook_secret: ${NOPE}",
            ":2:19: `github.webhook_secret`: the environment variable NOPE is not set",
        ),
        ("label: ${NOPE:?say it}", ":1:8: `label`: the environment variable NOPE is not set: say it"),
        ("label: \"${HOME}\"", ":1:8: `label`: `${…}` is replaced in unquoted values only"),
        (
            "models:\n  default:\n    - model: antropic:x",
            ":3:14: `models.default[0].model`: the provider before the colon is not known; known are \
             anthropic, gemini, groq, ollama, openai, xai; did you mean `anthropic:x`?",
        ),
        (
            "models:\n  roles:\n    revewer:\n      - model: openai:x",
            "`models.roles.revewer`: there is no such role; the roles are discussion, router, retriever, \
             implementer, reviewer, fixer, verifier, judge; did you mean `models.roles.reviewer`?",
        ),
        (
            "models:\n  roles:\n    critic:\n      - model: openai:x\n    reviewer:\n      - model: openai:y",
            "`models.roles.reviewer`: `reviewer` and `critic` are the same role: keep one of them",
        ),
        ("models:\n  providers:\n    local: {}", "`models.providers.local.base_url`: must be set"),
        (
            "sandbox:\n  setup:\n    allow_hosts: [https://x]",
            ":3:18: `sandbox.setup.allow_hosts`: expected names",
        ),
        ("sandbox:\n  backend: container", "`sandbox.container.image`: name the image"),
        ("sandbox:\n  backend: kubernetes", "`sandbox.kubernetes.image`: name the image"),
        (
            "sandbox:\n  kubernetes:\n    namespace: Not_One",
            "`sandbox.kubernetes.namespace`: expected the name",
        ),
        ("sandbox:\n  backend: docker", ":2:12: `sandbox.backend`: expected one of bubblewrap, container"),
        (
            "sandbox:\n  container:\n    socket: tcp://127.0.0.1:2375",
            ":3:13: `sandbox.container.socket`: expected the path of the engine's Unix socket",
        ),
        ("blocking_severities: [HIGH, URGENT]", ":1:29: `blocking_severities[1]`: expected one of CRITICAL"),
        ("mail:\n  to: [nobody]", "`mail.to`: expected `Name <address@host>`"),
        ("a: [", ": not valid YAML"),
    ];
    for (text, expected) in cases {
        let message = refusal(text);
        assert!(message.starts_with(at) && message.contains(expected), "{text:?} gave {message:?}");
    }
}

#[test]
fn a_wrong_variable_is_named_and_not_the_file() {
    let error = load("github: {app_id: 1}", &[("GITHUB_APP_ID", "abc")]).unwrap_err().to_string();
    assert_eq!(error, "environment variable GITHUB_APP_ID: `github.app_id`: expected a whole number");
}

#[test]
fn an_error_never_shows_a_value() {
    let secret = "ghs_TopSecretValue0123456789";
    for key in ["app_id", "private_key_path"] {
        let text = format!("github:\n  {key}: [{secret}]\n");
        assert!(!refusal(&text).contains("TopSecret"), "{key}");
    }
    for text in
        ["limits: {agent_steps: ${S}}", "mail: {digest: ${S}}", "web: {listen: ${S}}", "dry_run: ${S}"]
    {
        let error = load(text, &[("S", secret)]).unwrap_err();
        assert!(!error.to_string().contains("TopSecret"), "{text}: {error}");
        assert!(!format!("{error:?}").contains("TopSecret"), "{text}: {error:?}");
    }
}

#[test]
fn rounds_are_clamped_and_the_clamping_is_reported() {
    let config = load("limits: {gate_rounds: 9, review_rounds: 0}", &[]).unwrap();
    assert_eq!((config.limits.gate_rounds, config.limits.review_rounds), (4, 1));
    assert_eq!(
        config.notices,
        [
            "`limits.gate_rounds` is 9; rounds lie between 1 and 4, so 4 is used",
            "`limits.review_rounds` is 0; rounds lie between 1 and 4, so 1 is used",
        ]
    );
}

#[test]
fn an_unknown_variable_with_our_prefix_is_reported() {
    let config = load("", &[("ORCHESTRATOR_LISEN", "x")]).unwrap();
    assert_eq!(
        config.notices,
        [
            "the environment variable ORCHESTRATOR_LISEN means nothing to Orchestrator; did you mean ORCHESTRATOR_LISTEN?"
        ]
    );
}

#[test]
fn a_key_alone_gives_every_role_a_model_that_is_known_to_work() {
    let config = load("", &[("ANTHROPIC_API_KEY", "sk-ant-x")]).unwrap();
    assert_eq!(config.models.roles.of(Role::Fixer)[0].provider, "anthropic");
    assert!(config.models.roles.of(Role::Fixer)[0].prices.is_some());
    assert_eq!(config.models.roles.of(Role::Fixer).len(), 1);
}

#[test]
fn a_role_without_models_has_those_of_its_stand_in_and_else_the_default() {
    let text = "models:\n  default:\n    - {model: 'openai:d'}\n  roles:\n    discussion:\n      - {model: 'openai:talks'}\n    \
                critic:\n      - {model: 'openai:doubts'}\n    evaluator:\n      - {model: 'openai:weighs'}\n";
    let roles = load(text, &[]).unwrap().models.roles;
    let first = |role| roles.of(role)[0].model.clone();
    let expected = ["talks", "talks", "talks", "d", "doubts", "d", "doubts", "weighs"];
    assert_eq!(Role::ALL.map(first), expected.map(str::to_owned));
}

#[test]
fn the_example_names_every_role() {
    for role in Role::ALL {
        assert!(EXAMPLE.contains(&format!("  #  {role}:")), "{role}");
    }
}

#[test]
fn each_providers_own_variables_are_heeded() {
    let pairs = [
        ("OPENAI_BASE_URL", "https://gateway.example.org/v1"),
        ("GEMINI_API_KEY", "k"),
        ("GEMINI_BASE_URL", "https://gemini.example.org/"),
        ("XAI_BASE_URL", "https://xai.example.org"),
        ("GROQ_BASE_URL", "https://groq.example.org"),
        ("OLLAMA_HOST", "0.0.0.0:9000"),
    ];
    let providers = load("", &pairs).unwrap().models.providers;
    let url = |name: &str| providers[name].base_url.as_str();
    assert_eq!(url("gemini"), "https://gemini.example.org");
    assert_eq!(
        (url("xai"), url("groq")),
        ("https://xai.example.org/v1", "https://groq.example.org/openai/v1")
    );
    assert_eq!(url("ollama"), "http://127.0.0.1:9000");
    assert_eq!(providers["openai"].protocol, Protocol::OpenAi, "another's server knows chat completions");
    assert!(!providers["openai"].asks_for_key() && providers["gemini"].api_key.is_some());
    let plain = load("", &[]).unwrap().models.providers;
    assert_eq!(plain["openai"].protocol, Protocol::OpenAiResponses, "OpenAI's own takes tools there only");
    assert_eq!(plain["ollama"].protocol, Protocol::Ollama);
    assert!(plain["openai"].asks_for_key() && !plain["ollama"].asks_for_key());
    let written = "models: {providers: {openai: {protocol: openai-responses, stream: false}}}";
    let written = load(written, &pairs).unwrap().models.providers;
    assert!(written["openai"].protocol == Protocol::OpenAiResponses && !written["openai"].stream);
}

#[test]
fn prices_come_from_the_list_then_the_operators_list_then_the_key_beside_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let list =
        "openai:gpt-5.2: {context_tokens: 5000, input: 7.0, output: 8.0}\nmine:m: {input: 1, output: 2}\n";
    std::fs::write(folder.path().join("models.yaml"), list).unwrap();
    let text = |catalog: &str, model: &str| {
        let mine = "providers: {mine: {base_url: 'http://127.0.0.1:1'}}";
        format!("models: {{{catalog}{mine}, default: [{model}]}}")
    };
    let read = |catalog: &str, model: &str| {
        let file = folder.path().join("orchestrator.yaml");
        let config = Config::from_text(&file, &text(catalog, model), &env(&[])).unwrap();
        let choice = config.models.roles.of(Role::Fixer)[0].clone();
        (choice.prices.map(|prices| prices.input), choice.context_tokens)
    };
    let own = "catalog: models.yaml, ";
    assert_eq!(read("", "{model: 'openai:gpt-5.2'}"), (Some(1.75), Some(400_000)));
    assert_eq!(read("", "{model: 'openai:gpt-5.2-2025-12-11'}"), (Some(1.75), Some(400_000)));
    assert_eq!(read(own, "{model: 'openai:gpt-5.2'}"), (Some(7.0), Some(5_000)));
    assert_eq!(read(own, "{model: 'mine:m'}"), (Some(1.0), None));
    let key = "{model: 'openai:gpt-5.2', usd_per_million_input_tokens: 9, usd_per_million_output_tokens: 9, \
               context_tokens: 9000}";
    assert_eq!(read(own, key), (Some(9.0), Some(9_000)));
    let missing = Config::from_text(&folder.path().join("o.yaml"), "models: {catalog: none.yaml}", &env(&[]));
    let missing = missing.unwrap_err().to_string();
    assert!(missing.contains("models.catalog") && missing.contains("none.yaml"), "{missing}");
}

#[test]
fn an_ollama_model_without_a_context_is_noticed() {
    let config = load("models: {default: [{model: 'ollama:qwen3-coder:30b'}]}", &[]).unwrap();
    assert_eq!(config.models.roles.of(Role::Judge)[0].model, "qwen3-coder:30b");
    assert!(config.notices[0].contains("context_tokens"), "{:?}", config.notices);
}

#[test]
fn a_model_name_may_hold_colons_and_a_local_provider_needs_no_key() {
    let text = "models:\n  providers:\n    local: {base_url: 'http://127.0.0.1:11434/v1/'}\n  default:\n    \
                - {model: 'local:qwen2.5-coder:7b'}\n";
    let config = load(text, &[]).unwrap();
    let choice = &config.models.roles.of(Role::Implementer)[0];
    assert_eq!((choice.provider.as_str(), choice.model.as_str()), ("local", "qwen2.5-coder:7b"));
    let provider = &config.models.providers["local"];
    assert_eq!(provider.base_url, "http://127.0.0.1:11434/v1");
    assert!(provider.api_key.is_none() && provider.protocol == Protocol::OpenAi);
    assert_eq!(config.notices, Vec::<String>::new());
}

#[test]
fn paths_in_the_file_start_from_its_folder_and_those_of_the_environment_do_not() {
    let text = "data_dir: data\ngithub: {private_key_path: app.pem}\n";
    let config = load(text, &[("GITHUB_APP_PRIVATE_KEY_PATH", "keys/app.pem")]).unwrap();
    assert_eq!(config.data_dir, Path::new("/etc/orchestrator/data"));
    assert_eq!(config.github.private_key_path.as_deref(), Some(Path::new("keys/app.pem")));
}

#[test]
fn what_the_app_lacks_is_named_all_at_once() {
    let config = load("github: {app_id: 5}", &[]).unwrap();
    let error = config.github.app_credentials().unwrap_err().to_string();
    assert!(!error.contains("GITHUB_APP_ID"), "{error}");
    assert!(
        error.contains("GITHUB_APP_PRIVATE_KEY_PATH") && error.contains("GITHUB_WEBHOOK_SECRET"),
        "{error}"
    );
}

#[test]
fn a_private_key_on_one_line_gets_its_lines_back() {
    let pairs = [
        ("GITHUB_APP_ID", "1"),
        ("GITHUB_WEBHOOK_SECRET", "s"),
        (
            "GITHUB_APP_PRIVATE_KEY",
            "-----BEGIN RSA PRIVATE KEY-----\\nabc\\n-----END RSA PRIVATE KEY-----\\n",
        ),
    ];
    let app = load("", &pairs).unwrap().github.app_credentials().unwrap();
    assert!(app.private_key.expose_secret().contains("-----\nabc\n-----"));
    let wrong =
        [("GITHUB_APP_ID", "1"), ("GITHUB_WEBHOOK_SECRET", "s"), ("GITHUB_APP_PRIVATE_KEY", "oops-secret")];
    let error = load("", &wrong).unwrap().github.app_credentials().unwrap_err().to_string();
    assert!(error.contains("PEM") && !error.contains("oops"), "{error}");
}

/// Every secret that a file can hold, each with a canary, printed in every way there is.
#[test]
fn no_print_of_the_configuration_shows_a_secret() {
    let text = "database: {url: 'postgres://u:canary-a%21@db/x?password=canary-b'}\n\
                github: {private_key: canary-c, webhook_secret: canary-d}\n\
                models: {providers: {openai: {api_key: canary-e}, mine: {base_url: 'http://m/', api_key: canary-f}}}\n\
                mail: {smtp_url: 'smtps://canary-g:canary-h@mail.example.org:465', from: a@b.c}\n";
    let config = load(text, &[]).unwrap();
    let printed = format!("{config:?}{config:#?}{}", config.redacted());
    assert!(!printed.contains("canary"), "{printed}");
    assert!(config.redacted().contains("mail.example.org:465"), "{}", config.redacted());
    let secrets: Vec<String> = config.secrets().iter().map(|s| s.expose_secret().to_owned()).collect();
    for canary in ["canary-a!", "canary-c", "canary-d", "canary-e", "canary-f", "canary-h"] {
        assert!(secrets.iter().any(|secret| secret == canary), "{canary} is missing in {secrets:?}");
    }
    assert!(!format!("{:?}", env(&[("X", "canary")])).contains("canary"));
}

#[test]
fn the_redacted_configuration_can_be_read_back() {
    let config = load(EXAMPLE_MINIMAL, &[("ANTHROPIC_API_KEY", "k")]).unwrap();
    let printed = config.redacted();
    let again = load(&printed, &[]).unwrap_or_else(|error| panic!("{error}\n{printed}"));
    assert_eq!(again.redacted(), printed);
}

const EXAMPLE_MINIMAL: &str = "limits: {task_usd: 2.5}\nmail: {digest: weekly}\nreviewers: [safety]\n";

/// A commented YAML document with every key active. `# text` is prose; `#key` and `#  key` are YAML.
fn uncommented(text: &str) -> String {
    let active = text.lines().filter_map(|line| {
        let bare = line.trim_start();
        let indent = &line[..line.len() - bare.len()];
        let Some(comment) = bare.strip_prefix('#') else { return Some(line.to_owned()) };
        let prose = comment.is_empty() || (comment.starts_with(' ') && !comment.starts_with("  "));
        let again = comment.trim_start().starts_with('#');
        (!prose && !again).then(|| format!("{indent}{comment}"))
    });
    // The example of a list that replaces the empty one above it.
    let lines: Vec<String> = active.filter(|line| !line.ends_with("allow_hosts: []")).collect();
    lines.join("\n")
}

fn documented_keys(text: &str) -> BTreeSet<String> {
    let text = uncommented(text);
    let tree: serde_json::Value = serde_saphyr::from_str(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut keys = BTreeSet::new();
    collect("", &tree, &mut keys);
    keys
}

fn collect(path: &str, tree: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match tree {
        serde_json::Value::Object(map) => {
            for (name, value) in map {
                let dot = if path.is_empty() { "" } else { "." };
                // Providers, labels of nodes, agents and their variables have names that a person chooses.
                let is_chosen = [
                    "models.providers",
                    "models.roles",
                    "sandbox.kubernetes.node_selector",
                    "implementer.commands",
                    "implementer.commands.<name>.env",
                ]
                .contains(&path);
                let name = if is_chosen { "<name>" } else { name };
                collect(&format!("{path}{dot}{name}"), value, keys);
            }
        }
        serde_json::Value::Array(items) if items.iter().any(serde_json::Value::is_object) => {
            items.iter().for_each(|item| collect(&format!("{path}[]"), item, keys));
        }
        _ => drop(keys.insert(path.to_owned())),
    }
}

#[test]
fn every_key_of_the_code_is_in_the_example_and_the_other_way_round() {
    let code: BTreeSet<String> = deployment_keys().iter().cloned().collect();
    assert!(code.len() > 50 && code.contains("models.roles.<name>[].max_tokens"), "{code:?}");
    // These lists take what the list of all roles takes, so the example need not show all of it again.
    let again =
        |key: &str| ["models.roles.", "models.repositories_may_use"].iter().any(|list| key.starts_with(list));
    let shown = |keys: BTreeSet<String>| -> BTreeSet<String> {
        keys.into_iter().filter(|key| !again(key) || key.ends_with("[].model")).collect()
    };
    assert_eq!(shown(code), shown(documented_keys(EXAMPLE)));
}

#[test]
fn every_variable_of_the_code_is_in_the_example_and_the_other_way_round() {
    let documented: BTreeSet<&str> = ENV_EXAMPLE
        .lines()
        .filter_map(|line| line.strip_prefix('#').unwrap_or(line).split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
        .collect();
    let code: BTreeSet<&str> = VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(code, documented);
    for variable in VARIABLES {
        let Some(key) = variable.key else { continue };
        let generic = match key.strip_prefix("models.providers.").and_then(|rest| rest.split_once('.')) {
            Some((_, field)) => format!("models.providers.<name>.{field}"),
            None => key.to_owned(),
        };
        assert!(deployment_keys().contains(&generic), "{} names no key: {key}", variable.name);
    }
}

#[test]
fn every_key_of_a_policy_is_documented_and_the_other_way_round() {
    let documents = include_str!("../../docs/repository-policy.md");
    let example = documents.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    RepositoryPolicy::parse(example).unwrap();
    let code: BTreeSet<String> = policy_keys().iter().cloned().collect();
    assert_eq!(code, documented_keys(example));
}

#[test]
fn the_example_is_valid_as_it_stands_and_with_every_key_active() {
    let as_it_stands = load(EXAMPLE, &[]).unwrap();
    assert_eq!(as_it_stands.redacted(), load("", &[]).unwrap().redacted(), "active keys show the defaults");
    // The two ways to give the private key exclude each other.
    let all = uncommented(EXAMPLE).replace("  private_key: ${GITHUB_APP_PRIVATE_KEY}\n", "");
    // There is no file of that name here.
    let all = all.replace("  catalog: models.yaml\n", "");
    let pairs = [
        ("DATABASE_URL", "postgres://db/x"),
        ("GITHUB_WEBHOOK_SECRET", "s"),
        ("ANTHROPIC_API_KEY", "k"),
        ("OPENAI_API_KEY", "k"),
        ("GEMINI_API_KEY", "k"),
        ("XAI_API_KEY", "k"),
        ("GROQ_API_KEY", "k"),
        ("SMTP_URL", "smtp://mail"),
    ];
    let config = load(&all, &pairs).unwrap();
    assert_eq!(config.models.roles.of(Role::Discussion)[0].model, "gpt-5.2");
    assert_eq!(config.notices, Vec::<String>::new());
}

mod policy {
    use super::*;

    #[test]
    fn a_policy_reads_gates_in_both_forms() {
        let text = "gates:\n  - name: tests\n    run: cargo test --offline\n  - name: lint\n    \
                    run: [cargo, clippy]\n    kind: lint\n    timeout_seconds: 60\n    required: false\n";
        let gates = RepositoryPolicy::parse(text).unwrap().gates.unwrap();
        assert_eq!(gates[0].run.argv(), ["/bin/sh", "-c", "cargo test --offline"]);
        assert!(gates[0].required && gates[0].timeout.is_none());
        assert_eq!(gates[1].run, GateCommand::Argv(vec!["cargo".into(), "clippy".into()]));
        assert_eq!((gates[1].required, gates[1].timeout), (false, Some(Duration::from_secs(60))));
    }

    #[test]
    fn an_absent_and_an_empty_list_of_gates_differ() {
        assert_eq!(RepositoryPolicy::parse("").unwrap(), RepositoryPolicy::default());
        assert_eq!(RepositoryPolicy::parse("gates: []").unwrap().gates, Some(vec![]));
    }

    #[test]
    fn what_is_wrong_is_named_as_in_the_deployments_file() {
        let cases = [
            ("gate:\n", ":1:1: `gate`: unknown key; did you mean `gates`?"),
            (
                "gates:\n  - name: a\n    rum: x",
                ":3:5: `gates[0].rum`: unknown key; did you mean `gates[0].run`?",
            ),
            ("gates:\n  - run: x", ":2:5: `gates[0]`: every gate needs a `name`"),
            ("gates:\n  - name: a", ":2:5: `gates[0]`: every gate needs a command"),
            ("gates:\n  - {name: a, run: []}", "the list of arguments is empty"),
            ("gates:\n  - {name: a, run: {x: y}}", "`gates[0].run"),
            ("paths: {allowed: ['[']}", "`paths.allowed[0]`: "),
            ("limits: {task_tokens: 0}", "`limits.task_tokens`: must be at least 1"),
        ];
        for (text, expected) in cases {
            let message = RepositoryPolicy::parse(text).expect_err(text).to_string();
            assert!(message.starts_with(".orchestrator/config.yaml"), "{message}");
            assert!(message.contains(expected), "{text:?} gave {message:?}");
        }
        assert!(RepositoryPolicy::parse(&"#".repeat(70_000)).is_err());
    }

    #[test]
    fn a_kind_of_gate_is_one_that_is_known() {
        for kind in GATE_KINDS {
            let text = format!("gates:\n  - name: a\n    run: a\n    kind: {kind}\n");
            assert_eq!(RepositoryPolicy::parse(&text).unwrap().gates.unwrap()[0].kind, Some(kind));
        }
        let text = "gates:\n  - name: a\n    run: a\n    kind: tests\n";
        let error = RepositoryPolicy::parse(text).unwrap_err();
        assert_eq!((error.line(), error.suggestion()), (Some(4), Some("test")), "{error}");
        assert!(error.to_string().contains(&GATE_KINDS.join(", ")), "{error}");
    }

    #[test]
    fn a_policy_never_reads_the_environment() {
        let policy = RepositoryPolicy::parse("label: ${HOME}").unwrap();
        assert_eq!(policy.label.as_deref(), Some("${HOME}"));
    }

    #[test]
    fn a_policy_lowers_limits_and_never_raises_them() {
        let ours = load("limits: {gate_rounds: 3, task_usd: 5, task_tokens: 5000}", &[]).unwrap().limits;
        let text =
            "limits: {gate_rounds: 4, review_rounds: 1, task_usd: 100, task_tokens: 10, agent_steps: 9999}";
        let lowered = ours.lowered_by(&RepositoryPolicy::parse(text).unwrap().limits);
        assert_eq!((lowered.gate_rounds, lowered.review_rounds), (3, 1));
        assert_eq!((lowered.task_usd, lowered.task_tokens, lowered.agent_steps), (5.0, 10, ours.agent_steps));
    }

    #[test]
    fn an_alias_bomb_is_refused_quickly() {
        let mut text = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned();
        for (next, last) in ('b'..='k').zip('a'..='j') {
            text += &format!("{next}: &{next} [*{last},*{last},*{last},*{last},*{last},*{last},*{last}]\n");
        }
        let start = std::time::Instant::now();
        assert!(RepositoryPolicy::parse(&text).is_err());
        // Expanded, it has 2.5 thousand million entries.
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    }
}
