//! Vectors of 64-bit words for the bit-parallel kernels, chosen by the same [`Level`] as the floating-point ones.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;
#[cfg(not(target_feature = "simd128"))]
mod scalar;

use super::{Kind, Level, MAX_LANES};

/// Work that is written once over [`Words`]; what `Kernel` is for [`Vector`](super::Vector).
pub(crate) trait WordKernel {
    /// What it computes.
    type Output;
    /// Computes it with vectors of type `W`. Must be `#[inline(always)]`, and so must be what its hot loops call.
    fn run<W: Words>(self) -> Self::Output;
}

impl Level {
    /// Runs `kernel` with this level's vectors and instructions.
    #[inline]
    pub(crate) fn run_words<K: WordKernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(not(target_feature = "simd128"))]
            Kind::Scalar => kernel.run::<scalar::Scalar>(),
            Kind::Portable => kernel.run::<portable::Portable>(),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 | Kind::Avx512 => {
                // SAFETY: these are only made by `available`, after `avx2::detected` said that every feature which
                // `avx2::run` enables is there; this one enables the same.
                unsafe { avx2::run(kernel) }
            }
        }
    }
}

/// A few u64 words that are computed on together. Lane 0 is the first.
pub(crate) trait Words: Copy + Send + Sync + 'static {
    /// Number of lanes, at most [`MAX_LANES`].
    const LANES: usize;

    fn splat(x: u64) -> Self;
    /// The lanes in memory.
    fn lanes(&self) -> &[u64];
    /// The lanes in memory.
    fn lanes_mut(&mut self) -> &mut [u64];

    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    /// `self & !other`.
    fn without(self, other: Self) -> Self;
    /// Modulo 2^64.
    fn add(self, other: Self) -> Self;
    /// `self << 1`.
    fn double(self) -> Self;
    /// `self >> 63`.
    fn top(self) -> Self;

    /// `[first, lane 0, lane 1, ...]`: every lane one up, the last one dropped.
    fn shift_in(self, first: u64) -> Self;
    /// The highest lane.
    fn last(self) -> u64;
    /// Lane `q` is lane `q` of `rows[q]`.
    fn diagonal(rows: [&Self; MAX_LANES]) -> Self;

    /// Lane `q` is `lane(q)`. Not for hot loops.
    #[inline(always)]
    fn from_fn(mut lane: impl FnMut(usize) -> u64) -> Self {
        let mut words = Self::splat(0);
        for (q, word) in words.lanes_mut().iter_mut().enumerate() {
            *word = lane(q);
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One battery for every level: each operation against plain u64.
    struct Battery;
    impl WordKernel for Battery {
        type Output = ();
        #[inline(always)]
        fn run<W: Words>(self) {
            let values = [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, 0x0123_4567_89ab_cdef, 0xaaaa << 40];
            for i in 0..values.len() {
                for j in 0..values.len() {
                    let x = |q: usize| values[(i + q) % values.len()];
                    let y = |q: usize| values[(j + 2 * q) % values.len()];
                    let (a, b) = (W::from_fn(x), W::from_fn(y));
                    let check = |got: W, want: &dyn Fn(usize) -> u64, what: &str| {
                        assert_eq!(got.lanes().len(), W::LANES);
                        for (q, got) in got.lanes().iter().enumerate() {
                            assert_eq!(*got, want(q), "{what} lane {q}");
                        }
                    };
                    check(W::splat(x(0)), &|_| x(0), "splat");
                    check(a.and(b), &|q| x(q) & y(q), "and");
                    check(a.or(b), &|q| x(q) | y(q), "or");
                    check(a.xor(b), &|q| x(q) ^ y(q), "xor");
                    check(a.without(b), &|q| x(q) & !y(q), "without");
                    check(a.add(b), &|q| x(q).wrapping_add(y(q)), "add");
                    check(a.double(), &|q| x(q) << 1, "double");
                    check(a.top(), &|q| x(q) >> 63, "top");
                    check(a.shift_in(9), &|q| if q == 0 { 9 } else { x(q - 1) }, "shift_in");
                    assert_eq!(a.last(), x(W::LANES - 1));
                    let rows: [W; MAX_LANES] = std::array::from_fn(|r| W::from_fn(|q| x(q + 4 * r)));
                    check(W::diagonal(rows.each_ref()), &|q| x(5 * q), "diagonal");
                }
            }
        }
    }

    #[test]
    fn every_level_computes_like_u64() {
        for level in Level::available() {
            level.run_words(Battery);
        }
    }
}
