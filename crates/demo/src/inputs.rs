//! What the demo is run with: questions, right answers, settings.

use cream::engine::LoraConfig;
use cream::{AnswerRow, Prompt, RunConfig, SftRow, TrainOptions, Tuning, Turns};

use crate::tasks::{Split, Task, tasks};

/// What one seed works with.
pub struct Inputs {
    /// Questions without answers.
    pub prompts: Vec<Prompt>,
    /// Right answers for iteration 0.
    pub sft: Vec<SftRow>,
    /// Questions to measure by, none of which is among the others.
    pub questions: Vec<AnswerRow>,
}

impl Inputs {
    /// Those of a seed.
    pub fn new(seed: u32) -> Self {
        let tasks = |split, count| tasks(split, u64::from(seed), count).into_iter();
        let prompt = |task: Task| Prompt { id: task.id, prompt: Turns::Text(task.question) };
        let sft = |task: Task| SftRow { prompt: Turns::Text(task.question), completion: task.answer };
        let question = |task: Task| AnswerRow { id: task.id, prompt: Turns::Text(task.question), answer: task.answer };
        Inputs {
            prompts: tasks(Split::Prompts, 600).map(prompt).collect(),
            sft: tasks(Split::Sft, 120).map(sft).collect(),
            questions: tasks(Split::Test, 600).map(question).collect(),
        }
    }
}

/// Longest answer of the model, in tokens, which are characters.
pub const LONGEST_ANSWER: usize = 12;

/// Chosen on the validation questions, which no table shows: all weights are trained. Sampling is the authors'.
pub fn settings(seed: u32) -> RunConfig {
    let training = |epochs, learning_rate| TrainOptions {
        epochs: Some(epochs),
        learning_rate: Some(learning_rate),
        batch_size: 16,
        ..TrainOptions::default()
    };
    let mut config = RunConfig {
        iterations: 3,
        seed,
        beta: 0.5,
        tuning: Tuning::Full,
        sft: training(3, 1e-4),
        train: training(1, 1e-4),
        ..RunConfig::default()
    };
    config.sample.max_new_tokens = LONGEST_ANSWER;
    config
}

/// The same where an adapter is trained, as in a browser: a rate ten times as large, as is usual for adapters.
pub fn adapter_settings(seed: u32) -> RunConfig {
    let mut config = settings(seed);
    config.tuning = Tuning::Lora;
    config.lora = LoraConfig { r: 16, lora_alpha: 32.0, ..LoraConfig::default() };
    for training in [&mut config.sft, &mut config.train] {
        training.learning_rate = Some(1e-3);
    }
    config
}
