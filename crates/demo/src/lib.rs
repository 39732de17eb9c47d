//! What `cream demo` runs on: a tiny Llama, the tasks that it learns and is tested on, and how both were made.
//!
//! It does *not* run anything: the program's `demo` verb does, through the same functions as a real run.

mod inputs;
mod tasks;
mod text;

#[cfg(feature = "model")]
use cream::engine::hf;

pub use inputs::{Inputs, LONGEST_ANSWER, adapter_settings, settings};
pub use tasks::{Family, Split, Task, tasks};
pub use text::{VOCAB_SIZE, files as text_files};

/// The model, 1.2 million parameters in f16, as a Hugging Face folder: what `examples/make_model.rs` made.
#[cfg(feature = "model")]
pub fn model() -> hf::Files {
    let file = |name: &str, bytes: &[u8]| (name.to_owned(), bytes.to_vec());
    hf::Files::from([
        file("config.json", include_bytes!("../model/config.json")),
        file("model.safetensors", include_bytes!("../model/model.safetensors")),
        file("tokenizer.json", include_bytes!("../model/tokenizer.json")),
        file("tokenizer_config.json", include_bytes!("../model/tokenizer_config.json")),
    ])
}
