//! From scores to rankings and pairs.

use cream::{PairInputs, Previous, Scores};
use serde_json::json;
use wasm_bindgen::prelude::*;

use crate::error::{Result, thrown};
use crate::js::{rows, to_js};
use crate::run::settings;

/// Ranks the completions of each row by the reward of the settings, tells how far the former self's ranking agrees, and chooses
/// the pairs, as a round of a run does.
///
/// `current`, `previous` and `reference` are the same completions scored by the latest model, the one before it, and the
/// initial one. Without `previous` the former self is the initial model, whose mean log-prob per token ranks.
#[wasm_bindgen(unchecked_return_type = "Ranked")]
pub fn rank(
    #[wasm_bindgen(unchecked_param_type = "Scores[]")] current: JsValue,
    #[wasm_bindgen(unchecked_param_type = "Scores[] | undefined")] previous: JsValue,
    #[wasm_bindgen(unchecked_param_type = "Scores[]")] reference: JsValue,
    #[wasm_bindgen(unchecked_optional_param_type = "Config")] config: JsValue,
) -> Result<JsValue> {
    let config = settings((!config.is_undefined()).then_some(config), None)?;
    let (current, reference): (Vec<Scores>, Vec<Scores>) = (rows("current", &current)?, rows("reference", &reference)?);
    let previous: Option<Vec<Scores>> = if previous.is_undefined() { None } else { Some(rows("previous", &previous)?) };
    let inputs = PairInputs {
        current: &current,
        previous: previous.as_deref().map_or(Previous::Reference, Previous::Model),
        reference: &reference,
        rewards: None,
        previous_rewards: None,
        anchors: 0,
    };
    let ranked = cream::pair(&inputs, config.beta, &config.pair).map_err(thrown)?;
    to_js(&json!({ "rankings": ranked.rankings, "pairs": ranked.pairs, "notes": ranked.report.notes }))
}
