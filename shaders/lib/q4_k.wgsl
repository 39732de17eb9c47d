// weight: Q4_K, 256 elements `d s q - m t` in 36 words: scales as in k_scales.wgsl, q[128]; runs 2r and 2r + 1 of 32
// elements are the low and the high halves of q[32 r ..].

@group(0) @binding(0) var<storage, read> weight: array<u32>;         // [rows, stride / 256, 36]

// Columns `column` to `column + 3`; `column` is a multiple of 4.
fn weight_at(row: u32, column: u32, stride: u32) -> vec4<f32> {
    let element = row * stride + column;
    let block = element / 256u * 36u;
    let run = element % 256u / 32u;
    let scale = scale_and_minimum(block, run);
    let q = weight[block + 4u + run / 2u * 8u + element % 32u / 4u] >> (run % 2u * 4u);
    return scale.x * vec4<f32>((vec4(q) >> vec4(0u, 8u, 16u, 24u)) & vec4(15u)) - scale.y;
}
