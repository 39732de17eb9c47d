// out[t, out_first + c] = x[t, x_first + c], or out += it, for `count` columns; one number an invocation.

struct Parameters {
    rows: u32,
    count: u32,
    x_width: u32,
    x_first: u32,
    out_width: u32,
    out_first: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;              // [T, x_width]
@group(0) @binding(1) var<storage, read_write> out: array<f32>;      // [T, out_width]
@group(0) @binding(2) var<uniform> parameters: Parameters;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (group.x + group.y * groups.x) * 256u + local;
    let row = at / parameters.count;
    let column = at % parameters.count;
    if row >= parameters.rows {
        return;
    }
    let value = x[row * parameters.x_width + parameters.x_first + column];
    let to = row * parameters.out_width + parameters.out_first + column;
    if parameters.accumulate != 0u {
        out[to] += value;
    } else {
        out[to] = value;
    }
}
