//! Pointers of the caller's as references and slices: the only place where they are followed.

use core::slice;

use crate::status::{CreamStatus, Failure, Result};

const NULL: &str = "a pointer is NULL";
const MISALIGNED: &str = "a pointer is not aligned to its type";

/// `len` elements; NULL is an empty array.
///
/// # Safety
/// `start` points to `len` elements that are initialised and that nothing writes to while the slice is used.
pub(crate) unsafe fn slice<'a, T>(start: *const T, len: usize) -> Result<&'a [T]> {
    if len == 0 {
        return Ok(&[]);
    }
    check(start, len)?;
    // SAFETY: it is neither NULL nor misaligned, and no larger than an object may be; the rest is the caller's word.
    Ok(unsafe { slice::from_raw_parts(start, len) })
}

/// `len` elements to write to; NULL is an empty array.
///
/// # Safety
/// As [`slice`], and nothing else refers to the elements while the slice is used.
pub(crate) unsafe fn slice_mut<'a, T>(start: *mut T, len: usize) -> Result<&'a mut [T]> {
    if len == 0 {
        return Ok(&mut []);
    }
    check(start, len)?;
    // SAFETY: as above.
    Ok(unsafe { slice::from_raw_parts_mut(start, len) })
}

/// One element.
///
/// # Safety
/// As [`slice`].
pub(crate) unsafe fn one<'a, T>(pointer: *const T) -> Result<&'a T> {
    check(pointer, 1)?;
    // SAFETY: as above.
    Ok(unsafe { &*pointer })
}

/// One element to write to.
///
/// # Safety
/// As [`slice_mut`].
pub(crate) unsafe fn one_mut<'a, T>(pointer: *mut T) -> Result<&'a mut T> {
    check(pointer, 1)?;
    // SAFETY: as above.
    Ok(unsafe { &mut *pointer })
}

fn check<T>(pointer: *const T, len: usize) -> Result {
    if pointer.is_null() {
        return Err(Failure::text(CreamStatus::Pointer, NULL));
    }
    if !pointer.is_aligned() {
        return Err(Failure::text(CreamStatus::Pointer, MISALIGNED));
    }
    let fits = len.checked_mul(size_of::<T>()).is_some_and(|bytes| bytes <= isize::MAX as usize);
    if fits { Ok(()) } else { Err(Failure::text(CreamStatus::Length, "an array is longer than memory")) }
}
