//! The device that tests run on.

use std::io::{Write, stderr};
use std::sync::OnceLock;

use pollster::block_on;

use super::{Gpu, adapters};
use crate::tests::random::{self, Random};

/// The first adapter, shared by all tests; none is a skip, and a failure where `CREAM_REQUIRE_GPU` is 1.
///
/// # Panics
/// There must be a device and there is none.
pub(crate) fn gpu() -> Option<Gpu> {
    static SHARED: OnceLock<Option<Gpu>> = OnceLock::new();
    let open = || {
        if block_on(adapters()).is_empty() {
            let required = std::env::var_os("CREAM_REQUIRE_GPU").is_some_and(|value| value == "1");
            assert!(!required, "CREAM_REQUIRE_GPU=1, and wgpu sees no adapter");
            return None;
        }
        Some(block_on(Gpu::new(0)).unwrap())
    };
    let shared = SHARED.get_or_init(open).clone();
    if shared.is_none() {
        // libtest names a test's thread after it, and would keep what println! says to itself.
        let thread = std::thread::current();
        let _ = writeln!(stderr(), "skipped: {}: no adapter for wgpu", thread.name().unwrap_or_default());
    }
    shared
}

/// The rounds of a check that runs whole models: one on a software adapter, where a round takes minutes otherwise.
pub(crate) fn rounds() -> impl Iterator<Item = Random> {
    static SOFTWARE: OnceLock<bool> = OnceLock::new();
    let software = *SOFTWARE.get_or_init(|| block_on(adapters()).first().is_some_and(|adapter| adapter.software));
    random::rounds().take(if software { 1 } else { usize::MAX })
}
