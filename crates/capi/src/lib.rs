//! `cream.h`: the maths of `cream-core` for C and for whatever calls C, on hosts and on bare metal.
//!
//! The functions are those of the core, over the caller's buffers; what the core refuses comes back as a [`CreamStatus`] with
//! the core's own sentence in a [`CreamError`]. It does *not* compute anything itself, allocate, or keep anything.
//!
//! A C boundary is raw pointers and names that are not mangled, hence the `unsafe` of this crate; pointers become
//! references in `pointers.rs` alone.
#![no_std]

// Catches what would unwind into C.
#[cfg(not(target_os = "none"))]
extern crate std;

mod calls;
mod pointers;
mod status;
mod types;

pub use calls::*;
pub use status::{CREAM_MESSAGE_BYTES, CreamError, CreamStatus};
pub use types::*;

/// The core is written not to panic, and there is nobody to tell.
#[cfg(target_os = "none")]
#[panic_handler]
fn halt(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
