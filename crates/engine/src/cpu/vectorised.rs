//! Runs a kernel compiled for the widest vector instructions of this machine, without denormal numbers.

use pulp::{Arch, Simd, WithSimd};

use super::denormals::flushed;

struct Kernel<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Kernel<F> {
    type Output = R;

    // pulp takes closures too, but calls them through `FnOnce`, whose shim is not inlined: the body would be compiled
    // for the baseline. `FnMut` is the body itself.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}

/// `kernel` must be marked `#[inline(always)]`, and so must the larger functions it calls.
#[inline(always)]
pub(super) fn vectorised<R>(kernel: impl FnMut() -> R) -> R {
    flushed(|| Arch::new().dispatch(Kernel(kernel)))
}
