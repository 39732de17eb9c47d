//! Numbers too small for a whole mantissa (denormal: below 1.2e-38 and not zero) count as zero within a kernel. Attention
//! weights and gradients make them, and processors multiply them up to forty times slower than others.
//!
//! `unsafe` because the register that says so is reached by assembly alone. The compiler takes its default for granted,
//! and may make a result before the switch that belongs behind it: such a number then stays where it would have become
//! zero. No other result depends on the switch. Kernels read their numbers from memory after it and write them before
//! it is undone, and the assembly, which may read and write all memory, keeps that order.
#![allow(unsafe_code, reason = "see above")]

/// Runs `kernel` on this thread without denormal numbers, neither read nor made.
///
/// A kernel must not wait for rayon: this thread would work on another's task meanwhile, which may be a caller's.
#[inline(always)]
pub(crate) fn flushed<R>(kernel: impl FnOnce() -> R) -> R {
    let _undone_at_the_end = Switch::new();
    kernel()
}

/// Puts the register back as it was, also where a kernel panics.
struct Switch {
    before: Option<control::Word>,
}

impl Switch {
    #[inline(always)]
    fn new() -> Self {
        let before = control::get();
        let flushing = before | control::FLUSH;
        // Within another's there is nothing to do: writing is what takes time.
        let switched = flushing != before;
        if switched {
            control::set(flushing);
        }
        Switch { before: switched.then_some(before) }
    }
}

impl Drop for Switch {
    #[inline(always)]
    fn drop(&mut self) {
        if let Some(before) = self.before {
            control::set(before);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod control {
    use std::arch::asm;

    /// MXCSR, Intel's manual, volume 1, section 10.2.3.
    pub(super) type Word = u32;
    /// Results (bit 15) and operands (bit 6).
    pub(super) const FLUSH: Word = 1 << 15 | 1 << 6;

    #[inline(always)]
    pub(super) fn get() -> Word {
        let mut word = 0;
        // SAFETY: stores four bytes where four bytes are.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
        word
    }

    #[inline(always)]
    pub(super) fn set(word: Word) {
        // SAFETY: a word that `get` gave, with no bits set but those of `FLUSH`, masks every exception as before.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod control {
    use std::arch::asm;

    /// FPCR, Arm's manual, section C5.2.
    pub(super) type Word = u64;
    /// FZ: results and operands of 32 and 64 bits.
    pub(super) const FLUSH: Word = 1 << 24;

    #[inline(always)]
    pub(super) fn get() -> Word {
        let word;
        // SAFETY: every program may read this register.
        unsafe { asm!("mrs {}, fpcr", out(reg) word, options(nostack, preserves_flags)) };
        word
    }

    #[inline(always)]
    pub(super) fn set(word: Word) {
        // SAFETY: a word that `get` gave, with no bit set but `FLUSH`, traps nothing that was not trapped before.
        unsafe { asm!("msr fpcr, {}", in(reg) word, options(nostack, preserves_flags)) };
    }
}

/// Other processors have no such switch that every program may use.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod control {
    pub(super) type Word = u32;
    pub(super) const FLUSH: Word = 0;

    pub(super) fn get() -> Word {
        FLUSH
    }

    pub(super) fn set(_: Word) {}
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    /// Whether this thread keeps them: the smallest one times one.
    fn kept() -> bool {
        black_box(f32::from_bits(1)) * black_box(1.0) != 0.0
    }

    #[test]
    fn a_kernel_leaves_its_thread_as_it_was() {
        assert!(kept());
        let within = flushed(|| [kept(), flushed(kept), kept()]);
        let has_a_switch = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
        assert_eq!(within, [!has_a_switch; 3]);
        assert!(kept());
        std::panic::catch_unwind(|| flushed(|| panic!("on purpose"))).unwrap_err();
        assert!(kept());
    }

    /// Its results are never denormal, and its own arithmetic needs none.
    #[test]
    fn the_exponential_is_the_same() {
        for bits in (0..u32::MAX).step_by(4099) {
            let x = f32::from_bits(bits);
            let [outside, within] = [exp(x), flushed(|| exp(x))].map(f32::to_bits);
            assert!(outside == within || f32::from_bits(outside).is_nan(), "{x:e}: {outside:x} and {within:x}");
        }
    }

    #[inline(never)]
    fn exp(x: f32) -> f32 {
        cream_core::math::exp(black_box(x))
    }
}
