// Sine and cosine of a rotary angle.
//
// Vulkan promises sine and cosine to 2^-11 only, and only within [-π, π]. So the angle, rounded to f32 as on the CPU,
// is reduced to [-π/4, π/4] here and put in polynomials (Cephes, sinf.c).

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

// Both numbers of a pair, rotated.
fn rotated(pair: vec2<f32>, rotation: vec2<f32>) -> vec2<f32> {
    return vec2(pair.x * rotation.y - pair.y * rotation.x, pair.y * rotation.y + pair.x * rotation.x);
}
