//! One word.

use super::{MAX_LANES, Words};
use std::slice;

#[derive(Clone, Copy)]
pub(super) struct Scalar(u64);

impl Words for Scalar {
    const LANES: usize = 1;

    #[inline(always)]
    fn splat(x: u64) -> Self {
        Self(x)
    }
    #[inline(always)]
    fn lanes(&self) -> &[u64] {
        slice::from_ref(&self.0)
    }
    #[inline(always)]
    fn lanes_mut(&mut self) -> &mut [u64] {
        slice::from_mut(&mut self.0)
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
        Self(self.0.wrapping_add(other.0))
    }
    #[inline(always)]
    fn double(self) -> Self {
        Self(self.0 << 1)
    }
    #[inline(always)]
    fn top(self) -> Self {
        Self(self.0 >> 63)
    }
    #[inline(always)]
    fn shift_in(self, first: u64) -> Self {
        Self(first)
    }
    #[inline(always)]
    fn last(self) -> u64 {
        self.0
    }
    #[inline(always)]
    fn diagonal(rows: [&Self; MAX_LANES]) -> Self {
        *rows[0]
    }
}
