//! What the demo works with, without its model, which lies beside the page.

use cream_demo::Inputs;
use serde_json::json;
use wasm_bindgen::prelude::*;

use crate::error::Result;
use crate::js::to_js;

/// The demo's prompts, supervised rows and held-out questions, and its settings for an adapter.
#[wasm_bindgen(unchecked_return_type = "Demo")]
pub fn demo(seed: Option<u32>) -> Result<JsValue> {
    let seed = seed.unwrap_or(0);
    let Inputs { prompts, sft, questions } = Inputs::new(seed);
    let config = cream_demo::adapter_settings(seed);
    to_js(&json!({ "prompts": prompts, "sft": sft, "questions": questions, "config": config }))
}
