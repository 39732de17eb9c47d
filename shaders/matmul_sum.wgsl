// Adds up the parts that a product was cut into: out = alpha * sum of the parts, or out += it, from out's number `first`
// on. One invocation a number.

struct Parameters {
    len: u32,
    parts: u32,
    first: u32,
    accumulate: u32,
    alpha: f32,
}

@group(0) @binding(0) var<storage, read> parts: array<f32>;          // [parts, len]
@group(0) @binding(1) var<storage, read_write> out: array<f32>;      // [first + len]
@group(0) @binding(2) var<uniform> parameters: Parameters;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (group.x + group.y * groups.x) * 256u + local;
    if at >= parameters.len {
        return;
    }
    var sum = 0.0;
    for (var i = 0u; i < parameters.parts; i++) {
        sum += parts[i * parameters.len + at];
    }
    let to = parameters.first + at;
    if parameters.accumulate != 0u {
        out[to] += parameters.alpha * sum;
    } else {
        out[to] = parameters.alpha * sum;
    }
}
