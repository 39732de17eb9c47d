//! A device that is chosen while the program runs, and the model on it: for callers that are not compiled once for each
//! backend, as a page or a script is not.

use std::rc::Rc;

use cream_engine::gpu::Gpu;
use cream_engine::{
    AdamW, Adapter, Backend, Batch, Cpu, Drawn, Dtype, GenerateOptions, Llama, LlamaConfig, LoraConfig, Outline,
    Request, Text, Trained, Trainer, Uses, WeightSource,
};

use crate::error::Result;
use crate::model::{Learner, Learning, Model};
use crate::sample::SampleOptions;
use crate::score::ScoreOptions;

/// A thing on the CPU, or one on a GPU.
#[derive(Debug, Clone)]
pub enum OnDevice<C, G> {
    /// On the CPU.
    Cpu(C),
    /// On a GPU.
    Gpu(G),
}

/// Where a model computes.
pub type Device = OnDevice<Cpu, Gpu>;
/// A model on a device, shared by all that work with it: adapters over it are trained, its own weights are not.
pub type DeviceModel = OnDevice<Rc<Llama<Cpu>>, Rc<Llama<Gpu>>>;
/// An adapter over a [`DeviceModel`].
pub type DeviceAdapter = OnDevice<Adapter<Cpu>, Adapter<Gpu>>;
/// An adapter over a [`DeviceModel`] while it is trained.
pub type DeviceLearning<'a> = OnDevice<Learning<'a, Cpu>, Learning<'a, Gpu>>;

/// Does the same with either.
macro_rules! either {
    ($value:expr, $inner:pat => $then:expr) => {
        match $value {
            OnDevice::Cpu($inner) => $then,
            OnDevice::Gpu($inner) => $then,
        }
    };
}

/// Does the same with a model and an adapter of the same device.
macro_rules! both {
    ($model:expr, $adapter:expr, $inner:pat, $over:pat => $then:expr) => {
        match ($model, $adapter) {
            (OnDevice::Cpu($inner), OnDevice::Cpu($over)) => $then,
            (OnDevice::Gpu($inner), OnDevice::Gpu($over)) => $then,
            _ => Err(apart()),
        }
    };
}

/// The same where there may be no adapter.
macro_rules! over {
    ($model:expr, $adapter:expr, $inner:pat, $over:ident => $then:expr) => {
        match ($model, $adapter) {
            (OnDevice::Cpu($inner), None) => {
                let $over = None;
                $then
            }
            (OnDevice::Gpu($inner), None) => {
                let $over = None;
                $then
            }
            (OnDevice::Cpu($inner), Some(OnDevice::Cpu(own))) => {
                let $over = Some(own);
                $then
            }
            (OnDevice::Gpu($inner), Some(OnDevice::Gpu(own))) => {
                let $over = Some(own);
                $then
            }
            _ => Err(apart()),
        }
    };
}

fn apart() -> crate::Error {
    cream_engine::Error::Request("an adapter on another device than its model, expected both on one".into()).into()
}

impl Device {
    /// What it is called.
    pub fn name(&self) -> String {
        either!(self, backend => backend.name())
    }

    /// Puts a model there, frozen, and makes the device ready for up to `slots` answers at once, for scores and for the
    /// training of adapters; what else is asked of it later takes a moment at its first time. `told` hears how far that is,
    /// and ends it by an error.
    ///
    /// # Errors
    /// As [`Llama::load`], or what the device has to say of it.
    pub async fn load<S: WeightSource>(
        &self,
        source: &S,
        slots: usize,
        told: impl FnMut(Loading, usize, usize) -> cream_engine::Result<()>,
    ) -> Result<DeviceModel> {
        Ok(match self {
            OnDevice::Cpu(cpu) => OnDevice::Cpu(Rc::new(ready(cpu, source, slots, told).await?)),
            OnDevice::Gpu(gpu) => OnDevice::Gpu(Rc::new(ready(gpu, source, slots, told).await?)),
        })
    }
}

/// What is counted while a model is put on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loading {
    /// Tensors of the file.
    Weights,
    /// Pipelines of a GPU.
    Pipelines,
}

async fn ready<B: Backend, S: WeightSource>(
    backend: &B,
    source: &S,
    slots: usize,
    mut told: impl FnMut(Loading, usize, usize) -> cream_engine::Result<()>,
) -> cream_engine::Result<Llama<B>> {
    let mut model = Llama::load(backend.clone(), source, false, |done, all| told(Loading::Weights, done, all)).await?;
    // Memory that the device does not have it names here, and not in the first request.
    backend.finish().await?;
    let options = SampleOptions::default();
    let (max_new_tokens, sampling) = (options.max_new_tokens, options.sampling());
    let generate = GenerateOptions { max_new_tokens, sampling, seed: 0, stop_tokens: Vec::new(), slots };
    let uses = Uses {
        generate: Some(generate),
        tokens: ScoreOptions::default().batch_tokens,
        score: true,
        train: Some(false),
    };
    let mut adapter = Adapter::new(backend, model.config(), LoraConfig::default(), 0)?;
    let pipelines = |done, all| told(Loading::Pipelines, done, all);
    model.prepare(Some(&mut adapter), &uses, pipelines).await?;
    Ok(model)
}

/// What a training keeps between its steps while the model and the adapter are free for others.
pub type DeviceTrainer = OnDevice<Trainer<Cpu>, Trainer<Gpu>>;

impl DeviceModel {
    /// Goes on with the training of an adapter.
    ///
    /// # Errors
    /// Not all three are on one device.
    pub fn resume<'a>(&'a self, adapter: &'a mut DeviceAdapter, trainer: DeviceTrainer) -> Result<DeviceLearning<'a>> {
        match (self, adapter, trainer) {
            (OnDevice::Cpu(model), OnDevice::Cpu(adapter), OnDevice::Cpu(trainer)) => {
                Ok(OnDevice::Cpu(Learning::with_trainer(Trained::Adapter { model, adapter }, trainer)))
            }
            (OnDevice::Gpu(model), OnDevice::Gpu(adapter), OnDevice::Gpu(trainer)) => {
                Ok(OnDevice::Gpu(Learning::with_trainer(Trained::Adapter { model, adapter }, trainer)))
            }
            _ => Err(apart()),
        }
    }

    /// The model's shape.
    pub fn config(&self) -> &LlamaConfig {
        either!(self, model => model.config())
    }
}

impl Model for DeviceModel {
    type Adapter = DeviceAdapter;
    type Learner<'a> = DeviceLearning<'a>;

    fn vocab_size(&self) -> usize {
        self.config().vocab_size
    }

    fn trim(&self) {
        either!(self, model => Model::trim(model));
    }

    fn outline(&self, adapter: Option<&DeviceAdapter>) -> Option<Outline> {
        let lora = adapter.map(Self::lora);
        let base = either!(self, model => Model::outline(model, None))?;
        Some(base.with_adapter(lora))
    }

    async fn generate(
        &self,
        adapter: Option<&DeviceAdapter>,
        requests: &[Request],
        options: &GenerateOptions,
        told: impl FnMut(Drawn<'_>) -> Result<()>,
    ) -> Result<()> {
        over!(self, adapter, model, own => Model::generate(model, own, requests, options, told).await)
    }

    async fn token_logps(&self, adapter: Option<&DeviceAdapter>, batch: &Batch) -> Result<Vec<f32>> {
        over!(self, adapter, model, own => Model::token_logps(model, own, batch).await)
    }

    fn new_adapter(&self, config: &LoraConfig, seed: u64) -> Result<DeviceAdapter> {
        Ok(match self {
            OnDevice::Cpu(model) => OnDevice::Cpu(model.new_adapter(config, seed)?),
            OnDevice::Gpu(model) => OnDevice::Gpu(model.new_adapter(config, seed)?),
        })
    }

    fn lora(adapter: &DeviceAdapter) -> &LoraConfig {
        either!(adapter, adapter => adapter.config())
    }

    fn read_adapter(&self, config: &[u8], weights: &[u8]) -> Result<DeviceAdapter> {
        Ok(match self {
            OnDevice::Cpu(model) => OnDevice::Cpu(model.read_adapter(config, weights)?),
            OnDevice::Gpu(model) => OnDevice::Gpu(model.read_adapter(config, weights)?),
        })
    }

    async fn write_adapter(&self, adapter: &DeviceAdapter, base_model: &str) -> Result<(String, Vec<u8>)> {
        both!(self, adapter, model, own => model.write_adapter(own, base_model).await)
    }

    async fn files(
        &self,
        adapter: Option<&DeviceAdapter>,
        text: &Text,
        dtype: Dtype,
    ) -> Result<Vec<(String, Vec<u8>)>> {
        over!(self, adapter, model, own => Model::files(model, own, text, dtype).await)
    }

    fn learner<'a>(
        &'a mut self,
        adapter: Option<&'a mut DeviceAdapter>,
        options: AdamW,
        recompute: bool,
    ) -> Result<DeviceLearning<'a>> {
        match (self, adapter) {
            (OnDevice::Cpu(model), None) => Ok(OnDevice::Cpu(model.learner(None, options, recompute)?)),
            (OnDevice::Gpu(model), None) => Ok(OnDevice::Gpu(model.learner(None, options, recompute)?)),
            (OnDevice::Cpu(model), Some(OnDevice::Cpu(own))) => {
                Ok(OnDevice::Cpu(model.learner(Some(own), options, recompute)?))
            }
            (OnDevice::Gpu(model), Some(OnDevice::Gpu(own))) => {
                Ok(OnDevice::Gpu(model.learner(Some(own), options, recompute)?))
            }
            _ => Err(apart()),
        }
    }
}

impl DeviceLearning<'_> {
    /// Leaves the model and the adapter to others.
    pub fn pause(self) -> DeviceTrainer {
        match self {
            OnDevice::Cpu(learning) => OnDevice::Cpu(learning.into_trainer()),
            OnDevice::Gpu(learning) => OnDevice::Gpu(learning.into_trainer()),
        }
    }
}

impl Learner for DeviceLearning<'_> {
    fn step(&self) -> u32 {
        either!(self, learning => learning.step())
    }

    async fn accumulate(&mut self, batch: &Batch, loss: impl FnOnce(&[f64]) -> Result<Vec<f64>>) -> Result<()> {
        either!(self, learning => learning.accumulate(batch, loss).await)
    }

    fn forget(&mut self) {
        either!(self, learning => learning.forget());
    }

    async fn update(&mut self, learning_rate: f32) -> Result<f32> {
        either!(self, learning => learning.update(learning_rate).await)
    }

    async fn save(&mut self) -> Result<Vec<u8>> {
        either!(self, learning => learning.save().await)
    }

    fn restore(&mut self, state: &[u8]) -> Result<()> {
        either!(self, learning => learning.restore(state))
    }
}
