//! Levenshtein distance: the fewest insertions, deletions and substitutions that turn one sequence into another.
//!
//! Bit-parallel: Myers, "A fast bit-vector algorithm for approximate string matching based on dynamic programming",
//! 1999, in the form of Hyyro, "A bit-vector algorithm for computing Levenshtein and Damerau edit distances", 2003,
//! for patterns of many words, on slanted fronts (`wavefront.rs`).

use super::alphabet::{Numbered, common_ends};
use super::simd::{Level, WordKernel, Words};
use super::wavefront::{Front, MatchTable, Recurrence, STEPS};
use super::{Interrupt, KernelError};

/// The Levenshtein distance of `a` and `b`. Symbols are arbitrary u32 values.
///
/// # Panics
/// When the shorter one, without what both begin and end with, has 2^32 symbols or more.
pub fn distance(level: Level, a: &[u32], b: &[u32], interrupt: Interrupt<'_>) -> Result<usize, KernelError> {
    let (prefix, suffix) = common_ends(a, b);
    let (a, b) = (&a[prefix..a.len() - suffix], &b[prefix..b.len() - suffix]);
    let (rows, columns) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if rows.is_empty() {
        return Ok(columns.len());
    }
    interrupt.check()?;
    level.run_words(Distance { numbered: &Numbered::new(rows, columns), interrupt })
}

/// Vertical differences: `plus` where the distance grows from one row to the next, `minus` where it falls.
#[derive(Clone, Copy)]
struct Differences<W> {
    plus: W,
    minus: W,
}

/// One horizontal difference a lane: as [`Differences`], in bit 0.
#[derive(Clone, Copy)]
struct Handed<W> {
    plus: W,
    minus: W,
}

/// In a border byte: the distance grows from one column to the next.
const GROWS: u8 = 1;
/// In a border byte: it falls.
const FALLS: u8 = 2;

struct Edit;

impl<W: Words> Recurrence<W> for Edit {
    const BITS: usize = 64;
    type Column = Differences<W>;
    type Carry = Handed<W>;

    #[inline(always)]
    fn first() -> Differences<W> {
        Differences { plus: W::splat(u64::MAX), minus: W::splat(0) }
    }
    #[inline(always)]
    fn idle() -> Handed<W> {
        Handed { plus: W::splat(0), minus: W::splat(0) }
    }
    #[inline(always)]
    fn step(before: Differences<W>, matches: W, carry: Handed<W>) -> (Differences<W>, Handed<W>) {
        let all = W::splat(u64::MAX);
        let diagonal = matches.or(before.minus);
        let matches = matches.or(carry.minus);
        let zero = matches.and(before.plus).add(before.plus).xor(before.plus).or(matches);
        let plus = before.minus.or(all.without(zero.or(before.plus)));
        let minus = before.plus.and(zero);
        let handed = Handed { plus: plus.top(), minus: minus.top() };
        let plus = plus.double().or(carry.plus);
        let minus = minus.double().or(carry.minus);
        let after = Differences { plus: minus.or(all.without(diagonal.or(plus))), minus: plus.and(diagonal) };
        (after, handed)
    }
    #[inline(always)]
    fn enter(carry: Handed<W>, border: u8) -> Handed<W> {
        Handed {
            plus: carry.plus.shift_in(u64::from(border & GROWS)),
            minus: carry.minus.shift_in(u64::from(border / FALLS)),
        }
    }
    #[inline(always)]
    fn leave(carry: Handed<W>) -> u8 {
        carry.plus.last() as u8 | (carry.minus.last() as u8 * FALLS)
    }
    #[inline(always)]
    fn keep(active: W, before: Differences<W>, after: Differences<W>) -> Differences<W> {
        Differences {
            plus: after.plus.and(active).or(before.plus.without(active)),
            minus: after.minus.and(active).or(before.minus.without(active)),
        }
    }
    #[inline(always)]
    fn mute(active: W, carry: Handed<W>) -> Handed<W> {
        Handed { plus: carry.plus.and(active), minus: carry.minus.and(active) }
    }
}

struct Distance<'a> {
    numbered: &'a Numbered,
    interrupt: Interrupt<'a>,
}

impl WordKernel for Distance<'_> {
    type Output = Result<usize, KernelError>;

    #[inline(always)]
    fn run<W: Words>(self) -> Self::Output {
        // Above the first row the distance is the column.
        let mut border = vec![GROWS; self.numbered.columns.len()];
        let mut rows = self.numbered.rows.as_slice();
        let mut total = border.len();
        while !rows.is_empty() {
            let (up, down) = match rows.len().div_ceil(64 * W::LANES) {
                0 | 1 => self.strip::<W, 1>(&mut rows, &mut border)?,
                _ => self.strip::<W, 2>(&mut rows, &mut border)?,
            };
            total = total + up - down;
        }
        Ok(total)
    }
}

impl Distance<'_> {
    /// How often the distance grows and falls in the last column down the first strip of `rows`, which are taken
    /// off.
    #[inline(always)]
    fn strip<W: Words, const K: usize>(
        &self,
        rows: &mut &[u32],
        border: &mut [u8],
    ) -> Result<(usize, usize), KernelError> {
        let (strip, rest) = rows.split_at(rows.len().min(Front::<W, Edit, K>::ROWS));
        *rows = rest;
        let table = MatchTable::<W, K>::new(strip, &self.numbered.columns, self.numbered.kinds, 0);
        let mut front = Front::<W, Edit, K>::new();
        let steps = Front::<W, Edit, K>::steps(border.len());
        for start in (0..steps).step_by(STEPS) {
            self.interrupt.check()?;
            front.sweep(&table, border, start..steps.min(start + STEPS));
        }
        let (mut up, mut down) = (0, 0);
        for first in (0..strip.len()).step_by(64) {
            let (k, q, _) = Front::<W, Edit, K>::locate(first);
            let filled = u64::MAX >> (64 - (strip.len() - first).min(64));
            up += (front.words[k].plus.lanes()[q] & filled).count_ones() as usize;
            down += (front.words[k].minus.lanes()[q] & filled).count_ones() as usize;
        }
        Ok((up, down))
    }
}
