//! Capture: what the user's program has written since the last time becomes states with stamps.
//!
//! Triggers leave a set of touched rows (`mqs_dirty`), not a log: AgentDB's own nested triggers make four entries of one update.
//! Each touched row is read as it is now and compared with its last state, so that what changed nothing is dropped. All that one
//! capture finds has one time, and every component a version of its own.

use std::collections::HashSet;
use std::sync::Arc;

use super::content::{Local, Shown};
use super::states::{RowState, ShareState};
use super::write::{quoted, stored};
use super::{Event, Replica, layout};
use crate::sync::clock::Hlc;
use crate::sync::component::Stamp;
use crate::sync::database::{Database, Value};
use crate::sync::identity::{Gid, Origin};
use crate::sync::row::{Content, Mean, Share};
use crate::sync::store::StoreError;
use crate::sync::table::{Counters, Key, Kind, Table};
use crate::sync::tables::Declared;

/// What a capture did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Components that were published.
    pub rows: u64,
    /// Whether there is more to capture.
    pub more: bool,
}

/// Rows that refer to rows that are not captured yet are followed this far in one go.
const MAX_DEPTH: usize = 24;

/// What a mean may differ by from what it was without being another one: the last bits of a sum of doubles.
const SAME: f64 = 1e-12;

/// What capturing keeps in mind.
#[derive(Debug, Default)]
pub(super) struct Capturing {
    /// `PRAGMA schema_version` for which the triggers were looked at last.
    pub(super) schema: Option<i64>,
    /// Whether that was in the open transaction: what was made then goes when it is rolled back.
    pub(super) verified: bool,
    /// Whether the tables were resolved once, so that a table that is missing now was dropped.
    pub(super) opened: bool,
    /// The user's choice of tables.
    pub(super) wanted: Option<Vec<String>>,
    pub(super) declared: Vec<Declared>,
    /// Whether rows that were there at the beginning still wait to be entered.
    pub(super) installing: bool,
    /// Whether rows that were touched before this life began may still wait. A copy of the file has them too, so they get gids
    /// by their content: both copies then speak of one row.
    pub(super) inherited: bool,
    /// Where the sweep is: the table's place, in which half of it, and the last key that it has seen.
    pub(super) sweep: (usize, bool, Option<Value>),
    /// The length of the embeddings of a table, by its number and their model.
    lengths: Vec<(i64, Value, usize)>,
    /// The time of this capture, once there was something to stamp.
    hlc: Option<Hlc>,
    now_ms: u64,
    published: u64,
    /// Rows that are being captured, the innermost last, with their gids as far as they are known.
    progress: Vec<(i64, Value, Option<Gid>)>,
    /// Rows with an embedding that is none, which were complained of.
    parked: HashSet<(i64, String)>,
}

impl Capturing {
    pub(super) fn of(wanted: Option<Vec<String>>, declared: Vec<Declared>) -> Self {
        Self { wanted, declared, ..Self::default() }
    }
}

impl Replica {
    /// Whether any row of a replicated table was touched since the last capture.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn is_dirty(&self, database: &mut dyn Database) -> Result<bool, StoreError> {
        let sql = format!("SELECT 1 FROM mqs_dirty WHERE tbl IN ({}) LIMIT 1", self.numbers());
        Ok(!database.query(&sql, &[])?.is_empty())
    }

    /// How many rows stay here for their embedding, by table: those that were seen since the database was opened.
    #[must_use]
    pub fn withheld(&self) -> Vec<(String, u64)> {
        let rows_of = |number| self.capturing.parked.iter().filter(|(local, _)| *local == number).count();
        let counted = self.tables.iter().map(|table| (table.name.clone(), rows_of(table.local) as u64));
        counted.filter(|(_, rows)| *rows > 0).collect()
    }

    /// The numbers of the replicated tables, for a condition.
    pub(super) fn numbers(&self) -> String {
        self.tables.iter().map(|table| table.local.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Captures at most `limit` rows that were touched, in the open transaction; before the first of them the rows that were
    /// there at the beginning.
    ///
    /// # Errors
    ///
    /// What SQLite says; the transaction is to be rolled back.
    pub fn capture(
        &mut self,
        database: &mut dyn Database,
        now_ms: u64,
        limit: usize,
    ) -> Result<Captured, StoreError> {
        self.start(now_ms);
        if self.schema_changed(database)? {
            self.verify(database, now_ms)?;
        }
        if self.capturing.installing {
            self.install_page(database, limit)?;
            return Ok(Captured { rows: self.capturing.published, more: true });
        }
        if self.tables.is_empty() {
            return Ok(Captured::default());
        }
        let count = Value::Integer(i64::try_from(limit.max(1)).unwrap_or(i64::MAX));
        let numbers = self.numbers();
        let page = database.query(
            &format!("SELECT tbl, rid FROM mqs_dirty WHERE tbl IN ({numbers}) ORDER BY tbl, rid LIMIT ?1"),
            std::slice::from_ref(&count),
        )?;
        // Not by their values: a key that is no valid text comes back as another one, and would never go.
        let gone = format!(
            "DELETE FROM mqs_dirty WHERE (tbl, rid) IN (SELECT tbl, rid FROM mqs_dirty WHERE tbl IN ({numbers}) ORDER BY tbl, rid LIMIT ?1)"
        );
        if !page.is_empty() {
            database.query(&gone, &[count])?;
        }
        let more = page.len() >= limit.max(1);
        for row in page {
            let Ok([Value::Integer(number), rid]) = <[Value; 2]>::try_from(row) else {
                return Err(StoreError::Corrupt("mqs_dirty"));
            };
            if let Some(table) = self.table_numbered(number).cloned() {
                self.capture_row(database, &table, &rid, false)?;
            }
        }
        let more = more || self.is_dirty(database)?;
        self.capturing.inherited &= more;
        Ok(Captured { rows: self.capturing.published, more })
    }

    /// A new capture begins.
    pub(super) fn start(&mut self, now_ms: u64) {
        self.capturing.hlc = None;
        self.capturing.now_ms = now_ms;
        self.capturing.published = 0;
        self.capturing.progress.clear();
    }

    /// A row is looked at again at the next capture.
    pub(super) fn mark(
        &self,
        database: &mut dyn Database,
        table: i64,
        rid: &Value,
    ) -> Result<(), StoreError> {
        database.query(
            "INSERT INTO mqs_dirty(tbl, rid) VALUES(?1, ?2) ON CONFLICT(tbl, rid) DO NOTHING",
            &[Value::Integer(table), rid.clone()],
        )?;
        Ok(())
    }

    fn next_stamp(&mut self) -> Stamp {
        self.capturing.published += 1;
        let hlc = match self.capturing.hlc {
            // What was merged in the same transaction may have moved the clock on.
            Some(hlc) if hlc == self.now.clock.last() => hlc,
            _ => self.now.clock.stamp(self.capturing.now_ms),
        };
        self.capturing.hlc = Some(hlc);
        self.stamp_at(hlc)
    }

    /// The gid of a row that another one (`from`) refers to; `None`: it is not there, or not to be had now, in which case
    /// `from` is looked at again.
    pub(super) fn referred(
        &mut self,
        database: &mut dyn Database,
        from: (i64, &Value),
        target: &Arc<Table>,
        rid: &Value,
    ) -> Result<Option<Gid>, StoreError> {
        if let Some(state) = self.local_row(database, target.local, rid)? {
            return Ok(Some(state.gid));
        }
        let current =
            self.capturing.progress.iter().find(|(table, key, _)| *table == target.local && key == rid);
        let again = match current {
            Some((_, _, Some(gid))) => return Ok(Some(*gid)),
            Some((_, _, None)) => true,
            None => self.capturing.progress.len() >= MAX_DEPTH,
        };
        if again {
            self.mark(database, from.0, from.1)?;
            return Ok(None);
        }
        let installing = self.capturing.installing;
        self.capture_row(database, target, rid, installing)
    }

    /// Captures one row as it is now. `installing`: it was there before replication.
    pub(super) fn capture_row(
        &mut self,
        database: &mut dyn Database,
        table: &Arc<Table>,
        rid: &Value,
        installing: bool,
    ) -> Result<Option<Gid>, StoreError> {
        let before = self.local_row(database, table.local, rid)?;
        let Some(local) = self.local(database, table, rid)? else {
            self.capturing.parked.remove(&(table.local, format!("{rid:?}")));
            if let Some(state) = before {
                self.orphan(database, table, state.gid, rid)?;
                self.bury(database, state)?;
            }
            return Ok(None);
        };
        if let Some(detail) = self.bad_embedding(database, table, &local)? {
            if self.capturing.parked.insert((table.local, format!("{rid:?}"))) {
                self.merging.tell(Event::SchemaMismatch {
                    table: table.name.clone(),
                    detail: format!("the row {} stays here: {detail}", shown_key(rid)),
                });
            }
            return Ok(before.map(|state| state.gid));
        }
        let was_parked = self.capturing.parked.remove(&(table.local, format!("{rid:?}")));
        self.capturing.progress.push((table.local, rid.clone(), before.as_ref().map(|state| state.gid)));
        let gid = self.capture_present(database, table, rid, local, before, installing);
        self.capturing.progress.pop();
        if was_parked {
            self.mark_referring(database, table, rid)?;
        }
        gid.map(Some)
    }

    /// A row that is gone, or has become another one.
    fn bury(&mut self, database: &mut dyn Database, state: RowState) -> Result<(), StoreError> {
        let (gid, before, stamp) = (state.gid, state.stamp, self.next_stamp());
        self.put_row(
            database,
            &RowState { rid: None, stamp, fingerprint: [0; 8], shown: None, ..state },
            Some(before),
        )?;
        self.merging.stirred.push(gid);
        Ok(())
    }

    fn capture_present(
        &mut self,
        database: &mut dyn Database,
        table: &Arc<Table>,
        rid: &Value,
        local: Local,
        mut before: Option<RowState>,
        installing: bool,
    ) -> Result<Gid, StoreError> {
        let natural = self.natural_of(database, table, rid, &local)?;
        if let (Some(natural), Some(state)) = (natural, &before)
            && state.gid != natural
        {
            // Its key has changed: for all others the old row is gone, and whatever refers to it refers to a new one.
            before.take().map_or(Ok(()), |state| self.bury(database, state))?;
            self.mark_referring(database, table, rid)?;
        }
        if let (Some(natural), None) = (natural, &before) {
            before = self.row(database, natural)?;
        }
        let mut known = before.as_ref().map(|state| state.gid).or(natural);
        if known.is_none() && !installing && !self.capturing.inherited {
            known = Some(self.mint(self.capturing.now_ms));
        }
        if let Some(last) = self.capturing.progress.last_mut() {
            last.2 = known;
        }
        let seen = table.counters.as_ref().map(|counters| local.shown(table, counters));
        let content = self.content_of(database, table, rid, local)?;
        let gid = match known {
            Some(gid) => gid,
            None => self.unused_gid(database, table, &content, (!installing).then(|| self.own()))?,
        };
        let fingerprint = self.fingerprint(&content);
        let lives = before.as_ref().is_some_and(|state| state.rid.is_some());
        let changed = !lives || before.as_ref().is_none_or(|state| state.fingerprint != fingerprint);
        let stamp = match &before {
            Some(state) if !changed => state.stamp,
            None if installing => {
                self.capturing.published += 1;
                self.stamp_at(Hlc::default())
            }
            _ => self.next_stamp(),
        };
        let owner = if installing && before.is_none() { layout::BASELINE } else { self.now.own };
        let counted = match (&table.counters, &seen) {
            (Some(counters), Some(seen)) => {
                self.count(database, gid, counters, seen, before.as_ref(), owner)?
            }
            _ => None,
        };
        let shown = counted.as_ref().map(Share::encode);
        let moved =
            before.as_ref().is_none_or(|state| state.rid.as_ref() != Some(rid) || state.shown != shown);
        if changed || moved {
            let state =
                RowState { gid, table: table.local, rid: Some(rid.clone()), stamp, fingerprint, shown };
            self.put_row(database, &state, before.as_ref().map(|state| state.stamp))?;
        }
        if changed {
            self.merging.stirred.push(gid);
        }
        if let (Some(counters), Some(total), Some(seen)) = (&table.counters, &counted, &seen) {
            self.show_exactly(database, table, rid, counters, total, seen)?;
        }
        Ok(gid)
    }

    /// All nodes show the same bits: where what the program wrote differs in its last ones from what the shares come to, the sum
    /// is shown here too.
    fn show_exactly(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        rid: &Value,
        counters: &Counters,
        total: &Share,
        seen: &Shown,
    ) -> Result<(), StoreError> {
        let exact = total.count == seen.count
            && total.means.iter().zip(&seen.means).all(|(mean, &seen)| displayed(total.count, mean) == seen);
        if exact {
            return Ok(());
        }
        let silent =
            database.query("SELECT v FROM mqs_meta WHERE k = 'applying'", &[])? == [[Value::Integer(1)]];
        self.silence(database, true)?;
        self.change(database, table, rid, &total.display(counters))?;
        if !silent {
            self.silence(database, false)?;
        }
        Ok(())
    }

    /// Puts what was counted here into the share of `owner`; says what all shares come to, `None` where nobody counted.
    fn count(
        &mut self,
        database: &mut dyn Database,
        gid: Gid,
        counters: &Counters,
        now: &Shown,
        before: Option<&RowState>,
        owner: i64,
    ) -> Result<Option<Share>, StoreError> {
        let means = counters.means.len();
        let last = match before {
            None => Share { count: 0, means: vec![Mean::default(); means] },
            Some(RowState { rid: Some(_), shown: Some(shown), .. }) => {
                Share::decode(shown).map_err(|_| StoreError::Corrupt("mqs_row.shown"))?
            }
            Some(_) => Share::total(&self.shares(database, gid)?, means),
        };
        let unchanged = now.count == last.count
            && now.means.iter().zip(&last.means).all(|(&now, mean)| same(now, displayed(last.count, mean)));
        if unchanged {
            let nothing =
                last.count == 0 && last.means.iter().all(|mean| mean.sum == 0.0 && mean.prior.is_none());
            return Ok((!nothing).then_some(last));
        }
        let share = self.share(database, gid, owner)?;
        if owner != layout::BASELINE {
            self.keep_base(database, gid, share.as_ref())?;
        }
        let mut state = ShareState {
            owner,
            stamp: Stamp { hlc: Hlc::default(), origin: Origin::BASELINE, version: 0 },
            share: share.as_ref().map_or_else(
                || Share { count: 0, means: vec![Mean::default(); means] },
                |share| share.share.clone(),
            ),
        };
        state.share.means.resize(means, Mean::default());
        state.share.count = state.share.count.saturating_add(now.count.saturating_sub(last.count));
        for ((mean, last_mean), &value) in state.share.means.iter_mut().zip(&last.means).zip(&now.means) {
            if now.count == last.count && same(value, displayed(last.count, last_mean)) {
                continue;
            }
            let sum = mean.sum + (value * now.count.max(0) as f64 - last_mean.sum);
            mean.sum = if sum.is_finite() { sum } else { 0.0 };
            if now.count <= 0 && !same(value, last_mean.prior.unwrap_or(0.0)) {
                mean.prior = Some(value);
            }
        }
        state.stamp = if owner == layout::BASELINE {
            self.capturing.published += 1;
            // A baseline has its count in place of the time, so that the greatest wins.
            self.stamp_at(Hlc(state.share.count.max(0).unsigned_abs()))
        } else {
            self.next_stamp()
        };
        self.put_share(database, gid, &state, share.map(|share| share.stamp))?;
        Ok(Some(Share::total(&self.shares(database, gid)?, means)))
    }

    /// The first gid for a content that was there at the beginning that no row has. Rows of one content have consecutive
    /// occurrences, so that the first free one is found by doubling and halving.
    fn unused_gid(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        content: &Content,
        salt: Option<Origin>,
    ) -> Result<Gid, StoreError> {
        let mut taken = |replica: &Self, occurrence: u64| {
            Ok::<_, StoreError>(
                replica.row(database, replica.gid_by_content(table, content, salt, occurrence))?.is_some(),
            )
        };
        let mut free = 0;
        while taken(self, free)? {
            free = free * 2 + 1;
        }
        let mut used = free / 2;
        while free > 0 && used + 1 < free {
            let middle = used.midpoint(free);
            if taken(self, middle)? {
                used = middle;
            } else {
                free = middle;
            }
        }
        Ok(self.gid_by_content(table, content, salt, free))
    }

    /// Marks the rows that refer to a row, since what they refer to has another gid now.
    fn mark_referring(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        rid: &Value,
    ) -> Result<(), StoreError> {
        for child in self.tables.clone() {
            for column in &child.columns {
                let (condition, mut values) = match &column.kind {
                    Kind::Reference(target) if *target == table.name => (String::new(), Vec::new()),
                    Kind::Tagged(by, words) => {
                        let Some((word, _)) = words.iter().find(|(_, target)| *target == table.name) else {
                            continue;
                        };
                        (format!(" AND {} = ?3", quoted(by)), vec![Value::Text(word.clone())])
                    }
                    _ => continue,
                };
                let sql = format!(
                    "INSERT INTO mqs_dirty(tbl, rid) SELECT ?1, {} FROM {} WHERE {} = ?2{condition} AND {} ON CONFLICT(tbl, rid) DO NOTHING",
                    Self::key_expression(&child),
                    stored(&child.name),
                    quoted(&column.name),
                    Self::key_guard(&child, ""),
                );
                let mut parameters = vec![Value::Integer(child.local), rid.clone()];
                parameters.append(&mut values);
                database.query(&sql, &parameters)?;
            }
        }
        Ok(())
    }

    /// What is wrong with a row's embedding: a vector is whole floats, all finite, as many as its table's others have.
    fn bad_embedding(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        local: &Local,
    ) -> Result<Option<String>, StoreError> {
        let (Some(place), Some(embedding)) = (&table.embedding, &local.embedding) else {
            return Ok(None);
        };
        let length = embedding.vector.len();
        let (floats, rest) = embedding.vector.as_chunks::<4>();
        if length == 0 || !rest.is_empty() {
            return Ok(Some(format!("its embedding of {length} bytes is not a vector of 32-bit floats")));
        }
        if let Some(number) = floats.iter().position(|float| !f32::from_le_bytes(*float).is_finite()) {
            return Ok(Some(format!("number {number} of its embedding is not finite")));
        }
        let wanted = match local.dimensions {
            Value::Integer(dimensions) => usize::try_from(dimensions).unwrap_or(0).saturating_mul(4),
            _ => {
                let known = self
                    .capturing
                    .lengths
                    .iter()
                    .position(|(number, model, _)| *number == table.local && *model == embedding.model);
                if let Some(known) = known {
                    if self.capturing.lengths[known].2 == length {
                        return Ok(None);
                    }
                    self.capturing.lengths.swap_remove(known);
                }
                let (vector, key) = (quoted(&place.vector), quoted(&place.key));
                let model = place.model.as_ref().map_or_else(|| "NULL".to_owned(), |model| quoted(model));
                // What is no vector has no say; of lengths that are equally frequent, the one that was there first is right.
                let sql = format!(
                    "SELECT size, count(*), min(k) FROM (SELECT length({vector}) AS size, {key} AS k FROM {} WHERE {model} IS ?1 ORDER BY {key} DESC LIMIT 64)
                     WHERE size > 0 AND size % 4 = 0 GROUP BY size ORDER BY 2 DESC, 3 LIMIT 1",
                    stored(&place.name)
                );
                let usual = match database
                    .query(&sql, std::slice::from_ref(&embedding.model))?
                    .first()
                    .map(Vec::as_slice)
                {
                    Some([Value::Integer(size), ..]) => usize::try_from(*size).unwrap_or(length),
                    _ => length,
                };
                self.capturing.lengths.push((table.local, embedding.model.clone(), usual));
                usual
            }
        };
        Ok((wanted != length).then(|| format!("its embedding has {length} bytes where {wanted} are right")))
    }

    /// As [`Replica::key_condition`] for a table named `t`, also where the key's collation takes different texts for one.
    pub(super) fn exact_condition(table: &Table) -> String {
        let exact = |name: &str, value: &str| {
            format!("t.{0} = {value} AND t.{0} = {value} COLLATE BINARY", quoted(name))
        };
        match &table.key {
            Key::Rowid(name) => format!("t.{} = ?1", quoted(name)),
            Key::Columns(names) if names.len() == 1 => exact(&names[0], "?1"),
            Key::Columns(names) => {
                let columns = names
                    .iter()
                    .enumerate()
                    .map(|(place, name)| exact(name, &format!("json_extract(?1, '$[{place}]')")));
                columns.collect::<Vec<_>>().join(" AND ")
            }
        }
    }

    /// Whether a row's key is one that can be replicated: not NULL, and for several columns only what JSON carries exactly.
    pub(super) fn key_guard(table: &Table, prefix: &str) -> String {
        match &table.key {
            Key::Rowid(_) => "1".to_owned(),
            Key::Columns(names) if names.len() == 1 => format!("{prefix}{} IS NOT NULL", quoted(&names[0])),
            Key::Columns(names) => names
                .iter()
                .map(|name| format!("typeof({prefix}{}) IN ('integer', 'text')", quoted(name)))
                .collect::<Vec<_>>()
                .join(" AND "),
        }
    }
}

/// A key for a reader.
fn shown_key(key: &Value) -> String {
    match key {
        Value::Integer(key) => key.to_string(),
        Value::Text(key) => format!("{key:?}"),
        other => format!("{other:?}"),
    }
}

/// What a table shows of a mean.
fn displayed(count: i64, mean: &Mean) -> f64 {
    if count > 0 { mean.sum / count as f64 } else { mean.prior.unwrap_or(0.0) }
}

fn same(one: f64, other: f64) -> bool {
    (one - other).abs() <= SAME * one.abs().max(other.abs()).max(1.0)
}
