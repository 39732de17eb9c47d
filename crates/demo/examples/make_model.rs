//! Makes the model that `cream demo` starts from, from nothing: random weights, then one pass over tasks of which some
//! are answered with a mistake.
//!
//!     cargo run --release -p cream-demo --example make_model -- OUTPUT
//!
//! A run that was cut short is taken up by the same command.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use cream::core::Sampling;
use cream::core::philox::{Stream, normals, prompt_hash};
use cream::engine::{Checkpoint, Cpu, Drawn, Dtype, GenerateOptions, Llama, LlamaConfig, Message, Request, Text, hf};
use cream::{Directory, Encoder, Output, Progress, SftRow, TrainOptions, Trainee, Turns, Update, save_model, sft};
use cream_demo::{Family, Split, Task, VOCAB_SIZE, tasks, text_files};
use pollster::block_on;

/// Rows learnt from.
const ROWS: usize = 240_000;
/// Share of the rows that have the mistake in place of the answer.
const MISTAKES: f32 = 0.45;
const SEED: u64 = 0;

fn config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: VOCAB_SIZE,
        hidden_size: 128,
        intermediate_size: 384,
        num_hidden_layers: 6,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 32,
        max_position_embeddings: 256,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        tie_word_embeddings: true,
    }
}

fn rows() -> Vec<SftRow> {
    let wrong = |i: usize| Stream::at(SEED, prompt_hash(b"mistakes"), i as u32, 0).uniform() < MISTAKES;
    let row = |(i, task): (usize, Task)| SftRow {
        prompt: Turns::Text(task.question),
        completion: if wrong(i) { task.mistake } else { task.answer },
    };
    tasks(Split::Pretraining, SEED, ROWS).into_iter().enumerate().map(row).collect()
}

/// Normal deviates, smaller where a block adds to what goes past it.
fn weights() -> Result<Vec<u8>> {
    let config = config();
    let depth = (2.0 * config.num_hidden_layers as f32).sqrt();
    let checkpoint = Checkpoint::from_fn(config, Dtype::F32, |name, values| {
        if name.contains("norm") {
            return values.fill(1.0);
        }
        let adds = name.contains("o_proj") || name.contains("down_proj");
        let scale = if adds { 0.06 / depth } else { 0.06 };
        for (i, four) in values.chunks_mut(4).enumerate() {
            let deviates = normals(Stream::at(SEED, prompt_hash(name.as_bytes()), 0, i as u32).random());
            four.iter_mut().zip(deviates).for_each(|(value, deviate)| *value = scale * deviate);
        }
    })?;
    Ok(checkpoint.to_safetensors(Dtype::F32)?)
}

/// Says every so often how far it is.
struct Lines(Instant);

impl Progress for Lines {
    fn update(&mut self, update: &Update<'_>) -> cream::Result<()> {
        if self.0.elapsed().as_secs() >= 20 {
            self.0 = Instant::now();
            let loss = update.metrics.map_or(f64::NAN, |metrics| metrics.loss);
            eprintln!("step {} of {}, loss {loss:.4}", update.done, update.total);
        }
        Ok(())
    }

    fn log(&mut self, line: &str) {
        eprintln!("{line}");
    }

    fn detail(&mut self, _: &str) {}
}

fn main() -> Result<()> {
    let output = std::env::args().nth(1).context("expected the folder to make the model in")?;
    rayon::scope(|_| block_on(make(&output)))
}

async fn make(output: &str) -> Result<()> {
    let mut files: hf::Files = text_files().into_iter().map(|(name, bytes)| (name.to_owned(), bytes)).collect();
    files.insert("config.json".into(), hf::config_json(&config(), Dtype::F32, None).into_bytes());
    files.insert("model.safetensors".into(), weights()?);
    let (checkpoint, text) = hf::load(&files)?;
    let text = text.context("no tokenizer")?;
    let mut model = Llama::new(Cpu::new(), &checkpoint, true)?;
    let context = model.config().max_position_embeddings;
    let encoder = Encoder { text: &text, raw: false, max_prompt_tokens: Encoder::MAX_PROMPT_TOKENS, context };
    let options = TrainOptions {
        epochs: Some(1),
        learning_rate: Some(2e-3),
        warmup_ratio: 0.02,
        batch_size: 64,
        batch_tokens: 4096,
        save_steps: 200,
        ..TrainOptions::default()
    };
    let fingerprint = cream::fingerprint(files.values().map(Vec::as_slice));
    let mut store = Directory::lock(Path::new(output))?;
    let trainee =
        Trainee { model: &mut model, adapter: None, encoder, fingerprint: &fingerprint, base_model: "cream-demo" };
    let training = Output { store: &mut store, name: "training" };
    sft(trainee, &rows(), &options, SEED, training, &mut Lines(Instant::now())).await?;
    save_model(&model, None, &text, Dtype::F16, Output { store: &mut store, name: "" }).await?;
    report(&model, &text).await
}

/// How many of each family's questions are answered rightly, the likeliest token taken at each step.
async fn report(model: &Llama<Cpu>, text: &Text) -> Result<()> {
    let tasks = tasks(Split::Validation, SEED, 1200);
    let request = |task: &Task| -> Result<Request> {
        let turn = Message { role: "user".into(), content: task.question.clone() };
        Ok(Request { id: task.id.clone(), prompt: text.prompt(&[turn])?, completions: 1 })
    };
    let requests = tasks.iter().map(request).collect::<Result<Vec<_>>>()?;
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    let options = GenerateOptions {
        max_new_tokens: 12,
        sampling,
        seed: SEED,
        stop_tokens: text.stop_tokens().to_vec(),
        slots: 64,
    };
    let mut right = [0; Family::ALL.len()];
    let mut answers = Vec::new();
    let told = |drawn: Drawn<'_>| -> cream::engine::Result<()> {
        answers.extend(drawn.ended());
        Ok(())
    };
    model.generate(None, &requests, &options, told).await?;
    for answer in answers {
        let matches = text.said(&answer.tokens, answer.finish)? == tasks[answer.request].answer;
        right[answer.request % Family::ALL.len()] += usize::from(matches);
    }
    for (family, right) in Family::ALL.iter().zip(right) {
        println!("{:10} {:5.1} %", family.name(), 100.0 * right as f64 / (tasks.len() / Family::ALL.len()) as f64);
    }
    Ok(())
}
