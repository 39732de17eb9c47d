//! Products cut into parts, and those that round their factors to f16, against the CPU's. Where there are no cooperative
//! matrices, all but these themselves is run: see fragments.wgsl.

use super::{Outputs, assert_twins, gpu};
use crate::gpu::Gpu;
use crate::gpu::forms::ENOUGH;
use crate::gpu::testing::cooperative_gpu;
use crate::tests::models::{batch, config, gradients, model};
use crate::tests::random::{Random, rounds};
use crate::tests::{assert_close, norm, read, unwritten, widened};
use crate::tolerances::{COOPERATIVE, COOPERATIVE_GRADIENT, COOPERATIVE_LOGPS};
use crate::{Backend, Cpu, Dtype, Group, Matrix, Tensor};

/// (T, D_in, D_out): tiles cut at every edge, widths that four does not divide, sums cut into parts.
const SHAPES: [(usize, usize, usize); 3] = [(65, 64, 64), (70, 290, 130), (140, 99, 67)];

struct Inputs {
    weight: Tensor<'static>,
    x: Vec<f32>,
    d_out: Vec<f32>,
    before: [Vec<f32>; 3],
    alpha: f32,
}

impl Inputs {
    fn new(random: &mut Random, (rows, d_in, d_out): (usize, usize, usize), d_scale: f32) -> Self {
        let dtype = random.pick(&[Dtype::F32, Dtype::F16, Dtype::BF16]);
        Inputs {
            weight: random.tensor(dtype, d_out, d_in),
            x: random.normals(rows * d_in, 1.0),
            d_out: random.normals(rows * d_out, d_scale),
            before: [(rows * d_out, 1.0), (rows * d_in, d_scale), (d_out * d_in, d_scale)]
                .map(|(len, scale)| random.normals(len, scale)),
            alpha: random.pick(&[-1.5, 0.5, 2.0]),
        }
    }
}

fn products<B: Backend>(backend: &B, inputs: &Inputs) -> Outputs {
    let Inputs { weight, x, d_out, before, alpha } = inputs;
    let (weight, width) = (Matrix::stored(backend, weight), weight.shape[0]);
    let [x, d_out] = [x, d_out].map(|values| backend.upload(values));
    let [mut out, mut d_x, mut d_weight] = before.each_ref().map(|values| backend.upload(values));
    let [mut new_out, mut new_d_x] = [&out, &d_x].map(|like| unwritten(backend, backend.len(like)));
    backend.matmul(&x, &weight, *alpha, true, &mut out);
    backend.matmul(&x, &weight, *alpha, false, &mut new_out);
    backend.matmul_backward_input(&d_out, &weight, *alpha, true, &mut d_x);
    backend.matmul_backward_input(&d_out, &weight, *alpha, false, &mut new_d_x);
    backend.matmul_backward_weight(&d_out, &x, width, *alpha, &mut d_weight);
    let named = [("out", out), ("new out", new_out), ("d_x", d_x), ("new d_x", new_d_x), ("d_weight", d_weight)];
    named.map(|(name, buffer)| (name, read(backend, &buffer))).into()
}

fn check(gpu: &Gpu, inputs: &Inputs, what: &str) {
    for ((name, got), (_, expected)) in products(gpu, inputs).iter().zip(products(&Cpu::new(), inputs)) {
        assert_close(got, &widened(&expected), COOPERATIVE, &format!("{name}, {what}"));
    }
}

/// An adapter's shapes, over so many tokens or columns that their sums are cut.
#[test]
fn sums_in_parts_like_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for (shape, mut random) in [(600, 16, 40), (70, 600, 5), (130, 7, 520)].into_iter().zip(rounds()) {
        let inputs = Inputs::new(&mut random, shape, 1.0);
        assert_twins!(&gpu, products(&inputs), &format!("{shape:?}, {:?}", inputs.weight.dtype));
    }
}

fn check_products(enough_large_tiles: usize, d_scales: &[f32]) {
    let Some(gpu) = cooperative_gpu(enough_large_tiles) else { return };
    for (shape, mut random) in SHAPES.into_iter().zip(rounds()) {
        for &d_scale in d_scales {
            let inputs = Inputs::new(&mut random, shape, d_scale);
            check(&gpu, &inputs, &format!("{shape:?}, {:?}, gradients of {d_scale}", inputs.weight.dtype));
        }
    }
}

/// Gradients of a size that f16 does not have, and none at all.
#[test]
fn small_tiles_like_the_cpu() {
    check_products(ENOUGH, &[1e-12, 1e9, 0.0]);
}

#[test]
fn large_tiles_like_the_cpu() {
    check_products(1, &[1e-12]);
}

/// Activations beyond f16 stay finite, an infinity stays one, and NaN stays NaN.
#[test]
fn what_f16_has_not() {
    let Some(gpu) = cooperative_gpu(ENOUGH) else { return };
    let mut x = vec![1e6; 65 * 64];
    x[64] = f32::NAN;
    x[129] = f32::INFINITY;
    x[200] = f32::NEG_INFINITY;
    let weight = Matrix::<Gpu>::dense(gpu.upload(&vec![1.0 / 64.0; 64 * 64]), 64, 64);
    let mut out = unwritten(&gpu, 65 * 64);
    gpu.matmul(&gpu.upload(&x), &weight, 1.0, false, &mut out);
    for (i, value) in read(&gpu, &out).into_iter().enumerate() {
        let expected = [65504.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY].get(i / 64).copied().unwrap_or(65504.0);
        assert!(value == expected || value.is_nan() && expected.is_nan(), "number {i} is {value}");
    }
}

/// Log-probs and gradients of a whole model.
#[test]
fn a_model_like_the_cpu() {
    let Some(gpu) = cooperative_gpu(ENOUGH) else { return };
    for mut random in rounds() {
        let mut tokens = || random.ids(40, config().vocab_size);
        let batch = batch(&[Group { prompt: tokens(), completions: vec![tokens(), tokens(), tokens()] }]);
        let weights = random.below(1 << 20);
        let [got, expected] = [run(&gpu, weights, &batch), run(&Cpu::new(), weights, &batch)];
        for (got, expected) in got.0.iter().zip(&expected.0) {
            let error = (got - expected).abs() / expected.abs().max(1.0);
            assert!(f64::from(error) <= COOPERATIVE_LOGPS, "log-prob {got}, expected {expected}");
        }
        for ((name, got), (_, expected)) in got.1.iter().zip(&expected.1) {
            let off = norm(got.iter().zip(expected).map(|(&got, &expected)| f64::from(got) - f64::from(expected)));
            let size = norm(widened(expected));
            assert!(off <= COOPERATIVE_GRADIENT * size, "gradient of {name}: off by {off:e} of {size:e}");
        }
    }
}

/// Log-probs, and gradients by name.
fn run<B: Backend>(backend: &B, weights: usize, batch: &crate::Batch) -> (Vec<f32>, Vec<(String, Vec<f32>)>) {
    let mut model = model(backend, &mut Random::seeded(weights as u64), &config(), true);
    let logps = pollster::block_on(model.token_logps(None, batch)).unwrap();
    // As small as those of a mean over many tokens.
    (logps, gradients(&mut model, None, &[(batch.clone(), &[1e-6, -2e-6, 0.5e-6])], false))
}
