//! The log of a learner's events in one file, `experiences.redb`, by the same database as the tasks (`redb`).
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `meta` | name | `version`, little-endian |
//! | `events` | (node, number in the node's log) | the event ([`crate::learn::codec`]) |
//!
//! It only grows. Events of one node are there without gaps from 1 on: they are appended in order, also those of others.

use super::StoreError;
use super::redb::{DataDirectory, Failure, Storage, Work, close, durably, guarded, open_database};
use crate::learn::codec;
use crate::learn::{Event, ExperienceId};
use ::redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");
const EVENTS: TableDefinition<'static, (u128, u64), &'static [u8]> = TableDefinition::new("events");

/// Of these tables.
const VERSION: u64 = 1;

/// Events with their places.
type Log = Vec<(ExperienceId, Event)>;

/// A learner's events in a file that survives the process. Nobody else has it open meanwhile.
pub struct ExperienceFile<S: Storage = DataDirectory> {
    /// For messages.
    path: String,
    storage: S,
    /// None after a failure.
    database: Option<Database>,
}

impl<S: Storage> ExperienceFile<S> {
    /// The file in its place, which is made when there is none, and all that is in it. Blocks.
    pub fn on(mut storage: S) -> Result<(Self, Vec<(ExperienceId, Event)>), StoreError> {
        let path = storage.name();
        let database = open_database(&path, &mut storage)?;
        let mut file = Self { path, storage, database: Some(database) };
        file.transaction(prepare)?;
        let log = file.read()?;
        Ok((file, log))
    }

    /// Whether the last commit has failed, so that it is not known what is in the file.
    pub fn has_failed(&self) -> bool {
        self.database.is_none()
    }

    /// Opens it again after a failure; all that is in it.
    pub fn reopen(&mut self) -> Result<Vec<(ExperienceId, Event)>, StoreError> {
        self.close();
        self.database = Some(open_database(&self.path, &mut self.storage)?);
        self.transaction(prepare)?;
        self.read()
    }

    /// Appends events, all or none, durable when it returns. After an error it is not known whether they are there until
    /// it is [opened again](Self::reopen).
    pub fn append(&mut self, events: &[(ExperienceId, Event)]) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let mut table = transaction.open_table(EVENTS)?;
            for (place, event) in events {
                table.insert((place.node, place.seq), codec::encode(event).as_slice())?;
            }
            Ok(())
        })
    }

    fn read(&mut self) -> Result<Log, StoreError> {
        let database = self.database.as_ref();
        let read = || {
            let database = database.ok_or_else(|| Failure::Damaged("it is not open".to_owned()))?;
            let table = database.begin_read()?.open_table(EVENTS)?;
            let mut log = Log::new();
            let mut last = ExperienceId { node: 0, seq: 0 };
            for row in table.iter()? {
                let (key, bytes) = row?;
                let (node, seq) = key.value();
                let place = ExperienceId { node, seq };
                let expected = if node == last.node { last.seq.wrapping_add(1) } else { 1 };
                if seq != expected {
                    return Err(Failure::Damaged(format!("event {expected} of node {node:032x} is missing")));
                }
                let event = codec::decode(place, bytes.value());
                log.push((
                    place,
                    event.map_err(|error| Failure::Damaged(format!("event {place}: {error}")))?,
                ));
                last = place;
            }
            Ok(log)
        };
        let read = guarded(&self.path, read);
        if read.is_err() {
            self.close();
        }
        read
    }

    fn transaction<T>(&mut self, work: impl FnOnce(&WriteTransaction) -> Work<T>) -> Result<T, StoreError> {
        durably(&self.path, &mut self.database, work)
    }

    fn close(&mut self) {
        close(&mut self.database);
    }
}

impl<S: Storage> Drop for ExperienceFile<S> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Tables and version.
fn prepare(transaction: &WriteTransaction) -> Work<()> {
    transaction.open_table(EVENTS)?;
    let mut meta = transaction.open_table(META)?;
    if meta.is_empty()? {
        meta.insert("version", VERSION)?;
    }
    let version = meta.get("version")?.map(|row| row.value());
    match version {
        Some(VERSION) => Ok(()),
        Some(other) => Err(Failure::Version(other)),
        None => Err(Failure::Damaged("it has no version".to_owned())),
    }
}
