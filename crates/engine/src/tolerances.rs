//! Every tolerance of this crate's tests.

/// Log-probs, logits, losses and rewards in f32 against torch in f64, relative, absolute below 1.
pub(crate) const GOLDEN: f64 = 1e-4;

/// Gradients in f32 against torch autograd in f64: norm of the difference over the norm.
pub(crate) const GOLDEN_GRADIENT: f64 = 1e-3;

/// [`GOLDEN`] on a GPU: `exp`, division and roots that WGSL lets be off by some units in the last place add up over
/// blocks and steps.
#[cfg(feature = "gpu")]
pub(crate) const GOLDEN_GPU: f64 = 1e-3;

/// [`GOLDEN_GRADIENT`] on a GPU.
#[cfg(feature = "gpu")]
pub(crate) const GOLDEN_GPU_GRADIENT: f64 = 1e-2;

/// The same computation laid out otherwise (packed, shared, cached), relative to the largest number: sums in f32 in
/// another order.
pub(crate) const LAYOUT: f64 = 2e-5;

/// Gradients laid out otherwise: norm of the difference over the norm.
pub(crate) const LAYOUT_GRADIENT: f64 = 2e-5;

/// A kernel in f32 against f64, relative to the largest number.
pub(crate) const KERNEL: f64 = 5e-6;

/// A kernel on a GPU against the CPU's, relative to the largest number: sums in f32 in another order, and `exp`, `log`,
/// division and roots that WGSL lets be off by some units in the last place.
#[cfg(feature = "gpu")]
pub(crate) const DEVICE: f64 = 2e-5;

/// A product of factors rounded to f16 (2^-11 each), summed in f32, against the CPU's, relative to the largest number.
#[cfg(feature = "gpu")]
pub(crate) const COOPERATIVE: f64 = 2e-3;

/// Log-probs where products round their factors to f16, relative, absolute below 1.
#[cfg(feature = "gpu")]
pub(crate) const COOPERATIVE_LOGPS: f64 = 5e-3;

/// Gradients where products round their factors to f16: norm of the difference over the norm.
#[cfg(feature = "gpu")]
pub(crate) const COOPERATIVE_GRADIENT: f64 = 3e-2;

/// Values and moments after five steps of AdamW in f32 against f64, relative to the largest number.
pub(crate) const MOMENTS: f64 = 2e-6;

/// A learning rate in f32 against transformers in f64, relative to the peak.
pub(crate) const SCHEDULE: f64 = 2e-7;

/// Step of a central difference: rounding in f32 (1e-7 / step) and curvature (step²) balance near it.
pub(crate) const DIFFERENCE_STEP: f32 = 1e-2;

/// A derivative along a random direction against a central difference in f32, relative to the gradient's norm.
pub(crate) const DIFFERENCE: f64 = 5e-3;

/// Bytes that a pool takes against the plan, relative: sizes are rounded up by an eighth at most, and free storage of one
/// size does not serve another.
pub(crate) const PLAN: f64 = 0.2;

/// Gradients summed over the parts of a batch against those of the whole, in f32 in another order: norm of the difference
/// over the norm.
pub(crate) const RANKS: f64 = 1e-5;
