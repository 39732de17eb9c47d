//! What has been recorded since the last submission: an open compute pass and the parameters of its kernels.

use wgpu::{CommandEncoder, ComputePass, Device};

/// Bytes between two kernels' parameters: the largest alignment a WebGPU adapter may ask of a uniform binding.
pub(super) const PARAMETER_STRIDE: usize = 256;
/// Kernels in one submission: about those of a decoding step, so that the device runs one step while the next is recorded.
pub(super) const CAPACITY: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Recording {
    pub(super) encoder: Option<CommandEncoder>,
    pass: Option<ComputePass<'static>>,
    /// Of all kernels so far, [`PARAMETER_STRIDE`] apart.
    pub(super) parameters: Vec<u8>,
    /// Kernels since the device was opened.
    #[cfg(test)]
    pub(super) kernels: usize,
}

impl Recording {
    /// The open pass, opened if need be. It must end before the encoder is used for anything else.
    pub(super) fn pass(&mut self, device: &Device) -> &mut ComputePass<'static> {
        let encoder = self.encoder.get_or_insert_with(|| device.create_command_encoder(&Default::default()));
        self.pass.get_or_insert_with(|| encoder.begin_compute_pass(&Default::default()).forget_lifetime())
    }

    /// The encoder, with the pass ended.
    pub(super) fn encoder(&mut self, device: &Device) -> &mut CommandEncoder {
        self.pass = None;
        self.encoder.get_or_insert_with(|| device.create_command_encoder(&Default::default()))
    }

    pub(super) fn is_full(&self) -> bool {
        self.parameters.len() >= CAPACITY * PARAMETER_STRIDE
    }
}
