//! References on their way in: gids become local keys. What a reference to a row that was deleted does follows from the schema
//! alone, so that it is the same on all nodes and in any order of arrival:
//!
//! | the reference | the row with it |
//! | --- | --- |
//! | a foreign key ON DELETE CASCADE, or NOT NULL | went with the row that it belongs to ([`Reason::Orphan`]) |
//! | any other foreign key | is shown with NULL there ([`Reason::Bent`]) |
//! | no foreign key (AgentDB's edges between memories of any kind) | is shown with NULL or 0 there ([`Reason::Bent`]) |
//!
//! In all cases its truth is kept as it came, and it is shown whole when the other row comes back (a later write wins over the
//! deletion).

use super::Replica;
use super::pending::{Reason, Wait};
use super::write::quoted;
use crate::sync::component::Slot;
use crate::sync::database::{Database, Value};
use crate::sync::identity::Gid;
use crate::sync::row::{Cell, Content};
use crate::sync::store::StoreError;
use crate::sync::table::{Kind, Table};

/// Where a row that is referred to stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    /// In the user's table, under this key.
    Here(Value),
    /// It was deleted, or went with one that was.
    Gone,
    /// Nothing is known of it yet, or it waits itself.
    Unknown,
}

/// What the schema says of a reference whose row is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The row goes too.
    Follow,
    /// The row stays, without the reference.
    Clear,
    /// No foreign key: the row is left as it is, and shown without the reference where it arrives later.
    Loose,
}

/// A row as it is to be shown.
#[derive(Debug)]
pub(super) struct Shown {
    /// Column and value, in the order of the content.
    pub(super) columns: Vec<(String, Value)>,
    /// Columns that refer to the row itself.
    pub(super) own: Vec<String>,
    /// What is shown, where it is not what came: references left out, columns that are not here.
    pub(super) content: Option<Content>,
    /// A reference that was left out, to a row that is gone.
    pub(super) bent: Option<Gid>,
}

impl Replica {
    /// Where a row stands.
    pub(super) fn target(&mut self, database: &mut dyn Database, gid: Gid) -> Result<Target, StoreError> {
        if let Some(state) = self.row(database, gid)? {
            return Ok(state.rid.map_or(Target::Gone, Target::Here));
        }
        Ok(match self.waiting(database, gid, Slot::Row)? {
            Some(waiting) if waiting.reason == Reason::Orphan => Target::Gone,
            _ => Target::Unknown,
        })
    }

    /// What happens to rows of `table` when the row that `column` refers to, in the table `target`, is gone.
    pub(super) fn action(
        &self,
        database: &mut dyn Database,
        table: &Table,
        column: &str,
        target: &str,
    ) -> Result<Action, StoreError> {
        let not_null = table.columns.iter().any(|other| other.name == column && other.not_null);
        for row in database.query(&format!("PRAGMA main.foreign_key_list({})", quoted(&table.name)), &[])? {
            let [_, _, Value::Text(to), Value::Text(from), _, _, Value::Text(on_delete), ..] = row.as_slice()
            else {
                continue;
            };
            if from.eq_ignore_ascii_case(column) && to.eq_ignore_ascii_case(target) {
                let follow = not_null || on_delete.eq_ignore_ascii_case("CASCADE");
                return Ok(if follow { Action::Follow } else { Action::Clear });
            }
        }
        Ok(Action::Loose)
    }

    /// Translates what came for a row; or says what it waits for.
    pub(super) fn translate(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        gid: Gid,
        content: &Content,
    ) -> Result<Result<Shown, Wait>, StoreError> {
        let mut shown = Shown {
            columns: Vec::with_capacity(content.cells.len()),
            own: Vec::new(),
            content: None,
            bent: None,
        };
        for (name, cell) in &content.cells {
            let Some(column) = table.columns.iter().find(|column| column.name == *name) else {
                if *cell == Cell::Value(Value::Null) {
                    continue;
                }
                return Ok(Err(Wait::because(
                    Reason::Schema,
                    format!("column {name} is not here, and a row has a value in it"),
                )));
            };
            let target_table = match (&column.kind, cell) {
                (Kind::Counted | Kind::Local, _) => continue,
                (_, Cell::Value(value)) => {
                    shown.columns.push((name.clone(), value.clone()));
                    continue;
                }
                (Kind::Plain, Cell::Reference(_)) => {
                    return Ok(Err(Wait::because(
                        Reason::Schema,
                        format!("column {name} refers to no table here"),
                    )));
                }
                (Kind::Reference(target), Cell::Reference(_)) => Some(target.clone()),
                (Kind::Tagged(by, tables), Cell::Reference(_)) => {
                    let word = content.cells.iter().find(|(other, _)| other == by).map(|(_, cell)| cell);
                    tables
                        .iter()
                        .find(|(tag, _)| word == Some(&Cell::Value(Value::Text(tag.clone()))))
                        .map(|(_, target)| target.clone())
                }
            };
            let Cell::Reference(other) = cell else { continue };
            if *other == gid {
                shown.own.push(name.clone());
                shown.columns.push((name.clone(), Value::Null));
                continue;
            }
            match self.target(database, *other)? {
                Target::Here(rid) => shown.columns.push((name.clone(), rid)),
                Target::Unknown => return Ok(Err(Wait::row(Reason::Parent, *other))),
                Target::Gone => {
                    let action = match target_table {
                        Some(target) => self.action(database, table, name, &target)?,
                        None => Action::Loose,
                    };
                    if action == Action::Follow {
                        return Ok(Err(Wait::row(Reason::Orphan, *other)));
                    }
                    let left = if column.not_null { Value::Integer(0) } else { Value::Null };
                    let bent = shown.content.get_or_insert_with(|| content.clone());
                    if let Some((_, cell)) = bent.cells.iter_mut().find(|(other, _)| other == name) {
                        *cell = Cell::Value(left.clone());
                    }
                    shown.columns.push((name.clone(), left));
                    shown.bent = Some(*other);
                }
            }
        }
        Ok(Ok(shown))
    }
}
