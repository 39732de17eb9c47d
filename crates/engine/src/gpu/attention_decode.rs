//! Attention of tiles of one query, over keys that may lie in several bindings: each query's context is a row of parts,
//! window after window of the keys, and the parts are joined at the end.

use std::ops::Range;

use super::attention::{List, QueryTile, of_width};
use super::buffer::GpuBuffer;
use super::dispatch::{Device, Kernel, line};
use super::forms::ENOUGH;
use super::shaders::{library, shader};
use crate::backend::{Heads, Segment};

/// Keys that take about as long as joining parts does: a context has one part less than of that size would fit in it.
const KEYS_OF_A_JOIN: usize = 128;

/// Rows of keys that are a binding, and what each query sees of them.
pub(super) struct Window {
    pub(super) k: GpuBuffer,
    pub(super) v: GpuBuffer,
    /// The same queries in every window; one may see nothing of it.
    pub(super) tiles: List,
    /// Most keys that one of them sees here.
    pub(super) longest: usize,
}

impl Window {
    fn new(device: &Device, [k, v]: [&GpuBuffer; 2], width: usize, rows: &Range<usize>, segments: &[Segment]) -> Self {
        let tiles: Vec<QueryTile> = segments.iter().map(|segment| tile_within(segment, rows)).collect();
        let longest = tiles.iter().map(|tile| tile.visible).max().unwrap_or(0) as usize;
        let [k, v] = [k, v].map(|array| array.rows(rows, width));
        Window { k, v, tiles: List::new(device, &tiles), longest }
    }
}

/// What the only query of a segment sees of `rows` of the keys, counted from the first of these.
fn tile_within(segment: &Segment, rows: &Range<usize>) -> QueryTile {
    let &Segment { query_start, prefix_start, prefix_len, own_start, own_past, .. } = segment;
    let [first, end] = [rows.start, rows.end].map(|row| row as u32);
    let within = |start: u32, len: u32| {
        let (start, end) = (start.clamp(first, end), (start + len).clamp(first, end));
        (start - first, end - start)
    };
    let (prefix_start, prefix_len) = within(prefix_start, prefix_len);
    let (own_start, own_len) = within(own_start, own_past + 1);
    QueryTile { query_start, len: 1, prefix_start, prefix_len, own_start, visible: prefix_len + own_len }
}

/// As [`attention::forward`](super::attention::forward), of segments of one query each, whose keys are more than a binding.
#[allow(clippy::too_many_arguments, reason = "the kernel's bindings")]
pub(super) fn forward(
    device: &Device,
    q: &GpuBuffer,
    k: &GpuBuffer,
    v: &GpuBuffer,
    segments: &[Segment],
    heads: Heads,
    out: &GpuBuffer,
    lse: &GpuBuffer,
) {
    let (q_width, k_width) = (heads.query * heads.dim, heads.key_value * heads.dim);
    let windows = device.parts(k.len() / k_width, &[k_width]);
    // What is joined, a part for each window and query at least, must be a binding too.
    for queries in device.parts(segments.len(), &[q_width * windows.len(), heads.query]) {
        let own = |segment: &Segment| Segment { query_start: segment.query_start - queries.start as u32, ..*segment };
        let own: Vec<Segment> = segments[queries.clone()].iter().map(own).collect();
        let windows = windows.iter().map(|rows| Window::new(device, [k, v], k_width, rows, &own));
        let windows: Vec<Window> = windows.filter(|window| window.longest > 0).collect();
        let [q, out] = [q, out].map(|array| array.rows(&queries, q_width));
        over_windows(device, &q, &windows, heads, &out, &lse.rows(&queries, heads.query));
    }
}

/// q, out `[T, H * E]`; lse `[T, H]`.
pub(super) fn over_windows(
    device: &Device,
    q: &GpuBuffer,
    windows: &[Window],
    heads: Heads,
    out: &GpuBuffer,
    lse: &GpuBuffer,
) {
    let count = windows.first().map_or(0, |window| window.tiles.count);
    if count == 0 {
        return;
    }
    let rows = count * heads.query;
    let bound = device.binding_numbers() / (rows * heads.dim * windows.len());
    // Keys of a part, and how many parts.
    let cut = |window: &Window| {
        let most = (window.longest / KEYS_OF_A_JOIN).saturating_sub(1).min(bound).max(1);
        let part = window.longest.div_ceil((ENOUGH / rows).clamp(1, most));
        (part, window.longest.div_ceil(part))
    };
    let cuts: Vec<(usize, usize)> = windows.iter().map(cut).collect();
    let all: usize = cuts.iter().map(|(_, parts)| parts).sum();
    let of_parts = (all > 1).then(|| (device.buffer(all * rows * heads.dim), device.buffer(all * rows)));
    let (to, to_lse) = of_parts.as_ref().map_or((out, lse), |(out, lse)| (out, lse));

    let constants = vec![("E", heads.dim as u32)];
    let mut before = 0;
    for (Window { k, v, tiles, .. }, (part, parts)) in windows.iter().zip(cuts) {
        let parameters = [count, heads.query, heads.key_value, all, part, parts, before].map(|size| size as u32);
        let bindings = [q, k, v].map(GpuBuffer::storage);
        let bindings = [&bindings[..], &[tiles.tiles.storage(), to.storage(), to_lse.storage()]].concat();
        let kernel = Kernel {
            shader: shader!("attention_decode", library!("queries"), of_width(heads)[0]),
            constants: constants.clone(),
        };
        let [x, y, _] = line(count * parts);
        device.run(kernel, &bindings, &parameters, [x, y, heads.query as u32]);
        before += parts;
    }
    if all > 1 {
        let parameters = [count, heads.query, heads.key_value, all].map(|size| size as u32);
        let kernel = Kernel { shader: shader!("attention_decode_join"), constants };
        let tiles = windows[0].tiles.tiles.storage();
        let bindings = [to.storage(), to_lse.storage(), tiles, out.storage(), lse.storage()];
        let [x, y, _] = line(count);
        device.run(kernel, &bindings, &parameters, [x, y, heads.query as u32]);
    }
}
