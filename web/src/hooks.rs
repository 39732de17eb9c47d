//! What a caller wants to hear while something works, and how it stops it.

use cream::engine::{Drawn, Finish, Text};
use cream::{Progress, Update};
use js_sys::{Function, Reflect};
use serde_json::json;
use wasm_bindgen::prelude::*;

use crate::error::{Result, Thrown, caught};
use crate::js::{Options, to_js};

/// A caller's AbortSignal, if there is one.
pub(crate) struct Signal(Option<JsValue>);

impl Signal {
    /// Of these options.
    pub(crate) fn of(options: &Options) -> Self {
        Signal(options.take("signal"))
    }

    /// Whether the work may go on.
    pub(crate) fn check(&self) -> cream::Result<()> {
        let aborted =
            |signal: &JsValue| Reflect::get(signal, &"aborted".into()).is_ok_and(|aborted| aborted.is_truthy());
        match &self.0 {
            Some(signal) if aborted(signal) => Err(cream::Error::Caller(Box::new(Thrown::stopped()))),
            _ => Ok(()),
        }
    }
}

/// The functions of the interface `Hooks`.
pub(crate) struct Hooks {
    signal: Signal,
    on_update: Option<Function>,
    on_log: Option<Function>,
    on_drawn: Option<Function>,
}

impl Hooks {
    /// Of these options.
    pub(crate) fn of(options: &Options) -> Result<Self> {
        Ok(Hooks {
            signal: Signal::of(options),
            on_update: options.function("onUpdate")?,
            on_log: options.function("onLog")?,
            on_drawn: options.function("onDrawn")?,
        })
    }
}

/// Calls a function of the caller's with a plain object.
pub(crate) fn call(function: &Function, value: &serde_json::Value) -> cream::Result<()> {
    let value = to_js(value).map_err(caught)?;
    function.call1(&JsValue::NULL, &value).map(drop).map_err(caught)
}

impl Progress for Hooks {
    fn update(&mut self, update: &Update<'_>) -> cream::Result<()> {
        self.signal.check()?;
        let Some(function) = &self.on_update else { return Ok(()) };
        let Update { stage, output, done, total, tokens, metrics } = update;
        let stage = stage.to_string();
        let mut told = json!({ "stage": stage, "output": output, "done": done, "total": total, "tokens": tokens });
        if let Some(metrics) = metrics {
            told["metrics"] = json!(metrics);
        }
        call(function, &told)
    }

    fn drawn(&mut self, id: &str, text: &Text, drawn: &Drawn<'_>) -> cream::Result<()> {
        self.signal.check()?;
        let Some(function) = &self.on_drawn else { return Ok(()) };
        let said = text.said(drawn.tokens, drawn.finish.unwrap_or(Finish::Length))?;
        let (completion, finished) = (drawn.completion, drawn.finish.is_some());
        call(function, &json!({ "id": id, "completion": completion, "text": said, "finished": finished }))
    }

    fn log(&mut self, line: &str) {
        if let Some(function) = &self.on_log {
            // A line that is not wanted ends nothing.
            let _ = function.call1(&JsValue::NULL, &line.into());
        }
    }

    fn detail(&mut self, _: &str) {}
}
