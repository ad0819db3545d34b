//! Numbers from a seed, the same on every machine: for tests that print their seed.

/// A splitmix64 generator.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// 32 random bits.
    pub fn number(&mut self) -> u32 {
        (self.word() >> 32) as u32
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        let [byte, ..] = self.word().to_be_bytes();
        byte
    }

    /// A number under `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number()).unwrap_or(0).checked_rem(bound).unwrap_or(0)
    }

    /// True once in `times`.
    pub fn chance(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Random bytes, from `least` to `most` of them.
    pub fn bytes(&mut self, least: usize, most: usize) -> Vec<u8> {
        let count = least.saturating_add(self.below(most.saturating_sub(least).saturating_add(1)));
        (0..count).map(|_| self.byte()).collect()
    }
}

/// The number that an environment variable says, in decimal or as `0x…`: a seed to repeat a run with, or
/// how long it is to be.
pub fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let hex = text.strip_prefix("0x").map(|digits| u64::from_str_radix(digits, 16));
    Some(hex.unwrap_or_else(|| text.parse()).expect("a number"))
}
