//! One pair of series: strips of rows, each lane of a vector owning `K` consecutive rows.
//!
//! Lane `q` runs `SKEW` columns behind lane `q - 1`, so that what the last row of one lane has computed reaches the
//! first row of the next by one lane shift, `SKEW` steps later: the state of a strip never leaves the registers, and
//! only its last row goes to memory, for the next strip. `SKEW` 2 instead of 1 takes the shift off the critical path.
//!
//! DTW has strips of its own (`dtw/strip.rs`), whose rows are skewed against each other too. That is faster for a cell
//! of two or three operations; here the cells are dearer, and a step of a column is more than one vector.

use super::recurrence::{Diagonals, Extent, POLL_STEPS, Predecessors, Recurrence, border, poll};
use crate::kernels::band::Band;
use crate::kernels::simd::{Kernel, MAX_LANES, Vector};
use crate::kernels::{Interrupt, KernelError};
use std::ops::Range;

const SKEW: usize = 2;

/// The distance of `a` and `b`, both not empty.
pub(super) struct Pair<'a, R> {
    pub(super) recurrence: R,
    pub(super) a: &'a [f64],
    pub(super) b: &'a [f64],
    pub(super) band: Band,
    pub(super) interrupt: Interrupt<'a>,
}

impl<R: Recurrence> Kernel for Pair<'_, R> {
    type Output = Result<f64, KernelError>;

    #[inline(always)]
    fn run<V: Vector>(self) -> Self::Output {
        self.strips::<V, 4>()
    }
}

impl<R: Recurrence> Pair<'_, R> {
    #[inline(always)]
    fn strips<V: Vector, const K: usize>(&self) -> Result<f64, KernelError> {
        let Self { recurrence, a, b, band, interrupt } = *self;
        let (n, m) = (a.len(), b.len());
        let height = K * V::LANES;
        // How many columns the last lane is behind the first.
        let behind = (V::LANES - 1) * SKEW;
        let rows = n.next_multiple_of(height);
        // One window per step: lane q looks q * SKEW values back, and one more for the value before.
        let mut padded = vec![0.0; m + 2 * behind + 1];
        padded[behind + 1..][..m].copy_from_slice(b);
        let mut columns: Vec<R::Step<V>> = Vec::with_capacity(m + behind);
        for (at, values) in padded.windows(behind + 2).enumerate() {
            poll(at, interrupt)?;
            let now = V::from_fn(|q| values[behind + 1 - q * SKEW]);
            let before = V::from_fn(|q| values[behind - q * SKEW]);
            columns.push(recurrence.step(now, before));
        }
        let extent = Extent {
            lowest: rows.min(band.below + K),
            highest: (m + behind).min(band.above + height + behind),
            stride: K + SKEW,
        };
        let apart = if R::APART {
            Diagonals::apart(recurrence, extent, [n.max(m); MAX_LANES], interrupt)?
        } else {
            Diagonals::none()
        };
        let banded = !band.is_full(n, m);
        let outside = if banded { Diagonals::of_band(extent, band, interrupt)? } else { Diagonals::none() };
        let border_a = border(recurrence, a, band.below, rows - n);
        // The row above a strip and the one that it leaves behind; entry j is D(row, j).
        let mut above = border(recurrence, b, band.above, behind);
        let mut below = vec![f64::INFINITY; above.len()];

        let mut first = 0;
        loop {
            interrupt.check()?;
            let last = (first + height).min(n) - 1;
            let start = first.saturating_sub(band.below);
            let last_lane = (last - first) / K;
            let end = (last + band.above + 1).min(m) + if last + 1 == n { last_lane * SKEW } else { behind };
            let value = |row: usize| a.get(row).copied().unwrap_or(0.0);
            let mut strip = Strip::<R, V, K> {
                recurrence,
                rows: std::array::from_fn(|v| {
                    let now = V::from_fn(|q| value(first + q * K + v));
                    let before = V::from_fn(|q| (first + q * K + v).checked_sub(1).map_or(0.0, value));
                    recurrence.step(now, before)
                }),
                left: std::array::from_fn(|v| {
                    V::from_fn(|q| if start == 0 { border_a[first + q * K + v + 1] } else { f64::INFINITY })
                }),
                diagonal: V::splat(above[start]),
                handed_on: [V::splat(0.0); SKEW],
            };
            strip.handed_on = [strip.left[K - 1]; SKEW];

            // The steps at which some lane has not begun, and those at which every cell is inside the band.
            let begun = (start + behind).min(end);
            let slanted_in = (first + height - 1).saturating_sub(band.below);
            let slanted_in = if slanted_in == 0 { 0 } else { slanted_in + behind };
            let inside = slanted_in.clamp(begun, end);
            let slanted_out = (first + band.above + 1).clamp(inside, end);

            let steps = |from: usize, to: usize| Steps {
                columns: &columns[from..to],
                above: &above[from + 1..to + 1],
                apart: apart.along(first, from, K),
                outside: outside.along(first, from, K),
            };
            let border = strip.left;
            if banded {
                strip.begin::<true>(steps(start, begun), border);
                let (leave, rest) = below[start + 1..].split_at_mut(inside - begun);
                strip.walk::<true>(steps, begun..inside, leave, interrupt)?;
                let (leave, rest) = rest.split_at_mut(slanted_out - inside);
                strip.walk::<false>(steps, inside..slanted_out, leave, interrupt)?;
                strip.walk::<true>(steps, slanted_out..end, rest, interrupt)?;
            } else {
                strip.begin::<false>(steps(start, begun), border);
                strip.walk::<false>(steps, begun..end, &mut below[start + 1..], interrupt)?;
            }
            if last + 1 == n {
                let mut distance = f64::INFINITY;
                for v in 0..K {
                    if v == last - first - last_lane * K {
                        distance = strip.left[v].to_array()[last_lane];
                    }
                }
                return Ok(distance);
            }
            first += height;
            below[0] = border_a[first];
            std::mem::swap(&mut above, &mut below);
        }
    }
}

/// Consecutive steps of a strip; at step `t` lane `q` is in column `t - q * SKEW`.
struct Steps<'a, S, V> {
    columns: &'a [S],
    /// The row above the strip, for lane 0.
    above: &'a [f64],
    apart: std::slice::Windows<'a, V>,
    outside: std::slice::Windows<'a, V>,
}

struct Strip<R: Recurrence, V: Vector, const K: usize> {
    recurrence: R,
    rows: [R::Step<V>; K],
    /// The cells of the last step.
    left: [V; K],
    /// What `up` was in the last step.
    diagonal: V,
    /// The last row of each lane at the last `SKEW` steps, oldest first.
    handed_on: [V; SKEW],
}

impl<R: Recurrence, V: Vector, const K: usize> Strip<R, V, K> {
    /// The first steps: lanes that have not begun keep their border cells.
    #[inline(always)]
    fn begin<const MASKED: bool>(&mut self, steps: Steps<'_, R::Step<V>, V>, border: [V; K]) {
        let Steps { columns, above, mut apart, mut outside } = steps;
        for (t, (column, above)) in columns.iter().zip(above).enumerate() {
            let begun = V::mask_from_fn(|q| q * SKEW <= t);
            let up = self.next(*above);
            let mut from = up;
            let apart = window::<V, K>(R::APART, &mut apart);
            let outside = window::<V, K>(MASKED, &mut outside);
            for (v, border) in border.iter().enumerate() {
                let x = self.cell::<MASKED>(v, *column, &apart, &outside, from);
                let x = V::select(begun, x, *border);
                from = Predecessors { diagonal: self.left[v], up: x, left: x };
                self.left[v] = x;
            }
            self.hand_on();
        }
    }

    /// The `range` of `steps`, at which every lane has begun. `leave` gets the last row of the strip.
    #[inline(always)]
    fn walk<'s, const MASKED: bool>(
        &mut self,
        steps: impl Fn(usize, usize) -> Steps<'s, R::Step<V>, V>,
        range: Range<usize>,
        leave: &mut [f64],
        interrupt: Interrupt<'_>,
    ) -> Result<(), KernelError>
    where
        R::Step<V>: 's,
        V: 's,
    {
        let mut from = range.start;
        for leave in leave[..range.len()].chunks_mut(POLL_STEPS) {
            interrupt.check()?;
            self.stretch::<MASKED>(steps(from, from + leave.len()), leave);
            from += leave.len();
        }
        Ok(())
    }

    /// As many steps as are walked between two looks at the interrupt.
    #[inline(always)]
    fn stretch<const MASKED: bool>(&mut self, steps: Steps<'_, R::Step<V>, V>, leave: &mut [f64]) {
        let Steps { columns, above, mut apart, mut outside } = steps;
        for ((column, above), leave) in columns.iter().zip(above).zip(leave) {
            let mut from = self.next(*above);
            let apart = window::<V, K>(R::APART, &mut apart);
            let outside = window::<V, K>(MASKED, &mut outside);
            for v in 0..K {
                let x = self.cell::<MASKED>(v, *column, &apart, &outside, from);
                from = Predecessors { diagonal: self.left[v], up: x, left: x };
                self.left[v] = x;
            }
            self.hand_on();
            *leave = self.left[K - 1].last();
        }
    }

    /// The predecessors above the first row of every lane.
    #[inline(always)]
    fn next(&mut self, above: f64) -> Predecessors<V> {
        let up = self.handed_on[0].shift_in(above);
        let diagonal = self.diagonal;
        self.diagonal = up;
        Predecessors { diagonal, up, left: up }
    }

    #[inline(always)]
    fn hand_on(&mut self) {
        for s in 1..SKEW {
            self.handed_on[s - 1] = self.handed_on[s];
        }
        self.handed_on[SKEW - 1] = self.left[K - 1];
    }

    #[inline(always)]
    fn cell<const MASKED: bool>(
        &self,
        v: usize,
        column: R::Step<V>,
        apart: &[V; K],
        outside: &[V; K],
        from: Predecessors<V>,
    ) -> V {
        let from = Predecessors { left: self.left[v], ..from };
        let x = self.recurrence.cell(self.rows[v], column, apart[K - 1 - v], from);
        if MASKED { x.add(outside[K - 1 - v]) } else { x }
    }
}

/// The next window when it is `wanted`, else zeros.
#[inline(always)]
pub(super) fn window<V: Vector, const K: usize>(
    wanted: bool,
    windows: &mut std::slice::Windows<'_, V>,
) -> [V; K] {
    let next = if wanted { windows.next() } else { None };
    debug_assert_eq!(next.is_some(), wanted, "the diagonals cover every step");
    match next.and_then(|entries| entries.first_chunk::<K>()) {
        Some(entries) => *entries,
        None => [V::splat(0.0); K],
    }
}
