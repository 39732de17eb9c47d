// weight: Q6_K, 256 elements `d s (q - 32)` in 53 words: q[128], h[64], s[16], d as f16, 2 bytes of nothing. Each run of
// 16 elements has its own signed s. Of each half of 128 elements, 32-element part p has its low four bits in half a
// byte of q (parts 0 and 1 low, 2 and 3 high) and its two high bits at bit 2p of h.

@group(0) @binding(0) var<storage, read> weight: array<u32>;         // [rows, stride / 256, 53]

// Columns `column` to `column + 3`; `column` is a multiple of 4.
fn weight_at(row: u32, column: u32, stride: u32) -> vec4<f32> {
    let element = row * stride + column;
    let block = element / 256u * 53u;
    let half = element % 256u / 128u;
    let part = element % 128u / 32u;
    let word = element % 32u / 4u;
    let run = element % 256u / 16u;
    let s = bitcast<i32>(weight[block + 48u + run / 4u] << (24u - run % 4u * 8u)) >> 24u;
    let scale = unpack2x16float(weight[block + 52u]).x * f32(s);
    let bytes = vec4(0u, 8u, 16u, 24u);
    let low = (vec4(weight[block + half * 16u + part % 2u * 8u + word] >> (part / 2u * 4u)) >> bytes) & vec4(15u);
    let high = (vec4(weight[block + 32u + half * 8u + word] >> (part * 2u)) >> bytes) & vec4(3u);
    return scale * (vec4<f32>(low | (high << vec4(4u))) - 32.0);
}
