use std::fs;

use cream::engine::{Finish, Message, gguf};
use serde::Deserialize;

use crate::smollm2::file;
use crate::support::golden;

/// A case of tests/golden/smollm2_tokens.json: a text, or a conversation and what its template makes of it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Case {
    Raw { text: String, tokens: Vec<u32> },
    Chat { messages: Vec<Message>, rendered: String, tokens: Vec<u32> },
}

/// Tokens up to this one are special; decoding leaves them out.
const LAST_SPECIAL: u32 = 16;

#[test]
fn tokens_are_those_of_llama_cpp() {
    let Some(file) = file() else { return };
    let bytes = fs::read(file).unwrap();
    let (_, text) = gguf::load("SmolLM2", &bytes).unwrap();
    let cases: Vec<Case> = serde_json::from_slice(&fs::read(golden().join("smollm2_tokens.json")).unwrap()).unwrap();
    assert_eq!(cases.len(), 77);
    for case in cases {
        match case {
            Case::Raw { text: raw, tokens } => {
                assert_eq!(text.raw(&raw).unwrap(), tokens, "{raw:?}");
                if tokens.iter().all(|&token| token > LAST_SPECIAL) {
                    assert_eq!(text.said(&tokens, Finish::Length).unwrap(), raw.trim_end_matches('\u{fffd}'));
                }
            }
            Case::Chat { messages, rendered, tokens } => {
                assert_eq!(text.render(&messages, true).unwrap(), rendered);
                assert_eq!(text.prompt(&messages).unwrap(), tokens, "{messages:?}");
            }
        }
    }
    // <|endoftext|>, <|im_end|> and <reponame>: what llama.cpp's log calls EOG tokens.
    assert_eq!((text.end_of_turn(), text.stop_tokens()), (2, &[0, 2, 4][..]));
}
