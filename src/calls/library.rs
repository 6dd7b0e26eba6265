//! Pattern libraries. Ids and meta stay in JavaScript; here a pattern is known by its ordinal.

use super::Work;
use super::arguments::{dtw_options, natural, room, series_buf};
use super::refusal::{Code, Refusal, input, invalid, kernel, no_memory};
use crate::search::library::file::{self, FileError, Saved};
use crate::search::library::{Found, Library, LibraryError, Names, Row, SearchStats, Shape, Snapshot};
use crate::search::{self, Job};
use crate::series::Series;
use std::path::Path;
use std::time::Duration;
use web_time::Instant;

/// Values at the end of packed results: candidates, pruned by bound, abandoned, computed, elapsed milliseconds.
const STATS: usize = 5;

/// From this many new patterns on, the threads of batches share the work of adding them.
const MANY_PATTERNS: usize = 256;

/// In which form patterns are added: how errors name their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatternForm {
    One,
    List,
    Block,
}

/// An empty library.
pub(crate) fn make(
    steps: f64,
    channels: f64,
    window: f64,
    metric: u32,
    normalize: u32,
) -> Result<Library, Refusal> {
    let (steps, channels) = (natural("length", steps)?, natural("channels", channels)?);
    if steps == 0 || channels == 0 {
        return Err(invalid("length and channels must be integers >= 1"));
    }
    let options = dtw_options(metric, window, normalize, f64::INFINITY)?;
    Ok(Library::new(Shape {
        steps,
        channels,
        window: options.window,
        metric: options.metric,
        normalize: options.normalize,
    }))
}

/// Adds rows, one after the other in `values`, with an end (NaN: not known) for each; returns the ordinal of the
/// first, the others follow it.
pub(crate) fn add(
    library: &mut Library,
    form: PatternForm,
    values: &[f64],
    ends_at: &[f64],
) -> Result<f64, Refusal> {
    let names = match form {
        PatternForm::One => Names::One("pattern"),
        PatternForm::List => Names::List("patterns"),
        PatternForm::Block => Names::Block("block.data"),
    };
    let row = library.shape().row();
    if ends_at.len().checked_mul(row) != Some(values.len()) {
        return Err(invalid(format!("{} values are not {} patterns of {row}", values.len(), ends_at.len())));
    }
    let mut rows: Vec<Row<'_>> = room("patterns", ends_at.len())?;
    rows.extend(values.chunks_exact(row).zip(ends_at).map(|(values, &ends_at)| Row { values, ends_at }));
    let added = if rows.len() < MANY_PATTERNS {
        library.add(names, &rows)
    } else {
        search::blocking(|| library.add(names, &rows))
    };
    added.map(|ordinals| ordinals.start as f64).map_err(refused)
}

pub(crate) fn remove(library: &mut Library, ordinal: f64) -> Result<bool, Refusal> {
    Ok(library.remove(self::ordinal(ordinal)?))
}

/// Copies the values as they were added to `out`; false when there is no such pattern.
pub(crate) fn values(library: &Library, ordinal: f64, out: &mut [f64]) -> Result<bool, Refusal> {
    let Some(values) = library.values(self::ordinal(ordinal)?) else { return Ok(false) };
    front(out, values.len())?.copy_from_slice(values);
    Ok(true)
}

/// Searches while this thread waits, on it or, in a large library, on several others. Writes the `n` patterns found as
/// (ordinal, distance) to the beginning of `out`, the stats after them, and returns `n`. `as_of` NaN: none. `hints` are
/// (ordinal, anything).
pub(crate) fn search_here(
    library: &Library,
    query: &[f64],
    k: f64,
    max_distance: f64,
    as_of: f64,
    hints: &[f64],
    out: &mut [f64],
) -> Result<f64, Refusal> {
    let request = Request::new(k, max_distance, as_of)?;
    let snapshot = library.snapshot();
    let query = snapshot.shape().series("query", query).map_err(refused)?;
    let hints = ordinals(hints);
    let start = Instant::now();
    let Request { k, max_distance, as_of } = request;
    let search = || snapshot.nearest(query, k, max_distance, as_of, &hints, &Job::new());
    let answer = if snapshot.uses_threads() { search::blocking(search) } else { search() };
    let (found, stats) = answer.map_err(kernel)?;
    let elapsed = start.elapsed();
    let out = front(out, 2 * found.len() + STATS)?;
    let (pairs, explained) = out.split_at_mut(2 * found.len());
    pack(&found, pairs);
    explained.copy_from_slice(&packed_stats(stats, elapsed));
    Ok(found.len() as f64)
}

/// The same in the library as it is now; the result is exactly as long as it must be.
pub(crate) fn search(
    library: &Library,
    query: &[f64],
    k: f64,
    max_distance: f64,
    as_of: f64,
) -> Result<impl Work<Vec<f64>> + use<>, Refusal> {
    let request = Request::new(k, max_distance, as_of)?;
    let snapshot = library.snapshot();
    let channels = snapshot.shape().channels as f64;
    snapshot.shape().series("query", query).map_err(refused)?;
    let query = series_buf("query", query, channels)?;
    Ok(move |job: &Job| {
        let start = Instant::now();
        let Request { k, max_distance, as_of } = request;
        let (found, stats) = snapshot.nearest(query.as_series(), k, max_distance, as_of, &[], job)?;
        let mut packed = vec![0.0; 2 * found.len() + STATS];
        let (pairs, explained) = packed.split_at_mut(2 * found.len());
        pack(&found, pairs);
        explained.copy_from_slice(&packed_stats(stats, start.elapsed()));
        Ok(packed)
    })
}

/// Searches with every window of `values`, on all threads while this one waits. `as_of` holds an instant for each
/// window, or nothing; `hints`, as in [`search_here`], are for the first. Writes for each window how many patterns
/// were found and their (ordinal, distance) to the beginning of `out`, the stats of the last window after them,
/// and returns where those begin.
pub(crate) fn search_windows_here(
    library: &Library,
    values: &[f64],
    k: f64,
    max_distance: f64,
    as_of: &[f64],
    hints: &[f64],
    out: &mut [f64],
) -> Result<f64, Refusal> {
    let Request { k, max_distance, .. } = Request::new(k, max_distance, f64::NAN)?;
    let snapshot = library.snapshot();
    let Shape { steps, channels, .. } = *snapshot.shape();
    let series = Series::new("values", values, channels).map_err(input)?;
    let windows = (series.steps() + 1).saturating_sub(steps);
    if windows == 0 || !(as_of.is_empty() || as_of.len() == windows) {
        return Err(invalid(format!("{} instants for {windows} windows", as_of.len())));
    }
    let hints = ordinals(hints);
    let search = || snapshot.nearest_windows(series, k, max_distance, as_of, &hints, &Job::new());
    // A single window is not worth the way to another thread, unless its search uses several.
    let here = windows == 1 && !snapshot.uses_threads();
    let answers = if here { search() } else { search::blocking(search) }.map_err(kernel)?;
    let needed = answers.iter().map(|answer| 1 + 2 * answer.found.len()).sum::<usize>();
    let (mut rest, explained) = front(out, needed + STATS)?.split_at_mut(needed);
    for answer in &answers {
        let (one, later) = rest.split_at_mut(1 + 2 * answer.found.len());
        one[0] = answer.found.len() as f64;
        pack(&answer.found, &mut one[1..]);
        rest = later;
    }
    if let Some(last) = answers.last() {
        explained.copy_from_slice(&packed_stats(last.stats, last.elapsed));
    }
    Ok(needed as f64)
}

/// What a search asks for, checked.
#[derive(Clone, Copy)]
struct Request {
    k: usize,
    max_distance: f64,
    as_of: Option<f64>,
}

impl Request {
    fn new(k: f64, max_distance: f64, as_of: f64) -> Result<Self, Refusal> {
        let max_distance = dtw_options(0, -1.0, 0, max_distance)?.max_distance;
        Ok(Self { k: natural("k", k)?, max_distance, as_of: (!as_of.is_nan()).then_some(as_of) })
    }
}

fn ordinal(value: f64) -> Result<u64, Refusal> {
    natural("ordinal", value).map(|ordinal| ordinal as u64)
}

/// Of pairs (ordinal, distance).
fn ordinals(pairs: &[f64]) -> Vec<u64> {
    pairs.chunks_exact(2).map(|pair| pair[0] as u64).collect()
}

/// The other way round.
fn pack(found: &[Found], pairs: &mut [f64]) {
    for (pair, found) in pairs.chunks_exact_mut(2).zip(found) {
        pair.copy_from_slice(&[found.ordinal as f64, found.distance]);
    }
}

/// The first `needed` values of `out`.
fn front(out: &mut [f64], needed: usize) -> Result<&mut [f64], Refusal> {
    let length = out.len();
    out.get_mut(..needed).ok_or_else(|| invalid(format!("out holds {length} values, {needed} are needed")))
}

fn packed_stats(stats: SearchStats, elapsed: Duration) -> [f64; STATS] {
    let SearchStats { candidates, pruned_by_bound, abandoned, computed } = stats;
    let elapsed_ms = elapsed.as_secs_f64() * 1e3;
    [candidates as f64, pruned_by_bound as f64, abandoned as f64, computed as f64, elapsed_ms]
}

pub(crate) fn refused(error: LibraryError) -> Refusal {
    match error {
        LibraryError::Input(error) => input(error),
        LibraryError::WrongLength { .. } => Refusal::new(Code::LengthMismatch, error.to_string()),
        LibraryError::OutOfMemory { bytes } => no_memory("patterns", bytes),
    }
}

/// What a file keeps of a library, with the ids and the meta (JSON text) of its patterns in the order of adding.
pub(crate) fn saved(
    snapshot: &Snapshot,
    ids: Vec<String>,
    meta: Vec<Option<String>>,
) -> Result<Saved, FileError> {
    let Shape { steps, channels, window, metric, normalize } = *snapshot.shape();
    let total = snapshot.size() * snapshot.shape().row();
    let mut values = Vec::new();
    let bytes = total * size_of::<f64>();
    values.try_reserve_exact(total).map_err(|_| FileError::OutOfMemory { bytes: bytes as u64 })?;
    snapshot.rows().for_each(|row| values.extend_from_slice(row));
    Ok(Saved { length: steps, channels, window, metric, normalize, ids, meta, values })
}

/// What stands for a path in errors of bytes in memory.
const MEMORY: &str = "the bytes";

/// The same as the bytes of a file.
pub(crate) fn to_bytes(
    snapshot: &Snapshot,
    ids: Vec<String>,
    meta: Vec<Option<String>>,
) -> Result<Vec<u8>, Refusal> {
    let saved = saved(snapshot, ids, meta).map_err(|error| unreadable(&error))?;
    let mut bytes = Vec::new();
    file::encode(&saved, &mut bytes, Path::new(MEMORY)).map_err(|error| unreadable(&error))?;
    Ok(bytes)
}

/// What the bytes of a file keep.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Saved, Refusal> {
    file::decode(bytes, bytes.len() as u64, Path::new(MEMORY)).map_err(|error| unreadable(&error))
}

/// Length, channels, window (-1: none), metric, normalize and the number of patterns, as they cross elsewhere.
pub(crate) fn packed_shape(saved: &Saved) -> [f64; 6] {
    [
        saved.length as f64,
        saved.channels as f64,
        saved.window.map_or(-1.0, |window| window as f64),
        f64::from(saved.metric as u8),
        f64::from(saved.normalize as u8),
        saved.ids.len() as f64,
    ]
}

/// Takes the texts of the next patterns, at most `count`; every one is given once.
pub(crate) fn take_texts(saved: &mut Saved, start: u32, count: u32) -> (Vec<String>, Vec<Option<String>>) {
    let start = (start as usize).min(saved.ids.len());
    let end = start.saturating_add(count as usize).min(saved.ids.len());
    let ids = saved.ids[start..end].iter_mut().map(std::mem::take).collect();
    (ids, saved.meta[start..end].iter_mut().map(Option::take).collect())
}

/// The library that was saved; `ends_at` has an end (NaN: not known) for each pattern.
pub(crate) fn restored(saved: Saved, ends_at: &[f64]) -> Result<Library, Refusal> {
    let Saved { length: steps, channels, window, metric, normalize, values, ids, .. } = saved;
    if ends_at.len() != ids.len() {
        return Err(invalid(format!("{} ends for {} patterns", ends_at.len(), ids.len())));
    }
    let mut library = Library::new(Shape { steps, channels, window, metric, normalize });
    let row = library.shape().row();
    let rows: Vec<Row<'_>> =
        (values.chunks_exact(row).zip(ends_at)).map(|(values, &ends_at)| Row { values, ends_at }).collect();
    library.add(Names::Block("values"), &rows).map_err(refused)?;
    Ok(library)
}

pub(crate) fn unreadable(error: &FileError) -> Refusal {
    let code = match error {
        FileError::Io { .. } | FileError::NotAFile { .. } => Code::Store,
        FileError::Missing { .. } => Code::NotFound,
        FileError::Corrupt { .. } => Code::Corrupt,
        FileError::Schema { .. } | FileError::Features { .. } => Code::Schema,
        FileError::Invalid { .. } => Code::InvalidArgument,
        FileError::OutOfMemory { .. } => Code::TooLarge,
        FileError::Sealed => Code::Decrypt,
        #[cfg(not(target_family = "wasm"))]
        FileError::Keyring(_) => Code::Decrypt,
    };
    Refusal::new(code, error.to_string())
}
