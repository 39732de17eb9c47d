//! The tokenizer inside a file.

use super::*;

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

/// A file of SentencePiece BPE.
pub(super) fn sentence_piece() -> Builder {
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
    builder
}

#[test]
fn sentence_piece_merges_follow_from_scores() {
    let bytes = sentence_piece().build();
    let (_, text) = load("m.gguf", &bytes).unwrap();
    // "▁a" scores above "ab", so "▁ab" is made of "▁a" and "b".
    assert_eq!(text.raw("ab abab!").unwrap(), [1, 8, 8, 7, 9]);
    assert_eq!(text.said(&[1, 8, 8, 7, 9, 2], Finish::Stop).unwrap(), "ab abab!");
}
