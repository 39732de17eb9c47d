// With r = 1 / sqrt(mean(x²) + eps), n = x * r and g = d_out * weight: d_x += (g - n * mean(g * n)) * r, one workgroup
// a row. Leaves r for the gradient of the weight.

struct Parameters {
    width: u32,
    rows: u32,
    eps: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;                  // [T, D]
@group(0) @binding(1) var<storage, read> weight: array<f32>;             // [D]
@group(0) @binding(2) var<storage, read> d_out: array<f32>;              // [T, D]
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;          // [T, D]
@group(0) @binding(4) var<storage, read_write> inverse_rms: array<f32>;  // [T]
@group(0) @binding(5) var<uniform> parameters: Parameters;

// Sums of x² and of x * g.
var<workgroup> partial: array<vec2<f32>, 256>;

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
    var sum = vec2(0.0);
    for (var i = local; i < parameters.width; i += 256u) {
        let value = x[start + i];
        sum += value * vec2(value, d_out[start + i] * weight[i]);
    }
    partial[local] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            partial[local] += partial[local + half];
        }
    }
    workgroupBarrier();
    let mean = partial[0] / f32(parameters.width);
    let scale = inverseSqrt(mean.x + parameters.eps);
    let along = mean.y * scale * scale * scale;
    for (var i = local; i < parameters.width; i += 256u) {
        d_x[start + i] += d_out[start + i] * weight[i] * scale - x[start + i] * along;
    }
    if local == 0u {
        inverse_rms[row] = scale;
    }
}
