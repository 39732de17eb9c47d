//! Losses of pairs with their gradients.

use cream_core::PairLogps;
use numpy::{PyArray2, PyReadonlyArray1, ToPyArray};
use pyo3::prelude::*;

use crate::arguments::{self, numbers, of_row, same_length};

/// `[8, P]`: loss, margin, rewards of chosen and rejected, and the gradients with respect to the four log-probs `[P]`.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the columns of a batch of pairs; Python names them")]
pub(crate) fn pair_loss<'py>(
    py: Python<'py>,
    loss: &str,
    beta: f64,
    consistency: PyReadonlyArray1<'py, f64>,
    chosen: PyReadonlyArray1<'py, f64>,
    rejected: PyReadonlyArray1<'py, f64>,
    reference_chosen: PyReadonlyArray1<'py, f64>,
    reference_rejected: PyReadonlyArray1<'py, f64>,
    sft_weight: f64,
    tokens: PyReadonlyArray1<'py, u64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let loss = arguments::loss(loss)?;
    let (consistency, chosen, rejected) = (numbers(&consistency)?, numbers(&chosen)?, numbers(&rejected)?);
    let (reference_chosen, reference_rejected) = (numbers(&reference_chosen)?, numbers(&reference_rejected)?);
    let tokens = tokens.as_slice().unwrap_or_default();
    let pairs = chosen.len();
    for other in [consistency, rejected, reference_chosen, reference_rejected] {
        same_length(pairs, other.len())?;
    }
    same_length(pairs, tokens.len())?;
    let columns = py.detach(|| {
        let mut columns = numpy::ndarray::Array2::zeros((8, pairs));
        for i in 0..pairs {
            let logps = PairLogps {
                chosen: chosen[i],
                rejected: rejected[i],
                reference_chosen: reference_chosen[i],
                reference_rejected: reference_rejected[i],
            };
            let pair = loss.evaluate(beta, consistency[i], &logps);
            let pair = pair.and_then(|pair| pair.with_sft(sft_weight, chosen[i], tokens[i] as usize));
            for (row, number) in pair.map_err(|error| (i, error))?.numbers().into_iter().enumerate() {
                columns[[row, i]] = number;
            }
        }
        Ok(columns)
    });
    columns.map(|columns| columns.to_pyarray(py)).map_err(|(i, error)| of_row("pair", i, pairs > 1, error))
}
