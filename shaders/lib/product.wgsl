// A product on cooperative matrices, a workgroup a tile of SIDE x SIDE: each subgroup of 32 has 64 rows and 32 columns
// of it in 4 x 2 blocks of 16 x 16. DEPTH columns of the left matrix and rows of the right one go by at a time; the
// next ones are on their way into registers meanwhile.
//
// Needs fragments_8.wgsl or fragments_16.wgsl, and rounded.wgsl, in front of it, and of the kernel behind it: LEFT_ROW
// and RIGHT_ROW, how many numbers a row of the tiles has, DEPTH or SIDE; `left_four` and `right_four`, the numbers at a
// place of the tiles; `left_block` and `right_block`; and `store`.

override SIDE: u32 = 128u; // or 64
override DEPTH: u32 = SIDE / 4u;
override INVOCATIONS: u32 = SIDE * SIDE / 64u;
override SUBGROUPS_ACROSS: u32 = SIDE / 32u;

// A tile in workgroup memory is SIDE rows of DEPTH numbers or the reverse, each row with 8 more against bank conflicts.
const PADDING = 8u;
override TILE_SIZE: u32 = SIDE * (DEPTH + PADDING);
override LEFT_STRIDE: u32 = LEFT_ROW + PADDING;
override RIGHT_STRIDE: u32 = RIGHT_ROW + PADDING;

// One block a subgroup, on its way out.
override BLOCKS_SIZE: u32 = INVOCATIONS * 8u;
var<workgroup> blocks: array<f32, BLOCKS_SIZE>;

// What the left matrix is multiplied by on its way into f16.
var<private> left_scale: f32 = 1.0;

struct Fours {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

// Row and column of an invocation's i-th four numbers of a tile whose rows have `row` numbers.
fn place(i: u32, local: u32, row: u32) -> vec2<u32> {
    let number = local + i * INVOCATIONS;
    return vec2(number / (row / 4u), number % (row / 4u) * 4u);
}

fn left_fours(corner: u32, k: u32, local: u32) -> Fours {
    return Fours(
        left_four(corner, k, place(0u, local, LEFT_ROW)),
        left_four(corner, k, place(1u, local, LEFT_ROW)),
        left_four(corner, k, place(2u, local, LEFT_ROW)),
        left_four(corner, k, place(3u, local, LEFT_ROW)),
    );
}

fn right_fours(corner: u32, k: u32, local: u32) -> Fours {
    return Fours(
        right_four(corner, k, place(0u, local, RIGHT_ROW)),
        right_four(corner, k, place(1u, local, RIGHT_ROW)),
        right_four(corner, k, place(2u, local, RIGHT_ROW)),
        right_four(corner, k, place(3u, local, RIGHT_ROW)),
    );
}

// Where it lies in a tile of rows of `row` numbers.
fn slot(i: u32, local: u32, row: u32) -> u32 {
    let place = place(i, local, row);
    return place.x * (row + PADDING) + place.y;
}

fn put_left_fours(fours: Fours, local: u32) {
    put_left(slot(0u, local, LEFT_ROW), rounded(left_scale * fours.a));
    put_left(slot(1u, local, LEFT_ROW), rounded(left_scale * fours.b));
    put_left(slot(2u, local, LEFT_ROW), rounded(left_scale * fours.c));
    put_left(slot(3u, local, LEFT_ROW), rounded(left_scale * fours.d));
}

fn put_right_fours(fours: Fours, local: u32) {
    put_right(slot(0u, local, RIGHT_ROW), rounded(fours.a));
    put_right(slot(1u, local, RIGHT_ROW), rounded(fours.b));
    put_right(slot(2u, local, RIGHT_ROW), rounded(fours.c));
    put_right(slot(3u, local, RIGHT_ROW), rounded(fours.d));
}

// Stores one block, by way of workgroup memory: where a tile reaches over the edge, `store` drops what lies there.
fn finish(sums: Sums, corner: vec2<u32>, subgroup: u32, lane: u32) {
    put_sums(subgroup, sums);
    workgroupBarrier();
    for (var i = lane; i < 256u; i += 32u) {
        store(corner.x + i / 16u, corner.y + i % 16u, blocks[subgroup * 256u + i]);
    }
    workgroupBarrier();
}

// The tile whose first number is in the product's row corner.x and column corner.y, summed over k from `start` to `end`.
fn product(corner: vec2<u32>, start: u32, end: u32, invocation: Invocation) {
    let local = invocation.local;
    let subgroup = subgroup_of(invocation);
    let lane = lane_of(invocation);
    let mine = vec2(subgroup / SUBGROUPS_ACROSS * 64u, subgroup % SUBGROUPS_ACROSS * 32u);
    for (var i = local; i < BLOCKS_SIZE; i += INVOCATIONS) {
        blocks[i] = 0.0;
    }
    workgroupBarrier();
    var sums00 = get_sums(subgroup);
    var sums01 = sums00;
    var sums10 = sums00;
    var sums11 = sums00;
    var sums20 = sums00;
    var sums21 = sums00;
    var sums30 = sums00;
    var sums31 = sums00;

    var left = left_fours(corner.x, start, local);
    var right = right_fours(corner.y, start, local);
    for (var k = start; k < end; k += DEPTH) {
        put_left_fours(left, local);
        put_right_fours(right, local);
        workgroupBarrier();
        left = left_fours(corner.x, k + DEPTH, local);
        right = right_fours(corner.y, k + DEPTH, local);
        for (var depth = 0u; depth < DEPTH; depth += 16u) {
            let right0 = right_block(depth, mine.y);
            let right1 = right_block(depth, mine.y + 16u);
            let left0 = left_block(mine.x, depth);
            sums00 = multiply_add(left0, right0, sums00);
            sums01 = multiply_add(left0, right1, sums01);
            let left1 = left_block(mine.x + 16u, depth);
            sums10 = multiply_add(left1, right0, sums10);
            sums11 = multiply_add(left1, right1, sums11);
            let left2 = left_block(mine.x + 32u, depth);
            sums20 = multiply_add(left2, right0, sums20);
            sums21 = multiply_add(left2, right1, sums21);
            let left3 = left_block(mine.x + 48u, depth);
            sums30 = multiply_add(left3, right0, sums30);
            sums31 = multiply_add(left3, right1, sums31);
        }
        workgroupBarrier();
    }

    let first = corner + mine;
    finish(sums00, first, subgroup, lane);
    finish(sums01, first + vec2(0u, 16u), subgroup, lane);
    finish(sums10, first + vec2(16u, 0u), subgroup, lane);
    finish(sums11, first + vec2(16u, 16u), subgroup, lane);
    finish(sums20, first + vec2(32u, 0u), subgroup, lane);
    finish(sums21, first + vec2(32u, 16u), subgroup, lane);
    finish(sums30, first + vec2(48u, 0u), subgroup, lane);
    finish(sums31, first + vec2(48u, 16u), subgroup, lane);
}
