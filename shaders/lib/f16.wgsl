// weight: f16, two a word; rows padded with zeros to `stride`, a multiple of 4.

@group(0) @binding(0) var<storage, read> weight: array<u32>;         // [rows, stride / 2]

// Columns `column` to `column + 3`; `column` is a multiple of 4.
fn weight_at(row: u32, column: u32, stride: u32) -> vec4<f32> {
    let word = (row * stride + column) / 2u;
    return vec4(unpack2x16float(weight[word]), unpack2x16float(weight[word + 1u]));
}
