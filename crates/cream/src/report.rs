//! What a run directory tells, gathered for a page to look at. Works on a run under way too.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use serde_json::Value;

use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::iteration::{RANKINGS, Summary, folder};
use crate::jsonl::{Row, read_jsonl};
use crate::rows::{Completions, MetricsRow, Pair, Ranking, Scores, Turns};
use crate::run::{CONFIG, INPUTS};
use crate::store::{Store, join};
use crate::timings::Timings;

/// Prompts of a round that are shown with their texts: half of them the least consistent, half the most, or the first and
/// the last where there is no consistency.
const MOST_PROMPTS: usize = 60;
/// Characters of a text that are shown.
const LONGEST_TEXT: usize = 1500;
/// Bars of a histogram, over equal parts of `[-1, 1]` around -1, -0.8, …, 1: the values that tau has with 5 completions.
const BARS: usize = 11;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Fingerprints of what the run began with.
    pub inputs: BTreeMap<String, String>,
    /// Every setting, with the table before its key.
    pub settings: Vec<(String, Value)>,
    /// Iterations begun, 0 first where there is one.
    pub iterations: Vec<StepReport>,
    /// Time and memory.
    pub timings: Timings,
    /// A comparison of methods, where compare.json is in the directory.
    pub compare: Option<Value>,
    /// Prompts of a round that are shown at most.
    pub most_prompts: usize,
    /// Characters of a text that are shown.
    pub longest_text: usize,
}

/// An iteration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    /// Its number; 0 is supervised.
    pub iteration: usize,
    /// Of its randomness.
    pub seed: u64,
    /// None while it is under way.
    pub summary: Option<Summary>,
    /// Steps made.
    pub metrics: Vec<MetricsRow>,
    /// None in iteration 0, and before its ranking is done.
    pub round: Option<RoundReport>,
}

/// Rankings and texts of a round.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoundReport {
    /// Prompts in all.
    pub prompts: usize,
    /// Mean tokens of the current model's completions.
    pub mean_tokens: f64,
    /// How many prompts have which agreement, in equal parts of `[-1, 1]` with a middle at either end; of those that have one.
    pub histogram: Vec<usize>,
    /// Some of the prompts with an agreement, least consistent first; where none has one, some of all.
    pub shown: Vec<PromptReport>,
}

/// A prompt with its completions; long texts are cut.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PromptReport {
    /// Rewards and agreement.
    #[serde(flatten)]
    pub ranking: Ranking,
    /// As one text.
    pub prompt: String,
    /// `[N]`
    pub completions: Vec<String>,
    /// What the pair has; none where there is no pair.
    pub chosen: Option<String>,
    /// The same.
    pub rejected: Option<String>,
}

impl Report {
    /// Reads a run directory.
    ///
    /// # Errors
    /// It is none, or one of its files is not what it should be.
    pub async fn read(store: &dyn Store) -> Result<Self> {
        let Some(config) = store.read(CONFIG).await? else {
            return Err(Error::file(CONFIG, "not there, expected the folder of a run"));
        };
        let config = String::from_utf8(config).map_err(|e| Error::file(CONFIG, e))?;
        let config = RunConfig::from_toml(CONFIG, &config)?;
        let settings = config.keys().into_iter();
        let settings =
            settings.map(|(key, value)| (key, serde_json::to_value(value).expect("finite, with string keys")));
        let mut iterations = Vec::new();
        for t in 0..=config.iterations {
            let of_folder = store.names(&join(&folder(t), "")).await?;
            let begun = ["completions.jsonl", "metrics.jsonl"].map(|file| join(&folder(t), file));
            if of_folder.iter().any(|name| begun.contains(name)) {
                iterations.push(StepReport::read(store, t, &config).await?);
            }
        }
        Ok(Report {
            inputs: json(store, INPUTS).await?.unwrap_or_default(),
            settings: settings.collect(),
            iterations,
            timings: Timings::read(store).await?,
            compare: json(store, "compare.json").await?,
            most_prompts: MOST_PROMPTS,
            longest_text: LONGEST_TEXT,
        })
    }
}

impl StepReport {
    async fn read(store: &dyn Store, t: usize, config: &RunConfig) -> Result<Self> {
        let name = |file: &str| join(&folder(t), file);
        let metrics = store.read(&name("metrics.jsonl")).await?.unwrap_or_default();
        // A step that is being written has no line end yet.
        let whole = metrics.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let lines = metrics[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let metrics = lines.map(serde_json::from_slice).collect::<Result<_, _>>();
        Ok(StepReport {
            iteration: t,
            seed: config.seed_of(t),
            summary: json(store, &name("summary.json")).await?,
            metrics: metrics.map_err(|e| Error::file(&name("metrics.jsonl"), e))?,
            round: RoundReport::read(store, t, config.sample.completions).await?,
        })
    }
}

impl RoundReport {
    /// `own`: how many of each row's completions, the first ones, are the current model's.
    async fn read(store: &dyn Store, t: usize, own: usize) -> Result<Option<Self>> {
        let rankings: Vec<Ranking> = rows(store, &join(&folder(t), RANKINGS)).await?;
        let scores: Vec<Scores> = rows(store, &join(&folder(t), "scores-current.jsonl")).await?;
        if rankings.is_empty() {
            return Ok(None);
        }
        let agreements = rankings.iter().filter_map(|ranking| ranking.agreement);
        let tokens: Vec<usize> = scores.iter().flat_map(|row| row.tokens.iter().take(own).copied()).collect();
        Ok(Some(RoundReport {
            prompts: rankings.len(),
            mean_tokens: tokens.iter().sum::<usize>() as f64 / tokens.len().max(1) as f64,
            histogram: histogram(agreements),
            shown: shown(store, t, rankings).await?,
        }))
    }
}

/// The least and the most consistent prompts, with their texts; where no prompt has an agreement, all are taken as they come.
async fn shown(store: &dyn Store, t: usize, mut rankings: Vec<Ranking>) -> Result<Vec<PromptReport>> {
    if rankings.iter().any(|ranking| ranking.agreement.is_some()) {
        rankings.retain(|ranking| ranking.agreement.is_some());
        rankings.sort_by(|a, b| a.agreement.partial_cmp(&b.agreement).expect("read as a number"));
    }
    if rankings.len() > MOST_PROMPTS {
        rankings.drain(MOST_PROMPTS / 2..rankings.len() - MOST_PROMPTS / 2);
    }
    let name = join(&folder(t), "completions.jsonl");
    let completions: Vec<Completions> = rows(store, &name).await?;
    let pairs: Vec<Pair> = rows(store, &join(&folder(t), "pairs.jsonl")).await?;
    let mut completions: HashMap<_, _> = completions.into_iter().map(|row| (row.id.clone(), row)).collect();
    let pairs: HashMap<_, _> = pairs.iter().map(|pair| (pair.id.as_str(), pair)).collect();
    let prompt = |ranking: Ranking| {
        let Some(row) = completions.remove(&ranking.id) else {
            return Err(Error::file(&name, format_args!("no id {:?}, expected it as in {RANKINGS}", ranking.id)));
        };
        if row.completions.len() != ranking.rewards.len() {
            let (found, expected, id) = (row.completions.len(), ranking.rewards.len(), &ranking.id);
            return Err(Error::file(&name, format_args!("{found} completions of {id:?}, expected {expected}")));
        }
        let pair = pairs.get(ranking.id.as_str());
        Ok(PromptReport {
            prompt: cut(&in_one(&row.prompt)),
            completions: row.completions.iter().map(|completion| cut(&completion.text)).collect(),
            chosen: pair.map(|pair| cut(&pair.chosen.text)),
            rejected: pair.map(|pair| cut(&pair.rejected.text)),
            ranking,
        })
    };
    rankings.into_iter().map(prompt).collect()
}

fn histogram(agreements: impl Iterator<Item = f64>) -> Vec<usize> {
    let mut counts = vec![0; BARS];
    for agreement in agreements {
        counts[((agreement + 1.0) / 2.0 * (BARS - 1) as f64).round() as usize] += 1;
    }
    counts
}

/// A conversation as one text: of a single turn its words alone.
fn in_one(turns: &Turns) -> String {
    match turns {
        Turns::Text(text) => text.clone(),
        Turns::Messages(messages) => match messages.as_slice() {
            [only] => only.content.clone(),
            messages => messages.iter().map(|turn| format!("{}: {}\n", turn.role, turn.content)).collect(),
        },
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// The rows of a file; none where there is no file.
async fn rows<R: Row>(store: &dyn Store, name: &str) -> Result<Vec<R>> {
    match store.read(name).await? {
        // A round without a pair ends with an error, and leaves its rankings.
        Some(bytes) if !bytes.is_empty() => read_jsonl(name, bytes.as_slice()),
        _ => Ok(Vec::new()),
    }
}

async fn json<T: serde::de::DeserializeOwned>(store: &dyn Store, name: &str) -> Result<Option<T>> {
    let bytes = store.read(name).await?;
    bytes.map(|bytes| serde_json::from_slice(&bytes).map_err(|e| Error::file(name, e))).transpose()
}

#[cfg(test)]
mod tests;
