//! Shards of a distributed pattern library. A coordinator puts one here part by part, searches it many times and drops
//! it in the end. Whatever is here may be gone the next moment, after a restart or for lack of room: a search that does
//! not find its shard in full fails with NOT_FOUND, and the coordinator puts it again.

use super::library::{Request, SHAPE, query, shape};
use super::series::{as_array, floats};
use super::{KindFailure, Task};
use crate::protocol::value::Item;
use crate::search::library::{Found, Library, Names, Row, Shape, Snapshot};
use crate::series::Series;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// A value as it was added, normalised, and in the columns of a search, with what belongs to a pattern: about.
const BYTES_PER_VALUE: usize = 3 * size_of::<f64>();

/// All shards of an agent.
#[derive(Debug, Default)]
pub(super) struct Shards(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    shards: HashMap<String, Shard>,
    /// Of all shards together, those still to come of unfinished ones included.
    bytes: usize,
    /// Counts what is done with shards: the one with the smallest `used` was not needed for longest.
    turn: u64,
}

#[derive(Debug)]
struct Shard {
    shape: Shape,
    /// Patterns when it is complete.
    size: usize,
    bytes: usize,
    used: u64,
    library: Arc<Mutex<Library>>,
}

/// Behind what a panic leaves is still a library: it adds all or nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Shards {
    pub(super) fn clear(&self) {
        *lock(&self.0) = Held::default();
    }

    /// The library of a shard of this shape and size; made when this is its first part.
    fn enter(
        &self,
        id: &str,
        shape: Shape,
        size: usize,
        first: bool,
        limit: usize,
    ) -> Result<Arc<Mutex<Library>>, KindFailure> {
        let mut held = lock(&self.0);
        if let Some(shard) = held.touch(id) {
            let same = (shard.size, shard.shape) == (size, shape);
            let other = || KindFailure::invalid(format!("payload.shard {id:?} is another one here"));
            return if same { Ok(shard.library.clone()) } else { Err(other()) };
        }
        if !first {
            return Err(missing(id));
        }
        let bytes = size.saturating_mul(shape.row()).saturating_mul(BYTES_PER_VALUE);
        held.make_room(bytes, limit)?;
        let library = Arc::new(Mutex::new(Library::new(shape)));
        let used = held.turn;
        held.bytes += bytes;
        held.shards.insert(id.to_owned(), Shard { shape, size, bytes, used, library: library.clone() });
        Ok(library)
    }

    /// A complete shard as it is now: a search holds up neither another one nor the end of the shard.
    fn complete(&self, id: &str, size: usize) -> Result<Snapshot, KindFailure> {
        let library = lock(&self.0).touch(id).map(|shard| shard.library.clone());
        let snapshot = library.map(|library| lock(&library).snapshot());
        snapshot.filter(|snapshot| snapshot.size() == size).ok_or_else(|| missing(id))
    }

    fn remove(&self, id: &str) -> bool {
        lock(&self.0).remove(id)
    }
}

impl Held {
    fn touch(&mut self, id: &str) -> Option<&mut Shard> {
        self.turn += 1;
        let shard = self.shards.get_mut(id)?;
        shard.used = self.turn;
        Some(shard)
    }

    fn remove(&mut self, id: &str) -> bool {
        let removed = self.shards.remove(id);
        self.bytes -= removed.as_ref().map_or(0, |shard| shard.bytes);
        removed.is_some()
    }

    /// Drops what was not needed for longest until so many bytes fit: a coordinator that has crashed drops nothing.
    fn make_room(&mut self, bytes: usize, limit: usize) -> Result<(), KindFailure> {
        if bytes > limit {
            return Err(KindFailure::too_large(format!(
                "a shard of {bytes} bytes: an agent holds at most {limit}"
            )));
        }
        while self.bytes > limit - bytes {
            let oldest = self.shards.iter().min_by_key(|(_, shard)| shard.used).map(|(id, _)| id.clone());
            self.remove(&oldest.expect("without a shard no bytes are held"));
        }
        Ok(())
    }
}

fn missing(id: &str) -> KindFailure {
    KindFailure::not_found(format!("shard {id:?} is not here"))
}

/// `{ shard, size, at, values, endsAt, options }`: patterns `at..` of a shard of `size`, in order. To the number of
/// patterns that are here. A part that is here already is left alone.
pub(super) fn put(task: &Task<'_>, shards: &Shards) -> Result<Bytes, KindFailure> {
    let fields = task.fields(&["shard", "size", "at", "values", "endsAt", "options"])?;
    let shape = shape(&task.options("payload.options", "options", SHAPE)?)?;
    let (id, size, at) = (fields.text("shard")?, fields.count("size")?, fields.natural("at")?);
    let array = |name: &str| {
        let wrong = || KindFailure::invalid(format!("{} must be a Float64Array", fields.path(name)));
        fields.get(name).and_then(as_array).and_then(floats).ok_or_else(wrong)
    };
    let (values, ends_at) = (array("values")?, array("endsAt")?);
    let end = at.saturating_add(ends_at.len());
    if ends_at.is_empty() || end > size || ends_at.len().checked_mul(shape.row()) != Some(values.len()) {
        return Err(KindFailure::length_mismatch(format!(
            "{} values of {} patterns at {at} of {size}",
            values.len(),
            ends_at.len()
        )));
    }
    let library = shards.enter(id, shape, size, at == 0, task.limits.held_bytes)?;
    let mut library = lock(&library);
    if library.size() < end {
        if library.size() != at {
            return Err(missing(id));
        }
        let rows = values.chunks_exact(shape.row()).zip(&ends_at);
        let rows: Vec<Row<'_>> = rows.map(|(values, &ends_at)| Row { values, ends_at }).collect();
        library.add(Names::Block("payload.values"), &rows)?;
    }
    task.reply(&Item::Number(library.size() as f64))
}

/// `{ shard, size, query, k?, maxDistance?, asOf? }` to `{ indices, distances }` in the order of a library's search.
pub(super) fn search(task: &Task<'_>, shards: &Shards) -> Result<Bytes, KindFailure> {
    let fields = task.fields(&[&["shard", "size", "query"], Request::KNOWN].concat())?;
    let (id, size, request) = (fields.text("shard")?, fields.count("size")?, Request::read(&fields)?);
    let snapshot = shards.complete(id, size)?;
    let values = query(&fields, snapshot.shape())?;
    let query = Series::new("payload.query", &values, snapshot.shape().channels)?;
    let Request { k, max_distance, as_of } = request;
    let (found, _) = snapshot.nearest(query, k.min(size), max_distance, as_of, &[], task.job)?;
    let (indices, distances): (Vec<f64>, Vec<f64>) =
        found.iter().map(|&Found { ordinal, distance }| (ordinal as f64, distance)).unzip();
    task.reply(&Item::Object(vec![
        ("indices".into(), indices.as_slice().into()),
        ("distances".into(), distances.as_slice().into()),
    ]))
}

/// `{ shard }` to whether it was here.
pub(super) fn drop_shard(task: &Task<'_>, shards: &Shards) -> Result<Bytes, KindFailure> {
    let id = task.fields(&["shard"])?.text("shard")?;
    task.reply(&Item::Bool(shards.remove(id)))
}
