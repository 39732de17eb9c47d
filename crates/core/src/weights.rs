//! Sums, cut-offs and draws over a row of weights `[V]`: non-negative, the largest 1.

use crate::lanes::fold;

/// Elements summed in f32 before the sum goes on in f64. Fixes the rounding, and is the step of [`draw`].
const BLOCK: usize = 1024;

/// The sum of `f` over a row: f32 within a block, f64 over the blocks.
#[inline(always)]
pub(crate) fn sum(values: &[f32], f: impl Fn(f32) -> f32 + Copy) -> f64 {
    values.chunks(BLOCK).map(|block| block_sum(block, f)).sum()
}

#[inline(always)]
fn block_sum(block: &[f32], f: impl Fn(f32) -> f32 + Copy) -> f64 {
    f64::from(fold(block, 0.0, |sum, value| sum + f(value)).into_iter().sum::<f32>())
}

/// The largest t, not less than `floor`, with a sum of `size(w)` over all w >= t of at least `target`.
///
/// t is one of the weights. It must exist: the sum over w >= `floor` reaches the target. `candidates` is scratch `[V]`.
pub(crate) fn cut_off(
    weights: &[f32],
    candidates: &mut [f32],
    floor: f32,
    target: f64,
    size: impl Fn(f32) -> f32 + Copy,
) -> f32 {
    let mut search = Search { low: floor, high: f32::INFINITY, above: 0.0 };
    if search.halve(weights, target, size) {
        let mut count = search.copy_candidates(weights, candidates);
        // There is always one: rounding is monotone, so that fewer weights never have the larger sum.
        while search.halve(&candidates[..count], target, size) {
            count = search.retain_candidates(&mut candidates[..count]);
        }
    }
    search.low
}

/// Where the cut-off may lie: the sum over w >= `low` reaches the target, that over w >= `high` does not.
struct Search {
    low: f32,
    high: f32,
    /// Size of the weights that are no candidates because they reach `high`.
    above: f64,
}

impl Search {
    /// Sums over a list before it is cut down to the candidates: a sum takes the time of a vector operation or two for
    /// four weights, a cut that of a few for each.
    const PASSES: usize = 6;

    /// Halves the range a few times and says whether more than one value is left in it.
    ///
    /// The middle is that of the bits, which order as non-negative floats do, so that at most 30 halvings in all decide
    /// it, over whatever orders of magnitude the weights are spread.
    #[inline(always)]
    fn halve(&mut self, list: &[f32], target: f64, size: impl Fn(f32) -> f32 + Copy) -> bool {
        // No further than the weights go: equal ones are decided at once.
        let (min, max) = range(list, self.low);
        (self.low, self.high) = (min, max.next_up());
        let mut above_high = 0.0;
        for _ in 0..Self::PASSES {
            let width = self.high.to_bits() - self.low.to_bits();
            if width == 1 {
                return false;
            }
            let middle = f32::from_bits(self.low.to_bits() + width / 2);
            let upper = sum(list, |w| if w >= middle { size(w) } else { 0.0 });
            if self.above + upper >= target {
                self.low = middle;
            } else {
                self.high = middle;
                above_high = upper;
            }
        }
        self.above += above_high;
        true
    }

    fn is_candidate(&self, w: f32) -> bool {
        // One comparison of integers for two of floats.
        w.to_bits().wrapping_sub(self.low.to_bits()) < self.high.to_bits() - self.low.to_bits()
    }

    /// Copies the weights in the range and returns their number.
    fn copy_candidates(&self, weights: &[f32], candidates: &mut [f32]) -> usize {
        let mut count = 0;
        for chunk in weights.chunks(8) {
            // Where few are candidates most chunks are done here.
            if chunk.iter().fold(false, |any, &w| any | self.is_candidate(w)) {
                for &w in chunk {
                    // Written either way, and counted or not: a branch would be mispredicted.
                    candidates[count] = w;
                    count += usize::from(self.is_candidate(w));
                }
            }
        }
        count
    }

    /// Moves the candidates in the range to the front and returns their number.
    fn retain_candidates(&self, candidates: &mut [f32]) -> usize {
        let mut count = 0;
        for i in 0..candidates.len() {
            let w = candidates[i];
            candidates[count] = w;
            count += usize::from(self.is_candidate(w));
        }
        count
    }
}

/// An index drawn with probability w / sum over the weights w >= `keep` > 0: the first at which the running sum of
/// those exceeds `uniform` times their sum, or the last of them where rounding leaves none.
pub(crate) fn draw(weights: &[f32], keep: f32, uniform: f32) -> usize {
    let kept = |w: f32| if w >= keep { w } else { 0.0 };
    let target = f64::from(uniform) * sum(weights, kept);
    let mut running = 0.0;
    let mut drawn = 0;
    for (index, block) in weights.chunks(BLOCK).enumerate() {
        let mass = block_sum(block, kept);
        if running + mass > target {
            for (offset, &w) in block.iter().enumerate().filter(|(_, w)| **w >= keep) {
                drawn = index * BLOCK + offset;
                running += f64::from(w);
                if running > target {
                    break;
                }
            }
            break;
        }
        running += mass;
    }
    drawn
}

/// The smallest of the values that reach `low`, and the largest; at least one does.
fn range(values: &[f32], low: f32) -> (f32, f32) {
    let min = fold(values, f32::INFINITY, |min, w| {
        let w = if w >= low { w } else { f32::INFINITY };
        if w < min { w } else { min }
    });
    let max = fold(values, 0.0, |max, w| if w > max { w } else { max });
    (min.into_iter().fold(f32::INFINITY, f32::min), max.into_iter().fold(0.0, f32::max))
}
