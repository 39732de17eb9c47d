//! `cream-web`: the engine and the method for JavaScript. A page, a worker or node opens a `Model`, has it answer, scores
//! answers, trains an adapter, or runs the whole loop (`Run`) over a store of its own.
//!
//! It has no method and no maths of its own, and draws nothing: every function hands its arguments to the library and its
//! answer back. Rows and settings are plain objects with the very keys of the files that the program writes. Natively it is
//! empty.
#![cfg(target_arch = "wasm32")]
#![allow(
    clippy::await_holding_refcell_ref,
    reason = "what works with an adapter or a store borrows it to its end, so that another's try_borrow is refused"
)]

mod adapter;
mod demo;
mod device;
mod error;
mod evaluate;
mod generate;
mod hooks;
mod js;
mod model;
mod rank;
mod rest;
mod run;
mod score;
mod source;
mod store;
mod trainer;

pub use adapter::Adapter;
pub use demo::demo;
pub use device::Device;
pub use evaluate::evaluate;
pub use model::Model;
pub use rank::rank;
pub use run::{Run, config, report};
pub use store::{MemoryStore, StoreObject};
pub use trainer::Trainer;

use wasm_bindgen::prelude::*;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = include_str!("types.ts");

/// The package's version.
#[wasm_bindgen]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// A panic is a mistake of ours: the console says where.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| error::console(&panic.to_string())));
}
