// In place of shaders/lib/fragments_16.wgsl where there are no cooperative matrices, so that what is around them is run:
// a block of a tile is where it lies, and each of 32 invocations sums 8 numbers of a block of the product.

enable f16;

struct Invocation {
    @builtin(local_invocation_index) local: u32,
}

var<private> own_lane: u32;

fn subgroup_of(invocation: Invocation) -> u32 {
    return invocation.local / 32u;
}

fn lane_of(invocation: Invocation) -> u32 {
    own_lane = invocation.local % 32u;
    return own_lane;
}

// Its first number, and how far apart rows and columns are.
struct Left {
    at: u32,
    row: u32,
    column: u32,
}

struct Right {
    at: u32,
    row: u32,
    column: u32,
}

// Numbers lane, lane + 32, ..
struct Sums {
    a: vec4<f32>,
    b: vec4<f32>,
}

var<workgroup> left_tile: array<f16, TILE_SIZE>;
var<workgroup> right_tile: array<f16, TILE_SIZE>;

fn put_left(at: u32, values: vec4<f16>) {
    left_tile[at] = values.x;
    left_tile[at + 1u] = values.y;
    left_tile[at + 2u] = values.z;
    left_tile[at + 3u] = values.w;
}

fn put_right(at: u32, values: vec4<f16>) {
    right_tile[at] = values.x;
    right_tile[at + 1u] = values.y;
    right_tile[at + 2u] = values.z;
    right_tile[at + 3u] = values.w;
}

fn left_by_rows(at: u32, stride: u32) -> Left {
    return Left(at, stride, 1u);
}

fn left_by_columns(at: u32, stride: u32) -> Left {
    return Left(at, 1u, stride);
}

fn right_by_rows(at: u32, stride: u32) -> Right {
    return Right(at, stride, 1u);
}

fn right_by_columns(at: u32, stride: u32) -> Right {
    return Right(at, 1u, stride);
}

fn dot_of(left: Left, right: Right, i: u32) -> f32 {
    let number = own_lane + 32u * i;
    var sum = 0.0;
    for (var k = 0u; k < 16u; k++) {
        let l = left_tile[left.at + number / 16u * left.row + k * left.column];
        let r = right_tile[right.at + k * right.row + number % 16u * right.column];
        sum += f32(l) * f32(r);
    }
    return sum;
}

fn multiply_add(left: Left, right: Right, sums: Sums) -> Sums {
    var out = sums;
    for (var i = 0u; i < 4u; i++) {
        out.a[i] += dot_of(left, right, i);
        out.b[i] += dot_of(left, right, i + 4u);
    }
    return out;
}

fn get_sums(block: u32) -> Sums {
    var out: Sums;
    for (var i = 0u; i < 4u; i++) {
        out.a[i] = blocks[block * 256u + own_lane + 32u * i];
        out.b[i] = blocks[block * 256u + own_lane + 32u * (i + 4u)];
    }
    return out;
}

fn put_sums(block: u32, sums: Sums) {
    for (var i = 0u; i < 4u; i++) {
        blocks[block * 256u + own_lane + 32u * i] = sums.a[i];
        blocks[block * 256u + own_lane + 32u * (i + 4u)] = sums.b[i];
    }
}
