//! Longest common subsequence of real values: how many steps of two series agree within a tolerance, in order.
//!
//! Vlachos, Kollios and Gunopulos, "Discovering similar multidimensional trajectories", 2002. The recurrence is the
//! bit-parallel one of [`lcs`](super::lcs). The rows within `epsilon` of a value are a range in the order of the
//! values, so the matches of a column are the difference of two prefix masks; the rows within the window are the
//! same in the order of the positions.

use super::alphabet::fit_u32;
use super::lcs::{CARRY, Lcs, WORD, zeros};
use super::simd::{Level, MAX_LANES, WordKernel, Words};
use super::wavefront::{Front, Matches, SKEW, STEPS, lag};
use super::{Interrupt, KernelError};
use crate::series::Series;
use std::ops::Range;

/// The length of the longest common subsequence, where `x` at `i` and `y` at `j` match when `|x - y| <= epsilon`
/// and `|i - j| <= window`. The window is not widened for unequal lengths. An `epsilon` that is negative or NaN
/// matches nothing.
///
/// # Panics
/// When a series has more than one channel, or 2^32 values or more.
pub fn length(
    level: Level,
    a: Series<'_>,
    b: Series<'_>,
    epsilon: f64,
    window: Option<usize>,
    interrupt: Interrupt<'_>,
) -> Result<usize, KernelError> {
    assert!(a.channels() == 1 && b.channels() == 1, "both series have one channel");
    let (a, b) = (a.values(), b.values());
    assert!(fit_u32(a.len(), b.len()), "fewer than 2^32 values each");
    let (rows, columns) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    interrupt.check()?;
    if epsilon.is_nan() || epsilon < 0.0 {
        return Ok(0);
    }
    // A window that reaches every cell is none.
    let window = window.filter(|&w| w < columns.len() - 1);
    let sorted = Sorted::new(rows, columns, epsilon, interrupt)?;
    interrupt.check()?;
    level.run_words(Length { sorted: &sorted, window, interrupt })
}

/// The rows in the order of their values, and the columns' ranges in it.
struct Sorted {
    order: Vec<u32>,
    /// Column `j` matches the rows `order[low[j]..high[j]]`.
    low: Vec<u32>,
    high: Vec<u32>,
}

impl Sorted {
    fn new(
        rows: &[f64],
        columns: &[f64],
        epsilon: f64,
        interrupt: Interrupt<'_>,
    ) -> Result<Self, KernelError> {
        let rows = ascending(rows);
        interrupt.check()?;
        let columns = ascending(columns);
        interrupt.check()?;
        let (mut low, mut high) = (vec![0; columns.len()], vec![0; columns.len()]);
        // x - y is rounded, but monotone in x and in y: what matches by |x - y| <= epsilon is a range, and the ranges
        // move up with y.
        let (mut from, mut to) = (0, 0);
        for &(y, j) in &columns {
            while from < rows.len() && rows[from].0 - y < -epsilon {
                from += 1;
            }
            while to < rows.len() && rows[to].0 - y <= epsilon {
                to += 1;
            }
            low[j as usize] = from as u32;
            high[j as usize] = to as u32;
        }
        Ok(Self { order: rows.into_iter().map(|(_, i)| i).collect(), low, high })
    }
}

/// The values with their positions, by value.
fn ascending(values: &[f64]) -> Vec<(f64, u32)> {
    let mut pairs: Vec<(f64, u32)> = values.iter().copied().zip(0..).collect();
    pairs.sort_unstable_by(|x, y| x.0.total_cmp(&y.0));
    pairs
}

/// Rows of a strip in some order, as the masks of all prefixes of that order, and a range of it for each column.
struct Ranges<W: Words, const K: usize> {
    /// `prefixes[x]`: the first `x` rows.
    prefixes: Vec<[W; K]>,
    /// The ranges, with [`lag`] empty ones on both sides.
    low: Vec<u16>,
    high: Vec<u16>,
}

impl<W: Words, const K: usize> Ranges<W, K> {
    /// `order` are rows of the strip, `ranges` the ranges of the columns in it.
    #[inline(always)]
    fn new(order: &[u16], ranges: impl ExactSizeIterator<Item = (u16, u16)>) -> Self {
        // The difference of two of them has no bit above the rows: `word` puts it in.
        let mut prefixes = vec![[W::splat(0); K]; order.len() + 1];
        // Word by word, so that the growing mask stays in a register.
        for word in 0..K * W::LANES {
            let first = word * WORD;
            let mut mask = 0;
            for (&row, prefix) in order.iter().zip(&mut prefixes[1..]) {
                let bit = usize::from(row).wrapping_sub(first);
                mask |= u64::from(bit < WORD) << (bit % 64);
                prefix[word % K].lanes_mut()[word / K] = mask;
            }
        }
        let padded = ranges.len() + 2 * lag::<W>();
        let mut low = Vec::with_capacity(padded);
        let mut high = Vec::with_capacity(padded);
        low.resize(lag::<W>(), 0);
        high.resize(lag::<W>(), 0);
        for (from, to) in ranges {
            low.push(from);
            high.push(to);
        }
        low.resize(padded, 0);
        high.resize(padded, 0);
        Self { prefixes, low, high }
    }
}

impl<W: Words, const K: usize> Ranges<W, K> {
    /// The prefix masks for one end of the ranges of a step, by lane; `window` are that end for the columns between
    /// the last and the first lane.
    #[inline(always)]
    fn ends(&self, window: &[u16]) -> [&[W; K]; MAX_LANES] {
        let lane =
            |q: usize| &self.prefixes[if q < W::LANES { window[lag::<W>() - SKEW * q] as usize } else { 0 }];
        [lane(0), lane(1), lane(2), lane(3)]
    }
}

/// The prefix masks of one step: for the lower and the upper end, by lane.
type Ends<'a, W, const K: usize> = [[&'a [W; K]; MAX_LANES]; 2];

impl<'a, W: Words, const K: usize> Matches<W, K> for &'a Ranges<W, K> {
    type Step = Ends<'a, W, K>;

    #[inline(always)]
    fn step(self, t: usize) -> Self::Step {
        let (low, high) = (&self.low[t..t + lag::<W>() + 1], &self.high[t..t + lag::<W>() + 1]);
        [self.ends(low), self.ends(high)]
    }
    #[inline(always)]
    fn word([low, high]: Self::Step, k: usize) -> W {
        let low = W::diagonal([&low[0][k], &low[1][k], &low[2][k], &low[3][k]]);
        W::diagonal([&high[0][k], &high[1][k], &high[2][k], &high[3][k]]).xor(low).or(W::splat(CARRY))
    }
}

/// Rows that match by value and are inside the window.
struct Windowed<W: Words, const K: usize> {
    values: Ranges<W, K>,
    positions: Ranges<W, K>,
}

impl<'a, W: Words, const K: usize> Matches<W, K> for &'a Windowed<W, K> {
    type Step = (Ends<'a, W, K>, Ends<'a, W, K>);

    #[inline(always)]
    fn step(self, t: usize) -> Self::Step {
        ((&self.values).step(t), (&self.positions).step(t))
    }
    #[inline(always)]
    fn word((values, positions): Self::Step, k: usize) -> W {
        <&Ranges<W, K>>::word(values, k).and(<&Ranges<W, K>>::word(positions, k))
    }
}

struct Length<'a> {
    sorted: &'a Sorted,
    window: Option<usize>,
    interrupt: Interrupt<'a>,
}

impl WordKernel for Length<'_> {
    type Output = Result<usize, KernelError>;

    #[inline(always)]
    fn run<W: Words>(self) -> Self::Output {
        match self.window {
            // A strip costs its height beyond the window: tall ones do not pay when that is narrow.
            Some(window) if window < 2 * WORD * W::LANES => self.strips::<W, 1>(Some(window)),
            Some(window) => self.strips::<W, 2>(Some(window)),
            None if self.sorted.order.len() <= WORD * W::LANES => self.strips::<W, 1>(None),
            // With K = 2 the prefix masks still fit the first-level cache.
            None => self.strips::<W, 2>(None),
        }
    }
}

impl Length<'_> {
    #[inline(always)]
    fn strips<W: Words, const K: usize>(&self, window: Option<usize>) -> Result<usize, KernelError> {
        let rows = self.sorted.order.len();
        let mut border = vec![0; self.sorted.low.len()];
        let mut total = 0;
        // places[row]: where it is in the order of the values.
        let mut places = Vec::new();
        if window.is_some() {
            places.resize(rows, 0);
            for (place, &row) in (0..).zip(&self.sorted.order) {
                places[row as usize] = place;
            }
        }
        for first in (0..rows).step_by(Front::<W, Lcs, K>::ROWS) {
            let strip = first..rows.min(first + Front::<W, Lcs, K>::ROWS);
            total += match window {
                None => {
                    let columns = 0..border.len();
                    let table = self.all_values::<W, K>(&strip, columns);
                    zeros(&self.sweep::<W, K, _>(&table, &mut border)?.words)
                }
                Some(window) => self.band::<W, K>(&strip, &places, window, &mut border)?,
            };
        }
        Ok(total)
    }

    /// A strip under a window: only the columns that some row of it reaches need the recurrence.
    #[inline(always)]
    fn band<W: Words, const K: usize>(
        &self,
        strip: &Range<usize>,
        places: &[u32],
        window: usize,
        border: &mut [u8],
    ) -> Result<usize, KernelError> {
        let end = (strip.end + window).min(border.len());
        let columns = strip.start.saturating_sub(window).min(end)..end;
        // Left of them the subsequence grows in no row of the strip, and what enters leaves again.
        let inside = |position: usize| (position.clamp(strip.start, strip.end) - strip.start) as u16;
        let positions = columns.clone().map(|j| (inside(j.saturating_sub(window)), inside(j + window + 1)));
        let by_position: Vec<u16> = (0..strip.len() as u16).collect();
        let table = Windowed {
            values: self.values::<W, K>(strip, places, columns.clone()),
            positions: Ranges::<W, K>::new(&by_position, positions),
        };
        // Right of them nothing matches and nothing enters: the strips above end further left.
        Ok(zeros(&self.sweep::<W, K, _>(&table, &mut border[columns])?.words))
    }

    /// The masks of the strip by value, for `columns`: without a look at the rows of other strips if the columns are
    /// so few that searching costs less.
    #[inline(always)]
    fn values<W: Words, const K: usize>(
        &self,
        strip: &Range<usize>,
        places: &[u32],
        columns: Range<usize>,
    ) -> Ranges<W, K> {
        // Two searches of up to nine steps a column, against some steps a row.
        if self.sorted.order.len() < 8 * columns.len() {
            return self.all_values(strip, columns);
        }
        let mut by_value: Vec<(u32, u16)> = places[strip.clone()].iter().copied().zip(0..).collect();
        by_value.sort_unstable();
        let (by_value, order): (Vec<u32>, Vec<u16>) = by_value.into_iter().unzip();
        let rank = |end: u32| by_value.partition_point(|&place| place < end) as u16;
        let ends = self.sorted.low[columns.clone()].iter().zip(&self.sorted.high[columns]);
        Ranges::new(&order, ends.map(|(&low, &high)| (rank(low), rank(high))))
    }

    /// The same in one pass over the rows of all strips.
    #[inline(always)]
    fn all_values<W: Words, const K: usize>(
        &self,
        strip: &Range<usize>,
        columns: Range<usize>,
    ) -> Ranges<W, K> {
        // rank[x]: rows of the strip among the first x of all.
        let mut rank = vec![0_u16; self.sorted.order.len() + 1];
        // One place more than there are rows, for those of other strips.
        let mut order = vec![0_u16; strip.len() + 1];
        let mut seen = 0;
        for (&row, rank) in self.sorted.order.iter().zip(&mut rank[1..]) {
            let row = (row as usize).wrapping_sub(strip.start);
            order[seen] = row as u16;
            seen += usize::from(row < strip.len());
            *rank = seen as u16;
        }
        let ends = self.sorted.low[columns.clone()].iter().zip(&self.sorted.high[columns]);
        let ranges = ends.map(|(&low, &high)| (rank[low as usize], rank[high as usize]));
        Ranges::new(&order[..strip.len()], ranges)
    }

    #[inline(always)]
    fn sweep<'m, W: Words, const K: usize, M>(
        &self,
        table: &'m M,
        border: &mut [u8],
    ) -> Result<Front<W, Lcs, K>, KernelError>
    where
        &'m M: Matches<W, K>,
    {
        let mut front = Front::<W, Lcs, K>::new();
        let steps = Front::<W, Lcs, K>::steps(border.len());
        for start in (0..steps).step_by(STEPS) {
            self.interrupt.check()?;
            front.sweep(table, border, start..steps.min(start + STEPS));
        }
        Ok(front)
    }
}
