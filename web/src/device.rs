//! Where a model computes.

use cream::OnDevice;
use cream::engine::gpu::Gpu;
use cream::engine::{Backend, Cpu};
use wasm_bindgen::prelude::*;

use crate::error::{Result, thrown_by_engine};
use crate::js::to_js;
use crate::rest::rest;

/// Where a model computes.
#[wasm_bindgen]
pub struct Device {
    pub(crate) device: cream::Device,
}

#[wasm_bindgen]
impl Device {
    /// The CPU, in this thread, with SIMD of 128 bits.
    pub fn cpu() -> Device {
        Device { device: OnDevice::Cpu(Cpu::new().with_rest(rest)) }
    }

    /// The fastest GPU that WebGPU has. Rejects with what is missing: WebGPU, an adapter, or the limits that the kernels need.
    pub async fn gpu() -> Result<Device> {
        let gpu = Gpu::request().await.map_err(thrown_by_engine)?;
        Ok(Device { device: OnDevice::Gpu(gpu) })
    }

    /// What it is called.
    #[wasm_bindgen(getter)]
    pub fn name(&self) -> String {
        match &self.device {
            OnDevice::Cpu(_) => "CPU (wasm, SIMD of 128 bits, one thread)".into(),
            OnDevice::Gpu(gpu) => gpu.name(),
        }
    }

    /// Whether it is the CPU or a GPU.
    #[wasm_bindgen(getter, unchecked_return_type = "\"cpu\" | \"gpu\"")]
    pub fn kind(&self) -> String {
        match &self.device {
            OnDevice::Cpu(_) => "cpu".into(),
            OnDevice::Gpu(_) => "gpu".into(),
        }
    }

    /// Calls to the GPU's queue so far.
    #[wasm_bindgen(getter, unchecked_return_type = "{ submissions: number; writes: number; reads: number }")]
    pub fn counts(&self) -> Result<JsValue> {
        let [submissions, writes, reads] = match &self.device {
            OnDevice::Cpu(_) => [0; 3],
            OnDevice::Gpu(gpu) => {
                let counts = gpu.counts();
                [counts.submissions, counts.writes, counts.reads]
            }
        };
        to_js(&serde_json::json!({ "submissions": submissions, "writes": writes, "reads": reads }))
    }

    /// Gives a GPU up, as if it were lost.
    pub fn destroy(&self) {
        if let OnDevice::Gpu(gpu) = &self.device {
            gpu.destroy();
        }
    }
}
