//! The whole loop, over adapters of one model.

use std::cell::RefCell;
use std::rc::Rc;

use cream::{
    Answer, Completions, DeviceModel, External, Load, Method, Prompt, Report, Rewards, RunConfig, RunInputs, SftRow,
};
use js_sys::{Function, Promise};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::adapter::Adapter;
use crate::error::{Result, caught, new, thrown};
use crate::hooks::Hooks;
use crate::js::{Options, array, rows, to_js};
use crate::model::{Loaded, Model, Nothing};
use crate::store::{JsStore, StoreObject};

/// A run over a store.
#[wasm_bindgen]
pub struct Run {
    loaded: Rc<Loaded>,
    config: RunConfig,
    prompts: Vec<Prompt>,
    sft: Vec<SftRow>,
    reward: Option<Function>,
    store: Rc<RefCell<JsStore>>,
}

#[wasm_bindgen]
impl Run {
    /// Begins a run, or takes up the one that the store holds.
    pub async fn open(
        model: &Model,
        #[wasm_bindgen(unchecked_param_type = "RunInputs")] inputs: JsValue,
    ) -> Result<Run> {
        let loaded = model.loaded.clone();
        let inputs = Options::of(&inputs);
        let expected = |key: &str| new("Error", &format!("{key}: missing"));
        let prompts = rows("prompts", &inputs.take("prompts").ok_or_else(|| expected("prompts"))?)?;
        let sft = inputs.take("sft").map_or_else(|| Ok(Vec::new()), |sft| rows("sft", &sft))?;
        let store: StoreObject = inputs.take("store").ok_or_else(|| expected("store"))?.unchecked_into();
        let method = inputs.take("method").and_then(|method| method.as_string());
        let mut config = settings(inputs.take("config"), method)?;
        let reward = inputs.function("reward")?;
        inputs.rest::<Nothing>("inputs")?;
        let store = JsStore(store);
        if let (Some(date), None) = (loaded.date, config.date) {
            // A run that is taken up keeps its day; a chat template that prints another is refused with both named.
            config.date = Some(date);
        }
        Ok(Run { loaded, config, prompts, sft, reward, store: Rc::new(RefCell::new(store)) })
    }

    /// All rounds, or those that are left. Rejects with an `AbortError` where the signal stops it: the next call goes on.
    #[wasm_bindgen(unchecked_return_type = "Summary[]")]
    pub async fn start(
        &self,
        #[wasm_bindgen(unchecked_optional_param_type = "Hooks")] hooks: JsValue,
    ) -> Result<JsValue> {
        let options = Options::of(&hooks);
        let mut hooks = Hooks::of(&options)?;
        options.rest::<Nothing>("hooks")?;
        let loaded = self.loaded.clone();
        let mut store = self.store.try_borrow_mut().map_err(|_| new("Error", "the run is under way already"))?;
        let mut load = Shared(loaded.model.clone());
        let mut external = self.reward.clone().map(Asked);
        let inputs = RunInputs {
            config: &self.config,
            prompts: &self.prompts,
            sft: &self.sft,
            text: &loaded.text,
            base_model: &loaded.name,
            fingerprint: &loaded.fingerprint,
            context: loaded.model.config().max_position_embeddings,
            outlines: None,
            load: &mut load,
            external: external.as_mut().map(|external| external as &mut dyn External),
        };
        array(&cream::run(inputs, &mut *store, &mut hooks).await.map_err(thrown)?)
    }

    /// What the run has to tell so far, see the function [`report`].
    #[wasm_bindgen(unchecked_return_type = "unknown")]
    pub async fn report(&self) -> Result<JsValue> {
        let store = self.store.try_borrow().map_err(|_| new("Error", "the run is under way: ask report(store)"))?;
        to_js(&Report::read(&*store).await.map_err(thrown)?)
    }

    /// The adapter that an iteration made.
    pub async fn adapter(&self, iteration: usize) -> Result<Adapter> {
        let store = self.store.try_borrow().map_err(|_| new("Error", "the run is under way"))?;
        let folder = format!("iteration-{iteration}");
        let adapter = cream::load_adapter(&self.loaded.model, &*store, &folder).await.map_err(thrown)?;
        Ok(Model { loaded: self.loaded.clone() }.adapter(adapter))
    }
}

/// What a store that holds a run has to tell, as the report of the program shows it; also while the run is under way.
#[wasm_bindgen(unchecked_return_type = "unknown")]
pub async fn report(store: StoreObject) -> Result<JsValue> {
    to_js(&Report::read(&JsStore(store)).await.map_err(thrown)?)
}

/// The settings of a run with everything that is left out filled in. Throws where one is unknown or out of range.
#[wasm_bindgen(unchecked_return_type = "Config")]
pub fn config(
    #[wasm_bindgen(unchecked_optional_param_type = "Config")] given: JsValue,
    #[wasm_bindgen(unchecked_optional_param_type = "RunInputs[\"method\"]")] method: Option<String>,
) -> Result<JsValue> {
    let given = (!given.is_undefined() && !given.is_null()).then_some(given);
    to_js(&settings(given, method)?)
}

/// Settings as config.toml has them, from a plain object.
pub(crate) fn settings(given: Option<JsValue>, method: Option<String>) -> Result<RunConfig> {
    let method = method.map(|name| {
        let names = "cream, srlm, srlm-judge, oracle or sft-only";
        serde_json::from_value::<Method>(name.clone().into())
            .map_err(|_| new("Error", &format!("method: {name:?}, expected {names}")))
    });
    let method = method.transpose()?;
    let text = match given {
        Some(given) => js_sys::JSON::stringify(&given)?.as_string().unwrap_or_else(|| "{}".into()),
        None => "{}".into(),
    };
    let config = RunConfig::from_json_as(method, "config", &text).map_err(thrown)?;
    config.validate().map_err(thrown)?;
    Ok(config)
}

/// The model that is there already.
struct Shared(DeviceModel);

impl Load<DeviceModel> for Shared {
    fn load<'a>(&'a mut self, folder: Option<&'a str>, trainable: bool) -> Answer<'a, DeviceModel> {
        Box::pin(async move {
            if folder.is_some() || trainable {
                let message = "tuning: full, expected lora: the model is shared, and its weights stay as they are";
                return Err(caught(new("Error", message)));
            }
            Ok(self.0.clone())
        })
    }
}

/// Rewards by a function of the caller's, which may take its time.
struct Asked(Function);

impl External for Asked {
    fn rewards<'a>(&'a mut self, completions: &'a [Completions]) -> Answer<'a, Vec<Rewards>> {
        Box::pin(async move {
            let asked = array(completions).map_err(caught)?;
            let answer = self.0.call1(&JsValue::NULL, &asked).map_err(caught)?;
            let answer = JsFuture::from(Promise::resolve(&answer)).await.map_err(caught)?;
            rows("reward", &answer).map_err(caught)
        })
    }
}
