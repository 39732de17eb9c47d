// d_weight += sum over rows of d_out * x * inverse_rms: a workgroup takes 8 columns, a sector of 32 bytes in each row,
// and its 32 strips of invocations take every 32nd row.

struct Parameters {
    width: u32,
    rows: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;               // [T, D]
@group(0) @binding(1) var<storage, read> d_out: array<f32>;           // [T, D]
@group(0) @binding(2) var<storage, read> inverse_rms: array<f32>;     // [T]
@group(0) @binding(3) var<storage, read_write> d_weight: array<f32>;  // [D]
@group(0) @binding(4) var<uniform> parameters: Parameters;

const COLUMNS = 8u;
const STRIPS = 32u;

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let column = (group.x + group.y * groups.x) * COLUMNS + local % COLUMNS;
    var sum = 0.0;
    if column < parameters.width {
        for (var row = local / COLUMNS; row < parameters.rows; row += STRIPS) {
            let i = row * parameters.width + column;
            sum += d_out[i] * x[i] * inverse_rms[row];
        }
    }
    partial[local] = sum;
    for (var half = 128u; half >= COLUMNS; half /= 2u) {
        workgroupBarrier();
        if local < half {
            partial[local] += partial[local + half];
        }
    }
    if local < COLUMNS && column < parameters.width {
        d_weight[column] += partial[local];
    }
}
