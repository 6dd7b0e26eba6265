//! LCS and Levenshtein of sequences of symbols, LCSS of series. The facade has turned every kind of sequence into
//! numbers that are equal where the symbols are.

use super::Work;
use super::arguments::{copy, runs, series_buf, window};
use super::refusal::{Refusal, invalid, kernel};
use crate::kernels::simd::Level;
use crate::kernels::{Interrupt, lcs, lcss, levenshtein};
use crate::search::{self, Job, LcsRatio};

/// On this thread, from the caller's memory.
pub(crate) fn lcs_here(a: &[u32], b: &[u32]) -> Result<f64, Refusal> {
    lcs::length(Level::best(), a, b, Interrupt::NEVER).map(|length| length as f64).map_err(kernel)
}

pub(crate) fn lcs(a: &[u32], b: &[u32]) -> Result<impl Work<f64> + use<>, Refusal> {
    let (a, b) = (copy("a", a)?, copy("b", b)?);
    Ok(move |job: &Job| lcs::length(Level::best(), &a, &b, job.interrupt()).map(|length| length as f64))
}

/// Equal symbols of both sequences, in order.
pub(crate) fn lcs_align(a: &[u32], b: &[u32]) -> Result<impl Work<(Vec<u32>, Vec<u32>)> + use<>, Refusal> {
    let (a, b) = (copy("a", a)?, copy("b", b)?);
    Ok(move |job: &Job| {
        let pairs = lcs::align(Level::best(), &a, &b, job.interrupt())?;
        Ok(pairs.into_iter().unzip())
    })
}

pub(crate) fn lcs_matrix(
    symbols: &[u32],
    ends: &[f64],
    ratio: LcsRatio,
) -> Result<impl Work<Vec<f64>> + use<>, Refusal> {
    let sequences: Vec<Vec<u32>> =
        runs("sequences", symbols, ends)?.map(|run| copy("sequences", run)).collect::<Result<_, _>>()?;
    Ok(move |job: &Job| search::lcs_matrix(&sequences, ratio, job))
}

pub(crate) fn lcss(
    a: &[f64],
    b: &[f64],
    epsilon: f64,
    window: f64,
) -> Result<impl Work<f64> + use<>, Refusal> {
    if !(epsilon >= 0.0 && epsilon.is_finite()) {
        return Err(invalid(format!("epsilon must be a finite number >= 0, got {epsilon}")));
    }
    let window = self::window(window)?;
    let (a, b) = (series_buf("a", a, 1.0)?, series_buf("b", b, 1.0)?);
    Ok(move |job: &Job| {
        let (a, b) = (a.as_series(), b.as_series());
        lcss::length(Level::best(), a, b, epsilon, window, job.interrupt()).map(|length| length as f64)
    })
}

pub(crate) fn levenshtein(a: &[u32], b: &[u32]) -> Result<impl Work<f64> + use<>, Refusal> {
    let (a, b) = (copy("a", a)?, copy("b", b)?);
    Ok(move |job: &Job| {
        levenshtein::distance(Level::best(), &a, &b, job.interrupt()).map(|edits| edits as f64)
    })
}
