// x: f32 activations or gradients of a width that four divides, which are read in one go.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;        // [rows, width / 4]

// Columns `column` to `column + 3` of a row, zero behind its end; `column` is a multiple of 4.
fn x_at(row: u32, column: u32, width: u32) -> vec4<f32> {
    if column < width {
        return x[(row * width + column) / 4u];
    }
    return vec4(0.0);
}

// The same of a column that the row has.
fn x_inside(row: u32, column: u32, width: u32) -> vec4<f32> {
    return x[(row * width + column) / 4u];
}
