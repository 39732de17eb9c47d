//! Folders written by hand, and everything that can be wrong with one.

use super::*;
use crate::generate::Finish;

const TOKENIZER_JSON: &str = r#"{"version": "1.0", "added_tokens": [
    {"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
    {"id": 1, "content": "</s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "vocab": {"<s>": 0, "</s>": 1, "a": 2, "b": 3, "ab": 4}, "merges": ["a b"]}}"#;

fn config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 6,
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 4,
        max_position_embeddings: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: Some(RopeScaling::Linear { factor: 2.0 }),
        tie_word_embeddings: false,
    }
}

/// A whole folder, as [`config_json`], [`Checkpoint::to_safetensors`] and a tokenizer's author write it.
fn folder(dtype: Dtype) -> Files {
    let checkpoint = Checkpoint::from_fn(config(), Dtype::F32, |name, values| values.fill(name.len() as f32)).unwrap();
    let tokenizer_config = r#"{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "add_bos_token": true,
        "chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "{{ messages[0].content }}"}]}"#;
    [
        (CONFIG, config_json(&config(), dtype, None).into_bytes()),
        (WEIGHTS, checkpoint.to_safetensors(dtype).unwrap()),
        (TOKENIZER, TOKENIZER_JSON.into()),
        (TOKENIZER_CONFIG, tokenizer_config.into()),
        (GENERATION, br#"{"eos_token_id": [5, 1]}"#.to_vec()),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}

fn refusal(files: &Files) -> String {
    match load(files) {
        Ok(_) => panic!("a wrong folder was read"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_written_folder_reads_back() {
    for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        let files = folder(dtype);
        assert!(files.keys().all(|name| wanted(name)));
        let (checkpoint, text) = load(&files).unwrap();
        assert_eq!(checkpoint.config, config());
        let head = &checkpoint.tensors["lm_head.weight"];
        assert_eq!((head.dtype, head.to_f32()), (dtype, vec!["lm_head.weight".len() as f32; 48]));
        let text = text.unwrap();
        assert_eq!(text.raw("abb").unwrap(), [0, 4, 3]);
        assert_eq!((text.end_of_turn(), text.stop_tokens()), (1, &[1, 5][..]));
        let said = [crate::text::Message { role: "user".to_owned(), content: "ab".to_owned() }];
        assert_eq!(text.prompt(&said).unwrap(), [4]);
        assert_eq!(text.prompt_and_completion(&said, "a", Finish::Stop).unwrap(), [4, 2, 1]);
    }
}

#[test]
fn no_tokenizer_is_no_text() {
    let mut files = folder(Dtype::F32);
    files.remove(TOKENIZER);
    assert!(load(&files).unwrap().1.is_none());
}

#[test]
fn shards_are_put_together() {
    let mut files = folder(Dtype::F32);
    let whole = files.remove(WEIGHTS).unwrap();
    let parsed = SafeTensors::deserialize(&whole).unwrap();
    let mut map = Map::new();
    for (index, (name, view)) in parsed.tensors().into_iter().enumerate() {
        let file = format!("model-{index:05}-of-00020.safetensors");
        files.insert(file.clone(), safetensors::serialize([(&name, view)], None).unwrap());
        map.insert(name, file.into());
    }
    files.insert(INDEX.to_owned(), json!({"weight_map": map}).to_string().into_bytes());
    assert!(files.keys().all(|name| wanted(name)));
    assert_eq!(load(&files).unwrap().0.tensors.len(), parsed.len());

    files.remove("model-00003-of-00020.safetensors");
    assert!(refusal(&files).contains("\"model-00003-of-00020.safetensors\", which is missing"));
}

#[test]
fn configurations_of_versions_4_and_5_agree() {
    let read = |changes: Value| {
        let mut raw: Map<String, Value> = serde_json::from_str(&config_json(&config(), Dtype::F32, None)).unwrap();
        for key in ["rope_theta", "rope_scaling", "torch_dtype", "head_dim"] {
            raw.remove(key);
        }
        raw.extend(changes.as_object().unwrap().clone());
        configuration(&raw).map_err(|error| error.to_string())
    };
    let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192});
    let mut parameters = llama3.clone();
    parameters["rope_theta"] = json!(500_000.0);
    let old = read(json!({"rope_theta": 500_000, "rope_scaling": llama3, "torch_dtype": "bfloat16"})).unwrap();
    let new = read(json!({"rope_parameters": parameters, "dtype": "bfloat16"})).unwrap();
    assert_eq!(old, new);
    assert_eq!((old.head_dim, old.rope_theta), (4, 500_000.0));
    let older = read(json!({"rope_scaling": {"type": "linear", "factor": 2}})).unwrap();
    assert_eq!((older.rope_scaling, older.rope_theta), (config().rope_scaling, 10_000.0));

    for (change, expected) in [
        (json!({"model_type": "qwen2"}), "config.json: model_type: \"qwen2\""),
        (json!({"attention_bias": true}), "attention_bias"),
        (json!({"mlp_bias": true}), "mlp_bias"),
        (json!({"hidden_act": "gelu"}), "hidden_act: \"gelu\""),
        (json!({"hidden_size": "8"}), "hidden_size: \"8\", expected a whole number"),
        (json!({"hidden_size": -8}), "hidden_size: -8"),
        (json!({"vocab_size": null}), "vocab_size: missing"),
        (json!({"quantization_config": {}}), "quantization_config"),
        (json!({"rope_scaling": {"rope_type": "yarn"}}), "rope_scaling.rope_type: \"yarn\""),
        (json!({"rope_parameters": {"rope_type": "linear"}}), "rope_parameters.factor: missing"),
    ] {
        let message = read(change).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn refusals_name_file_and_field() {
    let with = |name: &str, bytes: &[u8]| {
        let mut files = folder(Dtype::F32);
        files.insert(name.to_owned(), bytes.to_vec());
        refusal(&files)
    };
    assert!(with(CONFIG, b"{").starts_with("config.json: file: "));
    assert!(with(CONFIG, b"[]").contains("expected a JSON object"));
    assert!(with(WEIGHTS, &[0xff; 16]).starts_with("model.safetensors: header: "));
    assert!(with(TOKENIZER, b"{").starts_with("tokenizer.json: file: "));
    assert!(with(GENERATION, br#"{"eos_token_id": "x"}"#).starts_with("generation_config.json: eos_token_id: "));
    assert!(with(GENERATION, br#"{"eos_token_id": 6}"#).contains("embeds only 6"));
    assert!(with(TOKENIZER_CONFIG, br#"{"eos_token": "<end>"}"#).contains("\"<end>\" is not in the vocabulary"));
    assert!(with(CHAT_TEMPLATE, b"{% for %}").contains("chat_template"));
    let empty = Files::new();
    assert!(refusal(&empty).starts_with("config.json: file: missing"));

    let (wide, data) =
        (json!({"lm_head.weight": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}).to_string(), [0; 8]);
    let file = [&(wide.len() as u64).to_le_bytes()[..], wide.as_bytes(), &data].concat();
    assert!(with(WEIGHTS, &file).contains("lm_head.weight: element type F64"));
}

#[test]
fn what_tokenizers_would_panic_on_is_refused() {
    let with = |key: &str, value: Value| {
        let mut json: Value = serde_json::from_str(TOKENIZER_JSON).unwrap();
        json[key] = value;
        let mut files = folder(Dtype::F32);
        files.insert(TOKENIZER.to_owned(), json.to_string().into_bytes());
        refusal(&files)
    };
    let model = |changes: Value| {
        let mut model = json!({"type": "BPE", "vocab": {"<s>": 0, "</s>": 1, "a": 2}, "merges": []});
        model.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        with("model", model)
    };
    assert!(model(json!({"type": "Unigram"})).contains("model.type: \"Unigram\""));
    assert!(model(json!({"continuing_subword_prefix": "##"})).contains("continuing_subword_prefix"));
    assert!(model(json!({"dropout": 0.1})).contains("dropout: 0.1"));
    assert!(model(json!({"vocab": {"a": u32::MAX}})).contains("embeds only 6"));
    assert!(with("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": 1})).contains("normalizer"));
    assert!(
        with("decoder", json!({"type": "Strip", "content": " ", "start": 0, "stop": 1})).contains("decoder.stop: 1")
    );
    let template =
        |single: Value| json!({"type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": {}});
    let token = json!([{"SpecialToken": {"id": "<s>", "type_id": 0}}]);
    assert!(with("post_processor", template(token)).contains("\"<s>\", whose ids"));
    let second = json!([{"Sequence": {"id": "B", "type_id": 0}}]);
    assert!(with("post_processor", template(second)).contains("names a second"));
    let twice = json!({"type": "Sequence", "processors": [template(json!([])), template(json!([]))]});
    assert!(with("post_processor", twice).contains("more than one"));
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let files = folder(Dtype::BF16);
    for name in [CONFIG, WEIGHTS, TOKENIZER] {
        for len in 0..files[name].trim_ascii_end().len() {
            let mut short = files.clone();
            short.insert(name.to_owned(), files[name][..len].to_vec());
            assert!(refusal(&short).starts_with(name), "{name} at {len}");
        }
    }
}
