//! Arrays of several bindings against the CPU, where the property tests' own shapes are too small or too wide to split.

use std::collections::BTreeMap;

use cream_core::Sampling;
use pollster::block_on;

use super::attention::{Inputs, backward, forward};
use super::{Outputs, assert_twins};
use crate::generate::ended;
use crate::gpu::testing::Limited;
use crate::tests::models::{checkpoint, config, groups};
use crate::tests::random::{Random, rounds};
use crate::tests::{read, unwritten};
use crate::{
    Backend, Batch, Checkpoint, Cpu, Dtype, Error, GenerateOptions, Generated, Group, Heads, Llama, LlamaConfig,
    Matrix, Request, Segment,
};

static SMALL: Limited = Limited::new(64 << 10);

/// Prompts with their completions, more of them than one binding holds.
#[test]
fn attention_of_a_long_batch() {
    let Some(gpu) = SMALL.get() else { return };
    for mut random in rounds() {
        let mut all = Vec::new();
        while all.iter().map(Group::rows).sum::<usize>() < 1200 {
            all.extend(groups(&mut random, 2));
        }
        let batch = Batch::new(&all, 2).unwrap();
        let inputs = Inputs::new(&mut random, batch.segments.clone(), batch.rows(), (2, 1, 20));
        assert_twins!(&gpu, forward(&inputs), "forward");
        assert_twins!(&gpu, backward(&inputs), "backward");
    }
}

/// Slots of a cache of several bindings, as many as one binding of what is joined holds and more; prompts lie far from
/// what follows them, and both may lie across the end of a binding.
#[test]
fn attention_over_a_large_cache() {
    let Some(gpu) = SMALL.get() else { return };
    for mut random in rounds() {
        // 512 rows a binding: prompts in the first two, own rows in the other six.
        let segment = |query_start: u32, random: &mut Random| Segment {
            query_start,
            query_len: 1,
            prefix_start: random.pick(&[0, 400, 500, 511, 512]),
            prefix_len: random.pick(&[0, 1, 99, 511]),
            own_start: random.pick(&[1024, 1400, 1535, 1536, 2000, 3599]),
            own_past: random.pick(&[0, 1, 300, 495]),
        };
        let segments = (0..70).map(|query| segment(query, &mut random)).collect();
        let inputs = Inputs::new(&mut random, segments, 4095, (4, 2, 16));
        assert_twins!(&gpu, forward(&inputs), "decode");
    }
}

/// Tokens with a cache of several bindings are the CPU's.
#[test]
fn generation_with_a_large_cache() {
    let Some(gpu) = SMALL.get() else { return };
    for mut random in rounds().take(2) {
        let config = LlamaConfig { max_position_embeddings: 1024, ..config() };
        let checkpoint = checkpoint(&mut random, &config, Dtype::F32);
        let request = |i: usize, random: &mut Random| Request {
            id: i.to_string(),
            prompt: {
                let len = random.pick(&[1, 2, 150]);
                random.ids(len, config.vocab_size)
            },
            completions: 3,
        };
        let requests: Vec<Request> = (0..4).map(|i| request(i, &mut random)).collect();
        let sampling = Sampling { temperature: 1.0, top_k: 20, ..Sampling::default() };
        let options = GenerateOptions { max_new_tokens: 60, sampling, seed: 3, stop_tokens: vec![], slots: 8 };
        let rows = 4 * requests.iter().map(|request| request.prompt.len()).max().unwrap() + 8 * 60;
        let bytes = 4 * rows * config.num_key_value_heads * config.head_dim;
        assert!(bytes > 64 << 10, "{bytes} bytes are one binding");
        let expected = generated(&Cpu::new(), &checkpoint, &requests, &options);
        for (name, tokens) in generated(&gpu, &checkpoint, &requests, &options) {
            assert_eq!(tokens, expected[&name], "request and completion {name:?}");
        }
    }
}

fn generated<B: Backend>(
    backend: &B,
    checkpoint: &Checkpoint<'_>,
    requests: &[Request],
    options: &GenerateOptions,
) -> BTreeMap<(usize, usize), Vec<u32>> {
    let model = Llama::new(backend.clone(), checkpoint, false).unwrap();
    let mut made = BTreeMap::new();
    let finished = |one: Generated| -> crate::Result<()> {
        made.insert((one.request, one.completion), one.tokens);
        Ok(())
    };
    block_on(model.generate(None, requests, options, ended(finished))).unwrap();
    made
}

fn looked_up<B: Backend>(backend: &B, table: &[f32], width: usize, ids: &[u32]) -> Outputs {
    let rows = table.len() / width;
    let mut out = unwritten(backend, ids.len() * width);
    backend.embed(&Matrix::dense(backend.upload(table), rows, width), &backend.indices(ids), &mut out);
    vec![("out", read(backend, &out))]
}

fn stored<B: Backend>(backend: &B, x: &[f32], rows: &[u32], before: &[f32]) -> Outputs {
    let mut out = backend.upload(before);
    backend.store_rows(&backend.upload(x), &backend.indices(rows), &mut out);
    vec![("out", read(backend, &out))]
}

fn rotated<B: Backend>(backend: &B, x: &[f32], positions: &[u32], frequencies: &[f32]) -> Outputs {
    let mut out = backend.upload(x);
    backend.rope(&mut out, &backend.indices(positions), &backend.upload(frequencies), false);
    vec![("out", read(backend, &out))]
}

#[test]
fn rows_of_large_arrays() {
    let Some(gpu) = SMALL.get() else { return };
    for mut random in rounds() {
        let (rows, width) = (2000, random.pick(&[30, 64]));
        let (table, ids, x) =
            (random.normals(rows * width, 1.0), random.ids(700, rows), random.normals(700 * width, 1.0));
        let distinct: Vec<u32> = (0..700).map(|i| (i * 1237 % rows) as u32).collect();
        assert_twins!(&gpu, looked_up(&table, width, &ids), &format!("embed, rows of {width}"));
        assert_twins!(&gpu, stored(&x, &distinct, &table), &format!("store, rows of {width}"));
        let frequencies: Vec<f32> = (0..width / 2).map(|e| 1.0 / (1 + e) as f32).collect();
        assert_twins!(&gpu, rotated(&x, &ids, &frequencies), &format!("rope, rows of {width}"));
    }
}

fn embed_backward<B: Backend>(backend: &B, d_out: &[f32], ids: &[u32], before: &[f32]) -> Outputs {
    let mut d_table = backend.upload(before);
    backend.embed_backward(&backend.upload(d_out), &backend.indices(ids), &mut d_table);
    vec![("d_table", read(backend, &d_table))]
}

#[test]
fn gradient_of_a_large_table() {
    let Some(gpu) = SMALL.get() else { return };
    for mut random in rounds() {
        let (rows, width) = (2000, random.pick(&[30, 64]));
        let (ids, d_out) = (random.ids(700, rows), random.normals(700 * width, 1.0));
        let before = random.normals(rows * width, 1.0);
        assert_twins!(&gpu, embed_backward(&d_out, &ids, &before), &format!("rows of {width}"));
    }
}

fn backward_weight<B: Backend>(backend: &B, d_out: &[f32], x: &[f32], width: usize, before: &[f32]) -> Outputs {
    let mut d_weight = backend.upload(before);
    backend.matmul_backward_weight(&backend.upload(d_out), &backend.upload(x), width, 0.5, &mut d_weight);
    vec![("d_weight", read(backend, &d_weight))]
}

#[test]
fn gradient_of_a_large_weight() {
    let Some(gpu) = SMALL.get() else { return };
    for mut random in rounds() {
        let (rows, width, d_in) = (random.pick(&[5, 300]), random.pick(&[64, 250]), random.pick(&[63, 250]));
        let [d_out, x] = [width, d_in].map(|width| random.normals(rows * width, 1.0));
        let before = random.normals(width * d_in, 1.0);
        let what = format!("{rows} rows, [{width}, {d_in}]");
        assert_twins!(&gpu, backward_weight(&d_out, &x, width, &before), &what);
    }
}

/// A tile of two queries that see keys of more than a binding.
#[test]
fn what_cannot_be_split_says_how_large_it_is() {
    // Of its own, since it fails.
    let Some(gpu) = Limited::new(64 << 10).get() else { return };
    let heads = Heads { query: 1, key_value: 1, dim: 64 };
    let segments = [Segment { query_len: 2, own_past: 298, ..Segment::default() }];
    let [q, k, v] = [2, 300, 300].map(|rows| gpu.zeros(64 * rows));
    let (mut out, mut lse) = (gpu.zeros(128), gpu.zeros(2));
    gpu.attention(&q, &k, &v, &gpu.plan(&segments), heads, &mut out, &mut lse);
    let Err(Error::Device { problem, .. }) = block_on(gpu.read(&out)) else { panic!("an error of the device") };
    assert!(problem.contains("76800 bytes") && problem.contains("65536"), "{problem}");
}
