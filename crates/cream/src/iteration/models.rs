//! The models of a run, of which one is in memory.

use crate::config::Tuning;
use crate::error::Result;
use crate::fingerprint::fingerprint;
use crate::model::Model;
use crate::policy::Encoder;
use crate::run::RunInputs;
use crate::store::Store;
use crate::weights::load_adapter;

/// The models of a run. M0 is the initial one and M_{t+1} what iteration t made; without iteration 0, M1 is M0.
pub(super) struct Models<'a, 'b, M: Model> {
    pub(super) inputs: &'a mut RunInputs<'b, M>,
    /// Number of the model in memory, and whether it is trainable. With adapters it is always M0, not trainable.
    pub(super) held: Option<(usize, bool, M)>,
}

impl<'b, M: Model> Models<'_, 'b, M> {
    /// The number under which a model is known.
    pub(super) fn number(&self, model: usize) -> usize {
        if model == 1 && self.inputs.sft.is_empty() { 0 } else { model }
    }

    /// Folder of a model that an iteration made.
    fn folder(&self, model: usize) -> Option<String> {
        self.number(model).checked_sub(1).map(super::folder)
    }

    /// How the models read rows.
    pub(super) fn encoder(&self) -> Encoder<'b> {
        self.inputs.encoder()
    }

    /// Of a model's weights: within a run, its number says all.
    pub(super) fn fingerprint(&self, model: usize) -> String {
        let number = self.number(model);
        fingerprint([self.inputs.fingerprint.as_bytes(), format!("M{number}").as_bytes()])
    }

    /// A model and its adapter, if it has one.
    pub(super) async fn get(
        &mut self,
        model: usize,
        trainable: bool,
        store: &dyn Store,
    ) -> Result<(&mut M, Option<M::Adapter>)> {
        let lora = self.inputs.config.tuning == Tuning::Lora;
        let wanted = (if lora { 0 } else { self.number(model) }, trainable);
        let held = match self.held.take() {
            Some((number, as_trainable, held)) if (number, as_trainable) == wanted => held,
            // Given back before the next is loaded: there may not be room for two.
            other => {
                if let Some((.., held)) = other {
                    held.release();
                }
                let folder = self.folder(wanted.0);
                self.inputs.load.load(folder.as_deref(), trainable).await?
            }
        };
        let adapter = match self.folder(model) {
            Some(folder) if lora => Some(load_adapter(&held, store, &folder).await?),
            _ => None,
        };
        let (_, _, held) = self.held.insert((wanted.0, wanted.1, held));
        Ok((held, adapter))
    }
}
