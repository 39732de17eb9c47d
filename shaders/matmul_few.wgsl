// As matmul.wgsl for at most ROWS rows, reading each weight once: decoding. One workgroup four rows of the weight, each by
// 64 invocations that share out D_in. Three things may happen on the way:
//
//     GAINED, NORMED   x is rms-normed: its columns times `gain`, and sums divided by the root of its mean square
//     ADAPTED          low-rank pairs of one rank are added, before that division: sums += scale * low · Bᵀ
//     GATED            the weight is two behind each other, whose columns go in pairs into silu(first) * second
//
// Needs files of lib/ in front of it: a weight's, x's and sigmoid.wgsl.

struct Parameters {
    rows: u32,
    d_out: u32,
    d_in: u32,
    stride: u32,
    first: u32,
    accumulate: u32,
    alpha: f32,
    // Of adapters: R, their scale, how many there are, and the rows of the weight at which the next ones begin.
    rank: u32,
    scale: f32,
    adapters: u32,
    second: u32,
    third: u32,
    // Added to the mean square.
    eps: f32,
}

@group(0) @binding(2) var<storage, read> low: array<vec4<f32>>;      // [T, adapters * R / 4], x · Aᵀ
@group(0) @binding(3) var<storage, read> b: array<vec4<f32>>;        // [rows of the weight, R / 4]
@group(0) @binding(4) var<storage, read> gain: array<vec4<f32>>;     // [D_in / 4]
@group(0) @binding(5) var<storage, read_write> out: array<f32>;      // [T, D_out]
@group(0) @binding(6) var<uniform> parameters: Parameters;

// 1, 4, 8, 16, 32 or 64; at least `parameters.rows`.
override ROWS: u32 = 64u;
override GAINED: bool = false;
override NORMED: bool = false;
override ADAPTED: bool = false;
override GATED: bool = false;
// Columns of out that a workgroup fills.
override COLUMNS: u32 = select(4u, 2u, GATED);
const LANES = 64u;

// What each invocation has of 16 rows, by fours of them.
var<workgroup> shares: array<vec4<f32>, 1024>;

// Four numbers of a row of x, or of low; one beyond the last gives sums that nobody reads.
fn input(row: u32, k: u32, of_low: bool) -> vec4<f32> {
    if of_low {
        return low[(row * parameters.adapters * parameters.rank + k) / 4u];
    }
    return x_inside(row, k, parameters.d_in);
}

// What four weights give to four rows.
fn four_rows(w: vec4<f32>, row: u32, k: u32, of_low: bool) -> vec4<f32> {
    if ROWS == 1u {
        return vec4(dot(w, input(0u, k, of_low)), 0.0, 0.0, 0.0);
    }
    return vec4(
        dot(w, input(row, k, of_low)),
        dot(w, input(row + 1u, k, of_low)),
        dot(w, input(row + 2u, k, of_low)),
        dot(w, input(row + 3u, k, of_low)),
    );
}

// Of each four rows. No array: one that a loop indexes need not stay in registers, and drivers have failed on those that
// naga writes for functions.
var<private> sums0: vec4<f32>;
var<private> sums1: vec4<f32>;
var<private> sums2: vec4<f32>;
var<private> sums3: vec4<f32>;
var<private> sums4: vec4<f32>;
var<private> sums5: vec4<f32>;
var<private> sums6: vec4<f32>;
var<private> sums7: vec4<f32>;
var<private> sums8: vec4<f32>;
var<private> sums9: vec4<f32>;
var<private> sums10: vec4<f32>;
var<private> sums11: vec4<f32>;
var<private> sums12: vec4<f32>;
var<private> sums13: vec4<f32>;
var<private> sums14: vec4<f32>;
var<private> sums15: vec4<f32>;

fn add(w: vec4<f32>, k: u32, of_low: bool) {
    sums0 += four_rows(w, 0u, k, of_low);
    if ROWS > 4u {
        sums1 += four_rows(w, 4u, k, of_low);
    }
    if ROWS > 8u {
        sums2 += four_rows(w, 8u, k, of_low);
        sums3 += four_rows(w, 12u, k, of_low);
    }
    if ROWS > 16u {
        sums4 += four_rows(w, 16u, k, of_low);
        sums5 += four_rows(w, 20u, k, of_low);
        sums6 += four_rows(w, 24u, k, of_low);
        sums7 += four_rows(w, 28u, k, of_low);
    }
    if ROWS > 32u {
        sums8 += four_rows(w, 32u, k, of_low);
        sums9 += four_rows(w, 36u, k, of_low);
        sums10 += four_rows(w, 40u, k, of_low);
        sums11 += four_rows(w, 44u, k, of_low);
        sums12 += four_rows(w, 48u, k, of_low);
        sums13 += four_rows(w, 52u, k, of_low);
        sums14 += four_rows(w, 56u, k, of_low);
        sums15 += four_rows(w, 60u, k, of_low);
    }
}

// Squares of four rows.
fn four_squares(row: u32, k: u32) -> vec4<f32> {
    let x0 = input(row, k, false);
    let x1 = input(row + 1u, k, false);
    let x2 = input(row + 2u, k, false);
    let x3 = input(row + 3u, k, false);
    return vec4(dot(x0, x0), dot(x1, x1), dot(x2, x2), dot(x3, x3));
}

// Adds up what 64 invocations each have, a quarter of the way: 16 vectors by 16 invocations each.
fn reduce(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, local: u32) {
    workgroupBarrier();
    shares[local] = a;
    shares[256u + local] = b;
    shares[512u + local] = c;
    shares[768u + local] = d;
    workgroupBarrier();
    let start = local / 16u * LANES + local % 16u;
    let share = shares[start] + shares[start + 16u] + shares[start + 32u] + shares[start + 48u];
    workgroupBarrier();
    shares[local] = share;
    workgroupBarrier();
}

// The rest of the way for one of them: that of `a` from invocations 0 to 63, from 64 to 127, .., that of `b`, ..
fn reduced(number: u32) -> vec4<f32> {
    var sum = vec4(0.0);
    for (var i = 0u; i < 16u; i++) {
        sum += shares[number * 16u + i];
    }
    return sum;
}

// What makes sums of squares of four rows what their products are multiplied by.
fn factor_of(squares: vec4<f32>) -> vec4<f32> {
    return inverseSqrt(squares / f32(parameters.d_in) + parameters.eps);
}

struct Place {
    first_column: u32,
    local: u32,
}

// Stores 16 rows of the workgroup's columns, multiplied by a factor for each row of these four.
fn finish(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, factor: vec4<f32>, first_row: u32, place: Place) {
    let local = place.local;
    reduce(a, b, c, d, local);
    let row = first_row + local / 4u * 4u;
    let column = place.first_column + local % 4u;
    if local >= 16u || local % 4u >= COLUMNS || column >= parameters.d_out {
        return;
    }
    var sums = factor * reduced(local);
    if GATED {
        let gates = vec4(sigmoid(sums.x), sigmoid(sums.y), sigmoid(sums.z), sigmoid(sums.w));
        sums *= gates * factor * reduced(local + COLUMNS);
    }
    for (var i = 0u; i < 4u && row + i < parameters.rows; i++) {
        let to = (row + i) * parameters.d_out + column;
        if parameters.accumulate != 0u {
            out[to] += sums[i];
        } else {
            out[to] = sums[i];
        }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let first_column = (group.x + group.y * groups.x) * COLUMNS;
    let column = first_column + local / LANES % COLUMNS;
    // Of the first weight, then of the second.
    let row = column + local / LANES / COLUMNS * parameters.d_out;
    if column < parameters.d_out {
        for (var k = local % LANES * 4u; k < parameters.d_in; k += LANES * 4u) {
            var w = weight_at(parameters.first + row, k, parameters.stride);
            if GAINED {
                w *= gain[k / 4u];
            }
            add(w, k, false);
        }
        if ADAPTED {
            let start = (u32(row >= parameters.second) + u32(row >= parameters.third)) * parameters.rank;
            for (var k = local % LANES * 4u; k < parameters.rank; k += LANES * 4u) {
                add(parameters.scale * b[(row * parameters.rank + k) / 4u], start + k, true);
            }
        }
    }
    var factor0 = vec4(parameters.alpha);
    var factor1 = factor0;
    var factor2 = factor0;
    var factor3 = factor0;
    if NORMED {
        // Invocations of each 64 have every fourth four rows.
        var squares0 = vec4(0.0);
        var squares1 = vec4(0.0);
        var squares2 = vec4(0.0);
        var squares3 = vec4(0.0);
        let first = local / LANES * 4u;
        if first < ROWS {
            for (var k = local % LANES * 4u; k < parameters.d_in; k += LANES * 4u) {
                squares0 += four_squares(first, k);
                if ROWS > 16u {
                    squares1 += four_squares(first + 16u, k);
                }
                if ROWS > 32u {
                    squares2 += four_squares(first + 32u, k);
                    squares3 += four_squares(first + 48u, k);
                }
            }
        }
        reduce(squares0, squares1, squares2, squares3, local);
        // Those that `finish` has this invocation store: of rows 4 (local / 4) to + 3, and 16, 32 and 48 later.
        if local < 16u {
            factor0 = factor_of(reduced(local / 4u));
            factor1 = factor_of(reduced(4u + local / 4u));
            factor2 = factor_of(reduced(8u + local / 4u));
            factor3 = factor_of(reduced(12u + local / 4u));
        }
    }
    let place = Place(first_column, local);
    finish(sums0, sums1, sums2, sums3, factor0, 0u, place);
    if ROWS > 16u {
        finish(sums4, sums5, sums6, sums7, factor1, 16u, place);
    }
    if ROWS > 32u {
        finish(sums8, sums9, sums10, sums11, factor2, 32u, place);
        finish(sums12, sums13, sums14, sums15, factor3, 48u, place);
    }
}
