// weight: Q5_1, 32 elements `d q + m` in 6 words: d and m as f16, h[4], q[16]; the low four bits of q as in Q4_1, bit i
// of h the fifth of element i.

@group(0) @binding(0) var<storage, read> weight: array<u32>;         // [rows, stride / 32, 6]

// Columns `column` to `column + 3`; `column` is a multiple of 4.
fn weight_at(row: u32, column: u32, stride: u32) -> vec4<f32> {
    let element = row * stride + column;
    let block = element / 32u * 6u;
    let at = element % 32u;
    let dm = unpack2x16float(weight[block]);
    let high = (vec4(weight[block + 1u] >> at) >> vec4(0u, 1u, 2u, 3u)) & vec4(1u);
    let q = weight[block + 2u + at % 16u / 4u] >> (at / 16u * 4u);
    let low = (vec4(q) >> vec4(0u, 8u, 16u, 24u)) & vec4(15u);
    return dm.x * vec4<f32>(low | (high << vec4(4u))) + dm.y;
}
