//! A replica together with the user's database, for the length of one transaction: what a session talks to.

use super::Replica;
use crate::sync::component::{Component, Slot};
use crate::sync::database::Database;
use crate::sync::identity::{Gid, Origin};
use crate::sync::seal::Sealing;
use crate::sync::store::{Applied, Delta, Known, Life, Limit, OriginState, Store, StoreError};

/// A replica and its database, in an open transaction that captured first.
pub struct Bound<'a> {
    /// The replica.
    pub replica: &'a mut Replica,
    /// The user's database.
    pub database: &'a mut dyn Database,
}

impl std::fmt::Debug for Bound<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Bound").field("replica", &self.replica).finish_non_exhaustive()
    }
}

impl Store for Bound<'_> {
    fn own(&self) -> Option<Origin> {
        Some(self.replica.own())
    }

    fn sealing(&mut self) -> Result<Option<Sealing>, StoreError> {
        self.replica.sealing(self.database).map(Some)
    }

    fn meets(&mut self, theirs: Sealing, now_ms: u64) -> Result<bool, StoreError> {
        self.replica.meets_sealing(self.database, theirs, now_ms)
    }

    fn states(&mut self) -> Result<Vec<OriginState>, StoreError> {
        Ok(self.replica.origin_states())
    }

    fn read(&mut self, origin: Origin, after: u64, limit: Limit) -> Result<Delta, StoreError> {
        self.replica.read_delta(self.database, origin, after, limit)
    }

    fn apply(&mut self, delta: &Delta, now_ms: u64) -> Result<Applied, StoreError> {
        self.replica.apply_delta(self.database, delta, now_ms)
    }

    fn mend(&mut self, components: &[Component], now_ms: u64) -> Result<Applied, StoreError> {
        self.replica.mend_all(self.database, components, now_ms)
    }

    fn learn(&mut self, origin: Origin, lineage: &[Life]) -> Result<(), StoreError> {
        self.replica.learn_lineage(self.database, origin, lineage)
    }

    fn digest(&mut self) -> Result<Vec<[u8; 16]>, StoreError> {
        Ok(self.replica.now.digest.to_vec())
    }

    fn bucket(&mut self, bucket: u8) -> Result<Vec<Known>, StoreError> {
        self.replica.bucket_states(self.database, bucket)
    }

    fn pick(&mut self, components: &[(Gid, Slot)]) -> Result<Vec<Component>, StoreError> {
        self.replica.pick_all(self.database, components)
    }

    fn forget(&mut self, rows: &[Gid], now_ms: u64) -> Result<Applied, StoreError> {
        self.replica.forget_rows(self.database, rows, now_ms)
    }

    fn acknowledged(
        &mut self,
        peer: &str,
        origin: Origin,
        version: u64,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.replica.heard(self.database, peer, origin, version, now_ms)
    }

    fn collect(&mut self, origin: Origin, floor: u64) -> Result<(), StoreError> {
        self.replica.collect_up_to(self.database, origin, floor)
    }

    fn fork(&mut self, agreed: u64, restored: bool, now_ms: u64) -> Result<Origin, StoreError> {
        self.replica.fork_at(self.database, agreed, restored, now_ms)
    }
}
