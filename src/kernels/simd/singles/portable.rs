//! Eight f32 as an array: what runs everywhere, and what compilers turn into the vectors of any architecture.

use super::{Singles, WIDTH};

#[derive(Clone, Copy)]
#[repr(align(32))]
pub(super) struct Portable([f32; WIDTH]);

impl Portable {
    #[inline(always)]
    fn map(self, other: Self, operation: impl Fn(f32, f32) -> f32) -> Self {
        let mut lanes = self.0;
        for (x, y) in lanes.iter_mut().zip(other.0) {
            *x = operation(*x, y);
        }
        Self(lanes)
    }
}

impl Singles for Portable {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; WIDTH])
    }
    #[inline(always)]
    fn from_array(lanes: &[f32; WIDTH]) -> Self {
        Self(*lanes)
    }
    #[inline(always)]
    fn to_array(self) -> [f32; WIDTH] {
        self.0
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.map(other, |x, y| x + y)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.map(other, |x, y| x - y)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.map(other, |x, y| x * y)
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        self.mul(factor).add(addend)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.map(self, |x, _| x.abs())
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.map(self, |x, _| x.sqrt())
    }
    // A comparison and a choice is one instruction; `f32::min` also looks for NaN.
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.map(other, |x, y| if x < y { x } else { y })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.map(other, |x, y| if x > y { x } else { y })
    }
    #[inline(always)]
    fn le(self, other: Self) -> u8 {
        let mut bits = 0;
        for (q, (x, y)) in self.0.into_iter().zip(other.0).enumerate() {
            bits |= u8::from(x <= y) << q;
        }
        bits
    }
    #[inline(always)]
    fn up_to(self, limit: Self) -> Self {
        self.map(limit, |x, y| if x <= y { x } else { f32::INFINITY })
    }
    #[inline(always)]
    fn transposed(rows: [&[f32; WIDTH]; WIDTH]) -> [Self; WIDTH] {
        let mut columns = [Self([0.0; WIDTH]); WIDTH];
        for (q, row) in rows.into_iter().enumerate() {
            for (column, x) in columns.iter_mut().zip(row) {
                column.0[q] = *x;
            }
        }
        columns
    }
}
