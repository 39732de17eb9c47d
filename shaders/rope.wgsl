// Rotates the half-split pairs (e, e + E/2) of every head by positions[t] * frequencies[e], in place (arXiv 2104.09864);
// one invocation a pair. Needs lib/turn.wgsl in front of it.

struct Parameters {
    pairs: u32,
    pairs_per_row: u32,
    half: u32,
    sign: f32,
}

@group(0) @binding(0) var<storage, read_write> x: array<f32>;         // [T, heads * E]
@group(0) @binding(1) var<storage, read> positions: array<u32>;       // [T]
@group(0) @binding(2) var<storage, read> frequencies: array<f32>;     // [E / 2]
@group(0) @binding(3) var<uniform> parameters: Parameters;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let pair = (group.x + group.y * groups.x) * 256u + local;
    if pair >= parameters.pairs {
        return;
    }
    let e = pair % parameters.half;
    let rotation = turn(f32(positions[pair / parameters.pairs_per_row]) * frequencies[e]);
    let low = pair / parameters.half * 2u * parameters.half + e;
    let high = low + parameters.half;
    let turned = rotated(vec2(x[low], x[high]), vec2(parameters.sign * rotation.x, rotation.y));
    x[low] = turned.x;
    x[high] = turned.y;
}
