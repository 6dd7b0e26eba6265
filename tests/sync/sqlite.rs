//! A [`Database`] on SQLite itself, in memory: what the user's handle is in the product.

use midstreamer::sync::database::{Database, DatabaseError, Rows, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, ToSql};

/// One database.
pub(crate) struct Sqlite {
    pub(crate) connection: Connection,
}

impl Sqlite {
    /// An empty one, with foreign keys enforced as AgentDB has them.
    pub(crate) fn new() -> Self {
        let connection = Connection::open_in_memory().expect("SQLite opens a database in memory");
        connection.execute_batch("PRAGMA foreign_keys = ON").expect("a pragma of SQLite");
        connection.set_prepared_statement_cache_capacity(256);
        Self { connection }
    }

    /// As a user's program runs statements.
    pub(crate) fn run(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// All rows of a query, as text of their values.
    pub(crate) fn dump(&mut self, sql: &str) -> Vec<String> {
        self.query(sql, &[])
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
            .iter()
            .map(|row| format!("{row:?}"))
            .collect()
    }

    /// A copy, as of a backup.
    pub(crate) fn copy(&self) -> Self {
        let mut copy = Self::new();
        rusqlite::backup::Backup::new(&self.connection, &mut copy.connection)
            .and_then(|backup| backup.run_to_completion(1_000, std::time::Duration::ZERO, None))
            .expect("a database in memory is copied");
        copy
    }
}

/// A value on its way into a statement.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::Real(real) => ValueRef::Real(*real),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(blob) => ValueRef::Blob(blob),
        }))
    }
}

fn failed(error: &rusqlite::Error) -> DatabaseError {
    let message = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => DatabaseError::Busy,
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::DiskFull
            | ErrorCode::OutOfMemory
            | ErrorCode::ReadOnly
            | ErrorCode::NotADatabase
            | ErrorCode::CannotOpen
            | ErrorCode::ApiMisuse,
        )
        | None => DatabaseError::Failed(message),
        Some(_) => DatabaseError::Constraint(message),
    }
}

impl Database for Sqlite {
    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows, DatabaseError> {
        let run = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let columns = statement.column_count();
            let bound: Vec<Bound<'_>> = parameters.iter().map(Bound).collect();
            let mut rows = statement.query(rusqlite::params_from_iter(bound))?;
            let mut all = Vec::new();
            while let Some(row) = rows.next()? {
                let values = (0..columns)
                    .map(|column| {
                        Ok(match row.get_ref(column)? {
                            ValueRef::Null => Value::Null,
                            ValueRef::Integer(integer) => Value::Integer(integer),
                            ValueRef::Real(real) => Value::Real(real),
                            ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                            ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
                        })
                    })
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                all.push(values);
            }
            Ok(all)
        };
        run().map_err(|error: rusqlite::Error| failed(&error))
    }

    fn batch(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.connection.execute_batch(sql).map_err(|error| failed(&error))
    }

    fn begin(&mut self) -> Result<(), DatabaseError> {
        if !self.connection.is_autocommit() {
            return Err(DatabaseError::InUse);
        }
        self.batch("BEGIN IMMEDIATE")
    }

    fn commit(&mut self) -> Result<(), DatabaseError> {
        self.batch("COMMIT")
    }

    fn rollback(&mut self) {
        if !self.connection.is_autocommit() {
            self.batch("ROLLBACK").expect("an open transaction rolls back");
        }
    }
}
