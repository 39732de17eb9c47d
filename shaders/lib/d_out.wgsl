// The gradient of attention's out, of heads of any width. Four numbers from number `at` on.

@group(0) @binding(3) var<storage, read> d_out: array<f32>;          // [T, H * E]

fn d_out_at(at: u32) -> vec4<f32> {
    return vec4(d_out[at], d_out[at + 1u], d_out[at + 2u], d_out[at + 3u]);
}
