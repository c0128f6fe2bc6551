//! Chunks of the best files in a token budget.

use super::chunks::Chunk;
use super::rank::Ranked;

/// About four bytes of English or code make a token.
pub(crate) const BYTES_PER_TOKEN: usize = 4;

/// A place that is packed: lines of a ranked file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packed {
    /// In the list of ranked files.
    pub(super) rank: usize,
    /// From 1.
    pub(super) start_line: usize,
    /// Inclusive.
    pub(super) end_line: usize,
    pub(super) bytes: usize,
}

pub(super) fn tokens(bytes: usize) -> usize {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// A file's worth falls with its rank, a chunk's with its rank in the file, and a long chunk has to be worth its
/// room. Ranks rather than scores: in the measurement they held more of the fixes' lines.
fn worth(file_rank: usize, chunk_rank: usize, tokens: usize) -> f64 {
    (file_rank as f64 + 2.0).powf(-1.5) / (chunk_rank as f64 + 2.0) / (tokens as f64).max(50.0).powf(0.3)
}

/// The chunks with the most to say, best first, as many as fit; touching ones are joined.
pub(super) fn pack(ranked: &[Ranked], budget_tokens: usize) -> Vec<Packed> {
    let mut order: Vec<(f64, usize, usize)> = Vec::new();
    for (rank, file) in ranked.iter().enumerate() {
        let mut chunks: Vec<usize> = (0..file.chunks.len()).collect();
        chunks.sort_by(|&a, &b| file.chunks[b].fit.total_cmp(&file.chunks[a].fit).then(a.cmp(&b)));
        for (chunk_rank, at) in chunks.into_iter().enumerate() {
            order.push((worth(rank, chunk_rank, tokens(file.chunks[at].bytes)), rank, at));
        }
    }
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut left = budget_tokens;
    let mut chosen: Vec<Packed> = Vec::new();
    for (_, rank, at) in order {
        let chunk = &ranked[rank].chunks[at];
        let cost = tokens(chunk.bytes);
        if cost > left {
            continue;
        }
        left -= cost;
        let Chunk { start_line, end_line, bytes, .. } = *chunk;
        add(&mut chosen, Packed { rank, start_line, end_line, bytes });
    }
    chosen
}

/// Adds a place or joins it to those of its file that it touches.
fn add(chosen: &mut Vec<Packed>, mut place: Packed) {
    let mut first = None;
    let mut at = 0;
    while at < chosen.len() {
        let other = &chosen[at];
        let touches = other.rank == place.rank
            && (other.end_line + 1 == place.start_line || place.end_line + 1 == other.start_line);
        if touches {
            place.start_line = place.start_line.min(other.start_line);
            place.end_line = place.end_line.max(other.end_line);
            place.bytes += other.bytes;
            chosen.remove(at);
            first.get_or_insert(at);
        } else {
            at += 1;
        }
    }
    match first {
        Some(at) => chosen.insert(at, place),
        None => chosen.push(place),
    }
}
