//! Log-probs of completions.

use cream::{Completions, Memory, Output, Policy, ScoreOptions};
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::adapter::{Adapter, free};
use crate::error::{Result, thrown};
use crate::hooks::Hooks;
use crate::js::{Options, array, rows};
use crate::model::Model;

/// As `ScoreOptions` of types.ts has them.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    raw: bool,
    batch_tokens: Option<usize>,
}

#[wasm_bindgen]
impl Model {
    /// Adds to each row the log-prob of each of its completions, nats, and how many tokens that is over.
    #[wasm_bindgen(unchecked_return_type = "Scores[]")]
    pub async fn score(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Completions[]")] completions: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "ScoreOptions")] options: JsValue,
    ) -> Result<JsValue> {
        let loaded = self.loaded.clone();
        let options = Options::of(&options);
        let mut hooks = Hooks::of(&options)?;
        let adapter = Adapter::of(&options, &loaded)?;
        let Settings { raw, batch_tokens } = options.rest("options")?;
        let completions: Vec<Completions> = rows("completions", &completions)?;
        let mut scoring = ScoreOptions::default();
        scoring.batch_tokens = batch_tokens.unwrap_or(scoring.batch_tokens);
        let own = adapter.as_ref().map(|adapter| free(&adapter.adapter)).transpose()?;
        let fingerprint = adapter.as_ref().map_or(&loaded.fingerprint, |adapter| &adapter.fingerprint);
        let policy =
            Policy { model: &loaded.model, adapter: own.as_deref(), encoder: loaded.encoder(raw), fingerprint };
        let output = Output { store: &mut Memory::default(), name: "scores" };
        array(&cream::score(policy, &completions, &scoring, output, &mut hooks).await.map_err(thrown)?)
    }
}
