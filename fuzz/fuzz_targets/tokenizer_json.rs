//! A tokenizer.json of any bytes is refused or can be used.
#![no_main]

use cream_engine::hf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let files = [
        ("config.json", include_bytes!("../../tests/golden/tied/config.json").to_vec()),
        ("model.safetensors", include_bytes!("../../tests/golden/tied/model.safetensors").to_vec()),
        ("tokenizer_config.json", include_bytes!("../../tests/golden/tiny/tokenizer_config.json").to_vec()),
        ("tokenizer.json", bytes.to_vec()),
    ];
    if let Ok((_, Some(text))) = hf::load(&files.map(|(name, bytes)| (name.to_owned(), bytes)).into()) {
        let _ = text.raw("a 12 é").map(|tokens| text.said(&tokens, cream_engine::Finish::Length));
    }
});
