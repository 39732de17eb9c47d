use super::{Outputs, assert_twins, gpu};
use crate::gpu::Gpu;
use crate::gpu::forms::ENOUGH;
use crate::gpu::testing::cooperative_gpu;
use crate::tests::models::groups;
use crate::tests::random::{Random, rounds};
use crate::tests::{assert_close, read, unwritten, widened};
use crate::tolerances::COOPERATIVE;
use crate::{Backend, Batch, Cpu, Group, Heads, Segment};

/// (H, K, E): one head each way, grouped, of widths that four does not divide, and too wide for whole tiles.
const HEADS: [(usize, usize, usize); 8] =
    [(1, 1, 1), (2, 2, 16), (6, 2, 10), (3, 1, 64), (9, 3, 64), (2, 1, 90), (3, 1, 128), (1, 1, 67)];

pub(super) struct Inputs {
    segments: Vec<Segment>,
    heads: Heads,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    d_out: Vec<f32>,
}

impl Inputs {
    pub(super) fn new(
        random: &mut Random,
        segments: Vec<Segment>,
        key_rows: usize,
        (query, key_value, dim): (usize, usize, usize),
    ) -> Self {
        let rows: usize = segments.iter().map(|segment| segment.query_len as usize).sum();
        let [q, d_out] = [(); 2].map(|()| random.normals(rows * query * dim, 1.0));
        let [k, v] = [(); 2].map(|()| random.normals(key_rows * key_value * dim, 1.0));
        Inputs { segments, heads: Heads { query, key_value, dim }, q, k, v, d_out }
    }

    fn what(&self) -> String {
        format!("{:?}, {:?}", self.heads, self.segments)
    }
}

pub(super) fn forward<B: Backend>(backend: &B, inputs: &Inputs) -> Outputs {
    let Inputs { segments, heads, q, k, v, .. } = inputs;
    let (mut out, mut lse) = (unwritten(backend, q.len()), unwritten(backend, q.len() / heads.dim));
    let [q, k, v] = [q, k, v].map(|values| backend.upload(values));
    backend.attention(&q, &k, &v, &backend.plan(segments), *heads, &mut out, &mut lse);
    vec![("out", read(backend, &out)), ("lse", read(backend, &lse))]
}

pub(super) fn backward<B: Backend>(backend: &B, inputs: &Inputs) -> Outputs {
    let Inputs { segments, heads, q, k, v, d_out } = inputs;
    let (mut out, mut lse) = (unwritten(backend, q.len()), unwritten(backend, q.len() / heads.dim));
    let [mut d_q, mut d_k, mut d_v] = [q, k, v].map(|like| unwritten(backend, like.len()));
    let [q, k, v, d_out] = [q, k, v, d_out].map(|values| backend.upload(values));
    let plan = backend.plan(segments);
    backend.attention(&q, &k, &v, &plan, *heads, &mut out, &mut lse);
    backend.attention_backward(&q, &k, &v, &out, &lse, &d_out, &plan, *heads, &mut d_q, &mut d_k, &mut d_v);
    [("d_q", d_q), ("d_k", d_k), ("d_v", d_v)].map(|(name, buffer)| (name, read(backend, &buffer))).into()
}

/// Segments whose keys lie anywhere among `key_rows` rows of a cache.
fn over_a_cache(random: &mut Random, key_rows: usize, query_lens: &[usize]) -> Vec<Segment> {
    let mut query_start = 0;
    let mut segment = |random: &mut Random| {
        let (query_len, own_past) = (random.pick(query_lens), random.pick(&[0, 1, 40]));
        let (prefix_start, prefix_len) = random.pick(&[(0, 0), (0, 1), (7, 17), (100, 64)]);
        let own_start = random.below(key_rows - query_len - own_past) as u32;
        let [query_len, own_past] = [query_len, own_past].map(|n| n as u32);
        query_start += query_len;
        Segment { query_start: query_start - query_len, query_len, prefix_start, prefix_len, own_start, own_past }
    };
    (0..1 + random.below(5)).map(|_| segment(random)).collect()
}

fn check_training(gpu: &Gpu, random: &mut Random, groups: &[Group], heads: (usize, usize, usize)) {
    let batch = Batch::new(groups, 2).unwrap();
    let inputs = Inputs::new(random, batch.segments.clone(), batch.rows(), heads);
    assert_twins!(gpu, forward(&inputs), &inputs.what());
    assert_twins!(gpu, backward(&inputs), &inputs.what());
}

#[test]
fn prompts_and_completions_like_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for (heads, mut random) in HEADS.into_iter().zip(rounds().chain(rounds())) {
        let groups = groups(&mut random, 2);
        check_training(&gpu, &mut random, &groups, heads);
    }
}

/// What a query does not see may have a score so far above its log-sum-exp that no f32 holds the weight.
#[test]
fn scores_far_apart_like_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for mut random in rounds() {
        let group = Group { prompt: vec![0; 40], completions: vec![vec![0; 70], vec![0; 33]] };
        let batch = Batch::new(&[group], 2).unwrap();
        let mut inputs = Inputs::new(&mut random, batch.segments.clone(), batch.rows(), (2, 1, 16));
        inputs.q.iter_mut().for_each(|q| *q *= 30.0);
        assert_twins!(&gpu, forward(&inputs), &inputs.what());
        assert_twins!(&gpu, backward(&inputs), &inputs.what());
    }
}

/// A query that sees one key has no gradient but rounding, so that another completion's second row is there to compare.
#[test]
fn one_token_like_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for mut random in rounds() {
        let group = Group { prompt: vec![0], completions: vec![vec![0], vec![0, 0]] };
        check_training(&gpu, &mut random, &[group], (3, 1, 16));
        let inputs = Inputs::new(&mut random, vec![Segment { query_len: 1, ..Segment::default() }], 1, (3, 1, 16));
        assert_twins!(&gpu, forward(&inputs), &inputs.what());
    }
}

#[test]
fn prompts_in_a_cache_like_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for (heads, mut random) in HEADS.into_iter().zip(rounds().chain(rounds())) {
        let segments = over_a_cache(&mut random, 300, &[1, 2, 16, 31, 33, 70]);
        let inputs = Inputs::new(&mut random, segments, 300, heads);
        assert_twins!(&gpu, forward(&inputs), &inputs.what());
    }
}

/// Queries, keys, values and weights rounded to f16; heads too wide for that stay in f32.
#[test]
fn cooperative_forward_like_the_cpu() {
    let Some(gpu) = cooperative_gpu(ENOUGH) else { return };
    let check = |inputs: &Inputs| {
        for ((name, got), (_, expected)) in forward(&gpu, inputs).iter().zip(forward(&Cpu::new(), inputs)) {
            assert_close(got, &widened(&expected), COOPERATIVE, &format!("{name}, {}", inputs.what()));
        }
    };
    for (heads, mut random) in HEADS.into_iter().zip(rounds().chain(rounds())) {
        let batch = Batch::new(&groups(&mut random, 2), 2).unwrap();
        check(&Inputs::new(&mut random, batch.segments.clone(), batch.rows(), heads));
        let segments = over_a_cache(&mut random, 300, &[1, 2, 16, 31, 33, 70]);
        check(&Inputs::new(&mut random, segments, 300, heads));
    }
}

/// One query a slot, and contexts of more than a chunk.
#[test]
fn decoding_like_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for (heads, mut random) in HEADS.into_iter().zip(rounds().chain(rounds())) {
        let mut segments = over_a_cache(&mut random, 1500, &[1]);
        let query_start = segments.len() as u32;
        segments.push(Segment {
            query_start,
            query_len: 1,
            prefix_start: 20,
            prefix_len: 700,
            own_start: 800,
            own_past: 600,
        });
        let inputs = Inputs::new(&mut random, segments, 1500, heads);
        assert_twins!(&gpu, forward(&inputs), &inputs.what());
    }
}
