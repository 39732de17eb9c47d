//! Arrays larger than one storage binding may be (128 MiB on some adapters): kernels run part by part, by rows, each
//! part bound as an array of its own, so that no kernel knows. Where everything fits there is one part.

use std::ops::Range;

use super::Gpu;
use super::attention::{self, GpuPlan};
use super::attention_decode;
use super::buffer::{ALIGNMENT, GpuBuffer};
use super::dispatch::{Device, Kernel, line};
use super::matmul;
use super::shaders::shader;
use super::weight::Weight;
use crate::backend::{Heads, Segment};
use crate::matrix::Matrix;

impl Device {
    /// Cuts rows of arrays that have `widths` numbers a row, so that a part of each is a binding. Where not even the
    /// fewest rows are, there is no part, and the device has failed.
    pub(super) fn parts(&self, rows: usize, widths: &[usize]) -> Vec<Range<usize>> {
        let widest = widths.iter().copied().max().unwrap_or(0).max(1);
        let most = self.binding_numbers() / widest;
        if rows <= most {
            return std::iter::once(0..rows).collect();
        }
        let step = widths.iter().map(|&width| aligned_rows(width)).max().unwrap_or(1);
        let part = most / step * step;
        if part == 0 {
            self.too_large(step * widest);
            return Vec::new();
        }
        (0..rows).step_by(part).map(|start| start..rows.min(start + part)).collect()
    }

    /// Most numbers of a buffer that a kernel may see.
    pub(super) fn binding_numbers(&self) -> usize {
        // Of bytes: a browser's program may have fewer addresses than a binding has bytes.
        usize::try_from(self.binding_bytes / 4).unwrap_or(usize::MAX)
    }

    pub(super) fn too_large(&self, numbers: usize) {
        let (bytes, most) = (4 * numbers as u64, self.binding_bytes);
        self.fail(format!("a kernel must see {bytes} bytes of one array at once, and this device lets it see {most}"));
    }
}

/// Fewest rows of `width` numbers after which a binding may begin.
fn aligned_rows(width: usize) -> usize {
    ALIGNMENT >> width.trailing_zeros().min(ALIGNMENT.trailing_zeros())
}

/// Runs a kernel that treats each number alike on all parts of its arrays.
pub(super) fn by_numbers<const N: usize>(device: &Device, arrays: [&GpuBuffer; N], kernel: impl Fn([GpuBuffer; N])) {
    for part in device.parts(arrays[0].len(), &[1]) {
        kernel(arrays.map(|array| array.rows(&part, 1)));
    }
}

/// As [`matmul::forward`].
pub(super) fn matmul(
    device: &Device,
    x: &GpuBuffer,
    matrix: &Matrix<Gpu>,
    alpha: f32,
    accumulate: bool,
    out: &GpuBuffer,
) {
    let (weight, d_out, d_in) = (Weight::from(matrix), matrix.rows(), matrix.cols());
    let weight_parts = device.parts(d_out, &[weight.row_words()]);
    for rows in device.parts(x.len() / d_in, &[d_in, d_out]) {
        let (x, out) = (x.rows(&rows, d_in), out.rows(&rows, d_out));
        if weight_parts.len() == 1 {
            matmul::forward(device, &x, matrix, alpha, accumulate, &out);
            continue;
        }
        for part in &weight_parts {
            let columns = device.buffer(rows.len() * part.len());
            matmul::forward_part(device, &x, weight.part(part), 0..part.len(), alpha, false, &columns);
            let from = Columns { numbers: &columns, width: part.len(), first: 0 };
            let to = Columns { numbers: &out, width: d_out, first: part.start };
            copy_columns(device, from, to, part.len(), accumulate);
        }
    }
}

/// As [`matmul::backward_input`].
pub(super) fn matmul_backward_input(
    device: &Device,
    d_out: &GpuBuffer,
    matrix: &Matrix<Gpu>,
    alpha: f32,
    accumulate: bool,
    d_x: &GpuBuffer,
) {
    let (weight, d_out_width, d_in) = (Weight::from(matrix), matrix.rows(), matrix.cols());
    let weight_parts = device.parts(d_out_width, &[weight.row_words()]);
    for rows in device.parts(d_x.len() / d_in, &[d_in, d_out_width]) {
        let (d_out, d_x) = (d_out.rows(&rows, d_out_width), d_x.rows(&rows, d_in));
        if weight_parts.len() == 1 {
            matmul::backward_input(device, &d_out, matrix, alpha, accumulate, &d_x);
            continue;
        }
        for part in &weight_parts {
            let columns = taken_columns(device, &d_out, d_out_width, part);
            let (weight, accumulate) = (weight.part(part), accumulate || part.start > 0);
            matmul::backward_input_part(device, &columns, weight, 0..part.len(), alpha, accumulate, &d_x);
        }
    }
}

/// As [`matmul::backward_weight`].
pub(super) fn matmul_backward_weight(
    device: &Device,
    d_out: &GpuBuffer,
    x: &GpuBuffer,
    d_out_width: usize,
    alpha: f32,
    d_weight: &GpuBuffer,
) {
    let d_in = d_weight.len() / d_out_width;
    let weight_parts = device.parts(d_out_width, &[d_in]);
    for rows in device.parts(x.len() / d_in, &[d_in, d_out_width]) {
        let (d_out, x) = (d_out.rows(&rows, d_out_width), x.rows(&rows, d_in));
        if weight_parts.len() == 1 {
            matmul::backward_weight(device, &d_out, &x, d_out_width, alpha, d_weight);
            continue;
        }
        for part in &weight_parts {
            let columns = taken_columns(device, &d_out, d_out_width, part);
            matmul::backward_weight(device, &columns, &x, part.len(), alpha, &d_weight.rows(part, d_in));
        }
    }
}

/// Columns of an array of rows of `width` numbers, from `first` on.
struct Columns<'a> {
    numbers: &'a GpuBuffer,
    width: usize,
    first: usize,
}

/// Copies `count` columns, or adds them.
fn copy_columns(device: &Device, from: Columns<'_>, to: Columns<'_>, count: usize, accumulate: bool) {
    let rows = from.numbers.len() / from.width;
    let kernel = Kernel { shader: shader!("copy_columns"), constants: vec![] };
    let sizes = [rows, count, from.width, from.first, to.width, to.first].map(|size| size as u32);
    let parameters = [&sizes[..], &[u32::from(accumulate)]].concat();
    let bindings = [from.numbers.storage(), to.numbers.storage()];
    device.run(kernel, &bindings, &parameters, line((rows * count).div_ceil(256)));
}

/// The columns `part` of an array of rows of `width` numbers, `[T, part]`.
fn taken_columns(device: &Device, numbers: &GpuBuffer, width: usize, part: &Range<usize>) -> GpuBuffer {
    let taken = device.buffer(numbers.len() / width * part.len());
    let from = Columns { numbers, width, first: part.start };
    copy_columns(device, from, Columns { numbers: &taken, width: part.len(), first: 0 }, part.len(), false);
    taken
}

/// Rows of queries and of keys of some of a plan's segments, as a plan of their own over these rows.
struct Part {
    plan: GpuPlan,
    queries: Range<usize>,
    keys: Range<usize>,
}

/// Cuts a plan between `units` of segments so that the queries and keys of each part are bindings.
fn attention_parts<'a>(device: &Device, heads: Heads, units: impl Iterator<Item = &'a [Segment]>) -> Vec<Part> {
    let widths = [heads.query * heads.dim, heads.key_value * heads.dim];
    // The log-sum-exp has a number for each query and head. One step for all, so that a batch's queries and keys, which
    // are the same rows, begin at the same one.
    let step = [widths[0], heads.query, widths[1]].map(aligned_rows).into_iter().max().unwrap_or(1);
    // By rows of queries and of keys: those that a kernel must see.
    let window = |segments: &[Segment]| {
        let keys = |s: &Segment| {
            let prefix = (s.prefix_len > 0).then_some(s.prefix_start..s.prefix_start + s.prefix_len);
            prefix.into_iter().chain(std::iter::once(s.own_start..s.own_start + s.own_past + s.query_len))
        };
        let queries = segments.iter().map(|s| s.query_start..s.query_start + s.query_len);
        let hull = |ranges: &mut dyn Iterator<Item = Range<u32>>| {
            let hull = ranges.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or_default();
            hull.start as usize / step * step..hull.end as usize
        };
        [hull(&mut queries.into_iter()), hull(&mut segments.iter().flat_map(keys))]
    };
    let numbers = |segments: &[Segment]| {
        let rows = window(segments);
        (rows[0].len() * widths[0]).max(rows[1].len() * widths[1])
    };
    let mut parts: Vec<Vec<Segment>> = Vec::new();
    for unit in units {
        let longer = parts.last().map(|part| [part.as_slice(), unit].concat());
        match longer.filter(|longer| numbers(longer) <= device.binding_numbers()) {
            Some(longer) => *parts.last_mut().expect("it was made longer") = longer,
            None if numbers(unit) <= device.binding_numbers() => parts.push(unit.to_vec()),
            None => {
                device.too_large(numbers(unit));
                return Vec::new();
            }
        }
    }
    let part = |mut segments: Vec<Segment>| {
        let [queries, keys] = window(&segments);
        for segment in &mut segments {
            segment.query_start -= queries.start as u32;
            segment.own_start -= keys.start as u32;
            segment.prefix_start = segment.prefix_start.saturating_sub(keys.start as u32);
        }
        Part { plan: GpuPlan::new(device, &segments), queries, keys }
    };
    parts.into_iter().map(part).collect()
}

/// As [`attention::forward`].
#[allow(clippy::too_many_arguments, reason = "the kernel's bindings")]
pub(super) fn attention(
    device: &Device,
    q: &GpuBuffer,
    k: &GpuBuffer,
    v: &GpuBuffer,
    plan: &GpuPlan,
    heads: Heads,
    out: &GpuBuffer,
    lse: &GpuBuffer,
) {
    if q.len().max(k.len()) <= device.binding_numbers() {
        return attention::forward(device, q, k, v, plan, heads, out, lse);
    }
    // A slot's own keys lie far from its prompt's; those of prompts and batches lie close together.
    if plan.segments.iter().all(|segment| segment.query_len == 1) {
        return attention_decode::forward(device, q, k, v, &plan.segments, heads, out, lse);
    }
    let (q_width, k_width) = (heads.query * heads.dim, heads.key_value * heads.dim);
    for Part { plan, queries, keys } in attention_parts(device, heads, plan.segments.chunks(1)) {
        let [q, out] = [q, out].map(|array| array.rows(&queries, q_width));
        let [k, v] = [k, v].map(|array| array.rows(&keys, k_width));
        attention::forward(device, &q, &k, &v, &plan, heads, &out, &lse.rows(&queries, heads.query));
    }
}

/// As [`attention::backward`].
#[allow(clippy::too_many_arguments, reason = "the kernel's bindings")]
pub(super) fn attention_backward(
    device: &Device,
    saved: &attention::Saved<'_>,
    d_out: &GpuBuffer,
    plan: &GpuPlan,
    heads: Heads,
    d_q: &GpuBuffer,
    d_k: &GpuBuffer,
    d_v: &GpuBuffer,
) {
    if saved.q.len().max(saved.k.len()) <= device.binding_numbers() {
        return attention::backward(device, saved, d_out, plan, heads, d_q, d_k, d_v);
    }
    let (q_width, k_width) = (heads.query * heads.dim, heads.key_value * heads.dim);
    // A prompt with its completions: its keys' gradient is of all their queries.
    let groups = plan.segments.chunk_by(|_, next| next.prefix_len > 0);
    for Part { plan, queries, keys } in attention_parts(device, heads, groups) {
        let [q, out, d_out, d_q] = [saved.q, saved.out, d_out, d_q].map(|array| array.rows(&queries, q_width));
        let [k, v, d_k, d_v] = [saved.k, saved.v, d_k, d_v].map(|array| array.rows(&keys, k_width));
        let lse = saved.lse.rows(&queries, heads.query);
        let saved = attention::Saved { q: &q, k: &k, v: &v, out: &out, lse: &lse };
        attention::backward(device, &saved, &d_out, &plan, heads, &d_q, &d_k, &d_v);
    }
}
