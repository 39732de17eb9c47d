//! Training an adapter on pairs, a step a call.

use std::cell::RefCell;
use std::rc::Rc;

use cream::core::Loss;
use cream::engine::AdamW;
use cream::{DeviceTrainer, Learner, Model as _, Pair, PreferenceLoss, TrainOptions};
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::adapter::Adapter;
use crate::error::{Result, new, thrown};
use crate::hooks::Signal;
use crate::js::{Options, from_js, rows, to_js};
use crate::model::Model;

/// As `TrainerOptions` of types.ts has them.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    beta: f64,
    loss: Loss,
    sft_weight: f64,
    learning_rate: f32,
    batch_tokens: usize,
    raw: bool,
    adamw: AdamW,
}

impl Default for Settings {
    fn default() -> Self {
        let PreferenceLoss { beta, loss, sft_weight } = PreferenceLoss::default();
        let TrainOptions { batch_tokens, adamw, .. } = TrainOptions::default();
        Settings { beta, loss, sft_weight, learning_rate: 1e-4, batch_tokens, raw: false, adamw }
    }
}

/// Trains an adapter on preference pairs.
#[wasm_bindgen]
pub struct Trainer {
    adapter: Adapter,
    /// None while a step is under way.
    trainer: Rc<RefCell<Option<DeviceTrainer>>>,
    loss: PreferenceLoss,
    settings: Settings,
}

#[wasm_bindgen]
impl Trainer {
    /// Begins to train an adapter of this model.
    pub fn create(
        model: &Model,
        adapter: &Adapter,
        #[wasm_bindgen(unchecked_optional_param_type = "TrainerOptions")] options: JsValue,
    ) -> Result<Trainer> {
        let settings: Settings = from_js("options", &options)?;
        if !Rc::ptr_eq(&adapter.loaded, &model.loaded) {
            return Err(new("Error", "adapter: of another model, expected one of this model"));
        }
        let Settings { beta, loss, sft_weight, .. } = settings;
        let loss = PreferenceLoss { beta, loss, sft_weight };
        loss.validate().map_err(thrown)?;
        let trainer = {
            let mut own = adapter.adapter.try_borrow_mut().map_err(|_| busy())?;
            let mut model = model.loaded.model.clone();
            model.learner(Some(&mut own), settings.adamw, false).map_err(thrown)?.pause()
        };
        Ok(Trainer { adapter: adapter.share(), trainer: Rc::new(RefCell::new(Some(trainer))), loss, settings })
    }

    /// One step of the optimiser on the mean loss of these pairs. A step that fails or is stopped has changed nothing.
    #[wasm_bindgen(unchecked_return_type = "Metrics")]
    pub async fn step(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Pair[]")] pairs: JsValue,
        #[wasm_bindgen(unchecked_optional_param_type = "{ signal?: AbortSignal }")] options: JsValue,
    ) -> Result<JsValue> {
        let (loss, batch_tokens, rate, raw) =
            (self.loss, self.settings.batch_tokens, self.settings.learning_rate, self.settings.raw);
        let pairs: Vec<Pair> = rows("pairs", &pairs)?;
        let signal = Signal::of(&Options::of(&options));
        signal.check().map_err(thrown)?;
        let loaded = self.adapter.loaded.clone();
        self.with(async |learner| {
            let vocab_size = loaded.model.vocab_size();
            let encoder = loaded.encoder(raw);
            cream::train_step(learner, encoder, vocab_size, &pairs, &loss, batch_tokens, rate).await
        })
        .await
        .and_then(|row| to_js(&row))
    }

    /// All that goes on needs: values, moments and step count.
    pub async fn save(&self) -> Result<Vec<u8>> {
        self.with(async |learner| learner.save().await).await
    }

    /// Takes up what [`Trainer::save`] gave, of an adapter of the same shape.
    pub async fn restore(&self, state: Vec<u8>) -> Result<()> {
        self.with(async |learner| learner.restore(&state)).await
    }
}

impl Trainer {
    /// Works with the adapter and its trainer, and gives both back.
    async fn with<T>(&self, work: impl AsyncFnOnce(&mut cream::DeviceLearning<'_>) -> cream::Result<T>) -> Result<T> {
        let (loaded, adapter) = (self.adapter.loaded.clone(), self.adapter.adapter.clone());
        let mut own = adapter.try_borrow_mut().map_err(|_| busy())?;
        let trainer = self.trainer.borrow_mut().take().ok_or_else(busy)?;
        let mut learner = loaded.model.resume(&mut own, trainer).map_err(thrown)?;
        let result = work(&mut learner).await;
        *self.trainer.borrow_mut() = Some(learner.pause());
        result.map_err(thrown)
    }
}

fn busy() -> JsValue {
    new("Error", "adapter: it is in use, expected one that nothing else works with")
}
