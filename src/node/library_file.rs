//! Pattern libraries in files. Ids and meta are JavaScript's: they come and go in slices, so that a hundred thousand
//! of them do not hold up the event loop, and what takes long happens on the thread pool.

use super::errors::{Code, invalid};
use super::keyring::{self, NativeKeyring};
use super::library::NativeLibrary;
use super::task::fallible_promise;
use crate::calls::arguments::copy;
use crate::calls::library;
use crate::search::library::Snapshot;
use crate::search::library::file::{self, FileError, Saved};
use napi::bindgen_prelude::{PromiseRaw, Uint8Array};
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
            let saved = library::saved(&snapshot, ids, meta)?;
            drop(snapshot);
            match keyring {
                Some(keyring) => file::write_sealed(&PathBuf::from(path), &saved, &keyring, &context),
                None => file::write(&PathBuf::from(path), &saved),
            }
        };
        fallible_promise(env, move || write().map_err(code), |()| ())
    }

    /// The bytes of the file, without a file. Once.
    #[napi(catch_unwind, ts_return_type = "Promise<Uint8Array>")]
    pub fn bytes<'env>(&mut self, env: &'env Env) -> Result<PromiseRaw<'env, Uint8Array>, Error<Code>> {
        let snapshot = self.snapshot.take().ok_or_else(|| invalid("the library was written already"))?;
        let (ids, meta) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.meta));
        fallible_promise(env, move || Ok(library::to_bytes(&snapshot, ids, meta)?), Uint8Array::from)
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

/// The same for the bytes of a file that is not sealed.
#[napi(catch_unwind, ts_return_type = "Promise<LibraryReader>")]
pub fn decode_library<'env>(
    env: &'env Env,
    bytes: &[u8],
) -> Result<PromiseRaw<'env, LibraryReader>, Error<Code>> {
    let bytes = copy("bytes", bytes)?;
    fallible_promise(env, move || Ok(library::from_bytes(&bytes)?), |saved| LibraryReader(Some(saved)))
}

#[napi]
impl LibraryReader {
    fn saved(&mut self) -> Result<&mut Saved, Error<Code>> {
        self.0.as_mut().ok_or_else(|| invalid("the library was taken already"))
    }

    /// Length, channels, window (-1: none), metric, normalize and the number of patterns, as they cross elsewhere.
    #[napi(catch_unwind)]
    pub fn shape(&mut self) -> Result<Vec<f64>, Error<Code>> {
        Ok(library::packed_shape(self.saved()?).to_vec())
    }

    /// The texts of the next patterns, at most `count`; every one is given once.
    #[napi(catch_unwind)]
    pub fn texts(&mut self, start: u32, count: u32) -> Result<PatternTexts, Error<Code>> {
        let (ids, meta) = library::take_texts(self.saved()?, start, count);
        Ok(PatternTexts { ids, meta })
    }

    /// Makes the library; `ends_at` has an end (NaN: not known) for each pattern. Once.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeLibrary>")]
    pub fn library<'env>(
        &mut self,
        env: &'env Env,
        ends_at: &[f64],
    ) -> Result<PromiseRaw<'env, NativeLibrary>, Error<Code>> {
        let Some(saved) = self.0.take() else { return Err(invalid("the library was taken already")) };
        let ends_at = ends_at.to_vec();
        fallible_promise(env, move || Ok(library::restored(saved, &ends_at)?), NativeLibrary::from)
    }
}

fn code(error: FileError) -> Error<Code> {
    match error {
        FileError::Keyring(error) => keyring::code(error),
        error => library::unreadable(&error).into(),
    }
}
