//! What the server counted and what the ledger holds, over many calls that go wrong in every way.

use std::collections::BTreeMap;

use orchestrator::llm::{Accounting, LlmError, Request};
use orchestrator::simulator::model::{Answer as Scripted, Cut};

use crate::bench::{
    PRICE, WIRES, ask, bench_with, context, counted, model, once, read_file, recorded, refusal, whole,
};

/// The same numbers for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % bound
    }
}

fn misbehaviour(dice: &mut Dice) -> Option<Scripted> {
    let cuts = [Cut::Start, Cut::InCall, Cut::BeforeUsage, Cut::AfterUsage];
    Some(match dice.below(26) {
        0..=3 => Scripted::CutStream { at: cuts[dice.below(4)] },
        4 => Scripted::HalfToolCall { name: "read_file".into() },
        5 => Scripted::Junk { body: "not JSON {".into() },
        6 => Scripted::Page { html: "<html>502</html>".into() },
        7 => Scripted::ErrorInStream,
        8 => Scripted::DropConnection,
        9 => refusal([408, 409, 429, 500, 502, 503, 529][dice.below(7)], None),
        10 => refusal([400, 401, 403, 404][dice.below(4)], None),
        11 => refusal(429, Some("0")),
        _ => return None,
    })
}

/// Each exchange of the server against the record of its call, one by one: where the provider's count went
/// out the record is that count, where a request was refused it is nothing, and everything else is told
/// apart as an estimate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_hundreds_of_calls_of_all_kinds_the_difference_is_0() {
    let mut dice = Dice(20_261_121);
    let mut accounts: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut server_total, mut ledger_total, mut server_cost, mut ledger_cost) = (0, 0, 0, 0);
    for provider in WIRES {
        for streamed in [true, false] {
            let bench = bench_with(&[model(provider)], |settings| {
                once(settings);
                if !streamed {
                    whole(settings);
                }
            })
            .await;
            for number in 0..24 {
                bench.server.inject(misbehaviour(&mut dice));
                let text =
                    ["hello", "as JSON", "a long story", "What is in the file?", "Think about the file"]
                        [dice.below(5)];
                let filler = "context ".repeat(dice.below(900));
                let request =
                    Request { tools: vec![read_file()], ..ask(&format!("{number} {filler}{text}")) };
                match bench.client.call(&context(), request).await {
                    Ok(_) => {}
                    Err(LlmError::NotRecorded(error)) => panic!("not recorded: {error}"),
                    Err(_) => {}
                }
            }
            let (journal, records) = (bench.server.journal(), bench.book.records());
            assert_eq!(journal.len(), records.len(), "{provider}: a record for each exchange");
            for (exchange, record) in journal.iter().zip(&records) {
                let at = format!("{provider}, streamed {streamed}, exchange {}", exchange.number);
                let account = match (exchange.status, exchange.usage_sent) {
                    (200, true) => {
                        assert_eq!(record.accounting, Accounting::Reported, "{at}: {record:?}");
                        assert_eq!(recorded(record), counted(exchange), "{at}");
                        server_total +=
                            exchange.counted.input + exchange.counted.cached + exchange.counted.output;
                        ledger_total += record.usage.tokens();
                        server_cost += PRICE.cost_micro_usd(&record.tokens);
                        ledger_cost += record.usage.cost_micro_usd;
                        "reported"
                    }
                    (200, false) => {
                        assert_eq!(record.accounting, Accounting::Estimated, "{at}: {record:?}");
                        assert!(record.usage.input_tokens > 0, "{at}");
                        "estimated"
                    }
                    _ => {
                        assert_eq!(record.accounting, Accounting::Nothing, "{at}: {record:?}");
                        assert_eq!(record.usage.tokens(), 0, "{at}");
                        "nothing"
                    }
                };
                *accounts.entry(account).or_default() += 1;
            }
        }
    }
    println!("{accounts:?}: the server counted {server_total} tokens, the ledger holds {ledger_total}");
    assert_eq!((server_total, server_cost), (ledger_total, ledger_cost));
    assert!(accounts.values().sum::<usize>() >= 200 && accounts["reported"] >= 120, "{accounts:?}");
    assert!(accounts["estimated"] >= 40 && accounts["nothing"] >= 20, "{accounts:?}");
}
