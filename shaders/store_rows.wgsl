// out[rows[t]] = x[t], one number an invocation, where the rows that are bound hold it.

struct Parameters {
    rows: u32,
    width: u32,
    first: u32,                 // rows of out that are bound
    count: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;              // [T, width]
@group(0) @binding(1) var<storage, read> rows: array<u32>;           // [T]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;      // [.., width]
@group(0) @binding(3) var<uniform> parameters: Parameters;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let at = (group.x + group.y * groups.x) * 256u + local;
    let row = at / parameters.width;
    if row >= parameters.rows {
        return;
    }
    let to = rows[row] - parameters.first;
    if to < parameters.count {
        out[to * parameters.width + at % parameters.width] = x[at];
    }
}
