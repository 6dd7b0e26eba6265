//! The sweep: what the triggers did not see. `INSERT OR REPLACE` fires no delete trigger for the row that it replaces (unless
//! `recursive_triggers` is on), and a program may have dropped the triggers. One page after the other, at leisure.

use super::Replica;
use super::write::stored;
use crate::sync::database::{Database, Value};
use crate::sync::store::StoreError;

/// What one page of the sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Rows that are captured next.
    pub marked: u64,
    /// Whether all tables were seen since the sweep began anew.
    pub complete: bool,
}

impl Replica {
    /// Looks at `limit` rows: those that are known but gone, then those that are there but not known. What it finds is marked
    /// for the next capture.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn sweep(
        &mut self,
        database: &mut dyn Database,
        now_ms: u64,
        limit: usize,
    ) -> Result<Swept, StoreError> {
        self.start(now_ms);
        if self.schema_changed(database)? {
            self.verify(database, now_ms)?;
        }
        let (place, second, after) = self.capturing.sweep.clone();
        let Some(table) = self.tables.get(place).cloned().filter(|_| !self.capturing.installing) else {
            self.capturing.sweep = (0, false, None);
            return Ok(Swept { marked: 0, complete: !self.capturing.installing });
        };
        let limit = limit.max(1);
        let keys = if second {
            Self::keys_after(database, &table, after.as_ref(), limit)?
        } else {
            known_after(database, table.local, after.as_ref(), limit)?
        };
        let mut marked = 0;
        let here = format!("SELECT 1 FROM {} t WHERE {}", stored(&table.name), Self::exact_condition(&table));
        for rid in &keys {
            let missing = if second {
                self.local_row(database, table.local, rid)?.is_none()
            } else {
                database.query(&here, std::slice::from_ref(rid))?.is_empty()
            };
            if missing {
                self.mark(database, table.local, rid)?;
                marked += 1;
            }
        }
        self.capturing.sweep = match keys.into_iter().next_back() {
            last if last.is_none() && second => (place + 1, false, None),
            None => (place, true, None),
            last => (place, second, last),
        };
        let complete = self.capturing.sweep.0 >= self.tables.len();
        if complete {
            self.capturing.sweep = (0, false, None);
        }
        Ok(Swept { marked, complete })
    }
}

fn known_after(
    database: &mut dyn Database,
    table: i64,
    after: Option<&Value>,
    limit: usize,
) -> Result<Vec<Value>, StoreError> {
    let mut parameters =
        vec![Value::Integer(table), Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX))];
    let condition = match after {
        None => "rid IS NOT NULL",
        Some(after) => {
            parameters.push(after.clone());
            "rid > ?3"
        }
    };
    let sql = format!("SELECT rid FROM mqs_row WHERE tbl = ?1 AND {condition} ORDER BY rid LIMIT ?2");
    Ok(database.query(&sql, &parameters)?.into_iter().filter_map(|row| row.into_iter().next()).collect())
}
