//! What a request costs in tokens: about four bytes each, with the providers' rules for cached prompts.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Shortest prompt that either provider caches, in tokens.
const MIN_CACHED_TOKENS: u64 = 1_024;
/// How many blocks before a breakpoint Anthropic looks for an earlier entry.
const LOOKBACK_BLOCKS: usize = 20;
/// OpenAI counts cached tokens in steps.
const OPENAI_STEP: u64 = 128;

/// Tokens of one exchange as the server counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counted {
    /// Prompt tokens that were not read from the cache, those written to it included.
    pub input: u64,
    pub cached: u64,
    /// Part of `input`.
    pub cache_written: u64,
    pub output: u64,
}

/// A part of a prompt, in the order in which a provider reads them.
pub(super) struct Block {
    pub text: String,
    /// Whether the request asks to cache the prompt up to here.
    pub breakpoint: bool,
}

impl Block {
    /// A block from its JSON, its own `cache_control` left out: it moves from request to request.
    pub fn of(value: &Value, breakpoint: bool) -> Self {
        let mut value = value.clone();
        strip_cache_control(&mut value);
        Self { text: value.to_string(), breakpoint }
    }
}

fn strip_cache_control(value: &mut Value) {
    if let Some(object) = value.as_object_mut() {
        object.remove("cache_control");
    }
}

/// The provider's memory of prompts.
#[derive(Default)]
pub(super) struct PromptCache {
    known: HashSet<[u8; 32]>,
}

pub(super) fn tokens(text: &str) -> u64 {
    (text.len() as u64).div_ceil(4)
}

/// Hash and token count of the prompt up to and including each block.
fn prefixes(blocks: &[Block]) -> Vec<([u8; 32], u64)> {
    let mut hash = Sha256::new();
    let mut total = 0;
    let mut prefixes = Vec::with_capacity(blocks.len());
    for block in blocks {
        hash.update((block.text.len() as u64).to_be_bytes());
        hash.update(block.text.as_bytes());
        total += tokens(&block.text);
        prefixes.push((hash.clone().finalize().into(), total));
    }
    prefixes
}

impl PromptCache {
    /// Anthropic: only up to a breakpoint, and only what an earlier request wrote.
    pub fn anthropic(&mut self, blocks: &[Block]) -> Counted {
        let prefixes = prefixes(blocks);
        let total = prefixes.last().map_or(0, |&(_, tokens)| tokens);
        let breakpoints: Vec<usize> = (0..blocks.len()).filter(|&index| blocks[index].breakpoint).collect();
        let known = breakpoints.iter().rev().find_map(|&at| {
            let first = at.saturating_sub(LOOKBACK_BLOCKS);
            (first..=at).rev().find(|&index| self.known.contains(&prefixes[index].0))
        });
        let cached = known.map_or(0, |index| prefixes[index].1);
        let mut upto = cached;
        for at in breakpoints {
            let (hash, tokens) = prefixes[at];
            if tokens >= MIN_CACHED_TOKENS {
                self.known.insert(hash);
                upto = upto.max(tokens);
            }
        }
        Counted { input: total - cached, cached, cache_written: upto - cached, output: 0 }
    }

    /// OpenAI: every prompt long enough, without being asked.
    pub fn openai(&mut self, blocks: &[Block]) -> Counted {
        let prefixes = prefixes(blocks);
        let total = prefixes.last().map_or(0, |&(_, tokens)| tokens);
        let known = prefixes.iter().rev().find(|(hash, _)| self.known.contains(hash));
        let cached = known.map_or(0, |&(_, tokens)| tokens / OPENAI_STEP * OPENAI_STEP);
        let cached = if cached >= MIN_CACHED_TOKENS { cached } else { 0 };
        self.known.extend(prefixes.iter().map(|(hash, _)| *hash));
        Counted { input: total - cached, cached, cache_written: 0, output: 0 }
    }
}
