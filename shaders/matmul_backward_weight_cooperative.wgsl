// As matmul_backward_weight.wgsl, on cooperative matrices: d_out and x are rounded to f16. Needs files of lib/ in front of
// it: product.wgsl, scale.wgsl and x's.

struct Parameters {
    rows: u32,
    d_out: u32,
    d_in: u32,
    first: u32,
    accumulate: u32,
    alpha: f32,
    // How much of the sum one workgroup takes, a multiple of 32; the z-th writes the z-th of several outs.
    part: u32,
}

@group(0) @binding(0) var<storage, read> d_out: array<f32>;          // [T, D_out]
@group(0) @binding(3) var<storage, read_write> d_weight: array<f32>; // [parts, first + D_out, D_in]
@group(0) @binding(4) var<uniform> parameters: Parameters;

override LEFT_ROW: u32 = SIDE;
override RIGHT_ROW: u32 = SIDE;
var<private> part: u32;
var<private> unscale: f32;

fn left_four(corner: u32, k: u32, place: vec2<u32>) -> vec4<f32> {
    let column = corner + place.y;
    var out = vec4(0.0);
    if k + place.x < parameters.rows {
        for (var i = 0u; i < 4u && column + i < parameters.d_out; i++) {
            out[i] = d_out[(k + place.x) * parameters.d_out + column + i];
        }
    }
    return out;
}

fn right_four(corner: u32, k: u32, place: vec2<u32>) -> vec4<f32> {
    if k + place.x < parameters.rows {
        return x_at(k + place.x, corner + place.y, parameters.d_in);
    }
    return vec4(0.0);
}

fn left_block(row: u32, depth: u32) -> Left {
    return left_by_columns(depth * LEFT_STRIDE + row, LEFT_STRIDE);
}

fn right_block(depth: u32, column: u32) -> Right {
    return right_by_rows(depth * RIGHT_STRIDE + column, RIGHT_STRIDE);
}

fn store(row: u32, column: u32, sum: f32) {
    if row < parameters.d_out && column < parameters.d_in {
        let to = (part * parameters.d_out + parameters.first + row) * parameters.d_in + column;
        let value = parameters.alpha * (unscale * sum);
        if parameters.accumulate != 0u {
            d_weight[to] += value;
        } else {
            d_weight[to] = value;
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
    let end = min(start + parameters.part, parameters.rows);
    product(vec2(group.y, group.x) * SIDE, start, end, invocation);
}
