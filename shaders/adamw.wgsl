// One step of AdamW on one tensor, one invocation a number (arXiv 1711.05101; torch's clip_grad_norm_ before it). None
// where the norm is not finite.

struct Parameters {
    count: u32,
    max_grad_norm: f32,         // 0 clips nothing
    beta1: f32,
    beta2: f32,
    eps: f32,
    step_size: f32,             // learning rate / (1 - beta1^step)
    root_correction: f32,       // sqrt(1 - beta2^step)
    decay: f32,                 // 1 - learning rate * weight decay
}

@group(0) @binding(0) var<storage, read_write> value: array<f32>;    // [N]
@group(0) @binding(1) var<storage, read> gradient: array<f32>;       // [N]
@group(0) @binding(2) var<storage, read_write> first: array<f32>;    // [N]
@group(0) @binding(3) var<storage, read_write> second: array<f32>;   // [N]
@group(0) @binding(4) var<storage, read> norm_squared: array<f32>;   // [1]
@group(0) @binding(5) var<uniform> parameters: Parameters;

// torch divides by the norm plus this.
const NORM_EPS = 1e-6;
const INFINITE = 0x7f800000u;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = (group.x + group.y * groups.x) * 256u + local;
    // By its bits: a compiler may take every number for finite.
    if i >= parameters.count || (bitcast<u32>(norm_squared[0]) & 0x7fffffffu) >= INFINITE {
        return;
    }
    var clip = 1.0;
    if parameters.max_grad_norm > 0.0 {
        clip = min(parameters.max_grad_norm / (sqrt(norm_squared[0]) + NORM_EPS), 1.0);
    }
    let g = clip * gradient[i];
    let m = parameters.beta1 * first[i] + (1.0 - parameters.beta1) * g;
    let v = parameters.beta2 * second[i] + (1.0 - parameters.beta2) * g * g;
    first[i] = m;
    second[i] = v;
    value[i] = value[i] * parameters.decay
        - parameters.step_size * m / (sqrt(v) / parameters.root_correction + parameters.eps);
}
