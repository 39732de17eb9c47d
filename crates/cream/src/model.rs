//! What the method needs of a language model: one that answers and is scored, and one that learns. [`Llama`] is both, on any
//! [`Backend`]; the loop runs over whatever else implements these traits.

use std::future::Future;
use std::rc::Rc;

use cream_engine::{
    AdamW, Adapter, Backend, Batch, Checkpoint, Drawn, Dtype, GenerateOptions, Llama, LoraConfig, Outline, Request,
    Tensor, Text, Trained, Trainer, hf,
};

use crate::error::{Error, Result};

/// A language model that answers and is scored, with or without an adapter.
pub trait Model {
    /// What may be added to its weights, and is trained in their place.
    type Adapter;
    /// One that learns.
    type Learner<'a>: Learner
    where
        Self: 'a;

    /// How many tokens it knows.
    fn vocab_size(&self) -> usize;

    /// Gives back memory that is kept for reuse: the next stage's is of other sizes.
    fn trim(&self) {}

    /// Gives back all of its memory, before another model is loaded: there may not be room for two.
    fn release(self)
    where
        Self: Sized,
    {
    }

    /// What a plan of the memory of the stages that work with it needs to know; none, and nothing is planned.
    fn outline(&self, adapter: Option<&Self::Adapter>) -> Option<Outline> {
        let _ = adapter;
        None
    }

    /// Completes every request; `told` hears of the tokens as they are drawn and ends the work at once by an error.
    ///
    /// # Errors
    /// A request that it cannot serve, a device that failed, or what `told` says.
    fn generate(
        &self,
        adapter: Option<&Self::Adapter>,
        requests: &[Request],
        options: &GenerateOptions,
        told: impl FnMut(Drawn<'_>) -> Result<()>,
    ) -> impl Future<Output = Result<()>>;

    /// Log-probability of every completion token of the batch, in the order of [`Batch::targets`], nats.
    ///
    /// # Errors
    /// A device that failed.
    fn token_logps(&self, adapter: Option<&Self::Adapter>, batch: &Batch) -> impl Future<Output = Result<Vec<f32>>>;

    /// A new adapter that changes nothing yet.
    ///
    /// # Errors
    /// A configuration that does not fit the model.
    fn new_adapter(&self, config: &LoraConfig, seed: u64) -> Result<Self::Adapter>;

    /// The configuration of an adapter.
    fn lora(adapter: &Self::Adapter) -> &LoraConfig;

    /// An adapter from PEFT's two files, `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// # Errors
    /// A file that is not what this model takes.
    fn read_adapter(&self, config: &[u8], weights: &[u8]) -> Result<Self::Adapter>;

    /// An adapter as PEFT's two files, in the same order; `base_model` is the model's name.
    ///
    /// # Errors
    /// A device that failed.
    fn write_adapter(
        &self,
        adapter: &Self::Adapter,
        base_model: &str,
    ) -> impl Future<Output = Result<(String, Vec<u8>)>>;

    /// The model as the files of a Hugging Face folder by name, `adapter` added into its weights, which are of type `dtype`;
    /// `config.json` is the last.
    ///
    /// # Errors
    /// A type that weights are not written as, or a device that failed.
    fn files(
        &self,
        adapter: Option<&Self::Adapter>,
        text: &Text,
        dtype: Dtype,
    ) -> impl Future<Output = Result<Vec<(String, Vec<u8>)>>>;

    /// Begins to train: the adapter, or without one all weights. With `recompute`, activations are computed twice instead of
    /// being kept.
    ///
    /// # Errors
    /// A model whose weights cannot be trained.
    fn learner<'a>(
        &'a mut self,
        adapter: Option<&'a mut Self::Adapter>,
        options: AdamW,
        recompute: bool,
    ) -> Result<Self::Learner<'a>>;
}

/// A model, or the adapter over it, while it is trained.
pub trait Learner {
    /// Optimiser steps made so far.
    fn step(&self) -> u32;

    /// Adds the gradient of `loss` over a batch. `loss` is given the log-prob of each completion of the batch, in order, and
    /// answers with its own derivative with respect to each.
    ///
    /// # Errors
    /// What `loss` says, or a device that failed.
    fn accumulate(
        &mut self,
        batch: &Batch,
        loss: impl FnOnce(&[f64]) -> Result<Vec<f64>>,
    ) -> impl Future<Output = Result<()>>;

    /// Forgets the gradients since the last step.
    fn forget(&mut self);

    /// One step of the optimiser on the gradients since the last; returns their norm before clipping. Where that is not
    /// finite, no step is made.
    ///
    /// # Errors
    /// No batch since the last step, or a device that failed.
    fn update(&mut self, learning_rate: f32) -> impl Future<Output = Result<f32>>;

    /// All that a training that is taken up needs to go on as if it had never stopped.
    ///
    /// # Errors
    /// A device that failed.
    fn save(&mut self) -> impl Future<Output = Result<Vec<u8>>>;

    /// Takes up what [`Learner::save`] gave.
    ///
    /// # Errors
    /// It is of another model or adapter, or damaged; nothing has changed then.
    fn restore(&mut self, state: &[u8]) -> Result<()>;
}

impl<B: Backend> Model for Llama<B> {
    type Adapter = Adapter<B>;
    type Learner<'a>
        = Learning<'a, B>
    where
        B: 'a;

    fn vocab_size(&self) -> usize {
        self.config().vocab_size
    }

    fn trim(&self) {
        self.backend().trim();
    }

    fn release(self) {
        let backend = self.backend().clone();
        drop(self);
        backend.trim();
    }

    fn outline(&self, adapter: Option<&Adapter<B>>) -> Option<Outline> {
        Some(Outline::of(self, adapter))
    }

    async fn generate(
        &self,
        adapter: Option<&Adapter<B>>,
        requests: &[Request],
        options: &GenerateOptions,
        told: impl FnMut(Drawn<'_>) -> Result<()>,
    ) -> Result<()> {
        Llama::generate(self, adapter, requests, options, told).await
    }

    async fn token_logps(&self, adapter: Option<&Adapter<B>>, batch: &Batch) -> Result<Vec<f32>> {
        Ok(Llama::token_logps(self, adapter, batch).await?)
    }

    fn new_adapter(&self, config: &LoraConfig, seed: u64) -> Result<Adapter<B>> {
        Ok(Adapter::new(self.backend(), self.config(), config.clone(), seed)?)
    }

    fn lora(adapter: &Adapter<B>) -> &LoraConfig {
        adapter.config()
    }

    fn read_adapter(&self, config: &[u8], weights: &[u8]) -> Result<Adapter<B>> {
        Ok(Adapter::from_peft(self.backend(), self.config(), config, weights)?)
    }

    async fn write_adapter(&self, adapter: &Adapter<B>, base_model: &str) -> Result<(String, Vec<u8>)> {
        Ok(adapter.to_peft(self.backend(), base_model).await?)
    }

    async fn files(&self, adapter: Option<&Adapter<B>>, text: &Text, dtype: Dtype) -> Result<Vec<(String, Vec<u8>)>> {
        const WEIGHTS: &str = crate::weights::MODEL_WEIGHTS;
        let tensor = |(name, shape, values): (String, Vec<usize>, Vec<f32>)| {
            let bytes: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
            (name, Tensor { dtype: Dtype::F32, shape, bytes: bytes.into() })
        };
        let tensors = self.tensors(adapter).await?.into_iter().map(tensor).collect();
        let weights = Checkpoint::new(WEIGHTS, self.config().clone(), tensors)?.to_safetensors(dtype)?;
        let mut files = vec![(WEIGHTS.to_owned(), weights)];
        files.extend(text.files()?);
        let config = hf::config_json(self.config(), dtype, Some(text));
        files.push((crate::weights::MODEL_CONFIG.to_owned(), config.into_bytes()));
        Ok(files)
    }

    fn learner<'a>(
        &'a mut self,
        adapter: Option<&'a mut Adapter<B>>,
        options: AdamW,
        recompute: bool,
    ) -> Result<Learning<'a, B>> {
        Ok(Learning::new(Trained::new(self, adapter), options, recompute))
    }
}

/// A model that others hold too: adapters over it are trained, its own weights are not.
impl<B: Backend> Model for Rc<Llama<B>> {
    type Adapter = Adapter<B>;
    type Learner<'a>
        = Learning<'a, B>
    where
        B: 'a;

    fn vocab_size(&self) -> usize {
        Model::vocab_size(&**self)
    }

    fn trim(&self) {
        Model::trim(&**self);
    }

    fn outline(&self, adapter: Option<&Adapter<B>>) -> Option<Outline> {
        Model::outline(&**self, adapter)
    }

    async fn generate(
        &self,
        adapter: Option<&Adapter<B>>,
        requests: &[Request],
        options: &GenerateOptions,
        told: impl FnMut(Drawn<'_>) -> Result<()>,
    ) -> Result<()> {
        Model::generate(&**self, adapter, requests, options, told).await
    }

    async fn token_logps(&self, adapter: Option<&Adapter<B>>, batch: &Batch) -> Result<Vec<f32>> {
        Model::token_logps(&**self, adapter, batch).await
    }

    fn new_adapter(&self, config: &LoraConfig, seed: u64) -> Result<Adapter<B>> {
        Model::new_adapter(&**self, config, seed)
    }

    fn lora(adapter: &Adapter<B>) -> &LoraConfig {
        <Llama<B> as Model>::lora(adapter)
    }

    fn read_adapter(&self, config: &[u8], weights: &[u8]) -> Result<Adapter<B>> {
        Model::read_adapter(&**self, config, weights)
    }

    async fn write_adapter(&self, adapter: &Adapter<B>, base_model: &str) -> Result<(String, Vec<u8>)> {
        Model::write_adapter(&**self, adapter, base_model).await
    }

    async fn files(&self, adapter: Option<&Adapter<B>>, text: &Text, dtype: Dtype) -> Result<Vec<(String, Vec<u8>)>> {
        Model::files(&**self, adapter, text, dtype).await
    }

    fn learner<'a>(
        &'a mut self,
        adapter: Option<&'a mut Adapter<B>>,
        options: AdamW,
        recompute: bool,
    ) -> Result<Learning<'a, B>> {
        let adapter = adapter.ok_or_else(|| {
            Error::setting("tuning", "full", "\"lora\": the model is shared, and its weights stay as they are")
        })?;
        Ok(Learning::new(Trained::Adapter { model: self, adapter }, options, recompute))
    }
}

/// A [`Llama`] or an adapter over it, with its trainer.
pub struct Learning<'a, B: Backend> {
    trained: Trained<'a, B>,
    trainer: Trainer<B>,
}

impl<'a, B: Backend> Learning<'a, B> {
    fn new(trained: Trained<'a, B>, options: AdamW, recompute: bool) -> Self {
        let (model, adapter) = trained.parts();
        let trainer = Trainer::new(model, adapter, options, recompute);
        Learning { trained, trainer }
    }

    /// Goes on with a trainer of the same tensors, which it was taken from by [`Learning::into_trainer`].
    pub(crate) fn with_trainer(trained: Trained<'a, B>, trainer: Trainer<B>) -> Self {
        Learning { trained, trainer }
    }

    /// The trainer alone, to go on with another time.
    pub(crate) fn into_trainer(self) -> Trainer<B> {
        self.trainer
    }
}

impl<B: Backend> Learner for Learning<'_, B> {
    fn step(&self) -> u32 {
        self.trainer.step()
    }

    async fn accumulate(&mut self, batch: &Batch, loss: impl FnOnce(&[f64]) -> Result<Vec<f64>>) -> Result<()> {
        let (model, adapter) = self.trained.parts();
        self.trainer.accumulate(model, adapter, batch, loss).await
    }

    fn forget(&mut self) {
        self.trainer.forget();
    }

    async fn update(&mut self, learning_rate: f32) -> Result<f32> {
        Ok(self.trainer.update(self.trained.reborrow(), learning_rate).await?)
    }

    async fn save(&mut self) -> Result<Vec<u8>> {
        Ok(self.trainer.state(self.trained.reborrow()).await?)
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        Ok(self.trainer.restore(self.trained.reborrow(), state)?)
    }
}
