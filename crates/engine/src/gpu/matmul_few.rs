//! The product that reads each weight once, for the few rows of decoding.

use std::ops::Range;

use super::Gpu;
use super::buffer::{Binding, GpuBuffer};
use super::dispatch::{Device, Kernel, line};
use super::matmul::x_library;
use super::shaders::{library, shader};
use super::weight::Weight;
use crate::backend::Norm;

/// Most rows of x it takes.
pub(super) const FEW: usize = 64;

/// Adapters of one rank and scale, for weights whose rows lie behind each other.
#[derive(Debug)]
pub(super) struct LowRank<'a> {
    /// x · Aᵀ of all of them, `[T, adapters * R]`.
    pub(super) low: &'a GpuBuffer,
    /// All B behind each other, `[D_out, R]`.
    pub(super) b: Binding<'a>,
    /// R, a multiple of four.
    pub(super) rank: usize,
    pub(super) scale: f32,
    /// Rows of each of the weights: three at most.
    pub(super) rows: &'a [usize],
}

/// What a product does about the norm of x; alpha is 1 where it does anything.
#[derive(Debug, Clone, Copy)]
pub(super) enum Norming<'a> {
    /// Nothing.
    None,
    /// x times the norm's weight.
    Gain(&'a GpuBuffer),
    /// That divided by its root mean square.
    Whole(&'a Norm<'a, Gpu>),
}

/// `out = alpha * x · weightᵀ`, or `out +=` it, and what it may be made into on the way.
#[derive(Debug)]
pub(super) struct Few<'a> {
    pub(super) x: &'a GpuBuffer,
    pub(super) weight: Weight<'a>,
    /// Rows of the weight.
    pub(super) part: Range<usize>,
    pub(super) alpha: f32,
    pub(super) accumulate: bool,
    pub(super) norm: Norming<'a>,
    /// Added to the product, where alpha is 1 and the part is the whole.
    pub(super) adapters: Option<LowRank<'a>>,
    /// Whether the weight is two, whose products become `silu(first) * second`.
    pub(super) gated: bool,
}

impl Few<'_> {
    /// Out is `[T, part]`, or half as wide where it is gated.
    pub(super) fn run(&self, device: &Device, out: &GpuBuffer) {
        let &Few { x, weight, ref part, alpha, accumulate, norm, ref adapters, gated } = self;
        let rows = x.len() / weight.cols;
        debug_assert!((1..=FEW).contains(&rows), "{rows} rows");
        let at_once = if rows == 1 { 1 } else { rows.next_power_of_two().max(4) };
        let (gain, eps) = match norm {
            Norming::None => (None, None),
            Norming::Gain(weight) => (Some(weight), None),
            Norming::Whole(norm) => (Some(norm.weight), Some(norm.eps)),
        };
        let forms =
            [("GAINED", gain.is_some()), ("NORMED", eps.is_some()), ("ADAPTED", adapters.is_some()), ("GATED", gated)];
        let flags = forms.map(|(name, flag)| (name, u32::from(flag)));
        let constants = [("ROWS", at_once as u32)].into_iter().chain(flags).collect();
        let shader = shader!("matmul_few", weight.library, x_library(weight.cols), library!("sigmoid"));

        // One workgroup takes four rows of the weight, in pairs that lie apart where it is two.
        let (d_out, columns) = if gated { (part.len() / 2, 2) } else { (part.len(), 4) };
        let sizes = [rows, d_out, weight.cols, weight.stride, part.start, usize::from(accumulate)];
        let of_adapters = adapters.as_ref().map_or([0; 5], |LowRank { rank, scale, rows, .. }| {
            let [second, third] = [1, 2].map(|n| rows.iter().take(n).sum::<usize>() as u32);
            [*rank as u32, scale.to_bits(), rows.len() as u32, second, third]
        });
        let sizes = sizes.map(|size| size as u32).into_iter();
        let parameters = sizes.chain([alpha.to_bits()]).chain(of_adapters);
        let parameters: Vec<u32> = parameters.chain([eps.unwrap_or_default().to_bits()]).collect();
        // Bound and not read where there are none.
        let none = device.unread();
        let [low, b] = adapters.as_ref().map_or([none.storage(); 2], |adapters| [adapters.low.storage(), adapters.b]);
        let gain = gain.unwrap_or(&none).storage();
        let bindings = [weight.storage, x.storage(), low, b, gain, out.storage()];
        device.run(Kernel { shader, constants }, &bindings, &parameters, line(d_out.div_ceil(columns)));
    }
}
