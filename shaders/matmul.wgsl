// out = alpha * x · weightᵀ, or out += it, over rows of the weight from `first` on. One workgroup a tile of 64 x 64;
// invocation (i, j) of 16 x 16 has rows i, i + 16, .. and columns j, j + 16, .. of it.
// Needs files of lib/ in front of it: a weight's and x's.

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

@group(0) @binding(2) var<storage, read_write> out: array<f32>;      // [parts, T, D_out]
@group(0) @binding(3) var<uniform> parameters: Parameters;

// 16 columns of 64 rows, by fours; the fifth four of a row is padding against bank conflicts.
const ROW = 5u;
var<workgroup> x_tile: array<vec4<f32>, 320>;
var<workgroup> weight_tile: array<vec4<f32>, 320>;

fn x_row_at(row: u32, column: u32) -> vec4<f32> {
    if row < parameters.rows {
        return x_at(row, column, parameters.d_in);
    }
    return vec4(0.0);
}

fn row_at(row: u32, column: u32) -> vec4<f32> {
    if row < parameters.d_out && column < parameters.d_in {
        return weight_at(parameters.first + row, column, parameters.stride);
    }
    return vec4(0.0);
}

// One more product of four columns of x and four of each of four rows of the weight, given by column.
fn step(sums: vec4<f32>, x: vec4<f32>, w: mat4x4<f32>) -> vec4<f32> {
    return fma(vec4(x.w), w[3], fma(vec4(x.z), w[2], fma(vec4(x.y), w[1], fma(vec4(x.x), w[0], sums))));
}

fn store(part: u32, row: u32, column: u32, sums: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        let at = column + 16u * j;
        if row < parameters.rows && at < parameters.d_out {
            let to = (part * parameters.rows + row) * parameters.d_out + at;
            let value = parameters.alpha * sums[j];
            if parameters.accumulate != 0u {
                out[to] += value;
            } else {
                out[to] = value;
            }
        }
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let row = group.y * 64u;
    let column = group.x * 64u;
    let mine = vec2(local / 16u, local % 16u);
    // No array, here as in the other products: one that a loop indexes need not stay in registers.
    var sums0 = vec4(0.0);
    var sums1 = vec4(0.0);
    var sums2 = vec4(0.0);
    var sums3 = vec4(0.0);
    let start = group.z * parameters.part;
    for (var k = start; k < min(start + parameters.part, parameters.d_in); k += 16u) {
        let to = local / 4u * ROW + local % 4u;
        x_tile[to] = x_row_at(row + local / 4u, k + local % 4u * 4u);
        weight_tile[to] = row_at(column + local / 4u, k + local % 4u * 4u);
        workgroupBarrier();
        for (var four = 0u; four < 4u; four++) {
            let at = mine.y * ROW + four;
            let w = transpose(mat4x4(
                weight_tile[at],
                weight_tile[at + 16u * ROW],
                weight_tile[at + 32u * ROW],
                weight_tile[at + 48u * ROW],
            ));
            let x = mine.x * ROW + four;
            sums0 = step(sums0, x_tile[x], w);
            sums1 = step(sums1, x_tile[x + 16u * ROW], w);
            sums2 = step(sums2, x_tile[x + 32u * ROW], w);
            sums3 = step(sums3, x_tile[x + 48u * ROW], w);
        }
        workgroupBarrier();
    }
    store(group.z, row + mine.x, column + mine.y, sums0);
    store(group.z, row + mine.x + 16u, column + mine.y, sums1);
    store(group.z, row + mine.x + 32u, column + mine.y, sums2);
    store(group.z, row + mine.x + 48u, column + mine.y, sums3);
}
