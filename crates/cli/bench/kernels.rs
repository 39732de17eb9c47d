//! Each kernel alone at the shapes of docs/kernels.md, beside what that page predicts.

use anyhow::{Context, Result};
use cream::core::Sampling;
use cream::engine::{Adapted, Backend, Heads, Matrix, Norm, Rope, Segment};
use pollster::block_on;

use super::{Bench, Row, Stage, matmul, smollm2_135m, stages};

/// Keys that a query sees in decoding.
const CONTEXT: usize = 192;
/// A batch of training: pairs, a prompt, one of its two completions.
const TRAINING: [usize; 3] = [8, 64, 192];
const EPS: f32 = 1e-5;

/// One kernel at one shape.
struct Case<'a> {
    name: &'static str,
    rows: usize,
    /// Microseconds of one H100; `None` where nobody has said.
    predicted: Option<f64>,
    /// The i-th time: what it reads beside activations is that of another layer each time, as in a model.
    run: Box<dyn FnMut(usize) + 'a>,
}

impl<B: Backend> Bench<B> {
    pub(super) fn kernels(&self) -> Result<()> {
        let (decoded, [sequences, len], training) = if self.args.quick {
            ([1, 3], [1, 40], [1, 16, 24])
        } else {
            ([1, 64], stages::score_shape(false), TRAINING)
        };
        for (i, rows) in decoded.into_iter().enumerate() {
            self.decoding(i, rows)?.into_iter().try_for_each(|case| self.measure(case))?;
        }
        self.scoring(sequences, len)?.into_iter().try_for_each(|case| self.measure(case))?;
        self.training(training)?.into_iter().try_for_each(|case| self.measure(case))
    }

    fn measure(&self, Case { name, rows, predicted, mut run }: Case<'_>) -> Result<()> {
        let mut seconds = |times: usize| -> Result<f64> {
            let start = std::time::Instant::now();
            let own = block_on(self.backend.device_seconds(|| (0..times).for_each(&mut run)))?;
            let waited = start.elapsed().as_secs_f64();
            Ok(own.unwrap_or(waited) / times as f64)
        };
        seconds(1)?;
        // A twentieth of a second, in one submission.
        let times = if self.args.quick { 2 } else { (0.05 / seconds(3)?.max(1e-7)).clamp(1.0, 1000.0) as usize };
        let fastest =
            (0..3).map(|_| seconds(times)).try_fold(f64::INFINITY, |best, s| Ok::<_, anyhow::Error>(best.min(s?)))?;
        // Predictions are for this shape alone.
        let predicted_us = predicted.filter(|_| !self.args.quick && self.config == smollm2_135m());
        let us = Some(fastest * 1e6);
        self.tell(Stage::Kernels, &Row { shape: Some(name), tokens: Some(rows), us, predicted_us, ..Row::default() })
    }

    /// Of one token of `rows` sequences; `column` is that of the predictions.
    fn decoding(&self, column: usize, rows: usize) -> Result<Vec<Case<'_>>> {
        let (backend, heads, vocab) = (&self.backend, self.heads(), self.config.vocab_size);
        let (width, kv_width) = (self.config.hidden_size, heads.key_value * heads.dim);
        let case = |name, predicted: [f64; 2], run| Case { name, rows, predicted: Some(predicted[column]), run };
        let mut cases = Vec::new();

        let x = || self.numbers(rows * width);
        let (weights, gain, h) = (self.layers(&["q_proj", "k_proj", "v_proj"])?, self.numbers(width), x());
        let (positions, frequencies) = (backend.indices(&vec![100; rows]), self.numbers(heads.dim / 2));
        let at = backend.indices(&(0..rows as u32).collect::<Vec<_>>());
        let [mut q, mut keys, mut values] = [width, kv_width, kv_width].map(|width| backend.buffer(rows * width));
        let project = move |i: usize| {
            let [of_q, of_k, of_v] = [0, 1, 2].map(|n| bare(&weights[i % weights.len()][n]));
            let rope = Rope { positions: &positions, frequencies: &frequencies };
            let linears = [&of_q, &of_k, &of_v];
            backend.project(
                &h,
                &Norm { weight: &gain, eps: EPS },
                linears,
                &rope,
                &at,
                &mut q,
                [&mut keys, &mut values],
            );
        };
        cases.push(case("norm + q k v + rope_to_cache", [10.0, 12.0], Box::new(project)));
        let (weights, gain, h) = (self.layers(&["gate_proj", "up_proj"])?, self.numbers(width), x());
        let mut out = backend.buffer(rows * self.config.intermediate_size);
        let gate = move |i: usize| {
            let [gate, up] = [0, 1].map(|n| bare(&weights[i % weights.len()][n]));
            backend.gated(&h, &Norm { weight: &gain, eps: EPS }, [&gate, &up], &mut out);
        };
        cases.push(case("norm + gate up + silu", [5.0, 19.0], Box::new(gate)));
        for (name, title, predicted) in
            [("o_proj", "o_proj + residual", [5.0, 5.0]), ("down_proj", "down_proj + residual", [5.0, 8.0])]
        {
            let weights = self.layers(&[name])?;
            let (from, mut to) = (self.numbers(rows * weights[0][0].cols()), x());
            let add = move |i: usize| backend.linear(&from, &bare(&weights[i % weights.len()][0]), true, &mut to);
            cases.push(case(title, predicted, Box::new(add)));
        }
        cases.push(case("head", [19.0, 250.0], self.product("head", rows)?));

        let segments: Vec<Segment> = (0..rows as u32)
            .map(|i| Segment {
                query_start: i,
                query_len: 1,
                own_start: i * CONTEXT as u32,
                own_past: CONTEXT as u32 - 1,
                ..Segment::default()
            })
            .collect();
        let (plan, cache, q) = (backend.plan(&segments), self.numbers(rows * CONTEXT * kv_width), x());
        let (mut out, mut lse) = (backend.buffer(rows * width), backend.buffer(rows * heads.query));
        let attend = move |_| backend.attention(&q, &cache, &cache, &plan, heads, &mut out, &mut lse);
        cases.push(case("attention_decode", [10.0, 10.0], Box::new(attend)));

        let (logits, streams) = (self.numbers(rows * vocab), backend.indices(&vec![1; 4 * rows]));
        let mut tokens = backend.indices(&vec![0; rows]);
        let draw = move |_| backend.sample(&logits, &Sampling::default(), 0, &streams, None, &mut tokens);
        cases.push(case("sample", [100.0, 100.0], Box::new(draw)));

        let (h, weight, mut out) = (x(), self.numbers(width), backend.buffer(rows * width));
        let norm = move |_| backend.rms_norm(&h, &weight, EPS, &mut out);
        cases.push(case("rms_norm", [5.0, 5.0], Box::new(norm)));
        let (table, ids, mut out) = (self.head()?, backend.indices(&vec![3; rows]), backend.buffer(rows * width));
        cases.push(case("embed", [5.0, 5.0], Box::new(move |_| backend.embed(&table, &ids, &mut out))));
        Ok(cases)
    }

    /// Of `sequences` of `len` tokens.
    fn scoring(&self, sequences: usize, len: usize) -> Result<Vec<Case<'_>>> {
        let (backend, heads, rows) = (&self.backend, self.heads(), sequences * len);
        let width = self.config.hidden_size;
        let case = |name, predicted, run| Case { name, rows, predicted: Some(predicted), run };
        let mut cases = Vec::new();
        for (name, predicted) in [("q_proj", 37.0), ("k_proj", 12.0), ("gate_proj", 49.0), ("down_proj", 99.0)] {
            cases.push(case(name, predicted, self.product(name, rows)?));
        }
        let (h, head, targets) = (self.numbers(rows * width), self.head()?, backend.indices(&vec![3; rows]));
        let (mut logps, mut lse) = (backend.buffer(rows), backend.buffer(rows));
        let logps = move |_| backend.token_logps(&h, &head, &targets, &mut logps, &mut lse);
        cases.push(case("token_logps", 2200.0, Box::new(logps)));

        let segment = |i: usize| {
            let start = (i * len) as u32;
            Segment { query_start: start, query_len: len as u32, own_start: start, ..Segment::default() }
        };
        let plan = backend.plan(&(0..sequences).map(segment).collect::<Vec<_>>());
        let (q, k) = (self.numbers(rows * width), self.numbers(rows * heads.key_value * heads.dim));
        let (mut out, mut lse) = (backend.buffer(rows * width), backend.buffer(rows * heads.query));
        let attend = move |_| backend.attention(&q, &k, &k, &plan, heads, &mut out, &mut lse);
        cases.push(case("attention", 47.0, Box::new(attend)));
        Ok(cases)
    }

    /// Of pairs with their prompt once: gradients.
    fn training(&self, [pairs, prompt, completion]: [usize; 3]) -> Result<Vec<Case<'_>>> {
        let (backend, heads, rows) = (&self.backend, self.heads(), pairs * (prompt + 2 * completion));
        let case = |name, predicted, run| Case { name, rows, predicted, run };
        let mut cases = Vec::new();
        for (name, d_x, d_w) in [
            ("q_proj", "d_x of q_proj", "d_W of q_proj"),
            ("gate_proj", "d_x of gate_proj", "d_W of gate_proj"),
            ("down_proj", "d_x of down_proj", "d_W of down_proj"),
        ] {
            let weights: Vec<_> = self.layers(&[name])?.into_iter().flatten().collect();
            let [d_out, d_in] = [weights[0].rows(), weights[0].cols()];
            let (d, x) = (self.numbers(rows * d_out), self.numbers(rows * d_in));
            let (mut to_x, mut to_w) = (backend.buffer(rows * d_in), backend.zeros(d_out * d_in));
            let given = backend.duplicate(&d);
            let to_input =
                move |i: usize| backend.matmul_backward_input(&d, &weights[i % weights.len()], 1.0, false, &mut to_x);
            cases.push(case(d_x, None, Box::new(to_input)));
            let to_weight = move |_| backend.matmul_backward_weight(&given, &x, d_out, 1.0, &mut to_w);
            cases.push(case(d_w, None, Box::new(to_weight)));
        }
        let (rank, width) = (stages::RANK, self.config.hidden_size);
        let (x, low) = (self.numbers(rows * width), self.numbers(rows * rank));
        let (a, mut out) = (Matrix::dense(self.numbers(rank * width), rank, width), backend.buffer(rows * rank));
        let given = backend.duplicate(&x);
        let down = move |_| backend.matmul(&given, &a, 1.0, false, &mut out);
        cases.push(case("x A", Some(10.0), Box::new(down)));
        let mut d_a = backend.zeros(rank * width);
        let gradient = move |_| backend.matmul_backward_weight(&low, &x, rank, 1.0, &mut d_a);
        cases.push(case("d_A", Some(10.0), Box::new(gradient)));

        let segments = (0..pairs).flat_map(|i| {
            let start = (i * (prompt + 2 * completion)) as u32;
            let [prompt, completion] = [prompt, completion].map(|n| n as u32);
            let own = |first: u32, len: u32| Segment {
                query_start: first,
                query_len: len,
                own_start: first,
                ..Segment::default()
            };
            let after = |first: u32| Segment { prefix_start: start, prefix_len: prompt, ..own(first, completion) };
            [own(start, prompt), after(start + prompt), after(start + prompt + completion)]
        });
        let plan = backend.plan(&segments.collect::<Vec<_>>());
        let (q, k) = (self.numbers(rows * width), self.numbers(rows * heads.key_value * heads.dim));
        let (mut out, mut lse) = (backend.buffer(rows * width), backend.buffer(rows * heads.query));
        backend.attention(&q, &k, &k, &plan, heads, &mut out, &mut lse);
        let [mut d_q, mut d_k, mut d_v] = [&q, &k, &k].map(|like| backend.buffer(backend.len(like)));
        let attend =
            move |_| backend.attention_backward(&q, &k, &k, &out, &lse, &q, &plan, heads, &mut d_q, &mut d_k, &mut d_v);
        cases.push(case("attention_backward", Some(247.0), Box::new(attend)));
        Ok(cases)
    }

    /// `rows` activations through the weight of a name, another layer's each time.
    fn product(&self, name: &str, rows: usize) -> Result<Box<dyn FnMut(usize) + '_>> {
        let weights = if name == "head" { vec![vec![self.head()?]] } else { self.layers(&[name])? };
        let weights: Vec<_> = weights.into_iter().flatten().collect();
        let (x, mut out) = (self.numbers(rows * weights[0].cols()), self.backend.buffer(rows * weights[0].rows()));
        Ok(Box::new(move |i| self.backend.matmul(&x, &weights[i % weights.len()], 1.0, false, &mut out)))
    }

    /// Linears of one input, of every layer.
    fn layers(&self, names: &[&str]) -> Result<Vec<Vec<Matrix<B>>>> {
        let tensor = |name: &&str| {
            let weight = self.weights.iter().find(|(other, ..)| other == name);
            let &(_, shape, dtype) = weight.context("a weight of the model")?;
            matmul::tensor(shape, dtype)
        };
        let tensors: Vec<_> = names.iter().map(tensor).collect::<Result<_>>()?;
        let tensors: Vec<_> = tensors.iter().collect();
        Ok((0..self.config.num_hidden_layers).map(|_| Matrix::all_stored(&self.backend, &tensors, false)).collect())
    }

    fn head(&self) -> Result<Matrix<B>> {
        let &(_, shape, dtype) = self.weights.last().context("the head is the last of the weights")?;
        self.weight(shape, dtype)
    }

    fn heads(&self) -> Heads {
        Heads {
            query: self.config.num_attention_heads,
            key_value: self.config.num_key_value_heads,
            dim: self.config.head_dim,
        }
    }

    /// Activations of ordinary size.
    fn numbers(&self, len: usize) -> B::Buffer {
        let numbers: Vec<f32> = (0..len).map(|i| (i % 7) as f32 * 0.25 - 0.75).collect();
        self.backend.upload(&numbers)
    }
}

fn bare<B: Backend>(weight: &Matrix<B>) -> Adapted<'_, B> {
    Adapted { weight, lora: None }
}
