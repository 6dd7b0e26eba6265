//! Longest common subsequence: its length, and the positions of one.
//!
//! Symbols are arbitrary u32 values; equal values match.

use super::simd::Level;
use super::{Interrupt, KernelError, oracle};

/// The length of the longest common subsequence of `a` and `b`.
pub fn length(level: Level, a: &[u32], b: &[u32], interrupt: Interrupt<'_>) -> Result<usize, KernelError> {
    let _ = level;
    interrupt.check()?;
    Ok(oracle::lcs_length(a, b))
}

/// The positions `(i, j)` of one longest common subsequence, both strictly increasing. Which one of several is
/// the same at every level and in every run.
pub fn align(
    level: Level,
    a: &[u32],
    b: &[u32],
    interrupt: Interrupt<'_>,
) -> Result<Vec<(u32, u32)>, KernelError> {
    let _ = level;
    interrupt.check()?;
    Ok(oracle::lcs_align(a, b))
}
