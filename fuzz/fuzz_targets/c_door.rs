//! Whatever C may hand over of numbers, lengths, constants and pointers that are NULL or misaligned: a status, and outputs that
//! are written only where it is success. The first bytes choose the call and its arguments, the rest are its numbers.
#![no_main]

use std::ptr;

use cream_capi::*;
use libfuzzer_sys::fuzz_target;

/// The pointer, NULL, or one that is not aligned, by two bits.
fn spoilt<T>(pointer: *const T, bits: u8) -> *const T {
    match bits & 3 {
        0 => ptr::null(),
        1 => pointer.wrapping_byte_add(1),
        _ => pointer,
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((&[call, constant, pointers, n, m, threshold], rest)) = bytes.split_first_chunk() else { return };
    let numbers: Vec<f64> = rest.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect();
    // Lengths are never more than there is: that nobody can check.
    let (n, m) = (usize::from(n).min(numbers.len()), usize::from(m).min(numbers.len()));
    let (constant, threshold) = (u32::from(constant), f64::from(threshold) / 200.0);
    let first = |i: usize| numbers.get(i).copied().unwrap_or(0.5);
    let (one, two) = (spoilt(numbers.as_ptr(), pointers), spoilt(numbers.as_ptr(), pointers >> 2));
    let mut error = CreamError { message: [1; CREAM_MESSAGE_BYTES] };
    let (mut out, mut order, mut ranks) = (-7.0, vec![0; 2 * numbers.len()], vec![-7.0; numbers.len()]);
    let output = spoilt(&raw mut out, pointers >> 4).cast_mut();
    let pairs: Vec<CreamPairLogps> = numbers
        .as_chunks()
        .0
        .iter()
        .map(|&[chosen, rejected, reference_chosen, reference_rejected]| CreamPairLogps {
            chosen,
            rejected,
            reference_chosen,
            reference_rejected,
        })
        .collect();
    let mut losses = vec![CreamPairLoss::default(); pairs.len()];
    // SAFETY: pointers are spoilt in ways that the library sees, and lengths are no more than there is.
    let status = unsafe {
        match call % 9 {
            0 => cream_ranks(one, n, constant, order.as_mut_ptr(), ranks.as_mut_ptr(), &mut error),
            1 => cream_agreement(constant, one, two, n, order.as_mut_ptr(), m, output, &mut error),
            2 => cream_consistency(constant, threshold, first(0), output, &mut error),
            3 => cream_mean_consistency(one, n, output, &mut error),
            4 => cream_implicit_reward(first(0), first(1), first(2), output, &mut error),
            5 => {
                let mut pair = CreamPair::default();
                cream_choose_anchored_pair(one, n, two, m, first(0), &mut pair, &mut error)
            }
            6 => cream_length_penalised_reward(first(0), first(1), n, output, &mut error),
            7 => {
                let weights = spoilt(numbers.as_ptr(), pointers);
                let n = n.min(pairs.len());
                cream_pair_losses(constant, first(0), weights, pairs.as_ptr(), n, losses.as_mut_ptr(), &mut error)
            }
            _ => {
                let Some(logps) = pairs.first() else { return };
                let loss = losses.as_mut_ptr();
                cream_pair_loss(constant, first(0), threshold, logps, first(1), n, loss, &mut error)
            }
        }
    };
    assert_ne!(status, CreamStatus::Internal);
    let failed = (status as i32) < 0;
    assert_eq!(failed, error.message[0] != 1, "a sentence for each failure, and for nothing else");
    assert!(!failed || error.message.contains(&0));
    assert!(status == CreamStatus::Ok || out == -7.0);
});
