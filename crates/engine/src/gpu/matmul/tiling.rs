//! How a product is shared out among workgroups.

use super::super::forms::{ENOUGH, Forms, Fragments};

/// Rows and columns of a workgroup's tile, and of the smaller one of the cooperative form.
pub(in super::super) const TILE: usize = 64;
/// The larger one of the cooperative form.
const LARGE_TILE: usize = 128;
/// Numbers of the sum that go by at a time; a part of a sum is a multiple of it in every form.
const STEP: usize = 32;
/// Fewest of them in a part: to start one and to add it up is work as well.
const FEWEST_STEPS: usize = 4;
/// Narrower products stay in f32: an adapter's, whose rank is the width, and the tails of others.
const NARROW: usize = 64;

/// Of one product `[rows, columns]` that sums over `depth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tiling {
    /// On cooperative matrices, or in f32.
    pub(super) fragments: Option<Fragments>,
    /// Rows and columns of a tile.
    pub(super) side: usize,
    /// Parts that the sum is cut into, which are then added up: more than one where there are few tiles.
    pub(super) parts: usize,
    /// Numbers of the sum in a part.
    pub(super) part: usize,
}

impl Tiling {
    /// `most_numbers`: what one binding holds; all parts lie in one.
    pub(super) fn new(forms: Forms, most_numbers: usize, rows: usize, columns: usize, depth: usize) -> Self {
        let wide = rows.min(columns).min(depth) >= NARROW;
        let fragments = forms.fragments.filter(|_| wide);
        let tiles = |side: usize| rows.div_ceil(side) * columns.div_ceil(side);
        let side = if fragments.is_some() && tiles(LARGE_TILE) >= forms.enough_large_tiles { LARGE_TILE } else { TILE };
        let most = (depth / (STEP * FEWEST_STEPS)).min(most_numbers / (rows * columns).max(1)).max(1);
        let wanted = (ENOUGH / tiles(side).max(1)).clamp(1, most);
        let part = depth.div_ceil(wanted).next_multiple_of(STEP).max(STEP);
        Tiling { fragments, side, parts: depth.div_ceil(part).max(1), part }
    }

    pub(super) fn groups(self, rows: usize, columns: usize) -> [u32; 3] {
        [columns.div_ceil(self.side), rows.div_ceil(self.side), self.parts].map(|n| n as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sum_is_covered_once_by_parts_of_whole_steps() {
        for fragments in [None, Some(Fragments::Sixteen)] {
            for (rows, columns, depth) in [
                (1, 1, 1),
                (64, 64, 0),
                (0, 64, 64),
                (70, 576, 31),
                (16, 576, 2048),
                (64, 49_152, 576),
                (576, 192, 3584),
                (2048, 16, 577),
            ] {
                let tiling =
                    Tiling::new(Forms { fragments, enough_large_tiles: ENOUGH }, usize::MAX, rows, columns, depth);
                let what = format!("{rows} x {columns} over {depth}: {tiling:?}");
                assert!(tiling.part.is_multiple_of(STEP), "{what}");
                assert!(tiling.part * tiling.parts >= depth, "{what}");
                assert!(tiling.part * (tiling.parts - 1) < depth.max(1), "{what}");
            }
        }
    }

    #[test]
    fn few_tiles_are_cut_and_many_are_large() {
        let forms = Forms { fragments: Some(Fragments::Sixteen), enough_large_tiles: ENOUGH };
        // An adapter's gradient: nine tiles over 2048 tokens, in f32.
        let narrow = Tiling::new(forms, usize::MAX, 16, 576, 2048);
        assert_eq!((narrow.fragments, narrow.side, narrow.parts), (None, 64, 16));
        let wide = Tiling::new(forms, usize::MAX, 4096, 1536, 576);
        assert_eq!((wide.fragments, wide.side, wide.parts), (forms.fragments, 128, 1));
        let small_binding = Tiling::new(forms, 3 * 16 * 576, 16, 576, 2048);
        assert!(small_binding.parts <= 3, "{small_binding:?}");
        let middle = Tiling::new(forms, usize::MAX, 2048, 576, 576);
        assert_eq!((middle.fragments, middle.side, middle.parts), (forms.fragments, 64, 1));
    }
}
