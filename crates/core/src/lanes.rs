//! Folding a slice of `f32` in lanes, so that LLVM vectorises: it may not reorder float operations by itself.

/// Partial results side by side: four vectors of four hide the latency of an addition.
pub(crate) const LANES: usize = 16;

/// Folds element i into lane i mod [`LANES`], the elements after the last full chunk into lane 0.
#[inline(always)]
pub(crate) fn fold(values: &[f32], first: f32, step: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    let mut lanes = [first; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        lanes = core::array::from_fn(|lane| step(lanes[lane], chunk[lane]));
    }
    lanes[0] = rest.iter().fold(lanes[0], |lane, &value| step(lane, value));
    lanes
}
