//! All settings of a run, as TOML.

use cream_core::Loss;
use cream_engine::{Date, LoraConfig, Text};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::judge::JudgeOptions;
use crate::method::Method;
use crate::pair::{Level, PairOptions};
use crate::policy::Encoder;
use crate::progress::Stage;
use crate::sample::SampleOptions;
use crate::score::ScoreOptions;
use crate::train::{PreferenceLoss, TrainOptions};

/// What is trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tuning {
    /// An adapter over the frozen model.
    #[default]
    Lora,
    /// All weights. Each round loads the three models in turn.
    Full,
}

/// Settings of a run. Every key has a default, that of the authors' code save where the field says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunConfig {
    /// What this run is an instance of, if anything: some settings are then given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<Method>,
    /// Preference rounds, from M1 on; 0 for supervised fine-tuning alone.
    pub iterations: usize,
    /// Of all randomness: sampling, adapters, the order of training.
    pub seed: u32,
    /// A text prompt is taken as it is, not as a user's turn.
    pub raw: bool,
    /// Longest prompt, in tokens.
    pub max_prompt_tokens: usize,
    /// The day that the chat template prints, where it prints one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Date>,
    /// Scale of the implicit reward, in ranking and in the loss.
    pub beta: f64,
    /// The loss on pairs.
    pub loss: Loss,
    /// Weight of the negative log-likelihood per token of the chosen completion in the loss.
    pub sft_weight: f64,
    /// Earlier rounds whose pairs are trained on again in each round.
    pub replay: usize,
    /// What is trained; in the authors' code all weights.
    pub tuning: Tuning,
    /// Shape of the adapter; in the authors' code, where one is used, r 32 and alpha 64.
    pub lora: LoraConfig,
    /// How completions are drawn.
    pub sample: SampleOptions,
    /// How completions are scored.
    pub score: ScoreOptions,
    /// How the model judges its own completions, where that is the reward.
    pub judge: JudgeOptions,
    /// How pairs are made.
    pub pair: PairOptions,
    /// Iteration 0.
    pub sft: TrainOptions,
    /// Training on pairs.
    pub train: TrainOptions,
}

impl Default for RunConfig {
    fn default() -> Self {
        RunConfig {
            method: None,
            iterations: 2,
            seed: 0,
            raw: false,
            max_prompt_tokens: Encoder::MAX_PROMPT_TOKENS,
            date: None,
            beta: PreferenceLoss::default().beta,
            loss: Loss::default(),
            sft_weight: PreferenceLoss::default().sft_weight,
            replay: 0,
            tuning: Tuning::default(),
            lora: LoraConfig::default(),
            sample: SampleOptions::default(),
            score: ScoreOptions::default(),
            judge: JudgeOptions::default(),
            pair: PairOptions::default(),
            sft: TrainOptions::default(),
            train: TrainOptions::default(),
        }
    }
}

impl RunConfig {
    /// Reads settings; `name` is the file's, for messages. What the file leaves out has its default, or what the file's
    /// own method says. Values are not checked, see [`RunConfig::validate`].
    ///
    /// # Errors
    /// Not TOML, a key that does not exist, or a value of the wrong type.
    pub fn from_toml(name: &str, text: &str) -> Result<Self> {
        RunConfig::from_toml_as(None, name, text)
    }

    /// The same, for a method other than the file's own, if it names one.
    ///
    /// # Errors
    /// As [`RunConfig::from_toml`].
    pub fn from_toml_as(method: Option<Method>, name: &str, text: &str) -> Result<Self> {
        RunConfig::from_table(method, name, text.parse().map_err(|e| Error::file(name, e))?)
    }

    /// The same from a JSON object.
    ///
    /// # Errors
    /// As [`RunConfig::from_toml`].
    pub fn from_json_as(method: Option<Method>, name: &str, text: &str) -> Result<Self> {
        RunConfig::from_table(method, name, serde_json::from_str(text).map_err(|e| Error::file(name, e))?)
    }

    fn from_table(method: Option<Method>, name: &str, given: Table) -> Result<Self> {
        let plain: RunConfig = given.clone().try_into().map_err(|e| Error::file(name, e))?;
        let config = match method.or(plain.method) {
            None => plain,
            Some(method) => {
                let mut all: Table = method.settings().to_toml().parse().expect("as it was just written");
                // What these are when unset depends on the tuning, which the file may give.
                all.remove("sft");
                all.remove("train");
                overlay(&mut all, given.clone());
                RunConfig { method: Some(method), ..all.try_into().map_err(|e| Error::file(name, e))? }
            }
        };
        let known = config.keys();
        match flat(given).into_iter().find(|(key, _)| known.iter().all(|(known, _)| known != key)) {
            None => Ok(config),
            Some((key, _)) => {
                let table = key.rsplit_once('.').map_or("", |(table, _)| table);
                let siblings = known.iter().filter_map(|(known, _)| match known.rsplit_once('.') {
                    Some((parent, last)) => (parent == table).then_some(last),
                    None => table.is_empty().then_some(known.as_str()),
                });
                let siblings = siblings.collect::<Vec<_>>().join(", ");
                Err(Error::file(name, format_args!("unknown key {key}, expected one of {siblings}")))
            }
        }
    }

    /// The settings for other methods than their own, and the keys that have their defaults again because only the method
    /// had set them. What the settings say beyond their method is kept.
    ///
    /// # Errors
    /// Settings that are not those of their method.
    pub fn without_method(&self) -> Result<(Self, Vec<&'static str>)> {
        let Some(method) = self.method else { return Ok((self.clone(), Vec::new())) };
        method.check(self)?;
        self.pair.validate().map_err(|e| within("pair", e))?;
        Ok(method.out_of(self))
    }

    /// The settings as a file, with the values of what is unset.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.resolved()).expect("string keys and finite tables")
    }

    /// Whether every setting lies in its range.
    ///
    /// # Errors
    /// The first that does not.
    pub fn validate(&self) -> Result<()> {
        if self.max_prompt_tokens == 0 {
            return Err(Error::setting("max_prompt_tokens", 0, "at least 1"));
        }
        self.preference_loss().validate()?;
        if self.sample.completions < 2 {
            return Err(Error::setting("sample.completions", self.sample.completions, "at least 2, to be ranked"));
        }
        if self.sample.temperature == 0.0 {
            return Err(Error::setting("sample.temperature", 0, "more than 0: equal completions give no pair"));
        }
        self.sample.validate().map_err(|e| within("sample", e))?;
        self.score.validate().map_err(|e| within("score", e))?;
        self.judge.validate().map_err(|e| within("judge", e))?;
        self.pair.validate().map_err(|e| within("pair", e))?;
        self.sft.validate().map_err(|e| within("sft", e))?;
        self.train.validate().map_err(|e| within("train", e))?;
        if let Some(method) = self.method {
            method.check(self)?;
        }
        if self.loss != Loss::Cream && self.pair.level != Level::Off {
            let expected = format!("off with loss {}, which makes no use of the consistency", self.loss);
            return Err(Error::setting("pair.level", self.pair.level, expected));
        }
        Ok(())
    }

    /// How models of a run read rows: with this tokenizer, of sequences of at most `context` tokens.
    pub fn encoder<'a>(&self, text: &'a Text, context: usize) -> Encoder<'a> {
        let RunConfig { raw, max_prompt_tokens, .. } = *self;
        Encoder { text, raw, max_prompt_tokens, context }
    }

    /// What is minimised on pairs.
    pub fn preference_loss(&self) -> PreferenceLoss {
        PreferenceLoss { beta: self.beta, loss: self.loss, sft_weight: self.sft_weight }
    }

    /// Seed of one iteration's sampling, adapter and order of training: `iteration * 2^32 + seed`, so that no two runs
    /// or iterations share a stream, and a stage run by hand can repeat it.
    pub fn seed_of(&self, iteration: usize) -> u64 {
        (iteration as u64) << 32 | u64::from(self.seed)
    }

    /// With the values of what is unset.
    fn resolved(&self) -> Self {
        let adapter = self.tuning == Tuning::Lora;
        RunConfig {
            sft: self.sft.resolved(Stage::Sft, adapter),
            train: self.train.resolved(Stage::Train, adapter),
            ..self.clone()
        }
    }

    /// All keys, with the table before each, and their values.
    pub(crate) fn keys(&self) -> Vec<(String, Value)> {
        // By way of the text, which has 0.95 where the f32 is 0.949999988…
        flat(self.to_toml().parse().expect("as it was just written"))
    }
}

/// Puts what `given` has in place of what `table` has.
fn overlay(table: &mut Table, given: Table) {
    for (key, value) in given {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(given)) => overlay(inner, given),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// `{a: {b: 1}}` as `a.b`, 1.
fn flat(table: Table) -> Vec<(String, Value)> {
    let key = |(key, value)| match value {
        Value::Table(inner) => flat(inner).into_iter().map(|(rest, value)| (format!("{key}.{rest}"), value)).collect(),
        value => vec![(key, value)],
    };
    table.into_iter().flat_map(key).collect()
}

/// Puts the table before the key that an error names.
fn within(table: &str, error: Error) -> Error {
    match error {
        Error::Setting { field, value, expected } => {
            Error::Setting { field: format!("{table}.{field}"), value, expected }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::Level;
    use cream_core::consistency::Kind;

    #[test]
    fn what_is_written_is_read() {
        let text = "iterations = 3\ntuning = \"full\"\n[pair]\nconsistency = \"top-order\"\nlevel = \"per-prompt\"\n[train.adamw]\nweight_decay = 0\n[lora]\nr = 4\n";
        let config = RunConfig::from_toml("c.toml", text).unwrap();
        assert_eq!((config.pair.consistency, config.pair.level), (Kind::TopOrder, Level::PerPrompt));
        assert_eq!((config.lora.r, config.train.adamw.weight_decay, config.sample.completions), (4, 0.0, 5));
        let written = config.to_toml();
        let read = RunConfig::from_toml("c.toml", &written).unwrap();
        assert_eq!(read, config.resolved());
        assert_eq!(read.to_toml(), written);
        assert_eq!((read.train.epochs, read.train.learning_rate), (Some(1), Some(1e-6)));
        assert_eq!(RunConfig::from_toml("c.toml", "").unwrap(), RunConfig::default());
        RunConfig::default().validate().unwrap();
    }

    #[test]
    fn an_adapter_learns_ten_times_as_fast() {
        let config = RunConfig::default().resolved();
        assert_eq!((config.sft.epochs, config.train.epochs), (Some(5), Some(1)));
        assert_eq!((config.sft.learning_rate, config.train.learning_rate), (Some(5e-5), Some(1e-5)));
    }

    #[test]
    fn mistakes_name_the_key() {
        for (text, expected) in [
            ("iteration = 3", "c.toml: unknown key iteration, expected one of beta, iterations"),
            ("[lora]\nrank = 3", "c.toml: unknown key lora.rank, expected one of lora_alpha, r, target_modules"),
            ("[sample]\ntop_p = \"x\"", "invalid type: string \"x\", expected f32"),
            ("date = \"2026-02-30\"", "\"2026-02-30\", expected a day like 2026-11-27"),
            ("seed = -1", "invalid value: integer `-1`, expected u32"),
            ("[pair]\nconsistency = \"tau\"", "unknown variant `tau`, expected one of `kendall`"),
            ("[pair]\nlevel = \"fixed\"", "\"fixed\", expected mean, per-prompt, fixed:C with C from 0 to 1, or off"),
            ("[pair]\nmap = \"clamp\"", "\"clamp\", expected linear, clamped or threshold:C with C from 0 to 1"),
            ("= 1", "c.toml: TOML parse error"),
        ] {
            let message = RunConfig::from_toml("c.toml", text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
        for (text, expected) in [
            ("beta = nan", "beta: NaN, expected a positive number"),
            ("max_prompt_tokens = 0", "max_prompt_tokens: 0, expected at least 1"),
            ("sft_weight = -1", "sft_weight: -1, expected 0 or a positive number"),
            ("loss = \"ipo\"", "pair.level: mean, expected off with loss ipo, which makes no use of the consistency"),
            ("[judge]\nvotes = 0", "judge.votes: 0, expected at least 1"),
            ("[pair]\nlevel = \"fixed:2\"", "pair.level: fixed:2, expected fixed:C with C from 0 to 1"),
            ("[sample]\ncompletions = 1", "sample.completions: 1, expected at least 2, to be ranked"),
            ("[sample]\ntemperature = 0", "sample.temperature: 0, expected more than 0"),
            ("[sample]\ntop_p = 1.5", "top_p is 1.5, expected more than 0 and at most 1"),
            ("[sample]\nrepetition_penalty = 0", "repetition_penalty is 0, expected a positive finite number"),
            ("[score]\nchunk_size = 0", "score.chunk_size: 0, expected at least 1"),
            ("[pair]\nmin_margin = -1", "pair.min_margin: -1, expected 0 or a positive number"),
            ("[train]\nlearning_rate = 0", "train.learning_rate: 0, expected a positive number"),
            ("[sft.adamw]\nbeta2 = 1", "sft.adamw.beta2: 1, expected 0 or more and less than 1"),
        ] {
            let message = RunConfig::from_toml("c.toml", text).unwrap().validate().unwrap_err().to_string();
            assert!(message.contains(expected), "{message} should contain {expected}");
        }
    }

    #[test]
    fn seeds_of_iterations_differ() {
        let config = RunConfig { seed: 7, ..RunConfig::default() };
        assert_eq!((config.seed_of(0), config.seed_of(2)), (7, (2 << 32) + 7));
    }
}
