// The gradient of attention's out, of heads of a width that four divides. Four numbers from number `at` on.

@group(0) @binding(3) var<storage, read> d_out: array<vec4<f32>>;    // [T, H * E / 4]

fn d_out_at(at: u32) -> vec4<f32> {
    return d_out[at / 4u];
}
