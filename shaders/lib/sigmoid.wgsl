// 1 / (1 + e^-x)
fn sigmoid(x: f32) -> f32 {
    // Bounded, so that the exponential stays finite; below, the result would be subnormal.
    return select(1.0 / (1.0 + exp(-max(x, -88.0))), 0.0, x < -88.0);
}
