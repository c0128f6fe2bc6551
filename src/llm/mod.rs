//! Model providers: wire formats, routing, budgets, retries, and a record of every call.
//!
//! What a role is asked and what its answer means is not here: see [`crate::agents`]. Nothing here
//! reads the environment; [`Settings`] carry addresses, keys and prices.

pub mod boundary;
mod budget;
mod circuit;
mod client;
mod error;
mod ledger;
mod message;
mod model;
pub mod overheard;
mod reading;
pub mod simulated;
mod trace;
mod wire;
mod wire_error;

pub use crate::domain::Role;
pub use budget::{Budget, Estimate, Held, Purse, Reservation, covers};
pub use client::{CallContext, Client, InvalidSettings, Model};
pub use error::LlmError;
pub use ledger::{Accounting, CallLabel, CallRecord, Exchange, Ledger, LedgerError, PromptUsed};
pub use message::{Answer, Continuation, Message, Request, StopReason, ToolCall, ToolDefinition, ToolResult};
pub use model::{
    CircuitPolicy, DEFAULT_MAX_REQUEST_BYTES, Delivery, Effort, Endpoint, InvalidModelName, ModelName,
    ModelSettings, Price, Protocol, RetryPolicy, Settings, TokenCount,
};
pub use trace::{Part, Said};
