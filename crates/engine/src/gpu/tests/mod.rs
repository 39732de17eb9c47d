//! Every kernel on the GPU against its CPU twin: values and every gradient, on sizes that no tile divides.

mod attention;
mod device;
mod matmul;
mod optimiser;
mod rms_norm;
mod rope;
mod split;
mod trim;

use crate::Cpu;
use crate::gpu::testing::gpu;
use crate::tests::{assert_close, widened};
use crate::tolerances::DEVICE;

/// A kernel's outputs by name.
type Outputs = Vec<(&'static str, Vec<f32>)>;

fn assert_same(got: &Outputs, expected: &Outputs, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for ((name, got), (_, expected)) in got.iter().zip(expected) {
        assert_close(got, &widened(expected), DEVICE, &format!("{name}, {what}"));
    }
}

/// Runs `$kernel(backend, arguments…) -> Outputs` on the GPU `$gpu` and on the CPU.
macro_rules! assert_twins {
    ($gpu:expr, $kernel:ident($($argument:expr),* $(,)?), $what:expr) => {
        super::assert_same(&$kernel($gpu, $($argument),*), &$kernel(&super::Cpu::new(), $($argument),*), $what)
    };
}
use assert_twins;
