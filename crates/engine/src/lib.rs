//! A Llama-family language model on a device: load it, generate, score, differentiate, optimise.
//!
//! The model is written once over [`Backend`], whose methods are the kernels; [`Cpu`] implements them with threads.
//! Batches are packed without padding and hold each prompt once for all its completions; the head runs on completion
//! tokens only, in tiles. Adapters (LoRA) switch over one frozen base and are never merged to score.
//!
//! What it does not do: it opens no files (bytes in, bytes out), knows no method (no rewards, no pairs, no losses:
//! the caller says what the gradient with respect to each completion's log-probability is) and has no other
//! architecture than Llama's.
// wgpu's handles belong to one thread there, and elsewhere to any.
#![cfg_attr(target_arch = "wasm32", allow(clippy::arc_with_non_send_sync))]

mod adapter;
mod backend;
mod batch;
pub mod blocks;
mod checkpoint;
mod config;
mod cpu;
mod error;
mod generate;
pub mod gguf;
#[cfg(test)]
mod golden;
#[cfg(feature = "gpu")]
pub mod gpu;
pub mod hf;
mod llama;
mod matrix;
mod memory;
mod neutral;
mod prepare;
mod source;
mod stand_in;
mod tensor;
#[cfg(test)]
mod tests;
mod text;
#[cfg(test)]
mod tolerances;
mod train;

pub use adapter::{Adapter, Linear, LoraConfig};
pub use backend::{AdamW, Adapted, Backend, Heads, LinearGradient, NO_TOKEN, Norm, Parameter, Rope, Segment};
pub use batch::{Batch, Group};
pub use checkpoint::Checkpoint;
pub use config::{LlamaConfig, RopeScaling};
pub use cpu::{Cpu, CpuBuffer, CpuPacked, Rest};
pub use error::{Error, Result};
pub use generate::{Drawn, Finish, GenerateOptions, Generated, Request};
pub use llama::Llama;
pub use matrix::{Lora, Matrix, MatrixData};
pub use memory::{Budget, MemoryPlan, Meter, Outline};
pub use prepare::Uses;
pub use source::{Reader, Streamed, WeightSource};
pub use tensor::{Dtype, Tensor};
pub use text::{Date, Message, Text};
pub use train::{Schedule, Trained, Trainer};
