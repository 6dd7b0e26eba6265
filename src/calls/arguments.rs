//! Numbers and views that crossed from JavaScript, into checked Rust values.
//!
//! Everything crosses as f64, because conversions to integers wrap silently (`-1` becomes 4294967295).

use super::refusal::{Refusal, input, invalid, no_memory};
use crate::kernels::dtw::{DtwOptions, Metric};
use crate::kernels::normalize::Normalize;
use crate::search::Candidates;
use crate::series::{Series, SeriesBuf};

/// The largest integer below which a JavaScript number holds every integer exactly.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// A count or a length.
pub(crate) fn natural(name: &str, value: f64) -> Result<usize, Refusal> {
    if (0.0..=MAX_SAFE_INTEGER).contains(&value) && value.fract() == 0.0 {
        Ok(value as usize)
    } else {
        Err(invalid(format!("{name} must be a non-negative integer, got {value}")))
    }
}

/// A Sakoe-Chiba radius; -1 stands for none.
pub(crate) fn window(value: f64) -> Result<Option<usize>, Refusal> {
    if value == -1.0 { Ok(None) } else { natural("window", value).map(Some) }
}

/// The options of every DTW function.
pub(crate) fn dtw_options(
    metric: u32,
    window: f64,
    normalize: u32,
    max_distance: f64,
) -> Result<DtwOptions, Refusal> {
    Ok(DtwOptions {
        metric: match metric {
            0 => Metric::Absolute,
            1 => Metric::Squared,
            2 => Metric::Euclidean,
            other => return Err(invalid(format!("metric {other} is unknown"))),
        },
        window: self::window(window)?,
        normalize: match normalize {
            0 => Normalize::None,
            1 => Normalize::Zscore,
            2 => Normalize::Minmax,
            other => return Err(invalid(format!("normalize {other} is unknown"))),
        },
        max_distance: if max_distance >= 0.0 {
            max_distance
        } else {
            return Err(invalid(format!("maxDistance must be a number >= 0, got {max_distance}")));
        },
    })
}

/// A view of JavaScript memory, for the duration of a synchronous call.
pub(crate) fn series<'a>(name: &str, values: &'a [f64], channels: f64) -> Result<Series<'a>, Refusal> {
    Series::new(name, values, natural("channels", channels)?).map_err(input)
}

/// A copy of JavaScript memory, or TOO_LARGE: an input can be as large as memory itself, and an allocation that fails
/// otherwise ends the process.
pub(crate) fn copy<T: Copy>(name: &str, values: &[T]) -> Result<Vec<T>, Refusal> {
    let mut own = room(name, values.len())?;
    own.extend_from_slice(values);
    Ok(own)
}

/// An empty vector with room for `length` items, or TOO_LARGE.
pub(crate) fn room<T>(name: &str, length: usize) -> Result<Vec<T>, Refusal> {
    let mut empty = Vec::new();
    let bytes = length.saturating_mul(size_of::<T>());
    empty.try_reserve_exact(length).map_err(|_| no_memory(name, bytes))?;
    Ok(empty)
}

/// A copy, for work that goes on after the call.
pub(crate) fn series_buf(name: &str, values: &[f64], channels: f64) -> Result<SeriesBuf, Refusal> {
    SeriesBuf::new(name, copy(name, values)?, natural("channels", channels)?).map_err(input)
}

/// Candidates as the facade packs them: all values in one run. With `steps` above 0 they are rows of that many
/// time steps, otherwise `ends` says where each one ends in `values`.
pub(crate) fn candidates(
    name: &str,
    values: &[f64],
    ends: &[f64],
    steps: f64,
    channels: f64,
) -> Result<Candidates, Refusal> {
    let channels = natural("channels", channels)?;
    if steps > 0.0 {
        let steps = natural("length", steps)?;
        let name = format!("{name}.data");
        return Candidates::from_block(&name, copy(&name, values)?, steps, channels).map_err(input);
    }
    // Given back at once: the list is copied as it is checked, and this asks beforehand whether the copy can be had.
    drop(room::<f64>(name, values.len())?);
    Candidates::from_list(name, runs(name, values, ends)?, channels).map_err(input)
}

/// The parts of `values` that end at `ends`, which must not decrease nor exceed the values.
pub(crate) fn runs<'a, T>(
    name: &str,
    values: &'a [T],
    ends: &[f64],
) -> Result<impl Iterator<Item = &'a [T]>, Refusal> {
    let mut start = 0;
    let mut list = Vec::with_capacity(ends.len());
    for &end in ends {
        let end = natural("end", end)?;
        list.push(values.get(start..end).ok_or_else(|| invalid(format!("{name} end out of order")))?);
        start = end;
    }
    Ok(list.into_iter())
}
