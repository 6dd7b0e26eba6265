//! Pattern libraries.

use super::run;
use crate::calls::library::{self, PatternForm};
use crate::calls::refusal::{Refusal, invalid};
use crate::search::library::file::Saved;
use crate::search::library::{Library, Snapshot};
use js_sys::Array;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
pub struct NativeLibrary(Library);

#[wasm_bindgen]
impl NativeLibrary {
    #[wasm_bindgen(constructor)]
    pub fn new(
        steps: f64,
        channels: f64,
        window: f64,
        metric: u32,
        normalize: u32,
    ) -> Result<NativeLibrary, JsValue> {
        Ok(Self(library::make(steps, channels, window, metric, normalize)?))
    }

    /// `form` in the order of `PatternForm`.
    pub fn add(&mut self, form: u32, values: &[f64], ends_at: &[f64]) -> Result<f64, JsValue> {
        let form = match form {
            0 => PatternForm::One,
            1 => PatternForm::List,
            2 => PatternForm::Block,
            other => return Err(invalid(format!("form {other} is unknown")).into()),
        };
        Ok(library::add(&mut self.0, form, values, ends_at)?)
    }

    pub fn remove(&mut self, ordinal: f64) -> Result<bool, JsValue> {
        Ok(library::remove(&mut self.0, ordinal)?)
    }

    pub fn values(&self, ordinal: f64, out: &mut [f64]) -> Result<bool, JsValue> {
        Ok(library::values(&self.0, ordinal, out)?)
    }

    #[wasm_bindgen(js_name = searchSync)]
    pub fn search_sync(
        &self,
        query: &[f64],
        k: f64,
        max_distance: f64,
        as_of: f64,
        hints: &[f64],
        out: &mut [f64],
    ) -> Result<f64, JsValue> {
        Ok(library::search_here(&self.0, query, k, max_distance, as_of, hints, out)?)
    }

    pub fn search(&self, query: &[f64], k: f64, max_distance: f64, as_of: f64) -> Result<Vec<f64>, JsValue> {
        run(library::search(&self.0, query, k, max_distance, as_of)?)
    }

    #[wasm_bindgen(js_name = searchWindowsSync)]
    pub fn search_windows_sync(
        &self,
        values: &[f64],
        k: f64,
        max_distance: f64,
        as_of: &[f64],
        hints: &[f64],
        out: &mut [f64],
    ) -> Result<f64, JsValue> {
        Ok(library::search_windows_here(&self.0, values, k, max_distance, as_of, hints, out)?)
    }

    pub fn writer(&self) -> LibraryWriter {
        LibraryWriter { snapshot: Some(self.0.snapshot()), ids: Vec::new(), meta: Vec::new() }
    }
}

/// A library as it was when the writer was made, waiting for its ids and meta.
#[wasm_bindgen]
pub struct LibraryWriter {
    snapshot: Option<Snapshot>,
    ids: Vec<String>,
    meta: Vec<Option<String>>,
}

#[wasm_bindgen]
impl LibraryWriter {
    /// The ids and the meta, as JSON text or null, of the next patterns in the order of adding.
    pub fn append(&mut self, ids: Vec<String>, meta: Vec<JsValue>) {
        self.ids.extend(ids);
        self.meta.extend(meta.iter().map(JsValue::as_string));
    }

    /// The bytes of the file. Once.
    pub fn bytes(&mut self) -> Result<Vec<u8>, JsValue> {
        let snapshot = self.snapshot.take().ok_or_else(|| invalid("the library was written already"))?;
        let (ids, meta) = (std::mem::take(&mut self.ids), std::mem::take(&mut self.meta));
        Ok(library::to_bytes(&snapshot, ids, meta)?)
    }
}

/// What bytes hold, waiting for what JavaScript reads in the meta.
#[wasm_bindgen]
pub struct LibraryReader(Option<Saved>);

#[wasm_bindgen(js_name = decodeLibrary)]
pub fn decode_library(bytes: &[u8]) -> Result<LibraryReader, JsValue> {
    Ok(LibraryReader(Some(library::from_bytes(bytes)?)))
}

#[wasm_bindgen]
impl LibraryReader {
    fn saved(&mut self) -> Result<&mut Saved, Refusal> {
        self.0.as_mut().ok_or_else(|| invalid("the library was taken already"))
    }

    pub fn shape(&mut self) -> Result<Vec<f64>, JsValue> {
        Ok(library::packed_shape(self.saved()?).to_vec())
    }

    /// `[ids, meta]` of the next patterns, at most `count`; every one is given once.
    pub fn texts(&mut self, start: u32, count: u32) -> Result<Array, JsValue> {
        let (ids, meta) = library::take_texts(self.saved()?, start, count);
        let ids: Array = ids.into_iter().map(JsValue::from).collect();
        let meta: Array = meta.into_iter().map(|text| text.map_or(JsValue::NULL, JsValue::from)).collect();
        Ok(Array::of2(&ids, &meta))
    }

    /// Makes the library; `ends_at` has an end (NaN: not known) for each pattern. Once.
    pub fn library(&mut self, ends_at: &[f64]) -> Result<NativeLibrary, JsValue> {
        let Some(saved) = self.0.take() else { return Err(invalid("the library was taken already").into()) };
        Ok(NativeLibrary(library::restored(saved, ends_at)?))
    }
}
