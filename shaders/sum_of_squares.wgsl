// out[start + g] = the sum over numbers [g * chunk, (g + 1) * chunk), squared or as they are; one workgroup g a chunk.
// Run over each buffer, and then over their sums in one chunk: the order is fixed, and so is the rounding.

override squared: u32 = 1u;

struct Parameters {
    count: u32,
    chunk: u32,
    start: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;              // [count]
@group(0) @binding(1) var<storage, read_write> out: array<f32>;      // [start + chunks, ..]
@group(0) @binding(2) var<uniform> parameters: Parameters;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let g = group.x + group.y * groups.x;
    let begin = g * parameters.chunk;
    if begin >= parameters.count && g > 0u {
        return;
    }
    let end = begin + min(parameters.count - begin, parameters.chunk);
    var sum = 0.0;
    for (var i = begin + local; i < end; i += 256u) {
        sum += select(x[i], x[i] * x[i], squared != 0u);
    }
    partial[local] = sum;
    for (var half = 128u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            partial[local] += partial[local + half];
        }
    }
    if local == 0u {
        out[parameters.start + g] = partial[0];
    }
}
