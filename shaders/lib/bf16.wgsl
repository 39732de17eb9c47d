// weight: bfloat16, two a word; rows padded with zeros to `stride`, a multiple of 4.

@group(0) @binding(0) var<storage, read> weight: array<vec2<u32>>;   // [rows, stride / 4]

// Columns `column` to `column + 3`; `column` is a multiple of 4.
fn weight_at(row: u32, column: u32, stride: u32) -> vec4<f32> {
    let words = weight[(row * stride + column) / 4u];
    let high = words & vec2(0xffff0000u);
    return bitcast<vec4<f32>>(vec4(words.x << 16u, high.x, words.y << 16u, high.y));
}
