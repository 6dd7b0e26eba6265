//! One database of a relay as the side of a session.

use super::database::Replicated;
use super::rows;
use super::store::{RelayStore, RelayStoreError, Table};
use crate::sync::component::{Component, Slot, Stamp};
use crate::sync::identity::{Gid, Origin};
use crate::sync::lineage::{self, Relation};
use crate::sync::seal::Sealing;
use crate::sync::store::{Applied, Delta, Known, Life, Limit, OriginState, Store, StoreError};

impl From<RelayStoreError> for StoreError {
    fn from(error: RelayStoreError) -> Self {
        Self::Relay(error.to_string())
    }
}

/// A database, within the transaction of its relay.
pub struct View<'a> {
    store: &'a mut dyn RelayStore,
    database: &'a mut Replicated,
    /// No other node is connected.
    alone: bool,
}

impl std::fmt::Debug for View<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("View").finish_non_exhaustive()
    }
}

impl<'a> View<'a> {
    pub(super) fn new(store: &'a mut dyn RelayStore, database: &'a mut Replicated, alone: bool) -> Self {
        Self { store, database, alone }
    }

    fn number(&self) -> u32 {
        self.database.number
    }

    fn value(&mut self, gid: Gid, slot: Slot) -> Result<Option<Vec<u8>>, RelayStoreError> {
        self.store.get(Table::Components, &rows::component_key(self.number(), gid, slot))
    }

    /// Says whether it is the state now, and whether it won over one that another origin had written.
    fn merge(&mut self, component: &Component) -> Result<(bool, bool), RelayStoreError> {
        let Component { gid, slot, stamp, .. } = *component;
        let key = rows::component_key(self.number(), gid, slot);
        let before = match self.value(gid, slot)? {
            None => None,
            Some(value) => Some((rows::stamp_of(&value)?.0, rows::body_length(&value))),
        };
        if let Some((known, _)) = before {
            if known >= stamp {
                return Ok((false, false));
            }
            self.remove_version(known, &key)?;
        }
        self.store.put(Table::Components, &key, &rows::component_value(component))?;
        self.store.put(
            Table::Versions,
            &rows::version_key(self.number(), stamp.origin, stamp.version),
            &key,
        )?;
        let after = (stamp, component.body.as_ref().map_or(0, Vec::len));
        self.database.replaced(gid, slot, before, Some(after));
        Ok((true, before.is_some_and(|(known, _)| known.origin != stamp.origin)))
    }

    fn merge_all<'c>(
        &mut self,
        components: impl Iterator<Item = &'c Component>,
    ) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        for component in components {
            let (won, over) = self.merge(component)?;
            applied.rows += u64::from(won);
            applied.conflicts += u64::from(over);
        }
        Ok(applied)
    }

    /// Two histories of one origin may have given a version to two components: the entry is removed by the one that it names.
    fn remove_version(&mut self, stamp: Stamp, key: &[u8]) -> Result<(), RelayStoreError> {
        let version = rows::version_key(self.number(), stamp.origin, stamp.version);
        if self.store.get(Table::Versions, &version)?.is_some_and(|named| named == key) {
            self.store.remove(Table::Versions, &version)?;
        }
        Ok(())
    }

    /// Removes every trace of a row.
    pub(super) fn drop_row(&mut self, gid: Gid) -> Result<(), RelayStoreError> {
        let from = rows::gid_key(self.number(), gid);
        let mut found = Vec::new();
        self.store.range(Table::Components, &from, &rows::after_all(&from), &mut |key, value| {
            found.push((key.to_vec(), value.to_vec()));
            true
        })?;
        for (key, value) in found {
            let (gid, slot) = rows::place_of(&key)?;
            let component = rows::component(gid, slot, &value)?;
            self.store.remove(Table::Components, &key)?;
            self.remove_version(component.stamp, &key)?;
            let before = (component.stamp, component.body.map_or(0, |body| body.len()));
            self.database.replaced(gid, slot, Some(before), None);
        }
        Ok(())
    }

    /// What an origin has published, from one version to another one, until `each` says no.
    fn published(
        &mut self,
        origin: Origin,
        after: u64,
        to: u64,
        each: &mut dyn FnMut(Component) -> bool,
    ) -> Result<(), RelayStoreError> {
        /// Keys that are read at once: bodies may be long.
        const AT_ONCE: usize = 64;
        let mut after = after;
        loop {
            let (from, end) = (
                rows::version_key(self.number(), origin, after + 1),
                rows::version_key(self.number(), origin, to + 1),
            );
            let mut keys = Vec::new();
            self.store.range(Table::Versions, &from, &end, &mut |_, key| {
                keys.push(key.to_vec());
                keys.len() < AT_ONCE
            })?;
            let ended = keys.len() < AT_ONCE;
            for key in keys {
                let (gid, slot) = rows::place_of(&key)?;
                let value = self
                    .store
                    .get(Table::Components, &key)?
                    .ok_or_else(|| rows::damaged("a version without its component"))?;
                let component = rows::component(gid, slot, &value)?;
                if component.stamp.origin != origin || component.stamp.version <= after {
                    return Err(rows::damaged("a version of another component"));
                }
                after = component.stamp.version;
                if !each(component) {
                    return Ok(());
                }
            }
            if ended {
                return Ok(());
            }
        }
    }
}

impl Store for View<'_> {
    fn own(&self) -> Option<Origin> {
        None
    }

    fn sealing(&mut self) -> Result<Option<Sealing>, StoreError> {
        // What nobody has written into yet may still become the other.
        Ok(self.database.sealing.filter(|_| !self.database.is_empty()))
    }

    fn meets(&mut self, theirs: Sealing, _: u64) -> Result<bool, StoreError> {
        Ok(self.database.meets(theirs, self.alone))
    }

    fn states(&mut self) -> Result<Vec<OriginState>, StoreError> {
        Ok(self.database.origins.values().cloned().collect())
    }

    fn read(&mut self, origin: Origin, after: u64, limit: Limit) -> Result<Delta, StoreError> {
        let head = self.database.head(origin);
        let (mut components, mut bytes, mut to) = (Vec::new(), 0, head);
        self.published(origin, after, head, &mut |component| {
            bytes += component.body.as_ref().map_or(0, Vec::len);
            let version = component.stamp.version;
            components.push(component);
            if components.len() < limit.components.max(1) && bytes < limit.bytes {
                return true;
            }
            to = version;
            false
        })?;
        Ok(Delta { origin, after, to, components })
    }

    fn apply(&mut self, delta: &Delta, _: u64) -> Result<Applied, StoreError> {
        let head = self.database.head(delta.origin);
        if delta.after > head {
            return Err(StoreError::Gap { origin: delta.origin, after: delta.after, head });
        }
        if delta.to <= head {
            return Ok(Applied::default());
        }
        let applied =
            self.merge_all(delta.components.iter().filter(|component| component.stamp.version > head))?;
        self.database.origin(delta.origin).head = delta.to;
        Ok(applied)
    }

    fn mend(&mut self, components: &[Component], _: u64) -> Result<Applied, StoreError> {
        let mut wanted = Vec::with_capacity(components.len());
        for component in components {
            // What is not here although it was collected here is deleted.
            let collected = component.stamp.version <= self.database.floor(component.stamp.origin);
            if !collected || self.value(component.gid, Slot::Row)?.is_some() {
                wanted.push(component);
            }
        }
        self.merge_all(wanted.into_iter())
    }

    fn learn(&mut self, origin: Origin, theirs: &[Life]) -> Result<(), StoreError> {
        let state = self.database.origin(origin);
        let prevailing = lineage::prevailing(&state.lineage, theirs).to_vec();
        if prevailing != state.lineage {
            if let Relation::Forked { agreed, .. } = lineage::compare(&state.lineage, state.head, theirs, 0) {
                state.head = state.head.min(agreed);
                state.floor = state.floor.min(state.head);
            }
            state.lineage = prevailing;
        }
        Ok(())
    }

    fn digest(&mut self) -> Result<Vec<[u8; 16]>, StoreError> {
        Ok(self.database.digest())
    }

    fn bucket(&mut self, bucket: u8) -> Result<Vec<Known>, StoreError> {
        let from = rows::bucket_key(self.number(), bucket);
        let (mut known, mut failed) = (Vec::new(), None);
        self.store.range(Table::Components, &from, &rows::after_all(&from), &mut |key, value| {
            match rows::place_of(key).and_then(|place| Ok((place, rows::stamp_of(value)?.0))) {
                Ok(((gid, slot), stamp)) => known.push(Known { gid, slot, stamp }),
                Err(error) => failed = Some(error),
            }
            failed.is_none()
        })?;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(known),
        }
    }

    fn pick(&mut self, components: &[(Gid, Slot)]) -> Result<Vec<Component>, StoreError> {
        let mut picked = Vec::with_capacity(components.len());
        for &(gid, slot) in components {
            if let Some(value) = self.value(gid, slot)? {
                picked.push(rows::component(gid, slot, &value)?);
            }
        }
        Ok(picked)
    }

    fn forget(&mut self, gids: &[Gid], _: u64) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        for &gid in gids {
            self.drop_row(gid)?;
            applied.rows += 1;
        }
        Ok(applied)
    }

    fn acknowledged(
        &mut self,
        peer: &str,
        origin: Origin,
        version: u64,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.database.acknowledged(peer, origin, version, now_ms);
        Ok(())
    }

    fn collect(&mut self, origin: Origin, floor: u64) -> Result<(), StoreError> {
        let floor = floor.min(self.database.head(origin));
        let before = self.database.floor(origin);
        if floor <= before {
            return Ok(());
        }
        let mut deleted = Vec::new();
        self.published(origin, before, floor, &mut |component| {
            if component.body.is_none() {
                deleted.push(component.gid);
            }
            true
        })?;
        for gid in deleted {
            self.drop_row(gid)?;
        }
        self.database.origin(origin).floor = floor;
        Ok(())
    }

    fn fork(&mut self, _: u64, _: bool, _: u64) -> Result<Origin, StoreError> {
        Err(StoreError::Relay("it writes under no origin, so it cannot be a copy".to_owned()))
    }
}
