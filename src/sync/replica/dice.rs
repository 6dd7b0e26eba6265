//! Random bytes from one seed of the operating system, so that the replica itself asks nobody: SHA-256 in counter mode.

use aws_lc_rs::digest::{SHA256, digest};

/// A stream of random bytes.
pub(super) struct Dice {
    seed: [u8; 32],
    counter: u64,
}

impl Dice {
    pub(super) const fn new(seed: [u8; 32]) -> Self {
        Self { seed, counter: 0 }
    }

    /// 32 bytes that never come again.
    pub(super) fn roll(&mut self) -> [u8; 32] {
        let mut input = [0; 40];
        input[..32].copy_from_slice(&self.seed);
        input[32..].copy_from_slice(&self.counter.to_le_bytes());
        self.counter += 1;
        let mut output = [0; 32];
        output.copy_from_slice(digest(&SHA256, &input).as_ref());
        output
    }
}
