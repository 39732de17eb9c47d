// What the gradient of a row of scores needs beside them: the row's log-sum-exp and sum(d_out * out); one invocation a
// row and head.

struct Parameters {
    rows: u32,
}

@group(0) @binding(0) var<storage, read> out: array<f32>;                   // [T, H * E]
@group(0) @binding(1) var<storage, read> d_out: array<f32>;                 // [T, H * E]
@group(0) @binding(2) var<storage, read> lse: array<f32>;                   // [T, H]
@group(0) @binding(3) var<storage, read_write> by_row: array<vec2<f32>>;    // [T, H]
@group(0) @binding(4) var<uniform> parameters: Parameters;

// Width of a head.
override E: u32 = 64u;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = (group.x + group.y * groups.x) * 256u + local;
    if row >= parameters.rows {
        return;
    }
    var sum = 0.0;
    for (var i = row * E; i < (row + 1u) * E; i++) {
        sum += d_out[i] * out[i];
    }
    by_row[row] = vec2(lse[row], sum);
}
