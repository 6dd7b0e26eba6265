//! LCS and Levenshtein of sequences of symbols, LCSS of series. The facade has turned every kind of sequence into
//! numbers that are equal where the symbols are.

use super::errors::Code;
use super::task::{Job, pair_promise, promise};
use crate::calls::{compat, symbols};
use crate::search::LcsRatio;
use napi::bindgen_prelude::{Float64Array, PromiseRaw, Uint32Array};
use napi::{Env, Error};
use napi_derive::napi;

#[napi(catch_unwind)]
pub fn lcs_sync(a: &[u32], b: &[u32]) -> Result<f64, Error<Code>> {
    Ok(symbols::lcs_here(a, b)?)
}

#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn lcs<'env>(
    env: &'env Env,
    a: &[u32],
    b: &[u32],
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, f64>, Error<Code>> {
    pair_promise(env, job, symbols::lcs(a, b)?, |length| length)
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
    pair_promise(env, job, symbols::lcs_align(a, b)?, |(a, b)| CommonPositions {
        positions_a: a.into(),
        positions_b: b.into(),
    })
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
    let ratio = match normalization {
        LcsNormalization::Max => LcsRatio::Max,
        LcsNormalization::Min => LcsRatio::Min,
        LcsNormalization::Dice => LcsRatio::Dice,
        LcsNormalization::None => LcsRatio::None,
    };
    promise(env, job, symbols::lcs_matrix(symbols, ends, ratio)?, Float64Array::from)
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
    pair_promise(env, job, symbols::lcss(a, b, epsilon, window)?, |length| length)
}

#[napi(catch_unwind)]
pub fn levenshtein_sync(a: &[u32], b: &[u32]) -> Result<f64, Error<Code>> {
    Ok(compat::levenshtein(a, b)?)
}

#[napi(catch_unwind, ts_return_type = "Promise<number>")]
pub fn levenshtein<'env>(
    env: &'env Env,
    a: &[u32],
    b: &[u32],
    job: Option<&Job>,
) -> Result<PromiseRaw<'env, f64>, Error<Code>> {
    pair_promise(env, job, symbols::levenshtein(a, b)?, |edits| edits)
}
