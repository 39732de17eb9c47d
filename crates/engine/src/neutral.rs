//! Values by which a setting asks for nothing, and how those that ask for something are told.

use serde_json::Value;

/// A value as JSON for a message, cut where it would fill more than a line.
pub(crate) fn shown(value: &Value) -> String {
    let mut text = value.to_string();
    if let Some((cut, _)) = text.char_indices().nth(120) {
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// Whether `key` set to `value` leaves a model as it is: null, false, `"none"`, nothing in a string, list or object, 0
/// and −1; where the key's name is that of a factor, 1.
pub(crate) fn is_neutral(key: &str, value: &Value) -> bool {
    let multiplies = ["scal", "factor", "multiplier", "percent", "pct"].iter().any(|part| key.contains(part));
    match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(number) if multiplies => number.as_f64() == Some(1.0),
        Value::Number(number) => [Some(0.0), Some(-1.0)].contains(&number.as_f64()),
        Value::String(text) => text.is_empty() || text == "none",
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_values_are_cut() {
        assert_eq!(shown(&json!({"a": [1]})), r#"{"a":[1]}"#);
        assert_eq!(shown(&json!("é".repeat(200))), format!("\"{}…", "é".repeat(119)));
    }

    #[test]
    fn what_asks_for_nothing() {
        for value in [json!(null), json!(false), json!(""), json!("none"), json!([]), json!({}), json!(0), json!(-1)] {
            assert!(is_neutral("sliding_window", &value), "{value}");
        }
        for value in [json!(true), json!("all"), json!([0]), json!({"a": null}), json!(1), json!(-2), json!(0.5)] {
            assert!(!is_neutral("sliding_window", &value), "{value}");
        }
        for key in ["logits_scaling", "partial_rotary_factor", "residual_multiplier", "rotary_pct"] {
            assert!(
                is_neutral(key, &json!(1)) && is_neutral(key, &json!(1.0)) && is_neutral(key, &json!(null)),
                "{key}"
            );
            assert!(!is_neutral(key, &json!(0)) && !is_neutral(key, &json!(12.0)), "{key}");
        }
    }
}
