//! Where the coordinator keeps its tasks, and a learner its experiences.
//!
//! The ledger ([`crate::protocol::tasks`]) decides what happens and hands over [`Change`]s; a store keeps them. Nothing
//! that follows from a change leaves the process before [`TaskStore::commit`] has returned, so what a peer or a caller
//! has seen is never lost. Calls block; they are made on a thread of the store's own.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`MemoryStore`] | keeps nothing beyond the process |
//! | [`RedbStore`] | a file that survives the process, and the machine |
//! | [`RedbRelayStore`] | what the relay of AgentDB sync keeps, in a file of its own |
//! | [`ExperienceFile`] | the log of a learner's events, in a file |
//! | `record` | what becomes of a record by a change |
//! | `rows` | records as bytes |

mod experiences;
mod memory;
mod record;
mod redb;
mod rows;
mod sync;

pub use experiences::ExperienceFile;
pub use memory::MemoryStore;
pub use record::apply;
pub use redb::{DataDirectory, RedbStore, Storage};
pub use sync::RedbRelayStore;

use crate::protocol::tasks::{Change, Recovered};

/// A place for tasks.
pub trait TaskStore: Send {
    /// What was there, with the epoch of this start already durable. Called once, first.
    fn open(&mut self) -> Result<Recovered, StoreError>;

    /// Keeps the changes, all or none, in their order. Durable when it returns, where the store is durable at all.
    ///
    /// After an error it is not known whether they were kept. They may be passed again, followed by others or not:
    /// keeping a change twice is keeping it once.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Whether what is committed survives the process.
    fn durable(&self) -> bool;
}

/// Why a store refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system said no: no space, no permission, a disk that fails.
    #[error("the store at {path}: {message}")]
    Io {
        /// Which file.
        path: String,
        /// What the system said.
        message: String,
    },
    /// Another process has the store open.
    #[error("the store at {path} is in use by another process")]
    InUse {
        /// Which file.
        path: String,
    },
    /// What is in the file is not what was written.
    #[error("the store at {path} is damaged: {message}")]
    Corrupt {
        /// Which file.
        path: String,
        /// What does not fit.
        message: String,
    },
    /// The file was written by a later version, or for another one.
    #[error("the store at {path} has format version {found}, this version reads {supported}")]
    Schema {
        /// Which file.
        path: String,
        /// The version of the file.
        found: u64,
        /// The version that can be read.
        supported: u64,
    },
}

/// Reads bytes as a stored record and writes the record again: the parser without a database, for fuzzing.
#[doc(hidden)]
pub fn reread(bytes: &[u8]) -> Option<Vec<u8>> {
    let rows::Decoded { record, payload_length } = rows::decode(crate::protocol::TaskId(1), bytes).ok()?;
    Some(rows::encode(&record, payload_length))
}
