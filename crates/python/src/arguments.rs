//! Python's values as the core's, and what the core refuses as a ValueError.

use cream_core::consistency::{Kind, Map};
use cream_core::{Error, Loss, Ties};
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// What the core refuses, in its words.
pub(crate) fn refused(error: Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The same of one among many.
pub(crate) fn of_row(what: &str, index: usize, many: bool, error: Error) -> PyErr {
    if many { PyValueError::new_err(format!("{what} {index}: {error}")) } else { refused(error) }
}

fn expected(what: &str, found: &str, expected: &str) -> PyErr {
    PyValueError::new_err(format!("{what} is {found:?}, expected {expected}"))
}

pub(crate) fn ties(name: &str) -> PyResult<Ties> {
    match name {
        "average" => Ok(Ties::Average),
        "ordinal" => Ok(Ties::Ordinal),
        other => Err(expected("ties", other, "average or ordinal")),
    }
}

pub(crate) fn measure(name: &str) -> PyResult<Kind> {
    Ok(match name {
        "kendall" => Kind::Kendall,
        "kendall-b" => Kind::KendallB,
        "kendall-ordinal" => Kind::KendallOrdinal,
        "spearman" => Kind::Spearman,
        "spearman-ordinal" => Kind::SpearmanOrdinal,
        "top-order" => Kind::TopOrder,
        "top-order-ordinal" => Kind::TopOrderOrdinal,
        other => {
            let known = "kendall, kendall-b, spearman or top-order, or the ordinal form of one";
            return Err(expected("measure", other, known));
        }
    })
}

pub(crate) fn map(text: &str) -> PyResult<Map> {
    text.parse().map_err(|known: &str| PyValueError::new_err(format!("map is {text:?}, {known}")))
}

pub(crate) fn loss(name: &str) -> PyResult<Loss> {
    match name {
        "cream" => Ok(Loss::Cream),
        "dpo" => Ok(Loss::Dpo),
        "ipo" => Ok(Loss::Ipo),
        other => Err(expected("loss", other, "cream, dpo or ipo")),
    }
}

/// The numbers of an array `[P]`.
pub(crate) fn numbers<'a>(array: &'a PyReadonlyArray1<'_, f64>) -> PyResult<&'a [f64]> {
    array.as_slice().map_err(|error| PyValueError::new_err(error.to_string()))
}

/// The rows of an array `[P, N]`, and N.
pub(crate) fn rows<'a>(array: &'a PyReadonlyArray2<'_, f64>) -> PyResult<(&'a [f64], usize)> {
    let all = array.as_slice().map_err(|error| PyValueError::new_err(error.to_string()))?;
    Ok((all, array.as_array().ncols()))
}

/// Lengths that belong together are equal.
pub(crate) fn same_length(left: usize, right: usize) -> PyResult<()> {
    if left == right { Ok(()) } else { Err(refused(Error::LengthMismatch { left, right })) }
}
