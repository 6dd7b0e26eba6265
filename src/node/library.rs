//! Pattern libraries. Ids and meta stay in JavaScript; here a pattern is known by its ordinal.

use super::arguments::{dtw_options, natural, series_buf};
use super::errors::{Code, input, invalid, kernel, no_memory};
use super::task::{Job, promise};
use crate::search;
use crate::search::library::{Found, Library, LibraryError, Names, Row, SearchStats, Shape};
use napi::bindgen_prelude::{Float64Array, PromiseRaw};
use napi::{Env, Error};
use napi_derive::napi;
use std::time::Instant;

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

/// JavaScript memory that is written during a synchronous call. By another name, for the macro takes `&mut` to be a
/// reference to a class.
type Out<'a> = &'a mut [f64];

#[napi]
pub struct NativeLibrary(Library);

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
        let rows: Vec<Row<'_>> =
            values.chunks_exact(row).zip(ends_at).map(|(values, &ends_at)| Row { values, ends_at }).collect();
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

    /// A copy of the values as they were added.
    #[napi(catch_unwind)]
    pub fn values(&self, ordinal: f64) -> Result<Option<Float64Array>, Error<Code>> {
        Ok(self.0.values(self::ordinal(ordinal)?).map(|values| values.to_vec().into()))
    }

    /// Searches on this thread. Writes the `n` patterns found as (ordinal, distance) to the beginning of `out`, the
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
        let hints: Vec<u64> = hints.chunks_exact(2).map(|hint| hint[0] as u64).collect();
        let start = Instant::now();
        let (found, stats) = (snapshot)
            .nearest(query, request.k, request.max_distance, request.as_of, &hints, &search::Job::new())
            .map_err(kernel)?;
        let needed = 2 * found.len() + STATS;
        if out.len() < needed {
            return Err(invalid(format!("out holds {} values, {needed} are needed", out.len())));
        }
        for (pair, found) in out.chunks_exact_mut(2).zip(&found) {
            pair.copy_from_slice(&[found.ordinal as f64, found.distance]);
        }
        out[2 * found.len()..needed].copy_from_slice(&packed_stats(stats, start));
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
        promise(
            env,
            job,
            move |job| {
                let start = Instant::now();
                let Request { k, max_distance, as_of } = request;
                let (found, stats) = snapshot.nearest(query.as_series(), k, max_distance, as_of, &[], job)?;
                let mut packed = Vec::with_capacity(2 * found.len() + STATS);
                pack(&found, &mut packed);
                packed.extend(packed_stats(stats, start));
                Ok(packed)
            },
            Float64Array::from,
        )
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

fn pack(found: &[Found], packed: &mut Vec<f64>) {
    packed.extend(found.iter().flat_map(|found| [found.ordinal as f64, found.distance]));
}

fn packed_stats(stats: SearchStats, start: Instant) -> [f64; STATS] {
    let SearchStats { candidates, pruned_by_bound, abandoned, computed } = stats;
    let elapsed_ms = start.elapsed().as_secs_f64() * 1e3;
    [candidates as f64, pruned_by_bound as f64, abandoned as f64, computed as f64, elapsed_ms]
}

fn library(error: LibraryError) -> Error<Code> {
    match error {
        LibraryError::Input(error) => input(error),
        LibraryError::WrongLength { .. } => Error::new(Code::LengthMismatch, error.to_string()),
        LibraryError::OutOfMemory { bytes } => no_memory("patterns", bytes),
    }
}
