//! Steps queued ahead of a read, as backends do whose reads are dear, against a read at every step.

use pollster::block_on;

use super::*;
use crate::Cpu;
use crate::tests::models;
use crate::tests::random::rounds;

/// [`Llama::generate`] with another number of steps between reads.
fn generate(
    model: &Llama<Cpu>,
    requests: &[Request],
    options: &GenerateOptions,
    steps_per_read: usize,
) -> Vec<Generated> {
    let mut generation = Generation::new(model, None, requests, options);
    let own_rows = options.max_new_tokens + steps_per_read;
    let rows = generation.regions.len() * generation.region_rows + generation.slots.len() * own_rows;
    let len = rows * model.config().num_key_value_heads * model.config().head_dim;
    let backend = model.backend();
    let block = |_| BlockCache { keys: backend.zeros(len), values: backend.zeros(len) };
    generation.cache = (0..model.config().num_hidden_layers).map(block).collect();
    generation.steps_per_read = steps_per_read;
    let mut made = Vec::new();
    let mut finished = ended(|generated| {
        made.push(generated);
        Ok(())
    });
    loop {
        block_on(generation.refill(&mut finished)).unwrap();
        if generation.slots.iter().all(Option::is_none) {
            drop(finished);
            made.sort_by_key(|generated| (generated.request, generated.completion));
            return made;
        }
        block_on(generation.decode(&mut finished)).unwrap();
    }
}

#[test]
fn steps_between_reads_change_nothing() {
    for mut random in rounds() {
        let model = models::model(&Cpu::new(), &mut random, &models::config(), false);
        let request = |i: usize| Request { id: i.to_string(), prompt: random.ids(1 + 9 * i, 320), completions: i };
        let requests: Vec<Request> = (0..5).map(request).collect();
        let sampling = Sampling { temperature: 1.0, ..Sampling::default() };
        let mut options = GenerateOptions { max_new_tokens: 11, sampling, seed: 3, stop_tokens: vec![], slots: 3 };
        let whole = generate(&model, &requests, &options, 1);
        assert_eq!(whole.len(), 10);
        options.stop_tokens = vec![whole[0].tokens[0], whole[1].tokens[4], whole[2].tokens[7]];
        let expected = generate(&model, &requests, &options, 1);
        assert_ne!(whole, expected);
        for steps_per_read in [2, 4, 16] {
            assert_eq!(generate(&model, &requests, &options, steps_per_read), expected, "{steps_per_read} steps");
        }
    }
}
