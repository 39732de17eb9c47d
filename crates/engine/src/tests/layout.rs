//! One result whatever the layout: packed or alone, prompt shared or repeated, kept or computed again, one batch or two.

use pollster::block_on;

use super::models::{adapter, batch, checkpoint, configs, gradients, groups, model, next_logps};
use super::random::Random;
use super::{assert_close, norm, widened};
use crate::tolerances::{LAYOUT, LAYOUT_GRADIENT};
use crate::{Adapter, Backend, Batch, Checkpoint, Dtype, Group, Llama, LlamaConfig, LoraConfig, Tensor};

on_each_backend!(
    whole_models:
    packed_is_alone,
    a_completion_is_a_longer_prompt,
    packed_gradient_is_the_sum,
    two_micro_batches_are_one_batch,
    recomputed_is_kept,
    a_fresh_adapter_changes_nothing,
    a_merged_adapter_is_a_switched_one,
    a_copy_of_an_adapter_is_apart,
    stored_is_unpacked,
    logps_are_a_log_softmax,
);

/// Each completion with a copy of its prompt, in a batch of its own.
fn alone(groups: &[Group]) -> Vec<Batch> {
    let single = |group: &Group, completion: &Vec<u32>| {
        batch(&[Group { prompt: group.prompt.clone(), completions: vec![completion.clone()] }])
    };
    groups.iter().flat_map(|group| group.completions.iter().map(move |completion| single(group, completion))).collect()
}

fn token_logps<B: Backend>(model: &Llama<B>, adapter: Option<&Adapter<B>>, batch: &Batch) -> Vec<f32> {
    block_on(model.token_logps(adapter, batch)).unwrap()
}

fn packed_is_alone<B: Backend>(backend: &B, random: &mut Random) {
    for config in configs() {
        let (model, adapter) = (model(backend, random, &config, false), adapter(backend, random, &config));
        let groups = groups(random, config.vocab_size);
        for adapter in [None, Some(&adapter)] {
            let packed = token_logps(&model, adapter, &batch(&groups));
            let expected: Vec<f32> = alone(&groups).iter().flat_map(|one| token_logps(&model, adapter, one)).collect();
            assert_close(&packed, &widened(&expected), LAYOUT, &format!("{groups:?}"));
        }
    }
}

fn a_completion_is_a_longer_prompt<B: Backend>(backend: &B, random: &mut Random) {
    for config in configs() {
        let (model, adapter) = (model(backend, random, &config, false), adapter(backend, random, &config));
        let groups = groups(random, config.vocab_size);
        let packed = batch(&groups);
        let logps = token_logps(&model, Some(&adapter), &packed);
        let prompts = groups.iter().flat_map(|g| g.completions.iter().map(|completion| (&g.prompt, completion)));
        for ((prompt, completion), logps) in prompts.zip(packed.split(&logps)) {
            for i in [0, completion.len() / 2, completion.len() - 1] {
                let sequence = [prompt, &completion[..i]].concat();
                let expected = next_logps(&model, Some(&adapter), &sequence)[completion[i] as usize];
                assert_close(&logps[i..=i], &[f64::from(expected)], LAYOUT, &format!("token {i} of {completion:?}"));
            }
        }
    }
}

fn assert_gradients_close(got: &[(String, Vec<f32>)], expected: &[(String, Vec<f32>)]) {
    assert_eq!(got.len(), expected.len());
    for ((name, got), (expected_name, expected)) in got.iter().zip(expected) {
        assert_eq!(name, expected_name);
        let difference = norm(got.iter().zip(expected).map(|(&g, &e)| f64::from(g) - f64::from(e)));
        let size = norm(widened(expected));
        assert!(size > 0.0 && difference <= LAYOUT_GRADIENT * size, "{name}: off by {difference:e} of {size}");
    }
}

fn packed_gradient_is_the_sum<B: Backend>(backend: &B, random: &mut Random) {
    for config in configs() {
        let mut model = model(backend, random, &config, true);
        let mut adapter = adapter(backend, random, &config);
        let groups = groups(random, config.vocab_size);
        let alone = alone(&groups);
        let d = widened(&random.normals(alone.len(), 1.0));
        let alone: Vec<(Batch, &[f64])> = alone.into_iter().zip(d.chunks(1)).collect();
        for adapted in [false, true] {
            let adapter = &mut adapted.then_some(&mut adapter);
            let packed = gradients(&mut model, adapter.as_deref_mut(), &[(batch(&groups), &d)], false);
            assert_gradients_close(&packed, &gradients(&mut model, adapter.as_deref_mut(), &alone, false));
        }
    }
}

fn two_micro_batches_are_one_batch<B: Backend>(backend: &B, random: &mut Random) {
    for config in configs() {
        let mut model = model(backend, random, &config, true);
        let [first, second] = [(); 2].map(|()| groups(random, config.vocab_size));
        let counts = [&first, &second].map(|groups| groups.iter().map(|g| g.completions.len()).sum::<usize>());
        let d = widened(&random.normals(counts[0] + counts[1], 1.0));
        let both = batch(&[&first[..], &second].concat());
        let (d_first, d_second) = d.split_at(counts[0]);
        let one = gradients(&mut model, None, &[(both, &d)], false);
        let two = gradients(&mut model, None, &[(batch(&first), d_first), (batch(&second), d_second)], false);
        assert_gradients_close(&two, &one);
    }
}

fn recomputed_is_kept<B: Backend>(backend: &B, random: &mut Random) {
    for config in configs() {
        let mut model = model(backend, random, &config, true);
        let mut adapter = adapter(backend, random, &config);
        let batch = batch(&groups(random, config.vocab_size));
        let d = widened(&random.normals(batch.completion_lens.len(), 1.0));
        for adapted in [false, true] {
            let adapter = &mut adapted.then_some(&mut adapter);
            let [kept, again] = [false, true]
                .map(|recompute| gradients(&mut model, adapter.as_deref_mut(), &[(batch.clone(), &d)], recompute));
            assert!(!kept.is_empty() && kept == again, "adapted {adapted}");
        }
    }
}

fn a_fresh_adapter_changes_nothing<B: Backend>(backend: &B, random: &mut Random) {
    for config in configs() {
        let model = model(backend, random, &config, false);
        let fresh = Adapter::new(backend, &config, LoraConfig::default(), 1).unwrap();
        let batch = batch(&groups(random, config.vocab_size));
        let base = token_logps(&model, None, &batch);
        assert_eq!(token_logps(&model, Some(&fresh), &batch), base);
        assert_ne!(token_logps(&model, Some(&adapter(backend, random, &config)), &batch), base);
        assert_eq!(token_logps(&model, None, &batch), base, "the base, after an adapter");
    }
}

fn reloaded<B: Backend>(model: &Llama<B>, adapter: Option<&Adapter<B>>) -> Llama<B> {
    let stored = block_on(model.tensors(adapter)).unwrap().into_iter().map(|(name, shape, values)| {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        (name, Tensor { dtype: Dtype::F32, shape, bytes: bytes.into() })
    });
    let checkpoint = Checkpoint::new("merged", model.config().clone(), stored.collect()).unwrap();
    Llama::new(model.backend().clone(), &checkpoint, false).unwrap()
}

fn a_merged_adapter_is_a_switched_one<B: Backend>(backend: &B, random: &mut Random) {
    for config in configs() {
        let model = model(backend, random, &config, false);
        let adapter = adapter(backend, random, &config);
        let batch = batch(&groups(random, config.vocab_size));
        assert_eq!(token_logps(&reloaded(&model, None), None, &batch), token_logps(&model, None, &batch));
        let merged = token_logps(&reloaded(&model, Some(&adapter)), None, &batch);
        assert_close(&merged, &widened(&token_logps(&model, Some(&adapter), &batch)), LAYOUT, "merged");
    }
}

fn a_copy_of_an_adapter_is_apart<B: Backend>(backend: &B, random: &mut Random) {
    let [config, _] = configs();
    let original = adapter(backend, random, &config);
    let before = block_on(original.to_peft(backend, "base")).unwrap();
    let mut copy = original.duplicate(backend);
    assert_eq!(block_on(copy.to_peft(backend, "base")).unwrap(), before);
    for (_, buffer) in copy.parameters_mut() {
        let buffer = buffer.unwrap();
        *buffer = backend.zeros(backend.len(buffer));
    }
    assert_ne!(block_on(copy.to_peft(backend, "base")).unwrap(), before);
    assert_eq!(block_on(original.to_peft(backend, "base")).unwrap(), before);
}

fn stored_is_unpacked<B: Backend>(backend: &B, random: &mut Random) {
    // Rows of whole Q8_0 blocks everywhere: attention of 4 heads of 16, an MLP of 192.
    let config = LlamaConfig { intermediate_size: 192, ..configs()[0].clone() };
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::Q8_0, Dtype::Q4_1] {
        let mut stored = checkpoint(random, &config, Dtype::F32);
        for tensor in stored.tensors.values_mut().filter(|tensor| tensor.shape.len() == 2) {
            *tensor = random.tensor(dtype, tensor.shape[0], tensor.shape[1]);
        }
        let [packed, dense] = [false, true].map(|trainable| Llama::new(backend.clone(), &stored, trainable).unwrap());
        let (batch, adapter) = (batch(&groups(random, config.vocab_size)), adapter(backend, random, &config));
        let [got, expected] = [&packed, &dense].map(|model| token_logps(model, Some(&adapter), &batch));
        // Random blocks make logits that are large, and logps with them: compare like with like.
        assert_close(&got, &widened(&expected), LAYOUT, &format!("{dtype:?}"));
    }
}

fn logps_are_a_log_softmax<B: Backend>(backend: &B, random: &mut Random) {
    for config in configs() {
        let (model, adapter) = (model(backend, random, &config, false), adapter(backend, random, &config));
        let prompt = random.ids(20, config.vocab_size);
        let logps = next_logps(&model, None, &prompt);
        let total = total_probability(&logps);
        assert!((total - 1.0).abs() <= LAYOUT, "probabilities sum to {total}");
        let logits = widened(&block_on(model.last_logits(&prompt)).unwrap());
        let lse = super::oracle::log_sum_exp(&logits);
        assert_close(&logps, &logits.iter().map(|logit| logit - lse).collect::<Vec<_>>(), LAYOUT, "logits");
        let total = total_probability(&next_logps(&model, Some(&adapter), &prompt));
        assert!((total - 1.0).abs() <= LAYOUT, "with an adapter, probabilities sum to {total}");
    }
}

fn total_probability(logps: &[f32]) -> f64 {
    logps.iter().map(|&logp| f64::from(logp).exp()).sum()
}
