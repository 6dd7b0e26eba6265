//! What becomes of the rows that refer to one that is deleted: done here, before SQLite's own foreign keys would do it, since
//! the truth of those rows has to be kept as it is. See [`super::references`] for the rule.

use std::collections::HashSet;
use std::sync::Arc;

use super::pending::{Reason, Wait};
use super::references::Action;
use super::states::RowState;
use super::write::{quoted, stored};
use super::{Event, Replica};
use crate::sync::component::{Component, Slot};
use crate::sync::database::{Database, Value};
use crate::sync::identity::Gid;
use crate::sync::row::Cell;
use crate::sync::store::StoreError;
use crate::sync::table::{Kind, Table};

/// A row that goes with another one.
struct Follower {
    table: Arc<Table>,
    state: RowState,
    rid: Value,
    parent: Gid,
}

impl Replica {
    /// A row of `table`, still in the user's table, is about to go: the rows that refer to it follow their foreign keys, and
    /// those that refer to them, however deep.
    pub(super) fn orphan(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        gid: Gid,
        rid: &Value,
    ) -> Result<(), StoreError> {
        // Rows may refer to one another in a circle.
        let mut seen = HashSet::from([gid]);
        let mut followers: Vec<Follower> = Vec::new();
        let mut bent = Vec::new();
        let mut next = 0;
        let (mut name, mut gid, mut rid) = (table.name.clone(), gid, rid.clone());
        loop {
            for child in self.tables.clone() {
                for column in &child.columns {
                    // Columns that say by a word what they refer to have no foreign key: they are left as they are.
                    if column.kind != Kind::Reference(name.clone()) {
                        continue;
                    }
                    let action = self.action(database, &child, &column.name, &name)?;
                    if action == Action::Loose {
                        continue;
                    }
                    for row in Self::referring(database, &child, &column.name, &rid)? {
                        let Some(state) = self.local_row(database, child.local, &row)? else {
                            // Never captured: not a row of ours, so SQLite does with it what it does.
                            continue;
                        };
                        if action != Action::Follow {
                            bent.push((child.clone(), state, row, column.name.clone(), gid));
                        } else if seen.insert(state.gid) {
                            followers.push(Follower { table: child.clone(), state, rid: row, parent: gid });
                        }
                    }
                }
            }
            let Some(follower) = followers.get(next) else { break };
            (name, gid, rid) = (follower.table.name.clone(), follower.state.gid, follower.rid.clone());
            next += 1;
        }
        for (child, state, row, column, parent) in bent {
            if !seen.contains(&state.gid) {
                self.bend(database, &child, &state, &row, &column, parent)?;
            }
        }
        // The last ones first, so that none takes others with it unseen.
        for Follower { table, state, rid, parent } in followers.into_iter().rev() {
            self.hide(database, &table, &state, &rid, parent)?;
        }
        Ok(())
    }

    fn referring(
        database: &mut dyn Database,
        child: &Table,
        column: &str,
        rid: &Value,
    ) -> Result<Vec<Value>, StoreError> {
        let sql = format!(
            "SELECT {} FROM {} WHERE {} = ?1",
            Self::key_expression(child),
            stored(&child.name),
            quoted(column)
        );
        let rows = database.query(&sql, std::slice::from_ref(rid))?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next()).collect())
    }

    /// The component of a row as it is true: what waits under the same stamp, or what the user's table holds.
    pub(super) fn truth(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        state: &RowState,
    ) -> Result<Option<Component>, StoreError> {
        if let Some(waiting) = self.waiting(database, state.gid, Slot::Row)?
            && waiting.component.stamp >= state.stamp
        {
            return Ok(Some(waiting.component));
        }
        let Some(rid) = &state.rid else {
            return Ok(Some(Component {
                gid: state.gid,
                slot: Slot::Row,
                table: table.id,
                stamp: state.stamp,
                body: None,
            }));
        };
        let Some(content) = self.content(database, table, rid)? else {
            return Ok(None);
        };
        let body = self.sealed(table.id, state.gid, Slot::Row, state.stamp, content.encode())?;
        Ok(Some(Component {
            gid: state.gid,
            slot: Slot::Row,
            table: table.id,
            stamp: state.stamp,
            body: Some(body),
        }))
    }

    /// A row goes with one that it belongs to. It is no tombstone: should the other come back, so does this.
    fn hide(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        state: &RowState,
        rid: &Value,
        parent: Gid,
    ) -> Result<(), StoreError> {
        let truth = self.truth(database, table, state)?;
        self.remove(database, table, rid)?;
        database.query("DELETE FROM mqs_row WHERE gid = ?1", &[Value::Blob(state.gid.0.to_vec())])?;
        match truth {
            Some(truth) if truth.body.is_some() => {
                self.park(database, &truth, &Wait::row(Reason::Orphan, parent))?
            }
            Some(_) => {}
            // The user's table had lost it unseen: nothing is left to keep.
            None => self.replaced(state.gid, Slot::Row, Some(state.stamp), None),
        }
        self.merging.stirred.push(state.gid);
        Ok(())
    }

    /// A row loses a reference that it can do without.
    fn bend(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        state: &RowState,
        rid: &Value,
        column: &str,
        parent: Gid,
    ) -> Result<(), StoreError> {
        let Some(truth) = self.truth(database, table, state)? else {
            return Ok(());
        };
        let Some(mut content) = self.content(database, table, rid)? else {
            return Ok(());
        };
        if let Some((_, cell)) = content.cells.iter_mut().find(|(name, _)| name == column) {
            *cell = Cell::Value(Value::Null);
        }
        self.change(database, table, rid, &[(column.to_owned(), Value::Null)])?;
        let fingerprint = self.fingerprint(&content);
        database.query(
            "UPDATE mqs_row SET fingerprint = ?2 WHERE gid = ?1",
            &[Value::Blob(state.gid.0.to_vec()), Value::Blob(fingerprint.to_vec())],
        )?;
        // What waits under a greater stamp stays as it is.
        if truth.stamp == state.stamp {
            self.park(database, &truth, &Wait::row(Reason::Bent, parent))?;
        }
        Ok(())
    }

    /// Deletes a row and its embedding from the user's tables.
    pub(super) fn remove(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        rid: &Value,
    ) -> Result<(), StoreError> {
        if let Some(embedding) = &table.embedding {
            let sql = format!(
                "DELETE FROM {} WHERE {} = ?1 RETURNING 1",
                stored(&embedding.name),
                quoted(&embedding.key)
            );
            if !database.query(&sql, std::slice::from_ref(rid))?.is_empty() {
                self.merging.tell(Event::Vectors {
                    table: table.name.clone(),
                    rid: rid.clone(),
                    vector: None,
                });
            }
        }
        database.query(
            &format!("DELETE FROM {} WHERE {}", stored(&table.name), Self::key_condition(table)),
            std::slice::from_ref(rid),
        )?;
        self.merging.wrote(&table.name);
        if !self.merging.changed.contains(&table.id) {
            self.merging.changed.push(table.id);
        }
        Ok(())
    }
}
