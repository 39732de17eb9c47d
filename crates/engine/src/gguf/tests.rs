//! A tiny GGUF file written by hand, and everything that can be wrong with one.

mod keys;
mod save;
mod vocab;

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

fn u32(value: u32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

fn f32(value: f32) -> Vec<u8> {
    value.to_le_bytes().to_vec()
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
