//! Stored blocks as f32, with the widest vectors of this machine: what [`blocks`] gives, to the bit.

use std::hint::black_box;

use pulp::{Arch, Simd, WithSimd};

use crate::blocks;
use crate::tensor::Dtype;

/// Functions of one block by the names that they have in [`blocks`].
macro_rules! blocks {
    ($($name:ident: $bytes:literal => $len:literal $(, $avx512:ident)?;)+) => {$(
        #[inline(always)]
        pub(super) fn $name<S: Simd>(simd: S, block: &[u8; $bytes], out: &mut [f32; $len]) {
            $(
                #[cfg(target_arch = "x86_64")]
                if let Some(&simd) = (&simd as &dyn std::any::Any).downcast_ref() {
                    return super::$avx512::$name(simd, block, out);
                }
            )?
            let _ = simd;
            // For the reason given at `blocks::unpack`.
            blocks::$name(black_box(block), out);
        }
    )+};
}

blocks! {
    q8_0: 34 => 32, avx512;
    q4_0: 18 => 32, avx512;
    q4_1: 20 => 32, avx512;
    q5_0: 22 => 32, avx512;
    q5_1: 24 => 32, avx512;
    q4_k: 144 => 256, avx512;
    q5_k: 176 => 256, avx512;
    q6_k: 210 => 256;
    f16_16: 32 => 16;
    bf16_16: 32 => 16;
}

/// As [`blocks::unpack`].
pub(super) fn unpack(dtype: Dtype, bytes: &[u8], out: &mut [f32]) {
    Arch::new().dispatch(Unpack { dtype, bytes, out });
}

struct Unpack<'a> {
    dtype: Dtype,
    bytes: &'a [u8],
    out: &'a mut [f32],
}

impl WithSimd for Unpack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Unpack { dtype, bytes, out } = self;
        // A macro for the reason given at `blocks::unpack`.
        macro_rules! each {
            ($block:path) => {
                for (from, to) in bytes.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
                    $block(simd, from, to);
                }
            };
        }
        match dtype {
            Dtype::Q8_0 => each!(q8_0),
            Dtype::Q4_0 => each!(q4_0),
            Dtype::Q4_1 => each!(q4_1),
            Dtype::Q5_0 => each!(q5_0),
            Dtype::Q5_1 => each!(q5_1),
            Dtype::Q4_K => each!(q4_k),
            Dtype::Q5_K => each!(q5_k),
            Dtype::Q6_K => each!(q6_k),
            // Of any length.
            Dtype::F32 | Dtype::F16 | Dtype::BF16 => blocks::unpack(dtype, bytes, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::random::Random;

    /// With every finite half as the first scale of a block, and the next one as its second; the rest at random.
    #[test]
    fn blocks_unpack_as_defined_to_the_bit() {
        let halves: Vec<u16> = (0..=u16::MAX).filter(|bits| bits & 0x7c00 != 0x7c00).collect();
        for dtype in
            [Dtype::Q8_0, Dtype::Q4_0, Dtype::Q4_1, Dtype::Q5_0, Dtype::Q5_1, Dtype::Q4_K, Dtype::Q5_K, Dtype::Q6_K]
        {
            let (len, size) = (dtype.block_len(), dtype.block_bytes());
            let noise: Vec<u8> = Random::seeded(0).words_of(4 * size).into_iter().map(|word| word as u8).collect();
            for (i, d) in halves.iter().enumerate() {
                let mut block = noise[i % (3 * size)..][..size].to_vec();
                let scales = [d, &halves[(i + 1) % halves.len()]];
                for (scale, half) in
                    scales.into_iter().zip(block[if dtype == Dtype::Q6_K { 208 } else { 0 }..].chunks_mut(2))
                {
                    half.copy_from_slice(&scale.to_le_bytes());
                }
                let [mut found, mut expected] = [(); 2].map(|()| vec![f32::NAN; len]);
                unpack(dtype, &block, &mut found);
                blocks::unpack(dtype, &block, &mut expected);
                let [found, expected] =
                    [found, expected].map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>());
                assert_eq!(found, expected, "{dtype:?}, scale {d:04x}");
            }
        }
    }
}
