//! What is written, read back.

use super::*;
use crate::adapter::{Adapter, Linear, LoraConfig};
use crate::cpu::Cpu;
use crate::hf;
use crate::llama::Llama;
use crate::tests::golden_file;

/// A folder: the model of that golden folder with the tiny tokenizer, whose file `change` may change.
fn folder(golden: &str, change: impl FnOnce(&mut serde_json::Value)) -> hf::Files {
    let mut files = hf::Files::new();
    for name in ["config.json", "model.safetensors"] {
        files.insert(name.to_owned(), golden_file(&format!("{golden}/{name}")));
    }
    let mut tokenizer = serde_json::from_slice(&golden_file("tiny/tokenizer.json")).unwrap();
    change(&mut tokenizer);
    files.insert("tokenizer.json".to_owned(), tokenizer.to_string().into_bytes());
    files.insert("tokenizer_config.json".to_owned(), golden_file("tiny/tokenizer_config.json"));
    files
}

fn written(checkpoint: &Checkpoint<'_>, adapter: Option<&Adapter<Cpu>>, text: &Text, dtype: Dtype) -> Result<Vec<u8>> {
    pollster::block_on(save(&Cpu::default(), checkpoint, adapter, text, dtype))
}

fn assert_same_text(one: &Text, other: &Text) {
    for said in ["Give me 3 things.", "  two\n\n spaces, it's <|im_end|>\tÆ 你好", ""] {
        let tokens = one.raw(said).unwrap();
        assert_eq!(tokens, other.raw(said).unwrap(), "{said:?}");
        assert_eq!(one.said(&tokens, Finish::Length).unwrap(), other.said(&tokens, Finish::Length).unwrap());
    }
    let hello = [Message { role: "user".to_owned(), content: "ab 12".to_owned() }];
    assert_eq!(one.prompt(&hello).unwrap(), other.prompt(&hello).unwrap());
    assert_eq!((one.end_of_turn(), one.stop_tokens()), (other.end_of_turn(), other.stop_tokens()));
    assert_eq!(one.named_token("bos_token"), other.named_token("bos_token"));
}

#[test]
fn a_folder_comes_back() {
    for golden in ["tied", "untied"] {
        let files = folder(golden, |_| {});
        let (checkpoint, text) = hf::load(&files).unwrap();
        let text = text.unwrap();
        let bytes = written(&checkpoint, None, &text, Dtype::F32).unwrap();
        let (back, text_back) = load("m.gguf", &bytes).unwrap();
        assert_eq!(back.config, checkpoint.config);
        for (name, tensor) in &checkpoint.tensors {
            assert_eq!(back.tensors[name].to_f32(), tensor.to_f32(), "{name}");
        }
        assert_same_text(&text, &text_back);
        // From there on nothing changes, to the last byte.
        assert!(written(&back, None, &text_back, Dtype::F32).unwrap() == bytes);
    }
}

#[test]
fn types_are_as_asked_for_where_they_fit() {
    let files = folder("untied", |_| {});
    let (checkpoint, text) = hf::load(&files).unwrap();
    for dtype in [Dtype::F16, Dtype::BF16, Dtype::Q8_0] {
        let bytes = written(&checkpoint, None, text.as_ref().unwrap(), dtype).unwrap();
        let (back, _) = load("m.gguf", &bytes).unwrap();
        for (name, tensor) in &back.tensors {
            let expected = match &tensor.shape[..] {
                [_] => Dtype::F32,
                // 176 columns are no whole number of blocks.
                [_, cols] if dtype == Dtype::Q8_0 && cols % 32 != 0 => Dtype::F16,
                _ => dtype,
            };
            assert_eq!(tensor.dtype, expected, "{name}");
        }
    }
    let problem = written(&checkpoint, None, text.as_ref().unwrap(), Dtype::Q4_K).unwrap_err().to_string();
    assert_eq!(problem, "cannot write weights as Q4_K, only as F32, F16, BF16 or Q8_0");
}

#[test]
fn blocks_that_nothing_is_added_to_stay() {
    let bytes = Builder::tiny().build();
    let (checkpoint, text) = load("m.gguf", &bytes).unwrap();
    let lora = |target| LoraConfig { r: 2, lora_alpha: 3.0, target_modules: vec![target] };
    for (target, kept) in [(Linear::QProj, true), (Linear::DownProj, false)] {
        let adapter = Adapter::from_fn(&Cpu::default(), &checkpoint.config, lora(target), |factor| {
            random(factor.shape.iter().product())
        });
        let adapter = adapter.unwrap();
        let bytes = written(&checkpoint, Some(&adapter), &text, Dtype::F32).unwrap();
        let (back, text_back) = load("m.gguf", &bytes).unwrap();
        assert_same_text(&text, &text_back);
        let down = "model.layers.0.mlp.down_proj.weight";
        assert_eq!(back.tensors[down].dtype, if kept { Dtype::Q8_0 } else { Dtype::F32 });
        assert_eq!(back.tensors[down].bytes == checkpoint.tensors[down].bytes, kept);
        let llama = Llama::new(Cpu::default(), &checkpoint, false).unwrap();
        for (name, _, values) in pollster::block_on(llama.tensors(Some(&adapter))).unwrap() {
            assert_eq!(back.tensors[&name].to_f32(), values, "{name}");
        }
    }
}

/// Numbers that differ from each other.
fn random(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect()
}

#[test]
fn an_adapter_adds_to_the_rows_as_they_lie_there() {
    let bytes = Builder::tiny().build();
    let (checkpoint, _) = load("m.gguf", &bytes).unwrap();
    let config = LoraConfig { r: 2, lora_alpha: 3.0, target_modules: vec![Linear::QProj, Linear::DownProj] };
    let adapter =
        Adapter::from_fn(&Cpu::default(), &checkpoint.config, config, |factor| random(factor.shape.iter().product()));
    let bytes = pollster::block_on(save_adapter(&Cpu::default(), &checkpoint.config, &adapter.unwrap())).unwrap();
    let container = Container::read("a.gguf", &bytes, bytes.len() as u64).map_err(|failure| failure.error).unwrap();
    for (key, value) in [("general.type", "adapter"), ("general.architecture", "llama"), ("adapter.type", "lora")] {
        assert_eq!(container.string(key).unwrap(), value);
    }
    assert_eq!(container.float("adapter.lora.alpha").unwrap(), Some(3.0));
    let shapes: Vec<_> = container.tensors.iter().map(|(name, tensor)| (name.as_str(), &tensor.shape[..])).collect();
    let expected: [(&str, &[usize]); 4] = [
        ("blk.0.attn_q.weight.lora_a", &[2, 8]),
        ("blk.0.attn_q.weight.lora_b", &[8, 2]),
        ("blk.0.ffn_down.weight.lora_a", &[2, 32]),
        ("blk.0.ffn_down.weight.lora_b", &[8, 2]),
    ];
    assert_eq!(shapes, expected);
    // Two heads of four rows each.
    let rows: Vec<Vec<f32>> = random(16).chunks(2).map(<[f32]>::to_vec).collect();
    let stored = [0, 2, 1, 3, 4, 6, 5, 7].map(|row| rows[row].clone()).concat();
    assert_eq!(container.tensors["blk.0.attn_q.weight.lora_b"].to_f32(), stored);
    assert_eq!(container.tensors["blk.0.ffn_down.weight.lora_b"].to_f32(), random(16));
}

#[test]
fn frequencies_come_back() {
    let files = folder("tied", |_| {});
    let (mut checkpoint, text) = hf::load(&files).unwrap();
    let llama3 = RopeScaling::Llama3 {
        factor: 32.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    for scaling in [RopeScaling::Linear { factor: 2.5 }, llama3] {
        checkpoint.config.rope_scaling = Some(scaling);
        let bytes = written(&checkpoint, None, text.as_ref().unwrap(), Dtype::F16).unwrap();
        let (back, _) = load("m.gguf", &bytes).unwrap();
        assert_eq!(back.config.rope_scaling, Some(scaling));
    }
}

#[test]
fn sentence_piece_comes_back() {
    let mut builder = vocab::sentence_piece();
    for prefix in [1, 0] {
        builder.set("tokenizer.ggml.add_space_prefix", 7, vec![prefix]);
        let bytes = builder.build();
        let (checkpoint, text) = load("m.gguf", &bytes).unwrap();
        // As a folder of transformers, and from there.
        let mut files: hf::Files = text.files().unwrap().into_iter().collect();
        files.insert("config.json".to_owned(), hf::config_json(&checkpoint.config, Dtype::F32, Some(&text)).into());
        files.insert("model.safetensors".to_owned(), checkpoint.to_safetensors(Dtype::F32).unwrap());
        let (_, of_folder) = hf::load(&files).unwrap();
        let bytes = written(&checkpoint, None, &of_folder.unwrap(), Dtype::F32).unwrap();
        let (_, back) = load("m.gguf", &bytes).unwrap();
        for said in ["ab a", " ab  ba", "b\nÆ<s>a"] {
            assert_eq!(text.raw(said).unwrap(), back.raw(said).unwrap(), "{said:?}");
        }
    }
}

#[test]
fn a_tokenizer_that_would_come_back_as_another_is_refused() {
    let refused = |change: fn(&mut serde_json::Value)| {
        let files = folder("tied", change);
        let (checkpoint, text) = hf::load(&files).unwrap();
        written(&checkpoint, None, &text.unwrap(), Dtype::F32).unwrap_err().to_string()
    };
    for (change, expected) in [
        (
            (|json| json["pre_tokenizer"]["add_prefix_space"] = true.into()) as fn(&mut serde_json::Value),
            "it splits texts by [{\"add_prefix_space\":true,\"type\":\"ByteLevel\",\"use_regex\":true}], for which GGUF has no",
        ),
        (
            |json| json["normalizer"] = serde_json::json!({"type": "NFC"}),
            "its normalizer is {\"type\":\"NFC\"}, and from",
        ),
        (
            |json| json["model"]["ignore_merges"] = true.into(),
            "its ignore_merges is true, and from a GGUF file comes null",
        ),
        (|json| json["model"]["end_of_word_suffix"] = "</w>".into(), "its end_of_word_suffix is \"</w>\""),
        (|json| json["added_tokens"][0]["rstrip"] = true.into(), "\"<pad>\" takes the spaces or the words beside it"),
    ] {
        let message = refused(change);
        assert!(message.starts_with(&format!("tokenizer.json: tokenizer: {expected}")), "{message}");
    }
}

/// Vocabularies smaller than what the model embeds are filled, as llama.cpp wants them.
#[test]
fn a_gap_in_the_vocabulary_is_filled() {
    let files = folder("tied", |json| {
        let vocab = json["model"]["vocab"].as_object_mut().unwrap();
        let last = vocab.iter().find(|(_, id)| **id == 319).map(|(token, _)| token.clone()).unwrap();
        vocab.remove(&last);
        json["model"]["merges"].as_array_mut().unwrap().pop();
    });
    let (checkpoint, text) = hf::load(&files).unwrap();
    let text = text.unwrap();
    assert_eq!((text.vocab_size(), checkpoint.config.vocab_size), (319, 320));
    let bytes = written(&checkpoint, None, &text, Dtype::F16).unwrap();
    let (back, text_back) = load("m.gguf", &bytes).unwrap();
    assert_eq!((text_back.vocab_size(), back.config.vocab_size), (320, 320));
    assert_same_text(&text, &text_back);
}
