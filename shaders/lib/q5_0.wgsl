// weight: Q5_0, 32 elements `d (q - 16)` in 6 words: d as f16, 2 bytes of nothing, h[4], q[16]; the low four bits of q
// as in Q4_0, bit i of h the fifth of element i.

@group(0) @binding(0) var<storage, read> weight: array<u32>;         // [rows, stride / 32, 6]

// Columns `column` to `column + 3`; `column` is a multiple of 4.
fn weight_at(row: u32, column: u32, stride: u32) -> vec4<f32> {
    let element = row * stride + column;
    let block = element / 32u * 6u;
    let at = element % 32u;
    let d = unpack2x16float(weight[block]).x;
    let high = (vec4(weight[block + 1u] >> at) >> vec4(0u, 1u, 2u, 3u)) & vec4(1u);
    let q = weight[block + 2u + at % 16u / 4u] >> (at / 16u * 4u);
    let low = (vec4(q) >> vec4(0u, 8u, 16u, 24u)) & vec4(15u);
    return d * (vec4<f32>(low | (high << vec4(4u))) - 16.0);
}
