//! A store in one file, `tasks.redb`, by the embedded database redb (<https://github.com/cberner/redb>): a copy-on-write
//! B-tree whose commit is atomic and durable once its single flush has returned.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `meta` | name | `version`, `store` (16 bytes), `epoch`, `next_task`; integers little-endian |
//! | `records` | number of the task | everything but the payload (`rows`) |
//! | `payloads` | number of the task | the payload, while the task may still run |
//!
//! A lease therefore rewrites some hundred bytes, whatever the size of the payload. Many changes to one task in one
//! commit are written once.

mod storage;
mod tables;

pub use storage::{DataDirectory, Storage};

use super::memory::new_store_id;
use super::{StoreError, TaskStore};
use crate::protocol::tasks::{Change, Recovered};
use ::redb::{Builder, Database, Durability, Error, StorageBackend, StorageError, WriteTransaction};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
pub(super) use tables::{Failure, Work};

/// Bytes that redb may keep of the file. The tasks themselves are in the coordinator's memory already.
const CACHE_BYTES: usize = 64 << 20;

/// A file is made smaller when it is opened, has at least so many bytes, and three quarters of them are free.
const COMPACT_ABOVE_BYTES: u64 = 8 << 20;

/// Tasks in a file that survives the process.
pub struct RedbStore<S: Storage = DataDirectory> {
    /// For messages.
    path: String,
    storage: S,
    database: Option<Database>,
    /// Which store this is and in which epoch, once it was opened.
    opened: Option<([u8; 16], u64)>,
    next_task: u64,
}

impl RedbStore {
    /// The store of a data directory, which is made when there is none. Nothing is opened yet.
    pub fn new(directory: &Path) -> Self {
        Self::on(DataDirectory::new(directory))
    }
}

impl<S: Storage> RedbStore<S> {
    /// The store on any storage.
    pub fn on(storage: S) -> Self {
        Self { path: storage.name(), storage, database: None, opened: None, next_task: 0 }
    }

    fn open_database(&mut self) -> Result<(), StoreError> {
        self.close();
        self.database = Some(open_database(&self.path, &mut self.storage)?);
        Ok(())
    }

    fn close(&mut self) {
        close(&mut self.database);
    }

    /// Runs `work` in one durable transaction. When that fails in any way the database is closed, so that the next use
    /// begins with what is in the file.
    fn transaction<T>(&mut self, work: impl FnOnce(&WriteTransaction) -> Work<T>) -> Result<T, StoreError> {
        durably(&self.path, &mut self.database, work)
    }

    /// After a failure: the same file again, which has to be what it was.
    fn reopen(&mut self) -> Result<(), StoreError> {
        let Some((store, epoch)) = self.opened else {
            return Err(StoreError::Io {
                path: self.path.clone(),
                message: "it was never opened".to_owned(),
            });
        };
        self.open_database()?;
        let (found, next_task) = self.transaction(tables::identity)?;
        if found == (store, epoch) {
            // The commit that failed may have been kept.
            self.next_task = self.next_task.max(next_task);
            return Ok(());
        }
        // Another process has started on it, or somebody has put another file there.
        self.close();
        Err(StoreError::InUse { path: self.path.clone() })
    }

    /// Gives back what finished tasks took, when that is most of the file.
    fn compact(&mut self) -> Result<(), StoreError> {
        let stats = self.transaction(|transaction| Ok(transaction.stats()?))?;
        let used = stats.stored_bytes() + stats.metadata_bytes();
        let free = stats.fragmented_bytes();
        if used + free < COMPACT_ABOVE_BYTES || free / 3 < used {
            return Ok(());
        }
        let Some(database) = &mut self.database else { return Ok(()) };
        let done = guarded(&self.path, || {
            while database.compact()? {}
            Ok(())
        });
        if done.is_err() {
            self.close();
        }
        done
    }
}

impl<S: Storage> TaskStore for RedbStore<S> {
    fn open(&mut self) -> Result<Recovered, StoreError> {
        self.open_database()?;
        let fresh = new_store_id(&self.path)?;
        let recovered = self.transaction(|transaction| tables::start_epoch(transaction, fresh))?;
        self.opened = Some((recovered.store, recovered.epoch));
        self.next_task = recovered.next_task;
        self.compact()?;
        Ok(recovered)
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        if self.database.is_none() {
            self.reopen()?;
        }
        let before = self.next_task;
        self.next_task = self.transaction(|transaction| tables::write(transaction, changes, before))?;
        Ok(())
    }

    fn durable(&self) -> bool {
        true
    }
}

impl<S: Storage> Drop for RedbStore<S> {
    fn drop(&mut self) {
        self.close();
    }
}

/// Opens the database, and makes an empty one first where there is none. A process that is killed while redb lays one
/// out leaves something that redb does not know again, so that happens beside the place where it is looked for.
pub(super) fn open_database<S: Storage>(path: &str, storage: &mut S) -> Result<Database, StoreError> {
    let failed = |error: io::Error| io_error(path, &error);
    if !storage.lock().map_err(failed)? {
        return Err(StoreError::InUse { path: path.to_owned() });
    }
    if storage.find().map_err(failed)?.is_none() {
        let beside = storage.create().map_err(failed)?;
        guarded(path, || Ok(builder().create_with_backend(beside)?.close()?))?;
        storage.publish().map_err(failed)?;
    }
    let found = storage.find().map_err(failed)?;
    let found = found.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    guarded(path, || {
        // redb would take an empty file for a new one, but this one was not empty when it was published.
        if found.len().map_err(StorageError::Io)? == 0 {
            return Err(Failure::Damaged("it is empty".to_owned()));
        }
        Ok(builder().create_with_backend(found)?)
    })
}

/// redb closes a database when it is dropped, which writes; on storage that fails it could do anything.
pub(super) fn close(database: &mut Option<Database>) {
    if let Some(database) = database.take() {
        // What was committed is there, and what was not is repaired by the next opening.
        drop(catch_unwind(AssertUnwindSafe(|| drop(database))));
    }
}

/// Runs `work` in one durable transaction. When that fails in any way the database is closed, so that the next use begins
/// with what is in the file.
pub(super) fn durably<T>(
    path: &str,
    database: &mut Option<Database>,
    work: impl FnOnce(&WriteTransaction) -> Work<T>,
) -> Result<T, StoreError> {
    let Some(open) = database else {
        return Err(StoreError::Io { path: path.to_owned(), message: "it is not open".to_owned() });
    };
    let done = guarded(path, || {
        let mut transaction = open.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        match work(&transaction) {
            Ok(value) => {
                transaction.commit()?;
                Ok(value)
            }
            Err(error) => {
                transaction.abort()?;
                Err(error)
            }
        }
    });
    if done.is_err() {
        close(database);
    }
    done
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    // Else redb trusts a file that was closed in order, and may panic when something has changed it since.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

/// Runs `work` on the database, and says what went wrong with it. redb panics where it trusts a file that something else
/// has damaged; that is an error as well, not the end of the process.
pub(super) fn guarded<T>(path: &str, work: impl FnOnce() -> Work<T>) -> Result<T, StoreError> {
    let path = || path.to_owned();
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(Failure::Damaged(message))) => Err(StoreError::Corrupt { path: path(), message }),
        Ok(Err(Failure::Version(found))) => {
            Err(StoreError::Schema { path: path(), found, supported: tables::VERSION })
        }
        Ok(Err(Failure::Database(error))) => Err(match error {
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => StoreError::InUse { path: path() },
            Error::Io(error) => io_error(&path(), &error),
            // It is all that redb remembers of a failure of the storage before.
            Error::PreviousIo => {
                StoreError::Io { path: path(), message: "the storage failed before".to_owned() }
            }
            Error::Backend(error) => StoreError::Io { path: path(), message: error.to_string() },
            Error::UpgradeRequired(version) => {
                StoreError::Schema { path: path(), found: version.into(), supported: tables::VERSION }
            }
            error => StoreError::Corrupt { path: path(), message: error.to_string() },
        }),
        Err(_) => {
            Err(StoreError::Corrupt { path: path(), message: "redb does not understand it".to_owned() })
        }
    }
}

pub(super) fn io_error(path: &str, error: &io::Error) -> StoreError {
    let path = path.to_owned();
    match error.kind() {
        // Cut off, or not of this kind at all.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
            StoreError::Corrupt { path, message: error.to_string() }
        }
        _ => StoreError::Io { path, message: error.to_string() },
    }
}
