//! What a training run keeps and what it hands out: its state, its schedule, its adapter.

use pollster::block_on;

use super::models::{accumulate, adapter, batch, config, configs, groups, model};
use super::random::Random;
use super::{norm, widened};
use crate::tolerances::{RANKS, SCHEDULE};
use crate::{AdamW, Adapter, Backend, Batch, Linear, Llama, LoraConfig, Schedule, Trained, Trainer};

on_each_backend!(whole_models: a_restored_run_goes_on_bit_for_bit, a_norm_that_is_not_finite_is_no_step, norms_are_not_decayed,
    peft_round_trip, halves_of_a_batch_on_two_ranks);

fn train<B: Backend>(
    trainer: &mut Trainer<B>,
    model: &mut Llama<B>,
    mut adapter: Option<&mut Adapter<B>>,
    batches: &[(Batch, Vec<f64>)],
) -> Vec<u8> {
    for (batch, d) in batches {
        accumulate(trainer, model, adapter.as_deref(), batch, d);
        block_on(trainer.update(Trained::new(model, adapter.as_deref_mut()), 1e-2)).unwrap();
    }
    block_on(trainer.state(Trained::new(model, adapter))).unwrap()
}

/// Two trainers on half of the groups each, whose gradients are summed, go on as one on all of them.
fn halves_of_a_batch_on_two_ranks<B: Backend>(backend: &B, random: &mut Random) {
    let config = config();
    let mut all = groups(random, config.vocab_size);
    all.extend(groups(random, config.vocab_size));
    let (left, right) = all.split_at(all.len() / 2);
    let [left, right, whole] = [left, right, &all].map(batch);
    let d = widened(&random.normals(whole.completion_lens.len(), 1.0));
    let halves = [(&left, &d[..left.completion_lens.len()]), (&right, &d[left.completion_lens.len()..])];
    let weights = random.below(1 << 20);
    for adapted in [false, true] {
        // Of each rank, and of the one that has it all.
        let rank = || {
            let random = &mut Random::seeded(weights as u64);
            let model = model(backend, random, &config, true);
            let adapter = adapted.then(|| adapter(backend, random, &config));
            let trainer = Trainer::new(&model, adapter.as_ref(), AdamW::default(), false);
            (model, adapter, trainer)
        };
        let (mut ranks, (mut model, mut adapter, mut one)) = ([rank(), rank(), rank()], rank());
        accumulate(&mut one, &model, adapter.as_ref(), &whole, &d);
        let expected = block_on(one.read_gradients(&model, adapter.as_ref())).unwrap();

        // The third has no batch for this step.
        let mut summed = vec![0.0; expected.len()];
        for (i, (model, adapter, trainer)) in ranks.iter_mut().enumerate() {
            if let Some((batch, d)) = halves.get(i) {
                accumulate(trainer, model, adapter.as_ref(), batch, d);
            }
            let own = block_on(trainer.read_gradients(model, adapter.as_ref())).unwrap();
            summed.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        }
        let off = norm(summed.iter().zip(&expected).map(|(&sum, &one)| f64::from(sum) - f64::from(one)));
        let size = norm(widened(&expected));
        assert!(off <= RANKS * size, "adapted {adapted}: off by {off:e} of {size:e}");

        let mut states = Vec::new();
        for (model, adapter, trainer) in &mut ranks {
            trainer.replace_gradients(model, adapter.as_ref(), &summed).unwrap();
            let norm = block_on(trainer.update(Trained::new(model, adapter.as_mut()), 1e-2)).unwrap();
            states.push((norm, block_on(trainer.state(Trained::new(model, adapter.as_mut()))).unwrap()));
        }
        assert!(states.iter().all(|state| *state == states[0]), "adapted {adapted}: the ranks differ");
        // And what they have is what the one has that is given the sum.
        one.replace_gradients(&model, adapter.as_ref(), &summed).unwrap();
        let norm = block_on(one.update(Trained::new(&mut model, adapter.as_mut()), 1e-2)).unwrap();
        let state = block_on(one.state(Trained::new(&mut model, adapter.as_mut()))).unwrap();
        assert!((norm, state) == states[0], "adapted {adapted}: one differs from many");
        let short = one.replace_gradients(&model, adapter.as_ref(), &summed[1..]);
        assert!(short.unwrap_err().to_string().contains(&format!("expected {}", summed.len())));
    }
}

fn a_restored_run_goes_on_bit_for_bit<B: Backend>(backend: &B, random: &mut Random) {
    for config in configs() {
        let batches = [(); 4].map(|()| {
            let batch = batch(&groups(random, config.vocab_size));
            let d = widened(&random.normals(batch.completion_lens.len(), 1.0));
            (batch, d)
        });
        let mut model = model(backend, random, &config, true);
        let mut adapter = adapter(backend, random, &config);
        for adapted in [false, true] {
            let adapter = &mut adapted.then_some(&mut adapter);
            let trainer =
                |model: &Llama<B>, adapter: Option<&Adapter<B>>| Trainer::new(model, adapter, AdamW::default(), false);
            let mut first = trainer(&model, adapter.as_deref());
            let state = train(&mut first, &mut model, adapter.as_deref_mut(), &batches[..2]);
            let end = train(&mut first, &mut model, adapter.as_deref_mut(), &batches[2..]);
            assert_ne!(state, end);
            // Values have moved on; the state brings them back.
            let mut second = trainer(&model, adapter.as_deref());
            second.restore(Trained::new(&mut model, adapter.as_deref_mut()), &state).unwrap();
            assert_eq!(second.step(), 2);
            assert_eq!(block_on(second.state(Trained::new(&mut model, adapter.as_deref_mut()))).unwrap(), state);
            let again = train(&mut second, &mut model, adapter.as_deref_mut(), &batches[2..]);
            assert!(again == end, "adapted {adapted}");
        }
    }
}

/// Weights, moments and step count stay to the bit, and the next step is what it would have been.
fn a_norm_that_is_not_finite_is_no_step<B: Backend>(backend: &B, random: &mut Random) {
    let config = config();
    let mut model = model(backend, random, &config, true);
    let mut adapter = adapter(backend, random, &config);
    let batch = batch(&groups(random, config.vocab_size));
    let sound = widened(&random.normals(batch.completion_lens.len(), 1.0));
    for (adapted, max_grad_norm) in [(false, 1.0), (true, 0.0), (true, 1.0)] {
        let adapter = &mut adapted.then_some(&mut adapter);
        let options = AdamW { max_grad_norm, ..AdamW::default() };
        let mut trainer = Trainer::new(&model, adapter.as_deref(), options, false);
        let mut step = |d: &[f64]| {
            accumulate(&mut trainer, &model, adapter.as_deref(), &batch, d);
            let norm = block_on(trainer.update(Trained::new(&mut model, adapter.as_deref_mut()), 1e-2)).unwrap();
            (norm, trainer.step(), block_on(trainer.state(Trained::new(&mut model, adapter.as_deref_mut()))).unwrap())
        };
        let (_, _, before) = step(&sound);
        // The last overflows in the norm alone.
        for faulty in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e30] {
            let (mut d, at) = (sound.clone(), random.below(sound.len()));
            d[at] = faulty;
            let (norm, steps, state) = step(&d);
            assert!(!norm.is_finite() && steps == 1, "{faulty}: norm {norm}, {steps} steps");
            assert!(state == before, "{faulty}, adapted {adapted}");
        }
        let (norm, steps, state) = step(&sound);
        assert!(norm.is_finite() && steps == 2 && state != before);
    }
}

/// Of transformers' rule: norms stay where there is no gradient, all else shrinks.
fn norms_are_not_decayed<B: Backend>(backend: &B, random: &mut Random) {
    let (learning_rate, weight_decay) = (0.1, 0.5);
    let decay = 1.0 - learning_rate * weight_decay;
    for config in configs() {
        let mut model = model(backend, random, &config, true);
        let mut adapter = adapter(backend, random, &config);
        let batch = batch(&groups(random, config.vocab_size));
        let still = vec![0.0; batch.completion_lens.len()];
        let options = AdamW { weight_decay, ..AdamW::default() };
        let before = block_on(model.tensors(None)).unwrap();
        let mut trainer = Trainer::new(&model, None, options, false);
        accumulate(&mut trainer, &model, None, &batch, &still);
        block_on(trainer.update(Trained::new(&mut model, None), learning_rate)).unwrap();
        let decayed = |values: &[f32]| values.iter().map(|value| value * decay).collect::<Vec<f32>>();
        for ((name, shape, before), (_, _, after)) in before.iter().zip(block_on(model.tensors(None)).unwrap()) {
            // The norms are the only vectors.
            let expected = if shape.len() == 1 { before.clone() } else { decayed(before) };
            assert!(after == expected, "{name}");
        }
        let values = |adapter: &mut Adapter<B>| -> Vec<Vec<f32>> {
            adapter.parameters_mut().into_iter().map(|(_, buffer)| super::read(backend, buffer.unwrap())).collect()
        };
        let before = values(&mut adapter);
        let mut trainer = Trainer::new(&model, Some(&adapter), options, false);
        accumulate(&mut trainer, &model, Some(&adapter), &batch, &still);
        block_on(trainer.update(Trained::new(&mut model, Some(&mut adapter)), learning_rate)).unwrap();
        assert!(values(&mut adapter).iter().zip(&before).all(|(after, before)| *after == decayed(before)));
    }
}

fn peft_round_trip<B: Backend>(backend: &B, random: &mut Random) {
    for config in configs() {
        let some = LoraConfig { r: 5, lora_alpha: 2.5, target_modules: vec![Linear::QProj, Linear::DownProj] };
        let some = Adapter::new(backend, &config, some, 3).unwrap();
        for adapter in [some, adapter(backend, random, &config)] {
            let (settings, weights) = block_on(adapter.to_peft(backend, "base/model")).unwrap();
            let read = Adapter::from_peft(backend, &config, settings.as_bytes(), &weights).unwrap();
            assert_eq!(read.config(), adapter.config());
            assert_eq!(block_on(read.to_peft(backend, "base/model")).unwrap(), (settings, weights));
            let (model, batch) = (model(backend, random, &config, false), batch(&groups(random, config.vocab_size)));
            let [got, expected] =
                [&read, &adapter].map(|adapter| block_on(model.token_logps(Some(adapter), &batch)).unwrap());
            assert_eq!(got, expected);
        }
    }
}

#[test]
fn a_fresh_adapter_starts_as_peft_starts() {
    let (config, r) = (config(), 16);
    let mut adapter = Adapter::new(&crate::Cpu::new(), &config, LoraConfig { r, ..LoraConfig::default() }, 1).unwrap();
    for (name, buffer) in adapter.parameters_mut() {
        let values: &[f32] = buffer.unwrap();
        if name.contains("lora_B") {
            assert!(values.iter().all(|&value| value == 0.0), "{name}");
            continue;
        }
        // Uniform within ±1/sqrt(D_in): kaiming_uniform_ with a = sqrt(5).
        let bound = 1.0 / ((values.len() / r) as f32).sqrt();
        let (least, most) = values.iter().fold((0f32, 0f32), |(least, most), &v| (least.min(v), most.max(v)));
        assert!(
            -bound <= least && least < -0.9 * bound && 0.9 * bound < most && most <= bound,
            "{name}: {least} {most}"
        );
    }
}

/// transformers 5's get_cosine_schedule_with_warmup, peak 5e-5, read step by step.
#[test]
fn schedule_of_transformers() {
    let golden: [(u32, f32, &[f32]); 3] = [
        (
            10,
            0.2,
            &[
                0.0,
                2.5e-5,
                5e-5,
                4.809_698_8e-5,
                4.267_767e-5,
                3.456_708_6e-5,
                2.5e-5,
                1.543_291_4e-5,
                7.322_330_5e-6,
                1.903_011_7e-6,
            ],
        ),
        (7, 0.1, &[0.0, 5e-5, 4.665_063_5e-5, 3.75e-5, 2.5e-5, 1.25e-5, 3.349_365e-6]),
        (
            20,
            0.0,
            &[
                5e-5,
                4.969_221e-5,
                4.877_641_3e-5,
                4.727_516_3e-5,
                4.522_542_5e-5,
                4.267_767e-5,
                3.969_463e-5,
                3.634_976e-5,
                3.272_542_5e-5,
                2.891_086_2e-5,
                2.5e-5,
                2.108_913_8e-5,
                1.727_457_5e-5,
                1.365_023_8e-5,
                1.030_536_9e-5,
                7.322_330_5e-6,
                4.774_575e-6,
                2.724_836_9e-6,
                1.223_587_1e-6,
                3.077_915e-7,
            ],
        ),
    ];
    for (total_steps, warmup_ratio, expected) in golden {
        let schedule = Schedule { learning_rate: 5e-5, warmup_ratio, total_steps };
        let got: Vec<f32> = (0..total_steps).map(|step| schedule.at(step)).collect();
        super::assert_close(&got, &widened(expected), SCHEDULE, &format!("{schedule:?}"));
    }
    let all_warmup = Schedule { learning_rate: 1.0, warmup_ratio: 1.0, total_steps: 4 };
    assert_eq!([0, 1, 2, 3].map(|step| all_warmup.at(step)), [0.0, 0.25, 0.5, 0.75]);
}
