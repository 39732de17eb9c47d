// out = gate * sigmoid(gate) * up, one invocation a number (arXiv 2002.05202).

struct Parameters {
    count: u32,
}

@group(0) @binding(0) var<storage, read> gate: array<f32>;           // [T, F]
@group(0) @binding(1) var<storage, read> up: array<f32>;             // [T, F]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;      // [T, F]
@group(0) @binding(3) var<uniform> parameters: Parameters;

fn sigmoid(x: f32) -> f32 {
    // Bounded, so that the exponential stays finite; below, the result would be subnormal.
    return select(1.0 / (1.0 + exp(-max(x, -88.0))), 0.0, x < -88.0);
}

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
