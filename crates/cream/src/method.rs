//! Methods by name: CREAM and what it is compared with, each a few settings of one and the same loop.

use std::fmt;

use cream_core::Loss;
use cream_core::consistency::Map;
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
        self.over(&RunConfig::default())
    }

    /// Other settings with those of the method in their place, where it does not allow them.
    pub(crate) fn over(self, base: &RunConfig) -> RunConfig {
        let mut config = RunConfig { method: Some(self), ..base.clone() };
        let Some((reward, levels, loss)) = self.preset() else {
            return RunConfig { iterations: 0, ..config };
        };
        (config.pair.reward, config.loss) = (reward, loss);
        if !levels.contains(&config.pair.level) {
            config.pair.level = levels[0];
        }
        if !config.pair.level.is_measured() {
            // There is no agreement to map.
            config.pair.map = Map::default();
        }
        config
    }

    /// Settings without the method and without what it alone sets, which has its default again; the keys of that.
    pub(crate) fn out_of(self, config: &RunConfig) -> (RunConfig, Vec<&'static str>) {
        let default = RunConfig::default();
        let mut config = RunConfig { method: None, ..config.clone() };
        let mut aside = Vec::new();
        let Some((reward, levels, loss)) = self.preset() else {
            config.iterations = default.iterations;
            return (config, vec!["iterations"]);
        };
        if reward != default.pair.reward {
            config.pair.reward = default.pair.reward;
            aside.push("pair.reward");
        }
        if config.pair.level == levels[0] && levels[0] != default.pair.level {
            config.pair.level = default.pair.level;
            aside.push("pair.level");
        }
        if loss != default.loss {
            config.loss = default.loss;
            aside.push("loss");
        }
        (config, aside)
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
    fn without_its_method_a_file_keeps_what_it_says_beyond_it() {
        let read = |text: &str| RunConfig::from_toml("c.toml", text).unwrap();
        for (text, expected, aside) in [
            ("", "", &[][..]),
            ("method = \"cream\"", "", &[]),
            ("method = \"cream\"\n[pair]\nlevel = \"per-prompt\"", "[pair]\nlevel = \"per-prompt\"", &[]),
            ("method = \"srlm\"\nbeta = 0.5", "beta = 0.5", &["pair.level", "loss"]),
            (
                "method = \"srlm-judge\"\n[judge]\nvotes = 2",
                "[judge]\nvotes = 2",
                &["pair.reward", "pair.level", "loss"],
            ),
            ("method = \"oracle\"\niterations = 3", "iterations = 3", &["pair.reward", "pair.level", "loss"]),
            ("method = \"sft-only\"\n[sft]\nepochs = 2", "[sft]\nepochs = 2", &["iterations"]),
        ] {
            // As a run keeps it, with every key.
            for text in [text.to_owned(), read(text).to_toml()] {
                let (config, keys) = read(&text).without_method().unwrap();
                assert_eq!((config.to_toml(), &keys[..]), (read(expected).to_toml(), aside), "{text}");
            }
        }
        for (text, expected) in [
            ("method = \"srlm\"\n[pair]\nlevel = \"mean\"", "pair.level: mean, expected off with method srlm"),
            ("method = \"sft-only\"\niterations = 1", "iterations: 1, expected 0 with method sft-only"),
            ("method = \"srlm\"\n[pair]\nmap = \"clamped\"", "pair.map: clamped, expected linear with level off"),
        ] {
            let message = read(text).without_method().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message} should start with {expected}");
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
