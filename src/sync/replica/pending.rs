//! Components that are here but not shown, or not as they are: `mqs_pending`. The component itself stays as it came, sealed or
//! not, and is forwarded so.
//!
//! What is the truth of a component is its greatest stamp, wherever it is kept; whether a row is shown, and with which
//! references, follows from the truth of it and of the rows that it refers to, so that nodes that have heard the same show the
//! same, in whichever order they heard it.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::content::table_id;
use super::event::Event;
use super::states::{gid_of, hlc_value, version_value};
use super::{Replica, layout};
use crate::sync::component::{Component, Slot, Stamp};
use crate::sync::database::{Database, Rows, Value};
use crate::sync::identity::{Gid, Origin, TableId};
use crate::sync::row::Content;
use crate::sync::store::StoreError;

/// Why a component waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A row that it refers to, or whose share it is, is not here yet.
    Parent,
    /// It is sealed with a key that is not installed.
    Key,
    /// There is no such table here, or one of its columns is missing.
    Schema,
    /// A constraint of the user's database refuses it.
    Constraint,
    /// Its embedding is of another kind than the table's.
    Embedding,
    /// Its time is too far ahead.
    Future,
    /// It is not what its writer sealed or encoded.
    Malformed,
    /// A row that it belongs to was deleted: it went with it.
    Orphan,
    /// A row that it refers to was deleted: it is shown without that reference.
    Bent,
}

const REASONS: [Reason; 9] = [
    Reason::Parent,
    Reason::Key,
    Reason::Schema,
    Reason::Constraint,
    Reason::Embedding,
    Reason::Future,
    Reason::Malformed,
    Reason::Orphan,
    Reason::Bent,
];

impl Reason {
    /// As it is kept in `mqs_pending.reason`.
    const fn code(self) -> i64 {
        self as i64 + 1
    }

    /// As programs call it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Parent => "parent",
            Self::Key => "key",
            Self::Schema => "schema",
            Self::Constraint => "constraint",
            Self::Embedding => "embedding",
            Self::Future => "future",
            Self::Malformed => "malformed",
            Self::Orphan => "orphan",
            Self::Bent => "reference",
        }
    }

    fn from_code(code: i64) -> Option<Self> {
        REASONS.into_iter().find(|reason| reason.code() == code)
    }
}

/// What may have made components ready that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Time has passed.
    Time,
    /// A key was installed.
    Key,
    /// The schema has changed, or the program asks.
    Schema,
}

/// A component that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) component: Component,
    pub(super) reason: Reason,
    /// The row that has to come.
    pub(super) row: Option<Gid>,
}

/// What a component waits for.
#[derive(Clone, Debug)]
pub(super) struct Wait {
    pub(super) reason: Reason,
    /// The row that has to come.
    pub(super) row: Option<Gid>,
    /// For the program to hear.
    pub(super) detail: Option<String>,
}

impl Wait {
    pub(super) const fn on(reason: Reason) -> Self {
        Self { reason, row: None, detail: None }
    }

    pub(super) const fn row(reason: Reason, row: Gid) -> Self {
        Self { reason, row: Some(row), detail: None }
    }

    pub(super) const fn because(reason: Reason, detail: String) -> Self {
        Self { reason, row: None, detail: Some(detail) }
    }
}

/// What merging keeps in mind between transactions.
#[derive(Debug, Default)]
pub(super) struct Merging {
    events: Vec<Event>,
    told: Vec<Event>,
    /// Rows that were written in this transaction, by table.
    applied: HashMap<String, u64>,
    /// The life that is known to be confirmed.
    pub(super) confirmed: Option<i64>,
    /// Whether anything waits; not known at the beginning of a transaction.
    waiting: Option<bool>,
    /// When the first component that is too far ahead becomes believable, in ms since 1970; not known at first.
    pub(super) due: Option<u64>,
    /// `PRAGMA schema_version` for which what follows was read.
    schema: Option<i64>,
    /// Whether a table has triggers of the user's, by its name.
    pub(super) triggers: HashMap<String, bool>,
    /// Length and model of an embedding in a table of embeddings, and whose it is.
    pub(super) spaces: HashMap<String, (Value, usize, Value)>,
    /// The row whose shares are merged just before itself, in one step with it.
    pub(super) coming: Option<Gid>,
    /// Rows that have come or gone, for which others may wait.
    pub(super) stirred: Vec<Gid>,
    /// Tables whose rows have changed in a way that may end a clash.
    pub(super) changed: Vec<TableId>,
    /// What did not open and was complained of.
    pub(super) refused: HashSet<(Gid, Slot, Stamp)>,
    /// Keys that are not here.
    pub(super) missing: BTreeSet<String>,
    /// Names of tables that are not here, or not any more.
    pub(super) absent: HashMap<TableId, String>,
}

/// How far a transaction was when a step began.
#[derive(Debug)]
pub(super) struct Mark {
    events: usize,
    stirred: usize,
    changed: usize,
    applied: HashMap<String, u64>,
}

impl Merging {
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    /// A row of this table was written.
    pub(super) fn wrote(&mut self, table: &str) {
        match self.applied.get_mut(table) {
            Some(rows) => *rows += 1,
            None => {
                self.applied.insert(table.to_owned(), 1);
            }
        }
    }

    /// Where to go back to when a step fails.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            events: self.events.len(),
            stirred: self.stirred.len(),
            changed: self.changed.len(),
            applied: self.applied.clone(),
        }
    }

    /// A step has failed.
    pub(super) fn back_to(&mut self, mark: Mark) {
        self.events.truncate(mark.events);
        self.stirred.truncate(mark.stirred);
        self.changed.truncate(mark.changed);
        self.applied = mark.applied;
        self.spaces.clear();
    }

    pub(super) fn committed(&mut self) {
        let mut applied: Vec<_> = self.applied.drain().collect();
        applied.sort();
        self.told.extend(applied.into_iter().map(|(table, rows)| Event::Applied { table, rows }));
        self.told.append(&mut self.events);
        self.forget_transaction();
    }

    pub(super) fn rolled_back(&mut self) {
        self.applied.clear();
        self.events.clear();
        self.due = None;
        self.confirmed = None;
        self.forget_transaction();
    }

    fn forget_transaction(&mut self) {
        self.waiting = None;
        self.spaces.clear();
        self.stirred.clear();
        self.changed.clear();
    }

    pub(super) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.told)
    }
}

/// Tables whose names are remembered although they are not here.
const MOST_ABSENT: usize = 1024;

const COLUMNS: &str = "SELECT gid, owner, hlc, origin, version, tbl, body, reason, waits FROM mqs_pending";

impl Replica {
    /// What is read from the schema is read again when it has changed.
    pub(super) fn look_at_schema(&mut self, database: &mut dyn Database) -> Result<(), StoreError> {
        let rows = database.query("PRAGMA schema_version", &[])?;
        let Some([Value::Integer(version)]) = rows.first().map(Vec::as_slice) else {
            return Err(StoreError::Corrupt("PRAGMA schema_version"));
        };
        if self.merging.schema != Some(*version) {
            self.merging.schema = Some(*version);
            self.merging.triggers.clear();
        }
        Ok(())
    }

    /// Whether anything waits at all: mostly nothing does, and then nobody needs to look.
    pub(super) fn any_waiting(&mut self, database: &mut dyn Database) -> Result<bool, StoreError> {
        if let Some(waiting) = self.merging.waiting {
            return Ok(waiting);
        }
        let waiting = !database.query("SELECT 1 FROM mqs_pending LIMIT 1", &[])?.is_empty();
        self.merging.waiting = Some(waiting);
        Ok(waiting)
    }

    /// The state of a component that waits.
    pub(super) fn waiting(
        &mut self,
        database: &mut dyn Database,
        gid: Gid,
        slot: Slot,
    ) -> Result<Option<Waiting>, StoreError> {
        if !self.any_waiting(database)? {
            return Ok(None);
        }
        let owner = self.slot_owner(database, slot)?;
        let rows = database.query(
            &format!("{COLUMNS} WHERE gid = ?1 AND owner = ?2"),
            &[Value::Blob(gid.0.to_vec()), Value::Integer(owner)],
        )?;
        Ok(self.waiting_rows(rows)?.pop())
    }

    /// All that waits under a condition, with ascending versions.
    pub(super) fn all_waiting(
        &self,
        database: &mut dyn Database,
        condition: &str,
        parameters: &[Value],
    ) -> Result<Vec<Waiting>, StoreError> {
        let rows = database.query(&format!("{COLUMNS} WHERE {condition}"), parameters)?;
        self.waiting_rows(rows)
    }

    fn waiting_rows(&self, rows: Rows) -> Result<Vec<Waiting>, StoreError> {
        rows.into_iter()
            .map(|row| {
                let Ok(
                    [
                        gid,
                        Value::Integer(owner),
                        hlc,
                        origin,
                        version,
                        Value::Blob(table),
                        body,
                        Value::Integer(reason),
                        waits,
                    ],
                ) = <[Value; 9]>::try_from(row)
                else {
                    return Err(StoreError::Corrupt("mqs_pending"));
                };
                Ok(Waiting {
                    component: Component {
                        gid: gid_of(&gid)?,
                        slot: if owner == layout::ROW { Slot::Row } else { Slot::Share(self.origin(owner)?) },
                        table: TableId::from_slice(&table).ok_or(StoreError::Corrupt("mqs_pending.tbl"))?,
                        stamp: self.stamp_of(&hlc, &origin, &version)?,
                        body: match body {
                            Value::Null => None,
                            Value::Blob(body) => Some(body),
                            _ => return Err(StoreError::Corrupt("mqs_pending.body")),
                        },
                    },
                    reason: Reason::from_code(reason).ok_or(StoreError::Corrupt("mqs_pending.reason"))?,
                    row: if waits == Value::Null { None } else { Some(gid_of(&waits)?) },
                })
            })
            .collect()
    }

    /// Keeps a component as it came. The digest is not its business: see [`Replica::replaced`].
    pub(super) fn park(
        &mut self,
        database: &mut dyn Database,
        component: &Component,
        wait: &Wait,
    ) -> Result<(), StoreError> {
        let owner = self.slot_owner(database, component.slot)?;
        let origin = self.number(database, component.stamp.origin)?;
        database.query(
            "INSERT INTO mqs_pending(gid, owner, hlc, origin, version, tbl, body, reason, waits) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT(gid, owner) DO UPDATE SET hlc = excluded.hlc, origin = excluded.origin, version = excluded.version,
             tbl = excluded.tbl, body = excluded.body, reason = excluded.reason, waits = excluded.waits",
            &[
                Value::Blob(component.gid.0.to_vec()),
                Value::Integer(owner),
                hlc_value(component.stamp.hlc),
                Value::Integer(origin),
                version_value(component.stamp.version),
                Value::Blob(component.table.0.to_vec()),
                component.body.clone().map_or(Value::Null, Value::Blob),
                Value::Integer(wait.reason.code()),
                wait.row.map_or(Value::Null, |gid| Value::Blob(gid.0.to_vec())),
            ],
        )?;
        self.merging.waiting = Some(true);
        if wait.reason == Reason::Future {
            self.merging.due = None;
        }
        if let Some(detail) = &wait.detail {
            let table = self.name_of(component.table);
            self.merging.tell(Event::SchemaMismatch { table, detail: detail.clone() });
        }
        Ok(())
    }

    /// A component waits no more.
    pub(super) fn unpark(
        &mut self,
        database: &mut dyn Database,
        gid: Gid,
        slot: Slot,
    ) -> Result<(), StoreError> {
        let owner = self.slot_owner(database, slot)?;
        database.query(
            "DELETE FROM mqs_pending WHERE gid = ?1 AND owner = ?2",
            &[Value::Blob(gid.0.to_vec()), Value::Integer(owner)],
        )?;
        Ok(())
    }

    /// The stamp of the state that waits, which goes if it is older than `stamp`.
    pub(super) fn release(
        &mut self,
        database: &mut dyn Database,
        gid: Gid,
        slot: Slot,
        stamp: Stamp,
    ) -> Result<Option<Stamp>, StoreError> {
        let Some(waiting) = self.waiting(database, gid, slot)? else {
            return Ok(None);
        };
        if waiting.component.stamp < stamp {
            self.unpark(database, gid, slot)?;
        }
        Ok(Some(waiting.component.stamp))
    }

    /// As `mqs_pending.owner` and `mqs_counter.owner` have it.
    pub(super) fn slot_owner(&mut self, database: &mut dyn Database, slot: Slot) -> Result<i64, StoreError> {
        match slot {
            Slot::Row => Ok(layout::ROW),
            Slot::Share(Origin::BASELINE) => Ok(layout::BASELINE),
            Slot::Share(owner) => self.number(database, owner),
        }
    }

    /// Tries what waits for something that has come, within an open transaction that captured before. Returns how many
    /// components are shown now.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn wake(&mut self, database: &mut dyn Database, wake: Wake, now_ms: u64) -> Result<u64, StoreError> {
        let reasons: &[Reason] = match wake {
            Wake::Time => &[Reason::Future],
            Wake::Key => &[Reason::Key],
            Wake::Schema => &[Reason::Schema, Reason::Constraint, Reason::Embedding, Reason::Malformed],
        };
        if wake == Wake::Key {
            self.follow(database)?;
            self.merging.missing.clear();
        }
        if !self.any_waiting(database)? || (wake == Wake::Time && !self.is_due(database, now_ms)?) {
            return Ok(0);
        }
        self.look_at_schema(database)?;
        let mut ready = Vec::new();
        for reason in reasons {
            ready.extend(self.all_waiting(database, "reason = ?1", &[Value::Integer(reason.code())])?);
        }
        ready.sort_by_key(|waiting| waiting.component.stamp);
        if wake == Wake::Time {
            ready.retain(|waiting| self.now.clock.believes(waiting.component.stamp.hlc, now_ms));
            self.merging.due = None;
        }
        self.silence(database, true)?;
        let mut shown = 0;
        for waiting in ready {
            shown += u64::from(self.again(database, &waiting, now_ms)?);
        }
        shown += self.settle(database, now_ms)?;
        self.silence(database, false)?;
        Ok(shown)
    }

    /// Whether time has come for the first of those that are too far ahead.
    fn is_due(&mut self, database: &mut dyn Database, now_ms: u64) -> Result<bool, StoreError> {
        let due = if let Some(due) = self.merging.due {
            due
        } else {
            let first = self.all_waiting(
                database,
                "reason = ?1 ORDER BY hlc LIMIT 1",
                &[Value::Integer(Reason::Future.code())],
            )?;
            let due = first.first().map_or(u64::MAX, |waiting| {
                waiting.component.stamp.hlc.ms().saturating_sub(crate::sync::clock::MAX_SKEW_MS)
            });
            self.merging.due = Some(due);
            due
        };
        Ok(due <= self.now.clock.corrected_ms(now_ms))
    }

    /// As [`Replica::settle`], at the end of a transaction: what was captured may have been waited for too.
    pub(super) fn settle_all(&mut self, database: &mut dyn Database) -> Result<(), StoreError> {
        if (self.merging.stirred.is_empty() && self.merging.changed.is_empty())
            || !self.any_waiting(database)?
        {
            return Ok(());
        }
        self.silence(database, true)?;
        // What waits for a row has been believed already, so the greatest time that was seen is late enough.
        let now_ms = self.now.clock.last().ms();
        self.settle(database, now_ms)?;
        self.silence(database, false)
    }

    /// A row has come, gone or changed.
    pub(super) fn stir(
        &mut self,
        database: &mut dyn Database,
        gid: Gid,
        table: i64,
    ) -> Result<(), StoreError> {
        if self.any_waiting(database)? {
            self.merging.stirred.push(gid);
            if let Some(id) = self.table_numbered(table).map(|table| table.id)
                && !self.merging.changed.contains(&id)
            {
                self.merging.changed.push(id);
            }
        }
        Ok(())
    }

    /// Tries what waits for rows that have come or gone, until nothing more comes of it.
    pub(super) fn settle(&mut self, database: &mut dyn Database, now_ms: u64) -> Result<u64, StoreError> {
        let mut shown = 0;
        while self.any_waiting(database)? {
            let mut ready = if let Some(gid) = self.merging.stirred.pop() {
                self.all_waiting(database, "waits = ?1", &[Value::Blob(gid.0.to_vec())])?
            } else if let Some(table) = self.merging.changed.pop() {
                self.merging.changed.retain(|other| *other != table);
                self.all_waiting(
                    database,
                    "tbl = ?1 AND reason = ?2",
                    &[Value::Blob(table.0.to_vec()), Value::Integer(Reason::Constraint.code())],
                )?
            } else {
                break;
            };
            ready.sort_by_key(|waiting| waiting.component.stamp);
            for waiting in ready {
                shown += u64::from(self.again(database, &waiting, now_ms)?);
            }
        }
        self.merging.stirred.clear();
        self.merging.changed.clear();
        Ok(shown)
    }

    /// The name of a table for which something waits. Of one that is not here, a row that waits tells it.
    fn name_of_waiting(&self, database: &mut dyn Database, id: TableId) -> Result<String, StoreError> {
        if self.table_identified(id).is_none() && !self.merging.absent.contains_key(&id) {
            let rows = self.all_waiting(
                database,
                "tbl = ?1 AND owner = ?2 AND body IS NOT NULL LIMIT 1",
                &[Value::Blob(id.0.to_vec()), Value::Integer(layout::ROW)],
            )?;
            let told = rows.first().and_then(|waiting| self.told_by(&waiting.component));
            if let Some(name) = told {
                return Ok(name);
            }
        }
        Ok(self.name_of(id))
    }

    /// The name of its table as a row has it; `None`: it is no row, does not open, or lies.
    fn told_by(&self, component: &Component) -> Option<String> {
        if component.slot != Slot::Row {
            return None;
        }
        let content = Content::decode(&self.unsealed(component).ok()??).ok()?;
        (table_id(self.now.naming.as_ref(), &content.table) == component.table).then_some(content.table)
    }

    /// Remembers what a table is called that is not here.
    pub(super) fn miss(&mut self, component: &Component) {
        if self.merging.absent.len() < MOST_ABSENT
            && !self.merging.absent.contains_key(&component.table)
            && let Some(name) = self.told_by(component)
        {
            self.merging.absent.insert(component.table, name);
        }
    }

    /// How many components wait, by table and reason.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn parked(&self, database: &mut dyn Database) -> Result<Vec<(String, Reason, u64)>, StoreError> {
        let rows =
            database.query("SELECT tbl, reason, count(*) FROM mqs_pending GROUP BY tbl, reason", &[])?;
        rows.into_iter()
            .map(|row| {
                let Ok([Value::Blob(table), Value::Integer(reason), Value::Integer(count)]) =
                    <[Value; 3]>::try_from(row)
                else {
                    return Err(StoreError::Corrupt("mqs_pending"));
                };
                let id = TableId::from_slice(&table).ok_or(StoreError::Corrupt("mqs_pending.tbl"))?;
                let name = self.name_of_waiting(database, id)?;
                let reason = Reason::from_code(reason).ok_or(StoreError::Corrupt("mqs_pending.reason"))?;
                Ok((name, reason, count.unsigned_abs()))
            })
            .collect()
    }
}
