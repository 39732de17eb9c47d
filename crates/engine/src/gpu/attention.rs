//! Causal grouped-query attention over segments, forward and backward.

mod plan;

use super::attention_decode::{Window, over_windows};
use super::buffer::GpuBuffer;
use super::dispatch::{Device, Kernel, line};
use super::shaders::{Shader, library, shader};
use crate::backend::Heads;

pub use plan::GpuPlan;
use plan::TILE;
pub(super) use plan::{List, QueryTile};

/// The widest head whose tiles fit in 16 KiB.
const WIDEST: usize = 128;

/// Rows of a tile that one workgroup takes: half of them where heads are wide, so that they fit in its memory.
fn rows(heads: Heads) -> usize {
    assert!(heads.dim <= WIDEST, "attention: heads of {} numbers, expected at most {WIDEST}", heads.dim);
    if heads.dim <= WIDEST / 2 { TILE } else { TILE / 2 }
}

/// Runs a kernel on parts of tiles, for each of `over` heads; its bindings are inputs, tiles, outputs.
fn run_on_tiles(
    device: &Device,
    shader: Shader,
    heads: Heads,
    inputs: &[&GpuBuffer],
    list: &List,
    over: usize,
    outputs: &[&GpuBuffer],
) {
    let rows = rows(heads);
    if list.count == 0 {
        return;
    }
    let constants = vec![("E", heads.dim as u32), ("ROWS", rows as u32), ("TILE", TILE as u32)];
    let [before, after] = [inputs, outputs].map(|buffers| buffers.iter().map(|buffer| buffer.storage()));
    let bindings: Vec<_> = before.chain([list.tiles.storage()]).chain(after).collect();
    let parameters = [list.count as u32, heads.query as u32, heads.key_value as u32];
    let [x, y, _] = line(list.count * TILE / rows);
    device.run(Kernel { shader, constants }, &bindings, &parameters, [x, y, over as u32]);
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
    run_on_tiles(
        device,
        shader!("attention", library!("queries")),
        heads,
        &[q, k, v],
        &plan.several,
        heads.query,
        &[out, lse],
    );
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
    for list in [&plan.several, &plan.single] {
        run_on_tiles(
            device,
            shader!("attention_backward_q", library!("queries")),
            heads,
            &inputs,
            list,
            heads.query,
            &[d_q],
        );
    }
    let (keys, over) = (plan.keys(device), heads.key_value);
    run_on_tiles(device, shader!("attention_backward_kv"), heads, &inputs, keys, over, &[d_k, d_v]);
}
