//! What the provided methods of [`Backend`] are by definition: steps of a block, kernel by kernel.

use super::{Adapted, Backend, Norm, Rope};
use crate::matrix::Lora;

/// As [`Backend::linear`].
pub(crate) fn linear<B: Backend>(
    backend: &B,
    x: &B::Buffer,
    Adapted { weight, lora }: &Adapted<'_, B>,
    accumulate: bool,
    out: &mut B::Buffer,
) {
    backend.matmul(x, weight, 1.0, accumulate, out);
    if let Some(Lora { a, b, scale }) = lora {
        let mut low = backend.buffer(backend.len(x) / a.cols() * a.rows());
        backend.matmul(x, a, 1.0, false, &mut low);
        backend.matmul(&low, b, *scale, true, out);
    }
}

/// As [`Backend::gated`].
pub(crate) fn gated<B: Backend>(
    backend: &B,
    x: &B::Buffer,
    norm: &Norm<'_, B>,
    linears: [&Adapted<'_, B>; 2],
    out: &mut B::Buffer,
) {
    let h = normed(backend, x, norm);
    let [gate, up] = linears.map(|linear| projected(backend, &h, linear));
    backend.swiglu(&gate, &up, out);
}

/// As [`Backend::project`].
#[allow(clippy::too_many_arguments, reason = "the kernel's bindings")]
pub(crate) fn project<B: Backend>(
    backend: &B,
    x: &B::Buffer,
    norm: &Norm<'_, B>,
    [of_q, of_k, of_v]: [&Adapted<'_, B>; 3],
    Rope { positions, frequencies }: &Rope<'_, B>,
    at: &B::Indices,
    q: &mut B::Buffer,
    [keys, values]: [&mut B::Buffer; 2],
) {
    let h = normed(backend, x, norm);
    backend.linear(&h, of_q, false, q);
    let [mut k, v] = [of_k, of_v].map(|linear| projected(backend, &h, linear));
    backend.rope(q, positions, frequencies, false);
    backend.rope(&mut k, positions, frequencies, false);
    backend.store_rows(&k, at, keys);
    backend.store_rows(&v, at, values);
}

fn normed<B: Backend>(backend: &B, x: &B::Buffer, norm: &Norm<'_, B>) -> B::Buffer {
    let mut out = backend.buffer(backend.len(x));
    backend.rms_norm(x, norm.weight, norm.eps, &mut out);
    out
}

fn projected<B: Backend>(backend: &B, x: &B::Buffer, linear: &Adapted<'_, B>) -> B::Buffer {
    let rows = backend.len(x) / linear.weight.cols();
    let mut out = backend.buffer(rows * linear.weight.rows());
    backend.linear(x, linear, false, &mut out);
    out
}
