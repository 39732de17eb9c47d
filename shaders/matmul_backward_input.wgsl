// d_x = alpha * d_out · weight, or d_x += it, over rows of the weight from `first` on. One workgroup a tile of 64 x 64;
// invocation (i, j) of 16 x 16 has rows i, i + 16, .. and columns 4 j to 4 j + 3 of it.
// Needs files of lib/ in front of it: a weight's, and x's for d_out.

struct Parameters {
    rows: u32,
    d_out: u32,
    d_in: u32,
    stride: u32,
    first: u32,
    accumulate: u32,
    alpha: f32,
    // How much of the sum one workgroup takes, a multiple of 32; the z-th writes the z-th of several outs.
    part: u32,
}

@group(0) @binding(2) var<storage, read_write> d_x: array<f32>;      // [parts, T, D_in]
@group(0) @binding(3) var<uniform> parameters: Parameters;

// 64 rows of 16 columns and 16 rows of 64, by fours; the last four of each row is padding against bank conflicts.
const D_OUT_ROW = 5u;
const WEIGHT_ROW = 17u;
var<workgroup> d_out_tile: array<vec4<f32>, 320>;
var<workgroup> weight_tile: array<vec4<f32>, 272>;

fn d_out_at(row: u32, column: u32) -> vec4<f32> {
    if row < parameters.rows {
        return x_at(row, column, parameters.d_out);
    }
    return vec4(0.0);
}

fn row_at(row: u32, column: u32) -> vec4<f32> {
    if row < parameters.d_out && column < parameters.d_in {
        return weight_at(parameters.first + row, column, parameters.stride);
    }
    return vec4(0.0);
}

// One more product of four columns of d_out and four rows of the weight.
fn step(sums: vec4<f32>, d: vec4<f32>, w: mat4x4<f32>) -> vec4<f32> {
    return fma(vec4(d.w), w[3], fma(vec4(d.z), w[2], fma(vec4(d.y), w[1], fma(vec4(d.x), w[0], sums))));
}

fn store(part: u32, row: u32, column: u32, sums: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        if row < parameters.rows && column + j < parameters.d_in {
            let to = (part * parameters.rows + row) * parameters.d_in + column + j;
            let value = parameters.alpha * sums[j];
            if parameters.accumulate != 0u {
                d_x[to] += value;
            } else {
                d_x[to] = value;
            }
        }
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.y * 64u;
    let column = group.x * 64u;
    let mine = vec2(local / 16u, local % 16u);
    var sums0 = vec4(0.0);
    var sums1 = vec4(0.0);
    var sums2 = vec4(0.0);
    var sums3 = vec4(0.0);
    let start = group.z * parameters.part;
    for (var n = start; n < min(start + parameters.part, parameters.d_out); n += 16u) {
        d_out_tile[local / 4u * D_OUT_ROW + local % 4u] = d_out_at(row + local / 4u, n + local % 4u * 4u);
        weight_tile[mine.x * WEIGHT_ROW + mine.y] = row_at(n + mine.x, column + mine.y * 4u);
        workgroupBarrier();
        for (var four = 0u; four < 4u; four++) {
            let at = four * 4u * WEIGHT_ROW + mine.y;
            let w = mat4x4(
                weight_tile[at],
                weight_tile[at + WEIGHT_ROW],
                weight_tile[at + 2u * WEIGHT_ROW],
                weight_tile[at + 3u * WEIGHT_ROW],
            );
            let d = mine.x * D_OUT_ROW + four;
            sums0 = step(sums0, d_out_tile[d], w);
            sums1 = step(sums1, d_out_tile[d + 16u * D_OUT_ROW], w);
            sums2 = step(sums2, d_out_tile[d + 32u * D_OUT_ROW], w);
            sums3 = step(sums3, d_out_tile[d + 48u * D_OUT_ROW], w);
        }
        workgroupBarrier();
    }
    let first = column + mine.y * 4u;
    store(group.z, row + mine.x, first, sums0);
    store(group.z, row + mine.x + 16u, first, sums1);
    store(group.z, row + mine.x + 32u, first, sums2);
    store(group.z, row + mine.x + 48u, first, sums3);
}
