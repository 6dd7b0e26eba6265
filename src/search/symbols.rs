//! All pairs of symbol sequences.

use super::{Job, MAX_MATRIX_VALUES};
use crate::kernels::simd::Level;
use crate::kernels::{KernelError, lcs};

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

/// Longest common subsequences of all pairs, row-major `len x len`, symmetric; the diagonal is 1, with
/// [`LcsRatio::None`] the own length. Progress counts pairs. More than [`MAX_MATRIX_VALUES`]: `TooLarge`.
pub fn lcs_matrix(sequences: &[Vec<u32>], ratio: LcsRatio, job: &Job) -> Result<Vec<f64>, KernelError> {
    let n = sequences.len();
    let cells = n as u128 * n as u128;
    if cells > u128::from(MAX_MATRIX_VALUES) {
        return Err(KernelError::TooLarge { cells, limit: MAX_MATRIX_VALUES });
    }
    let mut out = vec![0.0; n * n];
    for (i, a) in sequences.iter().enumerate() {
        out[i * n + i] = ratio.apply(a.len(), a.len(), a.len());
        for (j, b) in sequences.iter().enumerate().skip(i + 1) {
            let common = lcs::length(Level::best(), a, b, job.interrupt())?;
            let value = ratio.apply(common, a.len(), b.len());
            out[i * n + j] = value;
            out[j * n + i] = value;
            job.advance(1);
        }
    }
    Ok(out)
}
