//! Errors as JavaScript has them: one clear line, and a name to tell kinds apart by.

use std::fmt;

use js_sys::Reflect;
use wasm_bindgen::prelude::*;

/// Shorthand for what an exported function answers.
pub(crate) type Result<T> = std::result::Result<T, JsValue>;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    pub(crate) fn console(line: &str);
}

/// What a function of the caller's threw, or that the caller wants no more, on its way through the library.
#[derive(Debug)]
pub(crate) struct Thrown {
    pub(crate) name: String,
    pub(crate) message: String,
}

impl fmt::Display for Thrown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Thrown {}

impl Thrown {
    /// That the caller's signal says to stop.
    pub(crate) fn stopped() -> Self {
        Thrown { name: "AbortError".into(), message: "stopped".into() }
    }

    fn of(value: &JsValue) -> Self {
        let text = |key: &str| Reflect::get(value, &key.into()).ok().and_then(|value| value.as_string());
        let name = match text("name").as_deref() {
            Some("QuotaExceededError") => "QuotaExceeded".to_owned(),
            Some(name) => name.to_owned(),
            None => "Error".to_owned(),
        };
        Thrown { name, message: text("message").unwrap_or_else(|| format!("{value:?}")) }
    }
}

/// For the library, which hands it back as it is.
pub(crate) fn caught(value: JsValue) -> cream::Error {
    cream::Error::Caller(Box::new(Thrown::of(&value)))
}

/// The same for the engine, as an error of a file.
pub(crate) fn unreadable(file: &str, value: JsValue) -> cream::engine::Error {
    cream::engine::Error::file(file, "contents", Thrown::of(&value))
}

/// For the caller.
pub(crate) fn thrown(error: cream::Error) -> JsValue {
    let name = match &error {
        cream::Error::Caller(inner) => match inner.downcast_ref::<Thrown>() {
            Some(thrown) => thrown.name.as_str(),
            None => "Error",
        },
        cream::Error::Memory { .. } => "OutOfMemory",
        cream::Error::Device { source, .. } | cream::Error::Engine(source) => of_engine(source),
        _ => "Error",
    };
    new(name, &error.to_string())
}

/// The same for what the engine says.
pub(crate) fn thrown_by_engine(error: cream::engine::Error) -> JsValue {
    thrown(error.into())
}

fn of_engine(error: &cream::engine::Error) -> &'static str {
    match error {
        cream::engine::Error::Device { problem, .. } if problem.contains("device lost") => "DeviceLost",
        cream::engine::Error::Device { problem, .. } if problem.to_lowercase().contains("memory") => "OutOfMemory",
        _ => "Error",
    }
}

/// An `Error` of this name.
pub(crate) fn new(name: &str, message: &str) -> JsValue {
    let error = js_sys::Error::new(message);
    error.set_name(name);
    error.into()
}
