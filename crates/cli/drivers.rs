//! What graphics drivers must be told before the first of them is asked.

use std::env;

/// Mesa's device-selection layer looks for a desktop and, where there is none, says twice on stderr that it is an error.
/// Its choice of a default device changes nothing here: `--device` names one.
///
/// To be called before any thread is started.
#[allow(unsafe_code, reason = "a driver reads its settings from the environment only")]
pub(crate) fn quieten() {
    if env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the program has one thread, so nothing reads the environment at the same time.
        unsafe { env::set_var("NODEVICE_SELECT", "1") };
    }
}
