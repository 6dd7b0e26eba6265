//! The end of tombstones. One is kept until every member has it, and for some days more: the caller knows who the members are
//! and how late it is, and names the version of an origin up to which they may go (a *floor*).

use super::Replica;
use super::counters::above;
use super::pending::Reason;
use super::states::{RowState, gid_of};
use crate::sync::component::Slot;
use crate::sync::database::{Database, Value};
use crate::sync::identity::{Gid, Origin};
use crate::sync::store::{Applied, StoreError};

impl Replica {
    /// As [`crate::sync::store::Store::collect`].
    pub(super) fn collect_up_to(
        &mut self,
        database: &mut dyn Database,
        origin: Origin,
        floor: u64,
    ) -> Result<(), StoreError> {
        let Some(number) = self.now.numbers.get(&origin).copied() else {
            return Ok(());
        };
        let Some(author) = self.now.authors.get(&number) else {
            return Ok(());
        };
        let (before, floor) = (author.floor, floor.min(author.head));
        if floor <= before {
            return Ok(());
        }
        let sql =
            "SELECT gid FROM mqs_row WHERE origin = ?1 AND version > ?2 AND version <= ?3 AND rid IS NULL";
        let gids = database.query(sql, &[Value::Integer(number), above(before), above(floor)])?;
        for row in gids {
            let Some(gid) = row.first() else { continue };
            let gid = gid_of(gid)?;
            // A later state of the row waits: it is not deleted for good.
            if self.waiting(database, gid, Slot::Row)?.is_none() {
                self.conclude(database, gid)?;
                self.drop_row(database, gid)?;
            }
        }
        if let Some(author) = self.now.authors.get_mut(&number) {
            author.floor = floor;
        }
        Ok(())
    }

    /// A row will not come back. Those that are shown without their reference to it stay so; those that went with it are deleted
    /// by their authors, since nothing would tell a new node that they are not to be shown.
    fn conclude(&mut self, database: &mut dyn Database, gid: Gid) -> Result<(), StoreError> {
        for waiting in self.all_waiting(database, "waits = ?1", &[Value::Blob(gid.0.to_vec())])? {
            let component = waiting.component;
            match waiting.reason {
                Reason::Bent => self.unpark(database, component.gid, component.slot)?,
                Reason::Orphan if component.stamp.origin == self.own() => {
                    let Some(table) = self.table_identified(component.table).map(|table| table.local) else {
                        continue;
                    };
                    // Just above all that was seen: there is no clock here, and none is needed.
                    let stamp = self.stamp(0);
                    let state = RowState {
                        gid: component.gid,
                        table,
                        rid: None,
                        stamp,
                        fingerprint: [0; 8],
                        shown: None,
                    };
                    self.put_row(database, &state, None)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes every trace of a row.
    fn drop_row(&mut self, database: &mut dyn Database, gid: Gid) -> Result<(), StoreError> {
        let key = [Value::Blob(gid.0.to_vec())];
        let mut slots = vec![Slot::Row];
        for share in self.shares(database, gid)? {
            slots.push(Slot::Share(self.origin(share.owner)?));
        }
        slots.extend(
            self.all_waiting(database, "gid = ?1", &key)?.into_iter().map(|waiting| waiting.component.slot),
        );
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            let stamp = self.current(database, gid, slot)?;
            self.replaced(gid, slot, stamp, None);
        }
        for table in ["mqs_row", "mqs_counter", "mqs_pending", "mqs_base"] {
            database.query(&format!("DELETE FROM {table} WHERE gid = ?1"), &key)?;
        }
        Ok(())
    }

    /// As [`crate::sync::store::Store::forget`].
    pub(super) fn forget_rows(
        &mut self,
        database: &mut dyn Database,
        gids: &[Gid],
        now_ms: u64,
    ) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        self.silence(database, true)?;
        for &gid in gids {
            let Some(current) = self.current(database, gid, Slot::Row)? else {
                continue;
            };
            // Written here since anybody heard of it: it stays, and will be heard of.
            if current.origin == self.own() && current.version > self.heard_of(database)? {
                continue;
            }
            if let Some(state) = self.row(database, gid)?
                && let Some(rid) = &state.rid
                && let Some(table) = self.table_numbered(state.table).cloned()
            {
                let removed = self.attempt(database, |replica, database| {
                    replica.orphan(database, &table, gid, rid)?;
                    replica.remove(database, &table, rid)
                })?;
                if removed.is_err() {
                    continue;
                }
            }
            self.drop_row(database, gid)?;
            applied.rows += 1;
        }
        self.settle(database, now_ms)?;
        self.silence(database, false)?;
        Ok(applied)
    }
}
