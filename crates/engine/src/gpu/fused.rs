//! Steps of a decoder block in fewer kernels, for the few rows of decoding: there a kernel takes about as long as its
//! launch. Where these do not apply, the steps are what they are by definition.

use super::Gpu;
use super::buffer::{GpuBuffer, GpuIndices};
use super::dispatch::Device;
use super::matmul_few::{FEW, Few, LowRank, Norming};
use super::rope;
use super::weight::Weight;
use crate::backend::{Adapted, Norm, Rope, plain};
use crate::matrix::{Lora, Matrix};

/// Linears of one input whose weights lie behind each other, and so the factors of their adapters.
struct Joined<'a> {
    weight: Weight<'a>,
    adapters: Option<JoinedAdapters<'a>>,
}

struct JoinedAdapters<'a> {
    a: Weight<'a>,
    b: Weight<'a>,
    scale: f32,
    /// Rows of each weight.
    rows: Vec<usize>,
}

impl<'a> Joined<'a> {
    /// None where they lie apart, and where `x` has too many rows.
    fn of(device: &Device, x: &GpuBuffer, linears: &[&Adapted<'a, Gpu>]) -> Option<Self> {
        let matrices: Vec<&Matrix<Gpu>> = linears.iter().map(|linear| linear.weight).collect();
        let weight = joined(device, &matrices)?;
        let loras: Vec<&Lora<Gpu>> = linears.iter().filter_map(|linear| linear.lora).collect();
        let adapters = match loras[..] {
            [] => None,
            [first, ..] => {
                let alike = |lora: &&Lora<Gpu>| (lora.a.rows(), lora.scale) == (first.a.rows(), first.scale);
                let fours = first.a.rows().is_multiple_of(4);
                if loras.len() < linears.len() || !loras.iter().all(alike) || !fours {
                    return None;
                }
                let of = |factor: fn(&'a Lora<Gpu>) -> &'a Matrix<Gpu>| {
                    joined(device, &linears.iter().filter_map(|linear| linear.lora.map(factor)).collect::<Vec<_>>())
                };
                let rows = matrices.iter().map(|matrix| matrix.rows()).collect();
                Some(JoinedAdapters { a: of(|lora| &lora.a)?, b: of(|lora| &lora.b)?, scale: first.scale, rows })
            }
        };
        (1..=FEW * weight.cols).contains(&x.len()).then_some(Joined { weight, adapters })
    }

    /// Out `[T, D_out]` of all weights, or of pairs of their rows where it is gated.
    fn multiply(
        &self,
        device: &Device,
        x: &GpuBuffer,
        norm: Option<&Norm<'_, Gpu>>,
        accumulate: bool,
        gated: bool,
        out: &GpuBuffer,
    ) {
        let Joined { weight, adapters } = self;
        let (part, alpha, whole) = (0..weight.rows, 1.0, norm.map_or(Norming::None, Norming::Whole));
        let product = Few { x, weight: *weight, part, alpha, accumulate, norm: whole, adapters: None, gated };
        let Some(JoinedAdapters { a, b, scale, rows }) = adapters else {
            return product.run(device, out);
        };
        let low = device.buffer(x.len() / weight.cols * a.rows);
        // It is divided by the root mean square with the product that it is added to.
        let (part, gain) = (0..a.rows, norm.map_or(Norming::None, |norm| Norming::Gain(norm.weight)));
        let to_low = Few { x, weight: *a, part, alpha, accumulate: false, norm: gain, adapters: None, gated: false };
        to_low.run(device, &low);
        let adapters = Some(LowRank { low: &low, b: b.storage, rank: b.cols, scale: *scale, rows });
        Few { adapters, ..product }.run(device, out);
    }
}

/// Matrices as one that a kernel can see.
fn joined<'a>(device: &Device, matrices: &[&'a Matrix<Gpu>]) -> Option<Weight<'a>> {
    let weights: Vec<Weight<'a>> = matrices.iter().map(|&matrix| Weight::from(matrix)).collect();
    Weight::joined(&weights).filter(|weight| weight.storage.bytes <= device.binding_bytes)
}

/// Whether a kernel can read the norm's weight by fours.
fn in_fours(norm: &Norm<'_, Gpu>) -> bool {
    norm.weight.len().is_multiple_of(4)
}

/// As [`Backend::linear`](crate::Backend::linear).
pub(super) fn linear(backend: &Gpu, x: &GpuBuffer, linear: &Adapted<'_, Gpu>, accumulate: bool, out: &mut GpuBuffer) {
    match Joined::of(&backend.0, x, &[linear]) {
        Some(joined) => joined.multiply(&backend.0, x, None, accumulate, false, out),
        None => plain::linear(backend, x, linear, accumulate, out),
    }
}

/// As [`Backend::gated`](crate::Backend::gated).
pub(super) fn gated(
    backend: &Gpu,
    x: &GpuBuffer,
    norm: &Norm<'_, Gpu>,
    linears: [&Adapted<'_, Gpu>; 2],
    out: &mut GpuBuffer,
) {
    match Joined::of(&backend.0, x, &linears).filter(|_| in_fours(norm)) {
        Some(joined) => joined.multiply(&backend.0, x, Some(norm), false, true, out),
        None => plain::gated(backend, x, norm, linears, out),
    }
}

/// As [`Backend::project`](crate::Backend::project).
#[allow(clippy::too_many_arguments, reason = "the kernel's bindings")]
pub(super) fn project(
    backend: &Gpu,
    x: &GpuBuffer,
    norm: &Norm<'_, Gpu>,
    linears: [&Adapted<'_, Gpu>; 3],
    rope: &Rope<'_, Gpu>,
    at: &GpuIndices,
    q: &mut GpuBuffer,
    [keys, values]: [&mut GpuBuffer; 2],
) {
    let device = &backend.0;
    let whole_cache = keys.len() <= device.binding_numbers();
    match Joined::of(device, x, &linears).filter(|_| whole_cache && in_fours(norm)) {
        Some(joined) => {
            let all = device.buffer(at.len() * joined.weight.rows);
            joined.multiply(device, x, Some(norm), false, false, &all);
            rope::rotate_to_cache(device, &all, rope, at, q, [keys, values]);
        }
        None => plain::project(backend, x, norm, linears, rope, at, q, [keys, values]),
    }
}
