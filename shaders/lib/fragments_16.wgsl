// Blocks of 16 x 16 of a product as cooperative matrices of that size (Vulkan): f16 in, f32 out. The tiles that they
// are loaded from lie in pairs, which are stored at once. An argument of a load or store is a name: naga's SPIR-V
// writer takes no other expression there.

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

alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sums = coop_mat16x16<f32, C>;

override PAIRS: u32 = TILE_SIZE / 2u;
var<workgroup> left_tile: array<vec2<f16>, PAIRS>;
var<workgroup> right_tile: array<vec2<f16>, PAIRS>;

fn put_left(at: u32, values: vec4<f16>) {
    left_tile[at / 2u] = values.xy;
    left_tile[at / 2u + 1u] = values.zw;
}

fn put_right(at: u32, values: vec4<f16>) {
    right_tile[at / 2u] = values.xy;
    right_tile[at / 2u + 1u] = values.zw;
}

// A block whose rows, or whose columns, are `stride` numbers apart.
fn left_by_rows(at: u32, stride: u32) -> Left {
    let pair = at / 2u;
    let pairs = stride / 2u;
    return coopLoadT<coop_mat16x16<f16, A>>(&left_tile[pair], pairs);
}

fn left_by_columns(at: u32, stride: u32) -> Left {
    let pair = at / 2u;
    let pairs = stride / 2u;
    return coopLoad<coop_mat16x16<f16, A>>(&left_tile[pair], pairs);
}

fn right_by_rows(at: u32, stride: u32) -> Right {
    let pair = at / 2u;
    let pairs = stride / 2u;
    return coopLoadT<coop_mat16x16<f16, B>>(&right_tile[pair], pairs);
}

fn right_by_columns(at: u32, stride: u32) -> Right {
    let pair = at / 2u;
    let pairs = stride / 2u;
    return coopLoad<coop_mat16x16<f16, B>>(&right_tile[pair], pairs);
}

fn multiply_add(left: Left, right: Right, sums: Sums) -> Sums {
    return coopMultiplyAdd(left, right, sums);
}

// Block number `block` of `blocks`.
fn get_sums(block: u32) -> Sums {
    let at = block * 256u;
    let stride = 16u;
    return coopLoadT<coop_mat16x16<f32, C>>(&blocks[at], stride);
}

fn put_sums(block: u32, sums: Sums) {
    let at = block * 256u;
    let stride = 16u;
    coopStoreT(sums, &blocks[at], stride);
}
