//! A chat template of any text is refused, fails, or renders, in bounded time.
#![no_main]

use cream_engine::{Message, hf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let files = [
        ("config.json", include_bytes!("../../tests/golden/tied/config.json").to_vec()),
        ("model.safetensors", include_bytes!("../../tests/golden/tied/model.safetensors").to_vec()),
        ("tokenizer_config.json", include_bytes!("../../tests/golden/tiny/tokenizer_config.json").to_vec()),
        ("tokenizer.json", include_bytes!("../../tests/golden/tiny/tokenizer.json").to_vec()),
        ("chat_template.jinja", bytes.to_vec()),
    ];
    if let Ok((_, Some(text))) = hf::load(&files.map(|(name, bytes)| (name.to_owned(), bytes)).into()) {
        let _ = text.prompt(&[Message { role: "user".to_owned(), content: "Hello".to_owned() }]);
    }
});
