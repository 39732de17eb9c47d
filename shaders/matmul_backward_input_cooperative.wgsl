// As matmul_backward_input.wgsl, on cooperative matrices: d_out, called x here, and the weight are rounded to f16. Needs
// files of lib/ in front of it: product.wgsl, scale.wgsl, a weight's and x's.

struct Parameters {
    rows: u32,
    d_out: u32,
    d_in: u32,
    stride: u32,
    first: u32,
    accumulate: u32,
    alpha: f32,
    // How much of the sum one workgroup takes, a multiple of 32; the z-th writes the z-th of several outs.
    part: u32,
}

@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;      // [parts, T, D_in]
@group(0) @binding(4) var<uniform> parameters: Parameters;

override LEFT_ROW: u32 = DEPTH;
override RIGHT_ROW: u32 = SIDE;
var<private> part: u32;
var<private> unscale: f32;

fn left_four(corner: u32, k: u32, place: vec2<u32>) -> vec4<f32> {
    if corner + place.x < parameters.rows {
        return x_at(corner + place.x, k + place.y, parameters.d_out);
    }
    return vec4(0.0);
}

fn right_four(corner: u32, k: u32, place: vec2<u32>) -> vec4<f32> {
    if k + place.x < parameters.d_out && corner + place.y < parameters.d_in {
        return weight_at(parameters.first + k + place.x, corner + place.y, parameters.stride);
    }
    return vec4(0.0);
}

fn left_block(row: u32, depth: u32) -> Left {
    return left_by_rows(row * LEFT_STRIDE + depth, LEFT_STRIDE);
}

fn right_block(depth: u32, column: u32) -> Right {
    return right_by_rows(depth * RIGHT_STRIDE + column, RIGHT_STRIDE);
}

fn store(row: u32, column: u32, sum: f32) {
    if row < parameters.rows && column < parameters.d_in {
        let to = (part * parameters.rows + row) * parameters.d_in + column;
        let value = parameters.alpha * (unscale * sum);
        if parameters.accumulate != 0u {
            d_x[to] += value;
        } else {
            d_x[to] = value;
        }
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, invocation: Invocation) {
    part = group.z;
    let scale = scale_and_inverse();
    left_scale = scale.x;
    unscale = scale.y;
    let start = part * parameters.part;
    let end = min(start + parameters.part, parameters.d_out);
    product(vec2(group.y, group.x) * SIDE, start, end, invocation);
}
