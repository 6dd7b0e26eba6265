//! Pattern libraries. Ids and meta stay in JavaScript; here a pattern is known by its ordinal.

use super::errors::Code;
use super::library_file::{self, LibraryWriter};
use super::task::{Job, pair_promise};
use crate::calls::library;
use crate::search::library::Library;
use napi::bindgen_prelude::{Float64Array, PromiseRaw};
use napi::{Env, Error};
use napi_derive::napi;

/// In which form patterns are added: how errors name their values.
#[napi]
#[derive(Debug, PartialEq, Eq)]
pub enum PatternForm {
    One,
    List,
    Block,
}

impl From<PatternForm> for library::PatternForm {
    fn from(form: PatternForm) -> Self {
        match form {
            PatternForm::One => Self::One,
            PatternForm::List => Self::List,
            PatternForm::Block => Self::Block,
        }
    }
}

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
        Ok(Self(library::make(steps, channels, window, metric, normalize)?))
    }

    /// Adds rows, one after the other in `values`, with an end (NaN: not known) for each; returns the ordinal of the
    /// first, the others follow it.
    #[napi(catch_unwind)]
    pub fn add(&mut self, form: PatternForm, values: &[f64], ends_at: &[f64]) -> Result<f64, Error<Code>> {
        Ok(library::add(&mut self.0, form.into(), values, ends_at)?)
    }

    #[napi(catch_unwind)]
    pub fn remove(&mut self, ordinal: f64) -> Result<bool, Error<Code>> {
        Ok(library::remove(&mut self.0, ordinal)?)
    }

    /// Copies the values as they were added to `out`; false when there is no such pattern.
    #[napi(catch_unwind)]
    pub fn values(
        &self,
        ordinal: f64,
        #[napi(ts_arg_type = "Float64Array")] out: Out<'_>,
    ) -> Result<bool, Error<Code>> {
        Ok(library::values(&self.0, ordinal, out)?)
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
        Ok(library::search_here(&self.0, query, k, max_distance, as_of, hints, out)?)
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
        pair_promise(env, job, library::search(&self.0, query, k, max_distance, as_of)?, Float64Array::from)
    }

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
        Ok(library::search_windows_here(&self.0, values, k, max_distance, as_of, hints, out)?)
    }

    /// For a file of the library as it is now.
    #[napi(catch_unwind)]
    pub fn writer(&self) -> LibraryWriter {
        library_file::writer(self.0.snapshot())
    }
}
