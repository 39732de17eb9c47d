// weight: Q5_K, 256 elements `d s q - m t` in 44 words: scales as in k_scales.wgsl, h[32], q[128]; the low four bits of q
// as in Q4_K, bit r of h[i] the fifth of element i of run r.

@group(0) @binding(0) var<storage, read> weight: array<u32>;         // [rows, stride / 256, 44]

// Columns `column` to `column + 3`; `column` is a multiple of 4.
fn weight_at(row: u32, column: u32, stride: u32) -> vec4<f32> {
    let element = row * stride + column;
    let block = element / 256u * 44u;
    let run = element % 256u / 32u;
    let word = element % 32u / 4u;
    let scale = scale_and_minimum(block, run);
    let bytes = vec4(0u, 8u, 16u, 24u);
    let low = (vec4(weight[block + 12u + run / 2u * 8u + word] >> (run % 2u * 4u)) >> bytes) & vec4(15u);
    let high = (vec4(weight[block + 4u + word] >> run) >> bytes) & vec4(1u);
    return scale.x * vec4<f32>(low | (high << vec4(4u))) - scale.y;
}
