//! Two words by the crate `wide`: SSE2 on any x86-64, NEON on any aarch64, plain arrays elsewhere.

use super::{MAX_LANES, Words};
use wide::u64x2;

#[derive(Clone, Copy)]
pub(super) struct Portable(u64x2);

impl Words for Portable {
    const LANES: usize = 2;

    #[inline(always)]
    fn splat(x: u64) -> Self {
        Self(u64x2::splat(x))
    }
    #[inline(always)]
    fn lanes(&self) -> &[u64] {
        self.0.as_array()
    }
    #[inline(always)]
    fn lanes_mut(&mut self) -> &mut [u64] {
        self.0.as_mut_array()
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }
    #[inline(always)]
    fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
    #[inline(always)]
    fn double(self) -> Self {
        Self(self.0 + self.0)
    }
    #[inline(always)]
    fn top(self) -> Self {
        Self(self.0 >> 63)
    }
    #[inline(always)]
    fn shift_in(self, first: u64) -> Self {
        Self(u64x2::new([first, self.0.to_array()[0]]))
    }
    #[inline(always)]
    fn last(self) -> u64 {
        self.0.to_array()[1]
    }
    #[inline(always)]
    fn diagonal(rows: [&Self; MAX_LANES]) -> Self {
        Self(u64x2::new([rows[0].0.as_array()[0], rows[1].0.as_array()[1]]))
    }
}
