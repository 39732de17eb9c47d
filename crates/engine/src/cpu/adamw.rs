//! AdamW (arXiv 1711.05101) as torch steps it, after clipping by the global norm.

use rayon::prelude::*;

use super::Cpu;
use super::vectorised::vectorised;
use crate::backend::{AdamW, Parameter};

/// Numbers one task takes.
const CHUNK: usize = 1 << 14;
/// torch's clip_grad_norm_ divides by the norm plus this.
const NORM_EPS: f32 = 1e-6;

/// Step `step`, counted from 1; none where the norm is not finite.
pub(super) fn step(
    parameters: Vec<Parameter<'_, Cpu>>,
    norm_squared: f32,
    options: &AdamW,
    learning_rate: f32,
    step: u32,
) {
    if !norm_squared.is_finite() {
        return;
    }
    let AdamW { beta1, beta2, eps, weight_decay, max_grad_norm } = *options;
    let clip = if max_grad_norm > 0.0 { (max_grad_norm / (norm_squared.sqrt() + NORM_EPS)).min(1.0) } else { 1.0 };
    let correction = |beta: f32| 1.0 - f64::from(beta).powf(f64::from(step));
    let step_size = (f64::from(learning_rate) / correction(beta1)) as f32;
    let root_correction = correction(beta2).sqrt() as f32;
    parameters.into_par_iter().for_each(|Parameter { value, gradient, first, second, decayed }| {
        let decay = if decayed { 1.0 - learning_rate * weight_decay } else { 1.0 };
        let moments = first.par_chunks_mut(CHUNK).zip(second.par_chunks_mut(CHUNK));
        let values = value.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
        values.zip(moments).for_each(|((value, gradient), (first, second))| {
            vectorised(
                #[inline(always)]
                || {
                    let moments = first.iter_mut().zip(second.iter_mut());
                    for ((value, gradient), (first, second)) in value.iter_mut().zip(gradient).zip(moments) {
                        let gradient = clip * gradient;
                        *first = beta1 * *first + (1.0 - beta1) * gradient;
                        *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
                        *value = *value * decay - step_size * *first / (second.sqrt() / root_correction + eps);
                    }
                },
            );
        });
    });
}
