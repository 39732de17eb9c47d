// Turns gate and up into their gradients, one invocation a number:
// d_up = d_out * silu(gate), d_gate = d_out * up * s * (1 + gate * (1 - s)) with s = sigmoid(gate).
// Needs lib/sigmoid.wgsl in front of it.

struct Parameters {
    count: u32,
}

@group(0) @binding(0) var<storage, read_write> gate: array<f32>;     // [T, F]
@group(0) @binding(1) var<storage, read_write> up: array<f32>;       // [T, F]
@group(0) @binding(2) var<storage, read> d_out: array<f32>;          // [T, F]
@group(0) @binding(3) var<uniform> parameters: Parameters;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = (group.x + group.y * groups.x) * 256u + local;
    if i >= parameters.count {
        return;
    }
    let g = gate[i];
    let s = sigmoid(g);
    gate[i] = d_out[i] * up[i] * s * (1.0 + g * (1.0 - s));
    up[i] = d_out[i] * g * s;
}
