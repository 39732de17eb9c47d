//! What a function returns, and the sentence that goes with a failure.

use core::ffi::c_char;
use core::fmt::{self, Write};

use cream_core::Error;

/// What became of a call. Negative: a failure, the output is as it was.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreamStatus {
    /// The output is written.
    Ok = 0,
    /// The input is good, and the quantity is not defined for it, or there is no pair: the output is as it was.
    Undefined = 1,
    /// A pointer is NULL or not aligned.
    Pointer = -1,
    /// A number is out of its range, not finite, or no constant of this header.
    Value = -2,
    /// An array has too few elements, or lengths differ.
    Length = -3,
    /// A fault of this library: please report it.
    Internal = -4,
}

/// Bytes of a message, its closing zero among them.
pub const CREAM_MESSAGE_BYTES: usize = 160;

/// What was wrong, in one line of UTF-8; of a success it is left as it was.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CreamError {
    /// Closed by a zero, and cut where there is no room.
    pub message: [c_char; CREAM_MESSAGE_BYTES],
}

/// A failure, or the reason why there is no number.
pub(crate) struct Failure {
    pub(crate) status: CreamStatus,
    pub(crate) message: Message,
}

/// A message on its way to C.
pub(crate) enum Message {
    Core(Error),
    Text(&'static str),
    /// Of one pair among many.
    OfPair(usize, Error),
}

pub(crate) type Result<T = ()> = core::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { status: status_of(&error), message: Message::Core(error) }
    }
}

impl Failure {
    pub(crate) fn of_pair(index: usize, error: Error) -> Self {
        Failure { status: status_of(&error), message: Message::OfPair(index, error) }
    }

    pub(crate) fn text(status: CreamStatus, text: &'static str) -> Self {
        Failure { status, message: Message::Text(text) }
    }

    /// Good input without a number.
    pub(crate) fn undefined() -> Self {
        Failure::text(CreamStatus::Undefined, "")
    }
}

fn status_of(error: &Error) -> CreamStatus {
    match error {
        Error::LengthMismatch { .. } | Error::TooFew { .. } | Error::ScratchTooSmall { .. } => CreamStatus::Length,
        _ => CreamStatus::Value,
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Core(error) => error.fmt(f),
            Message::Text(text) => f.write_str(text),
            Message::OfPair(index, error) => write!(f, "pair {index}: {error}"),
        }
    }
}

impl CreamError {
    pub(crate) fn set(&mut self, message: &Message) {
        self.message = [0; CREAM_MESSAGE_BYTES];
        // A message without room for its end is cut.
        let _ = write!(Cursor { bytes: &mut self.message[..CREAM_MESSAGE_BYTES - 1], at: 0 }, "{message}");
    }
}

struct Cursor<'a> {
    bytes: &'a mut [c_char],
    at: usize,
}

impl Write for Cursor<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let mut encoded = [0; 4];
            let encoded = character.encode_utf8(&mut encoded).as_bytes();
            let room = self.bytes.get_mut(self.at..self.at + encoded.len()).ok_or(fmt::Error)?;
            for (to, &from) in room.iter_mut().zip(encoded) {
                *to = from as c_char;
            }
            self.at += encoded.len();
        }
        Ok(())
    }
}
