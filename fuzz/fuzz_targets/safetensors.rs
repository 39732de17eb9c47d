//! A model.safetensors of any bytes is read or refused, whole and in parts alike: the configuration beside it is that of the
//! smallest model.
#![no_main]

use cream_engine::hf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let config: &[u8] = include_bytes!("../../tests/golden/tied/config.json");
    let files = [("config.json", config), ("model.safetensors", bytes)].map(|(name, bytes)| (name.to_owned(), bytes));
    let whole = files.clone().map(|(name, bytes)| (name, bytes.to_vec())).into();
    let parts = pollster::block_on(hf::open(files.into()));
    assert_eq!(hf::load(&whole).is_ok(), parts.is_ok());
});
