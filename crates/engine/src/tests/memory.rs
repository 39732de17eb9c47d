//! Memory plans against what the backends' pools take.

use pollster::block_on;

use super::models::{accumulate, adapter, batch, groups, model};
use super::random::{Random, rounds};
use crate::tolerances::PLAN;
use crate::{AdamW, Adapter, Backend, Batch, Cpu, GenerateOptions, Llama, LlamaConfig, MemoryPlan, Request, Trainer};

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
    let plan = MemoryPlan::score(&model, Some(&adapter), &batch).unwrap();
    block_on(model.token_logps(Some(&adapter), &batch)).unwrap();
    assert_planned(backend, &plan, "score");
}

fn train<B: Backend>(backend: &B, random: &mut Random, full: bool, recompute: bool) {
    let mut model: Llama<B> = model(backend, random, &config(), full);
    let mut adapter: Option<Adapter<B>> = (!full).then(|| adapter(backend, random, &config()));
    let batch = rows(random);
    let plan = MemoryPlan::train(&model, adapter.as_ref(), &batch, recompute).unwrap();
    let mut trainer = Trainer::new(&model, adapter.as_ref(), AdamW::default(), recompute);
    for _ in 0..2 {
        let d = vec![1.0; batch.completion_lens.len()];
        accumulate(&mut trainer, &model, adapter.as_ref(), &batch, &d);
        block_on(trainer.update(&mut model, adapter.as_mut(), 1e-3)).unwrap();
    }
    assert_planned(backend, &plan, &format!("train, full {full}, recompute {recompute}"));
}

fn generate<B: Backend>(backend: &B, random: &mut Random) {
    let model = model(backend, random, &config(), false);
    let request = |i: usize| Request { id: i.to_string(), prompt: random.ids(10 + 5 * i, 320), completions: 3 };
    let requests: Vec<Request> = (0..12).map(request).collect();
    let sampling = cream_core::Sampling { repetition_penalty: 1.2, ..Default::default() };
    let options = GenerateOptions { max_new_tokens: 100, sampling, seed: 1, stop_tokens: vec![], slots: 16 };
    let plan = MemoryPlan::generate(&model, None, &requests, &options).unwrap();
    block_on(model.generate(None, &requests, &options, |_| {})).unwrap();
    assert_planned(backend, &plan, "generate");
}

/// On a backend of its own each, whose pool nothing else fills.
fn check<B: Backend>(fresh: impl Fn() -> B) {
    for mut random in rounds().take(1) {
        score(&fresh(), &mut random);
        generate(&fresh(), &mut random);
        for (full, recompute) in [(false, false), (false, true), (true, false), (true, true)] {
            train(&fresh(), &mut random, full, recompute);
        }
    }
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

#[test]
fn weights_are_planned_from_the_file() {
    let random = &mut rounds().next().unwrap();
    for (dtype, trainable) in [(crate::Dtype::F32, false), (crate::Dtype::F16, false), (crate::Dtype::F16, true)] {
        let checkpoint = super::models::checkpoint(random, &config(), dtype);
        let model = Llama::new(Cpu::new(), &checkpoint, trainable).unwrap();
        assert_eq!(MemoryPlan::load(&checkpoint, trainable).bytes(), model.bytes());
    }
}

#[test]
fn recomputation_takes_less() {
    let random = &mut rounds().next().unwrap();
    let (model, batch) = (model(&Cpu::new(), random, &config(), true), rows(random));
    let [kept, recomputed] =
        [false, true].map(|recompute| MemoryPlan::train(&model, None, &batch, recompute).unwrap().bytes());
    assert!(recomputed < kept, "{recomputed} and {kept}");
}
