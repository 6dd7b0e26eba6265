//! Pattern libraries. Ids and meta stay in JavaScript; here a pattern is known by its ordinal.

use super::arguments::{dtw_options, natural, room, series_buf};
use super::errors::{Code, input, invalid, kernel, no_memory};
use super::library_file::{self, LibraryWriter};
use super::task::{Job, pair_promise};
use crate::search;
use crate::search::library::{Found, Library, LibraryError, Names, Row, SearchStats, Shape};
use crate::series::Series;
use napi::bindgen_prelude::{Float64Array, PromiseRaw};
use napi::{Env, Error};
use napi_derive::napi;
use std::time::{Duration, Instant};

/// In which form patterns are added: how errors name their values.
#[napi]
#[derive(Debug, PartialEq, Eq)]
pub enum PatternForm {
    One,
    List,
    Block,
}

/// Values at the end of packed results: candidates, pruned by bound, abandoned, computed, elapsed milliseconds.
const STATS: usize = 5;

/// From this many new patterns on, the threads of batches share the work of adding them.
const MANY_PATTERNS: usize = 256;

/// JavaScript memory that is written during a synchronous call: an array made here would be freed in a later turn of
/// the event loop only, and a loop of synchronous calls has none. By another name, for the macro takes `&mut` to be a
/// reference to a class.
type Out<'a> = &'a mut [f64];

#[napi]
pub struct NativeLibrary(Library);

impl From<Library> for NativeLibrary {
    fn from(library: Library) -> Self {
        Self(library)
    }
}

#[napi]
impl NativeLibrary {
    #[napi(constructor, catch_unwind)]
    pub fn new(
        steps: f64,
        channels: f64,
        window: f64,
        metric: u32,
        normalize: u32,
    ) -> Result<Self, Error<Code>> {
        let (steps, channels) = (natural("length", steps)?, natural("channels", channels)?);
        if steps == 0 || channels == 0 {
            return Err(invalid("length and channels must be integers >= 1"));
        }
        let options = dtw_options(metric, window, normalize, f64::INFINITY)?;
        Ok(Self(Library::new(Shape {
            steps,
            channels,
            window: options.window,
            metric: options.metric,
            normalize: options.normalize,
        })))
    }

    /// Adds rows, one after the other in `values`, with an end (NaN: not known) for each; returns the ordinal of the
    /// first, the others follow it.
    #[napi(catch_unwind)]
    pub fn add(&mut self, form: PatternForm, values: &[f64], ends_at: &[f64]) -> Result<f64, Error<Code>> {
        let names = match form {
            PatternForm::One => Names::One("pattern"),
            PatternForm::List => Names::List("patterns"),
            PatternForm::Block => Names::Block("block.data"),
        };
        let row = self.0.shape().row();
        if ends_at.len().checked_mul(row) != Some(values.len()) {
            return Err(invalid(format!(
                "{} values are not {} patterns of {row}",
                values.len(),
                ends_at.len()
            )));
        }
        let mut rows: Vec<Row<'_>> = room("patterns", ends_at.len())?;
        rows.extend(values.chunks_exact(row).zip(ends_at).map(|(values, &ends_at)| Row { values, ends_at }));
        let added = if rows.len() < MANY_PATTERNS {
            self.0.add(names, &rows)
        } else {
            search::blocking(|| self.0.add(names, &rows))
        };
        added.map(|ordinals| ordinals.start as f64).map_err(library)
    }

    #[napi(catch_unwind)]
    pub fn remove(&mut self, ordinal: f64) -> Result<bool, Error<Code>> {
        Ok(self.0.remove(self::ordinal(ordinal)?))
    }

    /// Copies the values as they were added to `out`; false when there is no such pattern.
    #[napi(catch_unwind)]
    pub fn values(
        &self,
        ordinal: f64,
        #[napi(ts_arg_type = "Float64Array")] out: Out<'_>,
    ) -> Result<bool, Error<Code>> {
        let Some(values) = self.0.values(self::ordinal(ordinal)?) else { return Ok(false) };
        front(out, values.len())?.copy_from_slice(values);
        Ok(true)
    }

    /// Searches while this thread waits, on it or, in a large library, on several others. Writes the `n` patterns found as (ordinal, distance) to the beginning of `out`, the
    /// stats after them, and returns `n`. `as_of` NaN: none. `hints` are (ordinal, anything).
    #[napi(catch_unwind)]
    pub fn search_sync(
        &self,
        query: &[f64],
        k: f64,
        max_distance: f64,
        as_of: f64,
        hints: &[f64],
        #[napi(ts_arg_type = "Float64Array")] out: Out<'_>,
    ) -> Result<f64, Error<Code>> {
        let request = Request::new(k, max_distance, as_of)?;
        let snapshot = self.0.snapshot();
        let query = snapshot.shape().series("query", query).map_err(library)?;
        let hints = ordinals(hints);
        let start = Instant::now();
        let Request { k, max_distance, as_of } = request;
        let search = || snapshot.nearest(query, k, max_distance, as_of, &hints, &search::Job::new());
        let answer = if snapshot.uses_threads() { search::blocking(search) } else { search() };
        let (found, stats) = answer.map_err(kernel)?;
        let elapsed = start.elapsed();
        let out = front(out, 2 * found.len() + STATS)?;
        let (pairs, explained) = out.split_at_mut(2 * found.len());
        pack(&found, pairs);
        explained.copy_from_slice(&packed_stats(stats, elapsed));
        Ok(found.len() as f64)
    }

    /// The same on the thread pool, in the library as it is now; the result is exactly as long as it must be.
    #[napi(catch_unwind, ts_return_type = "Promise<Float64Array>")]
    pub fn search<'env>(
        &self,
        env: &'env Env,
        query: &[f64],
        k: f64,
        max_distance: f64,
        as_of: f64,
        job: Option<&Job>,
    ) -> Result<PromiseRaw<'env, Float64Array>, Error<Code>> {
        let request = Request::new(k, max_distance, as_of)?;
        let snapshot = self.0.snapshot();
        let channels = snapshot.shape().channels as f64;
        snapshot.shape().series("query", query).map_err(library)?;
        let query = series_buf("query", query, channels)?;
        pair_promise(
            env,
            job,
            move |job| {
                let start = Instant::now();
                let Request { k, max_distance, as_of } = request;
                let (found, stats) = snapshot.nearest(query.as_series(), k, max_distance, as_of, &[], job)?;
                let mut packed = vec![0.0; 2 * found.len() + STATS];
                let (pairs, explained) = packed.split_at_mut(2 * found.len());
                pack(&found, pairs);
                explained.copy_from_slice(&packed_stats(stats, start.elapsed()));
                Ok(packed)
            },
            Float64Array::from,
        )
    }
}

#[napi]
impl NativeLibrary {
    /// Searches with every window of `values`, on all threads while this one waits. `as_of` holds an instant for each
    /// window, or nothing; `hints`, as in `search_sync`, are for the first. Writes for each window how many patterns
    /// were found and their (ordinal, distance) to the beginning of `out`, the stats of the last window after them,
    /// and returns where those begin.
    #[napi(catch_unwind)]
    pub fn search_windows_sync(
        &self,
        values: &[f64],
        k: f64,
        max_distance: f64,
        as_of: &[f64],
        hints: &[f64],
        #[napi(ts_arg_type = "Float64Array")] out: Out<'_>,
    ) -> Result<f64, Error<Code>> {
        let Request { k, max_distance, .. } = Request::new(k, max_distance, f64::NAN)?;
        let snapshot = self.0.snapshot();
        let Shape { steps, channels, .. } = *snapshot.shape();
        let series = Series::new("values", values, channels).map_err(input)?;
        let windows = (series.steps() + 1).saturating_sub(steps);
        if windows == 0 || !(as_of.is_empty() || as_of.len() == windows) {
            return Err(invalid(format!("{} instants for {windows} windows", as_of.len())));
        }
        let hints = ordinals(hints);
        let search = || snapshot.nearest_windows(series, k, max_distance, as_of, &hints, &search::Job::new());
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

    /// For a file of the library as it is now.
    #[napi(catch_unwind)]
    pub fn writer(&self) -> LibraryWriter {
        library_file::writer(self.0.snapshot())
    }
}

/// What a search asks for, checked.
#[derive(Clone, Copy)]
struct Request {
    k: usize,
    max_distance: f64,
    as_of: Option<f64>,
}

impl Request {
    fn new(k: f64, max_distance: f64, as_of: f64) -> Result<Self, Error<Code>> {
        let max_distance = dtw_options(0, -1.0, 0, max_distance)?.max_distance;
        Ok(Self { k: natural("k", k)?, max_distance, as_of: (!as_of.is_nan()).then_some(as_of) })
    }
}

fn ordinal(value: f64) -> Result<u64, Error<Code>> {
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
fn front(out: Out<'_>, needed: usize) -> Result<Out<'_>, Error<Code>> {
    let length = out.len();
    out.get_mut(..needed).ok_or_else(|| invalid(format!("out holds {length} values, {needed} are needed")))
}

fn packed_stats(stats: SearchStats, elapsed: Duration) -> [f64; STATS] {
    let SearchStats { candidates, pruned_by_bound, abandoned, computed } = stats;
    let elapsed_ms = elapsed.as_secs_f64() * 1e3;
    [candidates as f64, pruned_by_bound as f64, abandoned as f64, computed as f64, elapsed_ms]
}

pub(super) fn library(error: LibraryError) -> Error<Code> {
    match error {
        LibraryError::Input(error) => input(error),
        LibraryError::WrongLength { .. } => Error::new(Code::LengthMismatch, error.to_string()),
        LibraryError::OutOfMemory { bytes } => no_memory("patterns", bytes),
    }
}
