//! What config.json says, and what it must not.

use super::*;

/// What a config.json with these changes says.
fn configured(changes: &Value) -> Result<LlamaConfig, String> {
    let mut raw: Map<String, Value> = serde_json::from_str(&config_json(&config(), Dtype::F32, None)).unwrap();
    raw.extend(changes.as_object().unwrap().clone());
    let files = [(CONFIG.to_owned(), Value::Object(raw).to_string().into_bytes())].into();
    settings(&files).map(|(_, config)| config).map_err(|error| error.to_string())
}

#[test]
fn settings_that_leave_a_llama_as_it_is() {
    for changes in [
        // As the configurations of public models have them.
        json!({"_name_or_path": "a/b", "transformers_version": "4.46.0", "use_cache": false, "pretraining_tp": 2}),
        json!({"attention_dropout": 0.1, "hidden_dropout": 0.1, "attn_pdrop": 0.1, "initializer_range": 0.02}),
        json!({"is_llama_config": true, "rope_interleaved": false, "transformers.js_config": {"kv_cache_dtype": {}}}),
        json!({"bos_token_id": 1, "eos_token_id": [1, 2], "pad_token_id": -1, "unk_token_id": 3, "image_token_id": 4}),
        json!({"unsloth_version": "2025.1", "unsloth_fixed": true, "max_sequence_length": 2048, "torch_dtype": "float16"}),
        json!({"_attn_implementation": "sdpa", "attn_implementation": "eager", "_flash_attn_2_enabled": true, "use_flash_attn": true}),
        json!({"id2label": {"0": "a"}, "num_labels": 1, "temperature": 0.7, "top_p": 0.9, "do_sample": true, "license": "mit"}),
        json!({"architectures": null}),
        json!({"architectures": []}),
        json!({"architectures": ["LLaMAForCausalLM"]}),
        json!({"architectures": ["LlamaModel"]}),
        json!({"auto_map": {"AutoConfig": "configuration_llama.LlamaConfig", "AutoTokenizer": ["a", null]}}),
        json!({"hidden_act": "swish"}),
        json!({"hidden_act": null}),
        json!({"quantization_config": null}),
        json!({"quantization_config": {}}),
        json!({"attention_bias": null, "mlp_bias": null}),
        json!({"head_dim": null}),
        json!({"sliding_window": null}),
        json!({"sliding_window": -1}),
        json!({"sliding_window": 64}),
        json!({"sliding_window": 4, "use_sliding_window": false, "max_window_layers": 1}),
        json!({"layer_types": ["full_attention", "full_attention"]}),
        json!({"layer_types": []}),
        json!({"no_rope_layers": []}),
        json!({"pruned_heads": {}}),
        json!({"partial_rotary_factor": 1.0, "rotary_pct": 1}),
        json!({"embedding_multiplier": 1.0, "residual_multiplier": 1, "logits_scaling": 1.0, "attention_multiplier": 0.5}),
        json!({"final_logit_softcapping": null, "attn_logit_softcapping": 0}),
        json!({"num_local_experts": 0, "num_experts_per_tok": null, "router_aux_loss_coef": 0.001}),
        json!({"use_qk_norm": false, "alibi": false, "attention_out_bias": false, "is_causal": true, "is_decoder": true}),
        json!({"per_layer_config": null, "cross_attention_layers": [], "tie_encoder_decoder": false}),
        json!({"rope_scaling": null, "rope_parameters": null}),
        json!({"rope_scaling": {}, "rope_parameters": {}}),
        json!({"original_max_position_embeddings": 4096}),
    ] {
        let rope_is_set = changes.get("rope_scaling").is_some();
        let expected = LlamaConfig { rope_scaling: config().rope_scaling.filter(|_| !rope_is_set), ..config() };
        assert_eq!(configured(&changes), Ok(expected), "{changes}");
    }
}

#[test]
fn settings_that_change_a_llama_are_refused_by_name() {
    for (key, value) in [
        ("model_type", json!("mistral")),
        ("architectures", json!(["LlamaForSequenceClassification"])),
        ("architectures", json!(["LlamaForCausalLMEagle3"])),
        ("architectures", json!("LlamaForCausalLM")),
        ("auto_map", json!({"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"})),
        ("attention_bias", json!(true)),
        ("mlp_bias", json!(true)),
        ("qkv_bias", json!(true)),
        ("hidden_act", json!("gelu_pytorch_tanh")),
        ("quantization_config", json!({"quant_method": "gptq", "bits": 4})),
        ("quantization", json!({"group_size": 64, "bits": 4})),
        ("compression_config", json!({"format": "int-quantized"})),
        ("sliding_window", json!(32)),
        ("layer_types", json!(["full_attention", "sliding_attention"])),
        ("no_rope_layers", json!([1, 0])),
        ("partial_rotary_factor", json!(0.5)),
        ("rotary_pct", json!(0.25)),
        ("rope_interleaved", json!(true)),
        ("rope_ratio", json!(2)),
        ("embedding_multiplier", json!(12.0)),
        ("residual_multiplier", json!(0.22)),
        ("attention_multiplier", json!(1.0)),
        ("logits_scaling", json!(8.0)),
        ("logit_scale", json!(0.0625)),
        ("scale_emb", json!(12)),
        ("scale_depth", json!(1.4)),
        ("final_logit_softcapping", json!(30.0)),
        ("attn_logit_softcapping", json!(50.0)),
        ("query_pre_attn_scalar", json!(256)),
        ("use_qk_norm", json!(true)),
        ("alibi", json!(true)),
        ("parallel_attn", json!(true)),
        ("use_parallel_residual", json!(true)),
        ("clip_qkv", json!(8.0)),
        ("num_local_experts", json!(8)),
        ("num_experts", json!(8)),
        ("is_causal", json!(false)),
        ("use_rope", json!(false)),
        ("gated_mlp", json!(false)),
        ("use_bidirectional_attention", json!(true)),
        ("is_encoder_decoder", json!(true)),
        ("add_cross_attention", json!(true)),
        ("position_embedding_type", json!("relative_key")),
        ("per_layer_config", json!({"0": {"head_dim": 2}})),
        ("pruned_heads", json!({"0": [1]})),
        ("attn_temperature_tuning", json!(true)),
        ("vision_config", json!({"hidden_size": 8})),
    ] {
        let message = configured(&json!({ key: value })).expect_err(&format!("{key} {value}"));
        assert!(message.starts_with(&format!("config.json: {key}: ")), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn settings_of_which_nothing_is_known_are_told_of() {
    let mut raw: Map<String, Value> = serde_json::from_str(&config_json(&config(), Dtype::F32, None)).unwrap();
    raw.extend(
        json!({"wandb_run": "x", "use_cache": true, "mood": 0.5, "flag_off": false}).as_object().unwrap().clone(),
    );
    let mut files = folder(Dtype::F32);
    files.insert(CONFIG.to_owned(), Value::Object(raw).to_string().into_bytes());
    assert_eq!(unknown_settings(&files).unwrap(), ["mood", "wandb_run"]);
    assert!(load(&files).is_ok());
}

#[test]
fn rotary_settings() {
    let llama3 = |changes: Value| {
        let mut rope = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192});
        rope.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        rope
    };
    let linear = json!({"rope_type": "linear", "factor": 2.0});
    for (changes, factor) in [
        (json!({"rope_scaling": linear, "rope_parameters": {}}), Some(2.0)),
        (json!({"rope_scaling": {}, "rope_parameters": linear}), Some(2.0)),
        (json!({"rope_scaling": null, "rope_parameters": linear}), Some(2.0)),
        (json!({"rope_scaling": linear, "rope_parameters": linear}), Some(2.0)),
        (json!({"rope_scaling": {"type": "linear", "rope_type": "linear", "factor": 2}}), Some(2.0)),
        (json!({"rope_scaling": {"type": "linear", "rope_type": null, "factor": 2}}), Some(2.0)),
        (
            json!({"rope_scaling": {"type": "linear", "factor": 2, "attention_factor": null, "partial_rotary_factor": 1.0}}),
            Some(2.0),
        ),
        (json!({"rope_scaling": {"type": "default", "factor": 1.0, "original_max_position_embeddings": 64}}), None),
        (json!({"rope_scaling": {"rope_theta": 10000.0, "rope_type": "default"}, "rope_theta": 10000}), None),
    ] {
        let expected = factor.map(|factor| RopeScaling::Linear { factor });
        assert_eq!(configured(&changes).unwrap().rope_scaling, expected, "{changes}");
    }
    assert!(configured(&json!({"rope_scaling": llama3(json!({})), "original_max_position_embeddings": 8192})).is_ok());
    for (changes, expected) in [
        (json!({"rope_scaling": {"factor": 2.0}}), "rope_scaling.factor: 2.0, which \"default\" does not have"),
        (
            json!({"rope_scaling": {"type": "default", "rope_type": "linear", "factor": 2}}),
            "rope_scaling.type: \"default\"",
        ),
        (json!({"rope_scaling": {"type": "dynamic", "factor": 2}}), "rope_type: \"dynamic\""),
        (json!({"rope_scaling": {"type": "yarn", "factor": 4}}), "rope_type: \"yarn\""),
        (json!({"rope_scaling": {"type": "su"}}), "rope_type: \"su\""),
        (
            json!({"rope_parameters": {"rope_type": "longrope"}, "rope_scaling": null}),
            "rope_parameters.rope_type: \"longrope\"",
        ),
        (json!({"rope_parameters": {"rope_type": "proportional"}, "rope_scaling": null}), "\"proportional\""),
        (json!({"rope_scaling": {"type": "default", "mrope_section": [1, 1]}}), "rope_scaling.mrope_section: [1,1]"),
        (
            json!({"rope_scaling": {"type": "linear", "factor": 2, "attention_factor": 1.2}}),
            "rope_scaling.attention_factor: 1.2",
        ),
        (
            json!({"rope_scaling": {"type": "linear", "factor": 2, "partial_rotary_factor": 0.5}}),
            "partial_rotary_factor: 0.5",
        ),
        (json!({"rope_scaling": llama3(json!({"beta_fast": 32}))}), "rope_scaling.beta_fast: 32"),
        (
            json!({"rope_scaling": llama3(json!({})), "original_max_position_embeddings": 4096}),
            "original_max_position_embeddings: 4096",
        ),
        (
            json!({"rope_parameters": {"full_attention": {"rope_type": "default"}}, "rope_scaling": null}),
            "rope_parameters.full_attention",
        ),
        (
            json!({"rope_scaling": linear, "rope_parameters": {"rope_type": "default"}}),
            "rope_parameters: says other than rope_scaling",
        ),
        (
            json!({"rope_scaling": null, "rope_theta": 10000, "rope_parameters": {"rope_theta": 5000}}),
            "rope_parameters.rope_theta: 5000, but rope_theta is 10000",
        ),
    ] {
        let message = configured(&changes).expect_err(expected);
        assert!(message.starts_with("config.json: ") && message.contains(expected), "{changes}: {message}");
    }
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
        (json!({"quantization_config": {"bits": 4}}), "quantization_config"),
        (json!({"rope_scaling": {"rope_type": "yarn"}}), "rope_scaling.rope_type: \"yarn\""),
        (json!({"rope_parameters": {"rope_type": "linear"}}), "rope_parameters.factor: missing"),
    ] {
        let message = read(change).unwrap_err();
        assert!(message.contains(expected), "{message}");
    }
}
