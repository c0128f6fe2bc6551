//! The agent in the real sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use orchestrator::domain::BudgetLimits;
use orchestrator::engines::{AgentCommand, Filled, MeteringProxy, Spent};
use orchestrator::llm::{Accounting, CallRecord, LlmError, Said};
use orchestrator::sandbox::{
    Bubblewrap, BubblewrapOptions, Command, Exit, LimitHit, Limits, Outcome, Sandbox, Session,
};
use orchestrator::simulator::model::Answer as Scripted;
use orchestrator::workspace::{FileEntry, FileMode, RepoPath, Snapshot};

use crate::scene::{CLAUDE, GEMINI, GPT, GREETS, NO_LIMITS, Providers, Scene, agent_program, model_server};

/// A sandbox with a tree that has one file.
struct Place {
    _root: tempfile::TempDir,
    session: Box<dyn Session>,
    /// A copy of the agent's program where every user can read it.
    program: PathBuf,
}

async fn sandbox() -> Place {
    let root = tempfile::tempdir().expect("a folder");
    let program = root.path().join("agent.py");
    std::fs::copy(agent_program(), &program).expect("a copy");
    let options = BubblewrapOptions::new(root.path().join("work"), env!("CARGO_BIN_EXE_orchestrator"));
    let sandbox = Bubblewrap::new(options).expect("a sandbox");
    let greeting = FileEntry { mode: FileMode::Regular, bytes: b"hello\n".to_vec().into() };
    let tree = Snapshot { files: [(RepoPath::parse("greeting.txt").expect("a path"), greeting)].into() };
    let session = sandbox.open(&tree).await.expect("a session");
    Place { _root: root, session, program }
}

/// The command of an operator for the tests' agent.
fn command(place: &Place, mode: &str, model: &str, proxy: &MeteringProxy, wall: Duration) -> Command {
    let argv = ["/usr/bin/python3", "/tmp/agent.py", mode, "{model}", "{prompt}"];
    let env = [
        ("ANTHROPIC_BASE_URL", "{proxy_url}"),
        ("ANTHROPIC_API_KEY", "{key}"),
        ("OPENAI_BASE_URL", "{proxy_url}/v1"),
        ("OPENAI_API_KEY", "{key}"),
        ("GEMINI_BASE_URL", "{proxy_url}"),
        ("PROXY", "{proxy_url}"),
    ];
    let agent = AgentCommand {
        argv: argv.map(str::to_owned).to_vec(),
        env: env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        mounts: vec![place.program.clone()],
    };
    agent.check().expect("a good command");
    let limits = Limits { wall, ..Limits::default() };
    let filled = Filled { prompt: "Greet the world", model, path: "" };
    let mut command = agent.command(filled, limits, proxy.socket());
    // Where the program really is; /tmp inside is not the host's.
    let program = place.program.display().to_string();
    command.argv.iter_mut().for_each(|word| *word = word.replace("/tmp/agent.py", &program));
    command
}

const LONG: Duration = Duration::from_secs(60);

async fn run(place: &Place, command: &Command) -> Outcome {
    place.session.run(command).await.expect("ran")
}

async fn greeting(place: &Place) -> String {
    let back = place.session.read_back().await.expect("read back");
    let entry = &back.tree.files[&RepoPath::parse("greeting.txt").expect("a path")];
    String::from_utf8(entry.bytes.to_vec()).expect("text")
}

#[tokio::test]
async fn an_agent_changes_the_tree_and_every_call_is_accounted_for() {
    for (mode, model) in [("anthropic", CLAUDE), ("openai", GPT), ("responses", GPT), ("gemini", GEMINI)] {
        let server = model_server(GREETS).await;
        let scene = Scene::new(&Providers::of(&server), NO_LIMITS);
        let (place, proxy) = (sandbox().await, scene.open().await);
        let outcome = run(&place, &command(&place, mode, model, &proxy, LONG)).await;
        assert_eq!(outcome.exit, Exit::Code(0), "{}", outcome.stderr.text());
        assert_eq!(outcome.stdout.text().trim(), "I wrote the greeting and looked at it.");
        assert_eq!(greeting(&place).await, "hello, world\n");
        let metered = proxy.finish().await;
        assert_eq!((metered.calls, metered.refused.len()), (3, 0), "{metered:?}");
        assert_eq!(server.journal().len(), 3);
        let records = scene.book.records();
        assert_eq!(records.iter().map(|record| record.attempt).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(
            records.iter().all(|record| record.accounting == Accounting::Reported && record.error.is_none())
        );
        assert!(records.iter().all(|record| record.usage.cost_micro_usd > 0 && record.stop.is_some()));
        scene.agrees_with(&server);
        what_was_said_is_there(mode, &records);
    }
}

/// Each call of the conversation repeats what was said before it in the very same parts.
fn what_was_said_is_there(mode: &str, records: &[CallRecord]) {
    let exchanges: Vec<_> = records.iter().filter_map(|record| record.exchange.as_ref()).collect();
    assert_eq!(exchanges.len(), 3, "{mode}");
    assert!(exchanges.iter().all(|one| one.request.system == "You are an agent."), "{mode}");
    let tools: Vec<_> = exchanges[0].request.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(tools, ["write_file", "run"], "{mode}");
    let parts = |at: usize| exchanges[at].messages().map(|part| part.digest()).collect::<Vec<_>>();
    for at in 0..2 {
        let (before, after) = (parts(at), parts(at + 1));
        assert!(after.starts_with(&before), "{mode}: call {} does not go on from {at}", at + 1);
        let answer = exchanges[at].answered().expect("an answer").digest();
        assert_eq!(
            after.get(before.len()),
            Some(&answer),
            "{mode}: {:?}",
            exchanges[at + 1].request.messages
        );
    }
    let told: Vec<Said> = exchanges[2].messages().map(|part| part.said()).collect();
    assert!(matches!(&told[0], Said::User { text } if text.contains("Greet the world")), "{mode}: {told:?}");
    let results: Vec<_> = told
        .iter()
        .filter_map(|said| match said {
            Said::ToolResults { results } => Some((results[0].name.as_str(), results[0].content.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(results, [("write_file", "written"), ("run", "exit code 0\nhello, world\n")], "{mode}");
    let last = exchanges[2].answered().map(|part| part.said());
    let done = Said::Assistant { text: "I wrote the greeting and looked at it.".into(), tool_calls: vec![] };
    assert_eq!(last, Some(done), "{mode}");
}

#[tokio::test]
async fn an_agent_over_its_budget_is_told_so_and_goes_no_further() {
    let server = model_server(GREETS).await;
    // Enough for the first call and not for the second: each may write 800 tokens.
    let limits = BudgetLimits { tokens: Some(1_300), cost_micro_usd: None };
    let scene = Scene::new(&Providers::of(&server), limits);
    let (place, proxy) = (sandbox().await, scene.open().await);
    let outcome = run(&place, &command(&place, "anthropic", CLAUDE, &proxy, LONG)).await;
    assert_eq!(outcome.exit, Exit::Code(3));
    let said = outcome.stderr.text();
    assert!(
        said.contains("402") && said.contains("billing_error") && said.contains("the budget of this task"),
        "{said}"
    );
    let metered = proxy.finish().await;
    assert!(matches!(&metered.spent, Some(Spent::Budget(LlmError::BudgetExhausted { .. }))), "{metered:?}");
    let made = scene.book.records().len();
    assert!((1..3).contains(&made), "{made}");
    assert_eq!(server.journal().len(), made, "what is refused never goes out");
    scene.agrees_with(&server);
    assert!(scene.budget.spent().tokens() <= 1_300);
    assert_eq!(greeting(&place).await, "hello, world\n", "what it did so far is there");
}

#[tokio::test]
async fn an_agent_has_only_so_many_calls() {
    let server = model_server(GREETS).await;
    let scene = Scene::new(&Providers::of(&server), NO_LIMITS);
    let (place, proxy) = (sandbox().await, scene.open_for(2).await);
    let outcome = run(&place, &command(&place, "openai", GPT, &proxy, LONG)).await;
    assert!(outcome.stderr.text().contains("the limit of 2 calls of a model is reached"));
    let metered = proxy.finish().await;
    assert!(matches!(metered.spent, Some(Spent::Calls(2))), "{metered:?}");
    assert_eq!(server.journal().len(), 2);
}

#[tokio::test]
async fn a_providers_rate_limit_reaches_the_agent_as_it_is() {
    let server = model_server(GREETS).await;
    let limited = |retry_after: &str| Scripted::Error {
        status: 429,
        retry_after: Some(retry_after.into()),
        message: "slow down".into(),
        code: None,
    };
    server.inject([limited("0.2"), limited("0.1")]);
    let scene = Scene::new(&Providers::of(&server), NO_LIMITS);
    let (place, proxy) = (sandbox().await, scene.open().await);
    let outcome = run(&place, &command(&place, "anthropic", CLAUDE, &proxy, LONG)).await;
    assert_eq!(outcome.exit, Exit::Code(0), "{}", outcome.stderr.text());
    assert!(
        outcome.stderr.text().contains("the model refused: 429")
            && outcome.stderr.text().contains("slow down")
    );
    let metered = proxy.finish().await;
    assert!(metered.last_failure.is_none(), "the last call was answered");
    let records = scene.book.records();
    let accounting: Vec<_> = records.iter().map(|record| record.accounting).collect();
    assert_eq!(accounting[..2], [Accounting::Nothing, Accounting::Nothing]);
    assert_eq!(records[0].error.as_ref().map(|(kind, _)| kind.as_str()), Some("rate_limited"));
    scene.agrees_with(&server);
}

#[tokio::test]
async fn an_agent_that_hangs_is_ended_and_so_is_its_call() {
    let server = model_server(GREETS).await;
    server.inject([Scripted::Hang { seconds: 600.0 }]);
    let scene = Scene::with(&Providers::of(&server), NO_LIMITS, Duration::from_secs(600));
    let (place, proxy) = (sandbox().await, scene.open().await);
    let begun = Instant::now();
    // It waits for a model that does not answer.
    let outcome = run(&place, &command(&place, "anthropic", CLAUDE, &proxy, Duration::from_secs(3))).await;
    assert_eq!(outcome.limit, Some(LimitHit::Wall));
    proxy.finish().await;
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    let records = scene.book.records();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!(record.accounting, Accounting::Estimated, "the provider may have worked on it");
    assert!(record.tokens.input > 0 && record.error.is_some());
    // It waits for nothing at all.
    let proxy = scene.open().await;
    let outcome = run(&place, &command(&place, "hang", CLAUDE, &proxy, Duration::from_secs(2))).await;
    assert_eq!((outcome.limit, outcome.stdout.text().trim()), (Some(LimitHit::Wall), "begun"));
    assert_eq!(proxy.finish().await.calls, 0);
}

#[tokio::test]
async fn nothing_but_its_model_can_be_reached() {
    let server = model_server(GREETS).await;
    let scene = Scene::new(&Providers::of(&server), NO_LIMITS);
    let (place, proxy) = (sandbox().await, scene.open().await);
    let mut command = command(&place, "prowl", CLAUDE, &proxy, LONG);
    let port = server.anthropic_url().rsplit(':').next().expect("a port").to_owned();
    command.env.insert("HOST_PORT".into(), port.clone());
    let outcome = run(&place, &command).await;
    let said = outcome.stdout.text();
    let answers: BTreeMap<&str, &str> = said.lines().filter_map(|line| line.split_once(" -> ")).collect();
    assert_eq!(answers.len(), 9, "{said}{}", outcome.stderr.text());
    for (what, answer) in answers {
        let refused = answer.starts_with("failed:") || answer.contains("404");
        assert!(refused, "{what}: {answer}");
    }
    assert_eq!(server.journal().len(), 0, "the provider heard nothing");
    let metered = proxy.finish().await;
    let paths: Vec<&str> = metered.refused.iter().map(|refused| refused.path.as_str()).collect();
    assert!(paths.contains(&"/v1/files") && paths.contains(&"/v1/batches"), "{paths:?}");
    // The weak variant, a process on the host, reaches it.
    let address = format!("127.0.0.1:{port}");
    std::net::TcpStream::connect(address).expect("the weak variant is refused as well");
}

#[tokio::test]
async fn an_agent_that_looks_for_secrets_finds_none() {
    let server = model_server(GREETS).await;
    let scene = Scene::new(&Providers::of(&server), NO_LIMITS);
    let (place, proxy) = (sandbox().await, scene.open().await);
    let outcome = run(&place, &command(&place, "secrets", CLAUDE, &proxy, LONG)).await;
    assert_eq!(outcome.exit, Exit::Code(0), "{}", outcome.stderr.text());
    let said = format!("{}{}", outcome.stdout.text(), outcome.stderr.text());
    assert!(said.contains("ANTHROPIC_API_KEY") && said.contains("environ"), "it looked: {said}");
    // The provider takes this key alone, and it took the agent's calls.
    assert!(!said.contains(server.api_key()) && !said.contains("CARGO_"), "{said}");
    assert!(server.journal().iter().all(|exchange| exchange.status == 200));
    let tree = place.session.read_back().await.expect("read back").tree;
    let holds = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(server.api_key());
    assert!(!tree.files.values().any(|entry| holds(&entry.bytes)));
    proxy.finish().await;
    // The weak variant: the key in the agent's environment is found at once.
    let proxy = scene.open().await;
    let mut weak = command(&place, "secrets", CLAUDE, &proxy, LONG);
    weak.env.insert("ANTHROPIC_API_KEY".into(), server.api_key().into());
    assert!(run(&place, &weak).await.stdout.text().contains(server.api_key()));
}

#[tokio::test]
async fn the_socket_is_gone_with_the_command_and_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let server = model_server(GREETS).await;
    let scene = Scene::new(&Providers::of(&server), NO_LIMITS);
    let proxy = scene.open().await;
    let socket = proxy.socket();
    let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(socket.parent().expect("a folder")), 0o700);
    proxy.finish().await;
    assert!(!socket.exists());
    assert_eq!(std::fs::read_dir(scene.folder.path().join("proxies")).expect("a folder").count(), 0);
}
