//! Where a relay keeps what it has: a few tables of bytes in the order of their keys. Everything between two commits is one
//! transaction. Calls block.

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// By name: a database's number and sizes.
    Databases,
    /// By database and origin: head, floor, lives.
    Origins,
    /// By database, bucket, gid and slot: components.
    Components,
    /// By database, origin and version: the bucket, gid and slot of what was published so.
    Versions,
    /// By database: the sums of its buckets.
    Digests,
    /// By database and node: when it was heard of, and what it has.
    Members,
    /// By database: heads that all members are to have before tombstones go.
    Cuts,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Databases,
        Self::Origins,
        Self::Components,
        Self::Versions,
        Self::Digests,
        Self::Members,
        Self::Cuts,
    ];
}

/// Why a store refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayStoreError {
    /// No space, no permission, a disk that fails, another process.
    #[error("the store of the sync relay: {0}")]
    Failed(String),
    /// What is there is not what was written.
    #[error("the store of the sync relay is damaged: {0}")]
    Corrupt(String),
}

/// A place for what a relay has.
pub trait RelayStore: Send {
    /// The random number that this store was given when it was made.
    fn epoch(&self) -> [u8; 16];

    /// A value.
    ///
    /// # Errors
    ///
    /// [`RelayStoreError`], as all that follow.
    fn get(&mut self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, RelayStoreError>;

    /// Puts a value, over another one if there is one.
    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) -> Result<(), RelayStoreError>;

    /// Removes a value, if there is one.
    fn remove(&mut self, table: Table, key: &[u8]) -> Result<(), RelayStoreError>;

    /// Calls `each` with the keys from `from` to before `to`, and their values, until it says false.
    fn range(
        &mut self,
        table: Table,
        from: &[u8],
        to: &[u8],
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), RelayStoreError>;

    /// Makes all of it durable, at once or not at all.
    fn commit(&mut self) -> Result<(), RelayStoreError>;
}
