//! Four words by AVX2.

use super::{MAX_LANES, WordKernel, Words};
use std::arch::x86_64::*;
use std::slice;

/// Compiles `kernel` for AVX2 and runs it.
///
/// # Safety
/// The processor must have the features named below: `Level::available` must have listed AVX2.
#[target_feature(enable = "avx2,fma,bmi1,bmi2,lzcnt,popcnt")]
pub(super) unsafe fn run<K: WordKernel>(kernel: K) -> K::Output {
    kernel.run::<Avx2>()
}

/// Only [`run`] hands this type to code, so its methods execute only where AVX2 is there.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256i);

impl Words for Avx2 {
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(x: u64) -> Self {
        // SAFETY: AVX, registers only.
        Self(unsafe { _mm256_set1_epi64x(x.cast_signed()) })
    }
    #[inline(always)]
    fn lanes(&self) -> &[u64] {
        // SAFETY: a vector is four u64 without padding, every bit pattern is one, and its alignment is stricter;
        // the slice borrows `self`.
        unsafe { slice::from_raw_parts((&raw const self.0).cast::<u64>(), 4) }
    }
    #[inline(always)]
    fn lanes_mut(&mut self) -> &mut [u64] {
        // SAFETY: as in `lanes`; the slice borrows `self` mutably.
        unsafe { slice::from_raw_parts_mut((&raw mut self.0).cast::<u64>(), 4) }
    }
    #[inline(always)]
    fn and(self, other: Self) -> Self {
        // SAFETY: AVX2, registers only.
        Self(unsafe { _mm256_and_si256(self.0, other.0) })
    }
    #[inline(always)]
    fn or(self, other: Self) -> Self {
        // SAFETY: AVX2, registers only.
        Self(unsafe { _mm256_or_si256(self.0, other.0) })
    }
    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        // SAFETY: AVX2, registers only.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }
    #[inline(always)]
    fn without(self, other: Self) -> Self {
        // SAFETY: AVX2, registers only.
        Self(unsafe { _mm256_andnot_si256(other.0, self.0) })
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: AVX2, registers only.
        Self(unsafe { _mm256_add_epi64(self.0, other.0) })
    }
    #[inline(always)]
    fn double(self) -> Self {
        // SAFETY: AVX2, registers only.
        Self(unsafe { _mm256_add_epi64(self.0, self.0) })
    }
    #[inline(always)]
    fn top(self) -> Self {
        // SAFETY: AVX2, registers only.
        Self(unsafe { _mm256_srli_epi64::<63>(self.0) })
    }
    #[inline(always)]
    fn shift_in(self, first: u64) -> Self {
        // [first, 0, s0, s1], then its upper halves beside the lower ones of self: [first, s0, s1, s2].
        // SAFETY: AVX2, registers only.
        Self(unsafe {
            let first = _mm256_castsi128_si256(_mm_cvtsi64_si128(first.cast_signed()));
            let low = _mm256_permute2x128_si256::<0x02>(self.0, first);
            let middle = _mm256_alignr_epi8::<8>(self.0, low);
            _mm256_blend_epi32::<0b0000_0011>(middle, low)
        })
    }
    #[inline(always)]
    fn last(self) -> u64 {
        // SAFETY: AVX2, registers only.
        unsafe { _mm256_extract_epi64::<3>(self.0) }.cast_unsigned()
    }
    #[inline(always)]
    fn diagonal(rows: [&Self; MAX_LANES]) -> Self {
        // SAFETY: AVX2, registers only.
        Self(unsafe {
            let low = _mm256_blend_epi32::<0b0000_1100>(rows[0].0, rows[1].0);
            let high = _mm256_blend_epi32::<0b1100_0000>(rows[2].0, rows[3].0);
            _mm256_blend_epi32::<0b1111_0000>(low, high)
        })
    }
}
