//! CREAM, *Consistency Regularized Self-Rewarding Language Models* (Wang et al., arXiv 2410.12735), as a library: a model
//! samples its own completions, ranks them by its own implicit reward, and is trained on the pairs, each weighed by how
//! far the previous model's ranking agrees. [`run()`] is the whole loop over a directory that survives a kill; [`sample()`],
//! [`score()`], [`pair()`], [`train()`] and [`sft()`] are its stages, from rows to rows, for any [`engine::Backend`].
//!
//! It does *not* compute: the maths is [`core`]'s, the model is [`engine`]'s. It fetches no models, draws no progress bars
//! and starts no threads. It builds for wasm32-unknown-unknown, where a [`Memory`] takes the
//! place of a [`Directory`]; the functions are async because a browser cannot wait, and native callers block on them.

mod budget;
mod by_name;
mod chunks;
mod columns;
mod compare;
mod config;
#[cfg(feature = "gpu")]
mod device;
#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
mod device_choice;
#[cfg(not(target_arch = "wasm32"))]
mod directory;
mod error;
mod eval;
mod fingerprint;
mod iteration;
mod jsonl;
mod judge;
mod method;
mod model;
mod model_files;
mod pack;
mod pair;
mod policy;
mod progress;
mod report;
mod rows;
mod run;
mod sample;
mod score;
mod shard;
mod store;
#[cfg(test)]
mod testing;
mod timings;
mod train;
mod weights;

pub use cream_core as core;
pub use cream_engine as engine;

pub use columns::{of_answer, of_question, of_verdict};
pub use compare::{CompareOptions, Comparison, Drift, MethodResult, ModelResult, compare};
pub use config::{RunConfig, Tuning};
#[cfg(feature = "gpu")]
pub use device::{Device, DeviceAdapter, DeviceLearning, DeviceModel, DeviceTrainer, Loading, OnDevice};
#[cfg(all(feature = "gpu", not(target_arch = "wasm32")))]
pub use device_choice::DeviceChoice;
#[cfg(not(target_arch = "wasm32"))]
pub use directory::{Directory, follow_links, is_open_file};
pub use error::{Error, Result};
pub use eval::{
    AnswerMode, AnswerRow, ChoiceRow, EvalOptions, EvalReport, Evaluation, Measures, Outcome, PreferenceRow, Task,
    TaskRows, evaluate,
};
pub use fingerprint::fingerprint;
pub use iteration::Summary;
pub use jsonl::{Fields, MAX_LINE_BYTES, Row, Unique, not_json, read_jsonl, read_numbered, to_jsonl};
pub use judge::{JudgeOptions, judge_prompts, judge_rewards, parse_score};
pub use method::Method;
pub use model::{Learner, Learning, Model};
pub use model_files::ModelFiles;
#[cfg(not(target_arch = "wasm32"))]
pub use model_files::file_names;
pub use pair::{
    Cut, Labels, Level, PairInputs, PairOptions, PairReport, Pairing, Previous, Rankings, RejectedFrom, Reward,
    Skipped, TrainReference, label, pair,
};
pub use policy::{Encoder, Policy};
pub use progress::{Progress, Stage, Update};
pub use report::{PromptReport, Report, RoundReport, StepReport};
pub use rows::{
    Completion, Completions, GivenPair, MetricsRow, Pair, PreferenceMetrics, Prompt, Ranking, Rated, Rewards, Scores,
    SftRow, Turns, keep,
};
pub use run::{External, Load, RunInputs, run};
pub use sample::{SampleOptions, sample};
pub use score::{ScoreOptions, score};
pub use shard::Shard;
pub use store::{Answer, Memory, Output, Store};
pub use timings::{StageTime, Timings};
pub use train::{PreferenceLoss, TrainOptions, TrainSummary, Trainee, complete_pairs, sft, train, train_step};
pub use weights::{load_adapter, save_adapter, save_model};
