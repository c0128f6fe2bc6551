//! YAML: the operator's file, and what a repository says about itself.

use std::path::Path;

use orchestrator::config::{
    Config, Environment, GATE_KINDS, RepositoryPolicy, TEMPLATE_MAX_BYTES, parse_task, parse_template,
};

use super::{Target, input};

const CANARY: &str = "canary-c0ffee-5ecret";

pub const CONFIGURATION: Target = Target {
    name: "configuration",
    run: configuration,
    words: &[
        "\n",
        ": ",
        "- ",
        "  ",
        "    ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "\"",
        "'",
        "&a ",
        "*a",
        "<<: ",
        "!!binary ",
        "!!int ",
        "|\n",
        "# ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "? ",
        "~",
        "null",
        "true",
        "1",
        "-1",
        "1e400",
        ".nan",
        "0x10",
        "1_000",
        "18446744073709551616",
        "${HOME}",
        "${UNSET}",
        "${UNSET:-x}",
        "${UNSET:?m}",
        "$${",
        "${",
        "label",
        "database",
        "url",
        "github",
        "app_id",
        "web",
        "listen",
        "models",
        "providers",
        "default",
        "model",
        "roles",
        "limits",
        "gate_rounds",
        "task_usd",
        "polling",
        "mail",
        "smtp_url",
        "to",
        "sandbox",
        "setup",
        "allow_hosts",
        "uid_range",
        "reviewers",
        "blocking_severities",
        "log",
        "filter",
        "127.0.0.1:1",
        "http://a",
        "a@b.example",
        "critical",
    ],
    seeds: &[
        "label: auto\ngithub:\n  app_id: 1\n  api_url: http://127.0.0.1:1\nlimits:\n  gate_rounds: 3\n  task_usd: 1.5\nmail:\n  to: [a@b.example]\n",
        "models:\n  providers:\n    local:\n      protocol: openai\n      base_url: http://127.0.0.1:1/v1\n      api_key: ${HOME}\n  default:\n    - model: local::a\n      usd_per_million_input_tokens: 1\n  roles:\n    reviewer: [{model: local::b}]\n",
        "sandbox:\n  memory_mb: 1024\n  setup:\n    allow_hosts: [a.example, 'b.example:443']\n  uid_range: {first: 100000, count: 10}\nlog: {filter: info, format: json}\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "labl: auto\nweb:\n  listn: 1\n",
    ],
    longest: 512,
    cap: 64 * 1024,
};

fn configuration(data: &[u8]) {
    let text = input::text(data, CONFIGURATION.words);
    let names = ["GITHUB_WEBHOOK_SECRET", "ANTHROPIC_API_KEY", "GITHUB_APP_PRIVATE_KEY"];
    let environment: Environment =
        names.iter().map(|name| (*name, CANARY)).chain([("HOME", "/data/home")]).collect();
    match Config::from_text(Path::new("orchestrator.yaml"), &text, &environment) {
        Ok(config) => {
            assert!(
                (1..=4).contains(&config.limits.gate_rounds)
                    && (1..=4).contains(&config.limits.review_rounds)
            );
            assert!(!config.label.trim().is_empty());
            assert!(text.contains("${") || !format!("{config:?}").contains(CANARY), "a secret is printed");
        }
        Err(error) => {
            let said = error.to_string();
            assert!(!said.trim().is_empty());
            assert!(text.contains("${") || !said.contains(CANARY), "{said}");
        }
    }
}

pub const POLICY: Target = Target {
    name: "policy",
    run: policy,
    words: &[
        "\n",
        ": ",
        "- ",
        "  ",
        "    ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "\"",
        "'",
        "&a ",
        "*a",
        "<<: ",
        "!!binary ",
        "!!str ",
        "|\n",
        "---\n",
        "? ",
        "~",
        "true",
        "no",
        "1",
        "0",
        "-1",
        "1e400",
        ".nan",
        ".inf",
        "100",
        "86401",
        "18446744073709551616",
        "${HOME}",
        "label",
        "gates",
        "name",
        "run",
        "kind",
        "timeout_seconds",
        "required",
        "setup",
        "coverage",
        "lines_percent",
        "reviewers",
        "security",
        "paths",
        "allowed",
        "protected",
        "src/**",
        "{a,",
        "[!a-",
        "**",
        "mail_to",
        "a@b.example",
        "limits",
        "gate_rounds",
        "review_rounds",
        "agent_steps",
        "stage_wall_seconds",
        "task_tokens",
        "task_usd",
        "test",
        "custom",
        "é",
        "\u{85}",
        "\u{2028}",
        "\t",
    ],
    seeds: &[
        "label: auto\ngates:\n  - name: test\n    run: make test\n    kind: test\n    timeout_seconds: 60\n  - name: lint\n    run: [ruff, check]\n    required: false\n",
        "coverage:\n  lines_percent: 80\npaths:\n  allowed: ['src/**']\n  protected: ['*.lock', '{a,b}/**']\nmail_to: [a@b.example]\nlimits:\n  gate_rounds: 9\n  task_usd: 0.5\n",
        "gates: []\nsetup:\n  - [npm, ci]\n  - make deps\nreviewers: [safety]\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "when: Documentation.\nlabel: docs\nrequirements: [Examples run.]\nworkflow: coding\nreviewers: [tone]\nquestions: [Who reads it?]\n",
        "title: T\nobjective: O\nrequirements: [r]\nacceptance_criteria:\n  - a\nrisk: high\ntemplate: docs\n",
    ],
    longest: 512,
    cap: 64 * 1024,
};

fn policy(data: &[u8]) {
    let text = input::text(data, POLICY.words);
    specified(&text);
    let policy = match RepositoryPolicy::parse(&text) {
        Ok(policy) => policy,
        Err(error) => {
            assert!(!error.to_string().trim().is_empty());
            return;
        }
    };
    let gates = policy.gates.unwrap_or_default();
    assert!(gates.len() <= 64);
    for (at, gate) in gates.iter().enumerate() {
        assert!((1..=100).contains(&gate.name.len()) && !gate.name.chars().any(char::is_control), "{gate:?}");
        assert!(gates[..at].iter().all(|other| other.name != gate.name));
        assert!(gate.kind.is_none_or(|kind| GATE_KINDS.contains(&kind)));
        assert!(gate.timeout.is_none_or(|time| (1..=86_400).contains(&time.as_secs())));
        let command = gate.run.argv();
        assert!(command.first().is_some_and(|program| !program.is_empty()), "{gate:?}");
    }
    for command in policy.setup.unwrap_or_default() {
        assert!(command.argv().first().is_some_and(|program| !program.is_empty()), "{command:?}");
    }
    assert!(policy.coverage_floor.is_none_or(|floor| floor > 0.0 && floor <= 100.0));
    assert!(policy.label.is_none_or(|label| !label.is_empty() && label == label.trim()));
    let limits = policy.limits;
    for rounds in [limits.gate_rounds, limits.review_rounds].into_iter().flatten() {
        assert!((1..=4).contains(&rounds));
    }
    assert!(limits.agent_steps != Some(0) && limits.task_tokens != Some(0));
    assert!(limits.stage_wall.is_none_or(|time| !time.is_zero()));
    assert!(limits.task_usd.is_none_or(|usd| usd.is_finite() && usd > 0.0));
}

/// A template and a task that a person wrote are held within the bounds of a specification.
fn specified(text: &str) {
    match parse_template("docs", "docs.yaml", text) {
        Ok(template) => {
            assert!(text.len() <= TEMPLATE_MAX_BYTES && !template.when.is_empty());
            let lists = [&template.requirements, &template.constraints, &template.acceptance_criteria];
            assert!(lists.iter().all(|list| list.len() <= 10));
            let mut entries = lists.into_iter().flatten().chain(&template.questions);
            assert!(entries.all(|entry| !entry.trim().is_empty() && entry.chars().count() <= 2_000));
        }
        Err(error) => assert!(!error.to_string().trim().is_empty()),
    }
    match parse_task(Path::new("task.yaml"), text) {
        Ok(task) => assert_eq!(task.specification().validate(0, 1), Ok(())),
        Err(error) => assert!(!error.to_string().trim().is_empty()),
    }
}
