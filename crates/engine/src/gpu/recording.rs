//! What has been recorded since the last submission: an open compute pass, the parameters of its kernels, and small
//! arrays from the host, which go to the device with the parameters in one write.

use wgpu::{CommandEncoder, ComputePass, Device};

/// Bytes between two kernels' parameters: the largest alignment a WebGPU adapter may ask of a uniform binding.
pub(super) const PARAMETER_STRIDE: usize = 256;
/// Kernels in one submission: more than those of a decoding step, which ends one where it is worth it.
pub(super) const CAPACITY: usize = 512;
/// Kernels that are worth a submission of their own, so that the device runs one step while the next is recorded.
pub(super) const WORTH: usize = 128;
/// Bytes of arrays from the host in one submission.
pub(super) const UPLOADS: usize = 256 << 10;
/// The longest array that goes with others.
pub(super) const LONGEST_UPLOAD: usize = 64 << 10;
/// Bytes of all that one write brings.
pub(super) const STAGED: u64 = (CAPACITY * PARAMETER_STRIDE + UPLOADS) as u64;

/// An array that is to be filled before the kernels run.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) buffer: wgpu::Buffer,
    pub(super) offset: u64,
    /// Its bytes in [`Recording::uploaded`].
    pub(super) start: usize,
    pub(super) len: usize,
}

#[derive(Debug, Default)]
pub(super) struct Recording {
    pub(super) encoder: Option<CommandEncoder>,
    pass: Option<ComputePass<'static>>,
    /// Of all kernels so far, [`PARAMETER_STRIDE`] apart.
    pub(super) parameters: Vec<u8>,
    pub(super) uploads: Vec<Upload>,
    pub(super) uploaded: Vec<u8>,
    /// Bytes written by the queue itself since the last submission.
    pub(super) written: u64,
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

    pub(super) fn kernels(&self) -> usize {
        self.parameters.len() / PARAMETER_STRIDE
    }

    /// Adds an array, where there is room.
    pub(super) fn add(&mut self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) -> bool {
        let (start, len) = (self.uploaded.len(), bytes.len());
        let fits = start + len <= UPLOADS;
        if fits {
            self.uploaded.extend_from_slice(bytes);
            self.uploads.push(Upload { buffer: buffer.clone(), offset, start, len });
        }
        fits
    }
}
