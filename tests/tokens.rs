//! Tokens of a real model, against llama.cpp and transformers.

use std::path::Path;

use cream_engine::{Message, Text, gguf};
use serde::Deserialize;

/// One case of golden/smollm2_tokens.json: a raw text, or a conversation with what its template makes of it.
#[derive(Deserialize)]
struct Case {
    text: Option<String>,
    messages: Option<Vec<Message>>,
    rendered: Option<String>,
    tokens: Vec<u32>,
}

/// Encodes every case with the tokenizer in the SmolLM2-135M-Instruct GGUF file at `model`.
pub fn tokens_are_those_of_llama_cpp(model: &Path) {
    let bytes = std::fs::read(model).unwrap();
    let (_, text) = gguf::load("SmolLM2", &bytes).unwrap();
    let cases: Vec<Case> = serde_json::from_str(include_str!("golden/smollm2_tokens.json")).unwrap();
    assert_eq!(cases.len(), 77);
    for case in &cases {
        match (&case.text, &case.messages) {
            (Some(raw), None) => {
                assert_eq!(text.raw(raw).unwrap(), case.tokens, "{raw:?}");
                comes_back(&text, raw, &case.tokens);
            }
            (None, Some(messages)) => {
                assert_eq!(text.render(messages, true).unwrap(), *case.rendered.as_ref().unwrap());
                assert_eq!(text.prompt(messages).unwrap(), case.tokens, "{messages:?}");
            }
            _ => panic!("a case is a text or messages"),
        }
    }
    assert_eq!((text.end_of_turn(), text.stop_tokens()), (2, &[2][..]));
}

/// Decoding gives the text back, where it holds no special token.
fn comes_back(text: &Text, raw: &str, tokens: &[u32]) {
    if tokens.iter().all(|&token| token > 16) {
        assert_eq!(text.decode(tokens).unwrap(), raw);
    }
}
