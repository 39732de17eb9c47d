//! AdamW against torch's formula in f64, and the norm it clips by.

use super::random::Random;
use super::{assert_close, oracle, read, unwritten, widened};
use crate::tolerances::{KERNEL, MOMENTS};
use crate::{AdamW, Backend, Parameter};

on_each_backend!(sum_of_squares, adamw);
on_small_bindings!(32 << 10; sum_of_squares, adamw);

fn sum_of_squares<B: Backend>(backend: &B, random: &mut Random) {
    // Each has its share of the sum, whatever its length.
    let tensors = [1, 5, 0, 4097, 100_003].map(|len| random.normals(len, 1.0 / (len as f32).sqrt()));
    let there = tensors.each_ref().map(|values| backend.upload(values));
    let mut out = unwritten(backend, 1);
    backend.sum_of_squares(&there.each_ref(), &mut out);
    let expected = tensors.iter().map(|values| oracle::dot(values, values)).sum();
    assert_close(&read(backend, &out), &[expected], KERNEL, "sum of squares");
}

/// One tensor in f64.
struct Tensor {
    value: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
}

/// The loop body of torch.optim.AdamW's documentation, after torch.nn.utils.clip_grad_norm_.
fn torch(tensor: &mut Tensor, gradient: &[f32], norm: f64, options: &AdamW, learning_rate: f32, step: i32) {
    let [beta1, beta2, eps, decay, max_norm, lr] =
        [options.beta1, options.beta2, options.eps, options.weight_decay, options.max_grad_norm, learning_rate]
            .map(f64::from);
    let clip = if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 };
    for (i, &g) in gradient.iter().enumerate() {
        let g = clip * f64::from(g);
        let Tensor { value, first, second } = tensor;
        value[i] -= lr * decay * value[i];
        first[i] = beta1 * first[i] + (1.0 - beta1) * g;
        second[i] = beta2 * second[i] + (1.0 - beta2) * g * g;
        let (first, second) = (first[i] / (1.0 - beta1.powi(step)), second[i] / (1.0 - beta2.powi(step)));
        value[i] -= lr * first / (second.sqrt() + eps);
    }
}

fn adamw<B: Backend>(backend: &B, random: &mut Random) {
    let sizes = [1, 33, 20_001];
    for max_grad_norm in [0.0, 1.0, 1e6] {
        let [beta1, beta2] = random.pick(&[[0.9, 0.999], [0.5, 0.9]]);
        let (eps, weight_decay) = (random.pick(&[1e-8, 1e-3]), random.pick(&[0.0, 0.01, 0.5]));
        let options = AdamW { beta1, beta2, eps, weight_decay, max_grad_norm };
        let start = sizes.map(|len| random.normals(len, 1.0));
        let mut expected = start.each_ref().map(|start| {
            let zeros = || vec![0.0; start.len()];
            Tensor { value: widened(start), first: zeros(), second: zeros() }
        });
        let mut there =
            start.map(|start| [backend.upload(&start), backend.zeros(start.len()), backend.zeros(start.len())]);
        for step in 1..=5 {
            let learning_rate = 0.1 / step as f32;
            let gradients = sizes.map(|len| random.normals(len, 0.1));
            let squared: f64 = gradients.iter().map(|g| oracle::dot(g, g)).sum();
            let gradients_there = gradients.each_ref().map(|g| backend.upload(g));
            let parameters = there.iter_mut().zip(&gradients_there);
            let parameters = parameters
                .map(|([value, first, second], gradient)| Parameter { value, gradient, first, second, decayed: true })
                .collect();
            backend.adamw(parameters, &backend.upload(&[squared as f32]), &options, learning_rate, step as u32);
            for (tensor, gradient) in expected.iter_mut().zip(&gradients) {
                torch(tensor, gradient, squared.sqrt(), &options, learning_rate, step);
            }
        }
        type Part = fn(&Tensor) -> &[f64];
        let parts: [(&str, Part); 3] = [("value", |t| &t.value), ("first", |t| &t.first), ("second", |t| &t.second)];
        for (i, (what, part)) in parts.into_iter().enumerate() {
            let got: Vec<f32> = there.iter().flat_map(|tensor| read(backend, &tensor[i])).collect();
            let expected: Vec<f64> = expected.iter().flat_map(part).copied().collect();
            assert_close(&got, &expected, MOMENTS, &format!("{what}, {options:?}"));
        }
    }
}
