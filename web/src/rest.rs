//! Rests of the CPU backend: this thread is also the one that hears messages.

use std::cell::Cell;

use cream::engine::Rest;
use js_sys::{Date, Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Milliseconds of work between two rests. A timer may take 4 of its own.
const BETWEEN: f64 = 50.0;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(then: &Function, milliseconds: i32) -> JsValue;
}

thread_local! {
    static LAST: Cell<f64> = const { Cell::new(0.0) };
}

/// Lets the thread hear what has come meanwhile, where the last time is a while ago.
pub(crate) fn rest() -> Rest {
    Box::pin(async {
        if Date::now() - LAST.get() < BETWEEN {
            return;
        }
        let turn = Promise::new(&mut |resolve, _| _ = set_timeout(&resolve, 0));
        // A timer is not refused.
        let _ = JsFuture::from(turn).await;
        LAST.set(Date::now());
    })
}
