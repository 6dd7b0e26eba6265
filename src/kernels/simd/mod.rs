//! One vector of f64 lanes behind a private trait, and the choice of its implementation at run time.
//!
//! A kernel is a struct that implements [`Kernel`]: its `run` is generic over [`Vector`] and `#[inline(always)]`,
//! and so is everything hot below it. [`Level::run`] instantiates it once per instruction set, inside a function
//! that carries the matching `#[target_feature]`: without that, a binary built for any x86-64 would execute the
//! AVX2 types with SSE2 instructions at half the speed.
//!
//! All `unsafe` of the kernels lives in this folder, behind safe functions: a [`Level`] can only be had from
//! detection, so holding one is the proof that the processor has its instructions.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
#[cfg(not(target_feature = "simd128"))]
mod scalar;
mod singles;
mod words;

pub(crate) use singles::{Singles, SinglesKernel, WIDTH, prefetch};
pub(crate) use words::{WordKernel, Words};

use std::sync::OnceLock;

/// The environment variable that forces a lower level, for tests and bug reports.
pub const LEVEL_VARIABLE: &str = "MIDSTREAMER_KERNEL";

/// An instruction set that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level(Kind);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A page that cannot run SIMD128 cannot run the module at all: there it would only be code to download.
    #[cfg(not(target_feature = "simd128"))]
    Scalar,
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// Every level of this processor, slowest first.
    pub fn available() -> Vec<Level> {
        let levels = [
            #[cfg(not(target_feature = "simd128"))]
            Level(Kind::Scalar),
            Level(Kind::Portable),
        ]
        .into_iter();
        #[cfg(target_arch = "x86_64")]
        let levels = levels
            .chain(avx2::detected().then_some(Level(Kind::Avx2)))
            .chain(avx512::detected().then_some(Level(Kind::Avx512)));
        levels.collect()
    }

    /// The level that kernels should use: the best one, or the one named by [`LEVEL_VARIABLE`]. A name that this
    /// processor does not have is passed over. Read once.
    pub fn best() -> Level {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| {
            let levels = Self::available();
            let forced = std::env::var(LEVEL_VARIABLE).ok();
            let forced = forced.and_then(|name| levels.iter().copied().find(|level| level.name() == name));
            forced.unwrap_or(levels[levels.len() - 1])
        })
    }

    /// `scalar`, `sse2`, `avx2`, `avx512`, `neon` or `simd128` (`portable` on other architectures).
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(not(target_feature = "simd128"))]
            Kind::Scalar => "scalar",
            Kind::Portable => portable::NAME,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512",
        }
    }

    /// Lanes of one vector.
    pub fn lanes(self) -> usize {
        struct Lanes;
        impl Kernel for Lanes {
            type Output = usize;
            #[inline(always)]
            fn run<V: Vector>(self) -> usize {
                V::LANES
            }
        }
        self.run(Lanes)
    }

    /// Runs `kernel` with this level's vectors and instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            #[cfg(not(target_feature = "simd128"))]
            Kind::Scalar => kernel.run::<scalar::Scalar>(),
            Kind::Portable => kernel.run::<portable::Portable>(),
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 if K::REGISTERS > 16 => {
                // SAFETY: `Kind::Avx512` is only made by `available`, after `avx512::detected` said that every feature
                // which `avx512::run` enables is there.
                unsafe { avx512::run(kernel) }
            }
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 | Kind::Avx512 => {
                // SAFETY: these are only made by `available`, after `avx2::detected` said that every feature which
                // `avx2::run` enables is there.
                unsafe { avx2::run(kernel) }
            }
        }
    }
}

/// Work that is written once over [`Vector`]. `run` must be `#[inline(always)]`, and so must be what it calls in
/// its hot loops: only code inlined into [`Level::run`]'s entry functions is compiled for their instructions.
pub(crate) trait Kernel {
    /// What it computes.
    type Output;
    /// How many vectors it can keep in registers to advantage; with more than sixteen it is also compiled for AVX-512.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    const REGISTERS: usize = 16;
    /// Computes it with vectors of type `V`.
    fn run<V: Vector>(self) -> Self::Output;
}

/// The number one, which the compiler does not know to be one.
#[inline(always)]
pub(crate) fn opaque_one<V: Vector>() -> V {
    V::splat(std::hint::black_box(1.0))
}

/// The widest vector of any level, for stack buffers.
pub(crate) const MAX_LANES: usize = 4;

/// A few f64 values that are computed on together. Lane 0 is the first.
///
/// `min` and `max` expect operands that are not NaN; every operation is the IEEE one, so lanes behave like f64.
pub(crate) trait Vector: Copy + Send + Sync + 'static {
    /// Number of lanes, at most [`MAX_LANES`].
    const LANES: usize;
    /// Vectors that fit the registers of the processor: they limit how many rows a kernel has in flight.
    const REGISTERS: usize;
    /// One truth value a lane.
    type Mask: Copy;

    fn splat(x: f64) -> Self;
    /// Lane `q` is `lane(q)`.
    fn from_fn(lane: impl FnMut(usize) -> f64) -> Self;
    /// The first `LANES` values of `values`, which must have so many.
    fn load(values: &[f64]) -> Self;
    /// Lanes in the first `LANES` places, the rest unspecified.
    fn to_array(self) -> [f64; MAX_LANES];

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;
    fn abs(self) -> Self;
    /// `self - other`, told as `self * one - other` with one rounding. For `one = 1.0` the product is exact, so the
    /// result has the bits of [`Self::sub`]; but where that is faster it runs on the multipliers, and leaves the
    /// adders to `min`. Pass [`opaque_one`], or the compiler sees through it.
    fn sub_by(self, one: Self, other: Self) -> Self;
    /// `self + other`, told as `self * one + other`; see [`Self::sub_by`].
    fn add_by(self, one: Self, other: Self) -> Self;
    /// `self * factor + addend`, in one rounding or in two, whatever the level is good at. Its bits differ between
    /// levels: for lower bounds, never for results.
    fn mul_add(self, factor: Self, addend: Self) -> Self;
    fn min(self, other: Self) -> Self;
    fn max(self, other: Self) -> Self;

    /// `[first, lane 0, lane 1, ...]`: every lane one up, the last one dropped.
    fn shift_in(self, first: f64) -> Self;
    /// The highest lane.
    fn last(self) -> f64;
    /// Lanes one up, behind the last lane of `lower`: `[lower's last, lane 0, lane 1, ...]`.
    fn above(self, lower: Self) -> Self;
    /// Lanes one down, before the first lane of `upper`: `[lane 1, ..., upper's first]`.
    fn below(self, upper: Self) -> Self;

    /// Per lane: `self <= other`.
    fn le(self, other: Self) -> Self::Mask;
    /// Per lane: `yes` where the mask holds, else `no`.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
    /// Bit `q` is the truth value of lane `q`.
    fn bits(mask: Self::Mask) -> u8;

    /// A mask from per-lane truth values.
    #[inline(always)]
    fn mask_from_fn(mut lane: impl FnMut(usize) -> bool) -> Self::Mask {
        Self::from_fn(|q| if lane(q) { 0.0 } else { 1.0 }).le(Self::splat(0.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One battery for every level: each operation against plain f64.
    struct Battery;
    impl Kernel for Battery {
        type Output = ();
        const REGISTERS: usize = 32;
        #[inline(always)]
        fn run<V: Vector>(self) {
            let values = [1.5, -2.0, 0.0, f64::INFINITY, -0.0, 1e300, -7.25, 3.0];
            let l = V::LANES;
            assert!(l <= MAX_LANES);
            for (i, x) in values.iter().enumerate() {
                for (j, y) in values.iter().enumerate() {
                    let xs = |q: usize| values[(i + q) % values.len()];
                    let ys = |q: usize| values[(j + q) % values.len()];
                    let (a, b) = (V::from_fn(xs), V::from_fn(ys));
                    let check = |got: V, want: &dyn Fn(usize) -> f64, what: &str| {
                        let got = got.to_array();
                        for (q, got) in got.iter().enumerate().take(l) {
                            let want = want(q);
                            assert!(
                                got.to_bits() == want.to_bits()
                                    || *got == want
                                    || got.is_nan() && want.is_nan(),
                                "{what} of {x} {y} lane {q}: {got} {want}"
                            );
                        }
                    };
                    check(a.add(b), &|q| xs(q) + ys(q), "add");
                    check(a.sub(b), &|q| xs(q) - ys(q), "sub");
                    check(a.mul(b), &|q| xs(q) * ys(q), "mul");
                    check(a.div(b), &|q| xs(q) / ys(q), "div");
                    check(a.sub_by(opaque_one(), b), &|q| xs(q) - ys(q), "sub_by");
                    check(a.add_by(opaque_one(), b), &|q| xs(q) + ys(q), "add_by");
                    check(V::load(&[xs(0), xs(1), xs(2), xs(3), xs(4)]), &|q| xs(q), "load");
                    let (fused, factor) = (a.mul_add(b, V::splat(0.75)), |q| xs(q) * ys(q));
                    let either = |q: usize| {
                        let got = fused.to_array()[q];
                        if got == xs(q).mul_add(ys(q), 0.75) { got } else { factor(q) + 0.75 }
                    };
                    check(fused, &either, "mul_add");
                    check(a.abs(), &|q| xs(q).abs(), "abs");
                    check(a.min(b), &|q| xs(q).min(ys(q)), "min");
                    check(a.max(b), &|q| xs(q).max(ys(q)), "max");
                    check(a.shift_in(9.0), &|q| if q == 0 { 9.0 } else { xs(q - 1) }, "shift_in");
                    assert_eq!(a.last().to_bits(), xs(l - 1).to_bits());
                    check(a.above(b), &|q| if q == 0 { ys(l - 1) } else { xs(q - 1) }, "above");
                    check(a.below(b), &|q| if q == l - 1 { ys(0) } else { xs(q + 1) }, "below");
                    let le = a.le(b);
                    let bits = (0..l).filter(|&q| xs(q) <= ys(q)).fold(0, |bits, q| bits | 1 << q);
                    assert_eq!(V::bits(le), bits);
                    check(V::select(le, a, b), &|q| if xs(q) <= ys(q) { xs(q) } else { ys(q) }, "select");
                    let odd = V::mask_from_fn(|q| q % 2 == 1);
                    let odd_bits = (0..l).filter(|q| q % 2 == 1).fold(0, |bits, q| bits | 1 << q);
                    assert_eq!(V::bits(odd), odd_bits);
                }
            }
        }
    }

    #[test]
    fn every_level_computes_like_f64() {
        for level in Level::available() {
            level.run(Battery);
        }
    }

    #[test]
    fn levels_have_names_and_lanes() {
        let levels = Level::available();
        assert_eq!(levels[0].name(), "scalar");
        assert_eq!(levels[0].lanes(), 1);
        assert!(levels.iter().all(|level| level.lanes() <= MAX_LANES));
        assert!(levels.contains(&Level::best()));
    }
}
