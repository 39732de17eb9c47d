//! What can be set about pairs.

use std::fmt;
use std::str::FromStr;

use cream_core::consistency::{Kind, Map};
use serde::{Deserialize, Serialize};

use crate::by_name;
use crate::error::{Error, Result};

/// Where the consistency C of a pair comes from. As text: `mean`, `per-prompt`, `fixed:C`, `off`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Level {
    /// All pairs have the mean over them: the paper's main setting.
    #[default]
    Mean,
    /// Each pair has its prompt's, and keeps its weight relative to the others under an optimiser that divides out what all
    /// share, as AdamW does.
    PerPrompt,
    /// All pairs have this one, whatever the rankings: DPO with smoothed labels.
    Fixed(f64),
    /// C = 1, whatever the rankings: plain self-rewarding (SRLM).
    Off,
}

impl Level {
    /// Whether C depends on how far two rankings agree.
    pub fn is_measured(self) -> bool {
        matches!(self, Level::Mean | Level::PerPrompt)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Level::Mean => f.write_str("mean"),
            Level::PerPrompt => f.write_str("per-prompt"),
            Level::Fixed(consistency) => write!(f, "fixed:{consistency}"),
            Level::Off => f.write_str("off"),
        }
    }
}

impl FromStr for Level {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "mean" => Ok(Level::Mean),
            "per-prompt" => Ok(Level::PerPrompt),
            "off" => Ok(Level::Off),
            _ => by_name::number(text, "fixed")
                .map(Level::Fixed)
                .ok_or("expected mean, per-prompt, fixed:C with C from 0 to 1, or off"),
        }
    }
}

/// What ranks the completions of a prompt. As text: `implicit`, `length-normalised`, `length-penalised:ALPHA`, `judge`,
/// `external`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Reward {
    /// beta * (log-prob - log-prob under M0). The paper's.
    #[default]
    Implicit,
    /// The same per token.
    LengthNormalised,
    /// The same less alpha for every token. Alpha is in units of the implicit reward, beta * nats. Where the mean log-prob
    /// per token takes the place of the implicit reward, in a first round, that ranks as it is: a price for every token,
    /// shared out among the tokens, is the same for all.
    LengthPenalised(f64),
    /// Points that the model itself gives, see [`judge_prompts`](crate::judge_prompts).
    Judge,
    /// Numbers from outside (an oracle, a reward model), the same whichever model is current.
    External,
}

impl Reward {
    /// Whether it is computed from log-probs, and not given with the rows.
    pub fn is_implicit(self) -> bool {
        !matches!(self, Reward::Judge | Reward::External)
    }
}

impl fmt::Display for Reward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reward::Implicit => f.write_str("implicit"),
            Reward::LengthNormalised => f.write_str("length-normalised"),
            Reward::LengthPenalised(alpha) => write!(f, "length-penalised:{alpha}"),
            Reward::Judge => f.write_str("judge"),
            Reward::External => f.write_str("external"),
        }
    }
}

impl FromStr for Reward {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "implicit" => Ok(Reward::Implicit),
            "length-normalised" => Ok(Reward::LengthNormalised),
            "judge" => Ok(Reward::Judge),
            "external" => Ok(Reward::External),
            _ => by_name::number(text, "length-penalised")
                .map(Reward::LengthPenalised)
                .ok_or("expected implicit, length-normalised, length-penalised:ALPHA, judge or external"),
        }
    }
}

/// What becomes of completions that were cut at the longest length.
///
/// A completion that was cut is not what the model would have said: to imitate it is to learn never to end. But it was drawn,
/// its tokens are ranked by both models as any others, and that it came to no end is a fault to unlearn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cut {
    /// They are ranked and may be rejected, and none is chosen.
    #[default]
    Rank,
    /// They are as good as others. The authors' code's.
    Keep,
    /// They have no part in anything.
    Drop,
}

/// Whose completions the rejected one is chosen from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectedFrom {
    /// The current model's, as the chosen one: the worst of all.
    #[default]
    Current,
    /// The initial model's: temporal anchoring.
    Initial,
}

/// The reference of training.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrainReference {
    /// The model at the start of the round. The authors' code's.
    #[default]
    Round,
    /// The initial model, M0.
    Initial,
}

/// How pairs are made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PairOptions {
    /// What ranks the completions.
    #[serde(with = "by_name")]
    pub reward: Reward,
    /// How the agreement of two rankings is measured.
    pub consistency: Kind,
    /// Where the consistency of a pair comes from.
    #[serde(with = "by_name")]
    pub level: Level,
    /// From a prompt's agreement to its consistency, before any mean: `linear`, `clamped`, `threshold:C`.
    #[serde(with = "by_name")]
    pub map: Map,
    /// Least difference between the rewards of a pair, in units of the reward: nats times beta (per token where it is
    /// length-normalised or the mean log-prob takes its place), or points.
    pub min_margin: f64,
    /// What becomes of completions that were cut.
    pub cut: Cut,
    /// Whose completions the rejected one is chosen from.
    pub rejected_from: RejectedFrom,
    /// Under which model the pair's `ref_*_logps` are.
    pub train_reference: TrainReference,
}

impl PairOptions {
    /// Whether every option lies in its range, and goes with the others.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<()> {
        if !(self.min_margin.is_finite() && self.min_margin >= 0.0) {
            return Err(Error::setting("min_margin", self.min_margin, "0 or a positive number"));
        }
        if let Level::Fixed(consistency) = self.level
            && !(0.0..=1.0).contains(&consistency)
        {
            return Err(Error::setting("level", self.level, "fixed:C with C from 0 to 1"));
        }
        if let Map::Threshold(threshold) = self.map
            && !(0.0..=1.0).contains(&threshold)
        {
            return Err(Error::setting("map", self.map, "threshold:C with C from 0 to 1"));
        }
        if let Reward::LengthPenalised(alpha) = self.reward
            && !(alpha.is_finite() && alpha >= 0.0)
        {
            return Err(Error::setting("reward", self.reward, "length-penalised:ALPHA with ALPHA 0 or positive"));
        }
        if self.map != Map::Linear && !self.level.is_measured() {
            let expected = format!("linear with level {}, which does not depend on the agreement", self.level);
            return Err(Error::setting("map", self.map, expected));
        }
        if self.reward == Reward::External && self.level.is_measured() {
            let expected = "off or fixed:C with reward external, which no previous model can disagree with";
            return Err(Error::setting("level", self.level, expected));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for level in [Level::Mean, Level::PerPrompt, Level::Fixed(0.7), Level::Off] {
            assert_eq!(level.to_string().parse(), Ok(level));
        }
        for reward in
            [Reward::Implicit, Reward::LengthNormalised, Reward::LengthPenalised(0.01), Reward::Judge, Reward::External]
        {
            assert_eq!(reward.to_string().parse(), Ok(reward));
        }
        for wrong in ["", "fixed", "fixed:", "fixed:x", "Mean"] {
            assert!(wrong.parse::<Level>().is_err(), "{wrong}");
        }
        assert!("length-penalised".parse::<Reward>().is_err());
    }

    #[test]
    fn nonsense_is_refused_with_the_reason() {
        let good = PairOptions::default();
        good.validate().unwrap();
        for (options, expected) in [
            (PairOptions { min_margin: f64::NAN, ..good.clone() }, "min_margin: NaN, expected 0 or a positive number"),
            (PairOptions { level: Level::Fixed(1.5), ..good.clone() }, "level: fixed:1.5, expected fixed:C with C"),
            (PairOptions { map: Map::Threshold(-0.5), ..good.clone() }, "map: threshold:-0.5, expected threshold:C"),
            (
                PairOptions { reward: Reward::LengthPenalised(-1.0), ..good.clone() },
                "reward: length-penalised:-1, expected",
            ),
            (
                PairOptions { level: Level::Off, map: Map::Clamped, ..good.clone() },
                "map: clamped, expected linear with level off, which does not depend on the agreement",
            ),
            (
                PairOptions { level: Level::Fixed(0.7), map: Map::Threshold(0.5), ..good.clone() },
                "map: threshold:0.5, expected linear with level fixed:0.7",
            ),
            (
                PairOptions { reward: Reward::External, ..good.clone() },
                "level: mean, expected off or fixed:C with reward external",
            ),
        ] {
            let message = options.validate().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message} should start with {expected}");
        }
        PairOptions { reward: Reward::External, level: Level::Off, ..good }.validate().unwrap();
    }
}
