//! Memory plans against what the backends' pools take.

use pollster::block_on;

use super::models::{accumulate, adapter, batch, groups, model};
use super::random::{Random, rounds};
use crate::tolerances::PLAN;
use crate::{
    AdamW, Adapter, Backend, Batch, Cpu, Dtype, GenerateOptions, Llama, LlamaConfig, MemoryPlan, Outline, Request,
    Trained, Trainer,
};

/// Wide enough that kernels' own small buffers are beside the point.
fn config() -> LlamaConfig {
    LlamaConfig { hidden_size: 128, intermediate_size: 352, num_hidden_layers: 3, ..super::models::config() }
}

fn assert_planned<B: Backend>(backend: &B, plan: &MemoryPlan, what: &str) {
    let (planned, taken) = (plan.bytes() as f64, backend.meter().held() as f64);
    let error = (taken - planned).abs() / taken;
    assert!(error <= PLAN, "{what}: {taken} bytes taken, off by {error:.3} from\n{plan}");
}

fn rows(random: &mut Random) -> Batch {
    let mut all = Vec::new();
    while all.iter().map(crate::Group::rows).sum::<usize>() < 500 {
        all.extend(groups(random, 320));
    }
    batch(&all)
}

fn score<B: Backend>(backend: &B, random: &mut Random) {
    let model = model(backend, random, &config(), false);
    let (adapter, batch) = (adapter(backend, random, &config()), rows(random));
    let plan = MemoryPlan::score(&Outline::of(&model, Some(&adapter)), &batch).unwrap();
    block_on(model.token_logps(Some(&adapter), &batch)).unwrap();
    assert_planned(backend, &plan, "score");
}

fn train<B: Backend>(backend: &B, random: &mut Random, full: bool, recompute: bool) {
    let mut model: Llama<B> = model(backend, random, &config(), full);
    let mut adapter: Option<Adapter<B>> = (!full).then(|| adapter(backend, random, &config()));
    let batch = rows(random);
    let plan = MemoryPlan::train(&Outline::of(&model, adapter.as_ref()), &batch, recompute).unwrap();
    let mut trainer = Trainer::new(&model, adapter.as_ref(), AdamW::default(), recompute);
    for _ in 0..2 {
        let d = vec![1.0; batch.completion_lens.len()];
        accumulate(&mut trainer, &model, adapter.as_ref(), &batch, &d);
        block_on(trainer.update(Trained::new(&mut model, adapter.as_mut()), 1e-3)).unwrap();
    }
    assert_planned(backend, &plan, &format!("train, full {full}, recompute {recompute}"));
}

fn generate<B: Backend>(backend: &B, random: &mut Random) {
    let model = model(backend, random, &config(), false);
    let plan = generated(&model, random);
    assert_planned(backend, &plan, "generate");
}

/// Generates, and returns what was planned of it.
fn generated<B: Backend>(model: &Llama<B>, random: &mut Random) -> MemoryPlan {
    let request = |i: usize| Request { id: i.to_string(), prompt: random.ids(10 + 5 * i, 320), completions: 3 };
    let requests: Vec<Request> = (0..12).map(request).collect();
    let sampling = cream_core::Sampling { repetition_penalty: 1.2, ..Default::default() };
    let options = GenerateOptions { max_new_tokens: 100, sampling, seed: 1, stop_tokens: vec![], slots: 16 };
    block_on(model.generate(None, &requests, &options, |_| crate::Result::<()>::Ok(()))).unwrap();
    MemoryPlan::generate(&Outline::of(model, None), &requests, &options).unwrap()
}

/// On a backend of its own each, whose pool nothing else fills.
fn check<B: Backend>(fresh: impl Fn() -> B) {
    for mut random in rounds().take(1) {
        score(&fresh(), &mut random);
        generate(&fresh(), &mut random);
        for (full, recompute) in [(false, false), (false, true), (true, false), (true, true)] {
            train(&fresh(), &mut random, full, recompute);
        }
        one_stage_after_another(&fresh(), &mut random);
    }
}

/// What one stage leaves free is given back before the next begins.
fn one_stage_after_another<B: Backend>(backend: &B, random: &mut Random) {
    let model = model(backend, random, &config(), false);
    let batch = rows(random);
    let before = backend.meter().held();
    let generated = generated(&model, random);
    backend.trim();
    assert_eq!(backend.meter().held(), before, "nothing but the model is left");
    block_on(model.token_logps(None, &batch)).unwrap();
    let scored = MemoryPlan::score(&Outline::of(&model, None), &batch).unwrap();
    let [larger, sum] = [generated.bytes().max(scored.bytes()), generated.bytes() + scored.bytes() - model.bytes()];
    let peak = backend.meter().peak() as f64;
    assert!(peak <= (1.0 + PLAN) * larger as f64, "{peak} bytes at most, and these stages:\n{generated}\n{scored}");
    assert!(peak < 0.8 * sum as f64, "{peak} bytes at most, and {sum} for both stages at once");
}

#[test]
fn the_cpu_takes_what_was_planned() {
    check(Cpu::new);
}

#[cfg(feature = "gpu")]
#[test]
fn the_gpu_takes_what_was_planned() {
    if crate::gpu::testing::gpu().is_some() {
        check(|| block_on(crate::gpu::Gpu::new(0)).unwrap());
    }
}

fn weights<B: Backend>(fresh: impl Fn() -> B) {
    let random = &mut rounds().next().unwrap();
    for (dtype, trainable) in [(Dtype::F32, false), (Dtype::F16, true)] {
        let backend = fresh();
        let checkpoint = super::models::checkpoint(random, &config(), dtype);
        let planned = Outline::unloaded(&backend, &checkpoint, trainable).weight_bytes();
        let model = Llama::new(backend.clone(), &checkpoint, trainable).unwrap();
        assert_eq!(planned, model.bytes());
        // The rotary frequencies and the ends of cache lines are not worth planning.
        assert!(backend.meter().held() - planned < 2048, "{} bytes held, {planned} planned", backend.meter().held());
    }
}

#[test]
fn weights_are_planned_from_the_file() {
    weights(Cpu::new);
}

#[cfg(feature = "gpu")]
#[test]
fn the_gpu_takes_what_was_planned_for_weights() {
    if crate::gpu::testing::gpu().is_none() {
        return;
    }
    let fresh = || block_on(crate::gpu::Gpu::new(0)).unwrap();
    weights(fresh);
    let random = &mut rounds().next().unwrap();
    let types = [Dtype::F16, Dtype::BF16, Dtype::Q8_0, Dtype::Q4_0, Dtype::Q4_1, Dtype::Q5_0, Dtype::Q5_1];
    let columns = types.map(|dtype| (dtype, if dtype.block_len() == 1 { 301 } else { 320 }));
    for (dtype, cols) in columns.into_iter().chain([Dtype::Q4_K, Dtype::Q5_K, Dtype::Q6_K].map(|dtype| (dtype, 512))) {
        let (gpu, tensor) = (fresh(), random.tensor(dtype, 70, cols));
        let planned = gpu.matrix_bytes(dtype, 70, cols);
        let packed = gpu.pack(&tensor);
        assert_eq!(gpu.meter().held(), planned, "{dtype:?}");
        drop(packed);
    }
}

#[test]
fn recomputation_takes_less() {
    let random = &mut rounds().next().unwrap();
    let (model, batch) = (model(&Cpu::new(), random, &config(), true), rows(random));
    let [kept, recomputed] = [false, true]
        .map(|recompute| MemoryPlan::train(&Outline::of(&model, None), &batch, recompute).unwrap().bytes());
    assert!(recomputed < kept, "{recomputed} and {kept}");
}
