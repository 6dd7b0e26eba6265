//! Four lanes by AVX2, for processors of about 2013 on (the x86-64-v3 level), and the same lanes for those with AVX-512.

use super::{Kernel, MAX_LANES, Vector};
use std::arch::x86_64::*;

/// Whether this processor has everything that [`run`] is compiled for.
pub(super) fn detected() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt")
}

/// Compiles `kernel` for AVX2 and runs it.
///
/// # Safety
/// The processor must have the features named below: [`detected`] must have returned true.
#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<Ymm<16>>()
}

/// Four lanes of a processor that has so many registers for them. Only [`run`] and the entry of AVX-512 hand this type to
/// code, so its methods execute only where AVX2 is there.
#[derive(Clone, Copy)]
pub(super) struct Ymm<const REGISTERS: usize>(__m256d);

// SAFETY (of every block below): the intrinsics need AVX2, which `run` guarantees; they touch registers only,
// except where a block says more.
impl<const REGISTERS: usize> Vector for Ymm<REGISTERS> {
    const LANES: usize = 4;
    const REGISTERS: usize = REGISTERS;
    type Mask = __m256d;

    #[inline(always)]
    fn splat(x: f64) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_set1_pd(x) })
    }
    #[inline(always)]
    fn from_fn(mut lane: impl FnMut(usize) -> f64) -> Self {
        let (a, b, c, d) = (lane(0), lane(1), lane(2), lane(3));
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_setr_pd(a, b, c, d) })
    }
    #[inline(always)]
    fn load(values: &[f64]) -> Self {
        let values = &values[..4];
        // SAFETY: AVX; an unaligned load of four f64 from a slice of four.
        Self(unsafe { _mm256_loadu_pd(values.as_ptr()) })
    }
    #[inline(always)]
    fn to_array(self) -> [f64; MAX_LANES] {
        let mut lanes = [0.0; MAX_LANES];
        // SAFETY: AVX; an unaligned store of four f64 into an array of four.
        unsafe { _mm256_storeu_pd(lanes.as_mut_ptr(), self.0) };
        lanes
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_add_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_sub_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn sub_by(self, one: Self, other: Self) -> Self {
        // SAFETY: FMA, registers only.
        Self(unsafe { _mm256_fmsub_pd(self.0, one.0, other.0) })
    }
    #[inline(always)]
    fn add_by(self, one: Self, other: Self) -> Self {
        // SAFETY: FMA, registers only.
        Self(unsafe { _mm256_fmadd_pd(self.0, one.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: FMA, registers only.
        Self(unsafe { _mm256_fmadd_pd(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_mul_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_div_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_andnot_pd(_mm256_set1_pd(-0.0), self.0) })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_min_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_max_pd(self.0, other.0) })
    }
    #[inline(always)]
    fn shift_in(self, first: f64) -> Self {
        // [first, first, s0, s1], then the odd lane of it beside the even lane of self: [first, s0, s1, s2].
        // SAFETY: AVX, registers only.
        Self(unsafe {
            let low = _mm256_permute2f128_pd::<0x21>(_mm256_set1_pd(first), self.0);
            _mm256_shuffle_pd::<0b0101>(low, self.0)
        })
    }
    #[inline(always)]
    fn above(self, lower: Self) -> Self {
        // [l2, l3, s0, s1], then the odd lanes of it beside the even lanes of self: [l3, s0, s1, s2].
        // SAFETY: AVX, registers only.
        Self(unsafe {
            let middle = _mm256_permute2f128_pd::<0x21>(lower.0, self.0);
            _mm256_shuffle_pd::<0b0101>(middle, self.0)
        })
    }
    #[inline(always)]
    fn below(self, upper: Self) -> Self {
        // [s2, s3, u0, u1], then the odd lanes of self beside the even lanes of it: [s1, s2, s3, u0].
        // SAFETY: AVX, registers only.
        Self(unsafe {
            let middle = _mm256_permute2f128_pd::<0x21>(self.0, upper.0);
            _mm256_shuffle_pd::<0b0101>(self.0, middle)
        })
    }
    #[inline(always)]
    fn last(self) -> f64 {
        // SAFETY: AVX, registers only.
        unsafe {
            let high = _mm256_extractf128_pd::<1>(self.0);
            _mm_cvtsd_f64(_mm_unpackhi_pd(high, high))
        }
    }
    #[inline(always)]
    fn le(self, other: Self) -> __m256d {
        // SAFETY: AVX, registers only.
        unsafe { _mm256_cmp_pd::<_CMP_LE_OQ>(self.0, other.0) }
    }
    #[inline(always)]
    fn select(mask: __m256d, yes: Self, no: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_blendv_pd(no.0, yes.0, mask) })
    }
    #[inline(always)]
    fn bits(mask: __m256d) -> u8 {
        // SAFETY: AVX, registers only.
        unsafe { _mm256_movemask_pd(mask) as u8 }
    }
}
