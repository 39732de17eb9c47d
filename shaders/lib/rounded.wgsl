// The largest number of f16.
const MOST = 65504.0;

// What is too large for f16 becomes its largest number; NaN stays.
fn rounded(values: vec4<f32>) -> vec4<f16> {
    return vec4<f16>(select(values, clamp(values, vec4(-MOST), vec4(MOST)), abs(values) > vec4(MOST)));
}
