//! One lane: the reference that the other levels must equal bit for bit.

use super::{MAX_LANES, Vector};

#[derive(Clone, Copy)]
pub(super) struct Scalar(f64);

impl Vector for Scalar {
    const LANES: usize = 1;
    const REGISTERS: usize = 16;
    type Mask = bool;

    #[inline(always)]
    fn splat(x: f64) -> Self {
        Self(x)
    }
    #[inline(always)]
    fn from_fn(mut lane: impl FnMut(usize) -> f64) -> Self {
        Self(lane(0))
    }
    #[inline(always)]
    fn load(values: &[f64]) -> Self {
        Self(values[0])
    }
    #[inline(always)]
    fn to_array(self) -> [f64; MAX_LANES] {
        [self.0; MAX_LANES]
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
    #[inline(always)]
    fn sub_by(self, _: Self, other: Self) -> Self {
        self.sub(other)
    }
    #[inline(always)]
    fn add_by(self, _: Self, other: Self) -> Self {
        self.add(other)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self(self.0 * other.0)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self(self.0 / other.0)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Self(self.0.abs())
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(self.0 * factor.0 + addend.0)
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(if self.0 < other.0 { self.0 } else { other.0 })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(if self.0 > other.0 { self.0 } else { other.0 })
    }
    #[inline(always)]
    fn shift_in(self, first: f64) -> Self {
        Self(first)
    }
    #[inline(always)]
    fn above(self, lower: Self) -> Self {
        lower
    }
    #[inline(always)]
    fn below(self, upper: Self) -> Self {
        upper
    }
    #[inline(always)]
    fn last(self) -> f64 {
        self.0
    }
    #[inline(always)]
    fn le(self, other: Self) -> bool {
        self.0 <= other.0
    }
    #[inline(always)]
    fn select(mask: bool, yes: Self, no: Self) -> Self {
        if mask { yes } else { no }
    }
    #[inline(always)]
    fn bits(mask: bool) -> u8 {
        u8::from(mask)
    }
}
