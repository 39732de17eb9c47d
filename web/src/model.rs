//! A model on a device, with its text.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;

use cream::engine::{Date, LoraConfig, Result as EngineResult, Streamed, Tensor, Text, WeightSource, gguf, hf};
use cream::{DeviceAdapter, DeviceModel, Encoder, Model as _, SampleOptions, fingerprint};
use js_sys::Function;
use serde_json::json;
use wasm_bindgen::prelude::*;

use crate::adapter::Adapter;
use crate::device::Device;
use crate::error::{Result, new, thrown, thrown_by_engine};
use crate::hooks::{Signal, call};
use crate::js::{Options, from_js};
use crate::source::{File, folder, is_folder};

/// A language model on a device.
#[wasm_bindgen]
pub struct Model {
    pub(crate) loaded: Rc<Loaded>,
}

/// What all that work with a model share.
pub(crate) struct Loaded {
    pub(crate) model: DeviceModel,
    pub(crate) text: Text,
    /// The day that its chat template prints, where it prints one.
    pub(crate) date: Option<Date>,
    pub(crate) name: String,
    pub(crate) fingerprint: String,
    parameters: usize,
}

impl Loaded {
    /// How it reads rows.
    pub(crate) fn encoder(&self, raw: bool) -> Encoder<'_> {
        let context = self.model.config().max_position_embeddings;
        Encoder { text: &self.text, raw, max_prompt_tokens: Encoder::MAX_PROMPT_TOKENS, context }
    }
}

#[wasm_bindgen]
impl Model {
    /// Puts a model on a device. Weights in a Blob or at a URL are read tensor by tensor and are never whole in memory.
    ///
    /// Rejects where the file cannot be read or is not a model that the engine runs, naming the field and what was expected.
    pub async fn open(
        #[wasm_bindgen(unchecked_param_type = "Source")] source: JsValue,
        device: &Device,
        #[wasm_bindgen(unchecked_optional_param_type = "OpenOptions")] options: JsValue,
    ) -> Result<Model> {
        let device = device.device.clone();
        let options = Options::of(&options);
        let name = options.take("name").and_then(|name| name.as_string());
        let (signal, on_loading) = (Signal::of(&options), options.function("onLoading")?);
        let slots = match options.take("slots") {
            Some(slots) => from_js("slots", &slots)?,
            None => SampleOptions::default().slots,
        };
        options.rest::<Nothing>("options")?;
        let told = |stage: &str, done: usize, total: usize| -> EngineResult<()> {
            let stop = |e: cream::Error| cream::engine::Error::Request(e.to_string());
            signal.check().map_err(stop)?;
            on_loading.as_ref().map_or(Ok(()), |f: &Function| {
                call(f, &json!({ "stage": stage, "done": done, "total": total })).map_err(stop)
            })
        };
        let loaded = Loading { device, slots, told: &told };
        let result = if is_folder(&source) {
            let name = name.unwrap_or_else(|| "model".into());
            loaded.folder(&name, folder(&source).await.map_err(thrown_by_engine)?).await
        } else {
            let name = name.or_else(|| name_of(&source)).unwrap_or_else(|| "model.gguf".into());
            loaded.file(&name, &source).await
        };
        match result {
            // The engine knows no stop of the caller's.
            Err(_) if signal.check().is_err() => Err(new("AbortError", "stopped")),
            result => Ok(Model { loaded: Rc::new(result?) }),
        }
    }

    /// As it was opened.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        self.loaded.name.clone()
    }

    /// How many numbers its weights are.
    #[wasm_bindgen(getter)]
    pub fn parameters(&self) -> f64 {
        self.loaded.parameters as f64
    }

    /// Its shape, under Hugging Face's keys.
    #[wasm_bindgen(getter, unchecked_return_type = "Record<string, unknown>")]
    pub fn config(&self) -> Result<JsValue> {
        js_sys::JSON::parse(&hf::config_json(self.loaded.model.config(), cream::engine::Dtype::F32, None))
    }

    /// A new adapter, which changes nothing yet (B = 0).
    #[wasm_bindgen(js_name = newAdapter)]
    pub fn new_adapter(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "AdapterOptions")] options: JsValue,
    ) -> Result<Adapter> {
        let options = Options::of(&options);
        let seed = options.take("seed").and_then(|seed| seed.as_f64()).unwrap_or(0.0);
        let config: LoraConfig = options.rest("options")?;
        let adapter = self.loaded.model.new_adapter(&config, seed as u64).map_err(thrown)?;
        Ok(self.adapter(adapter))
    }

    /// An adapter from PEFT's two files.
    #[wasm_bindgen(js_name = loadAdapter)]
    pub fn load_adapter(&self, config: &[u8], weights: &[u8]) -> Result<Adapter> {
        let adapter = self.loaded.model.read_adapter(config, weights).map_err(thrown)?;
        let fingerprint = fingerprint([self.loaded.fingerprint.as_bytes(), config, weights]);
        Ok(Adapter { loaded: self.loaded.clone(), adapter: Rc::new(RefCell::new(adapter)), fingerprint })
    }
}

impl Model {
    pub(crate) fn adapter(&self, adapter: DeviceAdapter) -> Adapter {
        let fingerprint = format!("{} and an adapter", self.loaded.fingerprint);
        Adapter { loaded: self.loaded.clone(), adapter: Rc::new(RefCell::new(adapter)), fingerprint }
    }
}

/// Options of which none are left.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

fn name_of(source: &JsValue) -> Option<String> {
    let url = source.as_string().or_else(|| js_sys::Reflect::get(source, &"href".into()).ok()?.as_string());
    let url = url.map(|url| url.split(['?', '#']).next().and_then(|path| path.rsplit('/').next().map(str::to_owned)));
    url.unwrap_or_else(|| js_sys::Reflect::get(source, &"name".into()).ok()?.as_string())
}

/// A model on its way to a device.
struct Loading<'a> {
    device: cream::Device,
    slots: usize,
    told: &'a dyn Fn(&str, usize, usize) -> EngineResult<()>,
}

impl Loading<'_> {
    async fn file(self, name: &str, source: &JsValue) -> Result<Loaded> {
        let opened = async { gguf::open(name, File::open(name, source).await?).await };
        let (streamed, text) = self.header(opened).await?;
        self.put(name, &streamed, text).await
    }

    async fn folder(self, name: &str, files: BTreeMap<String, File>) -> Result<Loaded> {
        let (streamed, text) = self.header(hf::open(files)).await?;
        let text = text.ok_or_else(|| new("Error", &format!("{name}: tokenizer.json: missing")))?;
        self.put(name, &streamed, text).await
    }

    /// Tells of the reading of a header.
    async fn header<T>(&self, opened: impl Future<Output = EngineResult<T>>) -> Result<T> {
        (self.told)("header", 0, 1).map_err(thrown_by_engine)?;
        let opened = opened.await.map_err(thrown_by_engine)?;
        (self.told)("header", 1, 1).map_err(thrown_by_engine)?;
        Ok(opened)
    }

    async fn put(self, name: &str, source: &Streamed<File>, mut text: Text) -> Result<Loaded> {
        let shapes = &source.outline().tensors;
        let parameters = shapes.values().map(|tensor| tensor.shape.iter().product::<usize>()).sum();
        let told = |loading, done, total| match loading {
            cream::Loading::Weights => (self.told)("weights", done, total),
            cream::Loading::Pipelines => (self.told)("pipelines", done, total),
        };
        let hashed = Hashed { source, parts: RefCell::default() };
        let model = self.device.load(&hashed, self.slots, told).await.map_err(thrown)?;
        let parts = hashed.parts.into_inner();
        let date = text.reads_date().then(|| Date::of_seconds((js_sys::Date::now() / 1000.0) as i64));
        if let Some(date) = date {
            text.set_date(date);
        }
        let fingerprint = fingerprint(parts.iter().map(String::as_bytes));
        Ok(Loaded { model, text, date, name: name.into(), fingerprint, parameters })
    }
}

/// Passes tensors on, and takes their fingerprints.
struct Hashed<'a> {
    source: &'a Streamed<File>,
    parts: RefCell<Vec<String>>,
}

impl WeightSource for Hashed<'_> {
    fn file(&self) -> &str {
        self.source.file()
    }

    fn config(&self) -> &cream::engine::LlamaConfig {
        self.source.config()
    }

    async fn tensor(&self, name: &str, shape: &[usize]) -> EngineResult<Tensor<'_>> {
        let tensor = self.source.tensor(name, shape).await?;
        self.parts.borrow_mut().push(fingerprint([name.as_bytes(), &tensor.bytes]));
        Ok(tensor)
    }
}
