// A power of two for gradients that become f16: it brings the largest of them, which largest.wgsl found, between 2^13 and
// 2^14. What is below 2^-28 of the largest then loses bits, and below 2^-38 becomes zero.

@group(0) @binding(2) var<storage, read> largest: array<vec4<f32>>;  // [16], of 64 parts

// The power, and the one that takes it back.
fn scale_and_inverse() -> vec2<f32> {
    var most = vec4(0.0);
    for (var i = 0u; i < 16u; i++) {
        most = max(most, largest[i]);
    }
    let exponent = bitcast<u32>(max(max(most.x, most.y), max(most.z, most.w))) >> 23u;
    // Exponents are kept 127 too high; 2^126 is the largest power whose inverse is a normal number.
    let power = min(140 - i32(exponent), 126);
    return vec2(bitcast<f32>(u32(127 + power) << 23u), bitcast<f32>(u32(127 - power) << 23u));
}
