// As matmul.wgsl for at most ROWS rows, reading each weight once: decoding. One workgroup four columns of out, each by
// 64 invocations that share out D_in. Needs a file of lib/ in front of it.

struct Parameters {
    rows: u32,
    d_out: u32,
    d_in: u32,
    stride: u32,
    first: u32,
    accumulate: u32,
    alpha: f32,
}

// 1, 4, 8, 16 or 32; at least `parameters.rows`.
override ROWS: u32 = 32u;
const COLUMNS = 4u;
const LANES = 64u;

@group(0) @binding(1) var<storage, read> x: array<f32>;              // [T, D_in]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;      // [T, D_out]
@group(0) @binding(3) var<uniform> parameters: Parameters;

// What each invocation has of four rows.
var<workgroup> shares: array<vec4<f32>, 256>;

fn x_at(row: u32, column: u32) -> vec4<f32> {
    // A row beyond the last gives sums that nobody reads.
    let at = row * parameters.d_in + column;
    let inside = vec4(column) + vec4(0u, 1u, 2u, 3u) < vec4(parameters.d_in);
    return select(vec4(0.0), vec4(x[at], x[at + 1u], x[at + 2u], x[at + 3u]), inside);
}

// Four weights' part of out in four rows.
fn four_rows(w: vec4<f32>, row: u32, k: u32) -> vec4<f32> {
    if ROWS == 1u {
        return vec4(dot(w, x_at(0u, k)), 0.0, 0.0, 0.0);
    }
    return vec4(
        dot(w, x_at(row, k)),
        dot(w, x_at(row + 1u, k)),
        dot(w, x_at(row + 2u, k)),
        dot(w, x_at(row + 3u, k)),
    );
}

// Sums the shares of a column's invocations in four rows.
fn finish(share: vec4<f32>, row: u32, column: u32, local: u32) {
    workgroupBarrier();
    shares[local] = share;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local % LANES < half {
            shares[local] += shares[local + half];
        }
    }
    if local % LANES > 0u || column >= parameters.d_out {
        return;
    }
    let sums = parameters.alpha * shares[local];
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
    let column = (group.x + group.y * groups.x) * COLUMNS + local / LANES;
    var sums: array<vec4<f32>, 8>;
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
        }
    }
    finish(sums[0], 0u, column, local);
    if ROWS > 4u {
        finish(sums[1], 4u, column, local);
    }
    if ROWS > 8u {
        finish(sums[2], 8u, column, local);
        finish(sums[3], 12u, column, local);
    }
    if ROWS > 16u {
        finish(sums[4], 16u, column, local);
        finish(sums[5], 20u, column, local);
        finish(sums[6], 24u, column, local);
        finish(sums[7], 28u, column, local);
    }
}
