//! What C may hand over by mistake: each is a status and a sentence, and leaves the output as it was.

use std::ffi::CStr;
use std::ptr;

use cream_capi::*;

const VALUES: [f64; 3] = [1.0, 2.0, 3.0];

/// What a call returns, and its message.
fn told(call: impl FnOnce(*mut CreamError) -> CreamStatus) -> (CreamStatus, String) {
    let mut error = CreamError { message: [1; CREAM_MESSAGE_BYTES] };
    error.message[CREAM_MESSAGE_BYTES - 1] = 0;
    let status = call(&mut error);
    // SAFETY: it is closed by a zero, the test's own or the library's.
    let message = unsafe { CStr::from_ptr(error.message.as_ptr()) };
    (status, message.to_str().unwrap_or("not UTF-8").to_owned())
}

#[test]
fn pointers_that_lead_nowhere() {
    let (mut out, mut order, mut ranks) = (7.0, [0; 3], [7.0; 3]);
    let null = (CreamStatus::Pointer, "a pointer is NULL".to_owned());
    unsafe {
        assert_eq!(told(|e| cream_ranks(ptr::null(), 3, 0, order.as_mut_ptr(), ranks.as_mut_ptr(), e)), null);
        assert_eq!(told(|e| cream_ranks(VALUES.as_ptr(), 3, 0, ptr::null_mut(), ranks.as_mut_ptr(), e)), null);
        assert_eq!(told(|e| cream_ranks(VALUES.as_ptr(), 3, 0, order.as_mut_ptr(), ptr::null_mut(), e)), null);
        assert_eq!(told(|e| cream_mean_consistency(ptr::null(), 1, &mut out, e)), null);
        assert_eq!(told(|e| cream_mean_consistency(VALUES.as_ptr(), 1, ptr::null_mut(), e)), null);
        assert_eq!(told(|e| cream_choose_pair(VALUES.as_ptr(), 3, 0.0, ptr::null_mut(), e)), null);
        let mut pair = CreamPairLoss::default();
        assert_eq!(told(|e| cream_pair_loss(0, 0.1, 0.5, ptr::null(), 0.0, 1, &mut pair, e)), null);
        let odd = VALUES.as_ptr().cast::<u8>().add(1).cast();
        let misaligned = (CreamStatus::Pointer, "a pointer is not aligned to its type".to_owned());
        assert_eq!(told(|e| cream_mean_consistency(odd, 1, &mut out, e)), misaligned);
        let long = (CreamStatus::Length, "an array is longer than memory".to_owned());
        assert_eq!(told(|e| cream_mean_consistency(VALUES.as_ptr(), usize::MAX / 4, &mut out, e)), long);
        // Nobody asks for the sentence.
        assert_eq!(cream_mean_consistency(ptr::null(), 1, &mut out, ptr::null_mut()), CreamStatus::Pointer);
    }
    assert_eq!((out, ranks), (7.0, [7.0; 3]));
}

#[test]
fn lengths_constants_and_numbers() {
    let (mut out, mut order, mut ranks) = (7.0, [0; 3], [7.0; 3]);
    let (mut pair, logps) = (CreamPairLoss::default(), CreamPairLogps::default());
    let is = |status, text: &str| (status, text.to_owned());
    unsafe {
        assert_eq!(
            told(|e| cream_mean_consistency(ptr::null(), 0, &mut out, e)),
            is(CreamStatus::Length, "0 consistencies, at least 1 needed")
        );
        assert_eq!(
            told(|e| cream_agreement(0, VALUES.as_ptr(), VALUES.as_ptr(), 1, ptr::null_mut(), 0, &mut out, e)),
            is(CreamStatus::Length, "1 completions, at least 2 needed")
        );
        let many = [0.0; 65];
        assert_eq!(cream_agreement_scratch(0, 65), 130);
        assert_eq!(
            told(|e| cream_agreement(0, many.as_ptr(), many.as_ptr(), 65, order.as_mut_ptr(), 3, &mut out, e)),
            is(CreamStatus::Length, "scratch holds 3 elements, 130 needed")
        );
        assert_eq!(
            told(|e| cream_ranks(VALUES.as_ptr(), 3, 2, order.as_mut_ptr(), ranks.as_mut_ptr(), e)),
            is(CreamStatus::Value, "ties is no CREAM_TIES_ constant")
        );
        assert_eq!(
            told(|e| cream_agreement(99, VALUES.as_ptr(), VALUES.as_ptr(), 3, ptr::null_mut(), 0, &mut out, e)),
            is(CreamStatus::Value, "measure is no CREAM_MEASURE_ constant")
        );
        assert_eq!(
            told(|e| cream_consistency(3, 0.0, 0.5, &mut out, e)),
            is(CreamStatus::Value, "map is no CREAM_MAP_ constant")
        );
        assert_eq!(
            told(|e| cream_pair_loss(3, 0.1, 0.5, &logps, 0.0, 1, &mut pair, e)),
            is(CreamStatus::Value, "loss is no CREAM_LOSS_ constant")
        );
        let bad = [logps, CreamPairLogps { rejected: f64::NAN, ..logps }];
        let mut pairs = [pair; 2];
        assert_eq!(
            told(|e| cream_pair_losses(0, 0.1, [0.5; 2].as_ptr(), bad.as_ptr(), 2, pairs.as_mut_ptr(), e)),
            is(CreamStatus::Value, "pair 1: rejected log-prob is NaN, not a finite number")
        );
    }
    assert_eq!((out, ranks, pair), (7.0, [7.0; 3], CreamPairLoss::default()));
}

#[test]
fn an_undefined_quantity_is_no_failure() {
    let (mut out, constant) = (7.0, [1.0; 3]);
    let scratch = ptr::null_mut();
    let (status, message) = told(|e| unsafe {
        cream_agreement(CREAM_MEASURE_KENDALL_B, constant.as_ptr(), VALUES.as_ptr(), 3, scratch, 0, &mut out, e)
    });
    assert_eq!((status, out), (CreamStatus::Undefined, 7.0));
    assert!(message.starts_with('\u{1}'), "the message is as it was");
}

#[test]
fn a_version_is_told() {
    // SAFETY: a constant of the library's.
    let version = unsafe { CStr::from_ptr(cream_version()) };
    assert_eq!(version.to_str(), Ok(env!("CARGO_PKG_VERSION")));
}
