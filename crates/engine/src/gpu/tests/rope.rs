use super::{Outputs, assert_twins, gpu};
use crate::Backend;
use crate::tests::random::rounds;
use crate::tests::read;

fn rotate<B: Backend>(backend: &B, x: &[f32], positions: &[u32], frequencies: &[f32]) -> Outputs {
    let turned = |inverse: bool| {
        let mut x = backend.upload(x);
        backend.rope(&mut x, &backend.indices(positions), &backend.upload(frequencies), inverse);
        read(backend, &x)
    };
    vec![("forwards", turned(false)), ("backwards", turned(true))]
}

/// Far positions too: their angles are thousands of turns.
#[test]
fn like_the_cpu() {
    let Some(gpu) = gpu() else { return };
    for mut random in rounds() {
        for farthest in [300, 131_072] {
            let (rows, heads, half) = (random.pick(&[1, 17, 40]), random.pick(&[1, 3]), random.pick(&[1, 5, 32]));
            let x = random.normals(rows * heads * 2 * half, 1.0);
            let positions = random.ids(rows, farthest);
            let frequencies: Vec<f32> = (0..half).map(|e| 10_000_f32.powf(-(e as f32) / half as f32)).collect();
            let what = format!("{rows} rows, {heads} heads of {half} pairs, positions below {farthest}");
            assert_twins!(&gpu, rotate(&x, &positions, &frequencies), &what);
        }
    }
}
