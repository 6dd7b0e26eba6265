//! Vectors of eight f32 lanes, for bounds that decide what need not be computed. Never for an answer.
//!
//! Unlike [`Vector`](super::Vector), a level may round differently here: [`Singles::mul_add`] rounds once or twice.
//! Whoever uses these has margins for both.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod portable;

use super::{Kind, Level};

/// Lanes of a vector, at every level.
pub(crate) const WIDTH: usize = 8;

/// Work that is written once over [`Singles`]; what `Kernel` is for [`Vector`](super::Vector).
pub(crate) trait SinglesKernel {
    /// What it computes.
    type Output;
    /// Computes it with vectors of type `S`. Must be `#[inline(always)]`, and so must be what its hot loops call.
    fn run<S: Singles>(self) -> Self::Output;
}

impl Level {
    /// Runs `kernel` with this level's vectors and instructions.
    #[inline]
    pub(crate) fn run_singles<K: SinglesKernel>(self, kernel: K) -> K::Output {
        match self.0 {
            // Loops over arrays are both: plain Rust, and what the compiler vectorises for any architecture.
            #[cfg(not(target_feature = "simd128"))]
            Kind::Scalar => kernel.run::<portable::Portable>(),
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

/// Eight f32 that are computed on together. Lane 0 is the first. Operands are never NaN.
pub(crate) trait Singles: Copy + Send + Sync + 'static {
    fn splat(x: f32) -> Self;
    fn from_array(lanes: &[f32; WIDTH]) -> Self;
    fn to_array(self) -> [f32; WIDTH];

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// `self * factor + addend`, rounded once or twice.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    fn abs(self) -> Self;
    fn sqrt(self) -> Self;
    fn min(self, other: Self) -> Self;
    fn max(self, other: Self) -> Self;

    /// Bit `q`: lane `q` of `self` is at most that of `other`.
    fn le(self, other: Self) -> u8;
    /// `self` where it is at most `limit`, infinity elsewhere.
    fn up_to(self, limit: Self) -> Self;

    /// Vector `j` holds, in lane `q`, element `j` of `rows[q]`.
    fn transposed(rows: [&[f32; WIDTH]; WIDTH]) -> [Self; WIDTH];
}

/// Asks for `values` to be on their way from memory; changes nothing else.
#[inline(always)]
pub(crate) fn prefetch(values: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64 / size_of::<f32>();
        for x in values.iter().step_by(LINE).chain(values.last()) {
            // SAFETY: SSE, which every x86-64 has; a prefetch of memory that is there has no effect that a program sees.
            unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const *x).cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One battery for every level: each operation against plain f32.
    struct Battery;
    impl SinglesKernel for Battery {
        type Output = ();
        #[inline(always)]
        fn run<S: Singles>(self) {
            let values =
                [1.5, -2.0, 0.0, f32::INFINITY, -0.0, 1e30, -7.25, 3.0, 0.1, f32::MIN_POSITIVE, 1e-40];
            let value = |i: usize| values[i % values.len()];
            for i in 0..values.len() {
                for j in 0..values.len() {
                    let (x, y) = (|q: usize| value(i + q), |q: usize| value(j + 2 * q));
                    let a = S::from_array(&std::array::from_fn(x));
                    let b = S::from_array(&std::array::from_fn(y));
                    let check = |got: S, want: &dyn Fn(usize) -> f32, what: &str| {
                        for (q, got) in got.to_array().into_iter().enumerate() {
                            let want = want(q);
                            let same = got == want || got.is_nan() && want.is_nan();
                            assert!(same, "{what} lane {q}: {got} {want}");
                        }
                    };
                    check(S::splat(x(0)), &|_| x(0), "splat");
                    check(a.add(b), &|q| x(q) + y(q), "add");
                    check(a.sub(b), &|q| x(q) - y(q), "sub");
                    check(a.mul(b), &|q| x(q) * y(q), "mul");
                    check(a.abs(), &|q| x(q).abs(), "abs");
                    check(a.abs().sqrt(), &|q| x(q).abs().sqrt(), "sqrt");
                    check(a.min(b), &|q| x(q).min(y(q)), "min");
                    check(a.max(b), &|q| x(q).max(y(q)), "max");
                    check(a.up_to(b), &|q| if x(q) <= y(q) { x(q) } else { f32::INFINITY }, "up_to");
                    let bits = (0..WIDTH).filter(|&q| x(q) <= y(q)).fold(0, |bits, q| bits | 1 << q);
                    assert_eq!(a.le(b), bits);
                    for (q, got) in a.mul_add(b, a).to_array().into_iter().enumerate() {
                        let (once, twice) = (x(q).mul_add(y(q), x(q)), x(q) * y(q) + x(q));
                        let known = got == once || got == twice || got.is_nan() && twice.is_nan();
                        assert!(known, "mul_add lane {q}: {got} {once} {twice}");
                    }
                }
            }
            let rows: [[f32; WIDTH]; WIDTH] =
                std::array::from_fn(|r| std::array::from_fn(|c| (r * WIDTH + c) as f32));
            let columns = S::transposed(rows.each_ref());
            for (c, column) in columns.into_iter().enumerate() {
                assert_eq!(column.to_array(), std::array::from_fn(|r| (r * WIDTH + c) as f32));
            }
        }
    }

    #[test]
    fn every_level_computes_like_f32() {
        for level in Level::available() {
            level.run_singles(Battery);
        }
    }
}
