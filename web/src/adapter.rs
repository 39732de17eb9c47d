//! An adapter over a model.

use std::cell::{Ref, RefCell};
use std::rc::Rc;

use cream::{DeviceAdapter, Model as _};
use js_sys::{Function, Object, Reflect, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::convert::TryFromJsValue;
use wasm_bindgen::prelude::*;

use crate::error::{Result, new, thrown};
use crate::js::Options;
use crate::model::Loaded;

/// A low-rank adapter (LoRA) over a model.
#[wasm_bindgen]
pub struct Adapter {
    pub(crate) loaded: Rc<Loaded>,
    pub(crate) adapter: Rc<RefCell<DeviceAdapter>>,
    pub(crate) fingerprint: String,
}

#[wasm_bindgen]
impl Adapter {
    /// PEFT's files, `adapter_config.json` and `adapter_model.safetensors`, by name.
    #[wasm_bindgen(unchecked_return_type = "Record<string, Uint8Array>")]
    pub async fn files(&self) -> Result<JsValue> {
        let (loaded, adapter) = (self.loaded.clone(), self.adapter.clone());
        let adapter = free(&adapter)?;
        let (config, weights) = loaded.model.write_adapter(&adapter, &loaded.name).await.map_err(thrown)?;
        let files = Object::new();
        for (name, bytes) in [("adapter_config.json", config.as_bytes()), ("adapter_model.safetensors", &weights)] {
            Reflect::set(&files, &name.into(), &Uint8Array::from(bytes))?;
        }
        Ok(files.into())
    }

    /// The same adapter, not a copy of it, under another handle.
    pub fn share(&self) -> Adapter {
        Adapter { loaded: self.loaded.clone(), adapter: self.adapter.clone(), fingerprint: self.fingerprint.clone() }
    }
}

impl Adapter {
    /// Takes the one out of options, if there is one, which must be of this model.
    pub(crate) fn of(options: &Options, loaded: &Rc<Loaded>) -> Result<Option<Adapter>> {
        let Some(value) = options.take("adapter") else { return Ok(None) };
        let expected = || new("Error", &format!("adapter: {value:?}, expected an Adapter"));
        // A handle of its own: the caller keeps the one that it gave.
        let share: Function = Reflect::get(&value, &"share".into())?.dyn_into().map_err(|_| expected())?;
        let adapter = Adapter::try_from_js_value(share.call0(&value)?).map_err(|_| expected())?;
        if !Rc::ptr_eq(&adapter.loaded, loaded) {
            return Err(new("Error", "adapter: of another model, expected one of this model"));
        }
        Ok(Some(adapter))
    }
}

/// An adapter that nothing changes meanwhile.
pub(crate) fn free(adapter: &RefCell<DeviceAdapter>) -> Result<Ref<'_, DeviceAdapter>> {
    adapter.try_borrow().map_err(|_| new("Error", "adapter: it is being trained, expected one that nothing changes"))
}
