//! Installing and removing: this package's tables and triggers in the user's database, and the entry of the rows that were
//! there before. Those may be many, so they are entered in pages, each in a transaction of its own; until the last one nothing
//! is captured or merged.

use std::sync::Arc;

use super::write::{quoted, stored};
use super::{Event, Replica, layout};
use crate::sync::database::{Database, Value};
use crate::sync::store::StoreError;
use crate::sync::table::{Key, Table};
use crate::sync::tables::{self, schema};

/// The three occasions on which a table is written to.
const OCCASIONS: [&str; 3] = ["insert", "update", "delete"];

impl Replica {
    /// Reads the schema, and whatever has changed in it is made good: tables that are new, triggers that a rebuild has dropped.
    /// Rows of a table without its triggers are all looked at again.
    ///
    /// # Errors
    ///
    /// What SQLite says; [`StoreError::UnsupportedTable`] for a table that was asked for.
    pub fn verify(&mut self, database: &mut dyn Database, now_ms: u64) -> Result<(), StoreError> {
        self.start(now_ms);
        let schemas = schema::read(database)?;
        let naming = self.now.naming.clone();
        let id = |name: &str| super::content::table_id(naming.as_ref(), name);
        let first = !std::mem::replace(&mut self.capturing.opened, true);
        self.capturing.verified = true;
        let wanted: Option<Vec<String>> = self.capturing.wanted.as_ref().map(|names| {
            // A table that was there when it was asked for may be gone since: that parks it.
            names
                .iter()
                .filter(|name| first || schemas.iter().any(|schema| schema.name.eq_ignore_ascii_case(name)))
                .cloned()
                .collect()
        });
        let resolved = tables::resolve(&schemas, wanted.as_deref(), &self.capturing.declared, id)
            .map_err(|error| StoreError::UnsupportedTable { table: error.table, reason: error.reason })?;
        for gone in self.tables.iter().filter(|table| !resolved.iter().any(|other| other.name == table.name))
        {
            let detail = "it is no longer in the database, or no longer has the columns by which it is known"
                .to_owned();
            self.merging.tell(Event::SchemaMismatch { table: gone.name.clone(), detail });
            self.merging.absent.insert(gone.id, gone.name.clone());
        }
        let mut tables = Vec::with_capacity(resolved.len());
        for mut table in resolved {
            self.enter(database, &mut table)?;
            tables.push(Arc::new(table));
        }
        self.tables = tables;
        self.forget_others(database)?;
        for table in self.tables.clone() {
            if self.put_triggers(database, &table)? && self.is_installed(database, table.local)? {
                self.mark_all(database, &table)?;
            }
        }
        let waiting = database.query("SELECT 1 FROM mqs_table WHERE installed = 0 LIMIT 1", &[])?;
        self.capturing.installing = !waiting.is_empty();
        self.capturing.sweep = (0, false, None);
        self.schema_changed(database)?;
        Ok(())
    }

    /// What is left of tables that are replicated no more: triggers would go on noting rows that nobody captures.
    fn forget_others(&self, database: &mut dyn Database) -> Result<(), StoreError> {
        for row in database.query(&own_triggers(), &[])? {
            let Some(Value::Text(name)) = row.first() else { continue };
            let number = name.trim_start_matches("mqs_t").trim_start_matches("mqs_e");
            let number = number.split('_').next().unwrap_or(number);
            if !self.tables.iter().any(|table| table.local.to_string() == number) {
                database.batch(&format!("DROP TRIGGER {}", stored(name)))?;
            }
        }
        let others = format!("DELETE FROM mqs_dirty WHERE tbl NOT IN ({})", self.numbers());
        database.query(&others, &[])?;
        Ok(())
    }

    /// Whether the schema is another one than when this was asked last.
    pub(super) fn schema_changed(&mut self, database: &mut dyn Database) -> Result<bool, StoreError> {
        let rows = database.query("PRAGMA schema_version", &[])?;
        let Some([Value::Integer(version)]) = rows.first().map(Vec::as_slice) else {
            return Err(StoreError::Corrupt("PRAGMA schema_version"));
        };
        Ok(self.capturing.schema.replace(*version) != Some(*version))
    }

    /// Gives a table its number in this file.
    fn enter(&self, database: &mut dyn Database, table: &mut Table) -> Result<(), StoreError> {
        let name = Value::Text(table.name.clone());
        let fingerprint = Value::Blob(shape(table));
        if let Some([Value::Integer(number), known]) = database
            .query("SELECT tbl, fingerprint FROM mqs_table WHERE name = ?1", std::slice::from_ref(&name))?
            .first()
            .map(Vec::as_slice)
        {
            table.local = *number;
            if *known != fingerprint {
                database.query(
                    "UPDATE mqs_table SET fingerprint = ?2 WHERE tbl = ?1",
                    &[Value::Integer(*number), fingerprint],
                )?;
            }
            return Ok(());
        }
        let last = match &table.key {
            Key::Rowid(rowid) => format!("(SELECT max({}) FROM {})", quoted(rowid), stored(&table.name)),
            Key::Columns(_) => "NULL".to_owned(),
        };
        let sql = format!(
            "INSERT INTO mqs_table(name, fingerprint, installed, after, last) VALUES(?1, ?2, 0, NULL, {last}) RETURNING tbl"
        );
        let rows = database.query(&sql, &[name, fingerprint])?;
        let Some([Value::Integer(number)]) = rows.first().map(Vec::as_slice) else {
            return Err(StoreError::Corrupt("mqs_table"));
        };
        table.local = *number;
        Ok(())
    }

    fn is_installed(&self, database: &mut dyn Database, table: i64) -> Result<bool, StoreError> {
        Ok(database.query("SELECT installed FROM mqs_table WHERE tbl = ?1", &[Value::Integer(table)])?
            == [[Value::Integer(1)]])
    }

    /// Makes the triggers of a table as they should be; says whether any was missing or another one.
    fn put_triggers(&self, database: &mut dyn Database, table: &Table) -> Result<bool, StoreError> {
        let mut changed = false;
        for (name, sql) in triggers(table) {
            let there = database.query(
                "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = ?1",
                &[Value::Text(name.clone())],
            )?;
            match there.first().map(Vec::as_slice) {
                Some([Value::Text(text)]) if *text == sql => continue,
                Some(_) => database.batch(&format!("DROP TRIGGER {}", stored(&name)))?,
                None => {}
            }
            // In the schema it is without `main.`, which is there so that its table is not looked for among temporary ones.
            database.batch(&sql.replacen("CREATE TRIGGER ", "CREATE TRIGGER main.", 1))?;
            changed = true;
        }
        Ok(changed)
    }

    /// Every row of a table, and every one that it once had, is looked at again.
    fn mark_all(&self, database: &mut dyn Database, table: &Table) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO mqs_dirty(tbl, rid) SELECT ?1, {} FROM {} WHERE {} ON CONFLICT(tbl, rid) DO NOTHING",
            Self::key_expression(table),
            stored(&table.name),
            Self::key_guard(table, "")
        );
        database.query(&sql, &[Value::Integer(table.local)])?;
        let gone = "INSERT INTO mqs_dirty(tbl, rid) SELECT tbl, rid FROM mqs_row WHERE tbl = ?1 AND rid IS NOT NULL ON CONFLICT(tbl, rid) DO NOTHING";
        database.query(gone, &[Value::Integer(table.local)])?;
        Ok(())
    }

    /// Enters one page of the rows that were there at the beginning. Where it got to is kept in `mqs_table`.
    pub(super) fn install_page(
        &mut self,
        database: &mut dyn Database,
        limit: usize,
    ) -> Result<(), StoreError> {
        let open = database.query("SELECT tbl, after, last FROM mqs_table WHERE installed = 0", &[])?;
        let mut progress = std::collections::HashMap::new();
        for row in open {
            let Ok([Value::Integer(number), after, last]) = <[Value; 3]>::try_from(row) else {
                return Err(StoreError::Corrupt("mqs_table"));
            };
            progress.insert(number, (after, last));
        }
        // Parents come first in `tables`.
        let Some((table, (after, last))) = self
            .tables
            .clone()
            .into_iter()
            .find_map(|table| progress.remove(&table.local).map(|state| (table, state)))
        else {
            self.capturing.installing = false;
            return Ok(());
        };
        let page = Self::keys_after(database, &table, (after != Value::Null).then_some(&after), limit)?;
        let ended = page.len() < limit.max(1);
        let mut reached = after;
        let mut beyond = false;
        for rid in page {
            // What was added since is captured as any other row.
            beyond = matches!((&table.key, &rid, &last), (Key::Rowid(_), Value::Integer(rid), last) if !matches!(last, Value::Integer(last) if rid <= last));
            if beyond {
                break;
            }
            self.capture_row(database, &table, &rid, true)?;
            reached = rid;
        }
        let installed = i64::from(ended || beyond);
        database.query(
            "UPDATE mqs_table SET installed = ?2, after = ?3 WHERE tbl = ?1",
            &[Value::Integer(table.local), Value::Integer(installed), reached],
        )?;
        Ok(())
    }

    /// The keys of a table in their order, after a given one.
    pub(super) fn keys_after(
        database: &mut dyn Database,
        table: &Table,
        after: Option<&Value>,
        limit: usize,
    ) -> Result<Vec<Value>, StoreError> {
        let names: Vec<String> = match &table.key {
            Key::Rowid(name) => vec![quoted(name)],
            Key::Columns(names) => names.iter().map(|name| quoted(name)).collect(),
        };
        let limit = Value::Integer(i64::try_from(limit.max(1)).unwrap_or(i64::MAX));
        let mut condition = Self::key_guard(table, "");
        let mut parameters = vec![limit];
        if let Some(after) = after {
            let bounds: Vec<String> = match names.len() {
                1 => vec!["?2".to_owned()],
                count => (0..count).map(|place| format!("json_extract(?2, '$[{place}]')")).collect(),
            };
            condition = format!("({}) > ({}) AND {condition}", names.join(", "), bounds.join(", "));
            parameters.push(after.clone());
        }
        let sql = format!(
            "SELECT {} FROM {} WHERE {condition} ORDER BY {} LIMIT ?1",
            Self::key_expression(table),
            stored(&table.name),
            names.join(", ")
        );
        Ok(database.query(&sql, &parameters)?.into_iter().filter_map(|row| row.into_iter().next()).collect())
    }
}

/// Takes everything out again that replication has put into a database, in a transaction of its own: the schema is what it was.
///
/// # Errors
///
/// What SQLite says; nothing has changed then.
pub fn uninstall(database: &mut dyn Database) -> Result<(), StoreError> {
    database.begin()?;
    let outcome = drop_all(database).and_then(|()| Ok(database.commit()?));
    if outcome.is_err() {
        database.rollback();
    }
    outcome
}

fn drop_all(database: &mut dyn Database) -> Result<(), StoreError> {
    // What the user calls mqs_something is the user's.
    let tables = layout::NAMES.map(|name| format!("'{name}'")).join(", ");
    let tables = format!("SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ({tables})");
    for (kind, sql) in [("TRIGGER", own_triggers()), ("TABLE", tables)] {
        for row in database.query(&sql, &[])? {
            if let Some(Value::Text(name)) = row.first() {
                database.batch(&format!("DROP {kind} {}", stored(name)))?;
            }
        }
    }
    Ok(())
}

/// The triggers that [`triggers`] makes, of any table.
fn own_triggers() -> String {
    let names = OCCASIONS.map(|occasion| format!("name GLOB 'mqs_[te][0-9]*_{occasion}'")).join(" OR ");
    format!("SELECT name FROM sqlite_master WHERE type = 'trigger' AND ({names})")
}

/// What a table looks like to replication, as 8 bytes.
fn shape(table: &Table) -> Vec<u8> {
    let mut text = format!("{:?}", table.key);
    for column in &table.columns {
        text.push_str(&format!("|{} {:?}", column.name, column.kind));
    }
    super::content::hash(None, text.as_bytes())[..8].to_vec()
}

/// The triggers of a table and of its embeddings, by name.
///
/// Inserting what is not there yet, rather than ON CONFLICT: the user's own `INSERT OR ABORT` would decide what a conflict in a
/// trigger does (sqlite.org/lang_createtrigger.html). The plus takes the affinity of the user's column away
/// (sqlite.org/datatype3.html, 4.2): compared with an INTEGER column, `rid` would have to be read as a number first, and the
/// index of `mqs_dirty` would not serve.
fn triggers(table: &Table) -> Vec<(String, String)> {
    let number = table.local;
    let key = |prefix: &str| match &table.key {
        Key::Rowid(name) => format!("{prefix}{}", quoted(name)),
        Key::Columns(names) if names.len() == 1 => format!("{prefix}{}", quoted(&names[0])),
        Key::Columns(names) => format!(
            "json_array({})",
            names.iter().map(|name| format!("{prefix}{}", quoted(name))).collect::<Vec<_>>().join(", ")
        ),
    };
    let touch = |rid: &str, guard: &str| {
        format!(
            "INSERT INTO mqs_dirty(tbl, rid) SELECT {number}, {rid} WHERE {guard} AND NOT EXISTS(SELECT 1 FROM mqs_dirty WHERE tbl = {number} AND rid = +{rid});"
        )
    };
    let mut all = Vec::with_capacity(6);
    let mut add = |letter: char, on: &str, old: &str, new: &str, old_guard: &str, new_guard: &str| {
        for occasion in OCCASIONS {
            let body = match occasion {
                "insert" => touch(new, new_guard),
                "delete" => touch(old, old_guard),
                _ => format!(
                    "{} {}",
                    touch(new, new_guard),
                    touch(old, &format!("{old} IS NOT {new} AND {old_guard}"))
                ),
            };
            let name = format!("mqs_{letter}{number}_{occasion}");
            let sql = format!(
                "CREATE TRIGGER {name} AFTER {} ON {} WHEN (SELECT v FROM mqs_meta WHERE k = 'applying') = 0 BEGIN {body} END",
                occasion.to_uppercase(),
                quoted(on)
            );
            all.push((name, sql));
        }
    };
    add(
        't',
        &table.name,
        &key("OLD."),
        &key("NEW."),
        &Replica::key_guard(table, "OLD."),
        &Replica::key_guard(table, "NEW."),
    );
    if let Some(place) = &table.embedding {
        let (old, new) = (format!("OLD.{}", quoted(&place.key)), format!("NEW.{}", quoted(&place.key)));
        add('e', &place.name, &old, &new, &format!("{old} IS NOT NULL"), &format!("{new} IS NOT NULL"));
    }
    all
}
