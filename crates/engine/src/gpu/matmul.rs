//! `out = alpha * x · weightᵀ` and its two gradients.

mod tiling;

use std::ops::Range;

use super::Gpu;
use super::buffer::GpuBuffer;
use super::dispatch::{Device, Kernel, each};
use super::matmul_few::{FEW, Few, Norming};
use super::shaders::{library, shader};
use super::weight::Weight;
use crate::matrix::Matrix;
pub(super) use tiling::TILE;
use tiling::Tiling;

/// Parts of a gradient whose largest number is looked for, as in the shader.
const PARTS_OF_LARGEST: usize = 64;

/// x `[T, D_in]`, weight `[D_out, D_in]`, out `[T, D_out]`.
pub(super) fn forward(
    device: &Device,
    x: &GpuBuffer,
    weight: &Matrix<Gpu>,
    alpha: f32,
    accumulate: bool,
    out: &GpuBuffer,
) {
    let weight = Weight::from(weight);
    assert_eq!(out.len(), x.len() / weight.cols * weight.rows, "matmul: out");
    forward_part(device, x, weight, 0..weight.rows, alpha, accumulate, out);
}

/// The same by a part of the weight's rows; the first numbers of out are `[T, part]`.
pub(super) fn forward_part(
    device: &Device,
    x: &GpuBuffer,
    weight: Weight<'_>,
    part: Range<usize>,
    alpha: f32,
    accumulate: bool,
    out: &GpuBuffer,
) {
    let rows = x.len() / weight.cols;
    if rows == 0 {
        return;
    }
    if rows <= FEW {
        let norm = Norming::None;
        return Few { x, weight, part, alpha, accumulate, norm, adapters: None, gated: false }.run(device, out);
    }
    let x_text = x_library(weight.cols);
    let tiling = Tiling::new(device.forms, device.binding_numbers(), rows, part.len(), weight.cols);
    let shader = match tiling.fragments {
        Some(fragments) => shader!("matmul_cooperative", fragments.library(), weight.library, x_text),
        None => shader!("matmul", weight.library, x_text),
    };
    let target = Target { out, first: 0, len: rows * part.len(), accumulate, alpha };
    target.fill(device, tiling, |out, accumulate, alpha| {
        let parameters = parameters(rows, weight, &part, accumulate, alpha, tiling.part);
        let bindings = [weight.storage, x.storage(), out.storage()];
        device.run(kernel(shader, tiling), &bindings, &parameters, tiling.groups(rows, part.len()));
    });
}

/// d_out `[T, D_out]`, weight `[D_out, D_in]`, d_x `[T, D_in]`.
pub(super) fn backward_input(
    device: &Device,
    d_out: &GpuBuffer,
    weight: &Matrix<Gpu>,
    alpha: f32,
    accumulate: bool,
    d_x: &GpuBuffer,
) {
    let weight = Weight::from(weight);
    assert_eq!(d_x.len(), d_out.len() / weight.rows * weight.cols, "matmul_backward_input: d_x");
    backward_input_part(device, d_out, weight, 0..weight.rows, alpha, accumulate, d_x);
}

/// The same by a part of the weight's rows; the first numbers of d_out are `[T, part]`.
pub(super) fn backward_input_part(
    device: &Device,
    d_out: &GpuBuffer,
    weight: Weight<'_>,
    part: Range<usize>,
    alpha: f32,
    accumulate: bool,
    d_x: &GpuBuffer,
) {
    let rows = d_x.len() / weight.cols;
    if rows == 0 {
        return;
    }
    let tiling = Tiling::new(device.forms, device.binding_numbers(), rows, weight.cols, part.len());
    let x_text = x_library(part.len());
    let (shader, largest) = match tiling.fragments {
        Some(fragments) => {
            let texts = fragments.scaled_library();
            let shader = shader!("matmul_backward_input_cooperative", texts, weight.library, x_text);
            (shader, Some(largest(device, d_out, rows * part.len())))
        }
        None => (shader!("matmul_backward_input", weight.library, x_text), None),
    };
    let target = Target { out: d_x, first: 0, len: d_x.len(), accumulate, alpha };
    target.fill(device, tiling, |d_x, accumulate, alpha| {
        let parameters = parameters(rows, weight, &part, accumulate, alpha, tiling.part);
        let inputs = [weight.storage, d_out.storage()].into_iter().chain(largest.as_ref().map(GpuBuffer::storage));
        let bindings: Vec<_> = inputs.chain([d_x.storage()]).collect();
        device.run(kernel(shader, tiling), &bindings, &parameters, tiling.groups(rows, weight.cols));
    });
}

/// d_out `[T, D_out]`, x `[T, D_in]`, d_weight `[D_out, D_in]`.
pub(super) fn backward_weight(
    device: &Device,
    d_out: &GpuBuffer,
    x: &GpuBuffer,
    d_out_width: usize,
    alpha: f32,
    d_weight: &GpuBuffer,
) {
    let d_in = d_weight.len() / d_out_width;
    assert_eq!(x.len(), d_out.len() / d_out_width * d_in, "matmul_backward_weight: x");
    backward_weight_part(device, d_out, x, d_in, 0..d_out_width, alpha, d_weight);
}

/// The same into a part of the weight's rows; the first numbers of d_out are `[T, part]`.
pub(super) fn backward_weight_part(
    device: &Device,
    d_out: &GpuBuffer,
    x: &GpuBuffer,
    d_in: usize,
    part: Range<usize>,
    alpha: f32,
    d_weight: &GpuBuffer,
) {
    let rows = x.len() / d_in;
    let tiling = Tiling::new(device.forms, device.binding_numbers(), part.len(), d_in, rows);
    let x_text = x_library(d_in);
    let (shader, largest) = match tiling.fragments {
        Some(fragments) => {
            let texts = fragments.scaled_library();
            let shader = shader!("matmul_backward_weight_cooperative", texts, x_text);
            (shader, Some(largest(device, d_out, rows * part.len())))
        }
        None => (shader!("matmul_backward_weight", x_text), None),
    };
    let (first, len) = (part.start * d_in, part.len() * d_in);
    let target = Target { out: d_weight, first, len, accumulate: true, alpha };
    target.fill(device, tiling, |d_weight, accumulate, alpha| {
        let first = if tiling.parts == 1 { part.start } else { 0 };
        let sizes = [rows, part.len(), d_in, first, usize::from(accumulate)].map(|size| size as u32);
        let parameters: Vec<_> = sizes.into_iter().chain([alpha.to_bits(), tiling.part as u32]).collect();
        let inputs = [d_out.storage(), x.storage()].into_iter().chain(largest.as_ref().map(GpuBuffer::storage));
        let bindings: Vec<_> = inputs.chain([d_weight.storage()]).collect();
        device.run(kernel(shader, tiling), &bindings, &parameters, tiling.groups(part.len(), d_in));
    });
}

/// Where a product goes: numbers `first` to `first + len` of `out`.
struct Target<'a> {
    out: &'a GpuBuffer,
    first: usize,
    len: usize,
    accumulate: bool,
    alpha: f32,
}

impl Target<'_> {
    /// Runs `product(out, accumulate, alpha)`: on the target itself, or on a buffer for the parts, which are then added
    /// up into it.
    fn fill(&self, device: &Device, tiling: Tiling, product: impl FnOnce(&GpuBuffer, bool, f32)) {
        let &Target { out, len, accumulate, alpha, .. } = self;
        if tiling.parts == 1 {
            return product(out, accumulate, alpha);
        }
        let parts = device.buffer(tiling.parts * len);
        product(&parts, false, 1.0);
        self.add_up(device, &parts, tiling.parts);
    }

    /// Of `count` parts.
    fn add_up(&self, device: &Device, parts: &GpuBuffer, count: usize) {
        let &Target { out, first, len, accumulate, alpha } = self;
        let kernel = Kernel { shader: shader!("matmul_sum"), constants: vec![] };
        let sizes = [len, count, first, usize::from(accumulate)].map(|size| size as u32);
        let parameters: Vec<_> = sizes.into_iter().chain([alpha.to_bits()]).collect();
        device.run(kernel, &[parts.storage(), out.storage()], &parameters, each(len));
    }
}

/// Numbers `first` to `first + len` of out = the sum of `count` parts, `[count, len]`.
pub(super) fn add_up(device: &Device, parts: &GpuBuffer, count: usize, out: &GpuBuffer, first: usize, len: usize) {
    Target { out, first, len, accumulate: false, alpha: 1.0 }.add_up(device, parts, count);
}

fn kernel(shader: super::shaders::Shader, tiling: Tiling) -> Kernel {
    let constants = tiling.fragments.map(|_| ("SIDE", tiling.side as u32));
    Kernel { shader, constants: constants.into_iter().collect() }
}

/// Of the kernels that read a weight.
fn parameters(
    rows: usize,
    weight: Weight<'_>,
    part: &Range<usize>,
    accumulate: bool,
    alpha: f32,
    of_sum: usize,
) -> [u32; 8] {
    let sizes = [rows, part.len(), weight.cols, weight.stride, part.start].map(|size| size as u32);
    let [rows, d_out, d_in, stride, first] = sizes;
    [rows, d_out, d_in, stride, first, u32::from(accumulate), alpha.to_bits(), of_sum as u32]
}

/// What reads activations of a width.
pub(super) fn x_library(width: usize) -> &'static str {
    if width.is_multiple_of(4) { library!("x_by_fours") } else { library!("x") }
}

/// The largest absolute value of each part of the first `len` numbers of a gradient.
fn largest(device: &Device, gradient: &GpuBuffer, len: usize) -> GpuBuffer {
    let largest = device.buffer(PARTS_OF_LARGEST);
    let kernel = Kernel { shader: shader!("largest"), constants: vec![] };
    let bindings = [gradient.storage(), largest.storage()];
    device.run(kernel, &bindings, &[len as u32], [PARTS_OF_LARGEST as u32, 1, 1]);
    largest
}
