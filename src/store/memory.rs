//! A store that keeps nothing: for development, and where a restart may begin anew.

use super::{StoreError, TaskStore};
use crate::protocol::tasks::{Change, Recovered};
use aws_lc_rs::rand;

/// Keeps nothing beyond the process; the coordinator's own memory is all there is.
#[derive(Debug, Default)]
pub struct MemoryStore {}

impl MemoryStore {
    /// A store of its own.
    pub fn new() -> Self {
        Self::default()
    }
}

impl TaskStore for MemoryStore {
    /// Always the first epoch of a new store: results that an agent holds for an earlier life mean nothing here.
    fn open(&mut self) -> Result<Recovered, StoreError> {
        let store = new_store_id("(memory)")?;
        Ok(Recovered { store, epoch: 1, next_task: 1, tasks: Vec::new() })
    }

    fn commit(&mut self, _: &[Change]) -> Result<(), StoreError> {
        Ok(())
    }

    fn durable(&self) -> bool {
        false
    }
}

/// 128 random bits: no two stores ever have the same.
pub(super) fn new_store_id(path: &str) -> Result<[u8; 16], StoreError> {
    let mut id = [0; 16];
    let failed =
        |_| StoreError::Io { path: path.to_owned(), message: "the system has no random bytes".to_owned() };
    rand::fill(&mut id).map_err(failed)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::TaskId;

    #[test]
    fn every_start_is_another_store() {
        let (mut a, mut b) = (MemoryStore::new(), MemoryStore::new());
        let (first, second) = (a.open().unwrap(), b.open().unwrap());
        assert_ne!(first.store, second.store);
        assert_eq!((first.epoch, first.next_task, first.tasks.len()), (1, 1, 0));
        a.commit(&[Change::Forget { task: TaskId(1) }]).unwrap();
        assert!(!a.durable());
    }
}
