//! A small transformer learns a task halfway, then one round of CREAM: it answers, ranks its answers by its own implicit reward,
//! checks that ranking against its former self's, and trains on the pairs.
//!
//! ```sh
//! cargo run --release --example round                    # on the CPU
//! cargo run --release --example round --features wgpu    # on a GPU
//! ```
//!
//! The task: to say a letter three times. Letters are numbers from 2; 0 is padding, 1 ends.

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData, s};
use burn_core as burn;
use burn_nn::attention::generate_autoregressive_mask;
use burn_nn::transformer::{TransformerEncoder, TransformerEncoderConfig, TransformerEncoderInput};
use burn_nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn_optim::{AdamWConfig, GradientsParams};
use cream_burn::{CreamLossConfig, PairLogps, completion_logps};
use cream_core::consistency::{Kind, Map};

const LETTERS: usize = 24;
const VOCABULARY: usize = LETTERS + 2;
/// A letter, and three of an answer.
const LENGTH: usize = 4;
const ANSWERS: usize = 5;
const BETA: f64 = 0.1;

#[derive(Module, Debug)]
struct Model {
    tokens: Embedding,
    positions: Embedding,
    encoder: TransformerEncoder,
    head: Linear,
}

impl Model {
    fn new(device: &Device) -> Self {
        Model {
            tokens: EmbeddingConfig::new(VOCABULARY, 64).init(device),
            positions: EmbeddingConfig::new(LENGTH, 64).init(device),
            encoder: TransformerEncoderConfig::new(64, 128, 4, 2).with_dropout(0.0).with_norm_first(true).init(device),
            head: LinearConfig::new(64, VOCABULARY).init(device),
        }
    }

    /// Logits `[B, T, V]` of tokens `[B, T]`.
    fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let ([batch, length], device) = (tokens.dims(), tokens.device());
        let positions = Tensor::<1, Int>::arange(0..length as i64, &device).unsqueeze::<2>();
        let inputs = self.tokens.forward(tokens) + self.positions.forward(positions);
        let mask = generate_autoregressive_mask(batch, length, &device);
        self.head.forward(self.encoder.forward(TransformerEncoderInput::new(inputs).mask_attn(mask)))
    }

    /// Log-prob of the answer in each sequence `[B]`.
    fn logps(&self, sequences: &[[i32; LENGTH]], device: &Device) -> Tensor<1> {
        let tokens = tensor(sequences, device);
        let mask = Tensor::<2, Bool>::from_data([[false, true, true, true]], device).repeat_dim(0, sequences.len());
        completion_logps(self.forward(tokens.clone()), tokens, mask)
    }

    /// An answer to each letter, drawn token by token.
    fn answer(&self, letters: &[i32], device: &Device, random: &mut Random) -> Vec<[i32; LENGTH]> {
        let mut sequences: Vec<[i32; LENGTH]> = letters.iter().map(|&letter| [letter, 0, 0, 0]).collect();
        for t in 1..LENGTH {
            let logits = self.forward(tensor(&sequences, device)).slice(s![.., t - 1..t, ..]);
            let probabilities = numbers(softmax(logits, 2).flatten(0, 2));
            for (sequence, row) in sequences.iter_mut().zip(probabilities.chunks(VOCABULARY)) {
                let mut left = random.next();
                let drawn = row.iter().position(|p| {
                    left -= p;
                    left <= 0.0
                });
                sequence[t] = drawn.unwrap_or(VOCABULARY - 1) as i32;
            }
        }
        sequences
    }
}

fn tensor(sequences: &[[i32; LENGTH]], device: &Device) -> Tensor<2, Int> {
    let flat = Tensor::<1, Int>::from_data(TensorData::from(sequences.as_flattened()), device);
    flat.reshape([sequences.len(), LENGTH])
}

fn numbers(tensor: Tensor<1>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().try_to_vec().expect("they were converted")
}

/// SplitMix64, so that a run can be repeated.
struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ x >> 31) >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn accuracy(model: &Model, letters: &[i32], device: &Device, random: &mut Random) -> f64 {
    let answers = model.answer(letters, device, random);
    answers.iter().filter(|[letter, said @ ..]| said == &[*letter; 3]).count() as f64 / answers.len() as f64
}

fn main() {
    #[cfg(feature = "wgpu")]
    let plain = Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
    #[cfg(not(feature = "wgpu"))]
    let plain = Device::flex();
    plain.seed(7);
    let (device, mut random) = (plain.clone().autodiff(), Random(7));
    let letters: Vec<i32> = (2..VOCABULARY as i32).cycle().take(8 * LETTERS).collect();

    // M0 learns from answers of which a third are wrong, M1 from a few right ones.
    let mut model = Model::new(&device);
    let mut optimiser = AdamWConfig::new().init();
    let mut initial = model.valid();
    for step in 0..160 {
        let sequences: Vec<[i32; LENGTH]> = letters
            .iter()
            .map(|&letter| {
                let wrong = step < 120 && random.next() < 0.33;
                let last = if wrong { 2 + (random.next() * LETTERS as f64) as i32 } else { letter };
                [letter, letter, letter, last]
            })
            .collect();
        let loss = -model.logps(&sequences, &device).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimiser.step(if step < 120 { 2e-3 } else { 3e-4 }, model, gradients);
        if step == 119 {
            initial = model.valid();
        }
    }
    println!("M0 says it right {:.3}", accuracy(&initial, &letters, &plain, &mut random));
    println!("M1 says it right {:.3}", accuracy(&model.valid(), &letters, &plain, &mut random));

    // Answers of M1, ranked by its implicit reward and by M0's mean log-prob per token.
    let current = model.valid();
    let asked: Vec<i32> = letters.iter().flat_map(|&letter| [letter; ANSWERS]).collect();
    let answers = current.answer(&asked, &plain, &mut random);
    let [now, base] = [&current, &initial].map(|model| numbers(model.logps(&answers, &plain)));
    let (mut pairs, mut consistencies, mut scratch) = (Vec::new(), Vec::new(), [0; 4 * ANSWERS]);
    for first in (0..answers.len()).step_by(ANSWERS) {
        let rewards: Vec<f64> = (first..first + ANSWERS).map(|i| BETA * (now[i] - base[i])).collect();
        let before: Vec<f64> = (first..first + ANSWERS).map(|i| base[i] / 3.0).collect();
        let Ok(Some(pair)) = cream_core::choose_pair(&rewards, 0.0) else { continue };
        let Ok(Some(tau)) = Kind::Kendall.agreement(&rewards, &before, &mut scratch) else { continue };
        let Ok(Some(consistency)) = Map::Linear.apply(tau) else { continue };
        pairs.push([first + pair.chosen, first + pair.rejected]);
        consistencies.push(consistency);
    }
    let consistency = consistencies.iter().sum::<f64>() / consistencies.len() as f64;
    println!("{} pairs, consistency {consistency:.3}", pairs.len());

    let column = |side: usize| pairs.iter().map(|pair| answers[pair[side]]).collect::<Vec<_>>();
    let (chosen, rejected) = (column(0), column(1));
    let reference = || PairLogps { chosen: current.logps(&chosen, &plain), rejected: current.logps(&rejected, &plain) };
    let on = |logps: PairLogps| PairLogps {
        chosen: Tensor::from_data(logps.chosen.into_data(), &device),
        rejected: Tensor::from_data(logps.rejected.into_data(), &device),
    };
    let loss = CreamLossConfig::new().with_beta(BETA).init();
    let mut optimiser = AdamWConfig::new().init();
    for step in 0..20 {
        let policy = PairLogps { chosen: model.logps(&chosen, &device), rejected: model.logps(&rejected, &device) };
        let weights = Tensor::<1>::ones([pairs.len()], &device) * consistency;
        let loss = loss.forward(policy, on(reference()), weights);
        if step % 5 == 0 {
            println!("step {step}: loss {:.4}", loss.clone().into_scalar::<f32>());
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimiser.step(1e-4, model, gradients);
    }
    println!("M2 says it right {:.3}", accuracy(&model.valid(), &letters, &plain, &mut random));
}
