//! All pairs of symbol sequences.

use super::{Job, square};
use crate::kernels::KernelError;
use crate::kernels::lcs::{self, FewKinds};
use crate::kernels::simd::Level;
use rayon::prelude::*;

/// What the length of a common subsequence is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LcsRatio {
    /// The longer length.
    #[default]
    Max,
    /// The shorter length.
    Min,
    /// The mean of the lengths (Sorensen-Dice).
    Dice,
    /// Nothing: raw lengths.
    None,
}

impl LcsRatio {
    /// `common` of sequences of lengths `n` and `m`, scaled. Two empty sequences are equal (1).
    pub(super) fn apply(self, common: usize, n: usize, m: usize) -> f64 {
        let (part, whole) = match self {
            Self::Max => (common, n.max(m)),
            Self::Min => (common, n.min(m)),
            Self::Dice => (2 * common, n + m),
            Self::None => return common as f64,
        };
        match whole {
            0 => f64::from(u8::from(n == m)),
            _ => part as f64 / whole as f64,
        }
    }
}

/// Sequences beyond this length are compared pair by pair: then the pair fills the lanes by itself.
pub(super) const GROUPED_LENGTH: usize = 2000;

/// Longest common subsequences of all pairs, row-major `len x len`, symmetric; the diagonal is 1, with
/// [`LcsRatio::None`] the own length. Progress counts pairs. More than [`super::MAX_MATRIX_VALUES`]: `TooLarge`.
pub fn lcs_matrix(sequences: &[Vec<u32>], ratio: LcsRatio, job: &Job) -> Result<Vec<f64>, KernelError> {
    let n = sequences.len();
    let mut out = square(n, 0.0)?;
    for (i, a) in sequences.iter().enumerate() {
        out[i * n + i] = ratio.apply(a.len(), a.len(), a.len());
    }
    let put = |i: usize, j: usize, length: u32| {
        let value = ratio.apply(length as usize, sequences[i].len(), sequences[j].len());
        out[i * n + j] = value;
        out[j * n + i] = value;
    };
    let level = Level::best();
    let short = sequences.iter().all(|s| s.len() <= GROUPED_LENGTH);
    match short.then(|| FewKinds::new(sequences)).flatten() {
        Some(few) => grouped(level, &few, n, job, put)?,
        None => paired(level, sequences, job, put)?,
    }
    Ok(out)
}

/// Each sequence against those after it; `put` gets every pair and the length of its common subsequence.
fn paired(
    level: Level,
    sequences: &[Vec<u32>],
    job: &Job,
    mut put: impl FnMut(usize, usize, u32),
) -> Result<(), KernelError> {
    let length = |i: usize, j: usize| {
        let length = lcs::length(level, &sequences[i], &sequences[j], job.interrupt())?;
        job.advance(1);
        Ok(length as u32)
    };
    let after = |i: usize| i + 1..sequences.len();
    let rows: Vec<Vec<u32>> = (0..sequences.len())
        .into_par_iter()
        .map(|i| after(i).into_par_iter().map(|j| length(i, j)).collect())
        .collect::<Result<_, KernelError>>()?;
    for (i, row) in rows.iter().enumerate() {
        for (j, &length) in after(i).zip(row) {
            put(i, j, length);
        }
    }
    Ok(())
}

/// Groups of sequences of similar lengths, a lane each, against every sequence before them; `put` gets every pair
/// and the length of its common subsequence.
fn grouped(
    level: Level,
    few: &FewKinds,
    sequences: usize,
    job: &Job,
    mut put: impl FnMut(usize, usize, u32),
) -> Result<(), KernelError> {
    let mut order: Vec<usize> = (0..sequences).collect();
    order.sort_by_key(|&index| few.sequence(index).len());
    let lanes = lcs::lanes(level);
    let members = |start: usize| &order[start..sequences.min(start + lanes)];
    let before = |start: usize| &order[..start + members(start).len() - 1];
    // Of the column at place `c`, the first member that comes after it.
    let first = |start: usize, c: usize| (c + 1).saturating_sub(start);
    let group = |start: usize| {
        let rows: Vec<&[u8]> = members(start).iter().map(|&index| few.sequence(index)).collect();
        let mut lengths = Vec::with_capacity(before(start).len() * rows.len());
        let found = |c: usize, all: &[usize]| {
            let new = &all[first(start, c)..];
            lengths.extend(new.iter().map(|&length| length as u32));
            job.advance(new.len());
        };
        let columns = before(start).iter().map(|&index| few.sequence(index));
        few.lengths(level, &rows, columns, found, job.interrupt())?;
        Ok(lengths)
    };
    // The last groups have the most to do: begin with them.
    let starts_down: Vec<usize> = (0..sequences).step_by(lanes).rev().collect();
    let groups: Vec<Vec<u32>> =
        starts_down.par_iter().map(|&start| group(start)).collect::<Result<_, KernelError>>()?;
    for (&start, lengths) in starts_down.iter().zip(&groups) {
        let pairs = before(start)
            .iter()
            .enumerate()
            .flat_map(|(c, &i)| members(start)[first(start, c)..].iter().map(move |&j| (i, j)));
        for ((i, j), &length) in pairs.zip(lengths) {
            put(i, j, length);
        }
    }
    Ok(())
}
