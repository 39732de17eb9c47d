//! Methods by name: CREAM and what it is compared with, each a few settings of one and the same loop.

use std::fmt;

use cream_core::Loss;
use serde::{Deserialize, Serialize};

use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::pair::{Level, Reward};

/// A method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The implicit reward, and the consistency in the loss.
    Cream,
    /// Self-rewarding by the implicit reward with plain DPO.
    Srlm,
    /// Self-rewarding with the model as its own judge, and plain DPO (arXiv 2401.10020).
    SrlmJudge,
    /// Plain DPO on an external reward: what labels from outside would bring.
    Oracle,
    /// Supervised fine-tuning alone.
    SftOnly,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Cream => "cream",
            Method::Srlm => "srlm",
            Method::SrlmJudge => "srlm-judge",
            Method::Oracle => "oracle",
            Method::SftOnly => "sft-only",
        })
    }
}

impl Method {
    /// All of them, in the order of a comparison.
    pub const ALL: [Method; 5] = [Method::Cream, Method::Srlm, Method::SrlmJudge, Method::Oracle, Method::SftOnly];

    /// Reward, level (the first is what is set, the others are allowed) and loss; none for supervised fine-tuning.
    fn preset(self) -> Option<(Reward, &'static [Level], Loss)> {
        match self {
            Method::Cream => Some((Reward::Implicit, &[Level::Mean, Level::PerPrompt], Loss::Cream)),
            Method::Srlm => Some((Reward::Implicit, &[Level::Off], Loss::Dpo)),
            Method::SrlmJudge => Some((Reward::Judge, &[Level::Off], Loss::Dpo)),
            Method::Oracle => Some((Reward::External, &[Level::Off], Loss::Dpo)),
            Method::SftOnly => None,
        }
    }

    /// The default settings with those of the method.
    pub fn settings(self) -> RunConfig {
        let mut config = RunConfig { method: Some(self), ..RunConfig::default() };
        match self.preset() {
            Some((reward, levels, loss)) => {
                (config.pair.reward, config.pair.level, config.loss) = (reward, levels[0], loss);
            }
            None => config.iterations = 0,
        }
        config
    }

    /// Whether settings are still the method's, after others were put in their place.
    pub(crate) fn check(self, config: &RunConfig) -> Result<()> {
        let wrong = |field: &str, value: &dyn fmt::Display, expected: String| {
            Err(Error::setting(field, value, format_args!("{expected} with method {self}")))
        };
        let Some((reward, levels, loss)) = self.preset() else {
            return match config.iterations {
                0 => Ok(()),
                rounds => wrong("iterations", &rounds, "0".into()),
            };
        };
        if config.pair.reward != reward {
            return wrong("pair.reward", &config.pair.reward, reward.to_string());
        }
        if !levels.contains(&config.pair.level) {
            let names: Vec<String> = levels.iter().map(Level::to_string).collect();
            return wrong("pair.level", &config.pair.level, names.join(" or "));
        }
        if config.loss != loss {
            return wrong("loss", &config.loss, loss.to_string());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sets_its_knobs_and_nothing_else() {
        for (method, reward, level, loss, iterations) in [
            (Method::Cream, Reward::Implicit, Level::Mean, Loss::Cream, 2),
            (Method::Srlm, Reward::Implicit, Level::Off, Loss::Dpo, 2),
            (Method::SrlmJudge, Reward::Judge, Level::Off, Loss::Dpo, 2),
            (Method::Oracle, Reward::External, Level::Off, Loss::Dpo, 2),
            (Method::SftOnly, Reward::Implicit, Level::Mean, Loss::Cream, 0),
        ] {
            let mut expected = RunConfig { method: Some(method), loss, iterations, ..RunConfig::default() };
            (expected.pair.reward, expected.pair.level) = (reward, level);
            let config = RunConfig::from_toml("c.toml", &format!("method = \"{method}\"")).unwrap();
            assert_eq!(config, expected);
            config.validate().unwrap();
            assert_eq!(RunConfig::from_toml_as(Some(method), "c.toml", "").unwrap(), expected);
        }
    }

    #[test]
    fn a_file_may_say_more_but_nothing_against_it() {
        let read = |text: &str| RunConfig::from_toml("c.toml", text).unwrap();
        let config =
            read("method = \"srlm\"\nseed = 3\ntuning = \"full\"\n[pair]\nmin_margin = 0.5\n[train]\nepochs = 2");
        config.validate().unwrap();
        assert_eq!((config.seed, config.pair.min_margin, config.train.epochs), (3, 0.5, Some(2)));
        assert_eq!((config.pair.level, config.loss, config.train.learning_rate), (Level::Off, Loss::Dpo, None));
        read("method = \"cream\"\n[pair]\nlevel = \"per-prompt\"").validate().unwrap();
        for (text, expected) in [
            ("method = \"srlm\"\n[pair]\nlevel = \"mean\"", "pair.level: mean, expected off with method srlm"),
            ("method = \"srlm\"\nloss = \"ipo\"", "loss: ipo, expected dpo with method srlm"),
            (
                "method = \"cream\"\n[pair]\nlevel = \"fixed:0.7\"",
                "pair.level: fixed:0.7, expected mean or per-prompt with method cream",
            ),
            (
                "method = \"cream\"\n[pair]\nreward = \"judge\"",
                "pair.reward: judge, expected implicit with method cream",
            ),
            (
                "method = \"oracle\"\n[pair]\nreward = \"implicit\"",
                "pair.reward: implicit, expected external with method oracle",
            ),
            (
                "method = \"srlm-judge\"\n[pair]\nreward = \"implicit\"",
                "pair.reward: implicit, expected judge with method srlm-judge",
            ),
            ("method = \"sft-only\"\niterations = 1", "iterations: 1, expected 0 with method sft-only"),
        ] {
            let message = read(text).validate().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message} should start with {expected}");
        }
    }
}
