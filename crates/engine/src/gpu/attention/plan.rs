//! Segments cut into tiles, as lists that the attention kernels read.

use std::ops::Range;
use std::sync::OnceLock;

use bytemuck::{Pod, Zeroable};

use super::super::buffer::GpuIndices;
use super::super::dispatch::Device;
use crate::backend::Segment;

/// Most queries or keys of a tile. `TILE` of the shaders.
pub(super) const TILE: usize = 32;

/// Tiles on the device.
#[derive(Debug, Clone)]
pub(in super::super) struct List {
    pub(in super::super) tiles: GpuIndices,
    pub(in super::super) count: usize,
}

impl List {
    pub(in super::super) fn new<T: Pod>(device: &Device, tiles: &[T]) -> Self {
        List { tiles: device.indices(bytemuck::cast_slice(tiles)), count: tiles.len() }
    }
}

/// Consecutive queries of one segment: query i sees the first `visible + i` of its keys, which are the prefix's rows,
/// then its own.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(in super::super) struct QueryTile {
    pub(in super::super) query_start: u32,
    pub(in super::super) len: u32,
    pub(in super::super) prefix_start: u32,
    pub(in super::super) prefix_len: u32,
    pub(in super::super) own_start: u32,
    pub(in super::super) visible: u32,
}

impl QueryTile {
    fn of(segment: &Segment) -> impl Iterator<Item = QueryTile> {
        let &Segment { query_start, query_len, prefix_start, prefix_len, own_start, own_past } = segment;
        (0..query_len).step_by(TILE).map(move |first| QueryTile {
            query_start: query_start + first,
            len: (query_len - first).min(TILE as u32),
            prefix_start,
            prefix_len,
            own_start,
            visible: prefix_len + own_past + first + 1,
        })
    }
}

/// Consecutive keys, which are also rows of queries: a key is seen by its own query and all later ones before
/// `query_end`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct KeyTile {
    start: u32,
    len: u32,
    query_end: u32,
}

/// Segments, cut into tiles of queries.
#[derive(Debug)]
pub struct GpuPlan {
    pub(in super::super) segments: Vec<Segment>,
    /// Tiles of several queries.
    pub(super) several: List,
    /// Tiles of one query.
    pub(super) single: List,
    /// Most keys that one of them sees.
    pub(super) longest: usize,
    /// Made by the first backward pass, since most plans see none.
    keys: OnceLock<List>,
}

impl GpuPlan {
    pub(in super::super) fn new(device: &Device, segments: &[Segment]) -> Self {
        let mut next_row = segments.first().map_or(0, |first| first.query_start);
        for segment in segments {
            assert_eq!(
                segment.query_start, next_row,
                "attention: segments in the order of their queries, without gaps"
            );
            next_row += segment.query_len;
        }
        let tiles = segments.iter().flat_map(QueryTile::of);
        let (single, several): (Vec<_>, Vec<_>) = tiles.partition(|tile| tile.len == 1);
        let longest = single.iter().map(|tile| tile.visible).max().unwrap_or(0);
        GpuPlan {
            segments: segments.to_vec(),
            several: List::new(device, &several),
            single: List::new(device, &single),
            longest: longest as usize,
            keys: OnceLock::new(),
        }
    }

    /// Rows of its queries.
    pub(super) fn query_rows(&self) -> Range<usize> {
        let end = |segment: &Segment| (segment.query_start + segment.query_len) as usize;
        let start = self.segments.first().map_or(0, |first| first.query_start as usize);
        start..self.segments.last().map_or(start, end)
    }

    /// Tiles of keys, for a batch whose keys are its own rows.
    pub(super) fn keys(&self, device: &Device) -> &List {
        self.keys.get_or_init(|| List::new(device, &key_tiles(&self.segments)))
    }
}

/// A completion's keys are seen within its segment; a prompt's also by all of its completions, which follow it.
fn key_tiles(segments: &[Segment]) -> Vec<KeyTile> {
    let mut tiles = Vec::new();
    for group in segments.chunk_by(|_, next| next.prefix_len > 0) {
        let prompt = group[0];
        let group_end = group.iter().map(|s| s.query_start + s.query_len).max().unwrap_or_default();
        for (i, segment) in group.iter().enumerate() {
            let own_rows = segment.own_start == segment.query_start && segment.own_past == 0;
            let whole_prompt = (segment.prefix_start, segment.prefix_len) == (prompt.query_start, prompt.query_len);
            let fits = own_rows && if i == 0 { segment.prefix_len == 0 } else { whole_prompt };
            assert!(fits, "attention: a gradient for keys that are not the batch's own: {segment:?}");
            let query_end = if i == 0 { group_end } else { segment.query_start + segment.query_len };
            tiles.extend((0..segment.query_len).step_by(TILE).map(|first| KeyTile {
                start: segment.query_start + first,
                len: (segment.query_len - first).min(TILE as u32),
                query_end,
            }));
        }
    }
    tiles
}
