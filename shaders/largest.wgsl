// The largest absolute value of each of 64 parts of x, one workgroup a part.

struct Parameters {
    len: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;              // [len]
@group(0) @binding(1) var<storage, read_write> largest: array<f32>;  // [64]
@group(0) @binding(2) var<uniform> parameters: Parameters;

const PARTS = 64u;
var<workgroup> shares: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    var most = 0.0;
    for (var i = group.x * 256u + local; i < parameters.len; i += PARTS * 256u) {
        most = max(most, abs(x[i]));
    }
    shares[local] = most;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            shares[local] = max(shares[local], shares[local + half]);
        }
    }
    if local == 0u {
        largest[group.x] = shares[0];
    }
}
