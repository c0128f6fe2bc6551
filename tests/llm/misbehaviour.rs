//! The table of misbehaviour: case → what the caller is told → what is accounted for.

use std::time::{Duration, Instant};

use orchestrator::llm::{Accounting, LlmError, Message, Request, StopReason, ToolResult};
use orchestrator::simulator::model::{Answer as Scripted, Cut};
use serde_json::json;

use crate::bench::{
    Bench, WIRES, ask, assert_ledger_equals_server, bench, bench_with, context, counted, fails, model, once,
    read_file, recorded, whole,
};

/// What a case comes to: the words of the error or `None` for an answer, and how it is accounted for.
struct Row {
    case: &'static str,
    fault: Scripted,
    told: fn(&str) -> Option<&'static str>,
    accounted: fn(&str) -> Accounting,
}

fn estimated(_: &str) -> Accounting {
    Accounting::Estimated
}

fn reported(_: &str) -> Accounting {
    Accounting::Reported
}

fn nothing(_: &str) -> Accounting {
    Accounting::Nothing
}

fn error(status: u16, retry_after: Option<&str>) -> Scripted {
    let retry_after = retry_after.map(str::to_owned);
    Scripted::Error { status, retry_after, message: "not now".into(), code: None }
}

fn table() -> Vec<Row> {
    let row = |case, fault, told, accounted| Row { case, fault, told, accounted };
    vec![
        row(
            "a stream cut after its first event",
            Scripted::CutStream { at: Cut::Start },
            |_| Some("the connection failed"),
            estimated,
        ),
        row(
            "a stream cut in the middle of a tool call",
            Scripted::CutStream { at: Cut::InCall },
            |_| Some("the connection failed"),
            estimated,
        ),
        row(
            "a stream cut before the usage",
            Scripted::CutStream { at: Cut::BeforeUsage },
            // Where the reason for the end comes before the usage, the answer is whole.
            |wire| {
                if matches!(wire, "on-this-machine" | "xai") { None } else { Some("the connection failed") }
            },
            estimated,
        ),
        row("a stream cut after the usage", Scripted::CutStream { at: Cut::AfterUsage }, |_| None, reported),
        row(
            "half a tool call",
            Scripted::HalfToolCall { name: "read_file".into() },
            |wire| match wire {
                "anthropic" | "ollama" => Some("the connection failed"),
                "gemini" => Some("could not form its tool call"),
                // The model is told by the agent that its arguments are no JSON.
                _ => None,
            },
            |wire| {
                if matches!(wire, "anthropic" | "ollama") {
                    Accounting::Estimated
                } else {
                    Accounting::Reported
                }
            },
        ),
        row(
            "an event that is no JSON",
            Scripted::Junk { body: "{\"choices\": [{".into() },
            |_| Some("the answer could not be read"),
            estimated,
        ),
        row(
            "a page instead of a stream",
            Scripted::Page { html: "<html>Sign in</html>".into() },
            |_| Some("the answer could not be read"),
            estimated,
        ),
        row("an error in the middle of a stream", Scripted::ErrorInStream, |_| Some("Overloaded"), estimated),
        row(
            "an answer without end",
            Scripted::Giant { bytes: 9 * 1024 * 1024 },
            |_| Some("has more than"),
            estimated,
        ),
        row(
            "a connection that goes silent",
            Scripted::Idle { seconds: 30.0 },
            |_| Some("was silent for 0.5 s"),
            estimated,
        ),
        row("429 without a time", error(429, None), |_| Some("rate limit is reached: not now"), nothing),
        row("429 with a time", error(429, Some("7")), |_| Some("rate limit is reached: not now"), nothing),
        row("500", error(500, None), |_| Some("failed with status 500: not now"), nothing),
        row("503", error(503, None), |_| Some("overloaded: not now"), nothing),
        row("529", error(529, None), |_| Some("overloaded: not now"), nothing),
        row("401", error(401, None), |_| Some("refused the key: not now"), nothing),
        row("400", error(400, None), |_| Some("refused the request: 400: not now"), nothing),
    ]
}

/// Half a call is never carried out: what the table says is checked for each wire, and that no answer has a
/// call whose arguments are half.
#[tokio::test]
async fn each_misbehaviour_is_told_in_its_own_words_and_accounted_for() {
    for provider in WIRES {
        for row in table() {
            let is_giant = matches!(row.fault, Scripted::Giant { .. });
            if is_giant && !matches!(provider, "anthropic" | "on-this-machine" | "ollama") {
                continue; // read by the same code, and slow
            }
            let bench = bench_with(&[model(provider)], |settings| {
                once(settings);
                settings.idle_timeout = match row.fault {
                    Scripted::Idle { .. } => Duration::from_millis(500),
                    _ => Duration::from_secs(60),
                };
            })
            .await;
            bench.server.inject([row.fault.clone()]);
            let request = Request { tools: vec![read_file()], ..ask("hello") };
            let outcome = bench.client.call(&context(), request).await;
            let at = format!("{provider}, {}", row.case);
            match (&outcome, (row.told)(provider)) {
                (Err(error), Some(words)) => assert!(error.to_string().contains(words), "{at}: {error}"),
                (Ok(_), None) => {}
                (other, told) => panic!("{at}: {told:?} was expected, and came {other:?}"),
            }
            check_account(&bench, &row, provider, &at);
        }
    }
}

fn check_account(bench: &Bench, row: &Row, provider: &str, at: &str) {
    let (records, journal) = (bench.book.records(), bench.server.journal());
    assert_eq!((records.len(), journal.len()), (1, 1), "{at}");
    assert_eq!(records[0].accounting, (row.accounted)(provider), "{at}: {:?}", records[0]);
    match records[0].accounting {
        Accounting::Reported => {
            assert!(journal[0].usage_sent, "{at}");
            assert_eq!(recorded(&records[0]), counted(&journal[0]), "{at}");
        }
        Accounting::Estimated => {
            let reported_prompt = matches!(provider, "anthropic") && journal[0].counted.input > 0;
            assert!(records[0].usage.cost_micro_usd > 0, "{at}: it may have cost something");
            if reported_prompt && !matches!(row.fault, Scripted::Junk { .. } | Scripted::Page { .. }) {
                assert_eq!(records[0].tokens.input, journal[0].counted.input, "{at}: the prompt was counted");
            }
        }
        Accounting::Nothing => assert_eq!(records[0].usage.cost_micro_usd, 0, "{at}"),
    }
}

#[tokio::test]
async fn a_cut_stream_is_tried_again_and_its_half_is_paid_for() {
    for provider in WIRES {
        let bench = bench(provider).await;
        bench.server.inject([Scripted::CutStream { at: Cut::InCall }]);
        let request = Request { tools: vec![read_file()], ..ask("hello") };
        let answer = bench.client.call(&context(), request).await.expect("answers");
        assert_eq!((answer.text.as_str(), answer.tool_calls.len()), ("hi", 0), "{provider}");
        let accounts: Vec<_> = bench.book.records().iter().map(|record| record.accounting).collect();
        assert_eq!(accounts, [Accounting::Estimated, Accounting::Reported], "{provider}");
        let half = &bench.book.records()[0];
        assert!(half.tokens.output > 0, "{provider}: what was written counts: {half:?}");
    }
}

#[tokio::test]
async fn an_empty_answer_is_an_answer() {
    for provider in WIRES {
        let bench = bench(provider).await;
        let answer = bench.client.call(&context(), ask("say nothing")).await.expect("an answer");
        assert_eq!((answer.text.as_str(), answer.tool_calls.len()), ("", 0), "{provider}");
        assert_eq!(answer.stop, StopReason::Completed, "{provider}");
        assert_ledger_equals_server(&bench);
    }
}

#[tokio::test]
async fn a_silent_connection_is_noticed_long_before_the_whole_calls_limit() {
    let bench = bench_with(&[model("openai")], |settings| {
        once(settings);
        settings.idle_timeout = Duration::from_millis(300);
        settings.call_timeout = Duration::from_secs(600);
    })
    .await;
    bench.server.inject([Scripted::Idle { seconds: 600.0 }]);
    let started = Instant::now();
    let error = fails(&bench, "hello").await;
    assert!(matches!(error, LlmError::Silent { .. }), "{error}");
    assert!(error.is_transient() && started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_server_that_cannot_stream_is_named_with_what_to_do() {
    let bench = bench_with(&[model("on-this-machine")], once).await;
    bench.server.inject([Scripted::Page { html: "{\"choices\": []}".into() }]);
    let error = fails(&bench, "hello").await.to_string();
    assert!(error.contains("`stream: false`"), "{error}");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_the_prompt_is_accounted_for() {
    for provider in WIRES {
        let bench = bench_with(&[model(provider)], |settings| {
            settings.retry.max_calls = 2;
            settings.call_timeout = Duration::from_millis(150);
        })
        .await;
        let error = fails(&bench, "hang").await;
        assert!(matches!(error, LlmError::TimedOut { .. }), "{provider}: {error}");
        let records = bench.book.records();
        assert_eq!(records.len(), 2);
        for record in records {
            assert_eq!(record.accounting, Accounting::Estimated);
            assert!(record.usage.cost_micro_usd > 0 && record.error.is_some());
        }
    }
}

#[tokio::test]
async fn half_a_call_is_kept_for_the_model_to_be_told() {
    for provider in ["openai", "on-this-machine", "xai", "groq"] {
        is_told(provider).await;
    }
}

async fn is_told(provider: &str) {
    let bench = bench(provider).await;
    let mut request = Request { tools: vec![read_file()], ..ask("half") };
    let answer = bench.client.call(&context(), request.clone()).await.expect("an answer");
    let call = answer.tool_calls[0].clone();
    assert_eq!(call.arguments, json!("{\"path\":\"src/l"), "{provider}");
    assert_ledger_equals_server(&bench);
    // The conversation goes on from it.
    request.messages.push(answer.into_message());
    let content = "that was no JSON; hello".to_owned();
    request
        .messages
        .push(Message::ToolResults { results: vec![ToolResult { id: call.id, name: call.name, content }] });
    assert_eq!(bench.client.call(&context(), request).await.expect("answers").text, "hi");
}

#[tokio::test]
async fn answers_in_one_piece_are_as_strict() {
    for provider in WIRES {
        for (fault, kind) in [
            (Scripted::DropConnection, "transport"),
            (Scripted::Junk { body: "{\"choices\": [{".into() }, "malformed"),
            (Scripted::Junk { body: "{\"id\": 1}".into() }, "malformed"),
            (Scripted::Page { html: "<html>".into() }, "malformed"),
        ] {
            let bench = bench_with(&[model(provider)], |settings| {
                once(settings);
                whole(settings);
            })
            .await;
            bench.server.inject([fault.clone()]);
            let error = fails(&bench, "hello").await;
            assert_eq!(error.kind(), kind, "{provider}, {fault:?}: {error}");
            let record = &bench.book.records()[0];
            assert_eq!(record.accounting, Accounting::Estimated, "{provider}, {fault:?}");
        }
    }
}
