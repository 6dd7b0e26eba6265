//! Rows into the user's tables: by INSERT and UPDATE, never by REPLACE, which would delete what hangs on a row (its embedding,
//! its events) and tell no trigger.
//!
//! While `applying` is set in `mqs_meta`, the capturing triggers are silent. The user's own triggers are not, and may overwrite
//! what was written (AgentDB's set `last_used_at` to the local time): what differs afterwards is set again, once. A column that
//! its table's trigger sets on every update stays as the trigger has it; AgentDB's `updated_at` is such a one.

use super::references::Shown;
use super::{Event, Replica};
use crate::sync::database::{Database, DatabaseError, Value};
use crate::sync::row::Embedding;
use crate::sync::store::StoreError;
use crate::sync::table::{EmbeddingTable, Key, Kind, Table};

/// An identifier for a statement.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table of the file for a statement: a temporary one of the same name would come first.
pub(super) fn stored(name: &str) -> String {
    format!("main.{}", quoted(name))
}

impl Replica {
    /// Sets the flag that the capturing triggers look at.
    pub(super) fn silence(&self, database: &mut dyn Database, silent: bool) -> Result<(), StoreError> {
        database
            .query("UPDATE mqs_meta SET v = ?1 WHERE k = 'applying'", &[Value::Integer(i64::from(silent))])?;
        Ok(())
    }

    /// The local key of a row of this table, as an expression over its columns.
    pub(super) fn key_expression(table: &Table) -> String {
        match &table.key {
            Key::Rowid(name) => quoted(name),
            Key::Columns(names) if names.len() == 1 => quoted(&names[0]),
            Key::Columns(names) => format!(
                "json_array({})",
                names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
            ),
        }
    }

    /// The row whose local key is `?1`.
    pub(super) fn key_condition(table: &Table) -> String {
        match &table.key {
            Key::Rowid(name) => format!("{} = ?1", quoted(name)),
            Key::Columns(names) if names.len() == 1 => format!("{} = ?1", quoted(&names[0])),
            Key::Columns(names) => {
                let columns = names
                    .iter()
                    .enumerate()
                    .map(|(place, name)| format!("{} = json_extract(?1, '$[{place}]')", quoted(name)));
                columns.collect::<Vec<_>>().join(" AND ")
            }
        }
    }

    /// Writes a row, new (`rid` is `None`) or not, with `counted` columns and its embedding. Returns its local key.
    pub(super) fn write(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        rid: Option<&Value>,
        shown: &Shown,
        counted: &[(String, Value)],
        embedding: Option<&Embedding>,
    ) -> Result<Value, StoreError> {
        let mut columns = shown.columns.clone();
        columns.extend_from_slice(counted);
        let updated = match rid {
            Some(rid) => self.change_all(database, table, rid, &columns)?,
            None => false,
        };
        let rid = match rid {
            Some(rid) if updated => rid.clone(),
            _ => self.insert(database, table, rid, &columns)?,
        };
        if !shown.own.is_empty() {
            let own: Vec<_> = shown.own.iter().map(|name| (name.clone(), rid.clone())).collect();
            self.change(database, table, &rid, &own)?;
        }
        self.set_again(database, table, &rid, &columns, &shown.own)?;
        if let Some(place) = &table.embedding {
            let before = if updated { Self::embedding_of(database, place, &rid)? } else { None };
            match embedding {
                Some(embedding) => Self::put_embedding(database, place, &rid, embedding)?,
                None => {
                    let sql =
                        format!("DELETE FROM {} WHERE {} = ?1", stored(&place.name), quoted(&place.key));
                    database.query(&sql, std::slice::from_ref(&rid))?;
                }
            }
            let after = embedding.map(|embedding| embedding.vector.clone());
            if before != after {
                self.merging.tell(Event::Vectors {
                    table: table.name.clone(),
                    rid: rid.clone(),
                    vector: after,
                });
            }
        }
        self.merging.wrote(&table.name);
        Ok(rid)
    }

    fn insert(
        &self,
        database: &mut dyn Database,
        table: &Table,
        rid: Option<&Value>,
        columns: &[(String, Value)],
    ) -> Result<Value, StoreError> {
        let mut names: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
        let mut values: Vec<Value> = columns.iter().map(|(_, value)| value.clone()).collect();
        if let (Key::Rowid(name), Some(rid)) = (&table.key, rid) {
            names.push(quoted(name));
            values.push(rid.clone());
        }
        let key = Self::key_expression(table);
        // OR ABORT: whatever the table's own constraints say ON CONFLICT, nothing is replaced.
        let sql = if names.is_empty() {
            format!("INSERT OR ABORT INTO {} DEFAULT VALUES RETURNING {key}", stored(&table.name))
        } else {
            let places: Vec<String> = (1..=names.len()).map(|place| format!("?{place}")).collect();
            format!(
                "INSERT OR ABORT INTO {}({}) VALUES({}) RETURNING {key}",
                stored(&table.name),
                names.join(", "),
                places.join(", ")
            )
        };
        let rows = database.query(&sql, &values)?;
        rows.into_iter().next().and_then(|row| row.into_iter().next()).ok_or_else(|| {
            let words = format!("a trigger of {} leaves the row out (RAISE(IGNORE))", table.name);
            StoreError::Database(DatabaseError::Constraint(words))
        })
    }

    /// Sets all columns that travel: those that did not come get their defaults. Says whether the row was there.
    fn change_all(
        &self,
        database: &mut dyn Database,
        table: &Table,
        rid: &Value,
        columns: &[(String, Value)],
    ) -> Result<bool, StoreError> {
        let absent = table.columns.iter().filter(|column| {
            matches!(column.kind, Kind::Plain | Kind::Reference(_) | Kind::Tagged(..))
                && !columns.iter().any(|(name, _)| *name == column.name)
        });
        let defaults: Vec<String> = absent
            .map(|column| {
                format!("{} = ({})", quoted(&column.name), column.default.as_deref().unwrap_or("NULL"))
            })
            .collect();
        self.update(database, table, rid, columns, &defaults)
    }

    /// Sets some columns of a row.
    pub(super) fn change(
        &self,
        database: &mut dyn Database,
        table: &Table,
        rid: &Value,
        columns: &[(String, Value)],
    ) -> Result<bool, StoreError> {
        self.update(database, table, rid, columns, &[])
    }

    fn update(
        &self,
        database: &mut dyn Database,
        table: &Table,
        rid: &Value,
        columns: &[(String, Value)],
        more: &[String],
    ) -> Result<bool, StoreError> {
        let mut settings: Vec<String> = columns
            .iter()
            .enumerate()
            .map(|(place, (name, _))| format!("{} = ?{}", quoted(name), place + 2))
            .collect();
        settings.extend_from_slice(more);
        let condition = Self::key_condition(table);
        if settings.is_empty() {
            return Ok(!database
                .query(
                    &format!("SELECT 1 FROM {} WHERE {condition}", stored(&table.name)),
                    std::slice::from_ref(rid),
                )?
                .is_empty());
        }
        let mut values = vec![rid.clone()];
        values.extend(columns.iter().map(|(_, value)| value.clone()));
        let sql = format!(
            "UPDATE OR ABORT {} SET {} WHERE {condition} RETURNING 1",
            stored(&table.name),
            settings.join(", ")
        );
        Ok(!database.query(&sql, &values)?.is_empty())
    }

    /// What the user's own triggers have overwritten is set again.
    fn set_again(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        rid: &Value,
        columns: &[(String, Value)],
        own: &[String],
    ) -> Result<(), StoreError> {
        if !self.has_triggers(database, &table.name)? || columns.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = columns.iter().map(|(name, _)| quoted(name)).collect();
        let sql = format!(
            "SELECT {} FROM {} WHERE {}",
            names.join(", "),
            stored(&table.name),
            Self::key_condition(table)
        );
        let Some(row) = database.query(&sql, std::slice::from_ref(rid))?.into_iter().next() else {
            return Ok(());
        };
        let differing: Vec<_> = columns
            .iter()
            .zip(row)
            .filter(|((name, wanted), value)| wanted != value && !own.contains(name))
            .map(|(column, _)| column.clone())
            .collect();
        if !differing.is_empty() {
            self.change(database, table, rid, &differing)?;
        }
        Ok(())
    }

    /// Whether the user's program has triggers of its own on a table.
    fn has_triggers(&mut self, database: &mut dyn Database, table: &str) -> Result<bool, StoreError> {
        if let Some(&known) = self.merging.triggers.get(table) {
            return Ok(known);
        }
        let sql = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ?1 AND name NOT LIKE 'mqs\\_%' ESCAPE '\\' LIMIT 1";
        let has = !database.query(sql, &[Value::Text(table.to_owned())])?.is_empty();
        self.merging.triggers.insert(table.to_owned(), has);
        Ok(has)
    }

    fn embedding_of(
        database: &mut dyn Database,
        place: &EmbeddingTable,
        rid: &Value,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = format!(
            "SELECT {} FROM {} WHERE {} = ?1",
            quoted(&place.vector),
            stored(&place.name),
            quoted(&place.key)
        );
        let row = database.query(&sql, std::slice::from_ref(rid))?.into_iter().next();
        Ok(row
            .and_then(|row| row.into_iter().next())
            .and_then(|value| if let Value::Blob(vector) = value { Some(vector) } else { None }))
    }

    fn put_embedding(
        database: &mut dyn Database,
        place: &EmbeddingTable,
        rid: &Value,
        embedding: &Embedding,
    ) -> Result<(), StoreError> {
        let mut columns = vec![
            (quoted(&place.key), rid.clone()),
            (quoted(&place.vector), Value::Blob(embedding.vector.clone())),
        ];
        if let (Some(model), false) = (&place.model, embedding.model == Value::Null) {
            columns.push((quoted(model), embedding.model.clone()));
        }
        if let Some(dimensions) = &place.dimensions {
            let count = i64::try_from(embedding.vector.len() / 4)
                .expect("a vector in memory has fewer than 2^63 dimensions");
            columns.push((quoted(dimensions), Value::Integer(count)));
        }
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        let places: Vec<String> = (1..=columns.len()).map(|place| format!("?{place}")).collect();
        let settings: Vec<String> =
            names[1..].iter().map(|name| format!("{name} = excluded.{name}")).collect();
        let sql = format!(
            "INSERT INTO {}({}) VALUES({}) ON CONFLICT({}) DO UPDATE SET {}",
            stored(&place.name),
            names.join(", "),
            places.join(", "),
            names[0],
            settings.join(", ")
        );
        let values: Vec<Value> = columns.iter().map(|(_, value)| value.clone()).collect();
        database.query(&sql, &values)?;
        Ok(())
    }
}
