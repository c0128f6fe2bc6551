//! Budgets, limits and the ledger around a call.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use orchestrator::domain::{BudgetLimits, BudgetScope, Usage};
use orchestrator::llm::{Budget, CallContext, CallRecord, Client, Ledger, LedgerError, LlmError};
use orchestrator::simulator::model::{Answer as Scripted, ModelServer, Scenario};

use crate::bench::{SCENARIO, ask, bench, bench_with, context, fails, model, settings};

#[tokio::test]
async fn a_budget_stops_a_call_before_it_is_made() {
    let bench = bench("anthropic").await;
    let limits = BudgetLimits { tokens: None, cost_micro_usd: Some(15_500) };
    let budget = Budget::new(BudgetScope::Task, limits, Usage::default());
    let context = CallContext { budgets: vec![Arc::clone(&budget) as _], ..context() };
    bench.client.call(&context, ask("hello")).await.expect("the first fits");
    let spent = budget.spent();
    assert_eq!(spent.cost_micro_usd, bench.book.records()[0].usage.cost_micro_usd);
    assert!(spent.cost_micro_usd > 0);
    let error = bench.client.call(&context, ask(&"hello ".repeat(700))).await.expect_err("too dear");
    assert!(matches!(error, LlmError::BudgetExhausted { .. }), "{error}");
    assert_eq!(bench.server.journal().len(), 1, "nothing was sent");
}

#[tokio::test]
async fn a_failed_call_that_may_have_cost_something_is_taken_from_the_budget() {
    let bench = bench("anthropic").await;
    let budget = Budget::new(BudgetScope::Task, BudgetLimits::default(), Usage::default());
    let context = CallContext { budgets: vec![Arc::clone(&budget) as _], ..context() };
    bench.client.call(&context, ask("drop")).await.expect_err("fails");
    assert_eq!(budget.spent().calls, 4);
    assert!(budget.spent().cost_micro_usd > 0);
}

#[tokio::test]
async fn a_call_whose_caller_went_away_is_recorded_all_the_same() {
    let bench = bench_with(&[model("anthropic")], |settings| settings.retry.max_calls = 1).await;
    bench.server.inject([Scripted::Hang { seconds: 0.3 }]);
    let budget = Budget::new(BudgetScope::Task, BudgetLimits::default(), Usage::default());
    let context = CallContext { budgets: vec![Arc::clone(&budget) as _], ..context() };
    let call = bench.client.call(&context, ask("hello"));
    tokio::time::timeout(Duration::from_millis(100), call).await.expect_err("given up");
    assert!(bench.book.records().is_empty());
    for _ in 0..600 {
        if !bench.book.records().is_empty() && budget.spent().calls == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bench.book.records().len(), 1);
    assert_eq!(budget.spent().calls, 1);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_not_sent() {
    let bench = bench_with(&[model("anthropic")], |settings| settings.max_request_bytes = 1_000).await;
    let error = fails(&bench, &"hello ".repeat(500)).await;
    assert!(matches!(error, LlmError::TooLarge { max_bytes: 1_000, .. }), "{error}");
    assert!(bench.server.journal().is_empty());
}

/// A ledger whose database is away.
struct TornBook;

impl Ledger for TornBook {
    fn record<'a>(&'a self, _: &'a CallRecord) -> BoxFuture<'a, Result<(), LedgerError>> {
        Box::pin(async { Err(LedgerError("the database is away".into())) })
    }
}

#[tokio::test]
async fn an_answer_whose_cost_cannot_be_recorded_is_an_error() {
    let server = ModelServer::start(Scenario::parse(SCENARIO).expect("parses")).await.expect("starts");
    let models = [model("anthropic"), model("openai")];
    let client = Client::new(settings(&server, &models), Arc::new(TornBook)).expect("settings work");
    let error = client.call(&context(), ask("hello")).await.expect_err("fails");
    assert!(matches!(error, LlmError::NotRecorded(_)), "{error}");
    assert_eq!(server.journal().len(), 1, "and no further call is paid for");
}

#[tokio::test]
async fn a_role_whose_provider_has_no_endpoint_is_refused_at_the_start() {
    let server = ModelServer::start(Scenario::parse(SCENARIO).expect("parses")).await.expect("starts");
    let mut settings = settings(&server, &[model("openai")]);
    settings.endpoints.remove("openai");
    let error = Client::new(settings, Arc::new(TornBook)).err().expect("refused").to_string();
    assert!(error.contains("openai:gpt-5.4") && error.contains("no provider openai"), "{error}");
}
