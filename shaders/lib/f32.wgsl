// weight: f32 of any width; a row has `stride` numbers.

@group(0) @binding(0) var<storage, read> weight: array<f32>;         // [rows, stride]

// Columns `column` to `column + 3`, zero behind the row's end: what lies there may be NaN.
fn weight_at(row: u32, column: u32, stride: u32) -> vec4<f32> {
    let at = row * stride + column;
    let inside = vec4(column) + vec4(0u, 1u, 2u, 3u) < vec4(stride);
    return select(vec4(0.0), vec4(weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u]), inside);
}
