//! The bit-parallel recurrence and the length by it.
//!
//! A zero bit of row `i` says that the subsequence grows there: `L(i, j) = L(i-1, j) + 1`. With the matches `M` of
//! a column, the next column is `(V + (V & M)) | (V & !M)`, where the carry of the addition runs down the rows.

use super::super::alphabet::Numbered;
use super::super::simd::{WordKernel, Words};
use super::super::wavefront::{Front, MatchTable, Recurrence, STEPS};
use super::super::{Interrupt, KernelError};

/// Rows of a word. Above them is one bit where the carry of the addition shows.
pub(crate) const WORD: usize = 63;

/// That bit. It must be set in the matches of every column: then what the column before left in it is added to
/// itself and vanishes, and it needs no mask.
pub(crate) const CARRY: u64 = 1 << WORD;

/// Every row of a word.
const ALL: u64 = CARRY - 1;

/// Columns of zeros where the subsequence grows.
pub(crate) struct Lcs;

impl<W: Words> Recurrence<W> for Lcs {
    const BITS: usize = WORD;
    type Column = W;
    type Carry = W;

    #[inline(always)]
    fn first() -> W {
        W::splat(ALL)
    }
    #[inline(always)]
    fn idle() -> W {
        W::splat(0)
    }
    #[inline(always)]
    fn step(before: W, matches: W, carry: W) -> (W, W) {
        let sum = before.add(before.and(matches)).add(carry);
        (sum.or(before.without(matches)), sum.top())
    }
    #[inline(always)]
    fn enter(carry: W, border: u8) -> W {
        carry.shift_in(u64::from(border))
    }
    #[inline(always)]
    fn leave(carry: W) -> u8 {
        carry.last() as u8
    }
    #[inline(always)]
    fn keep(active: W, before: W, after: W) -> W {
        after.and(active).or(before.without(active))
    }
    #[inline(always)]
    fn mute(active: W, carry: W) -> W {
        carry.and(active)
    }
}

/// Rows of a word at which the subsequence grows.
#[inline(always)]
pub(super) fn growth(word: u64) -> usize {
    (!word & ALL).count_ones() as usize
}

/// Rows of these words at which the subsequence grows. Rows that the strip does not fill never do.
#[inline(always)]
pub(crate) fn zeros<W: Words>(words: &[W]) -> usize {
    words.iter().flat_map(|w| w.lanes()).map(|&word| growth(word)).sum()
}

/// The words of a lane for the next strip of `rows` remaining rows: the fewest that cover them, at most four. Eight
/// would need more registers than there are.
#[inline(always)]
pub(super) fn words_for<W: Words>(rows: usize) -> usize {
    match rows.div_ceil(WORD * W::LANES) {
        0 | 1 => 1,
        2 => 2,
        _ => 4,
    }
}

/// The length by sweeping strip after strip.
pub(super) struct Length<'a> {
    pub(super) numbered: &'a Numbered,
    pub(super) interrupt: Interrupt<'a>,
}

impl WordKernel for Length<'_> {
    type Output = Result<usize, KernelError>;

    #[inline(always)]
    fn run<W: Words>(self) -> Self::Output {
        let mut border = vec![0; self.numbered.columns.len()];
        let mut rows = self.numbered.rows.as_slice();
        let mut total = 0;
        while !rows.is_empty() {
            total += match words_for::<W>(rows.len()) {
                1 => self.strip::<W, 1>(&mut rows, &mut border)?,
                2 => self.strip::<W, 2>(&mut rows, &mut border)?,
                _ => self.strip::<W, 4>(&mut rows, &mut border)?,
            };
        }
        Ok(total)
    }
}

impl Length<'_> {
    /// How much the subsequence grows in the first strip of `rows`, which are taken off.
    #[inline(always)]
    fn strip<W: Words, const K: usize>(
        &self,
        rows: &mut &[u32],
        border: &mut [u8],
    ) -> Result<usize, KernelError> {
        let (strip, rest) = rows.split_at(rows.len().min(Front::<W, Lcs, K>::ROWS));
        *rows = rest;
        let table = MatchTable::<W, K>::new(strip, &self.numbered.columns, self.numbered.kinds, CARRY);
        let mut front = Front::<W, Lcs, K>::new();
        let steps = Front::<W, Lcs, K>::steps(border.len());
        for start in (0..steps).step_by(STEPS) {
            self.interrupt.check()?;
            front.sweep(&table, border, start..steps.min(start + STEPS));
        }
        Ok(zeros(&front.words))
    }
}
