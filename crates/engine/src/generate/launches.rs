//! Kernels of a decoding step on a GPU, where each costs its launch.

use pollster::block_on;

use super::*;
use crate::gpu::{Gpu, testing};
use crate::tests::models;
use crate::tests::random::Random;
use crate::{Adapter, Dtype, LoraConfig};

/// Of the steps between two reads.
fn kernels_of_a_step(gpu: &Gpu, adapter: Option<&Adapter<Gpu>>, slots: usize) -> usize {
    let checkpoint = models::checkpoint(&mut Random::seeded(1), &models::config(), Dtype::F16);
    let model = Llama::new(gpu.clone(), &checkpoint, false).unwrap();
    let requests = [Request { id: "0".into(), prompt: vec![1, 2, 3], completions: slots }];
    let sampling = Sampling::default();
    let options = GenerateOptions { max_new_tokens: 40, sampling, seed: 0, stop_tokens: vec![], slots };
    let mut generation = Generation::new(&model, adapter, &requests, &options);
    block_on(generation.refill(&mut |_| Result::<()>::Ok(()))).unwrap();
    let before = gpu.kernels();
    block_on(generation.decode(&mut |_| Result::<()>::Ok(()))).unwrap();
    (gpu.kernels() - before) / gpu.steps_per_read()
}

/// What docs/kernels.md counts.
#[test]
fn a_decoding_step_on_a_gpu_takes_few_kernels() {
    if testing::gpu().is_none() {
        return;
    }
    // Of its own: others' tests count as well.
    let gpu = block_on(Gpu::new(0)).unwrap();
    let layers = models::config().num_hidden_layers;
    let adapter = Adapter::new(&gpu, &models::config(), LoraConfig::default(), 1).unwrap();
    for slots in [1, 5, 64] {
        assert_eq!(kernels_of_a_step(&gpu, None, slots), 6 * layers + 4, "{slots} slots");
        assert_eq!(kernels_of_a_step(&gpu, Some(&adapter), slots), 10 * layers + 4, "{slots} slots, adapted");
    }
}
