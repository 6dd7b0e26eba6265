//! Levenshtein distance: the fewest insertions, deletions and substitutions.

use super::simd::Level;
use super::{Interrupt, KernelError, oracle};

/// The Levenshtein distance of `a` and `b`; symbols are arbitrary u32 values.
pub fn distance(level: Level, a: &[u32], b: &[u32], interrupt: Interrupt<'_>) -> Result<usize, KernelError> {
    let _ = level;
    interrupt.check()?;
    Ok(oracle::levenshtein(a, b))
}
