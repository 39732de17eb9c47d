//! A GGUF file of any bytes is read or refused, whole and in parts alike; what is read can be used, and written again.
#![no_main]

use cream_engine::{Cpu, Dtype, gguf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let whole = gguf::load("fuzz.gguf", bytes);
    let parts = pollster::block_on(gguf::open("fuzz.gguf", bytes));
    assert_eq!(whole.is_ok(), parts.is_ok());
    if let Ok((checkpoint, text)) = whole {
        for tensor in checkpoint.tensors.values() {
            tensor.to_f32();
        }
        let saved = pollster::block_on(gguf::save(&Cpu::new(), &checkpoint, None, &text, Dtype::Q8_0));
        let _ = gguf::load("fuzz.gguf", &saved.expect("what was read can be written"));
        let _ = text.raw("a 12 b").map(|tokens| text.said(&tokens, cream_engine::Finish::Length));
    }
});
