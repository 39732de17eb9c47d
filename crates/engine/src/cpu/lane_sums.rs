//! Sums of the lanes of sixteen vectors at once.

use pulp::Simd;

/// The sum of the lanes of each vector, added in the order of [`Simd::reduce_sum_f32s`].
#[inline(always)]
pub(super) fn lane_sums<S: Simd>(simd: S, vectors: [S::f32s; 16]) -> [f32; 16] {
    #[cfg(target_arch = "x86_64")]
    {
        let any: [&dyn std::any::Any; 2] = [&simd, &vectors];
        if let (Some(&simd), Some(&vectors)) = (any[0].downcast_ref(), any[1].downcast_ref::<[pulp::f32x16; 16]>()) {
            return avx512(simd, pulp::cast(vectors));
        }
    }
    let mut out = [0.0; 16];
    for i in 0..16 {
        out[i] = simd.reduce_sum_f32s(vectors[i]);
    }
    out
}

/// Halves, quarters, pairs and single lanes are added in turn, two vectors in one instruction: 45 instructions instead
/// of the 16 times 7 of one vector after the other.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn avx512(simd: pulp::x86::V4, vectors: [std::arch::x86_64::__m512; 16]) -> [f32; 16] {
    let (avx, v) = (simd.avx512f, vectors);
    macro_rules! add {
        ($low:expr, $high:expr) => {
            avx._mm512_add_ps($low, $high)
        };
    }
    macro_rules! halves {
        ($a:expr, $b:expr) => {
            add!(avx._mm512_shuffle_f32x4::<0x44>($a, $b), avx._mm512_shuffle_f32x4::<0xee>($a, $b))
        };
    }
    macro_rules! quarters {
        ($a:expr, $b:expr) => {
            add!(avx._mm512_shuffle_f32x4::<0x88>($a, $b), avx._mm512_shuffle_f32x4::<0xdd>($a, $b))
        };
    }
    macro_rules! pairs {
        ($a:expr, $b:expr) => {{
            let (a, b) = (avx._mm512_castps_pd($a), avx._mm512_castps_pd($b));
            let [low, high] = [avx._mm512_unpacklo_pd(a, b), avx._mm512_unpackhi_pd(a, b)];
            add!(avx._mm512_castpd_ps(low), avx._mm512_castpd_ps(high))
        }};
    }
    macro_rules! lanes {
        ($a:expr, $b:expr) => {
            add!(avx._mm512_shuffle_ps::<0x88>($a, $b), avx._mm512_shuffle_ps::<0xdd>($a, $b))
        };
    }
    // The vectors i, i + 4, i + 8, i + 12 end in one quarter of the result.
    macro_rules! four {
        ($i:literal) => {
            quarters!(halves!(v[$i], v[$i + 4]), halves!(v[$i + 8], v[$i + 12]))
        };
    }
    pulp::cast(lanes!(pairs!(four!(0), four!(1)), pairs!(four!(2), four!(3))))
}
