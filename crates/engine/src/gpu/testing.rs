//! The device that tests run on.

use std::sync::OnceLock;

use pollster::block_on;

use super::{Gpu, adapters};

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
        println!("skipped: no adapter for wgpu");
    }
    shared
}
