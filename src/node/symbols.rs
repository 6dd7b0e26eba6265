//! LCS and Levenshtein of sequences of symbols, LCSS of series. The facade has turned every kind of sequence into
//! numbers that are equal where the symbols are.

use super::arguments::{copy, runs, series_buf, window};
use super::errors::{Code, invalid, kernel};
use super::task::{Job, pair_promise, promise};
use crate::kernels::simd::Level;
use crate::kernels::{Interrupt, lcs, lcss, levenshtein};
use crate::search::{self, LcsRatio};
use napi::bindgen_prelude::{Float64Array, PromiseRaw, Uint32Array};
use napi::{Env, Error};
use napi_derive::napi;

#[napi(catch_unwind)]
pub fn lcs_sync(a: &[u32], b: &[u32]) -> Result<f64, Error<Code>> {
    lcs::length(Level::best(), a, b, Interrupt::NEVER).map(|length| length as f64).map_err(kernel)
}

#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn lcs<'env>(
    env: &'env Env,
    a: &[u32],
    b: &[u32],
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, f64>, Error<Code>> {
    let (a, b) = (copy("a", a)?, copy("b", b)?);
    pair_promise(
        env,
        job,
        move |job| lcs::length(Level::best(), &a, &b, job.interrupt()),
        |length| length as f64,
    )
}

/// Equal symbols of both sequences, in order.
#[napi(object, object_from_js = false)]
pub struct CommonPositions {
    pub positions_a: Uint32Array,
    pub positions_b: Uint32Array,
}

#[napi(catch_unwind, ts_return_type = "Promise<CommonPositions>")]
pub fn lcs_align<'env>(
    env: &'env Env,
    a: &[u32],
    b: &[u32],
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, CommonPositions>, Error<Code>> {
    let (a, b) = (copy("a", a)?, copy("b", b)?);
    pair_promise(
        env,
        job,
        move |job| {
            let pairs = lcs::align(Level::best(), &a, &b, job.interrupt())?;
            Ok(pairs.into_iter().unzip::<u32, u32, Vec<u32>, Vec<u32>>())
        },
        |(a, b)| CommonPositions { positions_a: a.into(), positions_b: b.into() },
    )
}

/// What the lengths of [`lcs_matrix`] are divided by.
#[napi]
#[derive(Debug, PartialEq, Eq)]
pub enum LcsNormalization {
    Max,
    Min,
    Dice,
    None,
}

#[napi(catch_unwind, ts_return_type = "Promise<Float64Array>")]
pub fn lcs_matrix<'env>(
    env: &'env Env,
    symbols: &[u32],
    ends: &[f64],
    normalization: LcsNormalization,
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, Float64Array>, Error<Code>> {
    let sequences: Vec<Vec<u32>> =
        runs("sequences", symbols, ends)?.map(|run| copy("sequences", run)).collect::<Result<_, _>>()?;
    let ratio = match normalization {
        LcsNormalization::Max => LcsRatio::Max,
        LcsNormalization::Min => LcsRatio::Min,
        LcsNormalization::Dice => LcsRatio::Dice,
        LcsNormalization::None => LcsRatio::None,
    };
    promise(env, job, move |job| search::lcs_matrix(&sequences, ratio, job), Float64Array::from)
}

#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn lcss<'env>(
    env: &'env Env,
    a: &[f64],
    b: &[f64],
    epsilon: f64,
    window: f64,
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, f64>, Error<Code>> {
    if !(epsilon >= 0.0 && epsilon.is_finite()) {
        return Err(invalid(format!("epsilon must be a finite number >= 0, got {epsilon}")));
    }
    let window = self::window(window)?;
    let (a, b) = (series_buf("a", a, 1.0)?, series_buf("b", b, 1.0)?);
    pair_promise(
        env,
        job,
        move |job| {
            lcss::length(Level::best(), a.as_series(), b.as_series(), epsilon, window, job.interrupt())
        },
        |length| length as f64,
    )
}

#[napi(catch_unwind)]
pub fn levenshtein_sync(a: &[u32], b: &[u32]) -> Result<f64, Error<Code>> {
    levenshtein::distance(Level::best(), a, b, Interrupt::NEVER).map(|edits| edits as f64).map_err(kernel)
}

#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn levenshtein<'env>(
    env: &'env Env,
    a: &[u32],
    b: &[u32],
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, f64>, Error<Code>> {
    let (a, b) = (copy("a", a)?, copy("b", b)?);
    pair_promise(
        env,
        job,
        move |job| levenshtein::distance(Level::best(), &a, &b, job.interrupt()),
        |edits| edits as f64,
    )
}
