//! A tiny GGUF file written by hand, and everything that can be wrong with one.

use proptest::prelude::*;

use super::*;
use crate::generate::Finish;
use crate::source::WeightSource;
use crate::tensor::Dtype;
use crate::tests::parts::{Recorded, assert_same_in_parts};
use crate::text::Message;

/// A file under construction: metadata entries and tensors, already encoded.
#[derive(Clone)]
struct Builder {
    metadata: Vec<(String, Vec<u8>)>,
    tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn strings(items: &[&str]) -> Vec<u8> {
    let items: Vec<_> = items.iter().flat_map(|item| string(item)).collect();
    [&9u32.to_le_bytes()[..], &8u32.to_le_bytes(), &(items_len(&items)).to_le_bytes(), &items].concat()
}

/// How many encoded strings lie in `bytes`.
fn items_len(mut bytes: &[u8]) -> u64 {
    let mut count = 0;
    while let Some((len, rest)) = bytes.split_first_chunk() {
        bytes = &rest[u64::from_le_bytes(*len) as usize..];
        count += 1;
    }
    count
}

const TEMPLATE: &str = "{% for m in messages %}<s>{{ m.role }}:{{ m.content }}</s>{% endfor %}{% if add_generation_prompt %}<s>{% endif %}";

impl Builder {
    /// Two heads of width 4, one shared key-value head, one block, and a vocabulary of eight tokens.
    fn tiny() -> Self {
        let mut builder = Builder { metadata: Vec::new(), tensors: Vec::new() };
        builder.set("general.architecture", 8, string("llama"));
        for (key, value) in [
            ("block_count", 1u32),
            ("context_length", 32),
            ("embedding_length", 8),
            ("feed_forward_length", 32),
            ("attention.head_count", 2),
            ("attention.head_count_kv", 1),
        ] {
            builder.set(&format!("llama.{key}"), 4, value.to_le_bytes().to_vec());
        }
        builder.set("llama.attention.layer_norm_rms_epsilon", 6, 1e-5f32.to_le_bytes().to_vec());
        builder.set("tokenizer.ggml.model", 8, string("gpt2"));
        builder.set("tokenizer.ggml.pre", 8, string("smollm"));
        builder.set_raw("tokenizer.ggml.tokens", strings(&["<s>", "</s>", "a", "b", "Ġ", "ab", "1", "2"]));
        builder.set_raw("tokenizer.ggml.merges", strings(&["a b"]));
        let types = [3i32, 3, 1, 1, 1, 1, 1, 1].map(i32::to_le_bytes).concat();
        builder.set_raw(
            "tokenizer.ggml.token_type",
            [&9u32.to_le_bytes()[..], &5u32.to_le_bytes(), &8u64.to_le_bytes(), &types].concat(),
        );
        builder.set("tokenizer.ggml.bos_token_id", 4, 0u32.to_le_bytes().to_vec());
        builder.set("tokenizer.ggml.eos_token_id", 4, 1u32.to_le_bytes().to_vec());
        builder.set("tokenizer.chat_template", 8, string(TEMPLATE));
        for (name, dimensions) in [
            ("token_embd.weight", vec![8, 8]),
            ("output_norm.weight", vec![8]),
            ("blk.0.attn_norm.weight", vec![8]),
            ("blk.0.attn_q.weight", vec![8, 8]),
            ("blk.0.attn_k.weight", vec![8, 4]),
            ("blk.0.attn_v.weight", vec![8, 4]),
            ("blk.0.attn_output.weight", vec![8, 8]),
            ("blk.0.ffn_norm.weight", vec![8]),
            ("blk.0.ffn_gate.weight", vec![8, 32]),
            ("blk.0.ffn_up.weight", vec![8, 32]),
        ] {
            let len: u64 = dimensions.iter().product();
            let values = (0..len).flat_map(|i| (i as f32).to_le_bytes()).collect();
            builder.tensors.push((name.to_owned(), dimensions, 0, values));
        }
        builder.tensors.push(("blk.0.ffn_down.weight".to_owned(), vec![32, 8], 8, [0x3c; 34 * 8].to_vec()));
        builder
    }

    /// Sets a key to an encoded value of GGUF's value type `kind`.
    fn set(&mut self, key: &str, kind: u32, value: Vec<u8>) {
        self.set_raw(key, [&kind.to_le_bytes()[..], &value].concat());
    }

    /// Sets a key to a value with its type in front.
    fn set_raw(&mut self, key: &str, value: Vec<u8>) {
        self.metadata.retain(|(name, _)| name != key);
        self.metadata.push((key.to_owned(), value));
    }

    fn tensor(&mut self, name: &str) -> &mut (String, Vec<u64>, u32, Vec<u8>) {
        self.tensors.iter_mut().find(|tensor| tensor.0 == name).unwrap()
    }

    fn build(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            file.extend([string(key), value.clone()].concat());
        }
        let mut data = Vec::new();
        for (name, dimensions, kind, bytes) in &self.tensors {
            data.resize(data.len().next_multiple_of(32), 0);
            file.extend(string(name));
            file.extend((dimensions.len() as u32).to_le_bytes());
            file.extend(dimensions.iter().flat_map(|size| size.to_le_bytes()));
            file.extend(kind.to_le_bytes());
            file.extend((data.len() as u64).to_le_bytes());
            data.extend(bytes);
        }
        file.resize(file.len().next_multiple_of(32), 0);
        file.extend(data);
        file
    }

    fn refusal(&self) -> String {
        refusal(&self.build())
    }
}

/// The file read whole, which is what is read of it tensor by tensor.
fn load<'a>(name: &str, bytes: &'a [u8]) -> Result<(Checkpoint<'a>, Text)> {
    let whole = super::load(name, bytes);
    assert_same_in_parts(&whole, open(name, bytes));
    whole
}

fn refusal(bytes: &[u8]) -> String {
    match load("m.gguf", bytes) {
        Ok(_) => panic!("a wrong file was read"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_file_is_read() {
    let bytes = Builder::tiny().build();
    let (checkpoint, text) = load("m.gguf", &bytes).unwrap();
    let config = &checkpoint.config;
    assert_eq!((config.vocab_size, config.head_dim, config.num_key_value_heads), (8, 4, 1));
    assert!(config.tie_word_embeddings);
    assert_eq!(checkpoint.tensors["model.layers.0.mlp.down_proj.weight"].dtype, Dtype::Q8_0);

    assert_eq!(text.raw("ab ab12").unwrap(), [5, 4, 5, 6, 7]);
    let hello = [Message { role: "b".to_owned(), content: "a".to_owned() }];
    assert_eq!(text.render(&hello, true).unwrap(), "<s>b:a</s><s>");
    assert_eq!(text.raw_and_completion("ab a", "b12", Finish::Stop).unwrap(), [5, 4, 5, 6, 7, 1]);
    assert_eq!(text.raw_and_completion("ab a", "b12", Finish::Length).unwrap(), [5, 4, 5, 6, 7]);
    assert_eq!(text.said(&[0, 5, 4, 2, 1], Finish::Stop).unwrap(), "ab a");
    assert_eq!((text.end_of_turn(), text.stop_tokens()), (1, &[1][..]));
}

#[test]
fn of_a_file_in_parts_each_tensor_is_read_once() {
    let file = Recorded::new(Builder::tiny().build());
    let (len, asked) = (file.len, file.asked.clone());
    pollster::block_on(async {
        let (streamed, _) = open("m.gguf", file).await.unwrap();
        assert_eq!(asked.take(), [(0, len)]);
        for (name, Tensor { shape, .. }) in &streamed.outline().tensors {
            let bytes = streamed.tensor(name, shape).await.unwrap().bytes.len() as u64;
            assert_eq!(asked.take().into_iter().map(|(start, end)| end - start).collect::<Vec<_>>(), [bytes]);
        }
    });
}

#[test]
fn a_long_header_is_read_to_its_end() {
    let mut builder = Builder::tiny();
    builder.metadata.insert(
        0,
        ("general.description".to_owned(), { [&8u32.to_le_bytes()[..], &string(&"long ".repeat(1_000_000))].concat() }),
    );
    let bytes = builder.build();
    assert!(bytes.len() as u64 > 4 * FIRST_BYTES);
    load("m.gguf", &bytes).unwrap();
}

#[test]
fn a_header_of_impossible_lengths_is_refused_by_what_is_read_first() {
    let beginning =
        |length: u64| [&b"GGUF"[..], &[3, 0, 0, 0], &[0; 8], &[1, 0, 0, 0, 0, 0, 0, 0], &length.to_le_bytes()].concat();
    let refused = |length: u64, len: u64| {
        let file = Recorded { len, ..Recorded::new(beginning(length)) };
        let asked = file.asked.clone();
        let error = pollster::block_on(open("m.gguf", file)).map(drop).unwrap_err();
        assert_eq!(asked.take(), [(0, FIRST_BYTES.min(len))]);
        error.to_string()
    };
    let all = 1 << 33;
    assert_eq!(refused(all, all), "m.gguf: key of metadata 0: needs 8589934592 bytes at byte 32, 8589934560 remain");
    assert_eq!(refused(all / 2, all), "m.gguf: header: takes 4294967328 bytes or more, expected at most 268435456");
}

#[test]
fn rows_of_q_and_k_return_to_their_places() {
    let bytes = Builder::tiny().build();
    let (checkpoint, _) = load("m.gguf", &bytes).unwrap();
    // Stored row r begins with 8 r. Hugging Face's halves [0, 1 | 2, 3] of a head are stored as [0, 2, 1, 3].
    let starts = |name: &str| -> Vec<f32> {
        checkpoint.tensors[&format!("model.layers.0.self_attn.{name}.weight")]
            .to_f32()
            .chunks(8)
            .map(|row| row[0] / 8.0)
            .collect()
    };
    assert_eq!(starts("q_proj"), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
    assert_eq!(starts("k_proj"), [0.0, 2.0, 1.0, 3.0]);
    assert_eq!(starts("v_proj"), [0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn a_bos_is_put_where_the_file_says() {
    let mut builder = Builder::tiny();
    builder.set("tokenizer.ggml.add_bos_token", 7, vec![1]);
    let bytes = builder.build();
    let (_, text) = load("m.gguf", &bytes).unwrap();
    assert_eq!(text.raw("ab").unwrap(), [0, 5]);
    assert_eq!(text.raw_and_completion("a", "b", Finish::Stop).unwrap(), [0, 5, 1]);
}

fn array(kind: u32, values: &[[u8; 4]]) -> Vec<u8> {
    [&9u32.to_le_bytes()[..], &kind.to_le_bytes(), &(values.len() as u64).to_le_bytes(), &values.concat()].concat()
}

/// A file of byte-level BPE with these tokens, of these types, behind `a`, `b`, `ab`; embeds ten.
fn with_tokens(tokens: &[(&str, i32)], template: &str) -> Builder {
    let all = [&[("a", 1), ("b", 1), ("ab", 1)], tokens].concat();
    let mut builder = Builder::tiny();
    builder.set_raw("tokenizer.ggml.tokens", strings(&all.iter().map(|(token, _)| *token).collect::<Vec<_>>()));
    let types: Vec<_> = all.iter().map(|(_, kind)| kind.to_le_bytes()).collect();
    builder.set_raw("tokenizer.ggml.token_type", array(5, &types));
    builder.set("tokenizer.chat_template", 8, string(template));
    builder.metadata.retain(|(key, _)| key != "tokenizer.ggml.bos_token_id");
    *builder.tensor("token_embd.weight") = ("token_embd.weight".to_owned(), vec![8, 10], 0, vec![0; 320]);
    builder
}

const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}";

#[test]
fn well_known_tokens_are_special_whatever_their_type() {
    for kind in [1, 3, 4] {
        let mut builder =
            with_tokens(&[("</s>", kind), ("<|im_start|>", kind), ("<|im_end|>", kind), ("<tool>", 4)], CHATML);
        builder.set("tokenizer.ggml.eos_token_id", 4, 3u32.to_le_bytes().to_vec());
        let bytes = builder.build();
        let (_, text) = load("m.gguf", &bytes).unwrap();
        assert_eq!((text.end_of_turn(), text.stop_tokens()), (5, &[3, 5][..]), "type {kind}");
        let said = [Message { role: "user".to_owned(), content: "ab".to_owned() }];
        assert_eq!(text.prompt(&said).unwrap(), [4, 2, 5], "type {kind}");
        assert_eq!(text.said(&[2, 5, 6, 2], Finish::Length).unwrap(), "ab<tool>ab", "type {kind}");
    }
}

#[test]
fn every_known_end_stops() {
    for end in [
        "<|eot_id|>",
        "<|end|>",
        "<end_of_turn>",
        "<|endoftext|>",
        "<|end_of_text|>",
        "<|eom_id|>",
        "<EOT>",
        "[EOS]",
        "<|fim_pad|>",
        "<reponame>",
    ] {
        for kind in [1, 3, 4] {
            let mut builder = with_tokens(&[("<end>", 3), (end, kind)], "{{ messages[-1].content }}");
            builder.set("tokenizer.ggml.eos_token_id", 4, 3u32.to_le_bytes().to_vec());
            let bytes = builder.build();
            let (_, text) = load("m.gguf", &bytes).unwrap();
            assert_eq!((text.end_of_turn(), text.stop_tokens()), (3, &[3, 4][..]), "{end} of type {kind}");
            assert_eq!(text.raw(&format!("a{end}")).unwrap(), [0, 4], "{end} of type {kind}");
        }
    }
}

#[test]
fn what_merges_make_is_text() {
    let mut builder = with_tokens(&[("<end>", 3), ("</", 1), ("s>", 1), ("</s>", 1)], "{{ messages[-1].content }}");
    builder.set_raw("tokenizer.ggml.merges", strings(&["a b", "</ s>"]));
    builder.set("tokenizer.ggml.eos_token_id", 4, 3u32.to_le_bytes().to_vec());
    let bytes = builder.build();
    let (_, text) = load("m.gguf", &bytes).unwrap();
    assert_eq!(text.stop_tokens(), [3]);
    assert_eq!(text.said(&[6], Finish::Length).unwrap(), "</s>");
}

#[test]
fn an_end_of_turn_of_a_templates_own_stops() {
    let mut builder =
        with_tokens(&[("</s>", 3), ("<done>", 4)], "{% for m in messages %}{{ m.content }}<done>{% endfor %}");
    builder.set("tokenizer.ggml.eos_token_id", 4, 3u32.to_le_bytes().to_vec());
    let bytes = builder.build();
    let (_, text) = load("m.gguf", &bytes).unwrap();
    assert_eq!((text.end_of_turn(), text.stop_tokens()), (4, &[3, 4][..]));
    assert_eq!(text.said(&[2, 4], Finish::Length).unwrap(), "ab");
}

#[test]
fn a_rule_that_is_not_named_is_known_by_its_vocabulary_or_refused() {
    let mut builder = Builder::tiny();
    builder.metadata.retain(|(key, _)| key != "tokenizer.ggml.pre");
    let message = builder.refusal();
    for expected in ["tokenizer.ggml.pre: missing", "default, gpt-2, smollm, llama-bpe", "--pre-tokenizer NAME"] {
        assert!(message.contains(expected), "{message}");
    }
    // SmolLM's vocabulary begins so, and splits digits.
    let known = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<reponame>", "1", "2", "12"];
    builder.set_raw("tokenizer.ggml.tokens", strings(&known));
    builder.set_raw("tokenizer.ggml.merges", strings(&["1 2"]));
    let bytes = builder.build();
    let (_, text) = load("m.gguf", &bytes).unwrap();
    assert_eq!(text.raw("12").unwrap(), [5, 6]);
}

#[test]
fn the_default_rule_is_llama_cpps() {
    let tokens = ["<s>", "</s>", "1", "2", "3", "Ġ", "11", "!", "Ġ!", "!!", "111", "1111"];
    let mut builder = Builder::tiny();
    builder.set("tokenizer.ggml.pre", 8, string("default"));
    builder.set_raw("tokenizer.ggml.tokens", strings(&tokens));
    builder.set_raw("tokenizer.ggml.merges", strings(&["1 1", "11 1", "111 1", "Ġ !", "! !"]));
    builder
        .set_raw("tokenizer.ggml.token_type", array(5, &[3i32, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1].map(i32::to_le_bytes)));
    *builder.tensor("token_embd.weight") = ("token_embd.weight".to_owned(), vec![8, 12], 0, vec![0; 384]);
    let bytes = builder.build();
    let (_, text) = load("m.gguf", &bytes).unwrap();
    // Digits go by threes, and punctuation leaves the space before it, unlike GPT-2's.
    assert_eq!(text.raw("1111 !!").unwrap(), [10, 2, 5, 9]);
    builder.set("tokenizer.ggml.pre", 8, string("gpt-2"));
    let bytes = builder.build();
    assert_eq!(load("m.gguf", &bytes).unwrap().1.raw("1111 !!").unwrap(), [6, 6, 8, 7]);
}

#[test]
fn sentence_piece_files_that_do_not_say_begin_with_s() {
    let tokens = ["<unk>", "<s>", "</s>", "▁", "a"];
    let mut builder = Builder::tiny();
    builder.set("tokenizer.ggml.model", 8, string("llama"));
    builder.set_raw("tokenizer.ggml.tokens", strings(&tokens));
    builder.set_raw("tokenizer.ggml.scores", array(6, &[0.0f32, 0.0, 0.0, -1.0, -2.0].map(f32::to_le_bytes)));
    builder.metadata.retain(|(key, _)| !key.ends_with("_token_id") && key != "tokenizer.ggml.token_type");
    let bytes = builder.build();
    let (_, text) = load("m.gguf", &bytes).unwrap();
    assert_eq!(text.raw("a").unwrap(), [1, 3, 4]);
    assert_eq!(text.raw("<s>a").unwrap(), [1, 3, 4]);
    assert_eq!(text.stop_tokens(), [2]);
}

#[test]
fn sentence_piece_merges_follow_from_scores() {
    let tokens = ["<unk>", "<s>", "</s>", "▁", "a", "b", "▁a", "ab", "▁ab", "<0x21>"];
    let mut builder = Builder::tiny();
    builder.set("tokenizer.ggml.model", 8, string("llama"));
    builder.set_raw("tokenizer.ggml.tokens", strings(&tokens));
    let scores = [0.0f32, 0.0, 0.0, -9.0, -7.0, -8.0, -1.0, -2.0, -3.0, 0.0];
    builder.set_raw("tokenizer.ggml.scores", array(6, &scores.map(f32::to_le_bytes)));
    builder.set_raw("tokenizer.ggml.token_type", array(5, &[2i32, 3, 3, 1, 1, 1, 1, 1, 1, 6].map(i32::to_le_bytes)));
    builder.set("tokenizer.ggml.unknown_token_id", 4, 0u32.to_le_bytes().to_vec());
    builder.set("tokenizer.ggml.bos_token_id", 4, 1u32.to_le_bytes().to_vec());
    builder.set("tokenizer.ggml.eos_token_id", 4, 2u32.to_le_bytes().to_vec());
    *builder.tensor("token_embd.weight") = ("token_embd.weight".to_owned(), vec![8, 10], 0, vec![0; 320]);
    let bytes = builder.build();
    let (_, text) = load("m.gguf", &bytes).unwrap();
    // "▁a" scores above "ab", so "▁ab" is made of "▁a" and "b".
    assert_eq!(text.raw("ab abab!").unwrap(), [1, 8, 8, 7, 9]);
    assert_eq!(text.said(&[1, 8, 8, 7, 9, 2], Finish::Stop).unwrap(), "ab abab!");
}

#[test]
fn llama_3_scaling_is_found_from_its_divisors() {
    let scaling = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    let bytes = Builder::tiny().build();
    let plain = LlamaConfig { head_dim: 128, rope_theta: 500_000.0, ..load("m.gguf", &bytes).unwrap().0.config };
    let scaled = LlamaConfig { rope_scaling: Some(scaling), ..plain.clone() };
    let divisors: Vec<f32> =
        plain.rope_frequencies().iter().zip(scaled.rope_frequencies()).map(|(a, b)| a / b).collect();
    assert_eq!(llama3_scaling("m.gguf", &plain, &divisors).unwrap(), scaling);
    let wrong: Vec<f32> = divisors.iter().map(|divisor| divisor.sqrt()).collect();
    assert!(llama3_scaling("m.gguf", &plain, &wrong).is_err());
    assert!(llama3_scaling("m.gguf", &plain, &divisors[1..]).is_err());
}

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let bytes = Builder::tiny().build();
    for len in 0..bytes.len() {
        let message = refusal(&bytes[..len]);
        assert!(message.starts_with("m.gguf: "), "{message}");
    }
}

#[test]
fn lengths_beyond_the_file_are_refused_before_anything_is_made() {
    let bytes = Builder::tiny().build();
    let with = |at: usize, value: u64| {
        let mut bytes = bytes.clone();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        refusal(&bytes)
    };
    // Tensor count, metadata count, length of the first key.
    for at in [8, 16, 24] {
        for value in [u64::MAX, 1 << 60, bytes.len() as u64] {
            assert!(with(at, value).starts_with("m.gguf: "));
        }
    }
    let mut builder = Builder::tiny();
    let head = |kind: u32, len: u64| {
        [9u32.to_le_bytes(), kind.to_le_bytes()].concat().into_iter().chain(len.to_le_bytes()).collect()
    };
    for kind in [0, 4, 8, 10] {
        builder.set_raw("tokenizer.ggml.tokens", head(kind, u64::MAX));
        assert!(builder.refusal().contains("tokenizer.ggml.tokens"));
    }
    builder.set_raw("tokenizer.ggml.tokens", head(9, 1));
    assert!(builder.refusal().contains("nested"));
}

#[test]
fn refusals_name_what_is_wrong() {
    let metadata = |key: &str, kind: u32, value: &[u8], expected: &str| {
        let mut builder = Builder::tiny();
        builder.set(key, kind, value.to_vec());
        let message = builder.refusal();
        assert!(message.contains(key) && message.contains(expected), "{message}");
    };
    metadata("general.architecture", 8, &string("qwen2"), "\"qwen2\", only \"llama\"");
    metadata("general.architecture", 4, &[0; 4], "expected a string");
    metadata("general.alignment", 4, &24u32.to_le_bytes(), "24, expected a power of two");
    metadata("llama.expert_count", 4, &8u32.to_le_bytes(), "8, only dense models");
    metadata("llama.rope.dimension_count", 4, &2u32.to_le_bytes(), "expected the key's 4");
    metadata("llama.rope.scaling.type", 8, &string("yarn"), "\"yarn\"");
    metadata("llama.block_count", 5, &(-1i32).to_le_bytes(), "-1");
    metadata("llama.block_count", 13, &[], "unknown type 13");
    metadata("tokenizer.ggml.model", 8, &string("t5"), "\"t5\"");
    metadata("tokenizer.ggml.pre", 8, &string("falcon"), "\"falcon\"");
    metadata("tokenizer.ggml.eos_token_id", 4, &8u32.to_le_bytes(), "8, the file has 8 tokens");
    metadata("tokenizer.chat_template", 8, &[2, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "utf-8");

    let tensor = |name: &str, dimensions: Vec<u64>, kind: u32, expected: &str| {
        let mut builder = Builder::tiny();
        let entry = builder.tensor(name);
        (entry.1, entry.2) = (dimensions, kind);
        let message = builder.refusal();
        assert!(message.contains(expected), "{message}");
    };
    tensor("blk.0.ffn_up.weight", vec![8, 32], 10, "blk.0.ffn_up.weight: element type Q2_K");
    tensor("token_embd.weight", vec![8, 8], 28, "token_embd.weight: element type F64");
    tensor("blk.0.ffn_up.weight", vec![8, 32], 99, "blk.0.ffn_up.weight: element type number 99");
    tensor("blk.0.ffn_up.weight", vec![8, 32], 2, "does not fit Q4_0 blocks");
    tensor("blk.0.ffn_up.weight", vec![1 << 63, 1 << 63], 0, "blk.0.ffn_up.weight");
    tensor("blk.0.ffn_up.weight", vec![1 << 32, 1 << 32], 0, "does not fit F32");
    tensor("blk.0.ffn_up.weight", vec![8, 0], 0, "dimension 0");
    tensor("blk.0.ffn_up.weight", vec![8, 1 << 40], 0, "needs");
    tensor("blk.0.ffn_up.weight", vec![8, 31], 0, "shape [31, 8], expected [32, 8]");
    tensor("blk.0.attn_q.weight", vec![8, 7], 0, "7 rows");
    tensor("blk.0.attn_q.weight", vec![64], 0, "expected a matrix");

    let mut twice = Builder::tiny();
    twice.tensors.push(twice.tensors[1].clone());
    assert!(twice.refusal().contains("output_norm.weight: this tensor appears twice"));
    let mut unknown = Builder::tiny();
    unknown.tensors[9].0 = "blk.0.attn_q.bias".to_owned();
    assert!(unknown.refusal().contains("blk.0.attn_q.bias"));
    let mut missing = Builder::tiny();
    missing.tensors.remove(9);
    assert!(missing.refusal().contains("mlp.up_proj.weight: missing"));
    let mut small = Builder::tiny();
    *small.tensor("token_embd.weight") = ("token_embd.weight".to_owned(), vec![8, 7], 0, vec![0; 224]);
    assert!(small.refusal().contains("8 tokens, but the model embeds only 7"));

    let mut bytes = Builder::tiny().build();
    bytes[4..8].copy_from_slice(&3u32.to_be_bytes());
    assert!(refusal(&bytes).contains("big-endian"));
    assert!(refusal(b"PK\x03\x04").contains("magic"));
}

fn u32(value: u32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

fn f32(value: f32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// The value type of a 32-bit float.
const FLOAT: u32 = 6;

#[test]
fn keys_that_leave_a_llama_as_it_is() {
    for (key, kind, value) in [
        ("llama.vocab_size", 4, u32(8)),
        ("llama.expert_count", 4, u32(0)),
        ("llama.expert_used_count", 4, u32(2)),
        ("llama.rope.dimension_count", 4, u32(4)),
        ("llama.rope.freq_base", FLOAT, f32(10_000.0)),
        ("llama.rope.scaling.type", 8, string("none")),
        ("llama.rope.scaling.factor", FLOAT, f32(0.0)),
        ("llama.rope.scaling.factor", FLOAT, f32(1.0)),
        ("llama.rope.scale_linear", FLOAT, f32(1.0)),
        ("llama.rope.scaling.attn_factor", FLOAT, f32(1.0)),
        ("llama.rope.scaling.original_context_length", 4, u32(8192)),
        ("llama.rope.scaling.finetuned", 7, vec![1]),
        ("llama.rope.scaling.yarn_log_multiplier", FLOAT, f32(0.1)),
        ("llama.attention.scale", FLOAT, f32(0.5)),
        ("llama.attention.scale", FLOAT, f32(0.0)),
        ("llama.attention.sliding_window", 4, u32(0)),
        ("llama.attention.sliding_window", 4, u32(32)),
        ("llama.attention.sliding_window", 4, u32(u32::MAX)),
        ("llama.attention.sliding_window", 5, (-1_i32).to_le_bytes().to_vec()),
        ("llama.attention.causal", 7, vec![1]),
        ("llama.attention.clamp_kqv", FLOAT, f32(0.0)),
        ("llama.attention.max_alibi_bias", FLOAT, f32(0.0)),
        ("llama.logit_scale", FLOAT, f32(1.0)),
        ("llama.logit_scale", FLOAT, f32(0.0)),
        ("llama.residual_scale", FLOAT, f32(1.0)),
        ("llama.embedding_scale", FLOAT, f32(1.0)),
        ("llama.final_logit_softcapping", FLOAT, f32(0.0)),
        ("llama.use_parallel_residual", 7, vec![0]),
        ("llama.tensor_data_layout", 8, string("Meta AI original pth")),
        ("llama.of_tomorrow", 4, u32(0)),
        ("llama.of_tomorrow", 8, string("")),
        ("general.type", 8, string("model")),
        ("general.file_type", 4, u32(15)),
        ("split.count", 2, vec![0, 0]),
        ("split.count", 2, vec![1, 0]),
        ("quantize.imatrix.file", 8, string("a.dat")),
    ] {
        let mut builder = Builder::tiny();
        builder.set(key, kind, value);
        let bytes = builder.build();
        let (checkpoint, _) = load("m.gguf", &bytes).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(checkpoint.config.rope_scaling, None, "{key}");
    }
}

#[test]
fn keys_that_change_a_llama_are_refused_by_name() {
    for (key, kind, value) in [
        ("llama.expert_count", 4, u32(8)),
        ("llama.rope.dimension_count", 4, u32(2)),
        ("llama.rope.scaling.type", 8, string("yarn")),
        ("llama.rope.scaling.type", 8, string("longrope")),
        ("llama.rope.scaling.attn_factor", FLOAT, f32(1.2)),
        ("llama.rope.scaling.alpha", FLOAT, f32(1000.0)),
        ("llama.rope.dimension_sections", 9, [u32(5), 1_u64.to_le_bytes().to_vec(), u32(2)].concat()),
        ("llama.attention.scale", FLOAT, f32(0.25)),
        ("llama.attention.sliding_window", 4, u32(16)),
        ("llama.attention.causal", 7, vec![0]),
        ("llama.attention.clamp_kqv", FLOAT, f32(8.0)),
        ("llama.attention.max_alibi_bias", FLOAT, f32(8.0)),
        ("llama.attention.temperature_scale", FLOAT, f32(0.1)),
        ("llama.logit_scale", FLOAT, f32(0.125)),
        ("llama.residual_scale", FLOAT, f32(0.22)),
        ("llama.embedding_scale", FLOAT, f32(12.0)),
        ("llama.final_logit_softcapping", FLOAT, f32(30.0)),
        ("llama.attn_logit_softcapping", FLOAT, f32(50.0)),
        ("llama.use_parallel_residual", 7, vec![1]),
        ("llama.tensor_data_layout", 8, string("reshaped")),
        ("llama.nextn_predict_layers", 4, u32(1)),
        ("llama.of_tomorrow", 4, u32(3)),
        ("general.type", 8, string("adapter")),
        ("general.type", 8, string("mmproj")),
        ("general.type", 8, string("imatrix")),
        ("split.count", 2, vec![3, 0]),
    ] {
        let mut builder = Builder::tiny();
        builder.set(key, kind, value);
        let message = builder.refusal();
        assert!(message.starts_with(&format!("m.gguf: {key}: ")), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }
}

#[test]
fn linear_scaling_is_read_as_llama_cpp_reads_it() {
    for (keys, factor) in [
        (&[("scaling.type", None), ("scaling.factor", Some(4.0))][..], Some(4.0)),
        // No type is linear.
        (&[("scaling.factor", Some(4.0))], Some(4.0)),
        (&[("scale_linear", Some(4.0))], Some(4.0)),
        (&[("scaling.type", None), ("scale_linear", Some(4.0))], Some(4.0)),
        (&[("scaling.factor", Some(2.0)), ("scale_linear", Some(4.0))], Some(2.0)),
        (&[("scaling.type", None)], None),
    ] {
        let mut builder = Builder::tiny();
        for (key, value) in keys {
            match value {
                Some(value) => builder.set(&format!("llama.rope.{key}"), FLOAT, f32(*value)),
                None => builder.set(&format!("llama.rope.{key}"), 8, string("linear")),
            }
        }
        let bytes = builder.build();
        let found = load("m.gguf", &bytes).unwrap().0.config.rope_scaling;
        assert_eq!(found, factor.map(|factor| RopeScaling::Linear { factor }), "{keys:?}");
    }
    let mut both = Builder::tiny();
    both.set("llama.rope.scaling.factor", FLOAT, f32(4.0));
    let mut divisors = |values: [f32; 2]| {
        both.tensors.retain(|(name, ..)| name != "rope_freqs.weight");
        both.tensors.push(("rope_freqs.weight".to_owned(), vec![2], 0, values.map(f32::to_le_bytes).concat()));
        both.build()
    };
    assert!(load("m.gguf", &divisors([1.0, 1.0])).is_ok());
    assert!(refusal(&divisors([1.0, 8.0])).contains("rope_freqs.weight: divisors beside linear scaling"));
}

#[test]
fn tensors_that_are_not_needed_are_no_error() {
    let with = |name: &str, kind: u32, bytes: &[u8]| {
        let mut builder = Builder::tiny();
        builder.tensors.push((name.to_owned(), vec![1], kind, bytes.to_vec()));
        builder
    };
    const F64: u32 = 28;
    const I32: u32 = 26;
    let one = f32(1.0);
    for (name, kind, bytes) in [
        ("blk.0.attn_rot_embd.weight", 0, &one[..]),
        ("blk.0.attn_rot_embd", F64, &[1; 8]),
        ("blk.0.attn_q.bias", 0, &[0; 4]),
        ("cls.output.weight", 0, &one),
        ("v.patch_embd.weight", F64, &[1; 8]),
        ("mm.0.weight", I32, &[1; 4]),
    ] {
        let bytes = with(name, kind, bytes).build();
        let (checkpoint, _) = load("m.gguf", &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(checkpoint.tensors.len(), 11);
    }
    for (name, kind, bytes) in [
        ("blk.0.attn_q.bias", 0, &one[..]),
        ("blk.0.attn_q.bias", F64, &[0; 8]),
        ("blk.0.attn_q_norm.weight", 0, &one),
        ("blk.0.attn_q.scale", 0, &one),
        ("blk.0.ffn_gate_inp.weight", 0, &one),
        ("blk.1.attn_norm.weight", 0, &one),
        ("output_norm.bias", 0, &one),
        ("token_embd_norm.weight", 0, &one),
        ("position_embd.weight", 0, &one),
        ("rope_factors_long.weight", 0, &one),
        ("rope_freqs.weight", F64, &[0; 8]),
    ] {
        let message = with(name, kind, bytes).refusal();
        assert!(message.starts_with(&format!("m.gguf: {name}: ")) || name.starts_with("blk.1."), "{message}");
    }
}

#[test]
fn a_file_that_is_no_model_is_named() {
    for (bytes, expected) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"[..], "magic: a Git LFS pointer"),
        (b"PK\x03\x04", "magic: a zip archive"),
        (b"<!doctype html>", "magic: a web page"),
        (b"tjgg\x03\0\0\0", "magic: a GGML file from before GGUF"),
        (b"\x40\0\0\0\0\0\0\0{\"a\":{", "magic: a safetensors file: give the folder"),
        (b"", "magic: an empty file"),
        (b"hello", "magic: bytes [68, 65, 6c, 6c], expected \"GGUF\""),
        (b"GGUF\x01\0\0\0", "version: 1, expected 2 or 3"),
        (b"GGUF\0\0\0\x03", "version: big-endian"),
        (b"GGUF\0\0\0\x02", "version: big-endian"),
    ] {
        let message = refusal(bytes);
        assert!(message.starts_with("m.gguf: ") && message.contains(expected), "{message}");
    }
    // Parts after the first have no architecture, a vocabulary no tensors.
    let mut part = Builder::tiny();
    part.metadata.retain(|(key, _)| !key.starts_with("llama.") && key != "general.architecture");
    part.set("split.no", 2, vec![1, 0]);
    part.set("split.count", 2, vec![3, 0]);
    assert!(
        part.refusal()
            .contains("split.count: part 2 of 3 of a split model: merge them first (llama-gguf-split --merge")
    );
    let mut vocabulary = Builder::tiny();
    vocabulary.tensors.clear();
    assert!(vocabulary.refusal().contains("a vocabulary without a model"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn changed_bytes_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = Builder::tiny().build();
        for (at, value) in changes {
            let len = bytes.len();
            bytes[at.index(len)] = value;
        }
        if let Ok((checkpoint, text)) = load("m.gguf", &bytes) {
            let _ = (text.raw("ab 12"), checkpoint.tensors.values().map(Tensor::to_f32).count());
        }
    }
}
