//! What the bytes of each stored element type mean: the definition that every backend's unpacking is tested against.
//!
//! Layouts are those of GGML (`ggml-common.h`), the test numbers those of its Python package `gguf`. `d` is a block's
//! scale, `m` its minimum, both f16; `q` is a small whole number. All functions are inlined and free of data-dependent
//! branches, so that a caller compiled for AVX2 or AVX-512 gets vector code.

use crate::tensor::Dtype;

/// A macro and not a function, since a function passed as an argument is called through a shim that is not inlined.
macro_rules! each {
    ($bytes:expr, $out:expr, $block:expr) => {
        for (from, to) in $bytes.as_chunks().0.iter().zip($out.as_chunks_mut().0) {
            // Kept apart from its neighbours, a block becomes vectors of its own elements; otherwise LLVM makes vectors
            // across blocks and scatters them, ten times slower.
            $block(std::hint::black_box(from), to);
        }
    };
}

/// Unpacks whole blocks: `bytes` holds n blocks, `out` n times [`Dtype::block_len`] elements.
///
/// Of different lengths, the shorter decides.
#[inline(always)]
pub fn unpack(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    match dtype {
        Dtype::F32 => bytes.as_chunks().0.iter().zip(out).for_each(|(b, o)| *o = f32::from_le_bytes(*b)),
        Dtype::F16 => bytes.as_chunks().0.iter().zip(out).for_each(|(b, o)| *o = f16(*b)),
        Dtype::BF16 => bytes.as_chunks().0.iter().zip(out).for_each(|(b, o)| *o = bf16(*b)),
        Dtype::Q8_0 => each!(bytes, out, q8_0),
        Dtype::Q4_0 => each!(bytes, out, q4_0),
        Dtype::Q4_1 => each!(bytes, out, q4_1),
        Dtype::Q5_0 => each!(bytes, out, q5_0),
        Dtype::Q5_1 => each!(bytes, out, q5_1),
        Dtype::Q4_K => each!(bytes, out, q4_k),
        Dtype::Q5_K => each!(bytes, out, q5_k),
        Dtype::Q6_K => each!(bytes, out, q6_k),
    }
}

/// 2^112: what is left of the exponent's new bias when the bits of a half are taken over as they are.
const REBIAS: f32 = f32::from_bits((127 + 112) << 23);

/// IEEE half precision to single, exactly. No branch and no table: it vectorises without F16C.
#[inline(always)]
pub fn f16(bytes: [u8; 2]) -> f32 {
    let magnitude = u32::from(u16::from_le_bytes(bytes)) << 13 & 0x0fff_e000;
    let infinite = if magnitude >= 0x7c00 << 13 { 0x7f80_0000 } else { 0 };
    f32::from_bits(scale(bytes).to_bits() | infinite)
}

/// bfloat16 to single: the upper half of its bits.
#[inline(always)]
fn bf16(bytes: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
}

/// Sixteen halves.
#[inline(always)]
pub(crate) fn f16_16(block: &[u8; 32], out: &mut [f32; 16]) {
    for i in 0..16 {
        out[i] = f16([block[2 * i], block[2 * i + 1]]);
    }
}

/// Sixteen bfloat16 numbers.
#[inline(always)]
pub(crate) fn bf16_16(block: &[u8; 32], out: &mut [f32; 16]) {
    for i in 0..16 {
        out[i] = bf16([block[2 * i], block[2 * i + 1]]);
    }
}

/// As [`f16`] for the scale of a block, in half the instructions: one that is infinite or NaN, which no sound file has,
/// comes out as 65536 or a little more.
#[inline(always)]
fn scale(bytes: [u8; 2]) -> f32 {
    // The sign is extended, so that one shift brings it to the top and the magnitude to its place.
    f32::from_bits((i32::from(i16::from_le_bytes(bytes)) << 13) as u32 & 0x8fff_e000) * REBIAS
}

/// 32 elements `d q`, q in -128..128: `d, q[32]`.
#[inline(always)]
pub fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = scale([block[0], block[1]]);
    for i in 0..32 {
        out[i] = d * f32::from(block[2 + i] as i8);
    }
}

/// 32 elements `d (q - 8)`, q in 0..16: `d, q[16]`, element i in the low half of byte i, i + 16 in its high half.
#[inline(always)]
pub fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = scale([block[0], block[1]]);
    for i in 0..16 {
        let q = i32::from(block[2 + i]);
        out[i] = d * ((q & 15) - 8) as f32;
        out[i + 16] = d * ((q >> 4) - 8) as f32;
    }
}

/// 32 elements `d q + m`, q in 0..16: `d, m, q[16]` in [`q4_0`]'s order.
#[inline(always)]
pub fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let (d, m) = (scale([block[0], block[1]]), scale([block[2], block[3]]));
    for i in 0..16 {
        let q = i32::from(block[4 + i]);
        out[i] = d * (q & 15) as f32 + m;
        out[i + 16] = d * (q >> 4) as f32 + m;
    }
}

/// 32 elements `d (q - 16)`, q in 0..32: `d, h[4], q[16]`; bit i of h is the fifth bit of element i.
#[inline(always)]
pub fn q5_0(block: &[u8; 22], out: &mut [f32; 32]) {
    let d = scale([block[0], block[1]]);
    let high = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    for i in 0..16 {
        let q = u32::from(block[6 + i]);
        let (low, up) = (q & 15 | (high >> i & 1) << 4, q >> 4 | (high >> (i + 16) & 1) << 4);
        out[i] = d * (low as i32 - 16) as f32;
        out[i + 16] = d * (up as i32 - 16) as f32;
    }
}

/// 32 elements `d q + m`, q in 0..32: `d, m, h[4], q[16]` in [`q5_0`]'s order.
#[inline(always)]
pub fn q5_1(block: &[u8; 24], out: &mut [f32; 32]) {
    let (d, m) = (scale([block[0], block[1]]), scale([block[2], block[3]]));
    let high = u32::from_le_bytes([block[4], block[5], block[6], block[7]]);
    for i in 0..16 {
        let q = u32::from(block[8 + i]);
        let (low, up) = (q & 15 | (high >> i & 1) << 4, q >> 4 | (high >> (i + 16) & 1) << 4);
        out[i] = d * low as i32 as f32 + m;
        out[i + 16] = d * up as i32 as f32 + m;
    }
}

/// 256 elements `d s q - m t`, q in 0..16: `d, m, scales[12], q[128]`.
///
/// Each run of 32 elements has its own 6-bit s and t. Runs 2r and 2r + 1 are the low and the high halves of `q[32 r..]`.
#[inline(always)]
pub fn q4_k(block: &[u8; 144], out: &mut [f32; 256]) {
    let (d, m) = (scale([block[0], block[1]]), scale([block[2], block[3]]));
    let (scales, q) = (&block[4..16], &block[16..]);
    for (run, out) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, minimum) = scale_and_minimum(scales, run, d, m);
        let q = &q[run / 2 * 32..][..32];
        for i in 0..32 {
            out[i] = scale * i32::from(q[i] >> (run % 2 * 4) & 15) as f32 - minimum;
        }
    }
}

/// 256 elements `d s q - m t`, q in 0..32: `d, m, scales[12], h[32], q[128]`.
///
/// As [`q4_k`]; bit r of `h[i]` is the fifth bit of element i of run r.
#[inline(always)]
pub fn q5_k(block: &[u8; 176], out: &mut [f32; 256]) {
    let (d, m) = (scale([block[0], block[1]]), scale([block[2], block[3]]));
    let (scales, high, q) = (&block[4..16], &block[16..48], &block[48..]);
    for pair in 0..4 {
        let q = &q[pair * 32..][..32];
        for run in [2 * pair, 2 * pair + 1] {
            let (scale, minimum) = scale_and_minimum(scales, run, d, m);
            let out = &mut out[run * 32..][..32];
            for i in 0..32 {
                let q = q[i] >> (run % 2 * 4) & 15 | (high[i] >> run & 1) << 4;
                out[i] = scale * i32::from(q) as f32 - minimum;
            }
        }
    }
}

/// The 6-bit scale and minimum of one run of 32, times the block's: for runs 0..4 the low six bits of bytes `run` and
/// `run + 4`; for runs 4..8 four bits of byte `run + 4` and, on top, the two high bits of bytes `run - 4` and `run`.
#[inline(always)]
fn scale_and_minimum(scales: &[u8], run: usize, d: f32, m: f32) -> (f32, f32) {
    let (scale, minimum) = if run < 4 {
        (scales[run] & 63, scales[run + 4] & 63)
    } else {
        let low = scales[run + 4];
        (low & 15 | scales[run - 4] >> 6 << 4, low >> 4 | scales[run] >> 6 << 4)
    };
    (d * f32::from(scale), m * f32::from(minimum))
}

/// 256 elements `d s (q - 32)`, q in 0..64: `q[128], h[64], s[16], d`.
///
/// Each run of 16 elements has its own signed 8-bit s. Of each half of 128 elements, 32-element part p has its low four
/// bits in half a byte of `q` (parts 0 and 1 low, 2 and 3 high) and its two high bits at bit 2p of `h`.
#[inline(always)]
pub fn q6_k(block: &[u8; 210], out: &mut [f32; 256]) {
    let d = scale([block[208], block[209]]);
    let (q, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    for half in 0..2 {
        let (q, high) = (&q[half * 64..][..64], &high[half * 32..][..32]);
        for part in 0..4 {
            let q = &q[part % 2 * 32..][..32];
            let run = half * 8 + part * 2;
            let (first, second) = (d * f32::from(scales[run] as i8), d * f32::from(scales[run + 1] as i8));
            let out = &mut out[run * 16..][..32];
            for i in 0..32 {
                let q = q[i] >> (part / 2 * 4) & 15 | (high[i] >> (2 * part) & 3) << 4;
                out[i] = if i < 16 { first } else { second } * (i32::from(q) - 32) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Golden {
        bytes: String,
        values: Vec<f32>,
    }

    #[test]
    fn blocks_unpack_bit_for_bit_as_gguf_unpacks_them() {
        let golden: BTreeMap<String, Golden> =
            serde_json::from_str(include_str!("../../../tests/golden/blocks/blocks.json")).unwrap();
        let dtypes =
            [Dtype::Q8_0, Dtype::Q4_0, Dtype::Q4_1, Dtype::Q5_0, Dtype::Q5_1, Dtype::Q4_K, Dtype::Q5_K, Dtype::Q6_K];
        assert_eq!(golden.len(), dtypes.len());
        for dtype in dtypes {
            let Golden { bytes, values } = &golden[&format!("{dtype:?}")];
            let bytes: Vec<u8> =
                (0..bytes.len()).step_by(2).map(|i| u8::from_str_radix(&bytes[i..i + 2], 16).unwrap()).collect();
            let mut out = vec![f32::NAN; values.len()];
            unpack(dtype, &bytes, &mut out);
            assert_eq!(&out, values, "{dtype:?}");
        }
    }

    #[test]
    fn every_half_converts_exactly() {
        for bits in 0..=u16::MAX {
            let expected = half::f16::from_bits(bits).to_f32();
            let found = f16(bits.to_le_bytes());
            assert!(
                found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                "{bits:04x}: {found}"
            );
        }
    }

    #[test]
    fn floats_unpack() {
        let mut out = [0.0; 2];
        unpack(Dtype::F32, &[0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0], &mut out);
        assert_eq!(out, [1.0, -2.0]);
        unpack(Dtype::BF16, &[0x80, 0x3f, 0x20, 0xc0], &mut out);
        assert_eq!(out, [1.0, -2.5]);
        unpack(Dtype::F16, &[0x00, 0x3c, 0x00, 0xc1], &mut out);
        assert_eq!(out, [1.0, -2.5]);
    }
}
