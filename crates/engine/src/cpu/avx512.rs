//! Blocks unpacked with AVX-512 to the bits of [`crate::blocks`], in half the instructions: of 4 or 5 bits there are 16 or
//! 32 different numbers in a block, which are made once, in one vector or two, and looked up there for each element.

use std::arch::x86_64::{__m512, __m512i};

use pulp::cast;
use pulp::x86::V4;

/// Sixteen whole numbers from `first` on.
const fn count(first: i32) -> [f32; 16] {
    let mut out = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        out[i] = (first + i as i32) as f32;
        i += 1;
    }
    out
}

/// How far to turn a word so that its bit `first + i` becomes bit 4, for lane i.
const fn turns(first: u32) -> [u32; 16] {
    let mut out = [0; 16];
    let mut i = 0;
    while i < 16 {
        out[i] = (36 - first - i as u32) % 32;
        i += 1;
    }
    out
}

#[inline(always)]
fn splat(simd: V4, value: f32) -> __m512 {
    simd.avx512f._mm512_set1_ps(value)
}

/// `scale * numbers`
#[inline(always)]
fn scaled(simd: V4, scale: f32, numbers: [f32; 16]) -> __m512 {
    simd.avx512f._mm512_mul_ps(splat(simd, scale), cast(numbers))
}

/// `scale * numbers + shift`, rounded twice.
#[inline(always)]
fn shifted(simd: V4, scale: f32, numbers: [f32; 16], shift: f32) -> __m512 {
    simd.avx512f._mm512_add_ps(scaled(simd, scale, numbers), splat(simd, shift))
}

/// N bytes from `at` on.
#[inline(always)]
fn part<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&block[at..at + N]);
    out
}

#[inline(always)]
fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(part(block, at))
}

/// The first two halves of a block.
#[inline(always)]
fn halves(simd: V4, block: &[u8]) -> [f32; 2] {
    let [d, m, ..]: [f32; 4] = cast(simd.avx512f._mm_maskz_cvtph_ps(0xff, cast([word(block, 0), 0, 0, 0])));
    [d, m]
}

/// Sixteen bytes from `at` on, each in a lane.
#[inline(always)]
fn bytes(simd: V4, block: &[u8], at: usize) -> __m512i {
    simd.avx512f._mm512_cvtepu8_epi32(cast(part::<16>(block, at)))
}

#[inline(always)]
fn high(simd: V4, bytes: __m512i) -> __m512i {
    simd.avx512f._mm512_srli_epi32::<4>(bytes)
}

/// Of 16 numbers, those that the low four bits name.
#[inline(always)]
fn of_16(simd: V4, numbers: __m512, index: __m512i) -> [f32; 16] {
    cast(simd.avx512f._mm512_permutexvar_ps(index, numbers))
}

/// Of 32 numbers, those that the low four bits of `low` and bit 4 of `fifth` name.
#[inline(always)]
fn of_32(simd: V4, [first, second]: [__m512; 2], low: __m512i, fifth: __m512i) -> [f32; 16] {
    // The second where bits of the first are set, else the third.
    const SELECT: i32 = 0xca;
    let index = simd.avx512f._mm512_ternarylogic_epi32::<SELECT>(cast([15u32; 16]), low, fifth);
    cast(simd.avx512f._mm512_permutex2var_ps(first, index, second))
}

#[inline(always)]
pub(super) fn q8_0(simd: V4, block: &[u8; 34], out: &mut [f32; 32]) {
    let avx = simd.avx512f;
    // Converted in each lane: the compiler loads a lone half by an instruction that waits for the block before.
    let d = avx._mm512_cvtph_ps(cast([part::<2>(block, 0); 16]));
    let [first, second] = [signed(simd, block, 2), signed(simd, block, 18)];
    *out = cast([avx._mm512_mul_ps(d, first), avx._mm512_mul_ps(d, second)]);
}

/// Sixteen signed bytes from `at` on.
#[inline(always)]
fn signed(simd: V4, block: &[u8], at: usize) -> __m512 {
    let q = simd.avx512f._mm512_cvtepi8_epi32(cast(part::<16>(block, at)));
    simd.avx512f._mm512_cvtepi32_ps(q)
}

#[inline(always)]
pub(super) fn q4_0(simd: V4, block: &[u8; 18], out: &mut [f32; 32]) {
    let [d, _] = halves(simd, block);
    nibbles(simd, scaled(simd, d, count(-8)), bytes(simd, block, 2), out);
}

#[inline(always)]
pub(super) fn q4_1(simd: V4, block: &[u8; 20], out: &mut [f32; 32]) {
    let [d, m] = halves(simd, block);
    nibbles(simd, shifted(simd, d, count(0), m), bytes(simd, block, 4), out);
}

#[inline(always)]
fn nibbles(simd: V4, numbers: __m512, q: __m512i, out: &mut [f32; 32]) {
    *out = cast([of_16(simd, numbers, q), of_16(simd, numbers, high(simd, q))]);
}

#[inline(always)]
pub(super) fn q5_0(simd: V4, block: &[u8; 22], out: &mut [f32; 32]) {
    let [d, _] = halves(simd, block);
    let numbers = [scaled(simd, d, count(-16)), scaled(simd, d, count(0))];
    fives(simd, numbers, word(block, 2), bytes(simd, block, 6), out);
}

#[inline(always)]
pub(super) fn q5_1(simd: V4, block: &[u8; 24], out: &mut [f32; 32]) {
    let [d, m] = halves(simd, block);
    let numbers = [shifted(simd, d, count(0), m), shifted(simd, d, count(16), m)];
    fives(simd, numbers, word(block, 4), bytes(simd, block, 8), out);
}

#[inline(always)]
fn fives(simd: V4, numbers: [__m512; 2], fifth: u32, q: __m512i, out: &mut [f32; 32]) {
    let avx = simd.avx512f;
    let fifth = avx._mm512_set1_epi32(fifth as i32);
    let first = avx._mm512_rolv_epi32(fifth, cast(const { turns(0) }));
    let second = avx._mm512_rolv_epi32(fifth, cast(const { turns(16) }));
    *out = cast([of_32(simd, numbers, q, first), of_32(simd, numbers, high(simd, q), second)]);
}

/// The scales of the eight runs of 32 elements, times the block's, and behind them the minima.
#[inline(always)]
fn scales_and_minima(simd: V4, block: &[u8]) -> [f32; 16] {
    const LOW_6: u32 = 0x3f3f_3f3f;
    const LOW_4: u32 = 0x0f0f_0f0f;
    const HIGH_2: u32 = 0x3030_3030;
    let avx = simd.avx512f;
    let [d, m] = halves(simd, block);
    let [a, b, c] = [word(block, 4), word(block, 8), word(block, 12)];
    let packed = [a & LOW_6, c & LOW_4 | a >> 2 & HIGH_2, b & LOW_6, c >> 4 & LOW_4 | b >> 2 & HIGH_2];
    let whole = avx._mm512_cvtepi32_ps(avx._mm512_cvtepu8_epi32(cast(packed)));
    let of_block = avx._mm512_mask_blend_ps(0xff00, splat(simd, d), splat(simd, m));
    cast(avx._mm512_mul_ps(of_block, whole))
}

#[inline(always)]
pub(super) fn q4_k(simd: V4, block: &[u8; 144], out: &mut [f32; 256]) {
    let scales = scales_and_minima(simd, block);
    for (pair, out) in out.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        let q = [bytes(simd, block, 16 + 32 * pair), bytes(simd, block, 32 + 32 * pair)];
        for (run, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let [scale, minimum] = [scales[2 * pair + run], scales[8 + 2 * pair + run]];
            let numbers = shifted(simd, scale, count(0), -minimum);
            let [first, second] = if run == 0 { q } else { [high(simd, q[0]), high(simd, q[1])] };
            *out = cast([of_16(simd, numbers, first), of_16(simd, numbers, second)]);
        }
    }
}

#[inline(always)]
pub(super) fn q5_k(simd: V4, block: &[u8; 176], out: &mut [f32; 256]) {
    let scales = scales_and_minima(simd, block);
    let fifths = [bytes(simd, block, 16), bytes(simd, block, 32)];
    for (pair, out) in out.as_chunks_mut::<64>().0.iter_mut().enumerate() {
        let q = [bytes(simd, block, 48 + 32 * pair), bytes(simd, block, 64 + 32 * pair)];
        for (run, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let [scale, minimum] = [scales[2 * pair + run], scales[8 + 2 * pair + run]];
            let numbers = [shifted(simd, scale, count(0), -minimum), shifted(simd, scale, count(16), -minimum)];
            let turns = [(36 - (2 * pair + run) as u32) % 32; 16];
            for i in 0..2 {
                let q = if run == 0 { q[i] } else { high(simd, q[i]) };
                let fifth = simd.avx512f._mm512_rolv_epi32(fifths[i], cast(turns));
                out.as_chunks_mut().0[i] = of_32(simd, numbers, q, fifth);
            }
        }
    }
}
