//! A small random generator for property tests: its seed is printed, and can be given again as `STORE_TEST_SEED`.

/// SplitMix64.
pub(crate) struct Random(u64);

impl Random {
    /// A generator whose seed is printed, so that a failure can be run again.
    pub(crate) fn printed(name: &str) -> Self {
        let seed =
            std::env::var("STORE_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| {
                use std::hash::{BuildHasher, RandomState};
                RandomState::new().hash_one(name)
            });
        eprintln!("{name}: STORE_TEST_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Up to `max` random bytes.
    pub(crate) fn bytes(&mut self, max: u64) -> Vec<u8> {
        (0..self.below(max + 1)).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}
