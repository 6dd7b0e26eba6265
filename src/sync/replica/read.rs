//! What this replica hands on: deltas of an origin, and single components. A row's content is read from the user's table at that
//! moment, which is its state under that stamp since everything was captured before in the same transaction; what waits goes out
//! as it came.

use super::Replica;
use super::counters::above;
use super::states::ShareState;
use crate::sync::component::{Component, Slot};
use crate::sync::database::{Database, Value};
use crate::sync::identity::{Gid, Origin, TableId};
use crate::sync::row::Share;
use crate::sync::store::{Delta, Limit, StoreError};

/// Versions that are looked up for one delta. More would mostly be looked up in vain: rows with embeddings fill a message sooner.
const SCANNED: usize = 128;

/// What a component weighs besides its body.
const OVERHEAD: usize = 80;

impl Replica {
    /// As [`crate::sync::store::Store::read`].
    pub(super) fn read_delta(
        &mut self,
        database: &mut dyn Database,
        origin: Origin,
        after: u64,
        limit: Limit,
    ) -> Result<Delta, StoreError> {
        let Some(number) = self.now.numbers.get(&origin).copied() else {
            return Ok(Delta { origin, after, to: after, components: Vec::new() });
        };
        let head = self.now.authors.get(&number).map_or(0, |author| author.head);
        let count = limit.components.clamp(1, SCANNED);
        let mut versions = self.published(database, number, after, count)?;
        // What waits under the same version is the truth of it.
        versions.sort_by_key(|(version, place)| (*version, matches!(place, Place::Table(_))));
        versions.dedup_by_key(|(version, _)| *version);
        let mut exhausted = versions.len() <= count;
        versions.truncate(count);
        let (mut components, mut bytes, mut to) = (Vec::<Component>::with_capacity(versions.len()), 0, after);
        for (version, place) in versions {
            if version > head {
                // Of another history, which comes in again from the beginning: up to the head there is nothing more.
                exhausted = true;
                break;
            }
            let component = match place {
                Place::Waiting(component) => Some(component),
                Place::Table(gid) => self.read_row(database, gid)?,
                Place::Share(gid, state) => {
                    // A new row and what was counted on it have consecutive versions.
                    let table = match components.last() {
                        Some(last) if last.gid == gid => Some(last.table),
                        _ => self.table_of(database, gid)?,
                    };
                    table.map(|table| self.read_share(table, gid, &state)).transpose()?
                }
            };
            if let Some(component) = component {
                let size = OVERHEAD + component.body.as_ref().map_or(0, Vec::len);
                if !components.is_empty() && bytes + size > limit.bytes {
                    exhausted = false;
                    break;
                }
                bytes += size;
                components.push(component);
            }
            to = version;
        }
        if exhausted {
            to = head.max(after);
        }
        Ok(Delta { origin, after, to, components })
    }

    /// Where the versions of an origin are, one more than `count` of each kind at most.
    fn published(
        &self,
        database: &mut dyn Database,
        number: i64,
        after: u64,
        count: usize,
    ) -> Result<Vec<(u64, Place)>, StoreError> {
        let more = Value::Integer(i64::try_from(count).unwrap_or(i64::MAX).saturating_add(1));
        let parameters = [Value::Integer(number), above(after), more];
        let mut versions = Vec::new();
        let sql =
            "SELECT version, gid FROM mqs_row WHERE origin = ?1 AND version > ?2 ORDER BY version LIMIT ?3";
        for row in database.query(sql, &parameters)? {
            let [Value::Integer(version), gid] = row.as_slice() else {
                return Err(StoreError::Corrupt("mqs_row"));
            };
            versions.push((version.unsigned_abs(), Place::Table(super::states::gid_of(gid)?)));
        }
        let sql = "SELECT gid, owner, hlc, origin, version, share FROM mqs_counter WHERE origin = ?1 AND version > ?2 ORDER BY version LIMIT ?3";
        for row in database.query(sql, &parameters)? {
            let [gid, Value::Integer(owner), hlc, origin, version, Value::Blob(share)] = row.as_slice()
            else {
                return Err(StoreError::Corrupt("mqs_counter"));
            };
            let stamp = self.stamp_of(hlc, origin, version)?;
            let share = Share::decode(share).map_err(|_| StoreError::Corrupt("mqs_counter.share"))?;
            versions.push((
                stamp.version,
                Place::Share(super::states::gid_of(gid)?, ShareState { owner: *owner, stamp, share }),
            ));
        }
        let waiting = self.all_waiting(
            database,
            "origin = ?1 AND version > ?2 ORDER BY version LIMIT ?3",
            &parameters,
        )?;
        versions.extend(
            waiting
                .into_iter()
                .map(|waiting| (waiting.component.stamp.version, Place::Waiting(waiting.component))),
        );
        Ok(versions)
    }

    /// A row as the user's table has it, or its tombstone. `None`: the user's table has lost it unseen, and a sweep will find out;
    /// or there is no such table any more.
    fn read_row(&mut self, database: &mut dyn Database, gid: Gid) -> Result<Option<Component>, StoreError> {
        let Some(state) = self.row(database, gid)? else {
            return Ok(None);
        };
        match self.table_numbered(state.table).cloned() {
            Some(table) => self.truth(database, &table, &state),
            None => Ok(None),
        }
    }

    fn read_share(&self, table: TableId, gid: Gid, state: &ShareState) -> Result<Component, StoreError> {
        let slot = Slot::Share(self.origin(state.owner)?);
        let body = self.sealed(table, gid, slot, state.stamp, state.share.encode())?;
        Ok(Component { gid, slot, table, stamp: state.stamp, body: Some(body) })
    }

    /// Of which table a row is, whether it is shown or waits.
    fn table_of(&mut self, database: &mut dyn Database, gid: Gid) -> Result<Option<TableId>, StoreError> {
        if let Some(state) = self.row(database, gid)? {
            return Ok(self.table_numbered(state.table).map(|table| table.id));
        }
        Ok(self.waiting(database, gid, Slot::Row)?.map(|waiting| waiting.component.table))
    }

    /// As [`crate::sync::store::Store::pick`].
    pub(super) fn pick_all(
        &mut self,
        database: &mut dyn Database,
        wanted: &[(Gid, Slot)],
    ) -> Result<Vec<Component>, StoreError> {
        let mut components = Vec::with_capacity(wanted.len());
        for &(gid, slot) in wanted {
            let waiting = self.waiting(database, gid, slot)?.map(|waiting| waiting.component);
            let component = match (waiting, slot) {
                (Some(waiting), _) => Some(waiting),
                (None, Slot::Row) => self.read_row(database, gid)?,
                (None, Slot::Share(_)) => {
                    let owner = self.slot_owner(database, slot)?;
                    match (self.share(database, gid, owner)?, self.table_of(database, gid)?) {
                        (Some(state), Some(table)) => Some(self.read_share(table, gid, &state)?),
                        _ => None,
                    }
                }
            };
            components.extend(component);
        }
        Ok(components)
    }
}

/// Where the state under a version is.
enum Place {
    /// In the user's table, or a tombstone.
    Table(Gid),
    Share(Gid, ShareState),
    Waiting(Component),
}
