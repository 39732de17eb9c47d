use super::{Outputs, assert_twins, gpu};
use crate::Backend;
use crate::tests::random::rounds;
use crate::tests::{read, unwritten};

const EPS: f32 = 1e-5;

fn forward<B: Backend>(backend: &B, x: &[f32], weight: &[f32]) -> Outputs {
    let mut out = unwritten(backend, x.len());
    backend.rms_norm(&backend.upload(x), &backend.upload(weight), EPS, &mut out);
    vec![("out", read(backend, &out))]
}

/// `before` holds what the gradients are added to.
fn backward<B: Backend>(backend: &B, x: &[f32], weight: &[f32], d_out: &[f32], before: &[f32]) -> Outputs {
    let [x_there, weight_there, d_out] = [x, weight, d_out].map(|values| backend.upload(values));
    let [mut d_x, mut d_x_alone] = [(); 2].map(|()| backend.upload(before));
    let mut d_weight = backend.upload(&before[..weight.len()]);
    backend.rms_norm_backward(&x_there, &weight_there, EPS, &d_out, &mut d_x, Some(&mut d_weight));
    backend.rms_norm_backward(&x_there, &weight_there, EPS, &d_out, &mut d_x_alone, None);
    let [d_x, d_x_alone, d_weight] = [&d_x, &d_x_alone, &d_weight].map(|buffer| read(backend, buffer));
    vec![("d_x", d_x), ("d_x without d_weight", d_x_alone), ("d_weight", d_weight)]
}

#[test]
fn like_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for mut random in rounds() {
        let (rows, width) = (random.pick(&[1, 3, 33, 70]), random.pick(&[1, 7, 33, 64, 576]));
        let [x, d_out, before] = [(); 3].map(|()| random.normals(rows * width, 1.0));
        let weight = random.normals(width, 1.0);
        let what = format!("{rows} rows of {width}");
        assert_twins!(&gpu, forward(&x, &weight), &what);
        assert_twins!(&gpu, backward(&x, &weight, &d_out, &before), &what);
    }
}
