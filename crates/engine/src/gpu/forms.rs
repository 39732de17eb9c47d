//! Which form of a kernel runs: decided once, from the adapter. The portable form of each needs none of this.

use wgpu::{CooperativeMatrixProperties, CooperativeScalarType, Features};

#[cfg(test)]
use super::shaders::joined;
use super::shaders::library;

/// Cooperative matrices, as the shaders need them: f16 in, f32 out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fragments {
    /// 16 x 16 x 16 (Vulkan).
    Sixteen,
    /// 8 x 8 x 8 (Metal).
    Eight,
    /// Plain WGSL in their place, for tests where there are none.
    #[cfg(test)]
    Imitated,
}

impl Fragments {
    /// The text that defines a block of a product.
    pub(super) fn blocks_library(self) -> &'static str {
        match self {
            Fragments::Sixteen => library!("fragments_16", "rounded"),
            Fragments::Eight => library!("fragments_8", "rounded"),
            #[cfg(test)]
            Fragments::Imitated => joined!(include_str!("tests/fragments.wgsl"), library!("rounded")),
        }
    }

    /// The same, and a product in such blocks.
    pub(super) fn library(self) -> &'static str {
        match self {
            Fragments::Sixteen => library!("fragments_16", "rounded", "product"),
            Fragments::Eight => library!("fragments_8", "rounded", "product"),
            #[cfg(test)]
            Fragments::Imitated => joined!(include_str!("tests/fragments.wgsl"), library!("rounded", "product")),
        }
    }

    /// The last one for gradients, which may be too small for f16.
    pub(super) fn scaled_library(self) -> &'static str {
        match self {
            Fragments::Sixteen => library!("fragments_16", "rounded", "product", "scale"),
            Fragments::Eight => library!("fragments_8", "rounded", "product", "scale"),
            #[cfg(test)]
            Fragments::Imitated => {
                joined!(include_str!("tests/fragments.wgsl"), library!("rounded", "product", "scale"))
            }
        }
    }
}

/// The forms that a device runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Forms {
    /// Products of many rows, and attention's forward: on cooperative matrices, or in f32 where there are none.
    pub(super) fragments: Option<Fragments>,
    /// Tiles of 128 that are enough of them; where there are fewer, tiles of 64 share the work out better.
    pub(super) enough_large_tiles: usize,
}

/// Workgroups that keep a large GPU busy: two for each of 132 units.
pub(super) const ENOUGH: usize = 264;
/// Workgroup memory of the largest form in bytes: two tiles of 128 rows of 40 f16 numbers, and 8 blocks of 256 f32 ones.
pub(super) const WORKGROUP_BYTES: u32 = 2 * 128 * 40 * 2 + 8 * 256 * 4;
/// What those forms use beside cooperative matrices.
const FRAGMENT_FEATURES: Features =
    Features::EXPERIMENTAL_COOPERATIVE_MATRIX.union(Features::SHADER_F16).union(Features::SUBGROUP);

impl Forms {
    pub(super) fn of(adapter: &wgpu::Adapter) -> Self {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        let fits = adapter.features().contains(FRAGMENT_FEATURES)
            && limits.max_compute_workgroup_storage_size >= WORKGROUP_BYTES
            && limits.max_compute_invocations_per_workgroup >= 256
            && subgroups_of_32(&info);
        let listed = if fits { adapter.cooperative_matrix_properties() } else { Vec::new() };
        Forms { fragments: fragments(&listed), enough_large_tiles: ENOUGH }
    }

    /// What a device must be asked for.
    pub(super) fn features(self) -> Features {
        match self.fragments {
            Some(Fragments::Sixteen | Fragments::Eight) => FRAGMENT_FEATURES,
            #[cfg(test)]
            Some(Fragments::Imitated) => Features::SHADER_F16,
            None => Features::empty(),
        }
    }

    /// In words.
    pub(super) fn describe(self) -> &'static str {
        match self.fragments {
            Some(Fragments::Sixteen) => {
                "attention's forward, products of 64 rows or more: cooperative matrices 16x16x16, f16 in, f32 out"
            }
            Some(Fragments::Eight) => {
                "attention's forward, products of 64 rows or more: cooperative matrices 8x8x8, f16 in, f32 out"
            }
            #[cfg(test)]
            Some(Fragments::Imitated) => {
                "attention's forward, products of 64 rows or more: cooperative matrices, imitated"
            }
            None => "portable kernels, products in f32",
        }
    }
}

/// A tile is shared out among subgroups of 32. Metal gives no width; Apple's own GPUs all have that one.
fn subgroups_of_32(info: &wgpu::AdapterInfo) -> bool {
    match info.backend {
        wgpu::Backend::Metal => info.name.starts_with("Apple"),
        _ => (info.subgroup_min_size, info.subgroup_max_size) == (32, 32),
    }
}

fn fragments(listed: &[CooperativeMatrixProperties]) -> Option<Fragments> {
    let has = |size: u32| {
        listed.iter().any(|p| {
            [p.m_size, p.n_size, p.k_size] == [size; 3]
                && (p.ab_type, p.cr_type) == (CooperativeScalarType::F16, CooperativeScalarType::F32)
        })
    };
    if has(16) { Some(Fragments::Sixteen) } else { has(8).then_some(Fragments::Eight) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_size(size: u32, cr_type: CooperativeScalarType) -> CooperativeMatrixProperties {
        let ab_type = CooperativeScalarType::F16;
        let [m_size, n_size, k_size] = [size; 3];
        CooperativeMatrixProperties { m_size, n_size, k_size, ab_type, cr_type, saturating_accumulation: false }
    }

    #[test]
    fn only_matrices_that_add_in_f32_are_taken() {
        let (f16, f32) = (CooperativeScalarType::F16, CooperativeScalarType::F32);
        assert_eq!(fragments(&[]), None);
        assert_eq!(fragments(&[of_size(16, f16), of_size(8, f16)]), None);
        assert_eq!(fragments(&[of_size(16, f16), of_size(8, f32)]), Some(Fragments::Eight));
        assert_eq!(fragments(&[of_size(8, f32), of_size(16, f32)]), Some(Fragments::Sixteen));
        let narrow = CooperativeMatrixProperties { n_size: 8, ..of_size(16, f32) };
        assert_eq!(fragments(&[narrow]), None);
    }
}
