// weight: Q8_0, 32 elements `d q` in 9 words: d as f16, 2 bytes of nothing, q[32].

@group(0) @binding(0) var<storage, read> weight: array<u32>;         // [rows, stride / 32, 9]

// Columns `column` to `column + 3`; `column` is a multiple of 4.
fn weight_at(row: u32, column: u32, stride: u32) -> vec4<f32> {
    let element = row * stride + column;
    let block = element / 32u * 9u;
    let d = unpack2x16float(weight[block]).x;
    let q = weight[block + 1u + element % 32u / 4u];
    let signed = bitcast<vec4<i32>>(vec4(q) << vec4(24u, 16u, 8u, 0u)) >> vec4(24u);
    return d * vec4<f32>(signed);
}
