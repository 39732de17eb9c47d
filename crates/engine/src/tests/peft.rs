//! Adapters that PEFT wrote: which settings change them, as PEFT itself has it, and what their tensors are called.

use pollster::block_on;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::golden_file;
use super::models::config;
use crate::adapter::Factor;
use crate::{Adapter, Cpu, Linear, LoraConfig, Result};

/// tests/golden/peft.json, made by make_peft.py.
#[derive(Deserialize)]
struct Golden {
    written: Map<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    changes: Map<String, Value>,
    outcome: Outcome,
}

/// What PEFT makes of an adapter whose settings were changed.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// The same addition to the base.
    Same,
    /// The addition of alpha / sqrt(r).
    Scaled,
    Different,
    Error,
}

/// What PEFT computes the same only because the file is not what the setting announces: its base was changed before it
/// was trained, or tensors that it would have are missing.
const REFUSED_THOUGH_SAME: [&str; 10] = [
    r#"{"init_lora_weights":"lora_ga","lora_ga_config":{}}"#,
    r#"{"lora_bias":true}"#,
    r#"{"fan_in_fan_out":true}"#,
    r#"{"use_qalora":true}"#,
    r#"{"bias":"all"}"#,
    r#"{"bias":"lora_only"}"#,
    r#"{"monteclora_config":{}}"#,
    r#"{"target_modules":["q_proj","v_proj","lm_head"]}"#,
    r#"{"target_modules":["q_proj","v_proj","embed_tokens"]}"#,
    r#"{"target_modules":"all-linear"}"#,
];

/// Where PEFT finds no module, and other programs mean all.
const ALL_LAYERS: &str = r#"{"layers_to_transform":-1}"#;

fn golden() -> Golden {
    serde_json::from_slice(&golden_file("peft.json")).unwrap()
}

fn factors() -> Vec<u8> {
    let (target_modules, r, lora_alpha) = (vec![Linear::QProj, Linear::VProj], 8, 16.0);
    let value = |factor: &Factor| (0..factor.shape[0] * factor.shape[1]).map(|i| i as f32).collect();
    let adapter =
        Adapter::from_fn(&Cpu::new(), &config(), LoraConfig { r, lora_alpha, target_modules }, value).unwrap();
    block_on(adapter.to_peft(&Cpu::new(), "base")).unwrap().1
}

fn read(settings: &Map<String, Value>, weights: &[u8]) -> Result<Adapter<Cpu>> {
    Adapter::from_peft(&Cpu::new(), &config(), json!(settings).to_string().as_bytes(), weights)
}

fn refusal(settings: &Map<String, Value>, weights: &[u8], what: &str) -> String {
    read(settings, weights).err().unwrap_or_else(|| panic!("{what} was read")).to_string()
}

fn with(changes: Value) -> Map<String, Value> {
    let mut settings = golden().written;
    settings.extend(changes.as_object().unwrap().clone());
    settings
}

#[test]
fn settings_mean_what_they_mean_to_peft_or_are_refused_by_name() {
    let Golden { written, cases } = golden();
    let weights = factors();
    assert_eq!(cases.len(), 81);
    for Case { changes, outcome } in cases {
        let mut settings = written.clone();
        settings.extend(changes.clone());
        let text = json!(changes).to_string();
        let scale = match outcome {
            Outcome::Same if !REFUSED_THOUGH_SAME.contains(&text.as_str()) => 16.0 / 8.0,
            Outcome::Error if text == ALL_LAYERS => 16.0 / 8.0,
            Outcome::Scaled => 16.0 / 8_f32.sqrt(),
            _ => {
                let message = refusal(&settings, &weights, &text);
                let is_named = changes.keys().any(|key| message.starts_with(&format!("adapter_config.json: {key}: ")));
                // Modules that the settings leave out or add, beside the factors that are there.
                let of_modules = [
                    "adapter_config.json: target_modules: ",
                    "adapter_model.safetensors: base_model.model.model.layers.",
                ];
                let is_told = of_modules.iter().any(|start| message.starts_with(start));
                assert!(is_named || is_told && text.contains("_modules"), "{text}: {message}");
                assert_eq!(message.lines().count(), 1, "{message}");
                continue;
            }
        };
        let adapter = read(&settings, &weights).unwrap_or_else(|error| panic!("{text}: {error}"));
        let found = adapter.get(1, Linear::VProj).unwrap().scale;
        assert!((found - scale).abs() <= f32::EPSILON * scale, "{text}: {found}, expected {scale}");
        assert_eq!(block_on(adapter.to_peft(&Cpu::new(), "base")).unwrap().1, weights, "{text}");
    }
}

#[test]
fn settings_that_peft_does_not_have_yet() {
    let weights = factors();
    for neutral in [json!(null), json!(false), json!([]), json!({}), json!("none"), json!(""), json!(-1)] {
        assert!(read(&with(json!({ "lora_of_tomorrow": neutral })), &weights).is_ok(), "{neutral}");
    }
    for set in [json!(true), json!([1]), json!({"a": 1}), json!("all"), json!(2)] {
        let message = refusal(&with(json!({ "lora_of_tomorrow": set })), &weights, "");
        assert_eq!(
            message,
            format!("adapter_config.json: lora_of_tomorrow: {set}, expected none: only plain LoRA is supported")
        );
    }
}

#[test]
fn neutral_values_are_neutral() {
    let weights = factors();
    for key in
        ["layers_to_transform", "modules_to_save", "exclude_modules", "alora_invocation_tokens", "target_parameters"]
    {
        for neutral in [json!(null), json!([])] {
            assert!(read(&with(json!({ key: neutral })), &weights).is_ok(), "{key} {neutral}");
        }
    }
    for (key, neutral) in [
        ("layers_to_transform", json!(-1)),
        ("rank_pattern", json!(null)),
        ("alpha_pattern", json!(null)),
        ("bias", json!(null)),
        ("lora_dropout", json!(null)),
        ("loftq_config", json!(null)),
        ("init_lora_weights", json!(null)),
        ("use_dora", json!(null)),
        ("use_rslora", json!(null)),
        ("lora_alpha", json!(16.0)),
    ] {
        assert!(read(&with(json!({ key: neutral })), &weights).is_ok(), "{key} {neutral}");
    }
    for (key, wrong) in [
        ("lora_dropout", json!("a")),
        ("lora_dropout", json!(1)),
        ("r", json!(-8)),
        ("r", json!("8")),
        ("lora_alpha", json!("16")),
        ("target_modules", json!([1])),
        ("target_modules", json!({})),
        ("target_modules", json!("(")),
        ("target_modules", json!(r"((([a-z._0-9]+)+)+)+\1!")),
        ("layers_to_transform", json!("all")),
        ("rank_pattern", json!([8])),
        ("peft_type", json!("LOHA")),
    ] {
        let message = refusal(&with(json!({ key: wrong })), &weights, "");
        assert!(message.starts_with(&format!("adapter_config.json: {key}: {wrong}")), "{message}");
    }
}

/// The same tensors, and others, under other names.
fn renamed(weights: &[u8], name: impl Fn(&str) -> String, others: &[&str]) -> Vec<u8> {
    let file = SafeTensors::deserialize(weights).unwrap();
    let zero = TensorView::new(safetensors::Dtype::F64, vec![1], &[0; 8]).unwrap();
    let own = file.tensors().into_iter().map(|(stored, view)| (name(&stored), view));
    let others = others.iter().map(|&other| (other.to_owned(), zero.clone()));
    safetensors::serialize(own.chain(others).collect::<Vec<_>>(), None).unwrap()
}

#[test]
fn factors_go_by_several_names() {
    let (weights, settings) = (factors(), with(json!({})));
    let bare = |name: &str| name.replace("base_model.model.", "");
    for name in [
        |name: &str| name.replace("A.weight", "A.default.weight").replace("B.weight", "B.default.weight"),
        |name: &str| name.replace("A.weight", "A.my.own.weight").replace("B.weight", "B.my.own.weight"),
        |name: &str| name.replace("base_model.model.", ""),
        |name: &str| name.replace("base_model.model.model.", "base_model.model."),
    ] {
        let adapter = read(&settings, &renamed(&weights, name, &[])).unwrap();
        assert_eq!(block_on(adapter.to_peft(&Cpu::new(), "base")).unwrap().1, weights);
    }
    let harmless = ["base_model.model.model.layers.0.self_attn.rotary_emb.inv_freq"];
    assert!(read(&settings, &renamed(&weights, str::to_owned, &harmless)).is_ok());

    let q = "model.layers.0.self_attn.q_proj";
    for other in [
        &format!("base_model.model.{q}.lora_B.bias"),
        &format!("base_model.model.{q}.lora_magnitude_vector"),
        &format!("base_model.model.{q}.lora_E"),
        "base_model.model.model.layers.0.self_attn.k_proj.lora_A.weight",
        "base_model.model.model.layers.2.self_attn.q_proj.lora_A.weight",
        "base_model.model.model.embed_tokens.lora_embedding_A",
        "base_model.model.model.embed_tokens.weight",
        "base_model.model.lm_head.weight",
        "base_model.model.lm_head.modules_to_save.weight",
    ] {
        let message = refusal(&settings, &renamed(&weights, str::to_owned, &[other]), "");
        assert!(message.starts_with(&format!("adapter_model.safetensors: {other}: ")), "{message}");
    }
    let twice = renamed(&weights, bare, &[&format!("{q}.lora_A.default.weight")]);
    let message = refusal(&settings, &twice, "");
    assert!(message.contains("the same factor as"), "{message}");
}

#[test]
fn a_file_that_is_no_adapter_is_named() {
    let settings = with(json!({}));
    for (bytes, what) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"[..], "git lfs pull"),
        (b"PK\x03\x04rest of an archive", "save_pretrained"),
        (b"GGUF\x03\0\0\0", "a GGUF file"),
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "a web page"),
    ] {
        let message = refusal(&settings, bytes, what);
        assert!(message.starts_with("adapter_model.safetensors: ") && message.contains(what), "{message}");
        let result = Adapter::from_peft(&Cpu::new(), &config(), bytes, &factors());
        let message = result.err().unwrap_or_else(|| panic!("{what} was read")).to_string();
        assert!(message.starts_with("adapter_config.json: ") && message.contains(what), "{message}");
    }
}

#[test]
fn dropout_is_told_of() {
    let weights = factors();
    assert_eq!(read(&with(json!({ "lora_dropout": 0.25 })), &weights).unwrap().dropout(), 0.25);
    assert_eq!(read(&with(json!({})), &weights).unwrap().dropout(), 0.0);
}
