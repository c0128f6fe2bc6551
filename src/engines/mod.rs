//! Agents of others that write a change: any command line, in the sandbox, behind a proxy that meters it.
//!
//! The command has no network. What it may reach is one server of ours ([`MeteringProxy`]), which holds the
//! provider's key outside of the sandbox, lets nothing through but calls of configured models, and accounts for
//! each of them like for any other call. What the command did is read from its tree by whoever ran it.
//!
//! Not here: which engine a repository has ([`crate::config`]), and the engines that ask a model themselves
//! ([`crate::agents`]).

mod command;
mod proxy;

pub use command::{AgentCommand, Filled, InvalidCommand, PROMPT_FILE};
pub use proxy::{Account, Metered, Metering, MeteringProxy, Refused, Spent};
