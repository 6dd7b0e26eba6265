//! Longest common subsequence of real values.

use super::simd::Level;
use super::{Interrupt, KernelError, oracle};
use crate::series::Series;

/// The length of the longest common subsequence, where `x` at `i` and `y` at `j` match when `|x - y| <= epsilon`
/// and `|i - j| <= window`. The window is not widened for unequal lengths.
pub fn length(
    level: Level,
    a: Series<'_>,
    b: Series<'_>,
    epsilon: f64,
    window: Option<usize>,
    interrupt: Interrupt<'_>,
) -> Result<usize, KernelError> {
    let _ = level;
    interrupt.check()?;
    Ok(oracle::lcss_length(a, b, epsilon, window))
}
