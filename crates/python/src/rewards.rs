//! Rewards, rankings, consistency and pairs.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::arguments::{self, numbers, of_row, refused, rows, same_length};

type Numbers<'py> = Bound<'py, PyArray1<f64>>;

/// Ranks from 1 of each row of `values` `[P, N]`, one after the other.
#[pyfunction]
pub(crate) fn ranks<'py>(py: Python<'py>, values: PyReadonlyArray2<'py, f64>, ties: &str) -> PyResult<Numbers<'py>> {
    let (ties, (values, n)) = (arguments::ties(ties)?, rows(&values)?);
    let ranked = py.detach(|| {
        let (mut order, mut out) = (vec![0; n], vec![0.0; values.len()]);
        for (i, (values, out)) in values.chunks_exact(n.max(1)).zip(out.chunks_exact_mut(n.max(1))).enumerate() {
            cream_core::ranks(values, ties, &mut order, out).map_err(|error| (i, error))?;
        }
        Ok(out)
    });
    ranked.map(|ranks| ranks.into_pyarray(py)).map_err(|(i, error)| of_row("row", i, values.len() > n, error))
}

/// The agreement of the rows of `current` and `previous` `[P, N]`; NaN where it is undefined.
#[pyfunction]
pub(crate) fn agreement<'py>(
    py: Python<'py>,
    current: PyReadonlyArray2<'py, f64>,
    previous: PyReadonlyArray2<'py, f64>,
    measure: &str,
) -> PyResult<Numbers<'py>> {
    let measure = arguments::measure(measure)?;
    let ((current, n), (previous, m)) = (rows(&current)?, rows(&previous)?);
    same_length(n, m)?;
    same_length(current.len(), previous.len())?;
    if n == 0 {
        return Err(refused(cream_core::Error::TooFew { what: "completions", needed: 2, given: 0 }));
    }
    let agreements = py.detach(|| {
        let mut scratch = vec![0; measure.scratch_len(n)];
        let rows = current.chunks_exact(n).zip(previous.chunks_exact(n)).enumerate();
        let agreement = |(i, (current, previous)): (usize, (&[f64], &[f64]))| {
            let agreement = measure.agreement(current, previous, &mut scratch).map_err(|error| (i, error))?;
            Ok(agreement.unwrap_or(f64::NAN))
        };
        rows.map(agreement).collect::<Result<Vec<_>, _>>()
    });
    let agreements = agreements.map_err(|(i, error)| of_row("prompt", i, current.len() > n, error))?;
    Ok(agreements.into_pyarray(py))
}

/// The consistency of each of `agreements` `[P]`; NaN of a NaN, and where a pair is to be dropped.
#[pyfunction]
pub(crate) fn consistency<'py>(
    py: Python<'py>,
    agreements: PyReadonlyArray1<'py, f64>,
    map: &str,
) -> PyResult<Numbers<'py>> {
    let (map, agreements) = (arguments::map(map)?, numbers(&agreements)?);
    let of = |agreement: f64| match agreement.is_nan() {
        // A threshold out of its range is told all the same.
        true => map.apply(0.0).map(|_| f64::NAN),
        false => Ok(map.apply(agreement)?.unwrap_or(f64::NAN)),
    };
    let consistencies = py.detach(|| agreements.iter().map(|&agreement| of(agreement)).collect::<Result<Vec<_>, _>>());
    Ok(consistencies.map_err(refused)?.into_pyarray(py))
}

/// The mean of consistencies `[P]`.
#[pyfunction]
pub(crate) fn mean_consistency(consistencies: PyReadonlyArray1<'_, f64>) -> PyResult<f64> {
    cream_core::consistency::mean(numbers(&consistencies)?).map_err(refused)
}

/// beta * (policy - reference) of log-probs `[P]`.
#[pyfunction]
pub(crate) fn implicit_reward<'py>(
    py: Python<'py>,
    beta: f64,
    policy_logps: PyReadonlyArray1<'py, f64>,
    reference_logps: PyReadonlyArray1<'py, f64>,
) -> PyResult<Numbers<'py>> {
    let (policy, reference) = (numbers(&policy_logps)?, numbers(&reference_logps)?);
    same_length(policy.len(), reference.len())?;
    each(py, policy.len(), |i| cream_core::implicit_reward(beta, policy[i], reference[i]))
}

/// Rewards `[P]` per token.
#[pyfunction]
pub(crate) fn length_normalised_reward<'py>(
    py: Python<'py>,
    rewards: PyReadonlyArray1<'py, f64>,
    tokens: PyReadonlyArray1<'py, u64>,
) -> PyResult<Numbers<'py>> {
    let (rewards, tokens) = (numbers(&rewards)?, tokens.as_slice().unwrap_or_default());
    same_length(rewards.len(), tokens.len())?;
    each(py, rewards.len(), |i| cream_core::length_normalised_reward(rewards[i], tokens[i] as usize))
}

/// Rewards `[P]` less `alpha` for each token.
#[pyfunction]
pub(crate) fn length_penalised_reward<'py>(
    py: Python<'py>,
    rewards: PyReadonlyArray1<'py, f64>,
    alpha: f64,
    tokens: PyReadonlyArray1<'py, u64>,
) -> PyResult<Numbers<'py>> {
    let (rewards, tokens) = (numbers(&rewards)?, tokens.as_slice().unwrap_or_default());
    same_length(rewards.len(), tokens.len())?;
    each(py, rewards.len(), |i| cream_core::length_penalised_reward(rewards[i], alpha, tokens[i] as usize))
}

fn each<'py>(
    py: Python<'py>,
    len: usize,
    of: impl Fn(usize) -> Result<f64, cream_core::Error> + Send + Sync,
) -> PyResult<Numbers<'py>> {
    let made = py.detach(|| (0..len).map(|i| of(i).map_err(|error| (i, error))).collect::<Result<Vec<_>, _>>());
    made.map(|made| made.into_pyarray(py)).map_err(|(i, error)| of_row("completion", i, len > 1, error))
}

/// Chosen, rejected and margin of a pair of each row of rewards; −1, −1 and NaN where there is none.
type Pairs<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>, Numbers<'py>);

/// Best and worst of each row of `rewards` `[P, N]`.
#[pyfunction]
pub(crate) fn choose_pair<'py>(
    py: Python<'py>,
    rewards: PyReadonlyArray2<'py, f64>,
    minimum_margin: f64,
) -> PyResult<Pairs<'py>> {
    let (count, (rewards, n)) = (rewards.as_array().nrows(), rows(&rewards)?);
    chosen(py, count, |i| cream_core::choose_pair(&rewards[i * n..][..n], minimum_margin))
}

/// Best of each row of `rewards` `[P, N]` and worst of the row of `anchors` `[P, M]`.
#[pyfunction]
pub(crate) fn choose_anchored_pair<'py>(
    py: Python<'py>,
    rewards: PyReadonlyArray2<'py, f64>,
    anchors: PyReadonlyArray2<'py, f64>,
    minimum_margin: f64,
) -> PyResult<Pairs<'py>> {
    let (count, anchored) = (rewards.as_array().nrows(), anchors.as_array().nrows());
    same_length(count, anchored)?;
    let ((rewards, n), (anchors, m)) = (rows(&rewards)?, rows(&anchors)?);
    let of =
        |i: usize| cream_core::choose_anchored_pair(&rewards[i * n..][..n], &anchors[i * m..][..m], minimum_margin);
    chosen(py, count, of)
}

fn chosen<'py>(
    py: Python<'py>,
    count: usize,
    of: impl Fn(usize) -> Result<Option<cream_core::Pair>, cream_core::Error> + Send + Sync,
) -> PyResult<Pairs<'py>> {
    let pairs = py.detach(|| (0..count).map(|i| of(i).map_err(|error| (i, error))).collect::<Result<Vec<_>, _>>());
    let pairs = pairs.map_err(|(i, error)| of_row("prompt", i, count > 1, error))?;
    let index = |of: fn(&cream_core::Pair) -> usize| {
        let index = |pair: &Option<cream_core::Pair>| pair.as_ref().map_or(-1, |pair| of(pair) as i64);
        pairs.iter().map(index).collect::<Vec<_>>().into_pyarray(py)
    };
    let margins: Vec<f64> = pairs.iter().map(|pair| pair.map_or(f64::NAN, |pair| pair.margin)).collect();
    Ok((index(|pair| pair.chosen), index(|pair| pair.rejected), margins.into_pyarray(py)))
}
