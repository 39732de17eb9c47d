// As matmul.wgsl for at most ROWS rows, reading each weight once: decoding. One workgroup four columns of out, each by
// 64 invocations that share out D_in. Needs files of lib/ in front of it: a weight's and x's.

struct Parameters {
    rows: u32,
    d_out: u32,
    d_in: u32,
    stride: u32,
    first: u32,
    accumulate: u32,
    alpha: f32,
}

// 1, 4, 8, 16, 32 or 64; at least `parameters.rows`.
override ROWS: u32 = 64u;
const COLUMNS = 4u;
const LANES = 64u;

@group(0) @binding(2) var<storage, read_write> out: array<f32>;      // [T, D_out]
@group(0) @binding(3) var<uniform> parameters: Parameters;

// What each invocation has of 16 rows, by fours of them.
var<workgroup> shares: array<vec4<f32>, 1024>;

// Four weights' part of out in four rows; one beyond the last gives sums that nobody reads.
fn four_rows(w: vec4<f32>, row: u32, k: u32) -> vec4<f32> {
    let d_in = parameters.d_in;
    if ROWS == 1u {
        return vec4(dot(w, x_at(0u, k, d_in)), 0.0, 0.0, 0.0);
    }
    return vec4(
        dot(w, x_at(row, k, d_in)),
        dot(w, x_at(row + 1u, k, d_in)),
        dot(w, x_at(row + 2u, k, d_in)),
        dot(w, x_at(row + 3u, k, d_in)),
    );
}

// Sums the shares of the workgroup's columns in 16 rows: 16 vectors of four rows, by 16 invocations each, then by one.
fn finish(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, first_row: u32, first_column: u32, local: u32) {
    workgroupBarrier();
    shares[local] = a;
    shares[256u + local] = b;
    shares[512u + local] = c;
    shares[768u + local] = d;
    workgroupBarrier();
    let start = local / 16u * LANES + local % 16u;
    let share = shares[start] + shares[start + 16u] + shares[start + 32u] + shares[start + 48u];
    workgroupBarrier();
    shares[local] = share;
    workgroupBarrier();
    let row = first_row + local / COLUMNS * 4u;
    let column = first_column + local % COLUMNS;
    if local >= 16u || column >= parameters.d_out {
        return;
    }
    var sums = vec4(0.0);
    for (var i = 0u; i < 16u; i++) {
        sums += shares[local * 16u + i];
    }
    sums *= parameters.alpha;
    for (var i = 0u; i < 4u && row + i < parameters.rows; i++) {
        let to = (row + i) * parameters.d_out + column;
        if parameters.accumulate != 0u {
            out[to] += sums[i];
        } else {
            out[to] = sums[i];
        }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first_column = (group.x + group.y * groups.x) * COLUMNS;
    let column = first_column + local / LANES;
    var sums: array<vec4<f32>, 16>;
    if column < parameters.d_out {
        for (var k = local % LANES * 4u; k < parameters.d_in; k += LANES * 4u) {
            let w = weight_at(parameters.first + column, k, parameters.stride);
            // Written out: an array that a loop indexes need not stay in registers.
            sums[0] += four_rows(w, 0u, k);
            if ROWS > 4u {
                sums[1] += four_rows(w, 4u, k);
            }
            if ROWS > 8u {
                sums[2] += four_rows(w, 8u, k);
                sums[3] += four_rows(w, 12u, k);
            }
            if ROWS > 16u {
                sums[4] += four_rows(w, 16u, k);
                sums[5] += four_rows(w, 20u, k);
                sums[6] += four_rows(w, 24u, k);
                sums[7] += four_rows(w, 28u, k);
            }
            if ROWS > 32u {
                sums[8] += four_rows(w, 32u, k);
                sums[9] += four_rows(w, 36u, k);
                sums[10] += four_rows(w, 40u, k);
                sums[11] += four_rows(w, 44u, k);
                sums[12] += four_rows(w, 48u, k);
                sums[13] += four_rows(w, 52u, k);
                sums[14] += four_rows(w, 56u, k);
                sums[15] += four_rows(w, 60u, k);
            }
        }
    }
    finish(sums[0], sums[1], sums[2], sums[3], 0u, first_column, local);
    if ROWS > 16u {
        finish(sums[4], sums[5], sums[6], sums[7], 16u, first_column, local);
    }
    if ROWS > 32u {
        finish(sums[8], sums[9], sums[10], sums[11], 32u, first_column, local);
        finish(sums[12], sums[13], sums[14], sums[15], 48u, first_column, local);
    }
}
