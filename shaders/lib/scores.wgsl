// What the attention kernels over tiles share. A workgroup of 64 has ROWS rows of scores, and COLUMNS columns of them go
// by at a time: an invocation has four rows and four columns in registers, and of what the scores weigh, the same rows
// and eight columns, so that 16 bytes from workgroup memory serve 8 to 11 multiply-adds. In all 16 KiB at most.
//
// Needs of the kernel behind it: LEFT_STRIDE, how many fours of a row of the left matrix lie in workgroup memory.

// Width of a head, 1 to 128.
override E: u32 = 64u;
override FOURS: u32 = (E + 3u) / 4u;
// Invocations that share four rows: 8, or 16 where heads are wider than 64.
override LANES: u32 = (E + 63u) / 64u * 8u;
override ROWS: u32 = 256u / LANES;
// Rows of a tile, one or two times ROWS.
const TILE = 32u;
override COLUMNS: u32 = 4u * LANES;
// Fours of a head that a product of rows takes at a time, at most 8.
override DEPTH: u32 = 64u / LANES;
// Fours of a row that is weighed, and rows that are weighed at a time.
override WIDTH: u32 = 2u * LANES;
override AT_ONCE: u32 = 128u / LANES;
override LEFT_SIZE: u32 = ROWS * LEFT_STRIDE;

var<workgroup> left: array<vec4<f32>, LEFT_SIZE>;
// DEPTH fours of COLUMNS rows, or WIDTH fours of AT_ONCE rows.
var<workgroup> right: array<vec4<f32>, 256>;
// ROWS rows of COLUMNS numbers.
var<workgroup> weights: array<vec4<f32>, 256>;

// One more product of four numbers of a row and of four of each of four columns, given row by row.
fn step(sums: vec4<f32>, x: vec4<f32>, w: mat4x4<f32>) -> vec4<f32> {
    return fma(vec4(x.w), w[3], fma(vec4(x.z), w[2], fma(vec4(x.y), w[1], fma(vec4(x.x), w[0], sums))));
}

// The same of four rows. A matrix stands for four rows: its i-th vector is the i-th row.
fn steps(sums: mat4x4<f32>, x: mat4x4<f32>, w: mat4x4<f32>) -> mat4x4<f32> {
    return mat4x4(step(sums[0], x[0], w), step(sums[1], x[1], w), step(sums[2], x[2], w), step(sums[3], x[3], w));
}

// Puts a four, the `depth`-th of those at a time, of the row that makes a column of the scores. The four columns of a
// lane lie LANES apart, and lanes that read at once, or invocations that write at once, meet no bank twice.
fn put_column(column: u32, depth: u32, values: vec4<f32>) {
    right[depth * COLUMNS + column % 4u * LANES + ((column / 4u) ^ depth)] = values;
}

// Rows `row` to `row + 3` and columns `4 * lane` to `4 * lane + 3` of left · rightᵀ, over DEPTH fours: of the left,
// those from `four` on.
fn scored(sums: mat4x4<f32>, row: u32, lane: u32, four: u32) -> mat4x4<f32> {
    var scores = sums;
    for (var depth = 0u; depth < DEPTH; depth++) {
        let x = row * LEFT_STRIDE + four + depth;
        let w = depth * COLUMNS + (lane ^ depth);
        scores = steps(
            scores,
            mat4x4(left[x], left[x + LEFT_STRIDE], left[x + 2u * LEFT_STRIDE], left[x + 3u * LEFT_STRIDE]),
            transpose(mat4x4(right[w], right[w + LANES], right[w + 2u * LANES], right[w + 3u * LANES])),
        );
    }
    return scores;
}

// Four rows of eight columns: from `4 * lane` on, and from `4 * (LANES + lane)` on.
struct Sums {
    near: mat4x4<f32>,
    far: mat4x4<f32>,
}

// Rows `row` to `row + 3` of weights · right, over AT_ONCE rows of the right: of the weights, columns from `column` on.
fn weighed(sums: Sums, row: u32, lane: u32, column: u32) -> Sums {
    var near = sums.near;
    var far = sums.far;
    for (var four = 0u; four < AT_ONCE / 4u; four++) {
        let x = row * LANES + column / 4u + four;
        let rows = mat4x4(weights[x], weights[x + LANES], weights[x + 2u * LANES], weights[x + 3u * LANES]);
        let w = 4u * four * WIDTH + lane;
        near = steps(near, rows, mat4x4(right[w], right[w + WIDTH], right[w + 2u * WIDTH], right[w + 3u * WIDTH]));
        let f = w + LANES;
        far = steps(far, rows, mat4x4(right[f], right[f + WIDTH], right[f + 2u * WIDTH], right[f + 3u * WIDTH]));
    }
    return Sums(near, far);
}

fn put_weights(row: u32, lane: u32, rows: mat4x4<f32>) {
    let at = row * LANES + lane;
    weights[at] = rows[0];
    weights[at + LANES] = rows[1];
    weights[at + 2u * LANES] = rows[2];
    weights[at + 3u * LANES] = rows[3];
}
