//! Refusals and outages: what is repeated, what is left alone, and who stands in.

use std::time::{Duration, Instant};

use orchestrator::llm::{Accounting, Answer, CircuitPolicy, LlmError, Message, Request, ToolResult};
use orchestrator::simulator::model::Answer as Scripted;
use secrecy::SecretString;

use crate::bench::{
    WIRES, ask, assert_ledger_equals_server, bench, bench_with, context, fails, model, once, read_file,
    refusal,
};

#[tokio::test]
async fn a_wrong_key_is_not_tried_twice() {
    for provider in WIRES.into_iter().filter(|provider| *provider != "ollama") {
        let bench = bench_with(&[model(provider)], |settings| {
            for endpoint in settings.endpoints.values_mut() {
                endpoint.key = Some(SecretString::from("wrong"));
            }
        })
        .await;
        let error = fails(&bench, "hello").await;
        assert!(matches!(error, LlmError::Unauthorized(_)), "{provider}: {error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
        assert_eq!(bench.server.journal().len(), 1);
        let record = &bench.book.records()[0];
        assert_eq!((record.accounting, record.usage.cost_micro_usd), (Accounting::Nothing, 0));
    }
}

#[tokio::test]
async fn a_storm_passes_and_the_call_succeeds() {
    for provider in WIRES {
        for status in [408, 409, 429, 500, 502, 503, 529] {
            let bench = bench(provider).await;
            bench.server.inject([refusal(status, None), refusal(status, None)]);
            let answer = bench.client.call(&context(), ask("hello")).await.expect("answers in the end");
            assert_eq!(answer.text, "hi");
            assert_eq!(bench.server.journal().len(), 3, "{provider} {status}");
            let attempts: Vec<_> = bench.book.records().iter().map(|record| record.attempt).collect();
            assert_eq!(attempts, [1, 2, 3]);
            assert_ledger_equals_server(&bench);
        }
    }
}

#[tokio::test]
async fn retry_after_is_waited_for_in_each_form() {
    let cases = [("anthropic", "1"), ("openai", "1000ms"), ("gemini", "1"), ("ollama", "1")];
    for (provider, retry_after) in cases {
        let bench = bench(provider).await;
        bench.server.inject([refusal(429, Some(retry_after))]);
        let started = Instant::now();
        bench.client.call(&context(), ask("hello")).await.expect("answers");
        assert!(started.elapsed() >= Duration::from_secs(1), "{provider}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_retry_after_beyond_our_patience_ends_the_attempts_at_once() {
    let bench = bench("openai").await;
    bench.server.inject([refusal(429, Some("3600"))]);
    let error = fails(&bench, "hello").await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3_600)));
    assert!(error.is_transient());
    assert_eq!(bench.server.journal().len(), 1);
}

#[tokio::test]
async fn a_storm_that_does_not_pass_ends_after_the_last_attempt() {
    let bench = bench("anthropic").await;
    bench.server.inject((0..10).map(|_| refusal(529, None)));
    let error = fails(&bench, "hello").await;
    assert!(matches!(error, LlmError::Overloaded { .. }), "{error}");
    assert_eq!(bench.server.journal().len(), 4);
    assert_eq!(bench.book.records().len(), 4);
}

#[tokio::test]
async fn an_account_without_credit_is_not_asked_again() {
    let bench = bench("openai").await;
    bench.server.inject([Scripted::Error {
        status: 429,
        retry_after: None,
        message: "You exceeded your current quota.".into(),
        code: Some("insufficient_quota".into()),
    }]);
    let error = fails(&bench, "hello").await;
    assert!(matches!(error, LlmError::OutOfCredit(_)), "{error}");
    assert_eq!(bench.server.journal().len(), 1);
}

#[tokio::test]
async fn when_a_model_fails_the_next_of_the_role_is_asked() {
    let models = [model("anthropic"), model("openai")];
    for fault in [refusal(529, None), refusal(404, None), Scripted::DropConnection] {
        let bench = bench_with(&models, |_| {}).await;
        bench.server.inject(
            (0..if matches!(fault, Scripted::Error { status: 404, .. }) { 1 } else { 4 })
                .map(|_| fault.clone()),
        );
        let answer = bench.client.call(&context(), ask("hello")).await.expect("the second answers");
        assert_eq!(answer.model, models[1]);
        let asked: Vec<_> = bench.book.records().iter().map(|record| record.model.clone()).collect();
        assert_eq!(asked.last(), Some(&models[1]));
        assert_eq!(asked.first(), Some(&models[0]));
    }
}

#[tokio::test]
async fn a_conversation_goes_on_with_another_provider() {
    // Whoever began it and whoever takes over: no id and no block of the one puts the other off.
    for (first, second) in WIRES.into_iter().flat_map(|one| WIRES.map(|other| (one, other))) {
        if first != second {
            goes_on(first, second).await;
        }
    }
}

async fn goes_on(first: &str, second: &str) {
    let bench = bench_with(&[model(first), model(second)], |_| {}).await;
    let mut request = Request { tools: vec![read_file()], ..ask("Think about the file") };
    let Answer { tool_calls, .. } = {
        let answer = bench.client.call(&context(), request.clone()).await.expect("answers");
        assert_eq!(answer.model.provider, first);
        request.messages.push(answer.clone().into_message());
        answer
    };
    let call = &tool_calls[0];
    request.messages.push(Message::ToolResults {
        results: vec![ToolResult {
            id: call.id.clone(),
            name: call.name.clone(),
            content: "the file says 42".into(),
        }],
    });
    bench.server.inject([refusal(401, None)]);
    let answer = bench.client.call(&context(), request).await.expect("answers");
    assert_eq!((answer.model.provider.as_str(), answer.text.as_str()), (second, "It is 42."), "{first}");
}

#[tokio::test]
async fn when_every_model_fails_each_reason_is_named() {
    let models = [model("anthropic"), model("openai")];
    let bench = bench_with(&models, |_| {}).await;
    bench.server.inject([refusal(401, None), refusal(403, None)]);
    let error = fails(&bench, "hello").await;
    assert!(!error.is_transient());
    let text = error.to_string();
    assert!(text.contains("anthropic:claude-sonnet-5-5") && text.contains("openai:gpt-5.4"), "{text}");
}

#[tokio::test]
async fn a_model_that_keeps_failing_is_left_alone_and_the_next_is_asked_at_once() {
    let models = [model("anthropic"), model("openai")];
    let bench = bench_with(&models, |settings| {
        once(settings);
        settings.circuit = CircuitPolicy { failures: 3, pause: Duration::from_secs(3_600) };
    })
    .await;
    for _ in 0..3 {
        bench.server.inject([refusal(503, None)]);
        let answer = bench.client.call(&context(), ask("hello")).await.expect("the second answers");
        assert_eq!(answer.model, models[1]);
    }
    let asked = bench.server.journal().len();
    assert_eq!(asked, 6);
    bench.client.call(&context(), ask("hello")).await.expect("the second answers");
    assert_eq!(bench.server.journal().len(), asked + 1, "the first is not even asked");
    assert_eq!(bench.book.records().len(), asked + 1, "and nothing is recorded for it");
}

#[tokio::test]
async fn when_every_model_is_left_alone_the_call_says_when_to_come_back() {
    let models = [model("anthropic"), model("gemini")];
    let bench = bench_with(&models, |settings| {
        once(settings);
        settings.circuit = CircuitPolicy { failures: 1, pause: Duration::from_secs(3_600) };
    })
    .await;
    bench.server.inject([refusal(503, None), refusal(529, None)]);
    fails(&bench, "hello").await;
    let error = fails(&bench, "hello").await;
    assert_eq!(bench.server.journal().len(), 2, "nobody is asked");
    assert!(error.is_transient(), "{error}");
    let wait = error.retry_after().expect("a time");
    assert!(wait > Duration::from_secs(3_000) && wait <= Duration::from_secs(3_600), "{wait:?}");
    assert!(error.to_string().contains("failed 1 times in a row and is asked again in 3"), "{error}");
}

#[tokio::test]
async fn a_short_pause_is_waited_out_and_one_call_finds_the_model_back() {
    let bench = bench_with(&[model("groq")], |settings| {
        once(settings);
        settings.circuit = CircuitPolicy { failures: 1, pause: Duration::from_millis(300) };
    })
    .await;
    bench.server.inject([refusal(503, None)]);
    fails(&bench, "hello").await;
    let started = Instant::now();
    bench.client.call(&context(), ask("hello")).await.expect("it is back");
    assert!(started.elapsed() >= Duration::from_millis(200), "{:?}", started.elapsed());
    assert_eq!(bench.server.journal().len(), 2);
}

#[tokio::test]
async fn a_request_that_is_longer_than_the_context_goes_to_the_next_model() {
    let models = [model("groq"), model("gemini")];
    let bench = bench_with(&models, |settings| {
        for list in settings.roles.values_mut() {
            list[0].context_tokens = Some(4_000);
            list[1].context_tokens = Some(40_000);
        }
    })
    .await;
    let long = format!("{} hello", "word ".repeat(3_000));
    let answer = bench.client.call(&context(), ask(&long)).await.expect("the second takes it");
    assert_eq!(answer.model, models[1]);
    assert_eq!(bench.server.journal().len(), 1, "the first was not asked");
    let error = fails(&bench, &"word ".repeat(40_000)).await;
    assert_eq!(bench.server.journal().len(), 1, "nothing was sent");
    assert!(!error.is_transient(), "{error}");
    assert!(error.to_string().contains("groq:openai/gpt-oss-120b takes 4000 together"), "{error}");
}
