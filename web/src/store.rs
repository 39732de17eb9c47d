//! Stores of the caller's, and one in memory.

use std::cell::RefCell;

use cream::{Answer, Memory, Store};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;

use crate::error::{Result, caught, thrown};

#[wasm_bindgen]
extern "C" {
    /// An object with the functions of the interface `Store`.
    #[wasm_bindgen(typescript_type = "Store")]
    pub type StoreObject;

    #[wasm_bindgen(method, structural, catch)]
    async fn read(this: &StoreObject, name: &str) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    async fn exists(this: &StoreObject, name: &str) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    async fn names(this: &StoreObject, start: &str) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    async fn write(this: &StoreObject, name: &str, bytes: Uint8Array) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    async fn append(this: &StoreObject, name: &str, bytes: Uint8Array) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    async fn truncate(this: &StoreObject, name: &str, length: f64) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    async fn rename(this: &StoreObject, from: &str, to: &str) -> std::result::Result<JsValue, JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    async fn remove(this: &StoreObject, name: &str) -> std::result::Result<JsValue, JsValue>;
}

/// A caller's store, as the library sees it.
pub(crate) struct JsStore(pub(crate) StoreObject);

impl Store for JsStore {
    fn read<'a>(&'a self, name: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let bytes = self.0.read(name).await.map_err(caught)?;
            Ok(bytes.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec))
        })
    }

    fn exists<'a>(&'a self, name: &'a str) -> Answer<'a, bool> {
        Box::pin(async move { Ok(self.0.exists(name).await.map_err(caught)?.is_truthy()) })
    }

    fn names<'a>(&'a self, start: &'a str) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let names = self.0.names(start).await.map_err(caught)?;
            Ok(Array::from(&names).iter().filter_map(|name| name.as_string()).collect())
        })
    }

    fn write<'a>(&'a mut self, name: &'a str, bytes: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move { self.0.write(name, bytes.into()).await.map(drop).map_err(caught) })
    }

    fn append<'a>(&'a mut self, name: &'a str, bytes: &'a [u8]) -> Answer<'a, ()> {
        Box::pin(async move { self.0.append(name, bytes.into()).await.map(drop).map_err(caught) })
    }

    fn truncate<'a>(&'a mut self, name: &'a str, len: usize) -> Answer<'a, ()> {
        Box::pin(async move { self.0.truncate(name, len as f64).await.map(drop).map_err(caught) })
    }

    fn rename<'a>(&'a mut self, from: &'a str, to: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.0.rename(from, to).await.map(drop).map_err(caught) })
    }

    fn remove<'a>(&'a mut self, name: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.0.remove(name).await.map(drop).map_err(caught) })
    }
}

/// A store in memory: gone with the page.
#[wasm_bindgen]
#[derive(Default)]
pub struct MemoryStore {
    memory: RefCell<Memory>,
}

/// Those of the interface `Store`.
#[wasm_bindgen]
#[allow(missing_docs, reason = "they are those of Store")]
impl MemoryStore {
    #[wasm_bindgen(constructor)]
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    #[wasm_bindgen(unchecked_return_type = "Uint8Array | undefined")]
    pub async fn read(&self, name: String) -> Result<JsValue> {
        let bytes = self.memory.borrow().read(&name).map_err(thrown)?;
        Ok(bytes.map_or(JsValue::UNDEFINED, |bytes| Uint8Array::from(bytes.as_slice()).into()))
    }

    pub async fn exists(&self, name: String) -> bool {
        self.memory.borrow().exists(&name)
    }

    pub async fn names(&self, start: String) -> Result<Vec<String>> {
        self.memory.borrow().names(&start).map_err(thrown)
    }

    pub async fn write(&self, name: String, bytes: Vec<u8>) -> Result<()> {
        self.memory.borrow_mut().write(&name, &bytes).map_err(thrown)
    }

    pub async fn append(&self, name: String, bytes: Vec<u8>) -> Result<()> {
        self.memory.borrow_mut().append(&name, &bytes).map_err(thrown)
    }

    pub async fn truncate(&self, name: String, length: usize) -> Result<()> {
        self.memory.borrow_mut().truncate(&name, length).map_err(thrown)
    }

    pub async fn rename(&self, from: String, to: String) -> Result<()> {
        self.memory.borrow_mut().rename(&from, &to).map_err(thrown)
    }

    pub async fn remove(&self, name: String) -> Result<()> {
        self.memory.borrow_mut().remove(&name).map_err(thrown)
    }
}
