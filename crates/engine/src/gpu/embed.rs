//! Rows of a table looked up, added back, and stored.

use super::Gpu;
use super::buffer::{GpuBuffer, GpuIndices};
use super::dispatch::{Device, Kernel, line};
use super::shaders::shader;
use super::weight::Weight;
use crate::matrix::Matrix;

/// Invocations of a workgroup.
const GROUP: usize = 256;

/// table `[V, D]`, out `[T, D]`.
pub(super) fn forward(device: &Device, table: &Matrix<Gpu>, ids: &GpuIndices, out: &GpuBuffer) {
    if ids.is_empty() {
        return;
    }
    let table = Weight::from(table);
    let width = table.cols;
    assert_eq!(out.len(), ids.len() * width, "embed: out");
    let kernel = Kernel { shader: shader!("embed", table.library), constants: vec![] };
    for rows in device.parts(ids.len(), &[width, 1]) {
        let (ids, out) = (ids.rows(&rows, 1), out.rows(&rows, width));
        for part in device.parts(table.rows, &[table.row_words()]) {
            let parameters = [rows.len(), width, table.stride, part.start, part.len()].map(|size| size as u32);
            let groups = line((rows.len() * width.div_ceil(4)).div_ceil(GROUP));
            let bindings = [table.part(&part).storage, ids.storage(), out.storage()];
            device.run(kernel.clone(), &bindings, &parameters, groups);
        }
    }
}

/// d_out `[T, D]`, d_table `[V, D]`; one workgroup a token.
pub(super) fn backward(device: &Device, d_out: &GpuBuffer, ids: &GpuIndices, d_table: &GpuBuffer) {
    let kernel = Kernel { shader: shader!("embed_backward"), constants: vec![] };
    into_rows(device, &kernel, d_out, ids, d_table, line);
}

/// x `[T, width]`, out `[.., width]`.
pub(super) fn store(device: &Device, x: &GpuBuffer, rows: &GpuIndices, out: &GpuBuffer) {
    let kernel = Kernel { shader: shader!("store_rows"), constants: vec![] };
    let Some(width) = x.len().checked_div(rows.len()) else { return };
    into_rows(device, &kernel, x, rows, out, |count| line((count * width).div_ceil(GROUP)));
}

/// Runs a kernel that puts rows of x at the rows of out that `at` says, `groups` workgroups for so many rows of x.
fn into_rows(
    device: &Device,
    kernel: &Kernel,
    x: &GpuBuffer,
    at: &GpuIndices,
    out: &GpuBuffer,
    groups: impl Fn(usize) -> [u32; 3],
) {
    let Some(width) = x.len().checked_div(at.len()) else { return };
    for rows in device.parts(at.len(), &[width, 1]) {
        let (x, at) = (x.rows(&rows, width), at.rows(&rows, 1));
        for part in device.parts(out.len() / width, &[width]) {
            let parameters = [rows.len(), width, part.start, part.len()].map(|size| size as u32);
            let out = out.rows(&part, width);
            let bindings = [x.storage(), at.storage(), out.storage()];
            device.run(kernel.clone(), &bindings, &parameters, groups(rows.len()));
        }
    }
}
