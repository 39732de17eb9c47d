// The largest number of f16.
const MOST = 65504.0;

// What is too large for f16 becomes its largest number; an infinity and NaN stay, by their bits: a compiler may take
// every number for finite.
fn rounded(values: vec4<f32>) -> vec4<f16> {
    let magnitude = bitcast<vec4<u32>>(values) & vec4(0x7fffffffu);
    let too_large = (magnitude > vec4(bitcast<u32>(MOST))) & (magnitude < vec4(0x7f800000u));
    return vec4<f16>(select(values, clamp(values, vec4(-MOST), vec4(MOST)), too_large));
}
