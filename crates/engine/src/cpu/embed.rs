//! Rows of a table looked up, added back, and stored.

use rayon::prelude::*;

use super::denormals::flushed;
use super::product::Weight;

/// `out[t] = table[ids[t]]`: out `[T, D]`; a row stays as it is where the table has none for it.
pub(super) fn forward(table: Weight<'_>, rows: usize, ids: &[u32], out: &mut [f32]) {
    let width = table.cols();
    assert_eq!(out.len(), ids.len() * width, "embed: out");
    out.par_chunks_mut(width).zip(ids).with_min_len(64).for_each(|(row, &id)| match table {
        _ if id as usize >= rows => {}
        Weight::Dense { .. } => row.copy_from_slice(table.rows(id as usize..id as usize + 1, &mut [])),
        Weight::Packed { .. } => {
            table.rows(id as usize..id as usize + 1, row);
        }
    });
}

/// `d_table[ids[t]] += d_out[t]`, in the order of t.
pub(super) fn backward(d_out: &[f32], ids: &[u32], d_table: &mut [f32]) {
    let Some(width) = d_out.len().checked_div(ids.len()) else { return };
    flushed(|| {
        for (row, &id) in d_out.chunks_exact(width).zip(ids) {
            let target = &mut d_table[id as usize * width..][..width];
            target.iter_mut().zip(row).for_each(|(target, d)| *target += d);
        }
    });
}

/// `out[rows[t]] = x[t]`.
pub(super) fn store(x: &[f32], rows: &[u32], out: &mut [f32]) {
    let Some(width) = x.len().checked_div(rows.len()) else { return };
    for (row, &at) in x.chunks_exact(width).zip(rows) {
        out[at as usize * width..][..width].copy_from_slice(row);
    }
}
