//! Pairs, nearest neighbours, matrices and tiles of matrices.

use super::fields::Fields;
use super::series::{DTW_OPTIONS, candidates, dtw_options, series, series_list};
use super::shards::Shards;
use super::{KindFailure, Task, series as packed_series, symbols};
use crate::kernels::simd::Level;
use crate::kernels::{dtw as dtw_kernel, lcs as lcs_kernel};
use crate::protocol::value::Item;
use crate::search::{self, LcsRatio};
use bytes::Bytes;

const RATIOS: &[(&str, LcsRatio)] =
    &[("max", LcsRatio::Max), ("min", LcsRatio::Min), ("dice", LcsRatio::Dice), ("none", LcsRatio::None)];

/// `{ a, b, options? }` to a number.
pub(super) fn dtw(task: &Task<'_>, _: &Shards) -> Result<Bytes, KindFailure> {
    let fields = task.fields(&["a", "b", "options"])?;
    let (options, channels) = dtw_options(&task.options("payload.options", "options", DTW_OPTIONS)?)?;
    let (a, b) = (series(&fields, "a", channels)?, series(&fields, "b", channels)?);
    let interrupt = task.job.interrupt();
    let distance = dtw_kernel::distance(Level::best(), a.as_series(), b.as_series(), &options, interrupt)?;
    task.reply(&Item::Number(distance))
}

/// `{ query, candidates, options? }` to a list of `{ index, distance }`.
pub(super) fn dtw_nearest(task: &Task<'_>, _: &Shards) -> Result<Bytes, KindFailure> {
    let fields = task.fields(&["query", "candidates", "options"])?;
    let known = [DTW_OPTIONS, &["k"]].concat();
    let options = task.options("payload.options", "options", &known)?;
    let k = options.count_or("k", 1)?;
    let (options, channels) = dtw_options(&options)?;
    let query = series(&fields, "query", channels)?;
    let candidates = candidates(&fields, "candidates", channels, task.kind)?;
    let nearest = search::dtw_nearest(query.as_series(), &candidates, &options, k, task.job)?;
    let found = nearest.iter().map(|near| {
        Item::Object(vec![
            ("index".into(), Item::Number(near.index as f64)),
            ("distance".into(), Item::Number(near.distance)),
        ])
    });
    task.reply(&Item::List(found.collect()))
}

/// `{ series, options? }` to `{ size, data }`.
pub(super) fn dtw_matrix(task: &Task<'_>, _: &Shards) -> Result<Bytes, KindFailure> {
    let fields = task.fields(&["series", "options"])?;
    let (options, channels) = dtw_options(&task.options("payload.options", "options", DTW_OPTIONS)?)?;
    let series = series_list(&fields, "series", channels)?;
    task.check_result((series.len() as u128).pow(2))?;
    let data = search::dtw_matrix(&series, &options, task.job)?;
    matrix(task, series.len(), &data)
}

/// `{ a, b }` to a number.
pub(super) fn lcs(task: &Task<'_>, _: &Shards) -> Result<Bytes, KindFailure> {
    let (a, b) = symbols::pair(&task.fields(&["a", "b"])?)?;
    let length = lcs_kernel::length(Level::best(), &a, &b, task.job.interrupt())?;
    task.reply(&Item::Number(length as f64))
}

/// `{ sequences, normalize? }` to `{ size, data }`. What the other kinds have in `options` may stand there too.
pub(super) fn lcs_matrix(task: &Task<'_>, _: &Shards) -> Result<Bytes, KindFailure> {
    let fields = task.fields(&["sequences", "normalize", "options"])?;
    let options = task.options("payload.options", "options", &["normalize"])?;
    let ratio = if fields.get("normalize").is_none() { ratio(&options)? } else { ratio(&fields)? };
    let sequences = symbols::list(&fields, "sequences")?;
    task.check_result((sequences.len() as u128).pow(2))?;
    let data = search::lcs_matrix(&sequences, ratio, task.job)?;
    matrix(task, sequences.len(), &data)
}

fn ratio(fields: &Fields<'_>) -> Result<LcsRatio, KindFailure> {
    fields.one_of("normalize", RATIOS)
}

fn matrix(task: &Task<'_>, size: usize, data: &[f64]) -> Result<Bytes, KindFailure> {
    task.reply(&Item::Object(vec![("size".into(), Item::Number(size as f64)), ("data".into(), data.into())]))
}

/// `{ values, ends, rows, options? }` to a Float64Array: rows x columns, or with 0 rows all pairs.
pub(super) fn dtw_tile(task: &Task<'_>, _: &Shards) -> Result<Bytes, KindFailure> {
    let fields = task.fields(&["values", "ends", "rows", "options"])?;
    let (options, channels) = dtw_options(&task.options("payload.options", "options", DTW_OPTIONS)?)?;
    let packed_series::Tile { rows, columns } = packed_series::Tile::read(&fields, channels)?;
    check_tile(task, rows.len(), columns.len())?;
    let data = if rows.is_empty() {
        search::dtw_matrix(&columns, &options, task.job)?
    } else {
        search::dtw_tile(&rows, &columns, &options, task.job)?
    };
    task.reply(&data.as_slice().into())
}

/// `{ symbols, ends, rows, normalize? }` to a Float64Array: rows x columns, or with 0 rows all pairs.
pub(super) fn lcs_tile(task: &Task<'_>, _: &Shards) -> Result<Bytes, KindFailure> {
    let fields = task.fields(&["symbols", "ends", "rows", "normalize"])?;
    let ratio = ratio(&fields)?;
    let symbols::Tile { rows, columns } = symbols::Tile::read(&fields)?;
    check_tile(task, rows.len(), columns.len())?;
    let data = if rows.is_empty() {
        search::lcs_matrix(&columns, ratio, task.job)?
    } else {
        search::lcs_tile(&rows, &columns, ratio, task.job)?
    };
    task.reply(&data.as_slice().into())
}

fn check_tile(task: &Task<'_>, rows: usize, columns: usize) -> Result<(), KindFailure> {
    task.check_result(if rows == 0 { columns } else { rows } as u128 * columns as u128)
}
