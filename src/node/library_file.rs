//! Pattern libraries in files. Ids and meta are JavaScript's: they come and go in slices, so that a hundred thousand
//! of them do not hold up the event loop, and what takes long happens on the thread pool.

use super::errors::{Code, invalid};
use super::keyring::{self, NativeKeyring};
use super::library::{NativeLibrary, library};
use super::task::fallible_promise;
use crate::search::library::file::{self, FileError, Saved};
use crate::search::library::{Library, LibraryError, Names, Row, Shape, Snapshot};
use napi::bindgen_prelude::PromiseRaw;
use napi::{Env, Error};
use napi_derive::napi;
use std::path::PathBuf;

/// A library as it was when the writer was made, waiting for its ids and meta.
#[napi]
pub struct LibraryWriter {
    snapshot: Option<Snapshot>,
    ids: Vec<String>,
    meta: Vec<Option<String>>,
}

#[napi]
impl LibraryWriter {
    /// The ids and the meta, as JSON text, of the next patterns in the order of adding.
    #[napi(catch_unwind)]
    pub fn append(&mut self, ids: Vec<String>, meta: Vec<Option<String>>) {
        self.ids.extend(ids);
        self.meta.extend(meta);
    }

    /// Writes the file, sealed when there is a keyring. Once.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn write<'env>(
        &mut self,
        env: &'env Env,
        path: String,
        keyring: Option<&NativeKeyring>,
        context: String,
    ) -> Result<PromiseRaw<'env, ()>, Error<Code>> {
        let keyring = keyring.map(|keyring| keyring.0.clone());
        let snapshot = self.snapshot.take().ok_or_else(|| invalid("the library was written already"))?;
        let (ids, meta) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.meta));
        let write = move || {
            let Shape { steps, channels, window, metric, normalize } = *snapshot.shape();
            let total = snapshot.size() * snapshot.shape().row();
            let mut values = Vec::new();
            let bytes = total * size_of::<f64>();
            values.try_reserve_exact(total).map_err(|_| FileError::OutOfMemory { bytes: bytes as u64 })?;
            snapshot.rows().for_each(|row| values.extend_from_slice(row));
            drop(snapshot);
            let saved = Saved { length: steps, channels, window, metric, normalize, ids, meta, values };
            match keyring {
                Some(keyring) => file::write_sealed(&PathBuf::from(path), &saved, &keyring, &context),
                None => file::write(&PathBuf::from(path), &saved),
            }
        };
        fallible_promise(env, move || write().map_err(code), |()| ())
    }
}

/// For [`NativeLibrary`], whose fields are its own.
pub(super) fn writer(snapshot: Snapshot) -> LibraryWriter {
    LibraryWriter { snapshot: Some(snapshot), ids: Vec::new(), meta: Vec::new() }
}

/// What a file holds, waiting for what JavaScript reads in the meta.
#[napi]
pub struct LibraryReader(Option<Saved>);

/// A slice of the texts of a file.
#[napi(object, object_from_js = false)]
pub struct PatternTexts {
    pub ids: Vec<String>,
    /// JSON text.
    pub meta: Vec<Option<String>>,
}

#[napi(catch_unwind, ts_return_type = "Promise<LibraryReader>")]
pub fn read_library<'env>(
    env: &'env Env,
    path: String,
    keyring: Option<&NativeKeyring>,
    context: String,
) -> Result<PromiseRaw<'env, LibraryReader>, Error<Code>> {
    let keyring = keyring.map(|keyring| keyring.0.clone());
    let read = move || match keyring {
        Some(keyring) => file::read_sealed(&PathBuf::from(path), &keyring, &context).map_err(code),
        None => file::read(&PathBuf::from(path)).map_err(code),
    };
    fallible_promise(env, read, |saved| LibraryReader(Some(saved)))
}

#[napi]
impl LibraryReader {
    fn saved(&mut self) -> Result<&mut Saved, Error<Code>> {
        self.0.as_mut().ok_or_else(|| invalid("the library was taken already"))
    }

    /// Length, channels, window (-1: none), metric, normalize and the number of patterns, as they cross elsewhere.
    #[napi(catch_unwind)]
    pub fn shape(&mut self) -> Result<Vec<f64>, Error<Code>> {
        let saved = self.saved()?;
        Ok(vec![
            saved.length as f64,
            saved.channels as f64,
            saved.window.map_or(-1.0, |window| window as f64),
            f64::from(saved.metric as u8),
            f64::from(saved.normalize as u8),
            saved.ids.len() as f64,
        ])
    }

    /// The texts of the next patterns, at most `count`; every one is given once.
    #[napi(catch_unwind)]
    pub fn texts(&mut self, start: u32, count: u32) -> Result<PatternTexts, Error<Code>> {
        let saved = self.saved()?;
        let start = (start as usize).min(saved.ids.len());
        let end = (start + count as usize).min(saved.ids.len());
        let ids = saved.ids[start..end].iter_mut().map(std::mem::take).collect();
        Ok(PatternTexts { ids, meta: saved.meta[start..end].iter_mut().map(Option::take).collect() })
    }

    /// Makes the library; `ends_at` has an end (NaN: not known) for each pattern. Once.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeLibrary>")]
    pub fn library<'env>(
        &mut self,
        env: &'env Env,
        ends_at: &[f64],
    ) -> Result<PromiseRaw<'env, NativeLibrary>, Error<Code>> {
        let patterns = self.saved()?.ids.len();
        if ends_at.len() != patterns {
            return Err(invalid(format!("{} ends for {patterns} patterns", ends_at.len())));
        }
        let Some(saved) = self.0.take() else { return Err(invalid("the library was taken already")) };
        let ends_at = ends_at.to_vec();
        let make = move || {
            let Saved { length: steps, channels, window, metric, normalize, values, .. } = saved;
            let mut library = Library::new(Shape { steps, channels, window, metric, normalize });
            let row = library.shape().row();
            let rows: Vec<Row<'_>> = (values.chunks_exact(row).zip(&ends_at))
                .map(|(values, &ends_at)| Row { values, ends_at })
                .collect();
            library.add(Names::Block("values"), &rows)?;
            Ok::<_, LibraryError>(library)
        };
        fallible_promise(env, move || make().map_err(library), NativeLibrary::from)
    }
}

fn code(error: FileError) -> Error<Code> {
    let code = match error {
        FileError::Io { .. } | FileError::NotAFile { .. } => Code::Store,
        FileError::Missing { .. } => Code::NotFound,
        FileError::Corrupt { .. } => Code::Corrupt,
        FileError::Schema { .. } | FileError::Features { .. } => Code::Schema,
        FileError::Invalid { .. } => Code::InvalidArgument,
        FileError::OutOfMemory { .. } => Code::TooLarge,
        FileError::Sealed => Code::Decrypt,
        FileError::Keyring(error) => return keyring::code(error),
    };
    Error::new(code, error.to_string())
}
