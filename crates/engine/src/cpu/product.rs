//! Matrix products: the one place that calls the `gemm` crate, and the one file here with `unsafe`.
//!
//! `unsafe` because `gemm` takes raw pointers, and because threads write disjoint columns of one row-major matrix,
//! which safe slices cannot express. Every access is checked against the slices' lengths before a pointer is made.
#![allow(unsafe_code, reason = "gemm's interface is raw pointers; see above")]

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::aligned::Aligned;
use super::denormals::flushed;
use super::few_rows;
use super::unpack;
use crate::tensor::Dtype;

/// Columns one thread computes at a time: a multiple of every microkernel's width, and few enough that the narrowest
/// product of a small model still feeds two threads.
const PANEL: usize = 64;
/// Up to this many rows a product reads its weight as it lies, instead of packing it for `gemm`.
const FEW_ROWS: usize = 64;
/// The same for few rows, where the panels of a narrow product would not divide evenly.
const FEW_ROWS_PANEL: usize = 32;
/// Columns that are then unpacked at a time, and lie in the nearest cache: a divisor of the panel.
const GROUP: usize = 8;
/// Tasks that a product is divided into at least, if it has rows enough.
const TASKS: usize = 16;
/// Fewest rows worth a task of their own.
const ROWS: usize = 64;

/// What a thread needs for one panel of columns.
#[derive(Default)]
struct Scratch {
    /// The panel of a packed weight.
    unpacked: Aligned<f32>,
    /// The panel of the product, where x has few rows.
    few: Aligned<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// A matrix over a slice: element (i, j) at `i * row + j * col`.
#[derive(Clone, Copy)]
pub(super) struct Strided<'a> {
    pub(super) data: &'a [f32],
    pub(super) row: usize,
    pub(super) col: usize,
}

/// A weight `[rows, cols]`, row-major, as it lies in memory.
#[derive(Clone, Copy)]
pub(super) enum Weight<'a> {
    Dense { values: &'a [f32], cols: usize },
    Packed { dtype: Dtype, row_bytes: usize, bytes: &'a [u8], cols: usize },
}

impl<'a> Weight<'a> {
    pub(super) fn cols(&self) -> usize {
        let (Weight::Dense { cols, .. } | Weight::Packed { cols, .. }) = self;
        *cols
    }

    /// Rows `range` as f32, unpacked into `scratch`, which grows, where need be.
    fn rows_in<'s>(&self, range: Range<usize>, scratch: &'s mut Aligned<f32>) -> &'s [f32]
    where
        'a: 's,
    {
        let len = range.len() * self.cols();
        if matches!(self, Weight::Packed { .. }) && scratch.len() < len {
            scratch.resize(len);
        }
        self.rows(range, scratch)
    }

    /// As [`Weight::rows_in`], with scratch that is large enough.
    pub(super) fn rows<'s>(&self, range: Range<usize>, scratch: &'s mut [f32]) -> &'s [f32]
    where
        'a: 's,
    {
        match *self {
            Weight::Dense { values, cols } => &values[range.start * cols..range.end * cols],
            Weight::Packed { dtype, row_bytes, bytes, cols } => {
                let out = &mut scratch[..range.len() * cols];
                unpack::unpack(dtype, &bytes[range.start * row_bytes..range.end * row_bytes], out);
                out
            }
        }
    }

    /// Rows `range` as they lie in memory.
    fn bytes(&self, range: Range<usize>) -> &'a [u8] {
        match *self {
            Weight::Dense { values, cols } => bytemuck::cast_slice(&values[range.start * cols..range.end * cols]),
            Weight::Packed { row_bytes, bytes, .. } => &bytes[range.start * row_bytes..range.end * row_bytes],
        }
    }

    /// Rows `range` as they are stored, if [`few_rows::one_row`] reads them: blocks, or halves by sixteens.
    fn packed(&self, range: Range<usize>) -> Option<(Dtype, &'a [u8])> {
        match *self {
            Weight::Packed { dtype, cols, .. } if cols % 16 == 0 => Some((dtype, self.bytes(range))),
            _ => None,
        }
    }

    /// As [`Weight::rows`], with all threads.
    pub(super) fn rows_parallel<'s>(&self, range: Range<usize>, scratch: &'s mut [f32]) -> &'s [f32]
    where
        'a: 's,
    {
        let cols = self.cols();
        if let Weight::Dense { .. } = self {
            return self.rows(range, scratch);
        }
        let out = &mut scratch[..range.len() * cols];
        out.par_chunks_mut(PANEL * cols).enumerate().for_each(|(i, chunk)| {
            let start = range.start + i * PANEL;
            self.rows(start..start + chunk.len() / cols, chunk);
        });
        out
    }
}

/// The right side of a product that is divided by columns, `[k, n]`.
#[derive(Clone, Copy)]
pub(super) enum Rhs<'a> {
    Matrix(Strided<'a>),
    /// The transpose of a weight `[n, k]`, unpacked where it is used.
    Transposed(Weight<'a>),
}

impl Rhs<'_> {
    fn columns<'s>(&'s self, range: Range<usize>, scratch: &'s mut Aligned<f32>) -> Strided<'s> {
        match *self {
            Rhs::Matrix(all) => Strided { data: &all.data[(range.start * all.col).min(all.data.len())..], ..all },
            Rhs::Transposed(weight) => Strided { data: weight.rows_in(range, scratch), row: 1, col: weight.cols() },
        }
    }
}

/// `[m, k] · [k, n]`
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) m: usize,
    pub(super) n: usize,
    pub(super) k: usize,
}

/// `dst = alpha * lhs · rhs`, or `dst +=` it, on the calling thread: lhs `[m, k]`, rhs `[k, n]`, dst's rows `dst_row`
/// apart.
pub(super) fn product(
    dst: &mut [f32],
    dst_row: usize,
    shape: Shape,
    lhs: Strided<'_>,
    rhs: Strided<'_>,
    alpha: f32,
    accumulate: bool,
) {
    let dst = Target::new(dst, dst_row, shape);
    // SAFETY: this call alone holds the slice behind `dst`.
    unsafe { dst.fill(0..shape.m, 0..shape.n, lhs, rhs, shape.k, alpha, accumulate) }
}

/// As [`product`] with contiguous dst, divided among threads by columns.
pub(super) fn product_by_columns(
    dst: &mut [f32],
    shape: Shape,
    lhs: Strided<'_>,
    rhs: Rhs<'_>,
    alpha: f32,
    accumulate: bool,
) {
    let Shape { m, n, k } = shape;
    if m == 0 || n == 0 {
        return;
    }
    let target = Target::new(dst, n, shape);
    let is_few = matches!(rhs, Rhs::Transposed(_)) && m <= FEW_ROWS;
    let width = if is_few { FEW_ROWS_PANEL } else { PANEL };
    let panels = n.div_ceil(width);
    // Few panels are divided by rows too, so that threads end together; each part asks for its panel again.
    let row_parts = TASKS.div_ceil(panels.max(1)).min(m.div_ceil(ROWS)).max(1);
    let rows_each = m.div_ceil(row_parts);
    (0..panels * row_parts).into_par_iter().for_each(|task| {
        let (panel, part) = (task % panels, task / panels);
        let columns = panel * width..n.min((panel + 1) * width);
        let rows = part * rows_each..m.min((part + 1) * rows_each);
        let lhs = Strided { data: &lhs.data[(rows.start * lhs.row).min(lhs.data.len())..], ..lhs };
        SCRATCH.with_borrow_mut(|scratch| {
            flushed(|| {
                if let (Rhs::Transposed(weight), true) = (rhs, is_few) {
                    // SAFETY: tasks differ in their columns.
                    unsafe { target.fill_few_rows(columns, &lhs.data[..m * k], weight, alpha, accumulate, scratch) };
                    return;
                }
                let rhs = rhs.columns(columns.clone(), &mut scratch.unpacked);
                // SAFETY: tasks differ in their columns or in their rows, so no two touch one element.
                unsafe { target.fill(rows, columns, lhs, rhs, k, alpha, accumulate) }
            });
        });
    });
}

/// A row-major matrix that threads fill in disjoint parts.
struct Target {
    start: *mut f32,
    row: usize,
    m: usize,
    n: usize,
}

// SAFETY: the pointer is only used within the borrow it was made from, by `fill`, whose callers write disjoint parts.
unsafe impl Sync for Target {}

impl Target {
    fn new(dst: &mut [f32], row: usize, Shape { m, n, .. }: Shape) -> Self {
        assert!(m == 0 || n == 0 || (n <= row && (m - 1) * row + n <= dst.len()), "a product larger than its target");
        Target { start: dst.as_mut_ptr(), row, m, n }
    }

    /// # Safety
    /// No other thread may read or write the given row and columns while the slice lives.
    #[allow(clippy::mut_from_ref, reason = "parts are disjoint by the contract above")]
    unsafe fn row(&self, row: usize, columns: Range<usize>) -> &mut [f32] {
        assert!(row < self.m && columns.end <= self.n, "a part outside its target");
        // SAFETY: `new` has checked that all of m and n lies inside the slice.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.row + columns.start), columns.len()) }
    }

    /// All rows of the given columns of `alpha * x · weightᵀ`, x `[m, k]` of few rows.
    ///
    /// # Safety
    /// No other thread may read or write the given columns meanwhile.
    unsafe fn fill_few_rows(
        &self,
        columns: Range<usize>,
        x: &[f32],
        weight: Weight<'_>,
        alpha: f32,
        accumulate: bool,
        Scratch { unpacked, few }: &mut Scratch,
    ) {
        let k = weight.cols();
        few.resize(FEW_ROWS * GROUP);
        for start in columns.clone().step_by(GROUP) {
            let group = start..columns.end.min(start + GROUP);
            let few = &mut few[..self.m * group.len()];
            match weight.packed(group.clone()) {
                Some((dtype, bytes)) if self.m == 1 => few_rows::one_row(x, dtype, bytes, few),
                _ => {
                    let ahead = weight.bytes(group.end..self.n.min(group.end + GROUP));
                    few_rows::product(x, weight.rows_in(group.clone(), unpacked), k, k, ahead, few);
                }
            }
            for (row, few) in few.chunks_exact(group.len()).enumerate() {
                // SAFETY: by the contract above.
                let dst = unsafe { self.row(row, group.clone()) };
                for (dst, few) in dst.iter_mut().zip(few) {
                    *dst = alpha * few + if accumulate { *dst } else { 0.0 };
                }
            }
        }
    }

    /// # Safety
    /// No other thread may read or write the given rows and columns meanwhile.
    #[allow(clippy::too_many_arguments, reason = "a product has this many parts")]
    unsafe fn fill(
        &self,
        rows: Range<usize>,
        columns: Range<usize>,
        lhs: Strided<'_>,
        rhs: Strided<'_>,
        k: usize,
        alpha: f32,
        accumulate: bool,
    ) {
        let (m, n) = (rows.len(), columns.len());
        if m == 0 || n == 0 {
            return;
        }
        assert!(rows.end <= self.m && columns.end <= self.n, "a part outside its target");
        let inside = |part: &Strided<'_>, rows: usize, cols: usize| {
            rows == 0 || cols == 0 || (rows - 1) * part.row + (cols - 1) * part.col < part.data.len()
        };
        assert!(inside(&lhs, m, k) && inside(&rhs, k, n), "a product of matrices larger than their slices");
        // SAFETY: `new` and the assertions above keep every element that gemm touches inside its slice; the caller
        // keeps others away from this part of the target, and lhs and rhs are borrowed shared.
        unsafe {
            gemm::gemm(
                m,
                n,
                k,
                self.start.add(rows.start * self.row + columns.start),
                1,
                self.row as isize,
                accumulate,
                lhs.data.as_ptr(),
                lhs.col as isize,
                lhs.row as isize,
                rhs.data.as_ptr(),
                rhs.col as isize,
                rhs.row as isize,
                1.0,
                alpha,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }
}
