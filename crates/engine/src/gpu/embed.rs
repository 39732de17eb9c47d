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
    let table = Weight::from(table);
    assert_eq!(out.len(), ids.len() * table.cols, "embed: out");
    let kernel = Kernel { shader: shader!("embed", table.library), constants: vec![] };
    let parameters = [ids.len() as u32, table.cols as u32, table.stride as u32];
    let groups = line((ids.len() * table.cols.div_ceil(4)).div_ceil(GROUP));
    device.run(kernel, &[table.storage, ids.storage(), out.storage()], &parameters, groups);
}

/// d_out `[T, D]`, d_table `[V, D]`; one workgroup a token.
pub(super) fn backward(device: &Device, d_out: &GpuBuffer, ids: &GpuIndices, d_table: &GpuBuffer) {
    let Some(width) = d_out.len().checked_div(ids.len()) else { return };
    let kernel = Kernel { shader: shader!("embed_backward"), constants: vec![] };
    let bindings = [d_out.storage(), ids.storage(), d_table.storage()];
    device.run(kernel, &bindings, &[ids.len() as u32, width as u32], line(ids.len()));
}

/// x `[T, width]`, out `[.., width]`.
pub(super) fn store(device: &Device, x: &GpuBuffer, rows: &GpuIndices, out: &GpuBuffer) {
    let Some(width) = x.len().checked_div(rows.len()) else { return };
    let kernel = Kernel { shader: shader!("store_rows"), constants: vec![] };
    let bindings = [x.storage(), rows.storage(), out.storage()];
    device.run(kernel, &bindings, &[rows.len() as u32, width as u32], line(x.len().div_ceil(GROUP)));
}
