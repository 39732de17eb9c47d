//! Kernels of a decoding step on a GPU, where each costs its launch.

use pollster::block_on;

use super::*;
use crate::gpu::{Counts, Gpu, testing};
use crate::tests::models;
use crate::tests::random::Random;
use crate::{Adapter, Dtype, LlamaConfig, LoraConfig};

/// What is given to the device for the steps between two reads.
fn steps(
    gpu: &Gpu,
    config: &LlamaConfig,
    adapter: Option<&Adapter<Gpu>>,
    slots: usize,
    repetition_penalty: f32,
) -> Counts {
    let checkpoint = models::checkpoint(&mut Random::seeded(1), config, Dtype::F16);
    let model = Llama::new(gpu.clone(), &checkpoint, false).unwrap();
    let requests = [Request { id: "0".into(), prompt: vec![1, 2, 3], completions: slots }];
    let sampling = Sampling { repetition_penalty, ..Sampling::default() };
    let options = GenerateOptions { max_new_tokens: 40, sampling, seed: 0, stop_tokens: vec![], slots };
    let mut generation = Generation::new(&model, adapter, &requests, &options);
    block_on(generation.refill(&mut |_| Result::<()>::Ok(()))).unwrap();
    let before = gpu.counts();
    block_on(generation.decode(&mut |_| Result::<()>::Ok(()))).unwrap();
    let after = gpu.counts();
    Counts {
        kernels: after.kernels - before.kernels,
        submissions: after.submissions - before.submissions,
        writes: after.writes - before.writes,
        reads: after.reads - before.reads,
    }
}

/// Of its own: others' tests count as well.
fn own() -> Option<Gpu> {
    testing::gpu()?;
    Some(block_on(Gpu::new(0)).unwrap())
}

/// What docs/kernels.md counts.
#[test]
fn a_decoding_step_on_a_gpu_takes_few_kernels() {
    let Some(gpu) = own() else { return };
    let (config, queued) = (models::config(), gpu.steps_per_read() as u64);
    let layers = config.num_hidden_layers as u64;
    let adapter = Adapter::new(&gpu, &config, LoraConfig::default(), 1).unwrap();
    for slots in [1, 5, 64] {
        let kernels = steps(&gpu, &config, None, slots, 1.0).kernels;
        assert_eq!(kernels, queued * (6 * layers + 4), "{slots} slots");
        let kernels = steps(&gpu, &config, Some(&adapter), slots, 1.0).kernels;
        assert_eq!(kernels, queued * (10 * layers + 4), "{slots} slots, adapted");
    }
}

/// As many layers as SmolLM2-135M has: a step is one write and one submission at most, and all of them wait once.
#[test]
fn a_decoding_step_is_one_write_and_one_submission() {
    let Some(gpu) = own() else { return };
    let config = LlamaConfig { num_hidden_layers: 30, ..models::config() };
    let queued = gpu.steps_per_read() as u64;
    let adapter = Adapter::new(&gpu, &config, LoraConfig::default(), 1).unwrap();
    for (adapter, of_a_step, repetition_penalty) in [(None, 184, 1.0), (Some(&adapter), 304, 1.2)] {
        let counts = steps(&gpu, &config, adapter, 5, repetition_penalty);
        assert_eq!(counts.kernels, queued * of_a_step);
        assert_eq!(counts.reads, 1);
        assert!(counts.submissions <= queued && counts.writes <= queued, "{queued} steps: {counts:?}");
    }
}
