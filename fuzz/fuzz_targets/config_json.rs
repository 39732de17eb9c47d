//! A config.json of any bytes is refused or read: the weights beside it are those of the smallest model.
#![no_main]

use cream_engine::hf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let weights = include_bytes!("../../tests/golden/tied/model.safetensors");
    let files = [("config.json", bytes.to_vec()), ("model.safetensors", weights.to_vec())];
    let _ = hf::load(&files.map(|(name, bytes)| (name.to_owned(), bytes)).into());
});
