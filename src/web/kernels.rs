//! Kernels and searches in series.

use super::run;
use crate::calls::dtw::{self, FlatPath, MatrixKind};
use crate::calls::elastic::{self, ElasticKind};
use crate::calls::refusal::{Refusal, invalid};
use crate::calls::{cluster, subsequence, symbols};
use crate::search::LcsRatio;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(js_name = dtwSync)]
pub fn dtw_sync(
    a: &[f64],
    b: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<f64, JsValue> {
    Ok(dtw::distance_here(a, b, metric, window, normalize, max_distance, channels)?)
}

#[wasm_bindgen]
pub fn dtw(
    a: &[f64],
    b: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<f64, JsValue> {
    run(dtw::distance(a, b, metric, window, normalize, max_distance, channels)?)
}

/// Appends distance, lag, the length of the path, and the path.
fn pack(packed: &mut Vec<f64>, path: &FlatPath) {
    packed.extend([path.distance, path.lag, path.path.len() as f64]);
    packed.extend(path.path.iter().map(|&index| f64::from(index)));
}

/// A path as `pack` writes it.
#[wasm_bindgen(js_name = dtwAlign)]
pub fn dtw_align(
    a: &[f64],
    b: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<Vec<f64>, JsValue> {
    let path = run(dtw::align(a, b, metric, window, normalize, max_distance, channels)?)?;
    let mut packed = Vec::new();
    pack(&mut packed, &path);
    Ok(packed)
}

#[wasm_bindgen(js_name = dtwBatch)]
pub fn dtw_batch(
    query: &[f64],
    values: &[f64],
    ends: &[f64],
    steps: f64,
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<Vec<f64>, JsValue> {
    run(dtw::batch(query, values, ends, steps, metric, window, normalize, max_distance, channels)?)
}

/// Two arrays of one length, one after the other.
fn halves<T>((mut first, second): (Vec<T>, Vec<T>)) -> Vec<T> {
    first.extend(second);
    first
}

/// Indices, then distances.
#[wasm_bindgen(js_name = dtwNearest)]
pub fn dtw_nearest(
    query: &[f64],
    values: &[f64],
    ends: &[f64],
    steps: f64,
    k: f64,
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<Vec<f64>, JsValue> {
    let work =
        dtw::nearest(query, values, ends, steps, k, metric, window, normalize, max_distance, channels)?;
    run(work).map(halves)
}

/// The kinds in the order of `MatrixKind`.
#[wasm_bindgen(js_name = seriesMatrix)]
pub fn series_matrix(
    kind: u32,
    values: &[f64],
    ends: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<Vec<f64>, JsValue> {
    let kinds = [
        MatrixKind::Distance,
        MatrixKind::Lag,
        MatrixKind::WarpedCorrelation,
        MatrixKind::PearsonCorrelation,
    ];
    let kind = one_of(&kinds, "kind", kind)?;
    run(dtw::matrix(kind, values, ends, metric, window, normalize, max_distance, channels)?)
}

fn one_of<T: Copy>(choices: &[T], name: &str, position: u32) -> Result<T, Refusal> {
    choices.get(position as usize).copied().ok_or_else(|| invalid(format!("{name} {position} is unknown")))
}

fn elastic_kind(position: u32) -> Result<ElasticKind, Refusal> {
    use ElasticKind::{Adtw, Ddtw, Edr, Erp, Msm, SoftDtw, Twe, Wdtw};
    one_of(&[Ddtw, Wdtw, Adtw, Erp, Edr, Msm, Twe, SoftDtw], "measure", position)
}

#[wasm_bindgen]
pub fn elastic(
    kind: u32,
    a: &[f64],
    b: &[f64],
    window: f64,
    first: f64,
    second: f64,
) -> Result<f64, JsValue> {
    run(elastic::distance(elastic_kind(kind)?, a, b, window, first, second)?)
}

#[wasm_bindgen(js_name = elasticBatch)]
pub fn elastic_batch(
    kind: u32,
    query: &[f64],
    values: &[f64],
    ends: &[f64],
    steps: f64,
    window: f64,
    first: f64,
    second: f64,
) -> Result<Vec<f64>, JsValue> {
    run(elastic::batch(elastic_kind(kind)?, query, values, ends, steps, window, first, second)?)
}

#[wasm_bindgen(js_name = lcsSync)]
pub fn lcs_sync(a: &[u32], b: &[u32]) -> Result<f64, JsValue> {
    Ok(symbols::lcs_here(a, b)?)
}

#[wasm_bindgen]
pub fn lcs(a: &[u32], b: &[u32]) -> Result<f64, JsValue> {
    run(symbols::lcs(a, b)?)
}

/// Positions in `a`, then in `b`.
#[wasm_bindgen(js_name = lcsAlign)]
pub fn lcs_align(a: &[u32], b: &[u32]) -> Result<Vec<u32>, JsValue> {
    run(symbols::lcs_align(a, b)?).map(halves)
}

#[wasm_bindgen(js_name = lcsMatrix)]
pub fn lcs_matrix(symbols: &[u32], ends: &[f64], normalization: u32) -> Result<Vec<f64>, JsValue> {
    let ratios = [LcsRatio::Max, LcsRatio::Min, LcsRatio::Dice, LcsRatio::None];
    run(symbols::lcs_matrix(symbols, ends, one_of(&ratios, "normalize", normalization)?)?)
}

#[wasm_bindgen]
pub fn lcss(a: &[f64], b: &[f64], epsilon: f64, window: f64) -> Result<f64, JsValue> {
    run(symbols::lcss(a, b, epsilon, window)?)
}

#[wasm_bindgen]
pub fn levenshtein(a: &[u32], b: &[u32]) -> Result<f64, JsValue> {
    run(symbols::levenshtein(a, b)?)
}

/// Paths as `pack` writes them, one after the other.
#[wasm_bindgen(js_name = alignTimeframes)]
pub fn align_timeframes(
    values: &[f64],
    ends: &[f64],
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<Vec<f64>, JsValue> {
    let work = cluster::align_timeframes(values, ends, metric, window, normalize, max_distance, channels)?;
    let mut packed = Vec::new();
    run(work)?.iter().for_each(|path| pack(&mut packed, path));
    Ok(packed)
}

/// Inertia, iterations, and the centre.
#[wasm_bindgen]
pub fn barycenter(
    values: &[f64],
    ends: &[f64],
    window: f64,
    max_iterations: f64,
    tolerance: f64,
) -> Result<Vec<f64>, JsValue> {
    let found = run(cluster::barycenter(values, ends, window, max_iterations, tolerance)?)?;
    Ok([found.inertia, found.iterations as f64].into_iter().chain(found.center).collect())
}

/// Inertia, the medoids, of which there are `k`, and the assignment.
#[wasm_bindgen]
pub fn medoids(
    values: &[f64],
    ends: &[f64],
    k: f64,
    seed: f64,
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<Vec<f64>, JsValue> {
    let work = cluster::medoids(values, ends, k, seed, metric, window, normalize, max_distance, channels)?;
    let found = run(work)?;
    let numbers = found.medoids.into_iter().chain(found.assignment).map(f64::from);
    Ok([found.inertia].into_iter().chain(numbers).collect())
}

/// Starts, then distances.
#[wasm_bindgen(js_name = subsequenceSearch)]
pub fn subsequence_search(
    query: &[f64],
    series: &[f64],
    k: f64,
    exclusion: f64,
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
    channels: f64,
) -> Result<Vec<f64>, JsValue> {
    let work = subsequence::subsequence_search(
        query,
        series,
        k,
        exclusion,
        metric,
        window,
        normalize,
        max_distance,
        channels,
    )?;
    run(work).map(halves)
}
