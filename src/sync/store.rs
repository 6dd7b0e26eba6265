//! What a session needs of the side that it stands on: a replica of a node, or a relay's store of many.
//!
//! Everything happens within a transaction that the caller opens and commits: nothing that a session says about it may leave
//! before the commit.

use super::component::{Component, Slot, Stamp};
use super::database::DatabaseError;
use super::identity::{Gid, Incarnation, Origin};
use super::seal::Sealing;

/// A life of an origin, and the last version before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Which life.
    pub incarnation: Incarnation,
    /// The origin's head when it began: this life's versions are above.
    pub start: u64,
}

/// The latest lives of an origin that a side knows of, oldest first; [`LIVES`] at most.
pub type Lineage = Vec<Life>;

/// How many lives of an origin are remembered.
pub const LIVES: usize = 32;

/// How far a side is with one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginState {
    /// Whose versions.
    pub origin: Origin,
    /// All of them up to this one are here, or are superseded by what is here. Delivery is in order, so there are no gaps.
    pub head: u64,
    /// Tombstones of this origin up to this version may have been collected here.
    pub floor: u64,
    /// Its lives, as far as they are known.
    pub lineage: Lineage,
}

/// What an origin has published between two versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// Who.
    pub origin: Origin,
    /// Versions above this one.
    pub after: u64,
    /// Up to this one. Those that are not among the components were superseded.
    pub to: u64,
    /// With ascending versions, all of this origin.
    pub components: Vec<Component>,
}

/// How much to read at once.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// So many components, at least one.
    pub components: usize,
    /// Until their bodies reach so many bytes.
    pub bytes: usize,
}

/// What a state of a component is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Of which row.
    pub gid: Gid,
    /// Which part.
    pub slot: Slot,
    /// When and by whom it was written.
    pub stamp: Stamp,
}

/// What applying did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Components that are the current state now.
    pub rows: u64,
    /// Those that lost against a state that was here, or won over one that its writer had not seen.
    pub conflicts: u64,
    /// Those that wait for a parent, a key or a newer schema.
    pub parked: u64,
}

/// Why a side did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The user's database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A relay's store, with its message.
    #[error("the relay's store failed: {0}")]
    Relay(String),
    /// The peer sent a delta that begins after what is here.
    #[error("a delta of {origin} begins after version {after}, and {head} is here")]
    Gap {
        /// Whose delta.
        origin: Origin,
        /// What it begins after.
        after: u64,
        /// What is here.
        head: u64,
    },
    /// A record of this package's own tables is not what it wrote.
    #[error("the replication tables are damaged: {0}")]
    Corrupt(&'static str),
    /// A later version of this package has installed itself in the database.
    #[error("the replication tables have format {0}, which this version does not know")]
    NewerFormat(i64),
    /// The database is replicated under another name.
    #[error("the database is replicated as {0:?}")]
    OtherName(String),
    /// The database is sealed otherwise than it is opened now.
    #[error("the keyring does not fit the database: {0}")]
    OtherSeal(&'static str),
    /// There is no key to be had at the moment.
    #[error("nothing can be sealed or opened: {0}")]
    Seal(String),
    /// A table that was asked for cannot be replicated.
    #[error("table {table} cannot be replicated: {reason}")]
    UnsupportedTable {
        /// Which one.
        table: String,
        /// Why.
        reason: String,
    },
}

/// A side.
pub trait Store {
    /// The origin under which this side writes; `None` of a relay.
    fn own(&self) -> Option<Origin>;

    /// Whether it seals; `None` of a relay that nobody has told yet.
    fn sealing(&mut self) -> Result<Option<Sealing>, StoreError> {
        Ok(Some(Sealing::Plain))
    }

    /// A peer seals so. Says whether both can be of one database; whoever has named nothing yet follows.
    fn meets(&mut self, theirs: Sealing, _now_ms: u64) -> Result<bool, StoreError> {
        Ok(Sealing::Plain.fits(theirs))
    }

    /// How far it is with every origin that it knows, its own included.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as of all that follow.
    fn states(&mut self) -> Result<Vec<OriginState>, StoreError>;

    /// What this origin has published after this version, as far as the limit allows.
    fn read(&mut self, origin: Origin, after: u64, limit: Limit) -> Result<Delta, StoreError>;

    /// Merges a delta and moves the head, both in the open transaction. What is below the head already changes nothing.
    fn apply(&mut self, delta: &Delta, now_ms: u64) -> Result<Applied, StoreError>;

    /// Merges components outside of the order of versions: a repair. No head moves.
    fn mend(&mut self, components: &[Component], now_ms: u64) -> Result<Applied, StoreError>;

    /// What a peer knows of an origin's lives; kept when it says more than what is here.
    fn learn(&mut self, origin: Origin, lineage: &[Life]) -> Result<(), StoreError>;

    /// One sum (by exclusive or) of [`Component::digest`] for each value of [`Gid::bucket`].
    fn digest(&mut self) -> Result<Vec<[u8; 16]>, StoreError>;

    /// All states in one bucket.
    fn bucket(&mut self, bucket: u8) -> Result<Vec<Known>, StoreError>;

    /// These components, as far as they are here.
    fn pick(&mut self, components: &[(Gid, Slot)]) -> Result<Vec<Component>, StoreError>;

    /// Rows that a peer does not have although its floor says that it had them: they were deleted there and the tombstones
    /// collected. Deletes them here, without a tombstone, unless this side has written them itself meanwhile.
    fn forget(&mut self, rows: &[Gid], now_ms: u64) -> Result<Applied, StoreError>;

    /// A peer has this origin's versions up to this one, committed.
    fn acknowledged(
        &mut self,
        peer: &str,
        origin: Origin,
        version: u64,
        now_ms: u64,
    ) -> Result<(), StoreError>;

    /// Tombstones of this origin up to this version are not needed by any member: drops them and moves the floor.
    fn collect(&mut self, origin: Origin, floor: u64) -> Result<(), StoreError>;

    /// This side goes on from a copy: mints a new origin, and publishes under it again whatever it had published under the old
    /// one after `agreed`. Returns the new origin; a relay is never asked. `restored` is what [`super::lineage::of_own`] says, for
    /// the program to hear.
    fn fork(&mut self, agreed: u64, restored: bool, now_ms: u64) -> Result<Origin, StoreError>;
}
