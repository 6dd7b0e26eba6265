//! Longest common subsequence: its length, and the positions of one.
//!
//! Symbols are arbitrary u32 values; equal values match. Two algorithms, chosen by counting the matching cells:
//! bit-parallel (Crochemore, Iliopoulos, Pinzon and Reid, "A fast and practical bit-vector algorithm for the
//! longest common subsequence problem", 2001, in the form of Hyyro 2004) on slanted fronts of words
//! (`wavefront.rs`), and where few cells match that of Hunt and Szymanski, "A fast algorithm for
//! computing longest common subsequences", 1977. The choice looks at the data alone, never at the level.

mod bits;
mod group;
mod sparse;
mod trace;

pub(super) use bits::{CARRY, Lcs, WORD, zeros};
pub(crate) use group::{FewKinds, lanes};

use super::alphabet::{Numbered, common_ends, fit_u32};
use super::simd::Level;
use super::{Interrupt, KernelError};

/// Bit-parallel costs about this many cells for what one match costs in the sparse algorithm.
const CELLS_PER_MATCH: u64 = 3000;

/// The most cells that [`align`] accepts, common ends not counted: what it keeps beyond some bytes a symbol stays
/// below 480 MB at every level.
pub const MAX_ALIGN_CELLS: u64 = 700_000_000_000;

/// The length of the longest common subsequence of `a` and `b`.
///
/// # Panics
/// When the shorter one, without what both begin and end with, has 2^32 symbols or more.
pub fn length(level: Level, a: &[u32], b: &[u32], interrupt: Interrupt<'_>) -> Result<usize, KernelError> {
    let (prefix, suffix) = common_ends(a, b);
    let (a, b) = (&a[prefix..a.len() - suffix], &b[prefix..b.len() - suffix]);
    let (rows, columns) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if rows.is_empty() {
        return Ok(prefix + suffix);
    }
    interrupt.check()?;
    let numbered = Numbered::new(rows, columns);
    let cells = rows.len() as u64 * columns.len() as u64;
    let few = cells / CELLS_PER_MATCH;
    // Every column of a known kind has a match: often that is enough to know without counting.
    let sparse = numbered.known_columns() < few && numbered.matches() < few;
    let inner = if sparse {
        sparse::length(&numbered, interrupt)?
    } else {
        level.run_words(bits::Length { numbered: &numbered, interrupt })?
    };
    Ok(prefix + inner + suffix)
}

/// The positions `(i, j)` of one longest common subsequence, both strictly increasing. Which one of several is
/// the same at every level and in every run.
///
/// Memory is linear in the lengths, plus for every thousand cells 5.5 bits at level scalar, 3.5 with two lanes
/// (sse2, neon) and 2.5 with four (avx2): a bit a column and the front at every 1024th, for each strip of 252, 504 or
/// 1008 rows. More than [`MAX_ALIGN_CELLS`] between the common prefix and suffix: [`KernelError::TooLarge`].
///
/// # Panics
/// When `a` or `b` has 2^32 symbols or more.
pub fn align(
    level: Level,
    a: &[u32],
    b: &[u32],
    interrupt: Interrupt<'_>,
) -> Result<Vec<(u32, u32)>, KernelError> {
    assert!(fit_u32(a.len(), b.len()), "fewer than 2^32 symbols each");
    let (prefix, suffix) = common_ends(a, b);
    let (x, y) = (&a[prefix..a.len() - suffix], &b[prefix..b.len() - suffix]);
    let cells = x.len() as u128 * y.len() as u128;
    if cells > u128::from(MAX_ALIGN_CELLS) {
        return Err(KernelError::TooLarge { cells, limit: MAX_ALIGN_CELLS });
    }
    let mut pairs: Vec<(u32, u32)> = (0..prefix as u32).map(|i| (i, i)).collect();
    let flip = x.len() > y.len();
    let (rows, columns) = if flip { (y, x) } else { (x, y) };
    if !rows.is_empty() {
        interrupt.check()?;
        let numbered = Numbered::new(rows, columns);
        let inner = level.run_words(trace::Align { numbered: &numbered, interrupt })?;
        let offset = prefix as u32;
        pairs.extend(inner.into_iter().map(|(row, column)| {
            let (i, j) = if flip { (column, row) } else { (row, column) };
            (i + offset, j + offset)
        }));
    }
    let (n, m) = ((a.len() - suffix) as u32, (b.len() - suffix) as u32);
    pairs.extend((0..suffix as u32).map(|k| (n + k, m + k)));
    Ok(pairs)
}
