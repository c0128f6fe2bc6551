//! What was said to models: once for each task, for some days, and never in the way of the record of spending.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use flate2::read::GzDecoder;
use orchestrator::domain::{Role, TaskId, Usage};
use orchestrator::llm::boundary::PromptText;
use orchestrator::llm::{
    Accounting, CallLabel, CallRecord, Exchange, Ledger, Message, PromptUsed, Request, StopReason,
    TokenCount, ToolCall, ToolDefinition, ToolResult,
};
use orchestrator::pipeline::StoreLedger;
use orchestrator::store::{ModelCall, Store};
use orchestrator::telemetry::{Redactor, clock};
use secrecy::SecretString;
use serde_json::json;

use crate::scene::{Scene, labelled};

async fn task(scene: &Scene) -> TaskId {
    let task = labelled(3);
    let mut transition = scene.store.begin().await.expect("begun");
    transition.create(&task).await.expect("made").expect("the first of its issue");
    transition.commit().await.expect("committed");
    task.id
}

const SECRET: &str = "a-secret-of-the-deployment";

fn ledger(store: Store, texts_days: u32) -> StoreLedger {
    StoreLedger::new(store, texts_days, Arc::new(Redactor::new([SecretString::from(SECRET)])))
}

fn turn(step: usize, content: String) -> [Message; 2] {
    let id = format!("call-{step}");
    let call = ToolCall { id: id.clone(), name: "read_file".into(), arguments: json!({ "path": step }) };
    let result = ToolResult { id, name: "read_file".into(), content };
    [
        Message::Assistant { text: String::new(), tool_calls: vec![call], continuation: None },
        Message::ToolResults { results: vec![result] },
    ]
}

fn record(task: TaskId, messages: &[Message], answer: Option<Message>) -> CallRecord {
    let tools = vec![ToolDefinition { name: "read_file".into(), description: "r".into(), schema: json!({}) }];
    let request = Request {
        system: "You are an engineer.".into(),
        messages: messages.to_vec(),
        tools,
        max_output_tokens: None,
        temperature: None,
        response_schema: None,
    };
    let prompt = PromptUsed { name: "implementer".into(), version: 4, source: "embedded".into() };
    CallRecord {
        label: CallLabel { task: Some(task), stage: "implement".into(), prompt: Some(prompt) },
        role: Role::Implementer,
        model: "a:b".parse().expect("a name"),
        attempt: 2,
        tokens: TokenCount { input: 10, cached: 5, cache_written: 3, output: 7 },
        usage: Usage { calls: 1, input_tokens: 10, cached_tokens: 5, output_tokens: 7, cost_micro_usd: 11 },
        accounting: Accounting::Estimated,
        latency: Duration::from_millis(9),
        stop: Some(StopReason::ToolCalls),
        error: None,
        exchange: Some(Exchange { request: Arc::new(request), answer }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_of_two_hundred_steps_keeps_each_message_once() {
    let scene = Scene::new().await;
    let task = task(&scene).await;
    let ledger = self::ledger(scene.store.clone(), 30);
    let mut messages = vec![Message::user(PromptText::own("Begin."))];
    let mut last = Vec::new();
    for step in 0..200 {
        let [answer, results] = turn(step, format!("{step}\0{}", "x".repeat(4_000)));
        let call = record(task, &messages, Some(answer.clone()));
        let started = Instant::now();
        ledger.record(&call).await.expect("written down");
        last.push(started.elapsed());
        messages.extend([answer, results]);
    }
    // Instructions, tools, the beginning, 200 answers, and the results of all but the last.
    assert_eq!(scene.count("SELECT count(*) FROM model_texts").await, 3 + 200 + 199);
    let calls = scene.store.model_calls(task).await.expect("calls");
    let (_, call) = calls.last().expect("a call");
    assert_eq!((calls.len(), call.texts.messages.len()), (200, 399));
    let bodies = scene.store.model_text_bodies(&call.texts.ids().collect::<Vec<_>>()).await.expect("read");
    assert_eq!(bodies.len(), 402, "all of the last call is there");
    let prompt = call.prompt.as_ref().expect("a prompt");
    assert_eq!(
        (prompt.name.as_str(), prompt.version, prompt.source.as_str()),
        ("implementer", 4, "embedded")
    );
    assert_eq!(
        (call.attempt, call.cache_written_tokens, call.accounting.as_deref()),
        (2, 3, Some("estimated"))
    );
    last.sort();
    println!("a call is written down in {:?}, the slowest in {:?}", last[100], last[199]);
    assert!(last[100] < Duration::from_millis(500), "{:?}", last[100]);
    // Another process asks the database what is kept already.
    self::ledger(scene.other().await, 30).record(&record(task, &messages, None)).await.expect("written");
    assert_eq!(scene.count("SELECT count(*) FROM model_texts").await, 3 + 200 + 200);
}

/// What is kept of a call, unpacked: instructions, tools, messages, answer.
async fn kept(scene: &Scene, call: &ModelCall) -> Vec<String> {
    let ids: Vec<i64> = call.texts.ids().collect();
    let bodies = scene.store.model_text_bodies(&ids).await.expect("read");
    let plain = |id| std::io::read_to_string(GzDecoder::new(bodies[id].as_slice())).expect("text");
    ids.iter().map(plain).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_known_is_not_kept_wherever_it_was_said() {
    let scene = Scene::new().await;
    let task = task(&scene).await;
    let call = ToolCall { id: "1".into(), name: "run".into(), arguments: json!({ "line": [SECRET] }) };
    let result = ToolResult { id: "1".into(), name: "run".into(), content: format!("it is {SECRET}") };
    let messages = [
        Message::User { text: format!("Use {SECRET}.") },
        Message::Assistant { text: format!("I use {SECRET}."), tool_calls: vec![call], continuation: None },
        Message::ToolResults { results: vec![result] },
    ];
    let record = record(task, &messages, Some(messages[1].clone()));
    let request = Request { system: format!("Never say {SECRET}."), ..request_of(&record) };
    let exchange = Exchange { request: Arc::new(request), answer: Some(messages[1].clone()) };
    let error = Some(("server".to_owned(), format!("no {SECRET}")));
    let record = CallRecord { exchange: Some(exchange), error, ..record };
    ledger(scene.store.clone(), 30).record(&record).await.expect("written");
    let calls = scene.store.model_calls(task).await.expect("calls");
    let texts = kept(&scene, &calls[0].1).await;
    assert_eq!(texts.len(), 6);
    assert_eq!(texts.iter().filter(|text| text.contains("[redacted]")).count(), 5, "{texts:?}");
    assert!(texts.iter().all(|text| !text.contains(SECRET)), "{texts:?}");
    assert_eq!(calls[0].1.error.as_deref(), Some("server: no [redacted]"));
}

fn request_of(record: &CallRecord) -> Request {
    record.exchange.as_ref().map(|exchange| (*exchange.request).clone()).expect("an exchange")
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_task_only_so_much_is_kept() {
    let scene = Scene::new().await;
    let task = task(&scene).await;
    scene
        .sql(format!(
            "INSERT INTO model_texts (task_id, digest, body)
             VALUES ('{}', 'x', convert_to(repeat('x', 67108864 - 2000), 'UTF8'))",
            task.0
        ))
        .await;
    let ledger = ledger(scene.store.clone(), 30);
    // Numbers do not pack well.
    let noise = || (0..400).map(|_| clock::new_id().to_string()).collect::<String>();
    let [answer, results] = turn(1, noise());
    let messages = [Message::user(PromptText::own("Begin.")), answer, results];
    ledger.record(&record(task, &messages, None)).await.expect("written");
    let long = Message::Assistant { text: noise(), tool_calls: vec![], continuation: None };
    ledger.record(&record(task, &messages, Some(long))).await.expect("written");
    let calls = scene.store.model_calls(task).await.expect("calls");
    let texts = kept(&scene, &calls[1].1).await;
    assert!(texts[2].contains("Begin.") && texts[3].contains("read_file"), "what fits is kept: {texts:?}");
    assert!(texts[4].contains("left out: no more texts") && texts[4].len() < 300, "{texts:?}");
    assert!(texts[5].contains("left out"), "{texts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_spent_is_recorded_also_where_its_texts_cannot_be_kept() {
    let scene = Scene::new().await;
    let task = task(&scene).await;
    let messages = [Message::user(PromptText::own("Begin."))];
    ledger(scene.store.clone(), 0).record(&record(task, &messages, None)).await.expect("written");
    assert_eq!(scene.count("SELECT count(*) FROM model_texts").await, 0, "0 days: not kept");
    scene.sql("ALTER TABLE model_texts RENAME TO away").await;
    ledger(scene.store.clone(), 30).record(&record(task, &messages, None)).await.expect("written");
    let usage = scene.store.usage_of(task).await.expect("read");
    assert_eq!((usage.calls, usage.cost_micro_usd), (2, 22));
    let calls = scene.store.model_calls(task).await.expect("calls");
    assert!(calls.iter().all(|(_, call)| call.texts.ids().next().is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn old_texts_go_in_batches_and_the_records_stay() {
    let scene = Scene::new().await;
    let task = task(&scene).await;
    let ledger = self::ledger(scene.store.clone(), 30);
    let [answer, results] = turn(1, "one".into());
    let messages = [Message::user(PromptText::own("Begin.")), answer, results];
    ledger.record(&record(task, &messages, None)).await.expect("written down");
    scene.sql("UPDATE model_texts SET created_at = now() - interval '31 days' WHERE id <= 4").await;
    let before = clock::now() - TimeDelta::days(30);
    let store = &scene.store;
    assert_eq!(store.forget_model_texts(before, 3).await.expect("removed"), 3, "no more than a batch");
    assert_eq!(store.forget_model_texts(before, 3).await.expect("removed"), 1);
    assert_eq!(store.forget_model_texts(before, 3).await.expect("removed"), 0);
    assert_eq!(scene.count("SELECT count(*) FROM model_texts").await, 1, "what is young stays");
    let calls = store.model_calls(task).await.expect("calls");
    assert_eq!((calls.len(), calls[0].1.texts.messages.len()), (1, 3), "the record says what there was");
    assert_eq!(store.usage_of(task).await.expect("read").cost_micro_usd, 11);
}
