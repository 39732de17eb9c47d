//! Requests that cannot be served, and files that are not what they should be: each is one line that names the fault.

use cream_core::Sampling;
use pollster::block_on;
use safetensors::tensor::{Dtype as FileDtype, TensorView};
use serde_json::{Value, json};

use super::models::{accumulate, adapter, checkpoint, config, model};
use super::random::{Random, rounds};
use crate::{
    AdamW, Adapter, Batch, Cpu, Dtype, GenerateOptions, Group, Llama, LlamaConfig, LoraConfig, Request, Result,
    Trained, Trainer,
};

fn assert_refused<T>(result: Result<T>, parts: &[&str]) {
    let message = result.err().unwrap_or_else(|| panic!("accepted, expected an error with {parts:?}")).to_string();
    assert!(
        parts.iter().all(|part| message.contains(part)) && !message.contains('\n'),
        "{message:?}: expected {parts:?}"
    );
}

fn random() -> Random {
    rounds().next().unwrap()
}

#[test]
fn batches() {
    let batch = |prompt: &[u32], completions: &[&[u32]]| {
        let good = Group { prompt: vec![1], completions: vec![vec![2]] };
        let completions = completions.iter().map(|c| c.to_vec()).collect();
        Batch::new(&[good, Group { prompt: prompt.to_vec(), completions }], 320)
    };
    assert!(batch(&[319], &[&[319]]).is_ok());
    assert_refused(batch(&[], &[&[1]]), &["group 1", "empty"]);
    assert_refused(batch(&[1], &[]), &["group 1", "no completion"]);
    assert_refused(batch(&[1], &[&[1], &[]]), &["group 1", "empty"]);
    assert_refused(batch(&[1, 320], &[&[1]]), &["group 1", "320", "below 320"]);
    assert_refused(batch(&[1], &[&[1], &[2, u32::MAX]]), &["group 1", "4294967295", "below 320"]);
}

#[test]
fn generation() {
    let model = model(&Cpu::new(), &mut random(), &config(), false);
    let good =
        GenerateOptions { max_new_tokens: 4, sampling: Sampling::default(), seed: 0, stop_tokens: vec![], slots: 2 };
    let generate = |prompt: &[u32], options: &GenerateOptions| {
        let requests = [vec![1], prompt.to_vec()].map(|prompt| Request {
            id: format!("p{}", prompt.len()),
            prompt,
            completions: 1,
        });
        block_on(model.generate(None, &requests, options, |_| crate::Result::Ok(())))
    };
    assert!(generate(&[1, 2], &good).is_ok());
    assert_refused(generate(&[], &good), &["p0", "no tokens"]);
    assert_refused(generate(&[1, 320], &good), &["p2", "320", "below 320"]);
    assert_refused(generate(&[1; 253], &good), &["p253", "253", "4", "256"]);
    assert_refused(generate(&[1, 2], &GenerateOptions { slots: 0, ..good.clone() }), &["slots", "0"]);
    for (sampling, field) in [
        (Sampling { temperature: -1.0, ..good.sampling }, "temperature"),
        (Sampling { temperature: f32::NAN, ..good.sampling }, "temperature"),
        (Sampling { top_p: 0.0, ..good.sampling }, "top_p"),
        (Sampling { min_p: 2.0, ..good.sampling }, "min_p"),
        (Sampling { repetition_penalty: 0.0, ..good.sampling }, "repetition_penalty"),
    ] {
        assert_refused(generate(&[1, 2], &GenerateOptions { sampling, ..good.clone() }), &[field]);
    }
}

#[test]
fn nothing_to_generate_is_nothing() {
    let model = model(&Cpu::new(), &mut random(), &config(), false);
    let generate = |max_new_tokens: usize, requests: &[Request]| {
        let sampling = Sampling::default();
        let options = GenerateOptions { max_new_tokens, sampling, seed: 0, stop_tokens: vec![], slots: 2 };
        block_on(model.generate(None, requests, &options, |made| -> crate::Result<()> { panic!("{made:?}") })).unwrap();
    };
    let request = |completions: usize| Request { id: "p".into(), prompt: vec![1], completions };
    generate(4, &[]);
    generate(4, &[request(0), request(0)]);
    generate(0, &[request(1)]);
}

#[test]
fn adapters() {
    let new = |config: LoraConfig| Adapter::new(&Cpu::new(), &super::models::config(), config, 0);
    let good = LoraConfig::default();
    assert_refused(new(LoraConfig { r: 0, ..good.clone() }), &["r is 0"]);
    assert_refused(new(LoraConfig { r: 5000, ..good.clone() }), &["r is 5000"]);
    assert_refused(new(LoraConfig { target_modules: vec![], ..good.clone() }), &["target_modules"]);
    for lora_alpha in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_refused(new(LoraConfig { lora_alpha, ..good.clone() }), &["lora_alpha"]);
    }
}

#[test]
fn peft_folders() {
    let (backend, config) = (Cpu::new(), config());
    let adapter = adapter(&backend, &mut random(), &config);
    let (settings, weights) = block_on(adapter.to_peft(&backend, "base")).unwrap();
    let settings: Value = serde_json::from_str(&settings).unwrap();
    let read = |changes: Value, weights: &[u8]| {
        let mut settings = settings.clone();
        settings.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        Adapter::from_peft(&backend, &config, settings.to_string().as_bytes(), weights)
    };
    // What PEFT writes beside that and what changes nothing.
    assert!(read(json!({ "lora_dropout": 0.1, "init_lora_weights": true, "rank_pattern": {} }), &weights).is_ok());
    for (field, value) in [
        ("peft_type", json!("IA3")),
        ("use_dora", json!(true)),
        ("bias", json!("all")),
        ("layers_to_transform", json!([0])),
        ("modules_to_save", json!(["lm_head"])),
        ("rank_pattern", json!({ "q_proj": 5 })),
        ("alpha_pattern", json!({ "q_proj": 4 })),
    ] {
        assert_refused(read(json!({ field: value }), &weights), &["adapter_config.json", field]);
    }
    assert_refused(read(json!({ "r": 0 }), &weights), &["adapter_config.json", "r is 0"]);
    assert_refused(read(json!({ "target_modules": ["lm_head"] }), &weights), &["adapter_config.json", "lm_head"]);
    let shapes = [adapter.config().r, 5].map(|r| format!("[{r}, 64]"));
    let expected = ["adapter_model.safetensors", "q_proj", &shapes[0], &shapes[1]];
    assert_refused(read(json!({ "r": 5 }), &weights), &expected);
    assert_refused(read(json!({}), &weights[..weights.len() / 2]), &["adapter_model.safetensors", "header"]);
    let read = |settings: &[u8], weights: &[u8]| Adapter::from_peft(&backend, &config, settings, weights);
    assert_refused(read(b"{", &weights), &["adapter_config.json"]);
    let settings = settings.to_string();
    let empty = safetensors::serialize(Vec::<(String, TensorView<'_>)>::new(), None).unwrap();
    assert_refused(read(settings.as_bytes(), &empty), &["adapter_model.safetensors", "q_proj"]);
    for field in ["r", "lora_alpha", "target_modules"] {
        let mut missing: Value = serde_json::from_str(&settings).unwrap();
        missing.as_object_mut().unwrap().remove(field);
        let missing = missing.to_string();
        assert_refused(read(missing.as_bytes(), &weights), &["adapter_config.json", field, "missing"]);
    }
    // An adapter of a deeper model.
    let shallow = LlamaConfig { num_hidden_layers: config.num_hidden_layers - 1, ..config.clone() };
    let refused = Adapter::from_peft(&backend, &shallow, settings.as_bytes(), &weights);
    assert_refused(refused, &["adapter_model.safetensors", "layers.1."]);
    // As many bytes, of another type.
    let file = safetensors::SafeTensors::deserialize(&weights).unwrap();
    let retyped = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, TensorView::new(FileDtype::I32, view.shape().to_vec(), view.data()).unwrap()));
    let retyped = safetensors::serialize(retyped.collect::<Vec<_>>(), None).unwrap();
    assert_refused(read(settings.as_bytes(), &retyped), &["adapter_model.safetensors", "I32"]);
}

#[test]
fn training_states() {
    let (backend, random, config) = (Cpu::new(), &mut random(), config());
    let mut model = model(&backend, random, &config, true);
    let mut adapter = adapter(&backend, random, &config);
    let mut trainer = Trainer::new(&model, Some(&adapter), AdamW::default(), false);
    let state = block_on(trainer.state(Trained::new(&mut model, Some(&mut adapter)))).unwrap();
    let mut restore = |state: &[u8]| trainer.restore(Trained::new(&mut model, Some(&mut adapter)), state);
    assert!(restore(&state).is_ok());
    for cut in [0, 4, 100, state.len() - 1] {
        assert_refused(restore(&state[..cut]), &["training state", "header"]);
    }
    let file = safetensors::SafeTensors::deserialize(&state).unwrap();
    let no_step = safetensors::serialize(file.tensors(), None).unwrap();
    assert_refused(restore(&no_step), &["training state", "step"]);

    let larger = LoraConfig { r: 4, ..adapter.config().clone() };
    let mut larger = Adapter::new(&backend, &config, larger, 0).unwrap();
    let mut trainer = Trainer::new(&model, Some(&larger), AdamW::default(), false);
    assert_refused(
        trainer.restore(Trained::new(&mut model, Some(&mut larger)), &state),
        &["training state", "q_proj", "[256]"],
    );
    let mut whole = Trainer::new(&model, None, AdamW::default(), false);
    assert_refused(
        whole.restore(Trained::new(&mut model, None), &state),
        &["training state", "model.embed_tokens.weight"],
    );
}

#[test]
fn packed_weights_are_not_trained() {
    let stored = checkpoint(&mut random(), &config(), Dtype::BF16);
    let mut model = Llama::new(Cpu::new(), &stored, false).unwrap();
    let mut trainer = Trainer::new(&model, None, AdamW::default(), false);
    let batch = Batch::new(&[Group { prompt: vec![1], completions: vec![vec![2]] }], config().vocab_size).unwrap();
    accumulate(&mut trainer, &model, None, &batch, &[1.0]);
    assert_refused(
        block_on(trainer.update(Trained::new(&mut model, None), 1e-3)),
        &["model.embed_tokens.weight", "packed"],
    );
    assert_refused(block_on(trainer.state(Trained::new(&mut model, None))), &["model.embed_tokens.weight", "packed"]);
}

#[test]
fn a_step_needs_a_batch() {
    let stored = checkpoint(&mut random(), &config(), Dtype::F32);
    let mut model = Llama::new(Cpu::new(), &stored, true).unwrap();
    let mut trainer = Trainer::new(&model, None, AdamW::default(), false);
    assert_refused(block_on(trainer.update(Trained::new(&mut model, None), 1e-3)), &["batch"]);
    assert_eq!(trainer.step(), 0);
}

#[test]
fn random_models() {
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        let model = Llama::random(Cpu::new(), config(), dtype, 1).unwrap();
        let logps = super::models::next_logps(&model, None, &[1, 2, 3]);
        assert!(logps.iter().all(|logp| logp.is_finite()), "{dtype:?}");
    }
    assert_refused(Llama::random(Cpu::new(), config(), Dtype::Q8_0, 1), &["Q8_0", "F32, F16 or BF16"]);
    let odd = LlamaConfig { head_dim: 15, ..config() };
    assert_refused(Llama::random(Cpu::new(), odd, Dtype::F32, 1), &["head_dim", "15"]);
}
