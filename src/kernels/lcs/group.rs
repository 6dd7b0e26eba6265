//! One sequence against several, a lane each: all pairs of many short sequences over few kinds of symbols.
//!
//! The lanes hold the words of different sequences at the same rows, and the columns are shared, so the matches of
//! a column are one load and nothing moves between lanes.

use super::super::alphabet::Numbered;
use super::super::simd::{Level, MAX_LANES, WordKernel, Words};
use super::super::wavefront::Recurrence;
use super::super::{Interrupt, KernelError};
use super::bits::{CARRY, Lcs, WORD, growth};

/// The most sequences that [`FewKinds::lengths`] compares at a time at this level.
pub(crate) fn lanes(level: Level) -> usize {
    level.lanes()
}

/// Sequences over so few kinds of symbols that a table of all their masks stays in the cache, numbered alike.
pub(crate) struct FewKinds {
    symbols: Vec<u8>,
    /// Where each sequence ends in `symbols`.
    ends: Vec<usize>,
    kinds: usize,
}

impl FewKinds {
    /// None when there are too many kinds.
    pub(crate) fn new(sequences: &[Vec<u32>]) -> Option<Self> {
        const MOST: usize = 64;
        let all = Numbered::new(&sequences.concat(), &[]);
        let mut end = 0;
        let ends = sequences.iter().map(|sequence| {
            end += sequence.len();
            end
        });
        (all.kinds <= MOST).then(|| Self {
            ends: ends.collect(),
            symbols: all.rows.iter().map(|&kind| kind as u8 - 1).collect(),
            kinds: all.kinds,
        })
    }

    /// Sequence `index`, numbered.
    pub(crate) fn sequence(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.symbols[start..self.ends[index]]
    }

    /// The lengths of the longest common subsequences of each of `columns` with each of `rows`, all of them from
    /// [`sequence`](Self::sequence): `found(c, lengths)` gets those of column sequence `c`, in the order of `rows`.
    /// At most [`lanes`] rows.
    pub(crate) fn lengths<'a>(
        &self,
        level: Level,
        rows: &[&[u8]],
        columns: impl Iterator<Item = &'a [u8]>,
        found: impl FnMut(usize, &[usize]),
        interrupt: Interrupt<'_>,
    ) -> Result<(), KernelError> {
        level.run_words(Group { rows, columns, kinds: self.kinds, found, interrupt })
    }
}

struct Group<'a, 'i, C, F> {
    rows: &'a [&'a [u8]],
    columns: C,
    kinds: usize,
    found: F,
    interrupt: Interrupt<'i>,
}

/// The words of a strip: as many as stay in registers.
const STRIP: usize = 8;

impl<'c, C: Iterator<Item = &'c [u8]>, F: FnMut(usize, &[usize])> WordKernel for Group<'_, '_, C, F> {
    type Output = Result<(), KernelError>;

    #[inline(always)]
    fn run<W: Words>(mut self) -> Self::Output {
        assert!(self.rows.len() <= W::LANES, "one lane for each sequence");
        let longest = self.rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let words = longest.div_ceil(WORD);
        // By strip, in it by kind.
        let strips = words.div_ceil(STRIP);
        let mut table = vec![[W::splat(CARRY); STRIP]; strips * self.kinds];
        for (q, row) in self.rows.iter().enumerate() {
            for (w, symbols) in row.chunks(WORD).enumerate() {
                let kinds = &mut table[w / STRIP * self.kinds..][..self.kinds];
                for (bit, &kind) in symbols.iter().enumerate() {
                    kinds[kind as usize][w % STRIP].lanes_mut()[q] |= 1 << bit;
                }
            }
        }
        let mut border = Vec::new();
        for (c, columns) in self.columns.enumerate() {
            border.clear();
            border.resize(columns.len(), W::splat(0));
            let mut totals = [0; MAX_LANES];
            let mut left = words;
            for kinds in table.chunks_exact(self.kinds.max(1)) {
                self.interrupt.check()?;
                match left {
                    1 => sweep::<W, 1>(kinds, columns, &mut border, &mut totals),
                    2 => sweep::<W, 2>(kinds, columns, &mut border, &mut totals),
                    3..=4 => sweep::<W, 4>(kinds, columns, &mut border, &mut totals),
                    5..=6 => sweep::<W, 6>(kinds, columns, &mut border, &mut totals),
                    _ => sweep::<W, STRIP>(kinds, columns, &mut border, &mut totals),
                }
                left = left.saturating_sub(STRIP);
            }
            (self.found)(c, &totals[..self.rows.len()]);
        }
        Ok(())
    }
}

/// One strip of the first `K` words; adds what each lane's subsequence grows in it to `totals`.
#[inline(always)]
fn sweep<W: Words, const K: usize>(
    kinds: &[[W; STRIP]],
    columns: &[u8],
    border: &mut [W],
    totals: &mut [usize],
) {
    let mut front = [<Lcs as Recurrence<W>>::first(); K];
    for (&kind, border) in columns.iter().zip(border) {
        let matches = &kinds[kind as usize];
        let mut carry = *border;
        for k in 0..K {
            (front[k], carry) = Lcs::step(front[k], matches[k], carry);
        }
        *border = carry;
    }
    for (q, total) in totals.iter_mut().enumerate().take(W::LANES) {
        *total += front.iter().map(|word| growth(word.lanes()[q])).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::oracle;
    use super::*;

    #[test]
    fn every_level_finds_every_length() {
        // Around the ends of words and of the strip of eight of them, and one empty.
        let sequences: Vec<Vec<u32>> = [63, 0, 64, 130, 300, 504, 505, 1100]
            .into_iter()
            .map(|n| (0..n).map(|i| (i * i / 3 + i * n) % 5).collect())
            .collect();
        let few = FewKinds::new(&sequences).unwrap();
        for level in Level::available() {
            for members in (0..sequences.len()).collect::<Vec<_>>().chunks(lanes(level)) {
                let rows: Vec<&[u8]> = members.iter().map(|&r| few.sequence(r)).collect();
                let columns = (0..sequences.len()).map(|c| few.sequence(c));
                let found = |c: usize, lengths: &[usize]| {
                    let wanted = members.iter().map(|&r| oracle::lcs_length(&sequences[r], &sequences[c]));
                    assert_eq!(lengths, wanted.collect::<Vec<_>>(), "{} column {c}", level.name());
                };
                few.lengths(level, &rows, columns, found, Interrupt::NEVER).unwrap();
            }
        }
    }

    #[test]
    fn many_kinds_are_refused() {
        assert!(FewKinds::new(&[(0..65).collect(), vec![3]]).is_none());
        assert!(FewKinds::new(&[(0..64).collect(), vec![]]).is_some());
        assert!(FewKinds::new(&[]).is_some());
    }
}
