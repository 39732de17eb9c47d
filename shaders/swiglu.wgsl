// out = gate * sigmoid(gate) * up, one invocation a number (arXiv 2002.05202).
// Needs lib/sigmoid.wgsl in front of it.

struct Parameters {
    count: u32,
}

@group(0) @binding(0) var<storage, read> gate: array<f32>;           // [T, F]
@group(0) @binding(1) var<storage, read> up: array<f32>;             // [T, F]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;      // [T, F]
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
    out[i] = gate[i] * sigmoid(gate[i]) * up[i];
}
