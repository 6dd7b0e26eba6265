//! What the elastic distances have in common: `D(i, j)` is the least of three predecessors, each plus a cost.
//!
//! Rows are the steps of `a`, columns those of `b`, both counted from 1; row 0 and column 0 are the borders and
//! `D(0, 0) = 0`. A measure says what a cell costs; [`super::pair`] and [`super::lanes`] say in which order the
//! cells are computed. The order never changes a value, so neither does the instruction set.

use crate::kernels::band::Band;
use crate::kernels::simd::{MAX_LANES, Vector};
use crate::kernels::{Interrupt, KernelError};

/// Steps between two looks at the interrupt: at most a few milliseconds, those of soft-DTW, and too many to be felt.
pub(super) const POLL_STEPS: usize = 1 << 12;

/// A measure as the dynamic programs see it. Everything is `#[inline(always)]` where it is implemented.
pub(super) trait Recurrence: Copy {
    /// What the cells of a row or column need to know of its step.
    type Step<V: Vector>: Copy;

    /// Whether [`Recurrence::cell`] looks at its argument `apart`.
    const APART: bool = false;

    /// Of a value and the value before it (0 before the first).
    fn step<V: Vector>(self, value: V, before: V) -> Self::Step<V>;

    /// What a border cell adds to the border cell before it. Infinite borders leave `D(0, 0)` as the only start.
    #[inline(always)]
    fn border(self, _value: f64) -> f64 {
        f64::INFINITY
    }

    /// The term of `|i - j|`, for series whose longer one has `longest` steps.
    fn apart(self, _distance: usize, _longest: usize) -> f64 {
        0.0
    }

    /// `D(i, j)` from `D(i-1, j-1)`, `D(i-1, j)` and `D(i, j-1)`. Must give infinity when all three are.
    fn cell<V: Vector>(self, row: Self::Step<V>, column: Self::Step<V>, apart: V, from: Predecessors<V>)
    -> V;
}

/// The three cells that a cell can be reached from.
#[derive(Clone, Copy)]
pub(super) struct Predecessors<V> {
    /// `D(i-1, j-1)`.
    pub(super) diagonal: V,
    /// `D(i-1, j)`.
    pub(super) up: V,
    /// `D(i, j-1)`.
    pub(super) left: V,
}

/// Looks at the interrupt in every [`POLL_STEPS`]th round of a loop.
#[inline(always)]
pub(super) fn poll(round: usize, interrupt: Interrupt<'_>) -> Result<(), KernelError> {
    if round.is_multiple_of(POLL_STEPS) { interrupt.check() } else { Ok(()) }
}

/// The border cells `D(0, 0), D(1, 0), ...` along one series: running sums as far as `reach`, infinity beyond.
/// `padding` more infinities follow.
pub(super) fn border<R: Recurrence>(recurrence: R, values: &[f64], reach: usize, padding: usize) -> Vec<f64> {
    let mut cells = Vec::with_capacity(values.len() + 1 + padding);
    let mut sum = 0.0;
    cells.push(sum);
    for value in &values[..reach.min(values.len())] {
        sum += recurrence.border(*value);
        cells.push(sum);
    }
    cells.resize(values.len() + 1 + padding, f64::INFINITY);
    cells
}

/// Values that depend on `j - i` alone, so that a loop along a row reads them in sequence.
///
/// Lane `q` of the entry for `j - i` holds the value of `j - i - q * stride`: the lanes of a pair work on rows and
/// columns that differ by a constant, the lanes of a batch (`stride` 0) on the same.
pub(super) struct Diagonals<V> {
    entries: Vec<V>,
    /// How far below 0 the first entry is.
    lowest: usize,
}

/// Which diagonals a block of rows meets, at most: `-lowest <= j - i < highest`.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub(super) lowest: usize,
    pub(super) highest: usize,
    pub(super) stride: usize,
}

impl<V: Vector> Diagonals<V> {
    /// No entries, for measures and bands that need none.
    pub(super) fn none() -> Self {
        Self { entries: Vec::new(), lowest: 0 }
    }

    /// What `recurrence` makes of `|j - i|`, each lane with its own `longest`.
    #[inline(always)]
    pub(super) fn apart<R: Recurrence>(
        recurrence: R,
        extent: Extent,
        longest: [usize; MAX_LANES],
        interrupt: Interrupt<'_>,
    ) -> Result<Self, KernelError> {
        // An exponential each: once for both signs, and once for lanes of the same length.
        let terms = |longest: usize| -> Result<Vec<f64>, KernelError> {
            let mut terms = Vec::with_capacity(extent.farthest::<V>() + 1);
            for distance in 0..=extent.farthest::<V>() {
                poll(distance, interrupt)?;
                terms.push(recurrence.apart(distance, longest));
            }
            Ok(terms)
        };
        let first = terms(longest[0])?;
        let mut others = [const { None }; MAX_LANES];
        for (terms_of_lane, &other) in others.iter_mut().zip(&longest) {
            if other != longest[0] {
                *terms_of_lane = Some(terms(other)?);
            }
        }
        Self::new(extent, interrupt, |q, distance, _| others[q].as_ref().unwrap_or(&first)[distance])
    }

    /// 0 inside `band`, infinity outside: what is added to a cell to keep paths inside.
    #[inline(always)]
    pub(super) fn of_band(extent: Extent, band: Band, interrupt: Interrupt<'_>) -> Result<Self, KernelError> {
        Self::new(extent, interrupt, |_, distance, after| {
            if distance <= if after { band.above } else { band.below } { 0.0 } else { f64::INFINITY }
        })
    }

    /// `value` gets the lane, `|j - i|` and whether `j >= i`.
    #[inline(always)]
    fn new(
        extent: Extent,
        interrupt: Interrupt<'_>,
        value: impl Fn(usize, usize, bool) -> f64,
    ) -> Result<Self, KernelError> {
        let Extent { lowest, highest, stride } = extent;
        let mut entries = Vec::with_capacity(lowest + highest);
        for at in 0..lowest + highest {
            poll(at, interrupt)?;
            entries.push(V::from_fn(|q| {
                let zero = lowest + q * stride;
                value(q, at.abs_diff(zero), at >= zero)
            }));
        }
        Ok(Self { entries, lowest })
    }

    /// The entries for columns `column..` of the rows `row..row + k`, as windows of `k`: row `row + v` is at
    /// `k - 1 - v`. Nothing when there are no entries.
    #[inline(always)]
    pub(super) fn along(&self, row: usize, column: usize, k: usize) -> std::slice::Windows<'_, V> {
        let from = (self.lowest + column + 1).saturating_sub(row + k).min(self.entries.len());
        self.entries[from..].windows(k)
    }
}

impl Extent {
    /// The largest `|j - i|` of any lane.
    fn farthest<V: Vector>(self) -> usize {
        self.highest.max(self.lowest + (V::LANES - 1) * self.stride)
    }
}
