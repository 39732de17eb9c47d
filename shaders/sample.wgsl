// One token from each row of logits, one workgroup a row: the algorithm of crates/core/src/sampling.rs.
//
// Weights are made anew in every pass over the row: an exponential costs less than a buffer of them. Passes that only
// sum take the row in turns, so that neighbours read neighbours; the draw needs the order of the tokens, and gives each
// invocation a range of its own.

struct Parameters {
    width: u32,
    rows: u32,
    seed: vec2<u32>,            // low word, high word
    inverse_temperature: f32,   // 0 is greedy
    top_k: u32,                 // 0 keeps all
    top_p: f32,                 // 1 keeps all
    min_p: f32,
    penalty: f32,               // of repetition
    reciprocal: f32,            // 1 / penalty, rounded by the host
}

// Whether `seen` is read, and the token drawn is added to it.
override penalised: u32 = 0u;

@group(0) @binding(0) var<storage, read> logits: array<f32>;         // [S, V]
@group(0) @binding(1) var<storage, read> streams: array<u32>;        // [S, 4]
@group(0) @binding(2) var<storage, read_write> seen: array<u32>;     // [S, ceil(V / 32)]
@group(0) @binding(3) var<storage, read_write> out: array<u32>;      // [S]
@group(0) @binding(4) var<uniform> parameters: Parameters;

const SMALLEST_NORMAL = 0x00800000u;
const ONE = 0x3f800000u;
// Keys of the infinities, see `key`.
const LOWEST = 0x007fffffu;
const HIGHEST = 0xff800000u;
// NO_TOKEN of crates/engine/src/backend.rs.
const NO_TOKEN = 0xffffffffu;

var<workgroup> sums: array<vec4<f32>, 512>;
var<workgroup> largest: atomic<u32>;
var<workgroup> smallest: atomic<u32>;
var<workgroup> shared_bits: vec2<u32>;
var<workgroup> masses: array<f32, 256>;
var<workgroup> block_masses: array<f32, 16>;

// The order of floats as that of integers; NaN is above all.
fn key(x: f32) -> u32 {
    let bits = bitcast<u32>(x);
    if (bits & 0x7fffffffu) > 0x7f800000u {
        return 0xffffffffu;
    }
    return select(bits | 0x80000000u, ~bits, (bits >> 31u) == 1u);
}

fn from_key(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, (key >> 31u) == 1u));
}

// e^x for x <= 0, with the polynomial of crates/core/src/exp.rs, so that weights agree.
fn exp_core(x: f32) -> f32 {
    let bounded = max(x, -88.0);
    let n = round(bounded * 1.44269504);
    let r = (bounded - n * 0.693359375) - n * -2.1219444e-4;
    let q = 0.49999993 + r * (0.16666521 + r * (0.041668387 + r * (0.00836871 + r * 0.0013814609)));
    let two_to_n = bitcast<f32>(u32(max(i32(n) + 127, 0)) << 23u);
    return select((1.0 + (r + r * r * q)) * two_to_n, 0.0, x < -87.33654);
}

// First word of the row in `seen`.
var<private> seen_start: u32;

// With the penalty of repetition: `penalise` of crates/core/src/sampling.rs.
fn logit(start: u32, i: u32) -> f32 {
    let plain = logits[start + i];
    if penalised != 0u && ((seen[seen_start + i / 32u] >> (i % 32u)) & 1u) == 1u {
        return plain * select(parameters.reciprocal, parameters.penalty, plain < 0.0);
    }
    return plain;
}

// By one invocation of the row.
fn finish(row: u32, token: u32) {
    out[row] = token;
    if penalised != 0u && token != NO_TOKEN {
        seen[seen_start + token / 32u] |= 1u << (token % 32u);
    }
}

fn weight(start: u32, i: u32, most: f32) -> f32 {
    return exp_core((logit(start, i) - most) * parameters.inverse_temperature);
}

// High and low word of a product.
fn multiply(a: u32, b: u32) -> vec2<u32> {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let cross = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let middle = (a & 0xffffu) * (b >> 16u) + (cross & 0xffffu);
    return vec2((a >> 16u) * (b >> 16u) + (cross >> 16u) + (middle >> 16u), a * b);
}

// The uniform deviate in [0, 1) of a row: Philox 4x32-10, see crates/core/src/philox.rs.
fn uniform_deviate(row: u32) -> f32 {
    var c = vec4(streams[4u * row], streams[4u * row + 1u], streams[4u * row + 2u], streams[4u * row + 3u]);
    var k = parameters.seed;
    for (var round = 0u; round < 10u; round++) {
        let a = multiply(c.x, 0xd2511f53u);
        let b = multiply(c.z, 0xcd9e8d57u);
        c = vec4(b.x ^ c.y ^ k.x, b.y, a.x ^ c.w ^ k.y, a.y);
        k += vec2(0x9e3779b9u, 0xbb67ae85u);
    }
    return f32(c.x >> 8u) / 16777216.0;
}

// Adds up what lies in `sums` for every invocation: two vectors each.
fn reduce(local: u32) {
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            sums[local] += sums[local + half];
            sums[256u + local] += sums[256u + local + half];
        }
    }
    workgroupBarrier();
}

// The sum over all weights of at least `keep`.
fn total(start: u32, most: f32, keep: f32, local: u32) -> f32 {
    var sum = 0.0;
    for (var i = local; i < parameters.width; i += 256u) {
        let w = weight(start, i, most);
        sum += select(0.0, w, w >= keep);
    }
    sums[local] = vec4(sum, 0.0, 0.0, 0.0);
    sums[256u + local] = vec4(0.0);
    reduce(local);
    let all = sums[0].x;
    workgroupBarrier();
    return all;
}

// A t of at least `floor` that keeps what the largest t keeps at which the weights of at least t still sum to `target`
// (or number it, where `counting`). The bits of t are searched, which order as non-negative floats do: in
// [low, high), the sum at low reaches the target, that at high does not. Each pass cuts the range into nine.
fn cut_off(start: u32, most: f32, floor: f32, target_sum: f32, counting: bool, local: u32) -> f32 {
    if local == 0u {
        shared_bits = vec2(bitcast<u32>(floor), ONE + 1u);
    }
    var range = workgroupUniformLoad(&shared_bits);
    while range.y - range.x > 1u {
        if local == 0u {
            atomicStore(&smallest, 0xffffffffu);
            atomicStore(&largest, 0u);
        }
        workgroupBarrier();
        let low = range.x;
        let high = range.y;
        let step = (high - low + 8u) / 9u;
        let bits_a = min(vec4(low) + step * vec4(1u, 2u, 3u, 4u), vec4(high));
        let bits_b = min(vec4(low) + step * vec4(5u, 6u, 7u, 8u), vec4(high));
        let a = bitcast<vec4<f32>>(bits_a);
        let b = bitcast<vec4<f32>>(bits_b);
        var sum_a = vec4(0.0);
        var sum_b = vec4(0.0);
        var least = 0xffffffffu;
        var greatest = 0u;
        for (var i = local; i < parameters.width; i += 256u) {
            let w = weight(start, i, most);
            let bits = bitcast<u32>(w);
            let size = vec4(select(w, 1.0, counting));
            sum_a += select(vec4(0.0), size, vec4(w) >= a);
            sum_b += select(vec4(0.0), size, vec4(w) >= b);
            if bits >= low && bits < high {
                least = min(least, bits);
                greatest = max(greatest, bits);
            }
        }
        atomicMin(&smallest, least);
        atomicMax(&largest, greatest);
        sums[local] = sum_a;
        sums[256u + local] = sum_b;
        reduce(local);
        if local == 0u {
            // Sums fall as thresholds rise, so that those which reach the target come first.
            var next = vec2(low, high);
            for (var j = 0u; j < 8u; j++) {
                let sum = sums[(j / 4u) * 256u][j % 4u];
                let threshold = min(low + step * (j + 1u), high);
                if sum >= target_sum {
                    next.x = threshold;
                } else {
                    next.y = min(next.y, threshold);
                }
            }
            // No further than the weights go: equal ones are decided at once. Where rounding leaves none, low it is.
            let first = max(next.x, atomicLoad(&smallest));
            let last = min(next.y, atomicLoad(&largest) + 1u);
            shared_bits = select(vec2(next.x, next.x + 1u), vec2(first, last), first < last);
        }
        range = workgroupUniformLoad(&shared_bits);
    }
    return bitcast<f32>(range.x);
}

// The least weight that all filters keep.
fn least_weight(start: u32, most: f32, local: u32) -> f32 {
    var keep = bitcast<f32>(SMALLEST_NORMAL);
    if parameters.top_k > 0u {
        keep = cut_off(start, most, keep, f32(parameters.top_k), true, local);
    }
    if parameters.top_p < 1.0 {
        let all = total(start, most, keep, local);
        // Weights below this sum to less than what top-p drops: see the core.
        let negligible = 0.5 * (1.0 - parameters.top_p) * all / f32(parameters.width);
        keep = cut_off(start, most, max(keep, negligible), parameters.top_p * all, false, local);
    }
    return max(keep, parameters.min_p);
}

// The first index at which the running sum of the kept weights exceeds `deviate` times their sum. The row is cut into
// 256 ranges, the range that the target falls in is found, and that one is cut in turn.
fn draw(start: u32, most: f32, keep: f32, deviate: f32, local: u32) -> u32 {
    var begin = 0u;
    var end = parameters.width;
    var target_sum = -1.0;
    var running = 0.0;
    while end - begin > 1u {
        let width = (end - begin + 255u) / 256u;
        var mass = 0.0;
        for (var i = begin + local * width; i < min(begin + (local + 1u) * width, end); i++) {
            let w = weight(start, i, most);
            mass += select(0.0, w, w >= keep);
        }
        masses[local] = mass;
        workgroupBarrier();
        if local < 16u {
            var block = 0.0;
            for (var i = 16u * local; i < 16u * local + 16u; i++) {
                block += masses[i];
            }
            block_masses[local] = block;
        }
        workgroupBarrier();
        if local == 0u {
            if target_sum < 0.0 {
                var all = 0.0;
                for (var i = 0u; i < 16u; i++) {
                    all += block_masses[i];
                }
                target_sum = deviate * all;
            }
            // Where rounding leaves none that exceeds the target, the last one of any mass.
            var block = 0u;
            var before = running;
            var sum = running;
            for (var i = 0u; i < 16u; i++) {
                if block_masses[i] > 0.0 && sum <= target_sum {
                    block = i;
                    before = sum;
                    sum += block_masses[i];
                }
            }
            var drawn = 0u;
            sum = before;
            for (var i = 16u * block; i < 16u * block + 16u; i++) {
                if masses[i] > 0.0 && sum <= target_sum {
                    drawn = i;
                    before = sum;
                    sum += masses[i];
                }
            }
            running = before;
            let first = begin + drawn * width;
            shared_bits = vec2(first, min(first + width, end));
        }
        let range = workgroupUniformLoad(&shared_bits);
        begin = range.x;
        end = range.y;
    }
    return begin;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = group.x + group.y * groups.x;
    if row >= parameters.rows {
        return;
    }
    let start = row * parameters.width;
    seen_start = row * ((parameters.width + 31u) / 32u);
    if local == 0u {
        atomicStore(&largest, 0u);
        atomicStore(&smallest, parameters.width);
    }
    workgroupBarrier();
    var high = 0u;
    for (var i = local; i < parameters.width; i += 256u) {
        // The number as it lies there, too: what arithmetic makes of a NaN is not for sure one.
        let plain = key(logits[start + i]);
        high = max(high, select(key(logit(start, i)), plain, plain >= HIGHEST));
    }
    atomicMax(&largest, high);
    workgroupBarrier();
    if local == 0u {
        shared_bits = vec2(atomicLoad(&largest), 0u);
    }
    let most_key = workgroupUniformLoad(&shared_bits).x;
    // A NaN, an infinity or nothing but masked tokens: nothing to draw from.
    if most_key >= HIGHEST || most_key <= LOWEST {
        if local == 0u {
            finish(row, NO_TOKEN);
        }
        return;
    }
    let most = from_key(most_key);
    if parameters.inverse_temperature == 0.0 {
        var first = parameters.width;
        for (var i = local; i < parameters.width && first == parameters.width; i += 256u) {
            if logit(start, i) == most {
                first = i;
            }
        }
        atomicMin(&smallest, first);
        workgroupBarrier();
        if local == 0u {
            finish(row, atomicLoad(&smallest));
        }
        return;
    }
    let keep = least_weight(start, most, local);
    let token = draw(start, most, keep, uniform_deviate(row), local);
    if local == 0u {
        finish(row, token);
    }
}
