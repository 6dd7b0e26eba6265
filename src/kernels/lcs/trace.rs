//! Alignment from the bit vectors, recomputed block by block.
//!
//! The forward pass keeps, of every strip, the bits that entered it from above and the front at every
//! [`STEPS`]-th step. The trace then goes backwards through the matrix and recomputes, with all words kept, only
//! the blocks of `STEPS` steps that it crosses: a fraction `1 / strips + 1 / blocks` of the matrix.
//!
//! At row `i`, column `j`: while the bit is set the subsequence does not grow at this row, so go up; where it is
//! clear and so it is one column before, the two columns give the same length, so go left; else the cell is a
//! match. This looks at the dynamic program alone: strips and lanes do not change which subsequence is found.

use super::super::alphabet::Numbered;
use super::super::simd::{WordKernel, Words};
use super::super::wavefront::{Front, MatchTable, SKEW, STEPS};
use super::super::{Interrupt, KernelError};
use super::bits::{CARRY, Lcs, words_for};

/// One longest common subsequence as pairs of row and column, ascending.
pub(super) struct Align<'a> {
    pub(super) numbered: &'a Numbered,
    pub(super) interrupt: Interrupt<'a>,
}

impl WordKernel for Align<'_> {
    type Output = Result<Vec<(u32, u32)>, KernelError>;

    #[inline(always)]
    fn run<W: Words>(self) -> Self::Output {
        match words_for::<W>(self.numbered.rows.len()) {
            1 => self.align::<W, 1>(),
            2 => self.align::<W, 2>(),
            _ => self.align::<W, 4>(),
        }
    }
}

/// What the forward pass keeps of a strip.
struct Kept<W: Words, const K: usize> {
    /// What entered from above, a bit a column.
    border: Vec<u64>,
    /// The fronts before step 0, `STEPS`, `2 * STEPS`, ...
    fronts: Vec<Front<W, Lcs, K>>,
}

impl Align<'_> {
    #[inline(always)]
    fn align<W: Words, const K: usize>(&self) -> Result<Vec<(u32, u32)>, KernelError> {
        let kept = self.forward::<W, K>()?;
        let height = Front::<W, Lcs, K>::ROWS;
        let mut pairs = Vec::new();
        let mut columns = self.numbered.columns.len();
        for (index, (rows, kept)) in self.numbered.rows.chunks(height).zip(&kept).enumerate().rev() {
            if columns == 0 {
                break;
            }
            let trace = Trace {
                table: MatchTable::new(rows, &self.numbered.columns[..columns], self.numbered.kinds, CARRY),
                border: unpack(&kept.border, columns),
                fronts: &kept.fronts,
                steps: Front::<W, Lcs, K>::steps(columns),
                start: usize::MAX,
                words: Vec::with_capacity(STEPS),
            };
            columns = trace.strip(rows.len(), index * height, columns, &mut pairs, self.interrupt)?;
        }
        pairs.reverse();
        Ok(pairs)
    }

    /// Sweeps every strip.
    #[inline(always)]
    fn forward<W: Words, const K: usize>(&self) -> Result<Vec<Kept<W, K>>, KernelError> {
        let mut border = vec![0; self.numbered.columns.len()];
        let steps = Front::<W, Lcs, K>::steps(border.len());
        let mut all = Vec::new();
        for rows in self.numbered.rows.chunks(Front::<W, Lcs, K>::ROWS) {
            let table = MatchTable::new(rows, &self.numbered.columns, self.numbered.kinds, CARRY);
            let mut front = Front::<W, Lcs, K>::new();
            let mut kept = Kept { border: pack(&border), fronts: Vec::with_capacity(steps.div_ceil(STEPS)) };
            for start in (0..steps).step_by(STEPS) {
                self.interrupt.check()?;
                kept.fronts.push(front);
                front.sweep(&table, &mut border, start..steps.min(start + STEPS));
            }
            all.push(kept);
        }
        Ok(all)
    }
}

/// The way back through one strip.
struct Trace<'a, W: Words, const K: usize> {
    table: MatchTable<W, K>,
    border: Vec<u8>,
    fronts: &'a [Front<W, Lcs, K>],
    /// Steps that concern the columns left of where the trace entered.
    steps: usize,
    /// The first step in `words`.
    start: usize,
    /// The words after every step of one block.
    words: Vec<[W; K]>,
}

impl<W: Words, const K: usize> Trace<'_, W, K> {
    /// Goes from the last of `height` rows and of `columns` columns to where the strip ends, and returns how many
    /// columns are left.
    #[inline(always)]
    fn strip(
        mut self,
        height: usize,
        first_row: usize,
        mut columns: usize,
        pairs: &mut Vec<(u32, u32)>,
        interrupt: Interrupt<'_>,
    ) -> Result<usize, KernelError> {
        let mut rows = height;
        while rows > 0 && columns > 0 {
            let (k, q, bit) = Front::<W, Lcs, K>::locate(rows - 1);
            let open = !self.word(k, q, columns - 1, interrupt)? & ((2 << bit) - 1);
            if open == 0 {
                rows -= bit + 1;
                continue;
            }
            let bit_up = open.ilog2() as usize;
            rows -= bit - bit_up;
            // The first column of this row's run of zeros is the match.
            loop {
                columns -= 1;
                if columns == 0 || self.word(k, q, columns - 1, interrupt)? >> bit_up & 1 == 1 {
                    break;
                }
            }
            rows -= 1;
            pairs.push(((first_row + rows) as u32, columns as u32));
        }
        Ok(columns)
    }

    /// Word `k` of lane `q` after `column`. From call to call the steps must not increase.
    #[inline(always)]
    fn word(
        &mut self,
        k: usize,
        q: usize,
        column: usize,
        interrupt: Interrupt<'_>,
    ) -> Result<u64, KernelError> {
        let step = column + SKEW * q;
        if step < self.start {
            interrupt.check()?;
            let block = step / STEPS;
            self.start = block * STEPS;
            self.words.clear();
            let mut front = self.fronts[block];
            let end = self.steps.min(self.start + STEPS);
            front.record(&self.table, &self.border, self.start..end, &mut self.words);
        }
        Ok(self.words[step - self.start][k].lanes()[q])
    }
}

/// One bit for each byte, which is 0 or 1.
fn pack(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks(64).map(|chunk| chunk.iter().rev().fold(0, |bits, &b| bits << 1 | u64::from(b))).collect()
}

/// The first `count` bits as bytes.
fn unpack(bits: &[u64], count: usize) -> Vec<u8> {
    (0..count).map(|i| (bits[i / 64] >> (i % 64) & 1) as u8).collect()
}
