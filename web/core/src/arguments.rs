//! JavaScript's values as the core's, and back.

use cream_core::consistency::{Kind, Map};
use wasm_bindgen::prelude::*;

pub(crate) type Result<T> = std::result::Result<T, JsError>;

/// What the core refuses, in its words.
pub(crate) fn error(error: cream_core::Error) -> JsError {
    JsError::new(&error.to_string())
}

/// The same of one among many.
pub(crate) fn of_row(what: &str, index: usize, error: cream_core::Error) -> JsError {
    JsError::new(&format!("{what} {index}: {error}"))
}

pub(crate) fn same_length(left: usize, right: usize) -> Result<()> {
    if left == right { Ok(()) } else { Err(error(cream_core::Error::LengthMismatch { left, right })) }
}

/// A number that counts something: wasm-bindgen would wrap what is negative and cut off fractions.
pub(crate) fn count(what: &str, number: f64) -> Result<usize> {
    let count = number as usize;
    let whole = count as f64 == number;
    whole.then_some(count).ok_or_else(|| JsError::new(&format!("{what} is {number}, expected a whole number")))
}

/// What becomes of equal values.
#[wasm_bindgen]
#[derive(Clone, Copy)]
pub enum Ties {
    Average = "average",
    Ordinal = "ordinal",
}

/// A measure of agreement between two rankings. Those named `ordinal` break ties by position first, as the authors' code
/// does: two identical completions then count as agreement.
#[wasm_bindgen]
#[derive(Clone, Copy)]
pub enum Measure {
    Kendall = "kendall",
    KendallB = "kendall-b",
    KendallOrdinal = "kendall-ordinal",
    Spearman = "spearman",
    SpearmanOrdinal = "spearman-ordinal",
    TopOrder = "top-order",
    TopOrderOrdinal = "top-order-ordinal",
}

impl Ties {
    pub(crate) fn of_core(self) -> Result<cream_core::Ties> {
        match self {
            Ties::Average => Ok(cream_core::Ties::Average),
            Ties::Ordinal => Ok(cream_core::Ties::Ordinal),
            _ => Err(JsError::new("ties: expected average or ordinal")),
        }
    }
}

impl Measure {
    pub(crate) fn of_core(self) -> Result<Kind> {
        Ok(match self {
            Measure::Kendall => Kind::Kendall,
            Measure::KendallB => Kind::KendallB,
            Measure::KendallOrdinal => Kind::KendallOrdinal,
            Measure::Spearman => Kind::Spearman,
            Measure::SpearmanOrdinal => Kind::SpearmanOrdinal,
            Measure::TopOrder => Kind::TopOrder,
            Measure::TopOrderOrdinal => Kind::TopOrderOrdinal,
            _ => {
                let expected = "kendall, kendall-b, spearman or top-order, or the ordinal form of one";
                return Err(JsError::new(&format!("measure: expected {expected}")));
            }
        })
    }
}

/// As the core's `FromStr` has it, with numbers read by JavaScript: a reader of our own is a fifth of the wasm file.
pub(crate) fn map(text: &str) -> Result<Map> {
    match (text, text.strip_prefix("threshold:")) {
        ("linear", _) => Ok(Map::Linear),
        ("clamped", _) => Ok(Map::Clamped),
        (_, Some(threshold)) => Ok(Map::Threshold(number(threshold))),
        (_, None) => Err(JsError::new(&format!("map is {text}, expected linear, clamped or threshold:C"))),
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = Number)]
    fn number(text: &str) -> f64;

    #[wasm_bindgen(js_name = Object, typescript_type = "Pair")]
    pub type Pair;
    #[wasm_bindgen(constructor, js_class = "Object")]
    fn new() -> Pair;
    #[wasm_bindgen(js_namespace = Reflect, js_name = set)]
    fn set_number(object: &Pair, key: &str, value: f64) -> bool;
}

impl Pair {
    pub(crate) fn of(pair: cream_core::Pair) -> Self {
        let object = Pair::new();
        for (key, number) in
            [("chosen", pair.chosen as f64), ("rejected", pair.rejected as f64), ("margin", pair.margin)]
        {
            set_number(&object, key, number);
        }
        object
    }
}
