//! A GGUF file of any bytes is read or refused; what is read can be used.
#![no_main]

use cream_engine::gguf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((checkpoint, text)) = gguf::load("fuzz.gguf", bytes) {
        for tensor in checkpoint.tensors.values() {
            tensor.to_f32();
        }
        let _ = text.raw("a 12 b").map(|tokens| text.said(&tokens, cream_engine::Finish::Length));
    }
});
