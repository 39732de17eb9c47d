// d_weight += alpha * d_outᵀ · x, into rows of d_weight from `first` on. One workgroup a tile of 64 x 64; invocation
// (i, j) of 16 x 16 has rows 4 i to 4 i + 3 and columns 4 j to 4 j + 3 of it. Needs x's file of lib/ in front of it.

struct Parameters {
    rows: u32,
    d_out: u32,
    d_in: u32,
    first: u32,
    accumulate: u32,
    alpha: f32,
    // How much of the sum one workgroup takes, a multiple of 32; the z-th writes the z-th of several outs.
    part: u32,
}

@group(0) @binding(0) var<storage, read> d_out: array<f32>;          // [T, D_out]
@group(0) @binding(2) var<storage, read_write> d_weight: array<f32>; // [parts, first + D_out, D_in]
@group(0) @binding(3) var<uniform> parameters: Parameters;

// 16 tokens of 64 columns, by fours; the last four of each row is padding against bank conflicts.
const ROW = 17u;
var<workgroup> d_out_tile: array<vec4<f32>, 272>;
var<workgroup> x_tile: array<vec4<f32>, 272>;

fn d_out_at(row: u32, column: u32) -> vec4<f32> {
    var out = vec4(0.0);
    if row < parameters.rows {
        for (var i = 0u; i < 4u && column + i < parameters.d_out; i++) {
            out[i] = d_out[row * parameters.d_out + column + i];
        }
    }
    return out;
}

fn x_row_at(row: u32, column: u32) -> vec4<f32> {
    if row < parameters.rows {
        return x_at(row, column, parameters.d_in);
    }
    return vec4(0.0);
}

fn store(part: u32, row: u32, column: u32, sums: vec4<f32>) {
    for (var j = 0u; j < 4u; j++) {
        if row < parameters.d_out && column + j < parameters.d_in {
            let to = (part * parameters.d_out + parameters.first + row) * parameters.d_in + column + j;
            let value = parameters.alpha * sums[j];
            if parameters.accumulate != 0u {
                d_weight[to] += value;
            } else {
                d_weight[to] = value;
            }
        }
    }
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let mine = vec2(local / 16u, local % 16u);
    let row = group.y * 64u;
    let column = group.x * 64u + mine.y * 4u;
    var sums0 = vec4(0.0);
    var sums1 = vec4(0.0);
    var sums2 = vec4(0.0);
    var sums3 = vec4(0.0);
    let start = group.z * parameters.part;
    for (var t = start; t < min(start + parameters.part, parameters.rows); t += 16u) {
        let to = mine.x * ROW + mine.y;
        d_out_tile[to] = d_out_at(t + mine.x, row + mine.y * 4u);
        x_tile[to] = x_row_at(t + mine.x, column);
        workgroupBarrier();
        for (var i = 0u; i < 16u; i++) {
            let d = d_out_tile[i * ROW + mine.x];
            let x = x_tile[i * ROW + mine.y];
            sums0 = fma(vec4(d.x), x, sums0);
            sums1 = fma(vec4(d.y), x, sums1);
            sums2 = fma(vec4(d.z), x, sums2);
            sums3 = fma(vec4(d.w), x, sums3);
        }
        workgroupBarrier();
    }
    let first = row + mine.x * 4u;
    store(group.z, first, column, sums0);
    store(group.z, first + 1u, column, sums1);
    store(group.z, first + 2u, column, sums2);
    store(group.z, first + 3u, column, sums3);
}
