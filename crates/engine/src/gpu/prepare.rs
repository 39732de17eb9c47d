//! Pipelines made before they are used: the work that will use them is gone through once without doing it.

use std::cell::RefCell;
use std::collections::HashSet;

use super::dispatch::{Device, Kernel};
use crate::error::Result;

/// Kernels and the number of their bindings, in the order of their first use.
#[derive(Default)]
struct List {
    in_order: Vec<(Kernel, usize)>,
    known: HashSet<Kernel>,
}

thread_local! {
    /// Where kernels go that this thread asks for, while it only lists them.
    static LIST: RefCell<Option<List>> = const { RefCell::new(None) };
}

/// Whether this thread only lists kernels: then nothing is taken, written, run or waited for, and what is read is zero.
pub(super) fn is_listing() -> bool {
    LIST.with_borrow(Option::is_some)
}

/// Lists a kernel; false where it is to be run.
pub(super) fn list(kernel: &Kernel, bindings: usize) -> bool {
    LIST.with_borrow_mut(|list| {
        let Some(List { in_order, known }) = list else { return false };
        if known.insert(kernel.clone()) {
            in_order.push((kernel.clone(), bindings));
        }
        true
    })
}

/// The kernels of some work.
fn listed(work: impl FnOnce()) -> Vec<(Kernel, usize)> {
    /// Also where `work` panics.
    struct Listing;
    impl Drop for Listing {
        fn drop(&mut self) {
            LIST.take();
        }
    }
    LIST.set(Some(List::default()));
    let _listing = Listing;
    work();
    LIST.take().unwrap_or_default().in_order
}

impl Device {
    /// Makes the pipelines of `work`, which is not done; `progress` is told how many are there, and of how many, and
    /// may end it.
    pub(super) async fn prepare(
        &self,
        work: impl FnOnce(),
        mut progress: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<()> {
        let mut kernels = listed(work);
        kernels.retain(|(kernel, _)| !self.has_pipeline(kernel));
        for (made, (kernel, bindings)) in kernels.iter().enumerate() {
            progress(made, kernels.len())?;
            // wgpu has no other call to wait for a pipeline in a browser.
            let scopes = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory];
            let [first, second, third] = scopes.map(|filter| self.device.push_error_scope(filter));
            self.pipeline(kernel, *bindings);
            let errors = [third, second, first].map(wgpu::ErrorScopeGuard::pop);
            for error in errors {
                if let Some(error) = error.await {
                    self.forget_pipeline(kernel);
                    return Err(self.failed(error.to_string()));
                }
            }
        }
        progress(kernels.len(), kernels.len())
    }
}
