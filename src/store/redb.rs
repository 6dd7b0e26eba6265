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

mod tables;

use super::memory::new_store_id;
use super::{StoreError, TaskStore};
use crate::protocol::tasks::{Change, Recovered};
use ::redb::backends::FileBackend;
use ::redb::{
    Builder, Database, DatabaseError, Durability, Error, StorageBackend, StorageError, WriteTransaction,
};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use tables::{Failure, Work};

/// Bytes that redb may keep of the file. The tasks themselves are in the coordinator's memory already.
const CACHE_BYTES: usize = 64 << 20;

/// A file is made smaller when it is opened, has at least so many bytes, and three quarters of them are free.
const COMPACT_ABOVE_BYTES: u64 = 8 << 20;

const FILE: &str = "tasks.redb";

type Opener = Box<dyn FnMut(&Builder) -> Result<Database, DatabaseError> + Send>;

/// Tasks in a file that survives the process.
pub struct RedbStore {
    /// For messages.
    path: String,
    /// Where the directory entries are that have to last.
    directory: Option<PathBuf>,
    opener: Opener,
    database: Option<Database>,
    /// Which store this is and in which epoch, once it was opened.
    opened: Option<([u8; 16], u64)>,
    next_task: u64,
}

impl RedbStore {
    /// The store of a data directory, which is made with the mode 0700 when there is none. Nothing is opened yet.
    pub fn new(directory: &Path) -> Self {
        let (directory, file) = (directory.to_owned(), directory.join(FILE));
        let path = file.display().to_string();
        let opener: Opener = Box::new({
            let directory = directory.clone();
            move |builder| {
                let file = open_file(&directory, &file).map_err(StorageError::Io)?;
                builder.create_with_backend(FileBackend::new(file)?)
            }
        });
        Self { path, directory: Some(directory), opener, database: None, opened: None, next_task: 0 }
    }

    /// The same over storage of another kind, as tests need it. `backend` is called for each (re)opening.
    pub fn with_backend<B: StorageBackend>(mut backend: impl FnMut() -> B + Send + 'static) -> Self {
        let opener: Opener = Box::new(move |builder| builder.create_with_backend(backend()));
        let path = "(storage)".to_owned();
        Self { path, directory: None, opener, database: None, opened: None, next_task: 0 }
    }

    /// Opens the file and, where it has nothing yet, prepares it; all but the start of an epoch.
    fn open_database(&mut self) -> Result<(), StoreError> {
        self.close();
        let opener = &mut self.opener;
        let database = guarded(&self.path, || {
            let mut builder = Builder::new();
            // Else redb trusts a file that was closed in order, and may panic when something has changed it since.
            builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
            Ok(opener(&builder)?)
        })?;
        self.database = Some(database);
        if let Some(directory) = &self.directory {
            let failed = |error: io::Error| io_error(&self.path, &error);
            flush_directory(directory).map_err(failed)?;
        }
        Ok(())
    }

    /// redb closes a database when it is dropped, which writes; on storage that fails it could do anything.
    fn close(&mut self) {
        if let Some(database) = self.database.take() {
            // What was committed is there, and what was not is repaired by the next opening.
            drop(catch_unwind(AssertUnwindSafe(|| drop(database))));
        }
    }

    /// Runs `work` in one durable transaction. When that fails in any way the database is closed, so that the next use
    /// begins with what is in the file.
    fn transaction<T>(&mut self, work: impl FnOnce(&WriteTransaction) -> Work<T>) -> Result<T, StoreError> {
        let Some(database) = &self.database else {
            return Err(StoreError::Io { path: self.path.clone(), message: "it is not open".to_owned() });
        };
        let done = guarded(&self.path, || {
            let mut transaction = database.begin_write()?;
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
            self.close();
        }
        done
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
        let found = self.transaction(tables::identity)?;
        if found == (store, epoch) {
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

impl TaskStore for RedbStore {
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

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.close();
    }
}

/// Runs `work` on the database, and says what went wrong with it. redb panics where it trusts a file that something else
/// has damaged; that is an error as well, not the end of the process.
fn guarded<T>(path: &str, work: impl FnOnce() -> Work<T>) -> Result<T, StoreError> {
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

fn io_error(path: &str, error: &io::Error) -> StoreError {
    let path = path.to_owned();
    match error.kind() {
        // Cut off, or not of this kind at all.
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => {
            StoreError::Corrupt { path, message: error.to_string() }
        }
        _ => StoreError::Io { path, message: error.to_string() },
    }
}

/// Both are for their owner alone: payloads may be anything. A directory that is there is left as it is.
fn open_file(directory: &Path, file: &Path) -> io::Result<File> {
    let (mut builder, mut options) = (fs::DirBuilder::new(), OpenOptions::new());
    builder.recursive(true);
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    builder.create(directory)?;
    options.open(file)
}

/// Makes the name of a new file last, and that of a new directory. redb flushes what is in the file, not that there is
/// one.
#[cfg(unix)]
fn flush_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()?;
    match directory.canonicalize()?.parent() {
        // Not ours: where it cannot be opened it was there before.
        Some(above) => match File::open(above) {
            Ok(above) => above.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(error),
        },
        None => Ok(()),
    }
}

/// Elsewhere the file system keeps the order by itself, and a directory cannot be opened for that.
#[cfg(not(unix))]
fn flush_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
