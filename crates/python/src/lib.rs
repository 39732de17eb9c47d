//! `cream._cream`: the functions of `cream-core` over numpy's arrays, in batches and without the GIL.
//!
//! The package around it (`python/cream`) makes arrays of what it is given: here all are f64, contiguous, and of the
//! shapes that the texts say. It does *not* compute anything itself. Letters: P prompts or pairs, N completions of a prompt.

mod arguments;
mod loss;
mod rewards;

use pyo3::prelude::*;

#[pymodule]
mod _cream {
    #[pymodule_export]
    use crate::loss::pair_loss;
    #[pymodule_export]
    use crate::rewards::{
        agreement, choose_anchored_pair, choose_pair, consistency, implicit_reward, length_normalised_reward,
        length_penalised_reward, mean_consistency, ranks,
    };
}
