//! The device that tests run on.

use std::io::{Write, stderr};
use std::sync::OnceLock;

use pollster::block_on;

use super::forms::{Forms, Fragments};
use super::{Gpu, adapters};
use crate::tests::random::{self, Random};

/// The first adapter with the portable form of every kernel, shared by all tests; none is a skip, and a failure where
/// `CREAM_REQUIRE_GPU` is 1.
///
/// # Panics
/// There must be a device and there is none.
pub(crate) fn gpu() -> Option<Gpu> {
    static SHARED: OnceLock<Option<Gpu>> = OnceLock::new();
    shared(&SHARED, |limits| limits)
}

/// A device on the same adapter whose bindings hold so many bytes, shared by the tests of a module.
pub(crate) struct Limited {
    bytes: u64,
    device: OnceLock<Option<Gpu>>,
}

impl Limited {
    pub(crate) const fn new(bytes: u64) -> Self {
        Limited { bytes, device: OnceLock::new() }
    }

    /// As [`gpu`].
    pub(crate) fn get(&self) -> Option<Gpu> {
        let max_storage_buffer_binding_size = self.bytes;
        shared(&self.device, |limits| wgpu::Limits { max_storage_buffer_binding_size, ..limits })
    }
}

fn shared(device: &OnceLock<Option<Gpu>>, limits: impl FnOnce(wgpu::Limits) -> wgpu::Limits) -> Option<Gpu> {
    let open = || {
        if block_on(adapters()).is_empty() {
            let required = std::env::var_os("CREAM_REQUIRE_GPU").is_some_and(|value| value == "1");
            assert!(!required, "CREAM_REQUIRE_GPU=1, and wgpu sees no adapter");
            return None;
        }
        Some(block_on(Gpu::open(0, limits, |_| Forms::default())).unwrap())
    };
    let shared = device.get_or_init(open).clone();
    if shared.is_none() {
        skip("no adapter for wgpu");
    }
    shared
}

fn skip(why: &str) {
    // libtest names a test's thread after it, and would keep what println! says to itself.
    let thread = std::thread::current();
    let _ = writeln!(stderr(), "skipped: {}: {why}", thread.name().unwrap_or_default());
}

/// The first adapter with products on cooperative matrices, or on what imitates them where it has none, in tiles of 128
/// where there are so many of them.
pub(crate) fn cooperative_gpu(enough_large_tiles: usize) -> Option<Gpu> {
    gpu()?;
    let (_, adapter) = block_on(super::adapter::sorted()).into_iter().next()?;
    if !adapter.features().contains(wgpu::Features::SHADER_F16) {
        skip("no f16 in shaders");
        return None;
    }
    let choose = |forms: Forms| Forms { fragments: forms.fragments.or(Some(Fragments::Imitated)), enough_large_tiles };
    Some(block_on(Gpu::open(0, |limits| limits, choose)).unwrap())
}

/// The rounds of a check that runs whole models: one on a software adapter, where a round takes minutes otherwise.
pub(crate) fn rounds() -> impl Iterator<Item = Random> {
    static SOFTWARE: OnceLock<bool> = OnceLock::new();
    let software = *SOFTWARE.get_or_init(|| block_on(adapters()).first().is_some_and(|adapter| adapter.software));
    random::rounds().take(if software { 1 } else { usize::MAX })
}
