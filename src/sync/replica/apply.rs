//! Merging: of two states of a component the one with the greater stamp is true, and what is true is shown in the user's tables
//! as far as it can be ([`super::pending`]).

use std::collections::{HashMap, HashSet};

use super::pending::{Reason, Wait, Waiting};
use super::states::{RowState, ShareState};
use super::write::{quoted, stored};
use super::{Event, Replica};
use crate::sync::component::{Component, Slot, Stamp};
use crate::sync::database::{Database, DatabaseError, Value};
use crate::sync::identity::{Gid, TableId};
use crate::sync::row::{Content, Embedding};
use crate::sync::seal::SealError;
use crate::sync::store::{Applied, Delta, StoreError};
use crate::sync::table::{EmbeddingTable, Kind, Table};

impl Replica {
    /// As [`crate::sync::store::Store::apply`].
    pub(super) fn apply_delta(
        &mut self,
        database: &mut dyn Database,
        delta: &Delta,
        now_ms: u64,
    ) -> Result<Applied, StoreError> {
        let number = self.number(database, delta.origin)?;
        let head = self.now.authors.get(&number).map_or(0, |author| author.head);
        // Own versions that are not here are of a copy of this database: there has to be a fork first.
        if delta.after > head || (number == self.now.own && delta.to > head) {
            return Err(StoreError::Gap { origin: delta.origin, after: delta.after, head });
        }
        if delta.to <= head {
            return Ok(Applied::default());
        }
        let applied = self.merge_all(
            database,
            delta.components.iter().filter(|component| component.stamp.version > head),
            now_ms,
        )?;
        if let Some(author) = self.now.authors.get_mut(&number) {
            author.head = delta.to;
        }
        Ok(applied)
    }

    /// As [`crate::sync::store::Store::mend`]. A row that is not here although the tombstones of its origin were collected up to
    /// its version was deleted here.
    pub(super) fn mend_all(
        &mut self,
        database: &mut dyn Database,
        components: &[Component],
        now_ms: u64,
    ) -> Result<Applied, StoreError> {
        let mut wanted = Vec::with_capacity(components.len());
        for component in components {
            let number = self.number(database, component.stamp.origin)?;
            let floor = self.now.authors.get(&number).map_or(0, |author| author.floor);
            let known = component.stamp.version > floor || self.known(database, component.gid)?;
            if known {
                wanted.push(component);
            }
        }
        self.merge_all(database, wanted.into_iter(), now_ms)
    }

    /// Whether any state of this row itself is here.
    fn known(&mut self, database: &mut dyn Database, gid: Gid) -> Result<bool, StoreError> {
        Ok(self.row(database, gid)?.is_some() || self.waiting(database, gid, Slot::Row)?.is_some())
    }

    fn merge_all<'a>(
        &mut self,
        database: &mut dyn Database,
        components: impl Iterator<Item = &'a Component>,
        now_ms: u64,
    ) -> Result<Applied, StoreError> {
        self.look_at_schema(database)?;
        self.silence(database, true)?;
        let components: Vec<&Component> = components.collect();
        let mut shares: HashMap<Gid, Vec<&Component>> = HashMap::new();
        for component in &components {
            self.number(database, component.stamp.origin)?;
            self.slot_owner(database, component.slot)?;
            if let Slot::Share(_) = component.slot {
                shares.entry(component.gid).or_default().push(component);
            }
        }
        let mut applied = Applied::default();
        let mut together = HashSet::new();
        for component in components {
            if component.slot != Slot::Row && together.contains(&component.gid) {
                continue;
            }
            let stored = self.stored(database, component.gid, component.slot)?;
            if let Stored::Row(None) = stored
                && component.body.is_some()
                && let Some(shares) = shares.get(&component.gid)
                && self.waiting(database, component.gid, Slot::Row)?.is_none()
                && self.merge_together(database, component, shares, now_ms, &mut applied)?
            {
                together.insert(component.gid);
            } else {
                self.merge(database, component, stored, now_ms, &mut applied)?;
            }
        }
        self.settle(database, now_ms)?;
        self.silence(database, false)?;
        Ok(applied)
    }

    /// A row that is new here and what was counted on it are written by one INSERT, where the row first and its shares behind it
    /// would be an INSERT and an UPDATE for each of them. Says whether that was to be had; otherwise nothing has changed.
    fn merge_together(
        &mut self,
        database: &mut dyn Database,
        row: &Component,
        shares: &[&Component],
        now_ms: u64,
        applied: &mut Applied,
    ) -> Result<bool, StoreError> {
        let outcome = self.undoable(database, |replica, database| {
            let mut all = Applied::default();
            replica.merging.coming = Some(row.gid);
            for &component in shares {
                let stored = replica.stored(database, component.gid, component.slot)?;
                replica.merge(database, component, stored, now_ms, &mut all)?;
            }
            replica.merge(database, row, Stored::Row(None), now_ms, &mut all)?;
            Ok(if all.parked == 0 { Ok(all) } else { Err(String::new()) })
        });
        self.merging.coming = None;
        let Ok(all) = outcome? else {
            return Ok(false);
        };
        applied.rows += all.rows;
        applied.conflicts += all.conflicts;
        Ok(true)
    }

    /// The stamp of the true state of a component, as far as it is known here.
    pub(super) fn current(
        &mut self,
        database: &mut dyn Database,
        gid: Gid,
        slot: Slot,
    ) -> Result<Option<Stamp>, StoreError> {
        let stored = self.stored(database, gid, slot)?.stamp();
        let waiting = self.waiting(database, gid, slot)?.map(|waiting| waiting.component.stamp);
        Ok(stored.max(waiting))
    }

    /// The state of a component that is shown.
    fn stored(&mut self, database: &mut dyn Database, gid: Gid, slot: Slot) -> Result<Stored, StoreError> {
        Ok(match slot {
            Slot::Row => Stored::Row(self.row(database, gid)?),
            Slot::Share(_) => {
                let owner = self.slot_owner(database, slot)?;
                Stored::Share(owner, self.share(database, gid, owner)?)
            }
        })
    }

    /// Merges one component, whose present state is `stored`.
    fn merge(
        &mut self,
        database: &mut dyn Database,
        component: &Component,
        stored: Stored,
        now_ms: u64,
        applied: &mut Applied,
    ) -> Result<(), StoreError> {
        let waiting = self.waiting(database, component.gid, component.slot)?;
        let current = stored.stamp().max(waiting.map(|waiting| waiting.component.stamp));
        let own = self.own();
        if let Some(current) = current.filter(|current| *current >= component.stamp) {
            // Ours is newer, and it was written before theirs had come.
            if current.origin == own
                && current != component.stamp
                && component.slot == Slot::Row
                && component.stamp.origin != own
            {
                applied.conflicts += 1;
                self.tell_conflict(component.table, true);
            }
            return Ok(());
        }
        let body = match self.unsealed(component) {
            Err(SealError::Damaged) => {
                self.refuse(component);
                return Ok(());
            }
            body => body,
        };
        if let Some(current) = current
            && current.origin == own
            && component.slot == Slot::Row
            && component.stamp.origin != own
            && current.version > self.heard_of(database)?
        {
            // Nobody has ours yet, so whoever wrote theirs had not seen it.
            applied.conflicts += 1;
            self.tell_conflict(component.table, false);
        }
        match self.show(database, component, stored, body, now_ms)? {
            None => applied.rows += 1,
            Some(wait) => {
                applied.parked += 1;
                self.park(database, component, &wait)?;
                self.replaced(component.gid, component.slot, current, Some(component.stamp));
                if wait.reason == Reason::Orphan {
                    self.merging.stirred.push(component.gid);
                }
            }
        }
        Ok(())
    }

    fn tell_conflict(&mut self, table: TableId, kept_local: bool) {
        let table = self.name_of(table);
        self.merging.tell(Event::Conflict { table, kept_local });
    }

    /// The greatest own version that any peer is known to have.
    pub(super) fn heard_of(&self, database: &mut dyn Database) -> Result<u64, StoreError> {
        let rows = database.query(
            "SELECT coalesce(max(version), 0) FROM mqs_peer WHERE origin = ?1",
            &[Value::Integer(self.now.own)],
        )?;
        match rows.first().map(Vec::as_slice) {
            Some([Value::Integer(version)]) => Ok(version.unsigned_abs()),
            _ => Err(StoreError::Corrupt("mqs_peer")),
        }
    }

    /// Tries again what waits. Says whether it is shown now.
    pub(super) fn again(
        &mut self,
        database: &mut dyn Database,
        waiting: &Waiting,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let component = &waiting.component;
        let Some(still) = self
            .waiting(database, component.gid, component.slot)?
            .filter(|still| still.component.stamp == component.stamp)
        else {
            return Ok(false);
        };
        let body = match self.unsealed(component) {
            Err(SealError::Damaged) => {
                // Its key has come, and it is not what was sealed with it.
                let (gid, slot) = (component.gid, component.slot);
                self.refuse(component);
                self.unpark(database, gid, slot)?;
                let before = self.current(database, gid, slot)?;
                self.replaced(gid, slot, Some(component.stamp), before);
                return Ok(false);
            }
            body => body,
        };
        let stored = self.stored(database, component.gid, component.slot)?;
        match self.show(database, component, stored, body, now_ms)? {
            None => Ok(true),
            Some(wait) => {
                let changed = wait.reason != still.reason || wait.row != still.row;
                let quiet = Wait { detail: wait.detail.filter(|_| changed), ..wait };
                self.park(database, component, &quiet)?;
                if changed && component.slot == Slot::Row {
                    self.merging.stirred.push(component.gid);
                }
                Ok(false)
            }
        }
    }

    /// Shows the true state of a component in place of the one that is `stored`, or says what it waits for.
    fn show(
        &mut self,
        database: &mut dyn Database,
        component: &Component,
        stored: Stored,
        body: Result<Option<Vec<u8>>, SealError>,
        now_ms: u64,
    ) -> Result<Option<Wait>, StoreError> {
        let baseline = component.slot == Slot::Share(crate::sync::identity::Origin::BASELINE);
        if !baseline && !self.now.clock.believes(component.stamp.hlc, now_ms) {
            return Ok(Some(Wait::on(Reason::Future)));
        }
        let body = match body {
            Ok(body) => body,
            Err(SealError::UnknownKey(key)) => {
                self.merging.missing.insert(key);
                return Ok(Some(Wait::on(Reason::Key)));
            }
            Err(SealError::Failed(reason)) => return Err(StoreError::Seal(reason)),
            Err(SealError::Damaged) => return Err(StoreError::Corrupt("what does not open was to be shown")),
        };
        if !baseline {
            self.now.clock.saw(component.stamp.hlc);
        }
        let Some(table) = self.table_identified(component.table).cloned() else {
            self.miss(component);
            // What does not tell the name of its table belongs to a row that does, and is not worth a word of its own.
            let named = self.merging.absent.contains_key(&component.table) || component.slot == Slot::Row;
            return Ok(Some(if named {
                Wait::because(Reason::Schema, "there is no such table here".to_owned())
            } else {
                Wait::on(Reason::Schema)
            }));
        };
        let Some(body) = body else {
            return self.erase(database, &table, component, stored);
        };
        match stored {
            Stored::Row(state) => self.show_row(database, &table, component, &body, state),
            Stored::Share(owner, before) => {
                let before = before.map(|share| share.stamp);
                self.show_share(database, &table, component, &body, (owner, before))
            }
        }
    }

    /// What a row's counters, references and embedding are made of is written in one step, or not at all.
    fn show_row(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        component: &Component,
        body: &[u8],
        state: Option<RowState>,
    ) -> Result<Option<Wait>, StoreError> {
        let gid = component.gid;
        let Some(content) = Content::decode(body).ok().filter(|content| content.table == table.name) else {
            return Ok(Some(Wait::because(
                Reason::Malformed,
                "its content is not a row of this table".to_owned(),
            )));
        };
        let rid = state.as_ref().and_then(|state| state.rid.clone());
        let shown = match self.translate(database, table, gid, &content)? {
            Ok(shown) => shown,
            Err(wait) => {
                if let (Reason::Orphan, Some(rid)) = (wait.reason, &rid) {
                    // It belongs to a row that is gone: its older state goes too.
                    self.orphan(database, table, gid, rid)?;
                    self.remove(database, table, rid)?;
                    database.query("DELETE FROM mqs_row WHERE gid = ?1", &[Value::Blob(gid.0.to_vec())])?;
                }
                return Ok(Some(wait));
            }
        };
        if let Some(detail) = self.unfit(database, table, rid.as_ref(), content.embedding.as_ref())? {
            return Ok(Some(Wait::because(Reason::Embedding, detail)));
        }
        let (counted, counters) = match rid {
            Some(_) => (Vec::new(), state.as_ref().and_then(|state| state.shown.clone())),
            None => self.counted(database, table, gid)?,
        };
        let write = |replica: &mut Self, database: &mut dyn Database| {
            replica.write(database, table, rid.as_ref(), &shown, &counted, content.embedding.as_ref())
        };
        // One that comes together with its shares is in a step already.
        let written = if self.merging.coming == Some(gid) {
            refused(write(self, database))?
        } else {
            self.attempt(database, write)?
        };
        let written = match written {
            Ok(written) => written,
            Err(message) => return Ok(Some(Wait::because(Reason::Constraint, message))),
        };
        let fingerprint = if Self::same_columns(table, &content) {
            self.fingerprint(shown.content.as_ref().unwrap_or(&content))
        } else {
            match self.content(database, table, &written)? {
                Some(content) => self.fingerprint(&content),
                None => return Err(StoreError::Corrupt("a row that was written a moment ago is gone")),
            }
        };
        let next = RowState {
            gid,
            table: table.local,
            rid: Some(written),
            stamp: component.stamp,
            fingerprint,
            shown: counters,
        };
        self.put_row(database, &next, state.map(|state| state.stamp))?;
        match shown.bent {
            Some(other) => self.park(database, component, &Wait::row(Reason::Bent, other))?,
            None => self.shown(database, component)?,
        }
        Ok(None)
    }

    /// What waited under this very stamp waits no more.
    pub(super) fn shown(
        &mut self,
        database: &mut dyn Database,
        component: &Component,
    ) -> Result<(), StoreError> {
        if self.any_waiting(database)? {
            self.unpark(database, component.gid, component.slot)?;
        }
        Ok(())
    }

    /// A row was deleted.
    fn erase(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        component: &Component,
        stored: Stored,
    ) -> Result<Option<Wait>, StoreError> {
        let gid = component.gid;
        let Stored::Row(state) = stored else {
            return Ok(Some(Wait::because(Reason::Malformed, "what was counted has no content".to_owned())));
        };
        if let Some(rid) = state.as_ref().and_then(|state| state.rid.as_ref()) {
            let removed = self.attempt(database, |replica, database| {
                replica.orphan(database, table, gid, rid)?;
                replica.remove(database, table, rid)
            })?;
            if let Err(message) = removed {
                return Ok(Some(Wait::because(Reason::Constraint, message)));
            }
        }
        let next = RowState {
            gid,
            table: table.local,
            rid: None,
            stamp: component.stamp,
            fingerprint: [0; 8],
            shown: None,
        };
        self.put_row(database, &next, state.map(|state| state.stamp))?;
        self.shown(database, component)?;
        Ok(None)
    }

    /// Does something of several statements wholly or not at all: a constraint of the user's database undoes it, and its message
    /// is what comes back.
    pub(super) fn attempt<T>(
        &mut self,
        database: &mut dyn Database,
        step: impl FnOnce(&mut Self, &mut dyn Database) -> Result<T, StoreError>,
    ) -> Result<Result<T, String>, StoreError> {
        self.undoable(database, |replica, database| refused(step(replica, database)))
    }

    /// A step that is undone where it says so, by an error of its own.
    fn undoable<T>(
        &mut self,
        database: &mut dyn Database,
        step: impl FnOnce(&mut Self, &mut dyn Database) -> Result<Result<T, String>, StoreError>,
    ) -> Result<Result<T, String>, StoreError> {
        let (digest, mark) = (self.now.digest.clone(), self.merging.mark());
        database.query("SAVEPOINT mqs_step", &[])?;
        let outcome = step(self, database)?;
        if outcome.is_err() {
            database.query("ROLLBACK TO mqs_step", &[])?;
            self.now.digest = digest;
            self.merging.back_to(mark);
        }
        database.query("RELEASE mqs_step", &[])?;
        Ok(outcome)
    }

    /// Whether a row's content has exactly the columns that travel from here.
    fn same_columns(table: &Table, content: &Content) -> bool {
        let mut here =
            table.columns.iter().filter(|column| !matches!(column.kind, Kind::Counted | Kind::Local));
        let count = here.clone().count();
        count == content.cells.len()
            && here.all(|column| content.cells.iter().any(|(name, _)| *name == column.name))
    }

    /// Why an embedding does not belong into this table, if so.
    fn unfit(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        rid: Option<&Value>,
        embedding: Option<&Embedding>,
    ) -> Result<Option<String>, StoreError> {
        let Some(embedding) = embedding else {
            return Ok(None);
        };
        let Some(place) = &table.embedding else {
            return Ok(Some("it has an embedding, and there is no table for it here".to_owned()));
        };
        let vector = &embedding.vector;
        let finite = vector
            .chunks_exact(4)
            .all(|value| value.try_into().is_ok_and(|value| f32::from_le_bytes(value).is_finite()));
        if vector.is_empty() || !vector.len().is_multiple_of(4) || !finite {
            return Ok(Some(format!(
                "its embedding of {} bytes is no vector of finite 32-bit numbers",
                vector.len()
            )));
        }
        let Some((length, model)) = self.space(database, place, rid)? else {
            return Ok(None);
        };
        if length != vector.len() {
            return Ok(Some(format!(
                "its embedding has {} dimensions, those here have {}",
                vector.len() / 4,
                length / 4
            )));
        }
        if model != Value::Null && embedding.model != Value::Null && model != embedding.model {
            return Ok(Some(format!(
                "its embedding is of the model {:?}, those here are of {model:?}",
                embedding.model
            )));
        }
        Ok(None)
    }

    /// Length and model of the embeddings that a table holds, by one that is not of row `rid`.
    fn space(
        &mut self,
        database: &mut dyn Database,
        place: &EmbeddingTable,
        rid: Option<&Value>,
    ) -> Result<Option<(usize, Value)>, StoreError> {
        if let Some((of, length, model)) = self.merging.spaces.get(&place.name)
            && Some(of) != rid
        {
            return Ok(Some((*length, model.clone())));
        }
        let model = place.model.as_deref().map_or_else(|| "NULL".to_owned(), quoted);
        let (key, vector) = (quoted(&place.key), quoted(&place.vector));
        let sql = format!(
            "SELECT {key}, length({vector}), {model} FROM {} WHERE {key} IS NOT ?1 LIMIT 1",
            stored(&place.name)
        );
        let row = database.query(&sql, &[rid.cloned().unwrap_or(Value::Null)])?.into_iter().next();
        let Some([of, Value::Integer(length), model]) = row.and_then(|row| <[Value; 3]>::try_from(row).ok())
        else {
            return Ok(None);
        };
        let length =
            usize::try_from(length).map_err(|_| StoreError::Corrupt("the length of an embedding"))?;
        self.merging.spaces.insert(place.name.clone(), (of, length, model.clone()));
        Ok(Some((length, model)))
    }
}

/// The state of a component that is shown; of a share also the number of its owner.
enum Stored {
    Row(Option<RowState>),
    Share(i64, Option<ShareState>),
}

impl Stored {
    fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Row(state) => state.as_ref().map(|state| state.stamp),
            Self::Share(_, state) => state.as_ref().map(|state| state.stamp),
        }
    }
}

/// A constraint of the user's database is an answer, with its message.
fn refused<T>(outcome: Result<T, StoreError>) -> Result<Result<T, String>, StoreError> {
    match outcome {
        Ok(done) => Ok(Ok(done)),
        Err(StoreError::Database(DatabaseError::Constraint(message))) => Ok(Err(message)),
        Err(error) => Err(error),
    }
}
