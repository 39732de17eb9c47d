//! What can go wrong below the method: a file that is not what it should be, a request the model cannot serve.

use std::fmt;

/// The library's one error. Every message names the thing, its value and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A model file, or a field inside it, is not what it should be.
    #[error("{file}: {field}: {problem}")]
    File {
        /// Name of the file as the caller gave it.
        file: String,
        /// Field, tensor or byte offset within the file.
        field: String,
        /// Value found and what was expected.
        problem: String,
    },
    /// A request that the model cannot serve: a token outside the vocabulary, an empty prompt, a sequence too long.
    #[error("{0}")]
    Request(String),
    /// Logits that are not finite: the weights are damaged, or training left the numbers.
    #[error(
        "prompt {id:?}: completion {completion}: token {token}: the logits are not finite; the weights of the model or \
         of its adapter may be damaged"
    )]
    Logits {
        /// Id of the prompt.
        id: String,
        /// Index among its completions.
        completion: usize,
        /// How many tokens of the completion there are already.
        token: usize,
    },
    /// A device failed: lost, out of memory, or a kernel it would not take.
    #[error("{device}: {problem}")]
    Device {
        /// Its name.
        device: String,
        /// What it said.
        problem: String,
    },
    /// The maths refused its input.
    #[error(transparent)]
    Core(#[from] cream_core::Error),
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A [`Error::File`] from its three parts.
    pub fn file(file: impl fmt::Display, field: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Error::File { file: file.to_string(), field: field.to_string(), problem: problem.to_string() }
    }
}
