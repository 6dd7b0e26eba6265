//! All pairs of symbol sequences.

use super::{Job, check_matrix_size};
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
    fn apply(self, common: usize, n: usize, m: usize) -> f64 {
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
const GROUPED_LENGTH: usize = 2000;

/// Longest common subsequences of all pairs, row-major `len x len`, symmetric; the diagonal is 1, with
/// [`LcsRatio::None`] the own length. Progress counts pairs. More than [`super::MAX_MATRIX_VALUES`]: `TooLarge`.
pub fn lcs_matrix(sequences: &[Vec<u32>], ratio: LcsRatio, job: &Job) -> Result<Vec<f64>, KernelError> {
    let n = sequences.len();
    check_matrix_size(n)?;
    let level = Level::best();
    let short = sequences.iter().all(|s| s.len() <= GROUPED_LENGTH);
    let lengths = match short.then(|| FewKinds::new(sequences)).flatten() {
        Some(few) => grouped(level, &few, n, job)?,
        None => paired(level, sequences, job)?,
    };
    let mut out = vec![0.0; n * n];
    for (i, a) in sequences.iter().enumerate() {
        out[i * n + i] = ratio.apply(a.len(), a.len(), a.len());
    }
    for Pair { i, j, length } in lengths.into_iter().flatten() {
        let value = ratio.apply(length as usize, sequences[i as usize].len(), sequences[j as usize].len());
        out[i as usize * n + j as usize] = value;
        out[j as usize * n + i as usize] = value;
    }
    Ok(out)
}

/// The common subsequence of sequences `i` and `j`.
struct Pair {
    i: u32,
    j: u32,
    length: u32,
}

/// Each sequence against those after it.
fn paired(level: Level, sequences: &[Vec<u32>], job: &Job) -> Result<Vec<Vec<Pair>>, KernelError> {
    let pair = |i: usize, j: usize| {
        let length = lcs::length(level, &sequences[i], &sequences[j], job.interrupt())?;
        job.advance(1);
        Ok(Pair { i: i as u32, j: j as u32, length: length as u32 })
    };
    (0..sequences.len())
        .into_par_iter()
        .map(|i| (i + 1..sequences.len()).into_par_iter().map(|j| pair(i, j)).collect())
        .collect()
}

/// Groups of sequences of similar lengths, a lane each, against every sequence before them.
fn grouped(
    level: Level,
    numbered: &FewKinds,
    sequences: usize,
    job: &Job,
) -> Result<Vec<Vec<Pair>>, KernelError> {
    let sequence = |index: u32| numbered.sequence(index as usize);
    let mut order: Vec<u32> = (0..sequences as u32).collect();
    order.sort_by_key(|&index| sequence(index).len());
    let lanes = lcs::lanes(level);
    let group = |g: usize| {
        let members = &order[g * lanes..order.len().min((g + 1) * lanes)];
        let rows: Vec<&[u8]> = members.iter().map(|&index| sequence(index)).collect();
        let before = &order[..g * lanes + members.len() - 1];
        let mut pairs = Vec::with_capacity(before.len() * lanes);
        let found = |c: usize, lengths: &[usize]| {
            let i = before[c];
            // Members at or before the column itself were met, or will be, in the other order.
            let new = (c + 1).saturating_sub(g * lanes);
            for (&j, &length) in members.iter().zip(lengths).skip(new) {
                pairs.push(Pair { i, j, length: length as u32 });
            }
            job.advance(members.len() - new);
        };
        let columns = before.iter().map(|&index| sequence(index));
        numbered.lengths(level, &rows, columns, found, job.interrupt())?;
        Ok(pairs)
    };
    // The last groups are the longest: begin with them.
    (0..order.len().div_ceil(lanes)).into_par_iter().rev().map(group).collect()
}
