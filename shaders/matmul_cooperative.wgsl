// As matmul.wgsl, on cooperative matrices: x and the weight are rounded to f16. Needs files of lib/ in front of it:
// product.wgsl, a weight's and x's.

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

@group(0) @binding(2) var<storage, read_write> out: array<f32>;      // [parts, T, D_out]
@group(0) @binding(3) var<uniform> parameters: Parameters;

override LEFT_ROW: u32 = DEPTH;
override RIGHT_ROW: u32 = DEPTH;
var<private> part: u32;

fn left_four(corner: u32, k: u32, place: vec2<u32>) -> vec4<f32> {
    if corner + place.x < parameters.rows {
        return x_at(corner + place.x, k + place.y, parameters.d_in);
    }
    return vec4(0.0);
}

fn right_four(corner: u32, k: u32, place: vec2<u32>) -> vec4<f32> {
    if corner + place.x < parameters.d_out && k + place.y < parameters.d_in {
        return weight_at(parameters.first + corner + place.x, k + place.y, parameters.stride);
    }
    return vec4(0.0);
}

fn left_block(row: u32, depth: u32) -> Left {
    return left_by_rows(row * LEFT_STRIDE + depth, LEFT_STRIDE);
}

fn right_block(depth: u32, column: u32) -> Right {
    return right_by_columns(column * RIGHT_STRIDE + depth, RIGHT_STRIDE);
}

fn store(row: u32, column: u32, sum: f32) {
    if row < parameters.rows && column < parameters.d_out {
        let to = (part * parameters.rows + row) * parameters.d_out + column;
        if parameters.accumulate != 0u {
            out[to] += parameters.alpha * sum;
        } else {
            out[to] = parameters.alpha * sum;
        }
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, invocation: Invocation) {
    part = group.z;
    let start = part * parameters.part;
    let end = min(start + parameters.part, parameters.d_in);
    product(vec2(group.y, group.x) * SIDE, start, end, invocation);
}
