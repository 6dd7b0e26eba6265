//! What the program is told of a merge, once it is committed.

use crate::sync::database::Value;
use crate::sync::identity::{Gid, Origin};

/// Something that happened in a transaction.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Rows of others are in the user's table now.
    Applied {
        /// Which table.
        table: String,
        /// How many of its rows were written or deleted.
        rows: u64,
    },
    /// A row was written here and elsewhere at the same time.
    Conflict {
        /// Which table.
        table: String,
        /// Whether what was written here stays.
        kept_local: bool,
    },
    /// A row cannot be shown here as it is, and waits.
    SchemaMismatch {
        /// Which table: its name, or its id in hexadecimal where no such table is replicated.
        table: String,
        /// Why.
        detail: String,
    },
    /// What came for a row is not what anybody sealed for its place: it was changed on the way or in a store, or moved. It was
    /// not taken in.
    Refused {
        /// Which table: its name, or its id in hexadecimal where no such table is replicated.
        table: String,
        /// Which row.
        gid: Gid,
    },
    /// An embedding has changed.
    Vectors {
        /// The table whose row it belongs to.
        table: String,
        /// The row's local key.
        rid: Value,
        /// Raw little-endian f32; `None`: removed.
        vector: Option<Vec<u8>>,
    },
    /// This database is a copy, and writes under another origin from now on.
    Forked {
        /// The origin until now.
        from: Origin,
        /// The new one.
        to: Origin,
        /// Whether a backup was restored, as far as that can be told from a clone.
        restored: bool,
    },
}
