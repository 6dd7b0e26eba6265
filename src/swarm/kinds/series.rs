//! Series and candidates of a payload, and the options of DTW.

use super::KindFailure;
use super::fields::{Fields, show};
use crate::kernels::dtw::{DtwOptions, Metric};
use crate::kernels::normalize::Normalize;
use crate::protocol::value::{Array, ElementKind, List, Node};
use crate::search::Candidates;
use crate::series::{InputError, SeriesBuf};

/// The options of every kind that computes DTW, `signal` and `onProgress` apart.
pub(super) const DTW_OPTIONS: &[&str] = &["metric", "window", "normalize", "maxDistance", "channels"];

pub(super) const METRICS: &[(&str, Metric)] =
    &[("absolute", Metric::Absolute), ("squared", Metric::Squared), ("euclidean", Metric::Euclidean)];
pub(super) const NORMALIZATIONS: &[(&str, Normalize)] =
    &[("none", Normalize::None), ("zscore", Normalize::Zscore), ("minmax", Normalize::Minmax)];

/// How series are compared, and how many values a time step has.
pub(super) fn dtw_options(options: &Fields<'_>) -> Result<(DtwOptions, usize), KindFailure> {
    let read = DtwOptions {
        metric: options.one_of("metric", METRICS)?,
        window: options.radius("window")?,
        normalize: options.one_of("normalize", NORMALIZATIONS)?,
        max_distance: options.bound("maxDistance")?,
    };
    Ok((read, options.count_or("channels", 1)?))
}

/// One series.
pub(super) fn series(fields: &Fields<'_>, name: &str, channels: usize) -> Result<SeriesBuf, KindFailure> {
    let path = fields.path(name);
    let values = values(|| path.clone(), fields.get(name))?;
    Ok(SeriesBuf::new(&path, values, channels)?)
}

/// A list of series.
pub(super) fn series_list(
    fields: &Fields<'_>,
    name: &str,
    channels: usize,
) -> Result<Candidates, KindFailure> {
    let path = fields.path(name);
    match fields.get(name) {
        Some(Node::List(list)) => from_list(&path, list, channels),
        other => Err(KindFailure::invalid(format!("{path} must be an array of series, got {}", show(other)))),
    }
}

/// A list of series, or rows of one block: `{ data, length }`.
pub(super) fn candidates(
    fields: &Fields<'_>,
    name: &str,
    channels: usize,
    kind: &str,
) -> Result<Candidates, KindFailure> {
    let path = fields.path(name);
    match fields.get(name) {
        Some(Node::List(list)) => from_list(&path, list, channels),
        Some(node @ Node::Object(_)) => {
            let block = Fields::required(&path, Some(node), &["data", "length"], kind)?;
            let (data, path) = (block.get("data"), block.path("data"));
            let Some(values) = data.and_then(as_array).and_then(floats) else {
                return Err(KindFailure::invalid(format!(
                    "{path} must be a Float64Array or a Float32Array, got {}",
                    show(data)
                )));
            };
            let steps = block.count("length")?;
            Ok(Candidates::from_block(&path, values, steps, channels)?)
        }
        other => Err(KindFailure::invalid(format!(
            "{path} must be {{ data, length }} or an array of series, got {}",
            show(other)
        ))),
    }
}

fn from_list(path: &str, list: List<'_>, channels: usize) -> Result<Candidates, KindFailure> {
    let rows: Vec<Vec<f64>> = (list.iter().enumerate())
        .map(|(index, node)| values(|| format!("{path}[{index}]"), Some(node)))
        .collect::<Result<_, _>>()?;
    Ok(Candidates::from_list(path, rows.iter().map(Vec::as_slice), channels)?)
}

/// The values of a series, perhaps none, not yet checked.
pub(super) fn values(path: impl Fn() -> String, node: Option<Node<'_>>) -> Result<Vec<f64>, KindFailure> {
    match node {
        Some(Node::Array(array)) if let Some(values) = floats(array) => Ok(values),
        Some(Node::List(list)) => (list.iter().enumerate())
            .map(|(index, item)| {
                item.number().ok_or_else(|| {
                    KindFailure::invalid(format!(
                        "{}[{index}] must be a number, got {}",
                        path(),
                        show(Some(item))
                    ))
                })
            })
            .collect(),
        other => Err(KindFailure::invalid(format!(
            "{} must be a Float64Array, a Float32Array or an array of numbers, got {}",
            path(),
            show(other)
        ))),
    }
}

/// The values of a Float64Array or Float32Array.
pub(super) fn floats(array: &Array) -> Option<Vec<f64>> {
    matches!(array.kind(), ElementKind::F64 | ElementKind::F32).then(|| array.to_f64()).flatten()
}

/// The typed array, if it is one.
pub(super) fn as_array(node: Node<'_>) -> Option<&Array> {
    match node {
        Node::Array(array) => Some(array),
        _ => None,
    }
}

/// Where the parts of a run of `length` values end.
pub(super) fn ends(fields: &Fields<'_>, name: &str, length: usize) -> Result<Vec<usize>, KindFailure> {
    let wrong = || KindFailure::invalid(format!("{} must ascend to {length}", fields.path(name)));
    let numbers = fields.get(name).and_then(Node::to_f64).ok_or_else(wrong)?;
    let mut ends = Vec::with_capacity(numbers.len());
    let mut last = 0;
    for number in numbers {
        // Whatever is no such integer saturates, and is then found not to be the number.
        let end = number as usize;
        if end as f64 != number || end < last || end > length {
            return Err(wrong());
        }
        ends.push(end);
        last = end;
    }
    if last == length { Ok(ends) } else { Err(wrong()) }
}

/// The rows and columns of a tile, packed: `values`, where each series ends, and how many of them are rows. Without
/// rows the tile is a matrix of all pairs.
pub(super) struct Tile {
    pub(super) rows: Candidates,
    pub(super) columns: Candidates,
}

impl Tile {
    pub(super) fn read(fields: &Fields<'_>, channels: usize) -> Result<Self, KindFailure> {
        let Some(values) = fields.get("values").and_then(as_array).and_then(floats) else {
            return Err(KindFailure::invalid(format!("{} must be a Float64Array", fields.path("values"))));
        };
        let ends = ends(fields, "ends", values.len())?;
        let rows = fields.natural("rows")?.min(ends.len());
        let part = |from: usize, to: usize| -> Result<Candidates, InputError> {
            let starts = (from..to).map(|index| if index == 0 { 0 } else { ends[index - 1] });
            let series = starts.zip(&ends[from..to]).map(|(start, &end)| &values[start..end]);
            Candidates::from_list("payload.values", series, channels)
        };
        Ok(Self { rows: part(0, rows)?, columns: part(rows, ends.len())? })
    }
}
