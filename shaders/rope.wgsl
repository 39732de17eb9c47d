// Rotates the half-split pairs (e, e + E/2) of every head by positions[t] * frequencies[e], in place (arXiv 2104.09864);
// one invocation a pair.
//
// Vulkan promises sine and cosine to 2^-11 only, and only within [-π, π]. So the angle, rounded to f32 as on the CPU,
// is reduced to [-π/4, π/4] here and put in polynomials (Cephes, sinf.c).

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

// 2π in three parts, the first two of 8 and 9 bits: products with up to 2^15 turns are exact, so that `fma` need not be
// fused. Written as products and differences, a compiler free to reorder them may put the parts together again.
const TURN = vec3(6.28125, 0.001934051513671875, 1.2556659146e-6);
// π/2 in two parts.
const QUARTER = vec2(1.5703125, 4.838267948966e-4);

// (sine, cosine)
fn turn(angle: f32) -> vec2<f32> {
    let turns = round(angle * 0.15915494);
    let within = fma(-turns, TURN.z, fma(-turns, TURN.y, fma(-turns, TURN.x, angle)));
    let quarters = round(within * 0.63661977);
    let a = fma(-quarters, QUARTER.y, fma(-quarters, QUARTER.x, within));
    let z = a * a;
    let sine = a + a * z * ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1);
    let cosine = 1.0 - 0.5 * z + z * z * ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2);
    switch i32(quarters) & 3 {
        case 1: { return vec2(cosine, -sine); }
        case 2: { return vec2(-sine, -cosine); }
        case 3: { return vec2(-cosine, sine); }
        default: { return vec2(sine, cosine); }
    }
}

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
    let sine = parameters.sign * rotation.x;
    let cosine = rotation.y;
    let low_at = pair / parameters.half * 2u * parameters.half + e;
    let high_at = low_at + parameters.half;
    let low = x[low_at];
    let high = x[high_at];
    x[low_at] = low * cosine - high * sine;
    x[high_at] = high * cosine + low * sine;
}
