//! The content of a row: its columns with references translated to gids, and its embedding, read from the user's tables by one
//! statement; and what identifies it.

use super::Replica;
use super::write::{quoted, stored};
use crate::sync::database::{Database, Value};
use crate::sync::identity::{Gid, Origin, TableId};
use crate::sync::row::{Cell, Content, Embedding};
use crate::sync::seal::Naming;
use crate::sync::store::StoreError;
use crate::sync::table::{Counters, Kind, Table};

/// A row as it is in the user's tables.
pub(super) struct Local {
    /// In the order of [`Table::columns`].
    pub(super) values: Vec<Value>,
    pub(super) embedding: Option<Embedding>,
    /// What the embedding's table says of its number of dimensions.
    pub(super) dimensions: Value,
}

/// What a row shows in its counted columns.
pub(super) struct Shown {
    pub(super) count: i64,
    pub(super) means: Vec<f64>,
}

/// A hash for identifiers: keyed where contents are sealed.
pub(super) fn hash(naming: Option<&Naming>, bytes: &[u8]) -> [u8; 32] {
    naming.map_or_else(
        || {
            let mut hash = [0; 32];
            hash.copy_from_slice(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref());
            hash
        },
        |naming| naming.hash(bytes),
    )
}

/// The id of a table of this name.
#[must_use]
pub fn table_id(naming: Option<&Naming>, name: &str) -> TableId {
    let hash = hash(naming, format!("table {name}").as_bytes());
    TableId([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}

impl Replica {
    /// Reads a row; `None`: it is not there.
    pub(super) fn local(
        &self,
        database: &mut dyn Database,
        table: &Table,
        rid: &Value,
    ) -> Result<Option<Local>, StoreError> {
        let columns = table.columns.iter().map(|column| format!("t.{}", quoted(&column.name)));
        let (joined, extra) = match &table.embedding {
            None => (String::new(), ["NULL".to_owned(), "NULL".to_owned(), "NULL".to_owned()]),
            Some(place) => {
                let own = match &table.key {
                    crate::sync::table::Key::Rowid(name) => quoted(name),
                    crate::sync::table::Key::Columns(names) => quoted(&names[0]),
                };
                let column = |name: &Option<String>| {
                    name.as_ref().map_or_else(|| "NULL".to_owned(), |name| format!("e.{}", quoted(name)))
                };
                (
                    format!(" LEFT JOIN {} e ON e.{} = t.{own}", stored(&place.name), quoted(&place.key)),
                    [format!("e.{}", quoted(&place.vector)), column(&place.model), column(&place.dimensions)],
                )
            }
        };
        let list = columns.chain(extra).collect::<Vec<_>>().join(", ");
        let condition = Self::exact_condition(table);
        let sql = format!("SELECT {list} FROM {} t{joined} WHERE {condition} LIMIT 1", stored(&table.name));
        let Some(mut values) = database.query(&sql, std::slice::from_ref(rid))?.into_iter().next() else {
            return Ok(None);
        };
        let (Some(dimensions), Some(model), Some(vector)) = (values.pop(), values.pop(), values.pop()) else {
            return Err(StoreError::Corrupt("a row without its columns"));
        };
        let embedding = match vector {
            Value::Blob(vector) => Some(Embedding { vector, model }),
            _ => None,
        };
        Ok(Some(Local { values, embedding, dimensions }))
    }

    /// The content of a row of the user's tables. A row that it refers to and that was not captured yet is captured first.
    pub(super) fn content(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        rid: &Value,
    ) -> Result<Option<Content>, StoreError> {
        let Some(local) = self.local(database, table, rid)? else {
            return Ok(None);
        };
        self.content_of(database, table, rid, local).map(Some)
    }

    /// The content of a row that was read.
    pub(super) fn content_of(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        rid: &Value,
        local: Local,
    ) -> Result<Content, StoreError> {
        let mut cells = Vec::with_capacity(table.columns.len());
        for (place, column) in table.columns.iter().enumerate() {
            if matches!(column.kind, Kind::Counted | Kind::Local) {
                continue;
            }
            cells.push((column.name.clone(), self.cell(database, table, rid, &local.values, place)?));
        }
        Ok(Content { table: table.name.clone(), cells, embedding: local.embedding })
    }

    /// One column's content.
    fn cell(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        rid: &Value,
        values: &[Value],
        place: usize,
    ) -> Result<Cell, StoreError> {
        let value = &values[place];
        let (target, dangling) = match &table.columns[place].kind {
            _ if *value == Value::Null => return Ok(Cell::Value(Value::Null)),
            Kind::Reference(target) => (target, Value::Null),
            Kind::Tagged(by, words) => {
                let word = table.columns.iter().position(|column| column.name == *by).map(|at| &values[at]);
                let target =
                    words.iter().find(|(known, _)| matches!(word, Some(Value::Text(word)) if word == known));
                match target {
                    // AgentDB writes 0 where it means no memory at all.
                    Some((_, target)) if *value != Value::Integer(0) => (target, Value::Integer(0)),
                    _ => return Ok(Cell::Value(value.clone())),
                }
            }
            _ => return Ok(Cell::Value(value.clone())),
        };
        let Some(target) = self.table_named(target).cloned() else {
            return Ok(Cell::Value(dangling));
        };
        let gid = self.referred(database, (table.local, rid), &target, value)?;
        Ok(gid.map_or(Cell::Value(dangling), Cell::Reference))
    }

    /// The gid that a row's natural key gives it, from its columns as they were read.
    pub(super) fn natural_of(
        &mut self,
        database: &mut dyn Database,
        table: &Table,
        rid: &Value,
        local: &Local,
    ) -> Result<Option<Gid>, StoreError> {
        let Some(names) = &table.natural else {
            return Ok(None);
        };
        let mut cells = Vec::with_capacity(names.len());
        for name in names {
            let Some(place) = table.columns.iter().position(|column| column.name == *name) else {
                return Ok(None);
            };
            cells.push((name.clone(), self.cell(database, table, rid, &local.values, place)?));
        }
        Ok(Some(self.gid_of_cells(table, "key", cells)))
    }

    fn gid_of_cells(&self, table: &Table, purpose: &str, cells: Vec<(String, Cell)>) -> Gid {
        let mut bytes = purpose.as_bytes().to_vec();
        bytes.extend(Content { table: table.name.clone(), cells, embedding: None }.encode());
        let hash = hash(self.now.naming.as_ref(), &bytes);
        let mut gid = [0; 16];
        gid.copy_from_slice(&hash[..16]);
        Gid(gid)
    }

    /// The gid of a row that a copy of this database may have too, the `occurrence`-th one of this content. Counters, local times
    /// and the embedding do not matter, since the copy may have gone on. `salt` is the author of a row that is not as old as
    /// replication: others who wrote the same meant a row of their own.
    pub(super) fn gid_by_content(
        &self,
        table: &Table,
        content: &Content,
        salt: Option<Origin>,
        occurrence: u64,
    ) -> Gid {
        let mut cells = lasting(table, content);
        cells.push((String::new(), Cell::Value(Value::Integer(occurrence.cast_signed()))));
        if let Some(origin) = salt {
            cells.push((String::new(), Cell::Value(Value::Blob(origin.0.to_vec()))));
        }
        self.gid_of_cells(table, "row", cells)
    }

    /// A hash of what makes two states of a row differ: not local times, nor columns that are NULL without being told to, so
    /// that a column added to a table makes no row a new one.
    pub(super) fn fingerprint(&self, content: &Content) -> [u8; 8] {
        let cells = self
            .table_named(&content.table)
            .map_or_else(|| content.cells.clone(), |table| lasting(table, content));
        let bytes =
            Content { table: content.table.clone(), cells, embedding: content.embedding.clone() }.encode();
        let hash = hash(None, &bytes);
        [hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]]
    }
}

impl Local {
    /// What it shows in its counted columns. What is no finite number counts as 0.
    pub(super) fn shown(&self, table: &Table, counters: &Counters) -> Shown {
        let number = |name: &String| {
            let place = table.columns.iter().position(|column| column.name == *name);
            match place.map(|place| &self.values[place]) {
                Some(Value::Integer(integer)) => *integer as f64,
                Some(Value::Real(real)) if real.is_finite() => *real,
                _ => 0.0,
            }
        };
        Shown { count: number(&counters.count) as i64, means: counters.means.iter().map(number).collect() }
    }
}

/// The columns that count for the identity of a state.
fn lasting(table: &Table, content: &Content) -> Vec<(String, Cell)> {
    let implied = |name: &String, cell: &Cell| {
        *cell == Cell::Value(Value::Null)
            && table.columns.iter().any(|column| column.name == *name && column.default.is_none())
    };
    content
        .cells
        .iter()
        .filter(|(name, cell)| !table.clocks.contains(name) && !implied(name, cell))
        .cloned()
        .collect()
}
