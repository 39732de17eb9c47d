//! Kernels of an optimiser step, where each costs its launch.

use pollster::block_on;

use crate::gpu::{Gpu, testing};
use crate::tests::models::{batch, config, groups, model};
use crate::tests::random::Random;
use crate::{AdamW, Adapter, LoraConfig, Result, Trained, Trainer};

/// The 28 tensors of this adapter lie behind each other, as do their gradients and moments, also where a saved state was taken up.
#[test]
fn an_adapter_is_stepped_as_one_tensor() {
    if testing::gpu().is_none() {
        return;
    }
    // Of its own: others' tests count as well.
    let (gpu, random) = (block_on(Gpu::new(0)).unwrap(), &mut Random::seeded(1));
    let mut model = model(&gpu, random, &config(), false);
    let mut adapter = Adapter::new(&gpu, &config(), LoraConfig { r: 8, ..LoraConfig::default() }, 1).unwrap();
    let mut trainer = Trainer::new(&model, Some(&adapter), AdamW::default(), false);
    let batch = batch(&groups(random, config().vocab_size));
    let loss = |sums: &[f64]| -> Result<Vec<f64>> { Ok(vec![1.0; sums.len()]) };
    for restored in [false, true] {
        if restored {
            let state = block_on(trainer.state(Trained::new(&mut model, Some(&mut adapter)))).unwrap();
            trainer.restore(Trained::new(&mut model, Some(&mut adapter)), &state).unwrap();
        }
        block_on(trainer.accumulate(&model, Some(&adapter), &batch, loss)).unwrap();
        let before = gpu.counts().kernels;
        block_on(trainer.update(Trained::new(&mut model, Some(&mut adapter)), 1e-3)).unwrap();
        // Squares of the gradients, their sum, AdamW.
        assert_eq!(gpu.counts().kernels - before, 3, "restored {restored}");
    }
}
