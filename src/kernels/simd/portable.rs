//! Two lanes by the crate `wide`: SSE2 on any x86-64, NEON on any aarch64, SIMD128 on WebAssembly, plain arrays elsewhere.

use super::{MAX_LANES, Vector};
use wide::f64x2;

/// What these lanes are on this architecture.
pub(super) const NAME: &str = if cfg!(target_arch = "x86_64") {
    "sse2"
} else if cfg!(target_arch = "aarch64") {
    "neon"
} else if cfg!(target_feature = "simd128") {
    "simd128"
} else {
    "portable"
};

#[derive(Clone, Copy)]
pub(super) struct Portable(f64x2);

impl Vector for Portable {
    const LANES: usize = 2;
    const REGISTERS: usize = 16;
    type Mask = f64x2;

    #[inline(always)]
    fn splat(x: f64) -> Self {
        Self(f64x2::splat(x))
    }
    #[inline(always)]
    fn from_fn(mut lane: impl FnMut(usize) -> f64) -> Self {
        let first = lane(0);
        Self(f64x2::new([first, lane(1)]))
    }
    #[inline(always)]
    fn load(values: &[f64]) -> Self {
        Self(f64x2::new([values[0], values[1]]))
    }
    #[inline(always)]
    fn to_array(self) -> [f64; MAX_LANES] {
        let [a, b] = self.0.to_array();
        [a, b, 0.0, 0.0]
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
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        Self(self.0 * factor.0 + addend.0)
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
    // `fast_min`, not `min`: the operands are never NaN, and `min` pays for the case.
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Self(self.0.fast_min(other.0))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Self(self.0.fast_max(other.0))
    }
    #[inline(always)]
    fn shift_in(self, first: f64) -> Self {
        Self(f64x2::new([first, self.0.to_array()[0]]))
    }
    #[inline(always)]
    fn above(self, lower: Self) -> Self {
        let ([_, before], [first, _]) = (lower.0.to_array(), self.0.to_array());
        Self(f64x2::new([before, first]))
    }
    #[inline(always)]
    fn below(self, upper: Self) -> Self {
        let ([_, last], [after, _]) = (self.0.to_array(), upper.0.to_array());
        Self(f64x2::new([last, after]))
    }
    #[inline(always)]
    fn last(self) -> f64 {
        self.0.to_array()[1]
    }
    #[inline(always)]
    fn le(self, other: Self) -> f64x2 {
        self.0.simd_le(other.0)
    }
    #[inline(always)]
    fn select(mask: f64x2, yes: Self, no: Self) -> Self {
        Self(mask.bitselect(yes.0, no.0))
    }
    #[inline(always)]
    fn bits(mask: f64x2) -> u8 {
        mask.to_bitmask() as u8
    }
}
