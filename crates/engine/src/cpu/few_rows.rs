//! `x · weightᵀ` for few rows of x, as in decoding: every row of the weight is read once, and nothing is packed.
//!
//! Each result is one sum over D_in in the order of the vector lanes, whatever rows are computed beside it: a sequence
//! decodes to the same bits alone and in a batch.

use pulp::{Arch, Simd, WithSimd};

use super::lane_sums::lane_sums;
use super::unpack;
use crate::tensor::Dtype;

/// x `[T, D_in]`, weight `[n, D_in]` with rows `weight_row` apart, out `[T, n]`, whose length says what T and n are.
/// Meanwhile `ahead`, which will be read next, comes from memory to the cache.
pub(super) fn product(x: &[f32], weight: &[f32], weight_row: usize, d_in: usize, ahead: &[u8], out: &mut [f32]) {
    let width = out.len() / (x.len() / d_in);
    Arch::new().dispatch(FewRows { x, panel: Panel { weight, weight_row, d_in, width }, ahead, out });
}

struct FewRows<'a> {
    x: &'a [f32],
    panel: Panel<'a>,
    ahead: &'a [u8],
    out: &'a mut [f32],
}

/// Rows of the weight.
#[derive(Clone, Copy)]
struct Panel<'a> {
    weight: &'a [f32],
    weight_row: usize,
    d_in: usize,
    /// n
    width: usize,
}

impl<'a> Panel<'a> {
    #[inline(always)]
    fn row(&self, row: usize) -> &'a [f32] {
        &self.weight[row * self.weight_row..][..self.d_in]
    }
}

impl WithSimd for FewRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let FewRows { x, panel, ahead, out } = self;
        let Panel { d_in, width, .. } = panel;
        let rows = x.len() / d_in;
        let tiles = rows.div_ceil(TILE) * width.div_ceil(TILE);
        let mut ahead = Ahead { bytes: ahead, each: ahead.len().div_ceil(tiles.max(1)).next_multiple_of(LINE) };
        let mut done = 0;
        while done < rows {
            let tile = (rows - done).min(TILE);
            let x = &x[done * d_in..];
            let out = &mut out[done * width..][..tile * width];
            match tile {
                1 => columns::<S, 1>(simd, x, panel, &mut ahead, out),
                2 => columns::<S, 2>(simd, x, panel, &mut ahead, out),
                3 => columns::<S, 3>(simd, x, panel, &mut ahead, out),
                _ => columns::<S, TILE>(simd, x, panel, &mut ahead, out),
            }
            done += tile;
        }
    }
}

/// Rows of x and of the weight in one tile: the sixteen sums hide the latency of a multiplication.
const TILE: usize = 4;
/// Packed rows read together: a sum by itself is as slow as the latency of its additions. Processors that read one row
/// ahead by themselves do not follow four, so this takes [`prefetch`].
const PACKED_ROWS: usize = if cfg!(target_arch = "x86_64") { TILE } else { 1 };
/// How far ahead packed rows are asked for: about what memory's latency takes to compute.
const AHEAD_BYTES: usize = 12 << 10;
/// Bytes of a cache line.
const LINE: usize = 64;

/// What is still to be fetched, a part with each tile: all at once would keep the tile's own loads waiting.
struct Ahead<'a> {
    bytes: &'a [u8],
    each: usize,
}

impl Ahead<'_> {
    #[inline(always)]
    fn fetch(&mut self) {
        let (now, rest) = self.bytes.split_at(self.each.min(self.bytes.len()));
        self.bytes = rest;
        for line in now.chunks(LINE) {
            prefetch(line.as_ptr());
        }
    }
}

/// Asks for the cache line at an address, where nothing need be.
#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    if let Some(sse) = pulp::core_arch::x86::Sse::try_new() {
        sse._mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    // Elsewhere stable Rust has no such instruction.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// T rows of x against all rows of the weight; out `[T, n]`.
#[inline(always)]
fn columns<S: Simd, const T: usize>(simd: S, x: &[f32], panel: Panel<'_>, ahead: &mut Ahead<'_>, out: &mut [f32]) {
    let Panel { d_in, width, .. } = panel;
    let mut x_rows: [&[f32]; T] = [&[]; T];
    for t in 0..T {
        x_rows[t] = &x[t * d_in..][..d_in];
    }
    let whole = width - width % TILE;
    for first in (0..whole).step_by(TILE) {
        ahead.fetch();
        let mut rows: [&[f32]; TILE] = [&[]; TILE];
        for (r, row) in rows.iter_mut().enumerate() {
            *row = panel.row(first + r);
        }
        let sums = tile(simd, x_rows, rows);
        for t in 0..T {
            out[t * width + first..][..TILE].copy_from_slice(&sums[t]);
        }
    }
    for last in whole..width {
        let sums = tile(simd, x_rows, [panel.row(last)]);
        for t in 0..T {
            out[t * width + last] = sums[t][0];
        }
    }
}

/// Dot products of every x with every row, all of one length.
// Plain loops: an iterator's or an array's closure would not be inlined into code compiled for wider vectors.
#[inline(always)]
fn tile<S: Simd, const T: usize, const R: usize>(simd: S, x: [&[f32]; T], rows: [&[f32]; R]) -> [[f32; R]; T] {
    let whole = rows[0].len() / S::F32_LANES * S::F32_LANES;
    let mut x_vectors: [&[S::f32s]; T] = [&[]; T];
    let mut row_vectors: [&[S::f32s]; R] = [&[]; R];
    for t in 0..T {
        x_vectors[t] = S::as_simd_f32s(&x[t][..whole]).0;
    }
    for r in 0..R {
        row_vectors[r] = S::as_simd_f32s(&rows[r][..whole]).0;
    }
    let mut sums = [[simd.splat_f32s(0.0); R]; T];
    for k in 0..whole / S::F32_LANES {
        for t in 0..T {
            for r in 0..R {
                sums[t][r] = simd.mul_add_e_f32s(x_vectors[t][k], row_vectors[r][k], sums[t][r]);
            }
        }
    }
    let mut vectors = [simd.splat_f32s(0.0); TILE * TILE];
    for t in 0..T {
        for r in 0..R {
            vectors[t * R + r] = sums[t][r];
        }
    }
    let totals = lane_sums(simd, vectors);
    let mut out = [[0.0; R]; T];
    for t in 0..T {
        for r in 0..R {
            out[t][r] = totals[t * R + r];
            for k in whole..rows[r].len() {
                out[t][r] += x[t][k] * rows[r][k];
            }
        }
    }
    out
}

/// One row of x against packed rows, whose numbers never leave the registers: out `[n]`; halves by sixteens. Gives what
/// [`product`] gives for the unpacked rows, to the bit.
pub(super) fn one_row(x: &[f32], dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    Arch::new().dispatch(OneRow { x, dtype, bytes, out });
}

struct OneRow<'a> {
    x: &'a [f32],
    dtype: Dtype,
    bytes: &'a [u8],
    out: &'a mut [f32],
}

impl WithSimd for OneRow<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let OneRow { x, dtype, bytes, out } = self;
        let row_bytes = bytes.len() / out.len();
        let (tiles, rest) = out.as_chunks_mut::<PACKED_ROWS>();
        let (tile_bytes, rest_bytes) = bytes.split_at(tiles.len() * PACKED_ROWS * row_bytes);
        for (out, rows) in tiles.iter_mut().zip(tile_bytes.chunks_exact(PACKED_ROWS * row_bytes)) {
            *out = packed_tile(simd, x, dtype, rows);
        }
        for (out, row) in rest.iter_mut().zip(rest_bytes.chunks_exact(row_bytes)) {
            [*out] = packed_tile(simd, x, dtype, row);
        }
    }
}

/// Dot products of x with R packed rows.
#[inline(always)]
fn packed_tile<S: Simd, const R: usize>(simd: S, x: &[f32], dtype: Dtype, bytes: &[u8]) -> [f32; R] {
    let row_bytes = bytes.len() / R;
    let mut sums = [simd.splat_f32s(0.0); R];
    // A macro for the reason given at `blocks::unpack`.
    macro_rules! add {
        ($block:path, $bytes:literal, $len:literal) => {{
            let mut rows: [&[[u8; $bytes]]; R] = [&[]; R];
            for r in 0..R {
                rows[r] = bytes[r * row_bytes..][..row_bytes].as_chunks().0;
            }
            for (k, x) in x.as_chunks::<$len>().0.iter().enumerate() {
                for r in 0..R {
                    let block = &rows[r][k];
                    for line in (0..$bytes).step_by(LINE) {
                        prefetch(block.as_ptr().wrapping_add(AHEAD_BYTES + line));
                    }
                    let mut values = [0.0; $len];
                    $block(simd, block, &mut values);
                    for (&x, &value) in S::as_simd_f32s(x).0.iter().zip(S::as_simd_f32s(&values).0) {
                        sums[r] = simd.mul_add_e_f32s(x, value, sums[r]);
                    }
                }
            }
        }};
    }
    match dtype {
        Dtype::Q8_0 => add!(unpack::q8_0, 34, 32),
        Dtype::Q4_0 => add!(unpack::q4_0, 18, 32),
        Dtype::Q4_1 => add!(unpack::q4_1, 20, 32),
        Dtype::Q5_0 => add!(unpack::q5_0, 22, 32),
        Dtype::Q5_1 => add!(unpack::q5_1, 24, 32),
        Dtype::Q4_K => add!(unpack::q4_k, 144, 256),
        Dtype::Q5_K => add!(unpack::q5_k, 176, 256),
        Dtype::Q6_K => add!(unpack::q6_k, 210, 256),
        Dtype::F16 => add!(unpack::f16_16, 32, 16),
        Dtype::BF16 => add!(unpack::bf16_16, 32, 16),
        Dtype::F32 => unreachable!("kept dense"),
    }
    let mut out = [0.0; R];
    for r in 0..R {
        out[r] = simd.reduce_sum_f32s(sums[r]);
    }
    out
}
