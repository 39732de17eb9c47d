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

/// By so much larger is the exponent's bias in single precision.
const REBIAS: u32 = (127 - 15) << 23;
/// Of an exponent.
const ONE: u32 = 1 << 23;

/// IEEE half precision to single, exactly, without denormal numbers of single precision on the way: kernels of the CPU
/// have none. No branch and no table: it vectorises without F16C.
#[inline(always)]
pub fn f16(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let magnitude = (bits & 0x7fff) << 13;
    let normal = f32::from_bits(magnitude + REBIAS);
    // An exponent of 0 stands for 1 without a leading one, which is taken off again: this is less than what is normal
    // there, and nowhere else.
    let small = f32::from_bits(magnitude + REBIAS + ONE) - f32::from_bits(REBIAS + ONE);
    let value = if small < normal { small } else { normal };
    let infinite = if magnitude >= 31 * ONE { 0xff * ONE } else { 0 };
    f32::from_bits(value.to_bits() | infinite | (bits & 0x8000) << 16)
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

/// As [`f16`] for the scale of a block, in half the instructions where it is neither smaller than 2^-14 nor infinite.
#[inline(always)]
fn scale(bytes: [u8; 2]) -> f32 {
    scales([bytes[0], bytes[1], 0, 0x3c]).0
}

/// The same of two.
#[inline(always)]
fn scales(bytes: [u8; 4]) -> (f32, f32) {
    let both = u32::from_le_bytes(bytes) & 0x7fff_7fff;
    // An exponent of 0 borrows from the sign's place, and one of 31 is carried there.
    if (both.wrapping_sub(0x0400_0400) | (both + 0x0400_0400)) & 0x8000_8000 != 0 {
        return rare_scales(bytes);
    }
    // The sign is extended, so that one shift brings it to the top and the magnitude to its place.
    let up = |bits: i16| f32::from_bits(((i32::from(bits) << 13) as u32 & 0x8fff_e000) + REBIAS);
    (up(i16::from_le_bytes([bytes[0], bytes[1]])), up(i16::from_le_bytes([bytes[2], bytes[3]])))
}

#[cold]
#[inline(never)]
fn rare_scales([a, b, c, d]: [u8; 4]) -> (f32, f32) {
    (f16([a, b]), f16([c, d]))
}

/// 32 elements `d q`, q in -128..128: `d, q[32]`.
#[inline(always)]
pub fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = scale([block[0], block[1]]);
    for i in 0..32 {
        out[i] = d * f32::from(block[2 + i] as i8);
    }
}

/// The block of [`q8_0`] for these elements: d is the largest magnitude divided by 127, before it is rounded to half
/// precision, and q the nearest whole number, half away from zero, as in GGML.
pub(crate) fn pack_q8_0(values: &[f32; 32]) -> [u8; 34] {
    let d = values.iter().fold(0.0f32, |largest, value| largest.max(value.abs())) / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let mut block = [0; 34];
    block[..2].copy_from_slice(&half::f16::from_f32(d).to_le_bytes());
    for (q, value) in block[2..].iter_mut().zip(values) {
        *q = (value * inverse).round() as i8 as u8;
    }
    block
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
    let (d, m) = scales([block[0], block[1], block[2], block[3]]);
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
    let (d, m) = scales([block[0], block[1], block[2], block[3]]);
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
    let (d, m) = scales([block[0], block[1], block[2], block[3]]);
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
    let (d, m) = scales([block[0], block[1], block[2], block[3]]);
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
    use crate::tests::golden_file;

    const DTYPES: [Dtype; 8] =
        [Dtype::Q8_0, Dtype::Q4_0, Dtype::Q4_1, Dtype::Q5_0, Dtype::Q5_1, Dtype::Q4_K, Dtype::Q5_K, Dtype::Q6_K];

    #[derive(serde::Deserialize)]
    struct Golden {
        bytes: String,
        values: Vec<f32>,
    }

    #[test]
    fn blocks_unpack_bit_for_bit_as_gguf_unpacks_them() {
        let golden: BTreeMap<String, Golden> = serde_json::from_slice(&golden_file("blocks/blocks.json")).unwrap();
        assert_eq!(golden.len(), DTYPES.len());
        for dtype in DTYPES {
            let Golden { bytes, values } = &golden[&format!("{dtype:?}")];
            let bytes: Vec<u8> =
                (0..bytes.len()).step_by(2).map(|i| u8::from_str_radix(&bytes[i..i + 2], 16).unwrap()).collect();
            let mut out = vec![f32::NAN; values.len()];
            unpack(dtype, &bytes, &mut out);
            assert_eq!(&out, values, "{dtype:?}");
        }
    }

    #[test]
    fn blocks_are_packed_bit_for_bit_as_gguf_packs_them() {
        let Golden { bytes, values } = serde_json::from_slice(&golden_file("blocks/packed.json")).unwrap();
        let packed: Vec<u8> = values.as_chunks().0.iter().flat_map(pack_q8_0).collect();
        assert_eq!(packed.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), bytes);
    }

    #[test]
    fn every_half_converts_exactly() {
        for bits in 0..=u16::MAX {
            let expected = half::f16::from_bits(bits).to_f32();
            // As a kernel of the CPU does it, too.
            for found in [f16(bits.to_le_bytes()), crate::cpu::flushed(|| half(bits))] {
                assert!(
                    found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(),
                    "{bits:04x}: {found}"
                );
            }
        }
    }

    #[inline(never)]
    fn half(bits: u16) -> f32 {
        f16(std::hint::black_box(bits).to_le_bytes())
    }

    /// Of the smallest scales too.
    #[test]
    fn kernels_of_the_cpu_unpack_the_same() {
        let halves = [0x0001u16, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x8400, 0x7bff, 0xfbff, 0x0000, 0x8000, 0x3c00];
        for (dtype, &at, half) in
            DTYPES.iter().flat_map(|d| d.scales().iter().flat_map(move |at| halves.map(|h| (d, at, h))))
        {
            let mut block: Vec<u8> = (0..dtype.block_bytes()).map(|i| (37 * i) as u8).collect();
            dtype.scales().iter().for_each(|&at| block[at..at + 2].copy_from_slice(&[0x12, 0x24]));
            block[at..at + 2].copy_from_slice(&half.to_le_bytes());
            let unpacked = || {
                let mut out = vec![0.0; dtype.block_len()];
                unpack(*dtype, std::hint::black_box(&block), &mut out);
                out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            assert_eq!(crate::cpu::flushed(unpacked), unpacked(), "{dtype:?}: {half:x} at {at}");
        }
    }

    /// A damaged file's NaN or infinity is seen in what it scales, and not taken for a large number.
    #[test]
    fn a_scale_that_is_not_finite_stays_so() {
        for (dtype, bits) in DTYPES.into_iter().flat_map(|dtype| [(dtype, 0x7e00u16), (dtype, 0x7c00), (dtype, 0xfc00)])
        {
            for at in dtype.scales() {
                let mut block = vec![0x77; dtype.block_bytes()];
                block[*at..at + 2].copy_from_slice(&bits.to_le_bytes());
                let mut out = vec![0.0; dtype.block_len()];
                unpack(dtype, &block, &mut out);
                assert!(out.iter().all(|value| !value.is_finite()), "{dtype:?}, {bits:x} at {at}: {out:?}");
            }
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
