//! Models of odd shapes: what the CPU makes of them, a GPU makes too, or refuses when they are loaded.

use cream_core::Sampling;
use pollster::block_on;

use super::models::{checkpoint, config, gradients};
use super::random::Random;
use super::{assert_close, widened};
use crate::generate::ended;
use crate::gpu::testing::gpu;
use crate::tolerances::{GOLDEN_GPU, GOLDEN_GPU_GRADIENT};
use crate::*;

/// Widths of one number, that four does not divide, that are as large as kernels take, and ranks above them.
fn shapes() -> [(LlamaConfig, usize); 5] {
    let least = LlamaConfig {
        vocab_size: 1,
        hidden_size: 1,
        intermediate_size: 1,
        num_hidden_layers: 1,
        num_attention_heads: 1,
        num_key_value_heads: 1,
        head_dim: 2,
        ..config()
    };
    let odd = LlamaConfig {
        vocab_size: 7,
        hidden_size: 5,
        intermediate_size: 3,
        num_attention_heads: 3,
        num_key_value_heads: 1,
        head_dim: 6,
        tie_word_embeddings: false,
        ..config()
    };
    let wide = LlamaConfig { head_dim: 128, num_attention_heads: 2, num_key_value_heads: 1, ..config() };
    let between = LlamaConfig { head_dim: 126, vocab_size: 33, hidden_size: 31, ..config() };
    let many = LlamaConfig { num_attention_heads: 33, num_key_value_heads: 11, head_dim: 4, ..config() };
    [(least, 1), (odd, 9), (wide, 64), (between, 130), (many, 3)]
}

struct Numbers {
    logps: Vec<f32>,
    gradients: Vec<(String, Vec<f32>)>,
    greedy: Vec<Vec<u32>>,
}

fn numbers<B: Backend>(backend: &B, config: &LlamaConfig, rank: usize) -> Numbers {
    let random = &mut Random::seeded(5);
    let mut model = Llama::new(backend.clone(), &checkpoint(random, config, Dtype::F32), true).unwrap();
    let mut tokens = |len: usize| random.ids(len, config.vocab_size);
    let groups = [3, 40].map(|len| Group { prompt: tokens(len), completions: vec![tokens(1), tokens(7)] });
    let batch = Batch::new(&groups, config.vocab_size).unwrap();
    let lora = LoraConfig { r: rank, ..LoraConfig::default() };
    let mut adapter = Adapter::new(backend, config, lora, 1).unwrap();
    let logps = block_on(model.token_logps(Some(&adapter), &batch)).unwrap();
    let d = [1.0, -0.5, 0.3, -2.0];
    let mut all = gradients(&mut model, None, &[(batch.clone(), &d)], false);
    all.extend(gradients(&mut model, Some(&mut adapter), &[(batch, &d)], true));
    let options = GenerateOptions {
        max_new_tokens: 4,
        sampling: Sampling { temperature: 0.0, repetition_penalty: 1.1, ..Sampling::default() },
        seed: 0,
        stop_tokens: vec![],
        slots: 3,
    };
    let requests = [2, 37].map(|len| Request { id: len.to_string(), prompt: vec![0; len], completions: 2 });
    let mut greedy = vec![Vec::new(); 4];
    let finished = |made: Generated| -> Result<()> {
        greedy[2 * made.request + made.completion] = made.tokens;
        Ok(())
    };
    block_on(model.generate(Some(&adapter), &requests, &options, ended(finished))).unwrap();
    Numbers { logps, gradients: all, greedy }
}

#[test]
fn odd_shapes_like_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for (config, rank) in shapes() {
        let (got, expected) = (numbers(&gpu, &config, rank), numbers(&Cpu::new(), &config, rank));
        assert_close(&got.logps, &widened(&expected.logps), GOLDEN_GPU, &format!("log-probs, {config:?}"));
        for ((name, got), (_, expected)) in got.gradients.iter().zip(&expected.gradients) {
            let what = format!("gradient of {name}, rank {rank}, {config:?}");
            assert_close(got, &widened(expected), GOLDEN_GPU_GRADIENT, &what);
        }
        assert_eq!(got.greedy, expected.greedy, "{config:?}");
    }
}

/// One line that names the file, the key, its value, the most and the device.
#[test]
fn what_kernels_do_not_take_is_refused_when_loaded() {
    let Some(gpu) = gpu() else { return };
    let tiny = LlamaConfig { hidden_size: 2, intermediate_size: 2, num_hidden_layers: 1, ..config() };
    for (config, key, value, most) in [
        (LlamaConfig { head_dim: 130, ..tiny.clone() }, "head_dim", 130, 128),
        (LlamaConfig { head_dim: 256, ..tiny.clone() }, "head_dim", 256, 128),
        (LlamaConfig { vocab_size: 4_194_241, ..tiny.clone() }, "vocab_size", 4_194_241, 4_194_240),
        (LlamaConfig { intermediate_size: 4_194_241, ..tiny }, "intermediate_size", 4_194_241, 4_194_240),
    ] {
        let checkpoint = checkpoint(&mut Random::seeded(1), &config, Dtype::BF16);
        let message = Llama::new(gpu.clone(), &checkpoint, false).unwrap_err().to_string();
        let expected = format!("random weights: config {key}: {value}, expected at most {most} on {}", gpu.name());
        assert_eq!(message, expected);
        if key == "head_dim" {
            Llama::new(Cpu::new(), &checkpoint, false).unwrap();
        }
    }
}
