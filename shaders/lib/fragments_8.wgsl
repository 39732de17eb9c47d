// Blocks of 16 x 16 of a product as four cooperative matrices of 8 x 8 (Metal): f16 in, f32 out. An argument of a load
// or store is a name: naga's SPIR-V writer takes no other expression there.

enable f16;
enable wgpu_cooperative_matrix;

struct Invocation {
    @builtin(local_invocation_index) local: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) lane: u32,
}

fn subgroup_of(invocation: Invocation) -> u32 {
    return invocation.subgroup;
}

fn lane_of(invocation: Invocation) -> u32 {
    return invocation.lane;
}

// By rows: a0 a1 over a2 a3.
struct Left {
    a0: coop_mat8x8<f16, A>,
    a1: coop_mat8x8<f16, A>,
    a2: coop_mat8x8<f16, A>,
    a3: coop_mat8x8<f16, A>,
}

struct Right {
    b0: coop_mat8x8<f16, B>,
    b1: coop_mat8x8<f16, B>,
    b2: coop_mat8x8<f16, B>,
    b3: coop_mat8x8<f16, B>,
}

struct Sums {
    c0: coop_mat8x8<f32, C>,
    c1: coop_mat8x8<f32, C>,
    c2: coop_mat8x8<f32, C>,
    c3: coop_mat8x8<f32, C>,
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

// A block whose rows, or whose columns, are `stride` numbers apart.
fn left_by_rows(at: u32, stride: u32) -> Left {
    let right = at + 8u;
    let below = at + 8u * stride;
    let across = below + 8u;
    let a0 = coopLoadT<coop_mat8x8<f16, A>>(&left_tile[at], stride);
    let a1 = coopLoadT<coop_mat8x8<f16, A>>(&left_tile[right], stride);
    let a2 = coopLoadT<coop_mat8x8<f16, A>>(&left_tile[below], stride);
    let a3 = coopLoadT<coop_mat8x8<f16, A>>(&left_tile[across], stride);
    return Left(a0, a1, a2, a3);
}

fn left_by_columns(at: u32, stride: u32) -> Left {
    let right = at + 8u * stride;
    let below = at + 8u;
    let across = right + 8u;
    let a0 = coopLoad<coop_mat8x8<f16, A>>(&left_tile[at], stride);
    let a1 = coopLoad<coop_mat8x8<f16, A>>(&left_tile[right], stride);
    let a2 = coopLoad<coop_mat8x8<f16, A>>(&left_tile[below], stride);
    let a3 = coopLoad<coop_mat8x8<f16, A>>(&left_tile[across], stride);
    return Left(a0, a1, a2, a3);
}

fn right_by_rows(at: u32, stride: u32) -> Right {
    let right = at + 8u;
    let below = at + 8u * stride;
    let across = below + 8u;
    let b0 = coopLoadT<coop_mat8x8<f16, B>>(&right_tile[at], stride);
    let b1 = coopLoadT<coop_mat8x8<f16, B>>(&right_tile[right], stride);
    let b2 = coopLoadT<coop_mat8x8<f16, B>>(&right_tile[below], stride);
    let b3 = coopLoadT<coop_mat8x8<f16, B>>(&right_tile[across], stride);
    return Right(b0, b1, b2, b3);
}

fn right_by_columns(at: u32, stride: u32) -> Right {
    let right = at + 8u * stride;
    let below = at + 8u;
    let across = right + 8u;
    let b0 = coopLoad<coop_mat8x8<f16, B>>(&right_tile[at], stride);
    let b1 = coopLoad<coop_mat8x8<f16, B>>(&right_tile[right], stride);
    let b2 = coopLoad<coop_mat8x8<f16, B>>(&right_tile[below], stride);
    let b3 = coopLoad<coop_mat8x8<f16, B>>(&right_tile[across], stride);
    return Right(b0, b1, b2, b3);
}

fn multiply_add(left: Left, right: Right, sums: Sums) -> Sums {
    let c0 = coopMultiplyAdd(left.a0, right.b0, sums.c0);
    let c1 = coopMultiplyAdd(left.a0, right.b1, sums.c1);
    let c2 = coopMultiplyAdd(left.a2, right.b0, sums.c2);
    let c3 = coopMultiplyAdd(left.a2, right.b1, sums.c3);
    let d0 = coopMultiplyAdd(left.a1, right.b2, c0);
    let d1 = coopMultiplyAdd(left.a1, right.b3, c1);
    let d2 = coopMultiplyAdd(left.a3, right.b2, c2);
    let d3 = coopMultiplyAdd(left.a3, right.b3, c3);
    return Sums(d0, d1, d2, d3);
}

// Block number `block` of `blocks`.
fn get_sums(block: u32) -> Sums {
    let at = block * 256u;
    let right = at + 8u;
    let below = at + 128u;
    let across = at + 136u;
    let stride = 16u;
    let c0 = coopLoadT<coop_mat8x8<f32, C>>(&blocks[at], stride);
    let c1 = coopLoadT<coop_mat8x8<f32, C>>(&blocks[right], stride);
    let c2 = coopLoadT<coop_mat8x8<f32, C>>(&blocks[below], stride);
    let c3 = coopLoadT<coop_mat8x8<f32, C>>(&blocks[across], stride);
    return Sums(c0, c1, c2, c3);
}

fn put_sums(block: u32, sums: Sums) {
    let at = block * 256u;
    let right = at + 8u;
    let below = at + 128u;
    let across = at + 136u;
    let stride = 16u;
    let c0 = sums.c0;
    let c1 = sums.c1;
    let c2 = sums.c2;
    let c3 = sums.c3;
    coopStoreT(c0, &blocks[at], stride);
    coopStoreT(c1, &blocks[right], stride);
    coopStoreT(c2, &blocks[below], stride);
    coopStoreT(c3, &blocks[across], stride);
}
