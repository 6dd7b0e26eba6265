//! What is in the file: reading all of it at a start, and writing the changes of a commit.

use crate::protocol::TaskId;
use crate::protocol::tasks::{Change, Recovered, TaskRecord};
use crate::store::record::{apply, drops_payload};
use crate::store::rows::{self, Decoded};
use ::redb::{Error, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::mem;

type Meta = TableDefinition<'static, &'static str, &'static [u8]>;
type Rows = TableDefinition<'static, u64, &'static [u8]>;

const META: Meta = TableDefinition::new("meta");
const RECORDS: Rows = TableDefinition::new("records");
const PAYLOADS: Rows = TableDefinition::new("payloads");

/// Of these tables and what is in them.
pub(super) const VERSION: u64 = 1;

/// Why a piece of work on the database failed.
pub(in crate::store) enum Failure {
    Database(Error),
    Damaged(String),
    Version(u64),
}

/// The outcome of a piece of work on the database.
pub(in crate::store) type Work<T> = Result<T, Failure>;

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

fn damaged(what: impl Into<String>) -> Failure {
    Failure::Damaged(what.into())
}

fn bytes_of<const N: usize>(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Work<[u8; N]> {
    let row = meta.get(name)?.ok_or_else(|| damaged(format!("it has no {name}")))?;
    row.value().try_into().map_err(|_| damaged(format!("{name} has another length")))
}

fn number_of(meta: &impl ReadableTable<&'static str, &'static [u8]>, name: &str) -> Work<u64> {
    bytes_of(meta, name).map(u64::from_le_bytes)
}

/// Which store it is and its epoch, and the number that the next task will have.
pub(super) fn identity(transaction: &WriteTransaction) -> Work<(([u8; 16], u64), u64)> {
    let meta = transaction.open_table(META)?;
    let identity = (bytes_of(&meta, "store")?, number_of(&meta, "epoch")?);
    Ok((identity, number_of(&meta, "next_task")?))
}

/// Reads everything and counts the start. `fresh` names the store, if there is none yet.
pub(super) fn start_epoch(transaction: &WriteTransaction, fresh: [u8; 16]) -> Work<Recovered> {
    let mut meta = transaction.open_table(META)?;
    if meta.is_empty()? {
        meta.insert("version", VERSION.to_le_bytes().as_slice())?;
        meta.insert("store", fresh.as_slice())?;
        meta.insert("epoch", 0_u64.to_le_bytes().as_slice())?;
        // 0 is nobody's number.
        meta.insert("next_task", 1_u64.to_le_bytes().as_slice())?;
    }
    let version = number_of(&meta, "version")?;
    if version != VERSION {
        return Err(Failure::Version(version));
    }
    let store = bytes_of(&meta, "store")?;
    let epoch = number_of(&meta, "epoch")?.checked_add(1).ok_or_else(|| damaged("the epochs are used up"))?;
    meta.insert("epoch", epoch.to_le_bytes().as_slice())?;
    let next_task = number_of(&meta, "next_task")?;
    Ok(Recovered { store, epoch, next_task, tasks: read_all(transaction, next_task)? })
}

fn read_all(transaction: &WriteTransaction, next_task: u64) -> Work<Vec<TaskRecord>> {
    let (records, payloads) = (transaction.open_table(RECORDS)?, transaction.open_table(PAYLOADS)?);
    let (mut tasks, mut with_payload) = (Vec::new(), 0);
    for row in records.iter()? {
        let (id, bytes) = row?;
        let id = TaskId(id.value());
        if id.0 >= next_task {
            return Err(damaged(format!("task {} has a number that was never given", id.0)));
        }
        let Decoded { mut record, payload_length } = rows::decode(id, bytes.value()).map_err(damaged)?;
        if payload_length > 0 {
            let payload = payloads.get(id.0)?.map(|row| Bytes::copy_from_slice(row.value()));
            let fits = |payload: &Bytes| payload.len() as u64 == payload_length;
            let missing = || damaged(format!("task {} has lost its payload", id.0));
            record.spec.payload = payload.filter(fits).ok_or_else(missing)?;
            with_payload += 1;
        }
        tasks.push(record);
    }
    if payloads.len()? != with_payload {
        return Err(damaged("there are payloads of no task"));
    }
    Ok(tasks)
}

/// What a commit makes of one task.
struct Touched {
    /// Without its payload.
    record: Option<TaskRecord>,
    payload: Payload,
}

/// The payload of a task, if it has one.
enum Payload {
    /// As it is in the file, in bytes.
    Kept(u64),
    /// To be written; empty: to be removed.
    Set(Bytes),
}

/// Writes the changes; `next_task` is the number that the next task will have. Returns what it is afterwards.
pub(super) fn write(transaction: &WriteTransaction, changes: &[Change], next_task: u64) -> Work<u64> {
    let mut records = transaction.open_table(RECORDS)?;
    let mut touched: BTreeMap<TaskId, Touched> = BTreeMap::new();
    let mut next = next_task;
    for change in changes {
        let id = change.task();
        let task = match touched.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(read(&records, id)?),
        };
        if !apply(&mut task.record, change) {
            return Err(damaged(format!("there is a change of task {}, but no such task", id.0)));
        }
        if let (Change::Accept(_), Some(record)) = (change, &mut task.record) {
            task.payload = Payload::Set(mem::take(&mut record.spec.payload));
            next = next.max(id.0.saturating_add(1));
        } else if drops_payload(change) {
            task.payload = Payload::Set(Bytes::new());
        }
    }
    let mut payloads = transaction.open_table(PAYLOADS)?;
    for (id, Touched { record, payload }) in touched {
        let length = match &payload {
            Payload::Kept(length) => *length,
            Payload::Set(payload) => payload.len() as u64,
        };
        match record {
            Some(record) => drop(records.insert(id.0, rows::encode(&record, length).as_slice())?),
            None => drop(records.remove(id.0)?),
        }
        match payload {
            Payload::Kept(_) => {}
            Payload::Set(payload) if payload.is_empty() => drop(payloads.remove(id.0)?),
            Payload::Set(payload) => drop(payloads.insert(id.0, &*payload)?),
        }
    }
    if next != next_task {
        let mut meta = transaction.open_table(META)?;
        meta.insert("next_task", next.to_le_bytes().as_slice())?;
    }
    Ok(next)
}

fn read(records: &impl ReadableTable<u64, &'static [u8]>, id: TaskId) -> Work<Touched> {
    let Some(row) = records.get(id.0)? else {
        return Ok(Touched { record: None, payload: Payload::Kept(0) });
    };
    let Decoded { record, payload_length } = rows::decode(id, row.value()).map_err(damaged)?;
    Ok(Touched { record: Some(record), payload: Payload::Kept(payload_length) })
}
