//! The relay of AgentDB sync in one file, `sync.redb`, beside the tasks and by the same database (`redb`), but apart from
//! them: what fills or damages one leaves the other alone.
//!
//! One table of redb for each [`Table`], and `meta`: `version` and `epoch`. A transaction is open from the first call after a
//! commit to the next commit, which returns when it is durable.

use super::StoreError;
use super::memory::new_store_id;
use super::redb::{DataDirectory, Storage, guarded, open_database};
use crate::sync::relay::{RelayStore, RelayStoreError, Table};
use ::redb::{Database, Durability, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");

/// Of these tables and what is in them.
const VERSION: u64 = 1;

const fn definition(table: Table) -> Rows {
    TableDefinition::new(match table {
        Table::Databases => "databases",
        Table::Origins => "origins",
        Table::Components => "components",
        Table::Versions => "versions",
        Table::Digests => "digests",
        Table::Members => "members",
        Table::Cuts => "cuts",
    })
}

/// A relay's store that survives the process.
pub struct RedbRelayStore<S: Storage = DataDirectory> {
    path: String,
    /// Before the database, which must not outlive it; and it holds the lock.
    transaction: Option<WriteTransaction>,
    database: Option<Database>,
    epoch: [u8; 16],
    _storage: S,
}

impl RedbRelayStore {
    /// The store of a data directory, made when there is none.
    ///
    /// # Errors
    ///
    /// [`RelayStoreError`]: no permission, another process, damage.
    pub fn open(directory: &Path) -> Result<Self, RelayStoreError> {
        Self::on(DataDirectory::named(directory, "sync"))
    }
}

impl<S: Storage> RedbRelayStore<S> {
    /// The store on any storage.
    ///
    /// # Errors
    ///
    /// As [`RedbRelayStore::open`].
    pub fn on(mut storage: S) -> Result<Self, RelayStoreError> {
        let path = storage.name();
        let database = open_database(&path, &mut storage).map_err(refused)?;
        let fresh = new_store_id(&path).map_err(refused)?;
        let mut store =
            Self { path, transaction: None, database: Some(database), epoch: fresh, _storage: storage };
        store.epoch = store.begin(fresh)?;
        store.commit()?;
        Ok(store)
    }

    /// Checks the version, and gives a new store its epoch.
    fn begin(&mut self, fresh: [u8; 16]) -> Result<[u8; 16], RelayStoreError> {
        let (version, epoch) = self.work(|transaction| {
            let mut meta = transaction.open_table(META)?;
            if meta.is_empty()? {
                meta.insert("version", VERSION.to_le_bytes().as_slice())?;
                meta.insert("epoch", fresh.as_slice())?;
                for table in Table::ALL {
                    transaction.open_table(definition(table))?;
                }
            }
            let read = |name| Ok::<_, ::redb::Error>(meta.get(name)?.map(|value| value.value().to_vec()));
            Ok((read("version")?, read("epoch")?))
        })?;
        let damaged = |what: &str| RelayStoreError::Corrupt(format!("{}: {what}", self.path));
        match version.and_then(|version| version.try_into().ok()).map(u64::from_le_bytes) {
            Some(VERSION) => {}
            Some(other) => {
                let what = format!("{} has format version {other}, this version reads {VERSION}", self.path);
                return Err(RelayStoreError::Failed(what));
            }
            None => return Err(damaged("it has no version")),
        }
        epoch.and_then(|epoch| epoch.try_into().ok()).ok_or_else(|| damaged("it has no epoch"))
    }

    /// Something in the open transaction. After an error there is none, and what was done in it is undone.
    fn work<T>(
        &mut self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, ::redb::Error>,
    ) -> Result<T, RelayStoreError> {
        let Some(database) = &self.database else {
            return Err(RelayStoreError::Failed(format!("{} has failed before", self.path)));
        };
        let open = &mut self.transaction;
        let done = guarded(&self.path, || {
            let transaction = match open.take() {
                Some(transaction) => transaction,
                None => {
                    let mut transaction = database.begin_write()?;
                    transaction.set_durability(Durability::Immediate)?;
                    transaction
                }
            };
            let value = work(&transaction)?;
            *open = Some(transaction);
            Ok(value)
        });
        self.settle(done)
    }

    /// After a failure nothing is trusted any more: the relay is opened anew.
    fn settle<T>(&mut self, done: Result<T, StoreError>) -> Result<T, RelayStoreError> {
        if done.is_err() {
            self.close();
        }
        done.map_err(refused)
    }

    /// redb writes when it is dropped; on storage that fails it could do anything.
    fn close(&mut self) {
        let (transaction, database) = (self.transaction.take(), self.database.take());
        drop(catch_unwind(AssertUnwindSafe(|| drop(transaction))));
        drop(catch_unwind(AssertUnwindSafe(|| drop(database))));
    }
}

/// The words of the task store are about tasks.
fn refused(error: StoreError) -> RelayStoreError {
    match error {
        StoreError::Io { path, message } => RelayStoreError::Failed(format!("{path}: {message}")),
        StoreError::InUse { path } => RelayStoreError::Failed(format!("{path} is in use by another process")),
        StoreError::Corrupt { path, message } => RelayStoreError::Corrupt(format!("{path}: {message}")),
        StoreError::Schema { path, found, supported } => RelayStoreError::Failed(format!(
            "{path} has format version {found}, this version reads {supported}"
        )),
    }
}

impl<S: Storage> RelayStore for RedbRelayStore<S> {
    fn epoch(&self) -> [u8; 16] {
        self.epoch
    }

    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RelayStoreError> {
        self.work(|transaction| {
            let table = transaction.open_table(definition(table))?;
            let value = table.get(key)?.map(|value| value.value().to_vec());
            Ok(value)
        })
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RelayStoreError> {
        self.work(|transaction| {
            transaction.open_table(definition(table))?.insert(key, value)?;
            Ok(())
        })
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), RelayStoreError> {
        self.work(|transaction| {
            transaction.open_table(definition(table))?.remove(key)?;
            Ok(())
        })
    }

    fn range(
        &mut self,
        table: Table,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), RelayStoreError> {
        if from >= to {
            return Ok(());
        }
        self.work(|transaction| {
            let table = transaction.open_table(definition(table))?;
            for row in table.range(from..to)? {
                let (key, value) = row?;
                if !each(key.value(), value.value()) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn commit(&mut self) -> Result<(), RelayStoreError> {
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        let done = guarded(&self.path, || Ok(transaction.commit()?));
        self.settle(done)
    }
}

impl<S: Storage> Drop for RedbRelayStore<S> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("midstreamer-relay-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn what_was_committed_is_there_again_and_what_was_not_is_not() {
        let scratch = Scratch::new("again");
        let mut store = RedbRelayStore::open(&scratch.0).unwrap();
        let epoch = store.epoch();
        store.put(Table::Components, b"a", b"1").unwrap();
        store.put(Table::Components, b"b", b"2").unwrap();
        store.put(Table::Versions, b"a", b"3").unwrap();
        store.commit().unwrap();
        store.remove(Table::Components, b"a").unwrap();
        store.put(Table::Components, b"c", b"4").unwrap();
        assert_eq!(store.get(Table::Components, b"a").unwrap(), None);
        drop(store);
        let mut store = RedbRelayStore::open(&scratch.0).unwrap();
        assert_eq!(store.epoch(), epoch);
        let mut rows = Vec::new();
        store
            .range(Table::Components, b"a", b"z", &mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
                true
            })
            .unwrap();
        assert_eq!(rows, [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())]);
    }

    #[test]
    fn a_file_that_was_changed_is_an_error_and_no_panic() {
        let scratch = Scratch::new("damaged");
        drop(RedbRelayStore::open(&scratch.0).unwrap());
        let file = scratch.0.join("sync.redb");
        fs::write(&file, b"").unwrap();
        assert!(matches!(RedbRelayStore::open(&scratch.0), Err(RelayStoreError::Corrupt(_))));
        fs::write(&file, vec![7; 100_000]).unwrap();
        assert!(RedbRelayStore::open(&scratch.0).is_err());
    }

    #[test]
    fn two_processes_do_not_share_it() {
        let scratch = Scratch::new("shared");
        let store = RedbRelayStore::open(&scratch.0).unwrap();
        assert!(matches!(RedbRelayStore::open(&scratch.0), Err(RelayStoreError::Failed(_))));
        drop(store);
        RedbRelayStore::open(&scratch.0).unwrap();
    }
}
