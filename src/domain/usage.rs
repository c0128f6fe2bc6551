//! What was spent on models.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Tokens and money of one or more model calls.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    pub calls: u64,
    /// Tokens of the prompt that were not read from the provider's cache.
    pub input_tokens: u64,
    /// Tokens of the prompt that the provider had cached.
    pub cached_tokens: u64,
    pub output_tokens: u64,
    /// Millionths of a US dollar, by the configured prices; 0 for models without a price.
    pub cost_micro_usd: u64,
}

impl Usage {
    pub fn tokens(&self) -> u64 {
        self.input_tokens + self.cached_tokens + self.output_tokens
    }

    pub fn cost_usd(&self) -> f64 {
        self.cost_micro_usd as f64 / 1e6
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.calls += other.calls;
        self.input_tokens += other.input_tokens;
        self.cached_tokens += other.cached_tokens;
        self.output_tokens += other.output_tokens;
        self.cost_micro_usd += other.cost_micro_usd;
    }
}
