//! The project's one random stream: Philox 4x32-10 (Salmon et al., *Parallel random numbers: as easy as 1, 2, 3*, 2011),
//! a function from a counter and a key to four random words.
//!
//! It has no state: what a token is drawn with depends on the seed, the prompt, the completion and the position alone,
//! not on the batch, the device or the order of the work. 32-bit integers only, so that a shader computes the same.

/// A place in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// What is encrypted.
    pub counter: [u32; 4],
    /// What it is encrypted with.
    pub key: [u32; 2],
}

impl Stream {
    /// The place of one token, the convention of every program here.
    ///
    /// key = seed (low word, high word); counter = prompt (low word, high word), completion, position. `prompt` is
    /// [`prompt_hash`] of the prompt's id, `completion` its index among the prompt's completions, and `position` the
    /// token's index in its completion.
    ///
    /// ```
    /// use cream_core::philox::Stream;
    ///
    /// assert_eq!(Stream::at(1 << 32 | 5, 6, 7, 8), Stream { counter: [6, 0, 7, 8], key: [5, 1] });
    /// ```
    pub fn at(seed: u64, prompt: u64, completion: u32, position: u32) -> Self {
        Self { counter: [prompt as u32, (prompt >> 32) as u32, completion, position], key: words(seed) }
    }

    /// The four random words at this place: ten rounds.
    ///
    /// ```
    /// use cream_core::philox::Stream;
    ///
    /// // The first known answer of the paper's authors.
    /// let zero = Stream { counter: [0; 4], key: [0; 2] };
    /// assert_eq!(zero.random(), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    /// ```
    pub fn random(self) -> [u32; 4] {
        let Self { counter: mut c, key: mut k } = self;
        for round in 0..10 {
            if round > 0 {
                // Weyl sequences: the golden ratio and the square root of 3, less 1.
                k = [k[0].wrapping_add(0x9e37_79b9), k[1].wrapping_add(0xbb67_ae85)];
            }
            let (a, b) = (u64::from(c[0]) * 0xd251_1f53, u64::from(c[2]) * 0xcd9e_8d57);
            let ([a_low, a_high], [b_low, b_high]) = (words(a), words(b));
            c = [b_high ^ c[1] ^ k[0], b_low, a_high ^ c[3] ^ k[1], a_low];
        }
        c
    }

    /// The uniform deviate that a token is sampled with: of the first word at its place.
    ///
    /// ```
    /// use cream_core::philox::{Stream, uniform};
    ///
    /// let place = Stream::at(1, 2, 3, 4);
    /// assert_eq!(place.uniform(), uniform(place.random()[0]));
    /// ```
    pub fn uniform(self) -> f32 {
        uniform(self.random()[0])
    }
}

/// FNV-1a, 64 bits: the hash of a prompt's id, as UTF-8.
///
/// ```
/// assert_eq!(cream_core::philox::prompt_hash(b""), 0xcbf2_9ce4_8422_2325);
/// ```
pub fn prompt_hash(id: &[u8]) -> u64 {
    id.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A number in `[0, 1)`: the upper 24 bits of a random word, as many as an `f32` keeps.
///
/// ```
/// assert_eq!(cream_core::philox::uniform(1 << 31), 0.5);
/// ```
pub fn uniform(word: u32) -> f32 {
    (word >> 8) as f32 / 16_777_216.0
}

/// Four normal deviates of mean 0 and variance 1, for weight initialisation, from four random words (Box and Muller).
///
/// ```
/// use cream_core::philox::{Stream, normals};
///
/// assert!(normals(Stream::at(1, 2, 3, 4).random()).iter().all(|deviate| deviate.abs() < 5.8));
/// ```
pub fn normals(random: [u32; 4]) -> [f32; 4] {
    let [a, b, c, d] = random.map(uniform);
    let pair = |radius: f32, turn: f32| {
        // 1 - u lies in (0, 1], so that its logarithm is finite: no deviate exceeds 5.8.
        let radius = libm::sqrtf(-2.0 * libm::logf(1.0 - radius));
        let (sine, cosine) = libm::sincosf(core::f32::consts::TAU * turn);
        [radius * cosine, radius * sine]
    };
    let ([a, b], [c, d]) = (pair(a, b), pair(c, d));
    [a, b, c, d]
}

/// Low and high word.
fn words(x: u64) -> [u32; 2] {
    [x as u32, (x >> 32) as u32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tolerances::{MOMENT, NORMAL};
    use std::vec::Vec;

    #[test]
    fn known_answers() {
        // kat_vectors of the authors' Random123 library.
        let pi =
            Stream { counter: [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], key: [0xa409_3822, 0x299f_31d0] };
        let cases = [
            (Stream { counter: [0; 4], key: [0; 2] }, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            (
                Stream { counter: [u32::MAX; 4], key: [u32::MAX; 2] },
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (pi, [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]),
        ];
        for (stream, expected) in cases {
            assert_eq!(stream.random(), expected, "{stream:x?}");
        }
    }

    #[test]
    fn the_convention_puts_every_word_in_its_place() {
        let stream =
            Stream::at(0xa409_3822 | 0x299f_31d0 << 32, 0x243f_6a88 | 0x85a3_08d3 << 32, 0x1319_8a2e, 0x0370_7344);
        assert_eq!(stream.random(), [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]);
        assert_eq!(stream.uniform(), uniform(0xd16c_fe09));
    }

    #[test]
    fn hashes_of_the_fnv_reference() {
        for (id, hash) in [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(prompt_hash(id.as_bytes()), hash, "{id}");
        }
    }

    #[test]
    fn uniforms_are_half_open() {
        assert_eq!((uniform(0), uniform(255), uniform(1 << 31)), (0.0, 0.0, 0.5));
        assert_eq!(uniform(u32::MAX), 1.0f32.next_down());
    }

    #[test]
    fn normals_by_hand_and_at_the_ends() {
        // u = 1/2 and a quarter turn: the sine is 1, the cosine 0.
        let radius = (2.0 * core::f32::consts::LN_2).sqrt();
        for (got, expected) in
            normals([1 << 31, 1 << 30, 1 << 31, 1 << 31]).into_iter().zip([0.0, radius, -radius, 0.0])
        {
            assert!((got - expected).abs() <= NORMAL, "{got} and {expected}");
        }
        assert_eq!(normals([0; 4]), [0.0; 4]);
        assert!(normals([u32::MAX; 4]).iter().all(|deviate| deviate.abs() < 5.8));
    }

    #[test]
    fn normals_have_the_moments_of_the_normal() {
        let deviates: Vec<f64> =
            (0..100_000).flat_map(|i| normals(Stream::at(0, 0, 0, i).random())).map(f64::from).collect();
        let moment =
            |power: i32| deviates.iter().map(|deviate| deviate.powi(power)).sum::<f64>() / deviates.len() as f64;
        for (power, expected) in [(1, 0.0), (2, 1.0), (3, 0.0), (4, 3.0)] {
            assert!((moment(power) - expected).abs() <= MOMENT, "{power}: {}", moment(power));
        }
        // The two of a pair are independent.
        let product = deviates.chunks_exact(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / deviates.len() as f64;
        assert!(product.abs() <= MOMENT, "{product}");
    }
}
