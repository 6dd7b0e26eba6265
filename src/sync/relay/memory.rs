//! A store in memory.

use super::store::{RelayStore, RelayStoreError, Table};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// Keeps everything in memory. Clones are the same store: what one has committed, another one that is made of it after a crash
/// finds again.
#[derive(Clone, Debug)]
pub struct MemoryRelayStore {
    epoch: [u8; 16],
    rows: Arc<Mutex<Rows>>,
    /// What was there before, newest last: what is not committed is undone when the store is dropped.
    undo: Undo,
}

#[derive(Debug, Default)]
struct Undo(Vec<(Table, Vec<u8>, Option<Vec<u8>>)>);

impl Clone for Undo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl MemoryRelayStore {
    /// An empty one.
    #[must_use]
    pub fn new(epoch: [u8; 16]) -> Self {
        Self { epoch, rows: Arc::default(), undo: Undo::default() }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RelayStore for MemoryRelayStore {
    fn epoch(&self) -> [u8; 16] {
        self.epoch
    }

    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RelayStoreError> {
        Ok(self.rows().get(&(table, key.to_vec())).cloned())
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RelayStoreError> {
        let before = self.rows().insert((table, key.to_vec()), value.to_vec());
        self.undo.0.push((table, key.to_vec(), before));
        Ok(())
    }

    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), RelayStoreError> {
        let before = self.rows().remove(&(table, key.to_vec()));
        self.undo.0.push((table, key.to_vec(), before));
        Ok(())
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
        for ((_, key), value) in self.rows().range((table, from.to_vec())..(table, to.to_vec())) {
            if !each(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<(), RelayStoreError> {
        self.undo.0.clear();
        Ok(())
    }
}

impl Drop for MemoryRelayStore {
    fn drop(&mut self) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((table, key, before)) = self.undo.0.pop() {
            match before {
                Some(value) => drop(rows.insert((table, key), value)),
                None => drop(rows.remove(&(table, key))),
            }
        }
    }
}
