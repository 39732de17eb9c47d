//! The share of right answers.

use cream::{EvalOptions, Policy, Task};
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::adapter::{Adapter, free};
use crate::error::{Result, thrown};
use crate::hooks::Hooks;
use crate::js::{Options, lines, to_js};
use crate::model::Model;

/// As `EvaluateOptions` of types.ts has them.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    max_new_tokens: Option<usize>,
    temperature: f32,
    seed: u64,
}

/// Has a model answer questions, greedily or drawn, and counts the answers that are right.
#[wasm_bindgen(unchecked_return_type = "Evaluation")]
pub async fn evaluate(
    model: &Model,
    #[wasm_bindgen(unchecked_param_type = "QuestionRow[]")] questions: JsValue,
    #[wasm_bindgen(unchecked_optional_param_type = "EvaluateOptions")] options: JsValue,
) -> Result<JsValue> {
    let loaded = model.loaded.clone();
    let options = Options::of(&options);
    let mut hooks = Hooks::of(&options)?;
    let adapter = Adapter::of(&options, &loaded)?;
    let Settings { max_new_tokens, temperature, seed } = options.rest("options")?;
    let rows = lines("questions", &questions)?;
    let task = Task::read("questions", "questions", rows.as_bytes(), &mut Err).map_err(thrown)?;
    let eval = EvalOptions { max_new_tokens, temperature, seed, ..EvalOptions::default() };
    let own = adapter.as_ref().map(|adapter| free(&adapter.adapter)).transpose()?;
    let fingerprint = adapter.as_ref().map_or(&loaded.fingerprint, |adapter| &adapter.fingerprint);
    let policy = Policy { model: &loaded.model, adapter: own.as_deref(), encoder: loaded.encoder(false), fingerprint };
    to_js(&cream::evaluate(policy, None, &task, &eval, &mut hooks).await.map_err(thrown)?.report)
}
