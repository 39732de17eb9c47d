//! Causal grouped-query attention over segments, forward and backward.

mod plan;

use super::attention_decode::{Window, over_windows};
use super::buffer::GpuBuffer;
use super::dispatch::{Device, Kernel, line};
use super::matmul;
use super::shaders::{Shader, library, shader};
use crate::backend::Heads;

pub use plan::GpuPlan;
use plan::TILE;
pub(super) use plan::{List, QueryTile};

/// The widest head that the kernels over tiles take.
pub(super) const WIDEST: usize = 128;
/// The widest that the cooperative form takes, for which [`rows`] are a whole tile.
const WIDEST_COOPERATIVE: usize = 64;

/// Rows of a tile that one workgroup takes: half of them where heads are wide. `ROWS` of the shaders.
fn rows(heads: Heads) -> usize {
    debug_assert!(heads.dim <= WIDEST, "attention: heads of {} numbers, expected at most {WIDEST}", heads.dim);
    if heads.dim <= WIDEST / 2 { TILE } else { TILE / 2 }
}

/// What reads q, k and v of heads of a width, and the gradient of out.
pub(super) fn of_width(heads: Heads) -> [&'static str; 2] {
    if heads.dim.is_multiple_of(4) {
        [library!("heads_by_fours"), library!("d_out_by_fours")]
    } else {
        [library!("heads"), library!("d_out")]
    }
}

/// Runs a kernel on parts of tiles, for each query head; its bindings are inputs, tiles, outputs, and `more` are
/// parameters behind the sizes.
fn run_on_tiles(
    device: &Device,
    shader: Shader,
    heads: Heads,
    inputs: &[&GpuBuffer],
    list: &List,
    outputs: &[&GpuBuffer],
    more: &[usize],
) {
    let rows = rows(heads);
    if list.count == 0 {
        return;
    }
    let constants = vec![("E", heads.dim as u32)];
    let [before, after] = [inputs, outputs].map(|buffers| buffers.iter().map(|buffer| buffer.storage()));
    let bindings: Vec<_> = before.chain([list.tiles.storage()]).chain(after).collect();
    let sizes = [list.count, heads.query, heads.key_value].into_iter().chain(more.iter().copied());
    let parameters: Vec<_> = sizes.map(|size| size as u32).collect();
    let [x, y, _] = line(list.count * TILE / rows);
    device.run(Kernel { shader, constants }, &bindings, &parameters, [x, y, heads.query as u32]);
}

/// q, out `[T, H * E]`; k, v `[rows, K * E]`; lse `[T, H]`.
#[allow(clippy::too_many_arguments, reason = "the kernel's bindings")]
pub(super) fn forward(
    device: &Device,
    q: &GpuBuffer,
    k: &GpuBuffer,
    v: &GpuBuffer,
    plan: &GpuPlan,
    heads: Heads,
    out: &GpuBuffer,
    lse: &GpuBuffer,
) {
    let [texts, _] = of_width(heads);
    let shader = match device.forms.fragments.filter(|_| heads.dim <= WIDEST_COOPERATIVE) {
        Some(fragments) => shader!("attention_cooperative", fragments.blocks_library(), library!("queries"), texts),
        None => shader!("attention", library!("scores", "queries"), texts),
    };
    run_on_tiles(device, shader, heads, &[q, k, v], &plan.several, &[out, lse], &[]);
    decode(device, [q, k, v], plan, heads, out, lse);
}

/// Of tiles of one query.
fn decode(device: &Device, [q, k, v]: [&GpuBuffer; 3], plan: &GpuPlan, heads: Heads, out: &GpuBuffer, lse: &GpuBuffer) {
    let window = Window { k: k.clone(), v: v.clone(), tiles: plan.single.clone(), longest: plan.longest };
    over_windows(device, q, &[window], heads, out, lse);
}

/// What the forward pass leaves for the backward pass.
pub(super) struct Saved<'a> {
    pub(super) q: &'a GpuBuffer,
    pub(super) k: &'a GpuBuffer,
    pub(super) v: &'a GpuBuffer,
    pub(super) out: &'a GpuBuffer,
    pub(super) lse: &'a GpuBuffer,
}

/// Of segments of prompts and completions whose keys are the batch's own rows. With `p = exp(score - lse)`:
/// `d_v = pᵀ · d_out`, `d_s = p * (d_out · vᵀ - sum(d_out * out)) / sqrt(E)`, `d_q = d_s · k`, `d_k = d_sᵀ · q`.
#[allow(clippy::too_many_arguments, reason = "the kernel's bindings")]
pub(super) fn backward(
    device: &Device,
    &Saved { q, k, v, out, lse }: &Saved<'_>,
    d_out: &GpuBuffer,
    plan: &GpuPlan,
    heads: Heads,
    d_q: &GpuBuffer,
    d_k: &GpuBuffer,
    d_v: &GpuBuffer,
) {
    // The log-sum-exp and sum(d_out * out) side by side: a stage may bind eight storage buffers.
    let by_row = device.buffer(2 * lse.len());
    let kernel = Kernel { shader: shader!("attention_backward_rows"), constants: vec![("E", heads.dim as u32)] };
    let bindings = [out, d_out, lse, &by_row].map(GpuBuffer::storage);
    device.run(kernel, &bindings, &[lse.len() as u32], line(lse.len().div_ceil(256)));

    let inputs = [q, k, v, d_out, &by_row];
    let [texts, d_out_text] = of_width(heads);
    let shader = shader!("attention_backward_q", library!("scores", "queries"), texts, d_out_text);
    for list in [&plan.several, &plan.single] {
        run_on_tiles(device, shader, heads, &inputs, list, &[d_q], &[]);
    }

    let shader = shader!("attention_backward_kv", library!("scores"), texts, d_out_text);
    let (keys, sharing) = (plan.keys(device), heads.query / heads.key_value);
    if sharing == 1 {
        return run_on_tiles(device, shader, heads, &inputs, keys, &[d_k, d_v], &[0, 0]);
    }
    // A workgroup for each query head: with those of a key-value head in one, too few would be busy.
    let (rows, width) = (plan.query_rows(), heads.key_value * heads.dim);
    let [k_parts, v_parts] = [(); 2].map(|()| device.buffer(sharing * rows.len() * width));
    run_on_tiles(device, shader, heads, &inputs, keys, &[&k_parts, &v_parts], &[rows.start, rows.len()]);
    matmul::add_up(device, &k_parts, sharing, d_k, rows.start * width, rows.len() * width);
    matmul::add_up(device, &v_parts, sharing, d_v, rows.start * width, rows.len() * width);
}
