//! timings.json: what the stages of a run took, as the caller's clock has it. The one file of a run that is not the same
//! when the run is done again.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::progress::Update;
use crate::store::Store;

const TIMINGS: &str = "timings.json";

/// What a run took so far, in all its calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Name of the initial model.
    pub model: String,
    /// In the order in which they began.
    pub stages: Vec<StageTime>,
}

/// What one stage took on one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// `sample`, `score`, `train` or `sft`.
    pub stage: String,
    /// The file or folder that it made.
    pub output: String,
    /// Where it was computed.
    pub device: String,
    /// Loading of the model included; of a call that was killed, up to shortly before.
    pub seconds: f64,
    /// Tokens that went through the model, or were drawn from it.
    pub tokens: usize,
    /// Most memory that the process held, where the system tells.
    pub peak_bytes: Option<u64>,
}

impl Timings {
    /// Those of a run directory; none yet where there is no file.
    ///
    /// # Errors
    /// The file cannot be read or is another one.
    pub async fn read(store: &dyn Store) -> Result<Self> {
        match store.read(TIMINGS).await? {
            None => Ok(Timings::default()),
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|e| Error::file(TIMINGS, e)),
        }
    }

    /// Writes them down.
    ///
    /// # Errors
    /// The store's.
    pub async fn write(&self, store: &mut dyn Store) -> Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("string keys, and memory takes every byte");
        bytes.push(b'\n');
        store.write(TIMINGS, &bytes).await
    }

    /// The entry of the stage that an update is about, made where there is none.
    pub fn stage(&mut self, update: &Update<'_>, device: &str) -> &mut StageTime {
        let known = self.stages.iter().position(|stage| stage.output == update.output && stage.device == device);
        let index = known.unwrap_or_else(|| {
            self.stages.push(StageTime {
                stage: update.stage.to_string(),
                output: update.output.into(),
                device: device.into(),
                seconds: 0.0,
                tokens: 0,
                peak_bytes: None,
            });
            self.stages.len() - 1
        });
        &mut self.stages[index]
    }
}
