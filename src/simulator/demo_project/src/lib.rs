//! Shared expenses in whole cents.

mod ledger;
mod split;

pub use ledger::Ledger;
pub use split::split;

/// An amount in cents. Negative amounts are refunds.
pub type Cents = i64;
