// d_logits = d_logps * (onehot(target) - exp(logits - lse)) in place, over one tile; one number an invocation.

struct Parameters {
    rows: u32,
    // Columns of the tile, and its first one in the vocabulary.
    width: u32,
    first: u32,
}

@group(0) @binding(0) var<storage, read> targets: array<u32>;        // [T]
@group(0) @binding(1) var<storage, read> lse: array<f32>;            // [T]
@group(0) @binding(2) var<storage, read> d_logps: array<f32>;        // [T]
@group(0) @binding(3) var<storage, read_write> logits: array<f32>;   // [T, width]
@group(0) @binding(4) var<uniform> parameters: Parameters;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (group.x + group.y * groups.x) * 256u + local;
    let row = at / parameters.width;
    if row >= parameters.rows {
        return;
    }
    let d = d_logps[row];
    var d_logit = -d * exp(logits[at] - lse[row]);
    if parameters.first + at % parameters.width == targets[row] {
        d_logit += d;
    }
    logits[at] = d_logit;
}
