//! Constants and structures of the header. Constants are plain numbers: whatever C hands over can be looked at.

use cream_core::consistency::{Kind, Map};
use cream_core::{Loss, PairLogps, PairLoss, Ties};

use crate::status::{CreamStatus, Failure, Result};

/// What becomes of equal values in a ranking: `CREAM_TIES_*`.
pub type CreamTies = u32;
/// Equal values share the mean of the ranks that they span.
pub const CREAM_TIES_AVERAGE: CreamTies = 0;
/// Equal values are told apart by position, the earlier ranking lower.
pub const CREAM_TIES_ORDINAL: CreamTies = 1;

/// A measure of agreement between two rankings: `CREAM_MEASURE_*`. Those named ORDINAL break ties by position first, as the
/// authors' code does.
pub type CreamMeasure = u32;
/// Kendall's tau-a: a tied pair counts 0. The paper's.
pub const CREAM_MEASURE_KENDALL: CreamMeasure = 0;
/// Kendall's tau-b, corrected for ties; undefined where a ranking is constant.
pub const CREAM_MEASURE_KENDALL_B: CreamMeasure = 1;
/// Kendall's tau of ordinal ranks. The authors' code's.
pub const CREAM_MEASURE_KENDALL_ORDINAL: CreamMeasure = 2;
/// Spearman's rho of average ranks; undefined where a ranking is constant.
pub const CREAM_MEASURE_SPEARMAN: CreamMeasure = 3;
/// Spearman's rho of ordinal ranks.
pub const CREAM_MEASURE_SPEARMAN_ORDINAL: CreamMeasure = 4;
/// 1 where the best and the worst are the same, else -1; undefined where a ranking is constant.
pub const CREAM_MEASURE_TOP_ORDER: CreamMeasure = 5;
/// The same with ties broken by position.
pub const CREAM_MEASURE_TOP_ORDER_ORDINAL: CreamMeasure = 6;

/// From an agreement tau to a consistency C: `CREAM_MAP_*`.
pub type CreamMap = u32;
/// (tau + 1) / 2. The paper's.
pub const CREAM_MAP_LINEAR: CreamMap = 0;
/// (tau + 1) / 2, at least 1/2.
pub const CREAM_MAP_CLAMPED: CreamMap = 1;
/// (tau + 1) / 2, undefined (the pair is dropped) below a threshold.
pub const CREAM_MAP_THRESHOLD: CreamMap = 2;

/// A loss on preference pairs: `CREAM_LOSS_*`.
pub type CreamLoss = u32;
/// DPO, weighed by the consistency against its reverse.
pub const CREAM_LOSS_CREAM: CreamLoss = 0;
/// Plain DPO, whatever the consistency.
pub const CREAM_LOSS_DPO: CreamLoss = 1;
/// Identity preference optimisation, whatever the consistency.
pub const CREAM_LOSS_IPO: CreamLoss = 2;

/// A preference pair, as indices into the completions.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CreamPair {
    /// The completion with the highest reward.
    pub chosen: usize,
    /// The completion with the lowest reward.
    pub rejected: usize,
    /// Reward of the chosen less reward of the rejected; positive.
    pub margin: f64,
}

/// Log-probs of a pair's completions, summed over their tokens.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CreamPairLogps {
    /// Of the chosen completion under the policy.
    pub chosen: f64,
    /// Of the rejected completion under the policy.
    pub rejected: f64,
    /// Of the chosen completion under the training reference.
    pub reference_chosen: f64,
    /// Of the rejected completion under the training reference.
    pub reference_rejected: f64,
}

/// A pair's loss, what training logs of it, and its gradient.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CreamPairLoss {
    /// In nats; of IPO in squared nats.
    pub loss: f64,
    /// Reward of the chosen less reward of the rejected.
    pub margin: f64,
    /// beta * (chosen - reference_chosen).
    pub reward_chosen: f64,
    /// beta * (rejected - reference_rejected).
    pub reward_rejected: f64,
    /// dL / d chosen.
    pub d_chosen: f64,
    /// dL / d rejected.
    pub d_rejected: f64,
    /// dL / d reference_chosen.
    pub d_reference_chosen: f64,
    /// dL / d reference_rejected.
    pub d_reference_rejected: f64,
}

impl CreamPairLogps {
    pub(crate) fn of_core(&self) -> PairLogps {
        let &CreamPairLogps { chosen, rejected, reference_chosen, reference_rejected } = self;
        PairLogps { chosen, rejected, reference_chosen, reference_rejected }
    }
}

impl From<PairLoss> for CreamPairLoss {
    fn from(pair: PairLoss) -> Self {
        CreamPairLoss {
            loss: pair.loss,
            margin: pair.margin,
            reward_chosen: pair.reward_chosen,
            reward_rejected: pair.reward_rejected,
            d_chosen: pair.d_chosen,
            d_rejected: pair.d_rejected,
            d_reference_chosen: pair.d_reference_chosen,
            d_reference_rejected: pair.d_reference_rejected,
        }
    }
}

pub(crate) fn ties(ties: CreamTies) -> Result<Ties> {
    match ties {
        CREAM_TIES_AVERAGE => Ok(Ties::Average),
        CREAM_TIES_ORDINAL => Ok(Ties::Ordinal),
        _ => Err(Failure::text(CreamStatus::Value, "ties is no CREAM_TIES_ constant")),
    }
}

pub(crate) fn measure(measure: CreamMeasure) -> Result<Kind> {
    Ok(match measure {
        CREAM_MEASURE_KENDALL => Kind::Kendall,
        CREAM_MEASURE_KENDALL_B => Kind::KendallB,
        CREAM_MEASURE_KENDALL_ORDINAL => Kind::KendallOrdinal,
        CREAM_MEASURE_SPEARMAN => Kind::Spearman,
        CREAM_MEASURE_SPEARMAN_ORDINAL => Kind::SpearmanOrdinal,
        CREAM_MEASURE_TOP_ORDER => Kind::TopOrder,
        CREAM_MEASURE_TOP_ORDER_ORDINAL => Kind::TopOrderOrdinal,
        _ => return Err(Failure::text(CreamStatus::Value, "measure is no CREAM_MEASURE_ constant")),
    })
}

pub(crate) fn map(map: CreamMap, threshold: f64) -> Result<Map> {
    match map {
        CREAM_MAP_LINEAR => Ok(Map::Linear),
        CREAM_MAP_CLAMPED => Ok(Map::Clamped),
        CREAM_MAP_THRESHOLD => Ok(Map::Threshold(threshold)),
        _ => Err(Failure::text(CreamStatus::Value, "map is no CREAM_MAP_ constant")),
    }
}

pub(crate) fn loss(loss: CreamLoss) -> Result<Loss> {
    match loss {
        CREAM_LOSS_CREAM => Ok(Loss::Cream),
        CREAM_LOSS_DPO => Ok(Loss::Dpo),
        CREAM_LOSS_IPO => Ok(Loss::Ipo),
        _ => Err(Failure::text(CreamStatus::Value, "loss is no CREAM_LOSS_ constant")),
    }
}
