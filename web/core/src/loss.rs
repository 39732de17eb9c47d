//! Losses of pairs with their gradients.

use wasm_bindgen::prelude::*;

use crate::arguments::{Result, count, error, of_row, same_length};

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** Log-probs of a pair's completions, summed over their tokens. */
export interface PairLogps {
    chosen: number;
    rejected: number;
    reference_chosen: number;
    reference_rejected: number;
}

/** A supervised term in a loss: `weight` times the negative log-likelihood per token of the chosen completion. */
export interface Sft {
    weight: number;
    /** How many the chosen completion has. */
    tokens: number;
}

/** A pair's loss, what training logs of it, and its gradient. */
export interface PairLoss {
    /** In nats; of ipo in squared nats. */
    loss: number;
    /** Reward of the chosen less reward of the rejected. */
    margin: number;
    reward_chosen: number;
    reward_rejected: number;
    /** dL / d chosen. */
    d_chosen: number;
    d_rejected: number;
    d_reference_chosen: number;
    d_reference_rejected: number;
}

/** Log-probs of many pairs' completions, an element each. */
export interface PairLogpsArrays {
    chosen: Float64Array;
    rejected: Float64Array;
    reference_chosen: Float64Array;
    reference_rejected: Float64Array;
}

/** A supervised term in many pairs' losses. */
export interface SftArrays {
    weight: number;
    /** How many each chosen completion has. */
    tokens: Float64Array;
}

/** Losses of many pairs, an element each; gradients are those of each pair's own loss, not of the mean. */
export interface PairLosses {
    loss: Float64Array;
    margin: Float64Array;
    reward_chosen: Float64Array;
    reward_rejected: Float64Array;
    d_chosen: Float64Array;
    d_rejected: Float64Array;
    d_reference_chosen: Float64Array;
    d_reference_rejected: Float64Array;
}
"#;

/// A loss on preference pairs: DPO weighed by the consistency against its reverse, plain DPO, or identity preference
/// optimisation; the last two whatever the consistency.
#[wasm_bindgen]
#[derive(Clone, Copy)]
pub enum Loss {
    Cream = "cream",
    Dpo = "dpo",
    Ipo = "ipo",
}

impl Loss {
    fn of_core(self) -> Result<cream_core::Loss> {
        match self {
            Loss::Cream => Ok(cream_core::Loss::Cream),
            Loss::Dpo => Ok(cream_core::Loss::Dpo),
            Loss::Ipo => Ok(cream_core::Loss::Ipo),
            _ => Err(JsError::new("loss: expected cream, dpo or ipo")),
        }
    }
}

type Caught<T> = std::result::Result<T, JsValue>;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(typescript_type = "PairLogps")]
    pub type PairLogps;
    #[wasm_bindgen(method, getter, catch)]
    fn chosen(this: &PairLogps) -> Caught<f64>;
    #[wasm_bindgen(method, getter, catch)]
    fn rejected(this: &PairLogps) -> Caught<f64>;
    #[wasm_bindgen(method, getter, catch)]
    fn reference_chosen(this: &PairLogps) -> Caught<f64>;
    #[wasm_bindgen(method, getter, catch)]
    fn reference_rejected(this: &PairLogps) -> Caught<f64>;

    #[wasm_bindgen(typescript_type = "Sft")]
    pub type Sft;
    #[wasm_bindgen(method, getter, catch)]
    fn weight(this: &Sft) -> Caught<f64>;
    #[wasm_bindgen(method, getter, catch)]
    fn tokens(this: &Sft) -> Caught<f64>;

    #[wasm_bindgen(js_name = Object, typescript_type = "PairLoss")]
    pub type PairLossObject;
    #[wasm_bindgen(constructor, js_class = "Object")]
    fn new() -> PairLossObject;
    #[wasm_bindgen(js_namespace = Reflect, js_name = set)]
    fn set_number(object: &PairLossObject, key: &str, value: f64) -> bool;

    #[wasm_bindgen(typescript_type = "PairLogpsArrays")]
    pub type PairLogpsArrays;
    #[wasm_bindgen(method, getter, catch)]
    fn chosen(this: &PairLogpsArrays) -> Caught<Vec<f64>>;
    #[wasm_bindgen(method, getter, catch)]
    fn rejected(this: &PairLogpsArrays) -> Caught<Vec<f64>>;
    #[wasm_bindgen(method, getter, catch)]
    fn reference_chosen(this: &PairLogpsArrays) -> Caught<Vec<f64>>;
    #[wasm_bindgen(method, getter, catch)]
    fn reference_rejected(this: &PairLogpsArrays) -> Caught<Vec<f64>>;

    #[wasm_bindgen(typescript_type = "SftArrays")]
    pub type SftArrays;
    #[wasm_bindgen(method, getter, catch)]
    fn weight(this: &SftArrays) -> Caught<f64>;
    #[wasm_bindgen(method, getter, catch)]
    fn tokens(this: &SftArrays) -> Caught<Vec<f64>>;

    #[wasm_bindgen(js_name = Object, typescript_type = "PairLosses")]
    pub type PairLosses;
    #[wasm_bindgen(constructor, js_class = "Object")]
    fn new() -> PairLosses;
    #[wasm_bindgen(js_namespace = Reflect, js_name = set)]
    fn set_column(object: &PairLosses, key: &str, value: Vec<f64>) -> bool;
}

/// The keys of the objects that are returned, in the order of the core's numbers.
const KEYS: [&str; 8] = [
    "loss",
    "margin",
    "reward_chosen",
    "reward_rejected",
    "d_chosen",
    "d_rejected",
    "d_reference_chosen",
    "d_reference_rejected",
];

/// The loss of one pair of consistency C with its gradient with respect to the log-probs.
///
/// Throws where beta is not positive, the consistency not from 0 to 1 or a log-prob not finite.
#[wasm_bindgen(js_name = pairLoss)]
pub fn pair_loss(
    loss: Loss,
    beta: f64,
    consistency: f64,
    logps: &PairLogps,
    sft: Option<Sft>,
) -> std::result::Result<PairLossObject, JsValue> {
    let logps = cream_core::PairLogps {
        chosen: logps.chosen()?,
        rejected: logps.rejected()?,
        reference_chosen: logps.reference_chosen()?,
        reference_rejected: logps.reference_rejected()?,
    };
    let mut of_pair = loss.of_core()?.evaluate(beta, consistency, &logps).map_err(error)?;
    if let Some(sft) = sft {
        let tokens = count("tokens", sft.tokens()?)?;
        of_pair = of_pair.with_sft(sft.weight()?, logps.chosen, tokens).map_err(error)?;
    }
    let object = PairLossObject::new();
    for (key, number) in KEYS.into_iter().zip(of_pair.numbers()) {
        set_number(&object, key, number);
    }
    Ok(object)
}

/// The losses of many pairs with their gradients; `consistencies` has one for each.
///
/// Throws as `pairLoss` does, naming the pair, and where lengths differ.
#[wasm_bindgen(js_name = pairLosses)]
pub fn pair_losses(
    loss: Loss,
    beta: f64,
    consistencies: &[f64],
    logps: &PairLogpsArrays,
    sft: Option<SftArrays>,
) -> std::result::Result<PairLosses, JsValue> {
    let loss = loss.of_core()?;
    let (chosen, rejected) = (logps.chosen()?, logps.rejected()?);
    let (reference_chosen, reference_rejected) = (logps.reference_chosen()?, logps.reference_rejected()?);
    for other in [rejected.len(), reference_chosen.len(), reference_rejected.len(), consistencies.len()] {
        same_length(chosen.len(), other)?;
    }
    let (weight, tokens) = match &sft {
        Some(sft) => (sft.weight()?, sft.tokens()?),
        None => (0.0, vec![1.0; chosen.len()]),
    };
    same_length(chosen.len(), tokens.len())?;
    let mut columns: [Vec<f64>; 8] = Default::default();
    for i in 0..chosen.len() {
        let logps = cream_core::PairLogps {
            chosen: chosen[i],
            rejected: rejected[i],
            reference_chosen: reference_chosen[i],
            reference_rejected: reference_rejected[i],
        };
        let tokens = count("tokens", tokens[i])?;
        let pair =
            loss.evaluate(beta, consistencies[i], &logps).and_then(|pair| pair.with_sft(weight, chosen[i], tokens));
        let pair = pair.map_err(|error| of_row("pair", i, error))?;
        for (column, number) in columns.iter_mut().zip(pair.numbers()) {
            column.push(number);
        }
    }
    let object = PairLosses::new();
    for (key, column) in KEYS.into_iter().zip(columns) {
        set_column(&object, key, column);
    }
    Ok(object)
}
