// x: f32 activations or gradients of any width.

@group(0) @binding(1) var<storage, read> x: array<f32>;              // [rows, width]

// Columns `column` to `column + 3` of a row, zero behind its end.
fn x_at(row: u32, column: u32, width: u32) -> vec4<f32> {
    let at = row * width + column;
    let inside = vec4(column) + vec4(0u, 1u, 2u, 3u) < vec4(width);
    return select(vec4(0.0), vec4(x[at], x[at + 1u], x[at + 2u], x[at + 3u]), inside);
}

// The same of a column that the row has.
fn x_inside(row: u32, column: u32, width: u32) -> vec4<f32> {
    return x_at(row, column, width);
}
