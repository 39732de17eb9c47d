//! Properties on random inputs: kernels against f64 and against finite differences, layouts against each other.
//!
//! A check takes a backend and a source of random numbers; [`on_each_backend`] makes it a test for every backend.

/// One test a backend and check, `ROUNDS` times each; of `whole_models`, fewer times where the GPU is software.
macro_rules! on_each_backend {
    (whole_models: $($check:ident),+ $(,)?) => {
        on_each_backend!(@ $crate::gpu::testing::rounds(), $($check),+);
    };
    ($($check:ident),+ $(,)?) => {
        on_each_backend!(@ $crate::tests::random::rounds(), $($check),+);
    };
    (@ $rounds_on_gpu:expr, $($check:ident),+) => {
        mod cpu {
            $(
                #[test]
                fn $check() {
                    let backend = $crate::Cpu::new();
                    crate::tests::random::rounds().for_each(|mut random| super::$check(&backend, &mut random));
                }
            )+
        }

        #[cfg(feature = "gpu")]
        mod gpu {
            $(
                #[test]
                fn $check() {
                    let Some(backend) = $crate::gpu::testing::gpu() else { return };
                    $rounds_on_gpu.for_each(|mut random| super::$check(&backend, &mut random));
                }
            )+
        }
    };
}

/// The same checks on a device whose bindings hold so many bytes, less than the largest arrays, so that these are split.
macro_rules! on_small_bindings {
    ($bytes:expr; $($check:ident),+ $(,)?) => {
        #[cfg(feature = "gpu")]
        // By its name `cargo xtask gpu-test` finds it.
        mod gpu_small_bindings {
            use $crate::gpu::testing::Limited;

            static DEVICE: Limited = Limited::new($bytes);

            $(
                #[test]
                fn $check() {
                    let Some(backend) = DEVICE.get() else { return };
                    crate::tests::random::rounds().for_each(|mut random| super::$check(&backend, &mut random));
                }
            )+
        }
    };
}

mod backward;
mod damaged;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod denormals;
mod empty;
mod forward;
mod generation;
mod layout;
mod memory;
pub(crate) mod models;
mod optimiser;
mod oracle;
mod packed;
pub(crate) mod parts;
mod peft;
pub(crate) mod random;
mod requests;
#[cfg(feature = "gpu")]
mod shapes;
mod threads;
mod training;

use pollster::block_on;

use crate::Backend;

/// A file of tests/golden: read, not included, because it lies outside of what the package holds.
pub(crate) fn golden_file(name: &str) -> Vec<u8> {
    let path = format!("../../tests/golden/{name}");
    std::fs::read(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The buffer's numbers.
pub(crate) fn read<B: Backend>(backend: &B, buffer: &B::Buffer) -> Vec<f32> {
    block_on(backend.read(buffer)).unwrap()
}

/// A buffer that a kernel must overwrite: a NaN left in it fails the test.
pub(crate) fn unwritten<B: Backend>(backend: &B, len: usize) -> B::Buffer {
    backend.upload(&vec![f32::NAN; len])
}

/// Each number within `tolerance` of the expected one, relative to the largest expected one.
pub(crate) fn assert_close(got: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_close_by(got, expected, largest(expected), tolerance, what);
}

/// The same relative to `size`, where the numbers may be small differences of large ones.
fn assert_close_by(got: &[f32], expected: &[f64], size: f64, tolerance: f64, what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}: length");
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(got) - expected).abs() / size.max(f64::from(f32::MIN_POSITIVE));
        assert!(error <= tolerance, "{what}: number {i} is {got}, expected {expected}: off by {error:e} of {size}");
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()))
}

pub(crate) fn widened(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

pub(crate) fn norm(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().map(|v| v * v).sum::<f64>().sqrt()
}
