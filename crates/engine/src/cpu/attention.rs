//! Causal grouped-query attention over segments, forward and backward.
//!
//! Forward divides the queries into tiles, and a thread takes a tile with all its heads. Backward divides by prompt
//! group and key-value head, since all queries of a group add to the gradient of its prompt's keys.

use std::ops::Range;

use cream_core::math::exp;
use rayon::prelude::*;

use super::denormals::flushed;
use super::few_rows;
use super::product::{Shape, Strided, product};
use super::vectorised::vectorised;
use crate::backend::{Heads, Segment};

/// Queries in one tile.
const TILE: usize = 32;

/// Consecutive queries of one segment.
struct Tile {
    segment: Segment,
    /// Index of its first query within the segment.
    first: usize,
    len: usize,
}

impl Tile {
    fn of(segments: &[Segment]) -> impl Iterator<Item = Tile> {
        segments.iter().flat_map(|&segment| {
            let queries = segment.query_len as usize;
            let tile = move |first| Tile { segment, first, len: TILE.min(queries - first) };
            (0..queries).step_by(TILE).map(tile)
        })
    }

    /// First query row.
    fn start(&self) -> usize {
        self.segment.query_start as usize + self.first
    }

    /// Key rows that some query of the tile sees: the prompt's, then its own.
    fn keys(&self) -> [Range<usize>; 2] {
        let Segment { prefix_start, prefix_len, own_start, own_past, .. } = self.segment;
        let own = own_past as usize + self.first + self.len;
        let range = |start: u32, len: usize| start as usize..start as usize + len;
        [range(prefix_start, prefix_len as usize), range(own_start, own)]
    }

    /// Number of keys that query `i` of the tile sees.
    fn visible(&self, i: usize) -> usize {
        (self.segment.prefix_len + self.segment.own_past) as usize + self.first + i + 1
    }
}

/// One head's columns of an array of rows.
#[derive(Clone, Copy)]
struct Head<'a> {
    data: &'a [f32],
    /// Width of a row over all heads.
    width: usize,
    /// First column.
    at: usize,
}

impl<'a> Head<'a> {
    /// Rows from `start` on, `[rows, E]`.
    fn rows(&self, start: usize) -> Strided<'a> {
        Strided { data: &self.data[start * self.width + self.at..], row: self.width, col: 1 }
    }

    /// The same, transposed, `[E, rows]`.
    fn transposed(&self, start: usize) -> Strided<'a> {
        Strided { row: 1, col: self.width, ..self.rows(start) }
    }
}

/// q, out `[T, H * E]`; k, v `[rows, K * E]`; lse `[T, H]`.
pub(super) fn forward(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    segments: &[Segment],
    heads: Heads,
    out: &mut [f32],
    lse: &mut [f32],
) {
    let Heads { query, key_value, dim } = heads;
    let (mut rest_out, mut rest_lse) = (out, lse);
    let mut tasks = Vec::new();
    let mut next_row = 0;
    for tile in Tile::of(segments) {
        assert_eq!(tile.start(), next_row, "attention: segments in the order of their queries, without gaps");
        next_row += tile.len;
        let (out, more_out) = rest_out.split_at_mut(tile.len * query * dim);
        let (lse, more_lse) = rest_lse.split_at_mut(tile.len * query);
        (rest_out, rest_lse) = (more_out, more_lse);
        tasks.push((tile, out, lse));
    }
    let attend = |scores: &mut Vec<f32>, tile: Tile, out: &mut [f32], lse: &mut [f32]| {
        let per_key = query / key_value;
        for head in 0..key_value {
            let [k, v] = [k, v].map(|data| Head { data, width: key_value * dim, at: head * dim });
            let heads = head * per_key..(head + 1) * per_key;
            if tile.len == 1 {
                let columns = heads.start * dim..heads.end * dim;
                let q = &q[tile.start() * query * dim..][columns.clone()];
                one_query(&tile, q, k, v, scores, &mut out[columns], &mut lse[heads]);
                continue;
            }
            for head in heads {
                let q = Head { data: q, width: query * dim, at: head * dim };
                let columns = &mut out[head * dim..];
                many_queries(&tile, q, k, v, dim, scores, columns, query * dim, |i, value| {
                    lse[i * query + head] = value
                });
            }
        }
    };
    tasks.into_par_iter().for_each_init(Vec::new, |scores, (tile, out, lse)| {
        flushed(|| attend(scores, tile, out, lse));
    });
}

/// A tile of several queries and one head; `out` starts at the head's first column.
#[allow(clippy::too_many_arguments, reason = "one head's part of the kernel's bindings")]
fn many_queries(
    tile: &Tile,
    q: Head<'_>,
    k: Head<'_>,
    v: Head<'_>,
    dim: usize,
    scores: &mut Vec<f32>,
    out: &mut [f32],
    out_row: usize,
    mut set_lse: impl FnMut(usize, f32),
) {
    let keys = tile.keys();
    let total: usize = keys.iter().map(Range::len).sum();
    scores.resize(tile.len * total, 0.0);
    score(tile, q, k, dim, &keys, scores);
    for (i, row) in scores.chunks_exact_mut(total).enumerate() {
        set_lse(i, softmax(row, tile.visible(i)));
    }
    let mut column = 0;
    for keys in keys {
        let shape = Shape { m: tile.len, n: dim, k: keys.len() };
        let weights = Strided { data: &scores[column.min(scores.len())..], row: total, col: 1 };
        if column == 0 || !keys.is_empty() {
            product(out, out_row, shape, weights, v.rows(keys.start), 1.0, column > 0);
        }
        column += keys.len();
    }
}

/// Scaled scores of a tile, `[len, keys]`, before the causal mask.
fn score(tile: &Tile, q: Head<'_>, k: Head<'_>, dim: usize, keys: &[Range<usize>; 2], scores: &mut [f32]) {
    let total: usize = keys.iter().map(Range::len).sum();
    let mut column = 0;
    for keys in keys.iter().filter(|keys| !keys.is_empty()) {
        let shape = Shape { m: tile.len, n: keys.len(), k: dim };
        let scale = 1.0 / (dim as f32).sqrt();
        product(&mut scores[column..], total, shape, q.rows(tile.start()), k.transposed(keys.start), scale, false);
        column += keys.len();
    }
}

/// Softmax of the first `visible` scores, zeros after them; returns the log-sum-exp.
fn softmax(row: &mut [f32], visible: usize) -> f32 {
    vectorised(
        #[inline(always)]
        || {
            let (seen, unseen) = row.split_at_mut(visible);
            unseen.fill(0.0);
            let max = seen.iter().fold(f32::MIN, |max, &s| if s > max { s } else { max });
            let mut lanes = [0.0; 16];
            for chunk in seen.chunks_mut(16) {
                for (lane, s) in lanes.iter_mut().zip(chunk) {
                    *s = exp(*s - max);
                    *lane += *s;
                }
            }
            let sum: f32 = lanes.iter().sum();
            seen.iter_mut().for_each(|s| *s /= sum);
            max + sum.ln()
        },
    )
}

/// The same for a tile of one query and all heads that share keys, q and out `[heads, E]`, lse `[heads]`: decoding.
fn one_query(
    tile: &Tile,
    q: &[f32],
    k: Head<'_>,
    v: Head<'_>,
    scores: &mut Vec<f32>,
    out: &mut [f32],
    lse: &mut [f32],
) {
    let dim = q.len() / lse.len();
    let scale = 1.0 / (dim as f32).sqrt();
    let keys = tile.keys();
    let total = tile.visible(0);
    let mut part = vec![0.0; q.len() / dim * total];
    scores.resize(lse.len() * total, 0.0);
    let mut column = 0;
    for keys in keys.iter().filter(|keys| !keys.is_empty()) {
        let part = &mut part[..lse.len() * keys.len()];
        few_rows::product(q, k.rows(keys.start).data, k.width, dim, &[], part);
        for (scores, part) in scores.chunks_exact_mut(total).zip(part.chunks_exact(keys.len())) {
            let scores = &mut scores[column..column + keys.len()];
            scores.iter_mut().zip(part).for_each(|(score, part)| *score = scale * part);
        }
        column += keys.len();
    }
    for (lse, scores) in lse.iter_mut().zip(scores.chunks_exact_mut(total)) {
        *lse = softmax(scores, total);
    }
    out.fill(0.0);
    vectorised(
        #[inline(always)]
        || {
            let mut column = 0;
            for keys in keys.iter().filter(|keys| !keys.is_empty()) {
                for (i, v) in v.rows(keys.start).data.chunks(v.width).take(keys.len()).enumerate() {
                    for (out, scores) in out.chunks_exact_mut(dim).zip(scores.chunks_exact(total)) {
                        let weight = scores[column + i];
                        out.iter_mut().zip(&v[..dim]).for_each(|(out, v)| *out += weight * v);
                    }
                }
                column += keys.len();
            }
        },
    );
}

#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0; 16];
    for (a, b) in a.chunks(16).zip(b.chunks(16)) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

/// What the forward pass leaves for the backward pass.
pub(super) struct Saved<'a> {
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
    pub(super) out: &'a [f32],
    pub(super) lse: &'a [f32],
}

/// The gradients of one group's rows and one key-value head with its query heads.
struct Part {
    group: usize,
    key_value: usize,
    /// `[rows, query heads, E]`
    d_q: Vec<f32>,
    /// `[rows, E]`
    d_k: Vec<f32>,
    d_v: Vec<f32>,
}

/// Segments of prompts and completions whose keys are the batch's own rows. With `p = exp(score - lse)`:
/// `d_v = pᵀ · d_out`, `d_s = p * (d_out · vᵀ - sum(d_out * out)) / sqrt(E)`, `d_q = d_s · k`, `d_k = d_sᵀ · q`.
pub(super) fn backward(
    saved: &Saved<'_>,
    d_out: &[f32],
    segments: &[Segment],
    heads: Heads,
    d_q: &mut [f32],
    d_k: &mut [f32],
    d_v: &mut [f32],
) {
    let Heads { query, key_value, dim } = heads;
    let per_key = query / key_value;
    let groups = groups(segments);
    let tasks: Vec<_> = (0..groups.len()).flat_map(|group| (0..key_value).map(move |head| (group, head))).collect();
    let part = |(group, head)| flushed(|| group_backward(saved, d_out, groups[group], heads, group, head));
    let parts = tasks.into_par_iter().map(part);
    for Part { group, key_value: head, d_q: q, d_k: k, d_v: v } in parts.collect::<Vec<_>>() {
        let start = groups[group][0].query_start as usize;
        let copy = |to: &mut [f32], from: &[f32], columns: usize, width: usize| {
            for (i, row) in from.chunks_exact(columns).enumerate() {
                to[(start + i) * width + head * columns..][..columns].copy_from_slice(row);
            }
        };
        copy(d_q, &q, per_key * dim, query * dim);
        copy(d_k, &k, dim, key_value * dim);
        copy(d_v, &v, dim, key_value * dim);
    }
}

/// Each prompt's segment with those of its completions, which follow it.
fn groups(segments: &[Segment]) -> Vec<&[Segment]> {
    segments.chunk_by(|_, next| next.prefix_len > 0).collect()
}

fn group_backward(
    &Saved { q, k, v, out, lse }: &Saved<'_>,
    d_out: &[f32],
    segments: &[Segment],
    Heads { query, key_value, dim }: Heads,
    group: usize,
    head: usize,
) -> Part {
    let per_key = query / key_value;
    let start = segments[0].query_start as usize;
    let rows: usize = segments.iter().map(|s| s.query_len as usize).sum();
    let mut part = Part {
        group,
        key_value: head,
        d_q: vec![0.0; rows * per_key * dim],
        d_k: vec![0.0; rows * dim],
        d_v: vec![0.0; rows * dim],
    };
    let [k, v] = [k, v].map(|data| Head { data, width: key_value * dim, at: head * dim });
    let (mut weights, mut d_scores) = (Vec::new(), Vec::new());
    for tile in Tile::of(segments) {
        let keys = tile.keys();
        let total: usize = keys.iter().map(Range::len).sum();
        weights.resize(tile.len * total, 0.0);
        d_scores.resize(tile.len * total, 0.0);
        for i in 0..per_key {
            let query_head = head * per_key + i;
            let [q, out, d_out] = [q, out, d_out].map(|data| Head { data, width: query * dim, at: query_head * dim });
            score(&tile, q, k, dim, &keys, &mut weights);
            let mut column = 0;
            for keys in keys.iter().filter(|keys| !keys.is_empty()) {
                let shape = Shape { m: tile.len, n: keys.len(), k: dim };
                let d_scores = &mut d_scores[column..];
                product(d_scores, total, shape, d_out.rows(tile.start()), v.transposed(keys.start), 1.0, false);
                column += keys.len();
            }
            for row in 0..tile.len {
                let at = tile.start() + row;
                let [out, d_out] = [out, d_out].map(|head| &head.rows(at).data[..dim]);
                let range = row * total..(row + 1) * total;
                let (weights, d_scores) = (&mut weights[range.clone()], &mut d_scores[range]);
                score_gradient(weights, d_scores, tile.visible(row), lse[at * query + query_head], out, d_out);
            }
            let mut column = 0;
            for keys in keys.iter().filter(|keys| !keys.is_empty()) {
                let by_key = |data| Strided { data, row: 1, col: total };
                let (p, d_s) = (&weights[column..], &d_scores[column..]);
                let shape = Shape { m: keys.len(), n: dim, k: tile.len };
                let target = (keys.start - start) * dim;
                product(&mut part.d_v[target..], dim, shape, by_key(p), d_out.rows(tile.start()), 1.0, true);
                product(&mut part.d_k[target..], dim, shape, by_key(d_s), q.rows(tile.start()), 1.0, true);
                let shape = Shape { m: tile.len, n: dim, k: keys.len() };
                let d_s = Strided { data: d_s, row: total, col: 1 };
                let target = ((tile.start() - start) * per_key + i) * dim;
                product(&mut part.d_q[target..], per_key * dim, shape, d_s, k.rows(keys.start), 1.0, true);
                column += keys.len();
            }
        }
    }
    part
}

/// Turns a row of scores into weights and a row of `d_out · v` into the gradient of `q · k`, both zero where unseen.
fn score_gradient(weights: &mut [f32], d_scores: &mut [f32], visible: usize, lse: f32, out: &[f32], d_out: &[f32]) {
    let scale = 1.0 / (out.len() as f32).sqrt();
    vectorised(
        #[inline(always)]
        || {
            let shared = dot(out, d_out);
            let (seen, unseen) = weights.split_at_mut(visible);
            unseen.fill(0.0);
            d_scores[visible..].fill(0.0);
            for (p, d_s) in seen.iter_mut().zip(d_scores.iter_mut()) {
                *p = exp(*p - lse);
                *d_s = *p * (*d_s - shared) * scale;
            }
        },
    );
}
