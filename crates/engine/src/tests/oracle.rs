//! What each kernel computes, said once more in f64 as plainly as can be.

use crate::{Heads, Segment};

pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// a `[m, k]`, b `[n, k]`, out `[m, n]`.
pub(super) fn product(a: &[f32], b: &[f32], k: usize) -> Vec<f64> {
    a.chunks_exact(k).flat_map(|a| b.chunks_exact(k).map(move |b| dot(a, b))).collect()
}

/// What the numbers of [`product`] amount to for signs at random: a lone one may be much smaller.
pub(super) fn product_size(a: &[f32], b: &[f32], k: usize) -> f64 {
    (dot(a, a) * dot(b, b) * k as f64 / (a.len() * b.len()) as f64).sqrt()
}

pub(super) fn transposed(x: &[f32], cols: usize) -> Vec<f32> {
    (0..cols).flat_map(|col| x.iter().skip(col).step_by(cols).copied()).collect()
}

/// `alpha * product`, onto `before` where it accumulates.
pub(super) fn scaled(product: &[f64], alpha: f32, before: Option<&[f32]>) -> Vec<f64> {
    let before = |i: usize| before.map_or(0.0, |before| f64::from(before[i]));
    product.iter().enumerate().map(|(i, p)| before(i) + f64::from(alpha) * p).collect()
}

pub(super) fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f64> {
    let row = |x: &[f32]| {
        let rms = (dot(x, x) / x.len() as f64 + f64::from(eps)).sqrt();
        x.iter().zip(weight).map(|(&x, &weight)| f64::from(x) / rms * f64::from(weight)).collect::<Vec<_>>()
    };
    x.chunks_exact(weight.len()).flat_map(row).collect()
}

/// The angle is rounded to f32 as everywhere (transformers too); what follows is not.
pub(super) fn rope(x: &[f32], positions: &[u32], frequencies: &[f32], inverse: bool) -> Vec<f64> {
    let half = frequencies.len();
    let width = x.len() / positions.len();
    let number = |i: usize| {
        let (row, e) = (i / width, i % width % (2 * half));
        let angle = f64::from(positions[row] as f32 * frequencies[e % half]) * if inverse { -1.0 } else { 1.0 };
        let at = |i: usize| f64::from(x[i]);
        if e < half {
            at(i) * angle.cos() - at(i + half) * angle.sin()
        } else {
            at(i) * angle.cos() + at(i - half) * angle.sin()
        }
    };
    (0..x.len()).map(number).collect()
}

/// `[out, lse]`
pub(super) fn attention(q: &[f32], k: &[f32], v: &[f32], segments: &[Segment], heads: Heads) -> [Vec<f64>; 2] {
    let Heads { query, key_value, dim } = heads;
    let [mut out, mut all_lse] = [vec![], vec![]];
    for s in segments {
        for i in 0..s.query_len {
            let own = s.own_start..s.own_start + s.own_past + i + 1;
            let keys: Vec<usize> =
                (s.prefix_start..s.prefix_start + s.prefix_len).chain(own).map(|k| k as usize).collect();
            for head in 0..query {
                let q = &q[((s.query_start + i) as usize * query + head) * dim..][..dim];
                let key = |key: usize| (key * key_value + head * key_value / query) * dim;
                let scores: Vec<f64> =
                    keys.iter().map(|&i| dot(q, &k[key(i)..][..dim]) / (dim as f64).sqrt()).collect();
                let lse = log_sum_exp(&scores);
                let weighted = |e: usize| {
                    keys.iter().zip(&scores).map(|(&i, s)| (s - lse).exp() * f64::from(v[key(i) + e])).sum::<f64>()
                };
                out.extend((0..dim).map(weighted));
                all_lse.push(lse);
            }
        }
    }
    [out, all_lse]
}

pub(super) fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f64> {
    gate.iter().zip(up).map(|(&gate, &up)| f64::from(gate) / (1.0 + f64::from(-gate).exp()) * f64::from(up)).collect()
}

/// `[logps, lse]`
pub(super) fn token_logps(h: &[f32], head: &[f32], width: usize, targets: &[u32]) -> [Vec<f64>; 2] {
    let logits = product(h, head, width);
    let rows = logits.chunks_exact(head.len() / width);
    let lse: Vec<f64> = rows.clone().map(log_sum_exp).collect();
    let logps = rows.zip(targets).zip(&lse).map(|((row, &target), lse)| row[target as usize] - lse).collect();
    [logps, lse]
}

pub(super) fn log_sum_exp(values: &[f64]) -> f64 {
    let max = values.iter().copied().fold(f64::MIN, f64::max);
    max + values.iter().map(|v| (v - max).exp()).sum::<f64>().ln()
}
