//! Eight f32 by AVX2 and FMA.

use super::{Singles, SinglesKernel, WIDTH};
use std::arch::x86_64::*;

/// Compiles `kernel` for AVX2 and runs it.
///
/// # Safety
/// The processor must have the features named below: `Level::available` must have listed AVX2.
#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
pub(super) unsafe fn run<K: SinglesKernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

/// Only [`run`] hands this type to code, so its methods execute only where AVX2 is there.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256);

impl Singles for Avx2 {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_set1_ps(x) })
    }
    #[inline(always)]
    fn from_array(lanes: &[f32; WIDTH]) -> Self {
        // SAFETY: AVX; an unaligned load of eight f32 from an array of eight.
        Self(unsafe { _mm256_loadu_ps(lanes.as_ptr()) })
    }
    #[inline(always)]
    fn to_array(self) -> [f32; WIDTH] {
        let mut lanes = [0.0; WIDTH];
        // SAFETY: AVX; an unaligned store of eight f32 into an array of eight.
        unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), self.0) };
        lanes
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_sub_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: FMA, registers only.
        Self(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }
    #[inline(always)]
    fn abs(self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0) })
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_sqrt_ps(self.0) })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_min_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_max_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn le(self, other: Self) -> u8 {
        // SAFETY: AVX, registers only.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LE_OQ>(self.0, other.0)) as u8 }
    }
    #[inline(always)]
    fn up_to(self, limit: Self) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe {
            let above = _mm256_cmp_ps::<_CMP_NLE_UQ>(self.0, limit.0);
            _mm256_blendv_ps(self.0, _mm256_set1_ps(f32::INFINITY), above)
        })
    }
    #[inline(always)]
    fn transposed(rows: [&[f32; WIDTH]; WIDTH]) -> [Self; WIDTH] {
        // SAFETY: AVX; eight unaligned loads of eight f32 from arrays of eight, the rest in registers.
        unsafe {
            let mut r = [_mm256_setzero_ps(); WIDTH];
            for (vector, row) in r.iter_mut().zip(rows) {
                *vector = _mm256_loadu_ps(row.as_ptr());
            }
            // Pairs of rows interleaved, then pairs of pairs, then the halves exchanged.
            let pairs: [__m256; WIDTH] = [
                _mm256_unpacklo_ps(r[0], r[1]),
                _mm256_unpackhi_ps(r[0], r[1]),
                _mm256_unpacklo_ps(r[2], r[3]),
                _mm256_unpackhi_ps(r[2], r[3]),
                _mm256_unpacklo_ps(r[4], r[5]),
                _mm256_unpackhi_ps(r[4], r[5]),
                _mm256_unpacklo_ps(r[6], r[7]),
                _mm256_unpackhi_ps(r[6], r[7]),
            ];
            let fours: [__m256; WIDTH] = [
                _mm256_shuffle_ps::<0x44>(pairs[0], pairs[2]),
                _mm256_shuffle_ps::<0xee>(pairs[0], pairs[2]),
                _mm256_shuffle_ps::<0x44>(pairs[1], pairs[3]),
                _mm256_shuffle_ps::<0xee>(pairs[1], pairs[3]),
                _mm256_shuffle_ps::<0x44>(pairs[4], pairs[6]),
                _mm256_shuffle_ps::<0xee>(pairs[4], pairs[6]),
                _mm256_shuffle_ps::<0x44>(pairs[5], pairs[7]),
                _mm256_shuffle_ps::<0xee>(pairs[5], pairs[7]),
            ];
            [
                Self(_mm256_permute2f128_ps::<0x20>(fours[0], fours[4])),
                Self(_mm256_permute2f128_ps::<0x20>(fours[1], fours[5])),
                Self(_mm256_permute2f128_ps::<0x20>(fours[2], fours[6])),
                Self(_mm256_permute2f128_ps::<0x20>(fours[3], fours[7])),
                Self(_mm256_permute2f128_ps::<0x31>(fours[0], fours[4])),
                Self(_mm256_permute2f128_ps::<0x31>(fours[1], fours[5])),
                Self(_mm256_permute2f128_ps::<0x31>(fours[2], fours[6])),
                Self(_mm256_permute2f128_ps::<0x31>(fours[3], fours[7])),
            ]
        }
    }
}
