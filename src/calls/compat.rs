//! What the drop-ins for other packages need beyond our own functions.

use super::arguments::{copy, natural, series};
use super::dtw::FlatPath;
use super::refusal::{Refusal, input, kernel};
use crate::kernels::dtw::{self, DtwOptions};
use crate::kernels::simd::Level;
use crate::kernels::{Interrupt, levenshtein};
use crate::search::{self, Candidates, Job};

/// The warping path that neural-trader traces: left before up among equals, where ours has up before left. With the
/// series exchanged the one is the other.
pub(crate) fn align_left_first(a: &[f64], b: &[f64]) -> Result<FlatPath, Refusal> {
    let (a, b) = (series("a", a, 1.0)?, series("b", b, 1.0)?);
    let options = DtwOptions::default();
    let mut alignment = dtw::align(Level::best(), b, a, &options, Interrupt::NEVER).map_err(kernel)?;
    for (i, j) in &mut alignment.path {
        std::mem::swap(i, j);
    }
    Ok(FlatPath::from(alignment))
}

/// What neural-trader calls a batch: one distance for each block of `steps` values, on all cores.
pub(crate) fn pattern_batch(pattern: &[f64], historical: &[f64], steps: f64) -> Result<Vec<f64>, Refusal> {
    let pattern = series("pattern", pattern, 1.0)?;
    let steps = natural("patternLength", steps)?;
    let blocks = copy("historical", historical)?;
    let blocks = Candidates::from_block("historical", blocks, steps, 1).map_err(input)?;
    let options = DtwOptions::default();
    search::blocking(|| search::dtw_batch(pattern, &blocks, &options, &Job::new())).map_err(kernel)
}

/// On this thread, from the caller's memory.
pub(crate) fn levenshtein(a: &[u32], b: &[u32]) -> Result<f64, Refusal> {
    levenshtein::distance(Level::best(), a, b, Interrupt::NEVER).map(|edits| edits as f64).map_err(kernel)
}
