//! Local costs, and the rows of a block as vectors that a column is compared with.

use crate::kernels::simd::{Vector, opaque_one};
use crate::series::Series;

/// What one pair of values costs, and how that is added to what the path cost before.
///
/// The recurrence needs two `min`, a subtraction and an addition for each cell, and processors of the Zen family
/// execute all four on the same two units while two multipliers idle. `one` moves work over to those, bit for bit the
/// same: see [`Vector::sub_by`].
pub(super) trait Cost: Copy {
    /// Per lane, the cost of aligning `x` with `y`; never negative, never NaN.
    fn of<V: Vector>(x: V, y: V, one: V) -> V;
    /// `cost + best`
    fn onto<V: Vector>(cost: V, best: V, one: V) -> V;
}

/// `|x - y|`
#[derive(Clone, Copy)]
pub(super) struct Absolute;

impl Cost for Absolute {
    #[inline(always)]
    fn of<V: Vector>(x: V, y: V, one: V) -> V {
        y.sub_by(one, x).abs()
    }
    #[inline(always)]
    fn onto<V: Vector>(cost: V, best: V, one: V) -> V {
        cost.add_by(one, best)
    }
}

/// `(x - y)^2`
#[derive(Clone, Copy)]
pub(super) struct Squared;

impl Cost for Squared {
    #[inline(always)]
    fn of<V: Vector>(x: V, y: V, one: V) -> V {
        let difference = y.sub_by(one, x);
        difference.mul(difference)
    }
    /// The square keeps the multipliers busy already.
    #[inline(always)]
    fn onto<V: Vector>(cost: V, best: V, _: V) -> V {
        cost.add(best)
    }
}

/// `K` vectors of rows (a lane is a row or the same row of every candidate), compared with one column at a time.
pub(super) trait RowBlock<V: Vector, const K: usize> {
    /// Takes the rows from `series`: lane `q` of vector `v` is row `row(v, q)`, zeros where that is past the end.
    fn load(series: Series<'_>, row: impl Fn(usize, usize) -> usize) -> Self;

    /// Values per time step; a column is a slice of so many vectors.
    fn channels(&self) -> usize;

    /// The cost of row vector `v` against a column.
    fn cost<C: Cost>(&self, v: usize, column: &[V]) -> V;

    /// [`opaque_one`], kept at hand.
    fn one(&self) -> V;
}

/// Chooses the row blocks for a number of channels.
pub(super) trait Channels {
    /// Blocks of `K` row vectors.
    type Rows<V: Vector, const K: usize>: RowBlock<V, K>;
}

/// One value a time step.
pub(super) struct One;

impl Channels for One {
    type Rows<V: Vector, const K: usize> = Univariate<V, K>;
}

/// Any number of values a time step.
pub(super) struct Many;

impl Channels for Many {
    type Rows<V: Vector, const K: usize> = Multivariate<V>;
}

/// One channel: the rows stay in registers.
pub(super) struct Univariate<V, const K: usize> {
    rows: [V; K],
    one: V,
}

impl<V: Vector, const K: usize> RowBlock<V, K> for Univariate<V, K> {
    #[inline(always)]
    fn load(series: Series<'_>, row: impl Fn(usize, usize) -> usize) -> Self {
        let values = series.values();
        let mut rows = [V::splat(0.0); K];
        for (v, vector) in rows.iter_mut().enumerate() {
            *vector = V::from_fn(|q| values.get(row(v, q)).copied().unwrap_or(0.0));
        }
        Self { rows, one: opaque_one() }
    }

    #[inline(always)]
    fn channels(&self) -> usize {
        1
    }

    #[inline(always)]
    fn cost<C: Cost>(&self, v: usize, column: &[V]) -> V {
        C::of(self.rows[v], column[0], self.one)
    }

    #[inline(always)]
    fn one(&self) -> V {
        self.one
    }
}

/// Several channels: their costs are added first to last, which is part of the result's bits.
pub(super) struct Multivariate<V> {
    rows: Vec<V>,
    channels: usize,
    one: V,
}

impl<V: Vector, const K: usize> RowBlock<V, K> for Multivariate<V> {
    #[inline(always)]
    fn load(series: Series<'_>, row: impl Fn(usize, usize) -> usize) -> Self {
        let (values, channels) = (series.values(), series.channels());
        let mut rows = Vec::with_capacity(K * channels);
        for v in 0..K {
            for c in 0..channels {
                rows.push(V::from_fn(|q| {
                    let index = row(v, q).saturating_mul(channels).saturating_add(c);
                    values.get(index).copied().unwrap_or(0.0)
                }));
            }
        }
        Self { rows, channels, one: opaque_one() }
    }

    #[inline(always)]
    fn channels(&self) -> usize {
        self.channels
    }

    #[inline(always)]
    fn cost<C: Cost>(&self, v: usize, column: &[V]) -> V {
        let row = &self.rows[v * self.channels..(v + 1) * self.channels];
        let mut total = C::of(row[0], column[0], self.one);
        for (x, y) in row.iter().zip(column).skip(1) {
            total = total.add(C::of(*x, *y, self.one));
        }
        total
    }

    #[inline(always)]
    fn one(&self) -> V {
        self.one
    }
}
