//! Folders written by hand, and everything that can be wrong with one.

mod settings;
mod text;

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
