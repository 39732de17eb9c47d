// out = x / sqrt(mean(x²) + eps) * weight, one workgroup a row (arXiv 1910.07467).

struct Parameters {
    width: u32,
    rows: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;              // [T, D]
@group(0) @binding(1) var<storage, read> weight: array<f32>;         // [D]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;      // [T, D]
@group(0) @binding(3) var<uniform> parameters: Parameters;

var<workgroup> shares: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= parameters.rows {
        return;
    }
    let start = row * parameters.width;
    var sum = 0.0;
    for (var i = local; i < parameters.width; i += 256u) {
        sum += x[start + i] * x[start + i];
    }
    shares[local] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            shares[local] += shares[local + half];
        }
    }
    workgroupBarrier();
    let scale = inverseSqrt(shares[0] / f32(parameters.width) + parameters.eps);
    for (var i = local; i < parameters.width; i += 256u) {
        out[start + i] = x[start + i] * scale * weight[i];
    }
}
