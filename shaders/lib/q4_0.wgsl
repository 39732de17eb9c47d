// weight: Q4_0, 32 elements `d (q - 8)` in 5 words: d as f16, 2 bytes of nothing, q[16]; element i in the low half of
// byte i, i + 16 in its high half.

@group(0) @binding(0) var<storage, read> weight: array<u32>;         // [rows, stride / 32, 5]

// Columns `column` to `column + 3`; `column` is a multiple of 4.
fn weight_at(row: u32, column: u32, stride: u32) -> vec4<f32> {
    let element = row * stride + column;
    let block = element / 32u * 5u;
    let at = element % 32u;
    let d = unpack2x16float(weight[block]).x;
    let q = weight[block + 1u + at % 16u / 4u] >> (at / 16u * 4u);
    return d * (vec4<f32>((vec4(q) >> vec4(0u, 8u, 16u, 24u)) & vec4(15u)) - 8.0);
}
