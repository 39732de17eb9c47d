//! Training: gradients, AdamW and its schedule, over an adapter or over all weights.

use std::collections::BTreeMap;

use safetensors::{SafeTensors, tensor::TensorView};

use crate::adapter::{Adapter, Linear, in_order};
use crate::backend::{AdamW, Backend, LinearGradient, Parameter};
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::llama::Llama;

/// One f32 buffer for each thing that a backward pass fills.
pub(crate) struct Gradients<B: Backend> {
    /// `[V, D]`; also the head's where the two are tied.
    pub(crate) embedding: Option<B::Buffer>,
    /// `[V, D]`
    pub(crate) head: Option<B::Buffer>,
    /// `[D]`
    pub(crate) norm: Option<B::Buffer>,
    pub(crate) blocks: Vec<BlockGradients<B>>,
}

/// Gradients within one block.
pub(crate) struct BlockGradients<B: Backend> {
    pub(crate) attention_norm: Option<B::Buffer>,
    pub(crate) mlp_norm: Option<B::Buffer>,
    pub(crate) linears: [OwnGradient<B>; 7],
}

/// Owned twin of [`LinearGradient`].
pub(crate) enum OwnGradient<B: Backend> {
    Frozen,
    Lora { a: B::Buffer, b: B::Buffer },
    Weight(B::Buffer),
}

impl<B: Backend> OwnGradient<B> {
    fn pair(&self) -> Option<[&B::Buffer; 2]> {
        match self {
            OwnGradient::Lora { a, b } => Some([a, b]),
            OwnGradient::Frozen | OwnGradient::Weight(_) => None,
        }
    }

    pub(crate) fn as_target(&mut self) -> LinearGradient<'_, B> {
        match self {
            OwnGradient::Frozen => LinearGradient::Frozen,
            OwnGradient::Lora { a, b } => LinearGradient::Lora { a, b },
            OwnGradient::Weight(weight) => LinearGradient::Weight(weight),
        }
    }
}

impl<B: Backend> Gradients<B> {
    /// Zeros for everything that is trained: the pairs of `adapter`, or without one all weights of `model`.
    fn zeros(model: &Llama<B>, adapter: Option<&Adapter<B>>) -> Self {
        let (backend, config) = (model.backend(), model.config());
        let all = adapter.is_none();
        let when = |trained: bool, len: usize| trained.then(|| backend.zeros(len));
        let table = config.vocab_size * config.hidden_size;
        let factors = adapter.map(|adapter| adapter.paired(backend.zeros_all(&adapter.lens())));
        let linears: Vec<[OwnGradient<B>; 7]> = match factors {
            Some(blocks) => {
                let own = |pair: Option<[B::Buffer; 2]>| {
                    pair.map_or(OwnGradient::Frozen, |[a, b]| OwnGradient::Lora { a, b })
                };
                blocks.into_iter().map(|pairs| pairs.map(own)).collect()
            }
            None => {
                let own = |linear: Linear| OwnGradient::Weight(backend.zeros(linear.shape(config).iter().product()));
                (0..config.num_hidden_layers).map(|_| Linear::ALL.map(own)).collect()
            }
        };
        let block = |linears| BlockGradients {
            attention_norm: when(all, config.hidden_size),
            mlp_norm: when(all, config.hidden_size),
            linears,
        };
        Gradients {
            embedding: when(all, table),
            head: when(all && !config.tie_word_embeddings, table),
            norm: when(all, config.hidden_size),
            blocks: linears.into_iter().map(block).collect(),
        }
    }

    /// All buffers, in the order of [`Trained::parameters`].
    fn buffers(&self) -> Vec<&B::Buffer> {
        let mut out: Vec<&B::Buffer> = self.embedding.iter().collect();
        for block in &self.blocks {
            out.extend(block.attention_norm.iter().chain(&block.mlp_norm));
            out.extend(in_order(block.linears.each_ref().map(OwnGradient::pair)));
            out.extend(block.linears.iter().filter_map(|own| match own {
                OwnGradient::Weight(weight) => Some(weight),
                OwnGradient::Frozen | OwnGradient::Lora { .. } => None,
            }));
        }
        out.extend(self.norm.iter().chain(&self.head));
        out
    }
}

/// What is trained.
#[derive(Debug)]
pub enum Trained<'a, B: Backend> {
    /// The pairs of an adapter over a model that stays as it is.
    Adapter {
        /// The base.
        model: &'a Llama<B>,
        /// Changed by every step.
        adapter: &'a mut Adapter<B>,
    },
    /// All weights of a model that was loaded as trainable.
    Weights(&'a mut Llama<B>),
}

impl<'a, B: Backend> Trained<'a, B> {
    /// The adapter, where there is one, or else the weights of the model.
    pub fn new(model: &'a mut Llama<B>, adapter: Option<&'a mut Adapter<B>>) -> Self {
        match adapter {
            Some(adapter) => Trained::Adapter { model, adapter },
            None => Trained::Weights(model),
        }
    }

    /// The model, and the adapter over it.
    pub fn parts(&self) -> (&Llama<B>, Option<&Adapter<B>>) {
        match self {
            Trained::Adapter { model, adapter } => (model, Some(adapter)),
            Trained::Weights(model) => (model, None),
        }
    }

    /// The same for a shorter time.
    pub fn reborrow(&mut self) -> Trained<'_, B> {
        match self {
            Trained::Adapter { model, adapter } => Trained::Adapter { model, adapter },
            Trained::Weights(model) => Trained::Weights(model),
        }
    }

    /// Its tensors by name.
    fn parameters(&mut self) -> Result<Vec<(String, &mut B::Buffer)>> {
        let named = match self {
            Trained::Adapter { adapter, .. } => adapter.parameters_mut(),
            Trained::Weights(model) => model.parameters_mut(),
        };
        let packed = |name: &str| Error::Request(format!("{name} is packed, expected a model loaded as trainable"));
        let dense = |(name, buffer): (String, Option<_>)| buffer.ok_or_else(|| packed(&name)).map(|b| (name, b));
        named.into_iter().map(dense).collect()
    }
}

impl<B: Backend> Gradients<B> {
    /// The same as [`Gradients::buffers`].
    fn buffers_mut(&mut self) -> Vec<&mut B::Buffer> {
        let mut out: Vec<&mut B::Buffer> = self.embedding.iter_mut().collect();
        for BlockGradients { attention_norm, mlp_norm, linears } in &mut self.blocks {
            out.extend(attention_norm.iter_mut().chain(mlp_norm));
            // A block's linears are all weights, or pairs and frozen ones.
            let mut weights = Vec::new();
            out.extend(in_order(linears.each_mut().map(|own| match own {
                OwnGradient::Lora { a, b } => Some([a, b]),
                OwnGradient::Weight(weight) => {
                    weights.push(weight);
                    None
                }
                OwnGradient::Frozen => None,
            })));
            out.extend(weights);
        }
        out.extend(self.norm.iter_mut().chain(&mut self.head));
        out
    }
}

/// Whether weight decay acts on a parameter of this name: `get_decay_parameter_names` of transformers' Trainer.
fn is_decayed(name: &str) -> bool {
    !name.contains("norm") && !name.ends_with(".bias")
}

/// Gradients and AdamW's moments of an adapter, or of all weights of a model.
pub struct Trainer<B: Backend> {
    options: AdamW,
    recompute: bool,
    /// Of the step under way; none before its first batch.
    gradients: Option<Gradients<B>>,
    /// First and second moment of each parameter.
    moments: Vec<[B::Buffer; 2]>,
    step: u32,
}

impl<B: Backend> Trainer<B> {
    /// A trainer for `adapter` or, without one, for all weights of `model`, which must have been loaded as trainable.
    /// With `recompute`, activations inside blocks are computed again in the backward pass instead of being kept.
    pub fn new(model: &Llama<B>, adapter: Option<&Adapter<B>>, options: AdamW, recompute: bool) -> Self {
        let backend = model.backend();
        let gradients = Gradients::zeros(model, adapter);
        let lens: Vec<usize> = gradients.buffers().into_iter().map(|buffer| backend.len(buffer)).collect();
        // Given back before as much is taken for each moment.
        drop(gradients);
        let [first, second] = [(); 2].map(|()| backend.zeros_all(&lens));
        let moments = first.into_iter().zip(second).map(|(first, second)| [first, second]).collect();
        Trainer { options, recompute, gradients: None, moments, step: 0 }
    }

    /// Optimiser steps made so far.
    pub fn step(&self) -> u32 {
        self.step
    }

    /// Forward, `loss`, backward; adds to the gradients. `loss` is given the sum of token log-probabilities of each
    /// completion of the batch, in order, and answers with the derivative of the loss with respect to each.
    ///
    /// # Errors
    /// What `loss` says, or a device that failed or was lost; then no batch is counted since the last step.
    pub async fn accumulate<E: From<Error>>(
        &mut self,
        model: &Llama<B>,
        adapter: Option<&Adapter<B>>,
        batch: &Batch,
        loss: impl FnOnce(&[f64]) -> Result<Vec<f64>, E>,
    ) -> Result<(), E> {
        let (tape, logps) = model.forward(adapter, batch, self.recompute);
        // What went wrong may be of the batch before.
        let logps = model.backend().read(&logps).await.inspect_err(|_| self.gradients = None)?;
        let sums: Vec<f64> = batch.split(&logps).map(|l| l.iter().map(|&l| f64::from(l)).sum()).collect();
        let per_completion = loss(&sums)?;
        let per_token: Vec<f32> = per_completion
            .iter()
            .zip(&batch.completion_lens)
            .flat_map(|(&d, &len)| std::iter::repeat_n(d as f32, len))
            .collect();
        let gradients = self.gradients.get_or_insert_with(|| Gradients::zeros(model, adapter));
        model.backward(adapter, tape, &per_token, gradients);
        Ok(())
    }

    /// Forgets the gradients accumulated since the last step.
    pub fn forget(&mut self) {
        self.gradients = None;
    }

    /// All gradients accumulated since the last step, as one array: zeros before the first batch. With
    /// [`Trainer::replace_gradients`], the place where a sum over ranks that share a step's batches goes, between the last
    /// [`Trainer::accumulate`] and [`Trainer::update`]: every rank reads its own, sums them with those of all others, and
    /// goes on with the sum. Steps stay alike on all ranks if they began alike, with one model, adapter and state.
    ///
    /// The order is that of what is trained: for an adapter block by block and input by input, every A before every B; for
    /// all weights that of the model's forward pass. It follows from the shapes alone, and so is every rank's. A rank
    /// without a batch for this step takes part with zeros. Numbers are sums of what `loss` gave: where that was divided by
    /// a count of pairs, it must have been the count over all ranks.
    ///
    /// # Errors
    /// A device that failed or was lost.
    pub async fn read_gradients(&mut self, model: &Llama<B>, adapter: Option<&Adapter<B>>) -> Result<Vec<f32>> {
        let gradients = self.gradients.get_or_insert_with(|| Gradients::zeros(model, adapter));
        Ok(model.backend().read_all(&gradients.buffers()).await?.concat())
    }

    /// Takes these for the gradients of this step, in the order of [`Trainer::read_gradients`].
    ///
    /// # Errors
    /// Another number of values than these are.
    pub fn replace_gradients(&mut self, model: &Llama<B>, adapter: Option<&Adapter<B>>, values: &[f32]) -> Result<()> {
        let backend = model.backend();
        let gradients = self.gradients.get_or_insert_with(|| Gradients::zeros(model, adapter));
        let lens: Vec<usize> = gradients.buffers().into_iter().map(|buffer| backend.len(buffer)).collect();
        let all: usize = lens.iter().sum();
        if values.len() != all {
            return Err(Error::Request(format!("{} gradients, expected {all} of this trainer", values.len())));
        }
        let (mut rest, mut parts) = (values, Vec::with_capacity(lens.len()));
        for len in lens {
            let (own, others) = rest.split_at(len);
            parts.push(own);
            rest = others;
        }
        let uploaded = backend.upload_all(&parts);
        gradients.buffers_mut().into_iter().zip(uploaded).for_each(|(buffer, new)| *buffer = new);
        Ok(())
    }

    /// The gradients so far under their tensors' names.
    #[cfg(test)]
    pub(crate) fn gradients(&mut self, mut trained: Trained<'_, B>) -> Vec<(String, &B::Buffer)> {
        let named = trained.parameters().unwrap();
        let gradients = self.gradients.as_ref().unwrap();
        named.into_iter().map(|(name, _)| name).zip(gradients.buffers()).collect()
    }

    /// One AdamW step with clipping on the gradients accumulated since the last. Norms and biases are not decayed, as in
    /// transformers. Returns the gradients' norm before clipping; where that is not finite no step is made, and weights,
    /// moments and step count are as they were.
    ///
    /// # Errors
    /// No batch since the last step, weights that are trained and were not loaded as trainable, or a device that was lost.
    pub async fn update(&mut self, mut trained: Trained<'_, B>, learning_rate: f32) -> Result<f32> {
        let backend = trained.parts().0.backend().clone();
        let parameters = trained.parameters()?;
        let gradients = self.gradients.take().ok_or_else(|| Error::Request("an update without a batch".into()))?;
        let mut norm_squared = backend.buffer(1);
        backend.sum_of_squares(&gradients.buffers(), &mut norm_squared);
        let parameters = parameters
            .into_iter()
            .zip(gradients.buffers())
            .zip(&mut self.moments)
            .map(|(((name, value), gradient), [first, second])| {
                let decayed = is_decayed(&name);
                Parameter { value, gradient, first, second, decayed }
            })
            .collect();
        backend.adamw(parameters, &norm_squared, &self.options, learning_rate, self.step + 1);
        let norm = backend.read(&norm_squared).await?[0].sqrt();
        self.step += u32::from(norm.is_finite());
        Ok(norm)
    }

    /// Values, moments and step count as safetensors: all that a resumed run needs to go on bit for bit.
    ///
    /// # Errors
    /// A device that was lost.
    pub async fn state(&self, mut trained: Trained<'_, B>) -> Result<Vec<u8>> {
        let backend = trained.parts().0.backend().clone();
        let (mut names, mut buffers) = (Vec::new(), Vec::new());
        for ((name, value), [first, second]) in trained.parameters()?.into_iter().zip(&self.moments) {
            names.extend(KINDS.map(|kind| format!("{name}.{kind}")));
            buffers.extend([&*value, first, second]);
        }
        let tensors: BTreeMap<String, Vec<f32>> = names.into_iter().zip(backend.read_all(&buffers).await?).collect();
        let views = tensors.iter().map(|(name, values)| {
            let view = TensorView::new(safetensors::Dtype::F32, vec![values.len()], bytemuck::cast_slice(values));
            (name, view.expect("a vector of as many values"))
        });
        let step = [("step".to_string(), self.step.to_string())];
        safetensors::serialize(views, Some(step.into())).map_err(|e| Error::Request(e.to_string()))
    }

    /// Takes up a state that [`Trainer::state`] made for a model and adapter of the same shape.
    ///
    /// # Errors
    /// A state that is cut short or of another shape; nothing has changed then.
    pub fn restore(&mut self, mut trained: Trained<'_, B>, state: &[u8]) -> Result<()> {
        let bad = |field: &str, problem: String| Error::file("training state", field, problem);
        let (_, header) = SafeTensors::read_metadata(state).map_err(|e| bad("header", e.to_string()))?;
        let step = header.metadata().as_ref().and_then(|m| m.get("step")?.parse().ok());
        let step = step.ok_or_else(|| bad("step", "missing, expected a number".into()))?;
        let file = SafeTensors::deserialize(state).map_err(|e| bad("header", e.to_string()))?;
        let backend = trained.parts().0.backend().clone();
        // By kind, in the order of the parameters: what lies behind each other still does.
        let mut buffers: [Vec<(String, &mut B::Buffer)>; 3] = Default::default();
        for ((name, value), [first, second]) in trained.parameters()?.into_iter().zip(&mut self.moments) {
            for ((of_kind, kind), buffer) in buffers.iter_mut().zip(KINDS).zip([value, first, second]) {
                of_kind.push((format!("{name}.{kind}"), buffer));
            }
        }
        let tensor = |name: &str, len: usize| {
            let view = file.tensor(name).map_err(|e| bad(name, e.to_string()))?;
            if view.dtype() != safetensors::Dtype::F32 || view.shape() != [len] {
                return Err(bad(name, format!("{:?} {:?}, expected F32 [{len}]", view.dtype(), view.shape())));
            }
            Ok(bytemuck::allocation::pod_collect_to_vec::<u8, f32>(view.data()))
        };
        // All are checked before the first is replaced.
        for (name, buffer) in buffers.iter().flatten() {
            tensor(name, backend.len(buffer))?;
        }
        for of_kind in buffers {
            let numbers = of_kind.iter().map(|(name, buffer)| tensor(name, backend.len(buffer)));
            let numbers = numbers.collect::<Result<Vec<_>>>()?;
            let uploaded = backend.upload_all(&numbers.iter().map(Vec::as_slice).collect::<Vec<_>>());
            of_kind.into_iter().zip(uploaded).for_each(|((_, buffer), new)| *buffer = new);
        }
        self.step = step;
        Ok(())
    }
}

const KINDS: [&str; 3] = ["value", "first", "second"];

/// Linear warm-up, then a cosine to zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// Peak.
    pub learning_rate: f32,
    /// Share of the steps spent warming up.
    pub warmup_ratio: f32,
    /// Steps in all.
    pub total_steps: u32,
}

impl Schedule {
    /// Learning rate of step `step`, counted from 0 (transformers' get_cosine_schedule_with_warmup).
    pub fn at(&self, step: u32) -> f32 {
        let warmup = (self.warmup_ratio * self.total_steps as f32).ceil();
        let (step, total) = (step as f32, self.total_steps as f32);
        if step < warmup {
            return self.learning_rate * step / warmup;
        }
        let progress = (step - warmup) / (total - warmup).max(1.0);
        self.learning_rate * 0.5 * (1.0 + (std::f32::consts::PI * progress).cos())
    }
}
