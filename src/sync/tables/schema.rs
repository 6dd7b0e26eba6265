//! The schema of a database, read through SQLite's own tables and pragma functions (sqlite.org/pragma.html,
//! sqlite.org/schematab.html): four statements, whatever the number of tables.

use crate::sync::database::{Database, DatabaseError, Value};

/// A column, as it is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSchema {
    /// Its name.
    pub name: String,
    /// Its type, in capitals.
    pub declared: String,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// Its default, as an expression of SQL.
    pub default: Option<String>,
    /// Its place in the primary key, from 1; 0: none.
    pub key: i64,
    /// Whether it is computed: it is neither read nor written then.
    pub generated: bool,
}

/// A foreign key of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// The column that refers.
    pub column: String,
    /// To which table.
    pub table: String,
    /// To which of its columns; `None`: to its primary key.
    pub to: Option<String>,
}

/// A table, as it is declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSchema {
    /// Its name.
    pub name: String,
    /// Whether a module keeps it (FTS, R-tree).
    pub is_virtual: bool,
    /// All its columns.
    pub columns: Vec<ColumnSchema>,
    /// Foreign keys of one column each.
    pub foreign_keys: Vec<ForeignKey>,
    /// The columns of every UNIQUE index that is over columns alone, all of them NOT NULL, and over all rows.
    pub unique: Vec<Vec<String>>,
    /// Whether the primary key has an index of its own: it is no alias of the rowid then.
    pub has_key_index: bool,
}

impl TableSchema {
    /// A column by its name, in which SQLite ignores the case of ASCII letters.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&ColumnSchema> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The columns of the primary key, in its order.
    #[must_use]
    pub fn primary_key(&self) -> Vec<&ColumnSchema> {
        let mut key: Vec<_> = self.columns.iter().filter(|column| column.key > 0).collect();
        key.sort_by_key(|column| column.key);
        key
    }

    /// The INTEGER PRIMARY KEY, where that is the rowid.
    #[must_use]
    pub fn rowid(&self) -> Option<&ColumnSchema> {
        match self.primary_key()[..] {
            [column] if column.declared == "INTEGER" && !self.has_key_index => Some(column),
            _ => None,
        }
    }
}

const TABLES: &str = "SELECT name, sql LIKE 'CREATE VIRTUAL%' FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' \
     AND name NOT LIKE 'mqs~_%' ESCAPE '~' ORDER BY name";
const COLUMNS: &str = "SELECT m.name, x.name, upper(x.type), x.\"notnull\", x.dflt_value, x.pk, x.hidden FROM sqlite_master m, pragma_table_xinfo(m.name, 'main') x \
     WHERE m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY m.name, x.cid";
const FOREIGN_KEYS: &str = "SELECT m.name, f.id, f.\"table\", f.\"from\", f.\"to\" FROM sqlite_master m, pragma_foreign_key_list(m.name, 'main') f \
     WHERE m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY m.name, f.id, f.seq";
const INDEXES: &str = "SELECT m.name, l.name, l.origin, l.partial, i.name FROM sqlite_master m, pragma_index_list(m.name, 'main') l, pragma_index_info(l.name, 'main') i \
     WHERE m.type = 'table' AND m.sql NOT LIKE 'CREATE VIRTUAL%' AND l.\"unique\" = 1 ORDER BY m.name, l.name, i.seqno";

/// Reads the declarations of all tables but SQLite's and this package's.
///
/// # Errors
///
/// What SQLite says.
pub fn read(database: &mut dyn Database) -> Result<Vec<TableSchema>, DatabaseError> {
    let mut tables: Vec<TableSchema> = database
        .query(TABLES, &[])?
        .into_iter()
        .map(|row| TableSchema {
            name: text(&row[0]),
            is_virtual: row[1] == Value::Integer(1),
            ..TableSchema::default()
        })
        .collect();
    for row in database.query(COLUMNS, &[])? {
        if let Some(table) = named(&mut tables, &row[0]) {
            let default = matches!(&row[4], Value::Text(default) if !default.eq_ignore_ascii_case("NULL"))
                .then(|| text(&row[4]));
            table.columns.push(ColumnSchema {
                name: text(&row[1]),
                declared: text(&row[2]),
                not_null: integer(&row[3]) != 0,
                default,
                key: integer(&row[5]),
                generated: integer(&row[6]) > 1,
            });
        }
    }
    let mut keys: Vec<(String, i64, ForeignKey, usize)> = Vec::new();
    for row in database.query(FOREIGN_KEYS, &[])? {
        let (table, id) = (text(&row[0]), integer(&row[1]));
        match keys.last_mut() {
            Some(last) if last.0 == table && last.1 == id => last.3 += 1,
            _ => {
                let to = matches!(row[4], Value::Text(_)).then(|| text(&row[4]));
                keys.push((table, id, ForeignKey { column: text(&row[3]), table: text(&row[2]), to }, 1));
            }
        }
    }
    for (table, _, key, columns) in keys {
        if let Some(table) = tables.iter_mut().find(|known| known.name == table && columns == 1) {
            table.foreign_keys.push(key);
        }
    }
    let mut indexes: Vec<(String, String, bool, Vec<Option<String>>)> = Vec::new();
    for row in database.query(INDEXES, &[])? {
        let (table, index) = (text(&row[0]), text(&row[1]));
        let column = matches!(row[4], Value::Text(_)).then(|| text(&row[4]));
        if text(&row[2]) == "pk"
            && let Some(table) = named(&mut tables, &row[0])
        {
            table.has_key_index = true;
        }
        match indexes.last_mut() {
            Some(last) if last.0 == table && last.1 == index => last.3.push(column),
            _ => indexes.push((table, index, integer(&row[3]) != 0 || text(&row[2]) == "pk", vec![column])),
        }
    }
    for (table, _, excluded, columns) in indexes {
        let Some(table) = tables.iter_mut().find(|known| known.name == table && !excluded) else { continue };
        let Some(columns) = columns.into_iter().collect::<Option<Vec<_>>>() else { continue };
        if columns
            .iter()
            .all(|name| table.column(name).is_some_and(|column| column.not_null && !column.generated))
        {
            table.unique.push(columns);
        }
    }
    Ok(tables)
}

fn named<'a>(tables: &'a mut [TableSchema], name: &Value) -> Option<&'a mut TableSchema> {
    tables.iter_mut().find(|table| matches!(name, Value::Text(name) if *name == table.name))
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        _ => String::new(),
    }
}

fn integer(value: &Value) -> i64 {
    match value {
        Value::Integer(integer) => *integer,
        _ => 0,
    }
}
