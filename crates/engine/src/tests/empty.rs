//! Nothing to do is done: kernels over no rows, and batches of no groups.

use pollster::block_on;

use super::models::{adapter, batch, config, model};
use super::packed::DTYPES;
use super::random::Random;
use super::read;
use crate::Trained;
use crate::generate::ended;
use crate::{
    AdamW, Adapted, Backend, GenerateOptions, Heads, LinearGradient, Lora, Matrix, MemoryPlan, Norm, Outline,
    Parameter, Request, Result, Rope, Trainer,
};

on_each_backend!(whole_models: kernels_over_no_rows, batches_of_no_groups);

/// Each leaves what it adds to as it was.
fn kernels_over_no_rows<B: Backend>(backend: &B, random: &mut Random) {
    let (width, wide, heads) = (32, 64, Heads { query: 4, key_value: 2, dim: 8 });
    let none = || backend.upload(&[]);
    let (no_ids, no_plan) = (backend.indices(&[]), backend.plan(&[]));
    let ones = |len: usize| backend.upload(&vec![1.0; len]);
    let (gain, mut gradient) = (ones(width), ones(width * wide));
    for dtype in DTYPES {
        let cols = 256;
        let weight = Matrix::stored(backend, &random.tensor(dtype, 3, cols));
        backend.embed(&weight, &no_ids, &mut none());
        backend.matmul(&none(), &weight, 1.0, false, &mut none());
        backend.matmul_backward_input(&none(), &weight, 1.0, false, &mut none());
        let (targets, mut of_head) = (backend.indices(&[]), ones(3 * cols));
        backend.token_logps(&none(), &weight, &targets, &mut none(), &mut none());
        let d_head = Some(&mut of_head);
        backend.token_logps_backward(&none(), &weight, &targets, &none(), &none(), &mut none(), d_head);
        assert_eq!(read(backend, &of_head), vec![1.0; 3 * cols], "{dtype:?}");
    }
    let dense = |rows: usize, cols: usize| Matrix::dense(ones(rows * cols), rows, cols);
    let lora = Lora { a: dense(4, width), b: dense(wide, 4), scale: 1.0 };
    let weights = [(); 3].map(|()| dense(wide, width));
    let [one, two, three] = weights.each_ref().map(|weight| Adapted { weight, lora: Some(&lora) });
    let norm = Norm { weight: &gain, eps: 1e-5 };
    let rope = Rope { positions: &no_ids, frequencies: &ones(4) };
    backend.embed_backward(&none(), &no_ids, &mut gradient);
    backend.store_rows(&none(), &no_ids, &mut gradient);
    backend.rms_norm(&none(), &gain, 1e-5, &mut none());
    let mut d_gain = ones(width);
    backend.rms_norm_backward(&none(), &gain, 1e-5, &none(), &mut none(), Some(&mut d_gain));
    backend.matmul_backward_weight(&none(), &none(), wide, 1.0, &mut gradient);
    backend.rope(&mut none(), &no_ids, &ones(4), false);
    backend.attention(&none(), &none(), &none(), &no_plan, heads, &mut none(), &mut none());
    let [no_q, no_k, no_v, no_out, no_lse, no_d] = [(); 6].map(|()| none());
    let [mut d_q, mut d_k, mut d_v] = [(); 3].map(|()| none());
    backend.attention_backward(
        &no_q, &no_k, &no_v, &no_out, &no_lse, &no_d, &no_plan, heads, &mut d_q, &mut d_k, &mut d_v,
    );
    backend.swiglu(&none(), &none(), &mut none());
    backend.swiglu_backward(&mut none(), &mut none(), &none());
    backend.linear(&none(), &one, true, &mut none());
    backend.gated(&none(), &norm, [&one, &two], &mut none());
    backend.project(&none(), &norm, [&one, &two, &three], &rope, &no_ids, &mut none(), [&mut none(), &mut none()]);
    let (mut d_a, mut d_b) = (ones(4 * width), ones(wide * 4));
    let pair = LinearGradient::Lora { a: &mut d_a, b: &mut d_b };
    backend.linear_backward(&none(), &weights[0], Some(&lora), &none(), true, &mut none(), pair);
    backend.sample(&none(), &Default::default(), 0, &no_ids, None, &mut backend.indices(&[]));
    backend.sample(
        &none(),
        &Default::default(),
        0,
        &no_ids,
        Some(&mut backend.indices(&[])),
        &mut backend.indices(&[]),
    );
    let mut norm_squared = ones(1);
    backend.sum_of_squares(&[&none()], &mut norm_squared);
    assert_eq!(read(backend, &norm_squared), [0.0]);
    backend.sum_of_squares(&[], &mut norm_squared);
    assert_eq!(read(backend, &norm_squared), [0.0]);
    let [mut value, mut first, mut second] = [(); 3].map(|()| none());
    let parameter =
        Parameter { value: &mut value, gradient: &none(), first: &mut first, second: &mut second, decayed: true };
    backend.adamw(vec![parameter], &norm_squared, &AdamW::default(), 0.1, 1);
    backend.adamw(Vec::new(), &norm_squared, &AdamW::default(), 0.1, 1);
    assert!(backend.upload_all(&[]).is_empty() && backend.zeros_all(&[]).is_empty());
    assert_eq!(backend.len(&backend.duplicate(&backend.zeros(0))), 0);
    assert!(read(backend, &none()).is_empty());
    assert!(block_on(backend.read_indices(&[])).unwrap().is_empty());
    for (what, buffer) in [("gradient", &gradient), ("gain", &d_gain), ("A", &d_a), ("B", &d_b)] {
        assert!(read(backend, buffer).iter().all(|&number| number == 1.0), "{what}");
    }
}

fn batches_of_no_groups<B: Backend>(backend: &B, random: &mut Random) {
    let mut model = model(backend, random, &config(), true);
    let mut adapter = adapter(backend, random, &config());
    let none = batch(&[]);
    for adapted in [false, true] {
        let adapter = &mut adapted.then_some(&mut adapter);
        assert!(block_on(model.token_logps(adapter.as_deref(), &none)).unwrap().is_empty());
        let mut trainer = Trainer::new(&model, adapter.as_deref(), AdamW::default(), false);
        let loss = |logps: &[f64]| -> Result<Vec<f64>> { Ok(logps.to_vec()) };
        block_on(trainer.accumulate(&model, adapter.as_deref(), &none, loss)).unwrap();
        assert_eq!(block_on(trainer.update(Trained::new(&mut model, adapter.as_deref_mut()), 0.1)).unwrap(), 0.0);
        let outline = Outline::of(&model, adapter.as_deref());
        MemoryPlan::score(&outline, &none).unwrap();
        MemoryPlan::train(&outline, &none, true).unwrap();
    }
    // As many slots as there are numbers take no more than there are completions.
    let options = GenerateOptions {
        max_new_tokens: 3,
        sampling: Default::default(),
        seed: 0,
        stop_tokens: vec![],
        slots: usize::MAX,
    };
    let requests = [2, 0].map(|completions| Request { id: "p".into(), prompt: vec![1], completions });
    for requests in [&requests[..0], &requests[1..], &requests] {
        MemoryPlan::generate(&Outline::of(&model, None), requests, &options).unwrap();
        let mut made = 0;
        let finished = |_: crate::Generated| -> Result<()> {
            made += 1;
            Ok(())
        };
        block_on(model.generate(None, requests, &options, ended(finished))).unwrap();
        assert_eq!(made, requests.iter().map(|request| request.completions).sum::<usize>());
    }
    let endless = GenerateOptions { max_new_tokens: usize::MAX, ..options };
    let message = block_on(model.generate(None, &requests, &endless, |_| -> Result<()> { Ok(()) })).unwrap_err();
    assert!(message.to_string().contains("expected at most 256"), "{message}");
}
