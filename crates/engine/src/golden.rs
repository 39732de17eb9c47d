//! The model against torch autograd in float64: `tests/golden/{tied,untied}`, made by `tests/golden/make_golden.py` and
//! `make_full.py`.

use std::collections::BTreeMap;

use cream_core::{Loss, PairLogps};
use pollster::block_on;
use safetensors::SafeTensors;
use serde::Deserialize;

use crate::generate::ended;
use crate::tests::{golden_file, read};
use crate::tolerances::{GOLDEN, GOLDEN_GRADIENT};
use crate::*;

/// One test a backend and check.
macro_rules! on_each_backend {
    ($($check:ident),+ $(,)?) => {
        mod cpu {
            $(
                #[test]
                fn $check() {
                    super::$check(&super::Subject::cpu());
                }
            )+
        }

        #[cfg(feature = "gpu")]
        mod gpu {
            $(
                #[test]
                fn $check() {
                    let Some(subject) = super::Subject::gpu() else { return };
                    super::$check(&subject);
                }
            )+
        }

        /// With products on cooperative matrices, or on what imitates them.
        #[cfg(feature = "gpu")]
        mod cooperative_gpu {
            $(
                #[test]
                fn $check() {
                    let Some(subject) = super::Subject::cooperative_gpu() else { return };
                    super::$check(&subject);
                }
            )+
        }
    };
}

on_each_backend!(
    token_logps_and_logits,
    loss_and_weight_gradients,
    lora_gradients_and_ten_steps_of_adamw,
    ten_steps_of_adamw_on_all_weights,
    greedy_tokens
);

/// A backend, and how near its numbers must come.
struct Subject<B> {
    backend: B,
    values: f64,
    gradients: f64,
}

impl Subject<Cpu> {
    fn cpu() -> Self {
        Subject { backend: Cpu::new(), values: GOLDEN, gradients: GOLDEN_GRADIENT }
    }
}

#[cfg(feature = "gpu")]
impl Subject<crate::gpu::Gpu> {
    fn gpu() -> Option<Self> {
        use crate::tolerances::{GOLDEN_GPU, GOLDEN_GPU_GRADIENT};
        crate::gpu::testing::gpu().map(|backend| Subject {
            backend,
            values: GOLDEN_GPU,
            gradients: GOLDEN_GPU_GRADIENT,
        })
    }

    fn cooperative_gpu() -> Option<Self> {
        use crate::tolerances::{COOPERATIVE_GRADIENT, COOPERATIVE_LOGPS};
        crate::gpu::testing::cooperative_gpu(1).map(|backend| Subject {
            backend,
            values: COOPERATIVE_LOGPS,
            gradients: COOPERATIVE_GRADIENT,
        })
    }
}

#[derive(Deserialize)]
struct Golden {
    beta: f64,
    pairs: Vec<Pair>,
    sequences: Vec<Sequence>,
    dpo: Dpo,
    lora: LoraRun,
    greedy: Vec<Greedy>,
}

#[derive(Deserialize)]
struct Pair {
    prompt: Vec<u32>,
    chosen: Vec<u32>,
    rejected: Vec<u32>,
    consistency: f64,
}

#[derive(Deserialize)]
struct Sequence {
    prompt: Vec<u32>,
    completion: Vec<u32>,
    token_logps: Vec<f64>,
    reference_token_logps: Vec<f64>,
    last_logits: Vec<f64>,
}

#[derive(Deserialize)]
struct Dpo {
    loss: Vec<f64>,
    mean_loss: f64,
    margins: Vec<f64>,
    rewards_chosen: Vec<f64>,
    rewards_rejected: Vec<f64>,
    dloss_dmargin: Vec<f64>,
}

#[derive(Deserialize)]
struct LoraRun {
    r: usize,
    alpha: f32,
    adamw: Settings,
    curve: Vec<Point>,
}

#[derive(Deserialize)]
struct FullRun {
    adamw: Settings,
    curve: Vec<Point>,
    /// After the last step, the first numbers of each tensor.
    first_64: BTreeMap<String, Vec<f64>>,
}

#[derive(Deserialize)]
struct Settings {
    lr: f32,
    betas: [f32; 2],
    eps: f32,
    weight_decay: f32,
    max_grad_norm: f32,
}

impl Settings {
    fn options(&self) -> AdamW {
        let Settings { betas: [beta1, beta2], eps, weight_decay, max_grad_norm, .. } = *self;
        AdamW { beta1, beta2, eps, weight_decay, max_grad_norm }
    }
}

#[derive(Deserialize)]
struct Point {
    loss: f64,
    margins: Vec<f64>,
    grad_norm: f64,
}

#[derive(Deserialize)]
struct Greedy {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
}

const NAMES: [&str; 2] = ["tied", "untied"];

fn file(name: &str, file: &str) -> Vec<u8> {
    golden_file(&format!("{name}/{file}"))
}

fn golden(name: &str) -> Golden {
    serde_json::from_slice(&file(name, "golden.json")).unwrap()
}

impl<B: Backend> Subject<B> {
    fn model(&self, name: &str, weights: &str, trainable: bool) -> Llama<B> {
        let files = BTreeMap::from([
            ("config.json".to_string(), file(name, "config.json")),
            ("model.safetensors".to_string(), file(name, weights)),
        ]);
        Llama::new(self.backend.clone(), &hf::load(&files).unwrap().0, trainable).unwrap()
    }

    fn close(&self, got: f64, expected: f64, what: &str) {
        let error = (got - expected).abs() / expected.abs().max(1.0);
        assert!(error <= self.values, "{what}: {got}, expected {expected}, off by {error:e}");
    }

    fn all_close(&self, got: impl IntoIterator<Item = f64>, expected: &[f64], what: &str) {
        let got: Vec<f64> = got.into_iter().collect();
        assert_eq!(got.len(), expected.len(), "{what}");
        got.iter().zip(expected).for_each(|(&got, &expected)| self.close(got, expected, what));
    }

    fn gradient_close(&self, got: &B::Buffer, expected: &[u8], what: &str) {
        let got = read(&self.backend, got);
        let expected: Vec<f32> = bytemuck::allocation::pod_collect_to_vec(expected);
        let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let pairs = || got.iter().zip(&expected).map(|(&g, &e)| (f64::from(g), f64::from(e)));
        assert_eq!(got.len(), expected.len(), "{what}");
        let size = norm(&mut pairs().map(|(_, e)| e));
        let error = norm(&mut pairs().map(|(g, e)| g - e)) / size;
        assert!(size > 0.0 && error <= self.gradients, "{what}: off by {error:e}");
    }
}

fn groups(golden: &Golden) -> Vec<Group> {
    let group = |p: &Pair| Group { prompt: p.prompt.clone(), completions: vec![p.chosen.clone(), p.rejected.clone()] };
    golden.pairs.iter().map(group).collect()
}

/// CREAM's loss over the golden pairs from the log-probs of chosen and rejected in turn.
struct Losses {
    rows: Vec<cream_core::PairLoss>,
}

impl Losses {
    fn new(golden: &Golden, logps: &[f64]) -> Self {
        let references: Vec<f64> = golden.sequences.iter().map(|s| s.reference_token_logps.iter().sum()).collect();
        let rows = golden.pairs.iter().enumerate().map(|(i, pair)| {
            let logps = PairLogps {
                chosen: logps[2 * i],
                rejected: logps[2 * i + 1],
                reference_chosen: references[2 * i],
                reference_rejected: references[2 * i + 1],
            };
            Loss::Cream.evaluate(golden.beta, pair.consistency, &logps).unwrap()
        });
        Losses { rows: rows.collect() }
    }

    fn mean(&self) -> f64 {
        self.rows.iter().map(|row| row.loss).sum::<f64>() / self.rows.len() as f64
    }

    /// Of the mean with respect to each log-prob.
    fn gradient(&self) -> Vec<f64> {
        let n = self.rows.len() as f64;
        self.rows.iter().flat_map(|row| [row.d_chosen / n, row.d_rejected / n]).collect()
    }
}

fn token_logps_and_logits<B: Backend>(subject: &Subject<B>) {
    for name in NAMES {
        let golden = golden(name);
        for (weights, reference) in [("model.safetensors", false), ("reference.safetensors", true)] {
            let model = subject.model(name, weights, false);
            let batch = Batch::new(&groups(&golden), model.config().vocab_size).unwrap();
            let logps = block_on(model.token_logps(None, &batch)).unwrap();
            for (logps, sequence) in batch.split(&logps).zip(&golden.sequences) {
                let expected = if reference { &sequence.reference_token_logps } else { &sequence.token_logps };
                subject.all_close(logps.iter().map(|&l| f64::from(l)), expected, &format!("{name} {weights}"));
            }
        }
        let model = subject.model(name, "model.safetensors", false);
        for sequence in &golden.sequences {
            let tokens = [&sequence.prompt[..], &sequence.completion].concat();
            let logits = block_on(model.last_logits(&tokens)).unwrap();
            subject.all_close(logits.into_iter().map(f64::from), &sequence.last_logits, &format!("{name} logits"));
        }
    }
}

fn loss_and_weight_gradients<B: Backend>(subject: &Subject<B>) {
    for name in NAMES {
        let golden = golden(name);
        let mut model = subject.model(name, "model.safetensors", true);
        let batch = Batch::new(&groups(&golden), model.config().vocab_size).unwrap();
        for recompute in [false, true] {
            let mut trainer = Trainer::new(&model, None, AdamW::default(), recompute);
            let loss = |logps: &[f64]| -> Result<Vec<f64>> {
                let losses = Losses::new(&golden, logps);
                subject.all_close(losses.rows.iter().map(|r| r.loss), &golden.dpo.loss, "loss");
                subject.close(losses.mean(), golden.dpo.mean_loss, "mean loss");
                subject.all_close(losses.rows.iter().map(|r| r.margin), &golden.dpo.margins, "margins");
                subject.all_close(losses.rows.iter().map(|r| r.reward_chosen), &golden.dpo.rewards_chosen, "rewards");
                subject.all_close(
                    losses.rows.iter().map(|r| r.reward_rejected),
                    &golden.dpo.rewards_rejected,
                    "rewards",
                );
                let d_margin = losses.rows.iter().map(|r| r.d_chosen / golden.beta);
                subject.all_close(d_margin, &golden.dpo.dloss_dmargin, "dL/dz");
                Ok(losses.gradient())
            };
            block_on(trainer.accumulate(&model, None, &batch, loss)).unwrap();
            let expected = file(name, "grads.safetensors");
            let expected = SafeTensors::deserialize(&expected).unwrap();
            let gradients = trainer.gradients(Trained::new(&mut model, None));
            assert_eq!(gradients.len(), expected.len());
            for (tensor, gradient) in gradients {
                subject.gradient_close(gradient, expected.tensor(&tensor).unwrap().data(), &format!("{name} {tensor}"));
            }
        }
    }
}

fn lora_gradients_and_ten_steps_of_adamw<B: Backend>(subject: &Subject<B>) {
    for name in NAMES {
        let golden = golden(name);
        let mut model = subject.model(name, "model.safetensors", false);
        let batch = Batch::new(&groups(&golden), model.config().vocab_size).unwrap();
        let backend = model.backend().clone();
        let mut adapter = golden_adapter(name, &golden, &model);
        let Settings { lr, .. } = golden.lora.adamw;
        let mut trainer = Trainer::new(&model, Some(&adapter), golden.lora.adamw.options(), false);
        for (step, point) in golden.lora.curve.iter().enumerate() {
            let loss = |logps: &[f64]| -> Result<Vec<f64>> {
                let losses = Losses::new(&golden, logps);
                subject.close(losses.mean(), point.loss, &format!("{name} loss at step {step}"));
                subject.all_close(
                    losses.rows.iter().map(|r| r.margin),
                    &point.margins,
                    &format!("{name} margins at {step}"),
                );
                Ok(losses.gradient())
            };
            block_on(trainer.accumulate(&model, Some(&adapter), &batch, loss)).unwrap();
            if step == 0 {
                let expected = file(name, "lora_grads.safetensors");
                let expected = SafeTensors::deserialize(&expected).unwrap();
                let gradients = trainer.gradients(Trained::new(&mut model, Some(&mut adapter)));
                assert_eq!(gradients.len(), expected.len());
                for (tensor, gradient) in gradients {
                    let tensor = tensor.replace("base_model.model.", "").replace(".weight", "");
                    subject.gradient_close(
                        gradient,
                        expected.tensor(&tensor).unwrap().data(),
                        &format!("{name} {tensor}"),
                    );
                }
            }
            let norm = block_on(trainer.update(Trained::new(&mut model, Some(&mut adapter)), lr)).unwrap();
            subject.close(f64::from(norm), point.grad_norm, &format!("{name} gradient norm at step {step}"));
        }
        // What is written is what is read.
        let (config, weights) = block_on(adapter.to_peft(&backend, "base")).unwrap();
        let read = Adapter::from_peft(&backend, model.config(), config.as_bytes(), &weights).unwrap();
        assert_eq!(block_on(read.to_peft(&backend, "base")).unwrap(), (config, weights));
    }
}

/// Norms are not decayed, as in transformers.
fn ten_steps_of_adamw_on_all_weights<B: Backend>(subject: &Subject<B>) {
    for name in NAMES {
        let golden = golden(name);
        let full: FullRun = serde_json::from_slice(&file(name, "full.json")).unwrap();
        let mut model = subject.model(name, "model.safetensors", true);
        let batch = Batch::new(&groups(&golden), model.config().vocab_size).unwrap();
        let mut trainer = Trainer::new(&model, None, full.adamw.options(), false);
        for (step, point) in full.curve.iter().enumerate() {
            let loss = |logps: &[f64]| -> Result<Vec<f64>> {
                let losses = Losses::new(&golden, logps);
                subject.close(losses.mean(), point.loss, &format!("{name} loss at step {step}"));
                Ok(losses.gradient())
            };
            block_on(trainer.accumulate(&model, None, &batch, loss)).unwrap();
            let norm = block_on(trainer.update(Trained::new(&mut model, None), full.adamw.lr)).unwrap();
            subject.close(f64::from(norm), point.grad_norm, &format!("{name} gradient norm at step {step}"));
        }
        let tensors = block_on(model.tensors(None)).unwrap();
        assert_eq!(tensors.len(), full.first_64.len());
        for (tensor, _, values) in tensors.into_iter().filter(|(tensor, ..)| tensor.contains("norm")) {
            let values = values.into_iter().take(64).map(f64::from);
            subject.all_close(values, &full.first_64[&tensor], &format!("{name} {tensor}"));
        }
    }
}

/// The script's adapter, under PEFT's names.
fn golden_adapter<B: Backend>(name: &str, golden: &Golden, model: &Llama<B>) -> Adapter<B> {
    let bytes = file(name, "lora_init.safetensors");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let renamed = tensors.tensors().into_iter().map(|(name, view)| (format!("base_model.model.{name}.weight"), view));
    let weights = safetensors::serialize(renamed, None).unwrap();
    let config = serde_json::json!({
        "peft_type": "LORA", "r": golden.lora.r, "lora_alpha": golden.lora.alpha, "target_modules": Linear::ALL,
    });
    Adapter::from_peft(model.backend(), model.config(), config.to_string().as_bytes(), &weights).unwrap()
}

fn greedy_tokens<B: Backend>(subject: &Subject<B>) {
    for name in NAMES {
        let golden = golden(name);
        let model = subject.model(name, "reference.safetensors", false);
        let request =
            |(i, g): (usize, &Greedy)| Request { id: i.to_string(), prompt: g.prompt.clone(), completions: 1 };
        let requests: Vec<Request> = golden.greedy.iter().enumerate().map(request).collect();
        let options = GenerateOptions {
            max_new_tokens: golden.greedy[0].tokens.len(),
            sampling: cream_core::Sampling { temperature: 0.0, ..Default::default() },
            seed: 0,
            stop_tokens: vec![],
            slots: 3,
        };
        let mut made = vec![Vec::new(); requests.len()];
        let finished = |one: crate::Generated| -> crate::Result<()> {
            made[one.request] = one.tokens;
            Ok(())
        };
        block_on(model.generate(None, &requests, &options, ended(finished))).unwrap();
        for (made, golden) in made.iter().zip(&golden.greedy) {
            assert_eq!(made, &golden.tokens, "{name}");
        }
    }
}
