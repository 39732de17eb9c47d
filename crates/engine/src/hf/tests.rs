//! Folders written by hand, and everything that can be wrong with one.

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::*;
use crate::generate::Finish;
use crate::source::WeightSource;
use crate::tensor::Tensor;
use crate::tests::golden_file;
use crate::tests::parts::{Recorded, assert_same_in_parts};
use crate::text::Message;

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

/// The folder read whole, which is what is read of it tensor by tensor.
fn load(files: &Files) -> Result<(Checkpoint<'_>, Option<Text>)> {
    let whole = super::load(files);
    assert_same_in_parts(&whole, open(files.iter().map(|(name, bytes)| (name.clone(), &bytes[..])).collect()));
    whole
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
        assert!(files.keys().all(|name| FILES.contains(&name.as_str())));
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
fn of_weights_in_parts_the_header_and_each_tensor_are_read() {
    let files = folder(Dtype::F32);
    let header = 8 + u64::from_le_bytes(*files[WEIGHTS].first_chunk().unwrap());
    let readers = files.into_iter().map(|(name, bytes)| (name, Recorded::new(bytes)));
    let readers: BTreeMap<_, _> = readers.collect();
    let asked = readers[WEIGHTS].asked.clone();
    pollster::block_on(async {
        let (streamed, _) = open(readers).await.unwrap();
        assert_eq!(asked.take(), [(0, 64), (0, header)]);
        for (name, Tensor { shape, .. }) in &streamed.outline().tensors {
            let bytes = streamed.tensor(name, shape).await.unwrap().bytes.len() as u64;
            assert_eq!(asked.take().into_iter().map(|(start, end)| end - start).collect::<Vec<_>>(), [bytes]);
        }
    });
}

#[test]
fn an_impossible_header_is_not_read() {
    let mut files = folder(Dtype::F32);
    let mut asked_of = |header: u64| {
        files.get_mut(WEIGHTS).unwrap()[..8].copy_from_slice(&header.to_le_bytes());
        let refused = refusal(&files);
        let mut readers: BTreeMap<_, _> =
            files.iter().map(|(name, bytes)| (name.clone(), Recorded::new(bytes.clone()))).collect();
        let weights = readers.get_mut(WEIGHTS).unwrap();
        weights.len = 1 << 30;
        let asked = weights.asked.clone();
        assert!(pollster::block_on(open(readers)).is_err());
        (refused, asked.take())
    };
    for header in [u64::MAX, 1 << 29] {
        let (refused, asked) = asked_of(header);
        assert!(refused.starts_with("model.safetensors: header: "), "{refused}");
        assert_eq!(asked, [(0, 64)]);
    }
}

#[test]
fn no_tokenizer_is_no_text() {
    let mut files = folder(Dtype::F32);
    files.remove(TOKENIZER);
    assert!(load(&files).unwrap().1.is_none());
}

/// The folder with each tensor in a file of its own, called what `name` makes of the tensor's number.
fn split(name: impl Fn(usize) -> String) -> Files {
    let mut files = folder(Dtype::F32);
    let whole = files.remove(WEIGHTS).unwrap();
    let parsed = SafeTensors::deserialize(&whole).unwrap();
    let mut map = Map::new();
    for (index, (tensor, view)) in parsed.tensors().into_iter().enumerate() {
        files.insert(name(index), safetensors::serialize([(&tensor, view)], None).unwrap());
        map.insert(tensor, name(index).into());
    }
    files.insert(INDEX.to_owned(), json!({"weight_map": map}).to_string().into_bytes());
    files
}

#[test]
fn shards_are_put_together() {
    for name in [
        |index: usize| format!("model-{index:05}-of-00020.safetensors"),
        |index: usize| format!("weights/part{index}.safetensors"),
        |index: usize| format!("consolidated.{index}"),
        |index: usize| format!("pytorch_model-{index}.safetensors"),
    ] {
        let mut files = split(name);
        let shards = shards(&files).unwrap();
        assert!(files.keys().all(|file| FILES.contains(&file.as_str()) || shards.contains(file)));
        assert_eq!(load(&files).unwrap().0.tensors.len(), shards.len());
        files.remove(&name(3));
        assert!(refusal(&files).contains(&format!("{:?}, which is missing", name(3))));
        // A whole model is read as such, whatever an index says, as transformers does.
        files.insert(WEIGHTS.to_owned(), folder(Dtype::F32).remove(WEIGHTS).unwrap());
        assert!(super::shards(&files).unwrap().is_empty() && load(&files).is_ok());
    }
}

#[test]
fn an_index_does_not_lead_out_of_its_folder() {
    for name in ["../a.safetensors", "/a", "a/../../b", "a//b", "./a", "..", "", "C:a", "a\\b", "a\0"] {
        let mut files = folder(Dtype::F32);
        files.remove(WEIGHTS);
        files.insert(INDEX.to_owned(), json!({"weight_map": {"lm_head.weight": name}}).to_string().into_bytes());
        let message = shards(&files).unwrap_err().to_string();
        assert!(message.starts_with("model.safetensors.index.json: weight_map: "), "{message}");
        assert!(refusal(&files).contains("expected a file of the folder"));
    }
    for (index, expected) in [
        ("{}", "weight_map: missing"),
        (r#"{"weight_map": []}"#, "expected an object"),
        (r#"{"weight_map": {"a": 1}}"#, "a: 1, expected a string"),
        ("version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    ] {
        let files = [(INDEX.to_owned(), index.into())].into();
        let message = shards(&files).unwrap_err().to_string();
        assert!(message.starts_with(INDEX) && message.contains(expected), "{message}");
    }
}

/// The folder's weights with more tensors, `[1]` of the given type and bytes.
fn with_tensors(mut files: Files, more: &[(&str, safetensors::Dtype, &[u8])]) -> Files {
    let whole = files.remove(WEIGHTS).unwrap();
    let parsed = SafeTensors::deserialize(&whole).unwrap();
    let more =
        more.iter().map(|&(name, dtype, bytes)| (name.to_owned(), TensorView::new(dtype, vec![1], bytes).unwrap()));
    let tensors: Vec<_> = parsed.tensors().into_iter().chain(more).collect();
    files.insert(WEIGHTS.to_owned(), safetensors::serialize(tensors, None).unwrap());
    files
}

#[test]
fn tensors_that_are_not_needed_are_no_error() {
    use safetensors::Dtype::{F32, F64, I8, I64};
    let one = 1_f32.to_le_bytes();
    for (name, dtype, bytes) in [
        ("model.layers.0.self_attn.rotary_emb.inv_freq", F32, &one[..]),
        ("model.layers.1.self_attn.rotary_emb.cos_cached", F64, &[1; 8]),
        ("model.rotary_emb.inv_freq", I64, &[1; 8]),
        ("v_head.summary.weight", F64, &[1; 8]),
        ("score.weight", I8, &[1]),
        ("mtp.layers.0.weight", F32, &one),
        // Nothing is added.
        ("model.layers.0.self_attn.q_proj.bias", F32, &[0; 4]),
        ("lm_head.bias", F32, &(-0_f32).to_le_bytes()),
    ] {
        let files = with_tensors(folder(Dtype::F32), &[(name, dtype, bytes)]);
        let (checkpoint, _) = load(&files).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(checkpoint.tensors.len(), config().tensor_shapes().len());
    }
    for (name, dtype, bytes) in [
        ("model.layers.0.self_attn.q_proj.bias", F32, &one[..]),
        ("model.layers.0.self_attn.q_proj.bias", F64, &[0; 8]),
        ("model.layers.0.self_attn.q_norm.weight", F32, &one),
        ("model.layers.0.post_feedforward_layernorm.weight", F32, &one),
        ("model.layers.2.input_layernorm.weight", F32, &one),
        ("model.layers.0.mlp.experts.0.gate_proj.weight", F32, &one),
        ("model.layers.0.self_attn.q_proj.lora_A.weight", F32, &one),
        ("layers.1.mlp.up_proj.bias", F32, &one),
        ("model.norm.bias", F32, &one),
        ("model.embed_positions.weight", F32, &one),
        ("lm_head.bias", F32, &one),
    ] {
        let message = refusal(&with_tensors(folder(Dtype::F32), &[(name, dtype, bytes)]));
        assert!(
            message.starts_with("model.safetensors: ") && message.contains("a dense Llama of 2 layers"),
            "{message}"
        );
    }
    let q = "model.layers.0.self_attn.q_proj";
    for end in [
        "weight_scale",
        "weight_scale_inv",
        "qweight",
        "scales",
        "g_idx",
        "weight.absmax",
        "SCB",
        "weight.quant_state.bitsandbytes__nf4",
    ] {
        let name = format!("{q}.{end}");
        let message = refusal(&with_tensors(folder(Dtype::F32), &[(&name, I8, &[1])]));
        assert!(message.contains(&name) && message.contains("of quantised weights"), "{message}");
    }
}

#[test]
fn a_model_saved_without_its_head_is_read() {
    let (mut files, tied) = (folder(Dtype::F32), LlamaConfig { tie_word_embeddings: true, ..config() });
    let checkpoint = Checkpoint::from_fn(tied.clone(), Dtype::F32, |_, values| values.fill(1.0)).unwrap();
    let whole = checkpoint.to_safetensors(Dtype::F32).unwrap();
    let parsed = SafeTensors::deserialize(&whole).unwrap();
    let bare: Vec<_> = parsed.tensors().into_iter().map(|(name, view)| (name.replace("model.", ""), view)).collect();
    files.insert(WEIGHTS.to_owned(), safetensors::serialize(bare, None).unwrap());
    files.insert(CONFIG.to_owned(), config_json(&tied, Dtype::F32, None).replace("ForCausalLM", "Model").into());
    assert_eq!(load(&files).unwrap().0.tensors.len(), parsed.len());
}

#[test]
fn a_tied_head_is_the_embedding() {
    let tied = LlamaConfig { tie_word_embeddings: true, ..config() };
    let checkpoint = Checkpoint::from_fn(tied.clone(), Dtype::F32, |_, values| values.fill(0.5)).unwrap();
    let head = |value: f32, dtype: safetensors::Dtype| {
        let mut files = folder(Dtype::F32);
        files.insert(CONFIG.to_owned(), config_json(&tied, Dtype::F32, None).into());
        let whole = checkpoint.to_safetensors(Dtype::F32).unwrap();
        let parsed = SafeTensors::deserialize(&whole).unwrap();
        let bytes: Vec<u8> = match dtype {
            safetensors::Dtype::F16 => (0..48).flat_map(|_| half::f16::from_f32(value).to_le_bytes()).collect(),
            _ => (0..48).flat_map(|_| value.to_le_bytes()).collect(),
        };
        let head = TensorView::new(dtype, vec![6, 8], &bytes).unwrap();
        let tensors: Vec<_> = parsed.tensors().into_iter().chain([("lm_head.weight".to_owned(), head)]).collect();
        files.insert(WEIGHTS.to_owned(), safetensors::serialize(tensors, None).unwrap());
        files
    };
    for dtype in [safetensors::Dtype::F32, safetensors::Dtype::F16] {
        assert!(load(&head(0.5, dtype)).is_ok());
        let message = refusal(&head(0.25, dtype));
        assert!(
            message.starts_with("model.safetensors: lm_head.weight: differs from model.embed_tokens.weight"),
            "{message}"
        );
    }
}

#[test]
fn what_lies_in_place_of_a_file_is_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n";
    for name in [CONFIG, WEIGHTS, TOKENIZER, TOKENIZER_CONFIG, GENERATION, SPECIAL_TOKENS, CHAT_TEMPLATE] {
        let mut files = folder(Dtype::F32);
        files.insert(name.to_owned(), pointer.to_vec());
        let message = refusal(&files);
        assert!(message.starts_with(&format!("{name}: ")) && message.contains("git lfs pull"), "{message}");
    }
    let mut parts = split(|index| format!("part-{index}"));
    parts.insert("part-4".to_owned(), pointer.to_vec());
    assert!(refusal(&parts).starts_with("part-4: header: a Git LFS pointer"));
    for (bytes, what) in [
        (&b"PK\x03\x04 and more"[..], "a zip archive"),
        (b"\x80\x02\x8a\x0al", "PyTorch's pickle"),
        (b"<html><body>", "a web page"),
        (b"<!DOCTYPE HTML>", "a web page"),
        (b"GGUF\x03\0\0\0", "a GGUF file"),
        (b"\x1f\x8b\x08\0", "a gzip archive"),
        (b"", "an empty file"),
    ] {
        let mut files = folder(Dtype::F32);
        files.insert(WEIGHTS.to_owned(), bytes.to_vec());
        let message = refusal(&files);
        assert!(message.starts_with("model.safetensors: ") && message.contains(what), "{message}");
    }
}

#[test]
fn what_a_folder_holds_instead_is_named() {
    for (names, expected) in [
        (&["config.json", "tokenizer.json", "pytorch_model.bin"][..], "pytorch_model.bin, pickled weights"),
        (
            &["config.json", "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"],
            "and 1 more, pickled",
        ),
        (&["config.json", "model.pt"], "model.pt, pickled"),
        (&["config.json", "tf_model.h5"], "another framework"),
        (&["config.json", "flax_model.msgpack"], "another framework"),
        (
            &["params.json", "consolidated.00.pth", "tokenizer.model"],
            "consolidated.00.pth, weights in their maker's own layout",
        ),
        (&["params.json", "consolidated.safetensors"], "maker's own layout"),
        (&["config.json", "pytorch_model.safetensors"], "call the file so"),
        (
            &["config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
            "without model.safetensors.index.json",
        ),
        (&["model-Q4_K_M.gguf", "README.md"], "model-Q4_K_M.gguf, a whole model in one file: give that file"),
        (
            &["config.json", "model.safetensors", "tokenizer.model"],
            "tokenizer.model, a tokenizer in a form that is not read",
        ),
        (&["config.json", "model.safetensors.index.json", "vocab.json", "merges.txt"], "vocab.json, a tokenizer"),
        (&["config.json", "tokenizer.model"], "tokenizer.model, a tokenizer"),
    ] {
        let found = instead(names.iter().copied()).unwrap_or_default();
        assert!(found.contains(expected), "{names:?}: {found}");
    }
    for names in [
        &["config.json", "model.safetensors", "tokenizer.json"][..],
        &["config.json", "model.safetensors", "tokenizer.json", "pytorch_model.bin", "tokenizer.model", "model.gguf"],
        &["config.json", "model.safetensors.index.json", "tokenizer.json", "a.safetensors"],
        &["config.json"],
        &[],
    ] {
        assert_eq!(instead(names.iter().copied()), None, "{names:?}");
    }
}

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

/// A folder's text from its tokenizer files; the model embeds 400 tokens.
fn text_of(files: &[(&str, Value)]) -> Result<Text> {
    let files = files.iter().map(|(name, json)| ((*name).to_owned(), json.to_string().into_bytes())).collect();
    Ok(super::text(&files, &Map::new(), 400)?.unwrap())
}

#[test]
fn public_chat_templates_give_transformers_tokens() {
    #[derive(serde::Deserialize)]
    struct Golden {
        date: String,
        chats: Vec<Vec<(String, String)>>,
        tokenizers: Map<String, Value>,
        templates: Vec<String>,
        models: Vec<Model>,
    }
    #[derive(serde::Deserialize)]
    struct Model {
        name: String,
        template: usize,
        tokenizer: String,
        special: Vec<String>,
        named: Map<String, Value>,
        adds_bos: bool,
        end: u32,
        chats: Vec<Chat>,
        raw: Vec<u32>,
        raw_with_bos: (String, Vec<u32>),
    }
    #[derive(serde::Deserialize)]
    struct Chat {
        prompt: Option<String>,
        ids: Option<Vec<u32>>,
        answered: Option<String>,
    }
    let golden: Golden = serde_json::from_slice(&golden_file("chats.json")).unwrap();
    assert_eq!(golden.models.len(), 24);
    for model in golden.models {
        let name = model.name;
        let mut tokenizer = golden.tokenizers[&model.tokenizer].clone();
        let vocab = tokenizer["model"]["vocab"].as_object_mut().unwrap();
        for token in &model.special {
            let id = vocab.len();
            vocab.entry(token).or_insert(id.into());
        }
        let added = |token: &String| {
            json!({"id": vocab[token], "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        };
        tokenizer["added_tokens"] = model.special.iter().map(added).collect();
        let mut config = Value::Object(model.named);
        config["chat_template"] = golden.templates[model.template].as_str().into();
        config["add_bos_token"] = model.adds_bos.into();
        let mut text = text_of(&[(TOKENIZER, tokenizer), (TOKENIZER_CONFIG, config)]).unwrap();
        assert_eq!((text.end_of_turn(), text.stop_tokens().contains(&model.end)), (model.end, true), "{name}");
        text.set_date(golden.date.parse().unwrap());
        for (chat, expected) in golden.chats.iter().zip(model.chats) {
            let message = |(role, content): &(String, String)| Message { role: role.clone(), content: content.clone() };
            let mut messages: Vec<Message> = chat.iter().map(message).collect();
            assert_eq!(text.render(&messages, true).ok(), expected.prompt, "{name}");
            assert_eq!(text.prompt(&messages).ok(), expected.ids, "{name}");
            messages.push(message(&("assistant".to_owned(), "Yes".to_owned())));
            assert_eq!(text.render(&messages, false).ok(), expected.answered, "{name}");
        }
        assert_eq!(text.raw("Hello Yes").unwrap(), model.raw, "{name}");
        assert_eq!(text.raw(&model.raw_with_bos.0).unwrap(), model.raw_with_bos.1, "{name}");
    }
}

/// A tokenizer.json of single letters and `tokens`, those with a flag being added tokens that are special or not.
fn letters(tokens: &[(&str, Option<bool>)]) -> Value {
    let mut json: Value = serde_json::from_str(TOKENIZER_JSON).unwrap();
    let mut vocab: Map<String, Value> = (' '..='~').zip(0..).map(|(letter, id)| (letter.into(), json!(id))).collect();
    vocab.remove(" ");
    vocab.insert("Ġ".into(), json!(0));
    let mut added = Vec::new();
    for (token, special) in tokens {
        let id = vocab.len();
        vocab.insert((*token).to_owned(), id.into());
        added.extend(special.map(|special| {
            json!({"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special})
        }));
    }
    json["model"] = json!({"type": "BPE", "vocab": vocab, "merges": []});
    json["added_tokens"] = added.into();
    json
}

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}";

#[test]
fn an_end_of_turn_stops_and_is_special_whatever_the_files_say() {
    // Letters have the ids to 94; what follows is in the order given.
    let (im_start, im_end, eos) = (95, 96, 97);
    let tokenizer = |flag| letters(&[("<|im_start|>", flag), ("<|im_end|>", flag), ("</s>", None)]);
    let decoder =
        json!({"95": {"content": "<|im_start|>", "special": true}, "96": {"content": "<|im_end|>", "special": true}});
    let config = |more: Value| {
        let mut config = json!({"eos_token": "</s>", "chat_template": CHATML});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (TOKENIZER_CONFIG, config)
    };
    for files in [
        vec![(TOKENIZER, tokenizer(Some(true))), config(json!({}))],
        vec![(TOKENIZER, tokenizer(Some(false))), config(json!({}))],
        vec![(TOKENIZER, tokenizer(Some(false))), config(json!({"added_tokens_decoder": decoder}))],
        vec![(TOKENIZER, tokenizer(None)), config(json!({"added_tokens_decoder": decoder}))],
        vec![
            (TOKENIZER, tokenizer(None)),
            config(json!({"additional_special_tokens": ["<|im_start|>", {"content": "<|im_end|>"}]})),
        ],
        vec![
            (TOKENIZER, tokenizer(None)),
            config(json!({"extra_special_tokens": {"start_token": "<|im_start|>", "end_token": "<|im_end|>"}})),
        ],
        vec![
            (TOKENIZER, tokenizer(None)),
            config(json!({})),
            (SPECIAL_TOKENS, json!({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})),
        ],
        vec![
            (TOKENIZER, tokenizer(None)),
            config(json!({})),
            (ADDED_TOKENS, json!({"<|im_start|>": im_start, "<|im_end|>": im_end})),
        ],
    ] {
        let text = text_of(&files).unwrap();
        assert_eq!((text.end_of_turn(), text.stop_tokens()), (im_end, &[im_end, eos][..]), "{files:?}");
        let said = [Message { role: "user".to_owned(), content: "a".to_owned() }];
        assert_eq!(text.prompt(&said).unwrap(), [im_start, 65, im_end], "{files:?}");
        assert_eq!(text.said(&[65, im_end, 66], Finish::Length).unwrap(), "ab", "{files:?}");
        // The end of text is special by its name alone.
        assert_eq!(text.raw("</s>").unwrap(), [eos]);
    }
}

#[test]
fn added_tokens_come_as_their_files_count_them() {
    let tokenizer = letters(&[("</s>", Some(true))]);
    let decoder =
        |id: &str| json!({"eos_token": "</s>", "added_tokens_decoder": {id: {"content": "<new>", "special": false}}});
    let text = text_of(&[(TOKENIZER, tokenizer.clone()), (TOKENIZER_CONFIG, decoder("96"))]).unwrap();
    assert_eq!(text.raw("a<new>").unwrap(), [65, 96]);
    let message = text_of(&[(TOKENIZER, tokenizer), (TOKENIZER_CONFIG, decoder("99"))]).unwrap_err().to_string();
    assert!(
        message.contains("added_tokens_decoder.99: \"<new>\" is not in tokenizer.json, whose next free id is 96"),
        "{message}"
    );
}

#[test]
fn older_folders_say_in_the_map_what_their_tokens_are() {
    let tokenizer = letters(&[("<a>", Some(true)), ("<b>", Some(true))]);
    let map = (SPECIAL_TOKENS, json!({"eos_token": {"content": "<b>"}}));
    let end = |config: Value| {
        text_of(&[(TOKENIZER, tokenizer.clone()), (TOKENIZER_CONFIG, config), map.clone()]).unwrap().end_of_turn()
    };
    assert_eq!(end(json!({"eos_token": "<a>"})), 96);
    assert_eq!(end(json!({"eos_token": "<a>", "added_tokens_decoder": {}})), 95);
}

#[test]
fn a_text_begins_once_and_goes_on() {
    let tokenizer = letters(&[("<s>", Some(true)), ("</s>", Some(true))]);
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true, "add_eos_token": true,
        "chat_template": "{{ bos_token }}{{ messages[0].content }}"});
    let text = text_of(&[(TOKENIZER, tokenizer), (TOKENIZER_CONFIG, config)]).unwrap();
    assert_eq!(text.raw("ab").unwrap(), [95, 65, 66]);
    assert_eq!(text.raw("<s>ab").unwrap(), [95, 65, 66]);
    assert_eq!(text.raw("").unwrap(), [95]);
    let said = [Message { role: "user".to_owned(), content: "ab".to_owned() }];
    assert_eq!(text.prompt(&said).unwrap(), [95, 65, 66]);
    assert_eq!(text.raw_and_completion("<s>a", "b", Finish::Stop).unwrap(), [95, 65, 66, 96]);
}

#[test]
fn a_negative_end_is_none() {
    let files = |id: Value| {
        let files = [
            (TOKENIZER, letters(&[("</s>", Some(true))])),
            (TOKENIZER_CONFIG, json!({"eos_token": "</s>"})),
            (GENERATION, json!({"eos_token_id": id})),
        ];
        text_of(&files).map(|text| text.stop_tokens().to_vec()).map_err(|error| error.to_string())
    };
    assert_eq!(files(json!(-1)), Ok(vec![95]));
    assert_eq!(files(json!([-1, 65, 95])), Ok(vec![65, 95]));
    assert!(files(json!([1.5])).unwrap_err().contains("expected a token or a list of tokens"));
}
