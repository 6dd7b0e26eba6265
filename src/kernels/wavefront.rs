//! The order in which the bit-parallel kernels visit a matrix: strips of rows, in them a slanted front of words.
//!
//! A strip is `LANES * K` words of rows. Lane `q` holds `K` consecutive words of it and works at step `t` on column
//! `t - SKEW * q`: what leaves the last word of a lane downwards at one step enters the next lane [`SKEW`] steps
//! later, at the same column. So a vector holds words that do not depend on each other, the carries of a column run
//! through `K` registers, and the shift from lane to lane is off the critical path. What leaves the last lane is
//! kept, a byte a column, and enters the first lane of the next strip.

use super::simd::{MAX_LANES, Words};
use std::ops::Range;

/// How many columns a lane is behind the one above it. With 2 the shift of the carries has a whole step to finish.
pub(super) const SKEW: usize = 2;

/// Steps that callers run between two looks at the interrupt flag.
pub(super) const STEPS: usize = 1024;

/// Steps by which the last lane is behind the first.
pub(super) const fn lag<W: Words>() -> usize {
    SKEW * (W::LANES - 1)
}

/// A bit-parallel recurrence over one column of words.
pub(super) trait Recurrence<W: Words> {
    /// Rows of one word.
    const BITS: usize;
    /// What is kept of the column before: the vertical differences of a word of rows.
    type Column: Copy;
    /// What one word hands to the word below it.
    type Carry: Copy;

    /// The column before the first.
    fn first() -> Self::Column;
    /// The carry that changes nothing.
    fn idle() -> Self::Carry;
    /// The next column of a word, and its carry. Bit `i` of `matches`: row `i` of the word matches.
    fn step(before: Self::Column, matches: W, carry: Self::Carry) -> (Self::Column, Self::Carry);
    /// Lanes one up; `border` enters the first.
    fn enter(carry: Self::Carry, border: u8) -> Self::Carry;
    /// What the last lane hands to the next strip.
    fn leave(carry: Self::Carry) -> u8;
    /// The new values in the lanes where `active` is all ones, the old ones where it is zero.
    fn keep(active: W, before: Self::Column, after: Self::Column) -> Self::Column;
    /// The carries in the lanes where `active` is all ones, idle elsewhere.
    fn mute(active: W, carry: Self::Carry) -> Self::Carry;
}

/// Which rows of a strip match which column.
pub(super) trait Matches<W: Words, const K: usize>: Copy {
    /// Whatever tells the words of one step apart.
    type Step: Copy;
    /// Prepares step `t`.
    fn step(self, t: usize) -> Self::Step;
    /// Word `k` of every lane, lane `q` for column `t - SKEW * q`.
    fn word(step: Self::Step, k: usize) -> W;
}

/// A strip between two steps.
pub(super) struct Front<W: Words, R: Recurrence<W>, const K: usize> {
    /// Word `k` of every lane.
    pub(super) words: [R::Column; K],
    /// The carries of the last steps, oldest first.
    carries: [R::Carry; SKEW],
}

impl<W: Words, R: Recurrence<W>, const K: usize> Clone for Front<W, R, K> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<W: Words, R: Recurrence<W>, const K: usize> Copy for Front<W, R, K> {}

impl<W: Words, R: Recurrence<W>, const K: usize> Front<W, R, K> {
    /// Rows of a strip.
    pub(super) const ROWS: usize = R::BITS * K * W::LANES;

    /// Before the first step.
    #[inline(always)]
    pub(super) fn new() -> Self {
        Self { words: [R::first(); K], carries: [R::idle(); SKEW] }
    }

    /// Steps that take every lane over `columns` columns.
    pub(super) const fn steps(columns: usize) -> usize {
        columns + lag::<W>()
    }

    /// Where row `row` of the strip is: word, lane, bit.
    #[inline(always)]
    pub(super) fn locate(row: usize) -> (usize, usize, usize) {
        let word = row / R::BITS;
        (word % K, word / K, row % R::BITS)
    }

    /// Runs `steps`. `border` has one byte a column: what the strip above left, replaced by what this one leaves.
    #[inline(always)]
    pub(super) fn sweep<M: Matches<W, K>>(&mut self, matches: M, border: &mut [u8], steps: Range<usize>) {
        self.run(matches, border.len(), steps, &mut InPlace(border));
    }

    /// Runs `steps` and appends the words of every step to `record`; `border` stays as it is.
    #[inline(always)]
    pub(super) fn record<M: Matches<W, K>>(
        &mut self,
        matches: M,
        border: &[u8],
        steps: Range<usize>,
        record: &mut Vec<[R::Column; K]>,
    ) {
        self.run(matches, border.len(), steps, &mut Recording { border, record });
    }

    #[inline(always)]
    fn run<M: Matches<W, K>, S: Surroundings<W, R, K>>(
        &mut self,
        matches: M,
        columns: usize,
        steps: Range<usize>,
        around: &mut S,
    ) {
        let body = steps.start.max(lag::<W>())..steps.end.min(columns);
        let body = if body.is_empty() { steps.end..steps.end } else { body };
        // While lanes begin and end, those outside the columns stand still.
        let mut front = *self;
        for t in steps.start..body.start {
            front.edge(matches, columns, t, around);
        }
        for t in body.clone() {
            let carry = R::enter(front.carries[0], around.above(t));
            front.advance(matches, t, carry);
            around.below(t - lag::<W>(), &front);
        }
        for t in body.end..steps.end {
            front.edge(matches, columns, t, around);
        }
        *self = front;
    }

    #[inline(always)]
    fn advance<M: Matches<W, K>>(&mut self, matches: M, t: usize, mut carry: R::Carry) {
        let step = matches.step(t);
        for k in 0..K {
            (self.words[k], carry) = R::step(self.words[k], M::word(step, k), carry);
        }
        self.carries = [self.carries[1], carry];
    }

    #[inline(always)]
    fn edge<M: Matches<W, K>, S: Surroundings<W, R, K>>(
        &mut self,
        matches: M,
        columns: usize,
        t: usize,
        around: &mut S,
    ) {
        let active = W::from_fn(|q| if (SKEW * q..columns + SKEW * q).contains(&t) { u64::MAX } else { 0 });
        let before = self.words;
        let border = if t < columns { around.above(t) } else { 0 };
        self.advance(matches, t, R::enter(self.carries[0], border));
        for (word, before) in self.words.iter_mut().zip(before) {
            *word = R::keep(active, before, *word);
        }
        self.carries[1] = R::mute(active, self.carries[1]);
        match t.checked_sub(lag::<W>()) {
            Some(column) => around.below(column, self),
            None => around.early(self),
        }
    }
}

/// What a strip reads from the one above and hands on.
trait Surroundings<W: Words, R: Recurrence<W>, const K: usize> {
    fn above(&self, column: usize) -> u8;
    fn below(&mut self, column: usize, front: &Front<W, R, K>);
    /// After a step that finishes no column.
    fn early(&mut self, front: &Front<W, R, K>);
}

struct InPlace<'a>(&'a mut [u8]);

impl<W: Words, R: Recurrence<W>, const K: usize> Surroundings<W, R, K> for InPlace<'_> {
    #[inline(always)]
    fn above(&self, column: usize) -> u8 {
        self.0[column]
    }
    #[inline(always)]
    fn below(&mut self, column: usize, front: &Front<W, R, K>) {
        self.0[column] = R::leave(front.carries[SKEW - 1]);
    }
    #[inline(always)]
    fn early(&mut self, _: &Front<W, R, K>) {}
}

struct Recording<'a, C, const K: usize> {
    border: &'a [u8],
    record: &'a mut Vec<[C; K]>,
}

impl<W: Words, R: Recurrence<W>, const K: usize> Surroundings<W, R, K> for Recording<'_, R::Column, K> {
    #[inline(always)]
    fn above(&self, column: usize) -> u8 {
        self.border[column]
    }
    #[inline(always)]
    fn below(&mut self, _: usize, front: &Front<W, R, K>) {
        self.record.push(front.words);
    }
    #[inline(always)]
    fn early(&mut self, front: &Front<W, R, K>) {
        self.record.push(front.words);
    }
}

/// Which rows of one strip hold which kind of symbol, and the kinds of the columns.
pub(super) struct MatchTable<W: Words, const K: usize> {
    /// By kind; kind 0 matches nothing.
    rows: Vec<[W; K]>,
    /// The kinds of the columns as entries of `rows`, with [`lag`] zeros on both sides.
    columns: Vec<u16>,
}

/// With more kinds than this a strip numbers its own, so that the table stays in the first-level cache.
const SHARED_KINDS: usize = 250;

impl<W: Words, const K: usize> MatchTable<W, K> {
    /// For the strip of the rows `rows`, out of `kinds` kinds. `always` is set in every word of every kind: the bits
    /// above its rows, if the recurrence wants them; without any, a word has 64 rows. A strip is less than 65,536
    /// rows, so its own numbers fit 16 bits.
    #[inline(always)]
    pub(super) fn new(rows: &[u32], columns: &[u32], kinds: usize, always: u64) -> Self {
        let none = [W::splat(always); K];
        let mut padded = Vec::with_capacity(columns.len() + 2 * lag::<W>());
        padded.resize(lag::<W>(), 0);
        let table = if kinds <= SHARED_KINDS {
            padded.extend(columns.iter().map(|&kind| kind as u16));
            let mut table = vec![none; kinds + 1];
            set_rows(&mut table, rows, always, |kind| kind as usize);
            table
        } else {
            let mut own = vec![0_u16; kinds + 1];
            let mut count = 0;
            for &kind in rows {
                let number = &mut own[kind as usize];
                if *number == 0 {
                    count += 1;
                    *number = count;
                }
            }
            padded.extend(columns.iter().map(|&kind| own[kind as usize]));
            let mut table = vec![none; usize::from(count) + 1];
            set_rows(&mut table, rows, always, |kind| own[kind as usize].into());
            table
        };
        padded.resize(columns.len() + 2 * lag::<W>(), 0);
        Self { rows: table, columns: padded }
    }
}

/// Sets the bit of every row in the masks of its kind.
#[inline(always)]
fn set_rows<W: Words, const K: usize>(
    table: &mut [[W; K]],
    rows: &[u32],
    always: u64,
    number: impl Fn(u32) -> usize,
) {
    let bits = always.count_zeros() as usize;
    // Bit by bit, not word by word: neighbours of one kind would each wait for the store of the other.
    for bit in 0..bits.min(rows.len()) {
        for (word, &kind) in rows[bit..].iter().step_by(bits).enumerate() {
            table[number(kind)][word % K].lanes_mut()[word / K] |= 1 << bit;
        }
    }
}

impl<'a, W: Words, const K: usize> Matches<W, K> for &'a MatchTable<W, K> {
    type Step = [&'a [W; K]; MAX_LANES];

    #[inline(always)]
    fn step(self, t: usize) -> Self::Step {
        let window = &self.columns[t..t + lag::<W>() + 1];
        let row =
            |q: usize| &self.rows[if q < W::LANES { window[lag::<W>() - SKEW * q] as usize } else { 0 }];
        [row(0), row(1), row(2), row(3)]
    }
    #[inline(always)]
    fn word(step: Self::Step, k: usize) -> W {
        W::diagonal([&step[0][k], &step[1][k], &step[2][k], &step[3][k]])
    }
}
