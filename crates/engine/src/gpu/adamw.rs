//! AdamW as torch steps it, after clipping by the global norm.

use super::Gpu;
use super::buffer::{GpuBuffer, joined};
use super::dispatch::{Device, Kernel, each};
use super::shaders::shader;
use super::split::by_numbers;
use crate::backend::{AdamW, Parameter};

/// Step `step`, counted from 1; one kernel for tensors that lie behind each other and are decayed alike.
pub(super) fn step(
    device: &Device,
    parameters: Vec<Parameter<'_, Gpu>>,
    norm_squared: &GpuBuffer,
    options: &AdamW,
    learning_rate: f32,
    step: u32,
) {
    let AdamW { beta1, beta2, eps, weight_decay, max_grad_norm } = *options;
    let correction = |beta: f32| 1.0 - f64::from(beta).powf(f64::from(step));
    let step_size = (f64::from(learning_rate) / correction(beta1)) as f32;
    let root_correction = correction(beta2).sqrt() as f32;
    let arrays = parameters.into_iter().map(|Parameter { value, gradient, first, second, decayed }| {
        ([&*value, gradient, &*first, &*second].map(GpuBuffer::clone), decayed)
    });
    let join = |(last, decayed): &([GpuBuffer; 4], bool), (next, as_well): &([GpuBuffer; 4], bool)| {
        let runs: Option<Vec<GpuBuffer>> = last.iter().zip(next).map(|(last, next)| last.joined(next)).collect();
        Some((runs?.try_into().ok()?, *decayed)).filter(|_| decayed == as_well)
    };
    for (run, decayed) in joined(arrays, join) {
        let decay = if decayed { 1.0 - learning_rate * weight_decay } else { 1.0 };
        let numbers = [max_grad_norm, beta1, beta2, eps, step_size, root_correction, decay].map(f32::to_bits);
        by_numbers(device, run.each_ref(), |[value, gradient, first, second]| {
            let kernel = Kernel { shader: shader!("adamw"), constants: vec![] };
            let bindings = [&value, &gradient, &first, &second, norm_squared].map(GpuBuffer::storage);
            let parameters = [&[value.len() as u32][..], &numbers].concat();
            device.run(kernel, &bindings, &parameters, each(value.len()));
        });
    }
}
