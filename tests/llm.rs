//! The real client against the scripted model server, in every wire format.

#[path = "llm/accounts.rs"]
mod accounts;
#[path = "llm/bench.rs"]
mod bench;
#[path = "llm/budgets.rs"]
mod budgets;
#[path = "llm/failures.rs"]
mod failures;
#[path = "llm/misbehaviour.rs"]
mod misbehaviour;
#[path = "llm/server.rs"]
mod server;
#[path = "llm/wires.rs"]
mod wires;
