//! Plain objects in and out, as JSON: the rows are those of the program's files.

use cream::Row;
use js_sys::{Array, Function, JSON, Object, Reflect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

use crate::error::{Result, new, thrown};

/// A value of the library as a plain object.
pub(crate) fn to_js<T: Serialize>(value: &T) -> Result<JsValue> {
    let text = serde_json::to_string(value).map_err(|e| new("Error", &e.to_string()))?;
    JSON::parse(&text)
}

/// Settings from a plain object, all optional; `what` names them in an error.
pub(crate) fn from_js<T: DeserializeOwned + Default>(what: &str, value: &JsValue) -> Result<T> {
    if value.is_undefined() || value.is_null() {
        return Ok(T::default());
    }
    let text = text_of(what, value)?;
    serde_json::from_str(&text).map_err(|e| new("Error", &format!("{what}: {e}")))
}

/// Rows from an array of plain objects; errors count them from 1 as lines.
pub(crate) fn rows<R: Row>(what: &str, value: &JsValue) -> Result<Vec<R>> {
    let lines = lines(what, value)?;
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    cream::read_jsonl(what, lines.as_bytes()).map_err(thrown)
}

/// The objects of an array as JSONL.
pub(crate) fn lines(what: &str, value: &JsValue) -> Result<String> {
    if !Array::is_array(value) {
        return Err(new("Error", &format!("{what}: {value:?}, expected an array of objects")));
    }
    let array: &Array = value.unchecked_ref();
    Ok(array.iter().map(|row| text_of(what, &row)).collect::<Result<Vec<String>>>()?.join("\n"))
}

/// Rows of the library as an array of plain objects.
pub(crate) fn array<R: Serialize>(rows: &[R]) -> Result<JsValue> {
    to_js(&rows)
}

fn text_of(what: &str, value: &JsValue) -> Result<String> {
    let text = JSON::stringify(value)?.as_string();
    text.ok_or_else(|| new("Error", &format!("{what}: {value:?}, expected a plain object")))
}

/// What a caller gives beside settings: functions, signals, objects of this package.
pub(crate) struct Options {
    object: Object,
}

impl Options {
    /// A copy, since what is taken out is taken from it.
    pub(crate) fn of(value: &JsValue) -> Self {
        let object = Object::new();
        if let Some(given) = value.dyn_ref::<Object>() {
            Object::assign(&object, given);
        }
        Options { object }
    }

    /// Takes one of them out; none where it is unset.
    pub(crate) fn take(&self, key: &str) -> Option<JsValue> {
        let key = JsValue::from_str(key);
        let value = Reflect::get(&self.object, &key).ok();
        let _ = Reflect::delete_property(&self.object, &key);
        value.filter(|value| !value.is_undefined() && !value.is_null())
    }

    /// The same, which must be a function.
    pub(crate) fn function(&self, key: &str) -> Result<Option<Function>> {
        let expected = |value: JsValue| new("Error", &format!("{key}: {value:?}, expected a function"));
        self.take(key).map(|value| value.dyn_into::<Function>().map_err(expected)).transpose()
    }

    /// What is left, as settings.
    pub(crate) fn rest<T: DeserializeOwned + Default>(self, what: &str) -> Result<T> {
        from_js(what, &self.object)
    }
}
