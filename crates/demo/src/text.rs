//! The tiny model's tokenizer: a token for each printable ASCII character and for each edge of a turn.

use std::collections::BTreeMap;

use serde_json::json;

/// Before them, tokens of no text; after them, the characters from the space on.
const SPECIAL: [&str; 4] = ["<unk>", "<|user|>", "<|assistant|>", "<|end|>"];

/// Number of tokens.
pub const VOCAB_SIZE: usize = SPECIAL.len() + (b'~' - b' ') as usize + 1;

/// tokenizer.json and tokenizer_config.json.
pub fn files() -> [(&'static str, Vec<u8>); 2] {
    let characters = (b' '..=b'~').map(|byte| char::from(byte).to_string());
    let tokens = SPECIAL.iter().map(|&token| token.to_owned()).chain(characters);
    let vocabulary: BTreeMap<String, usize> = tokens.enumerate().map(|(id, token)| (token, id)).collect();
    let added = |(id, &content): (usize, &&str)| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": SPECIAL.iter().enumerate().map(added).collect::<Vec<_>>(),
        "normalizer": null,
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "unk_token": "<unk>"},
    });
    let template = "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}\
                    {% if add_generation_prompt %}<|assistant|>{% endif %}";
    let config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|user|>",
        "eos_token": "<|end|>",
        "unk_token": "<unk>",
        "chat_template": template,
    });
    [("tokenizer.json", tokenizer), ("tokenizer_config.json", config)]
        .map(|(name, value)| (name, value.to_string().into_bytes()))
}
