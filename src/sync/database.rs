//! The user's database, as a replica sees it: statements go in, rows come out. In the product the statements run on the user's
//! own open JavaScript handle, since a second copy of SQLite in the process would lose its locks
//! (sqlite.org/howtocorrupt.html, 2.2.1); tests have SQLite itself.

use std::fmt;

/// A value of SQLite (sqlite.org/datatype3.html), exactly as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// All 64 bits.
    Integer(i64),
    /// A double.
    Real(f64),
    /// UTF-8.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// Why a statement failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseError {
    /// Another connection holds the lock (SQLITE_BUSY, SQLITE_LOCKED): later.
    Busy,
    /// The handle is in a transaction of the user's, or reads rows one by one: later.
    InUse,
    /// This statement is not to be had here, and others may be, with SQLite's message: a constraint, a trigger of the user's, a
    /// function or table that is not there.
    Constraint(String),
    /// The database itself cannot do what it should, with SQLite's message: disk full, malformed.
    Failed(String),
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => formatter.write_str("the database is locked by another connection"),
            Self::InUse => {
                formatter.write_str("the database handle is in use by a transaction or an iterator")
            }
            Self::Constraint(message) | Self::Failed(message) => formatter.write_str(message),
        }
    }
}

impl std::error::Error for DatabaseError {}

/// Rows, each of them a list of values.
pub type Rows = Vec<Vec<Value>>;

/// Runs statements.
pub trait Database {
    /// Runs one statement with its parameters (`?1`, `?2`, ...) and hands over all its rows: none for a statement that writes,
    /// unless it says RETURNING. The text of statements repeats: implementations keep them prepared.
    ///
    /// # Errors
    ///
    /// What SQLite says; [`DatabaseError::InUse`] when the handle cannot run anything now.
    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Rows, DatabaseError>;

    /// Runs several statements without parameters.
    ///
    /// # Errors
    ///
    /// As [`Database::query`].
    fn batch(&mut self, sql: &str) -> Result<(), DatabaseError>;

    /// BEGIN IMMEDIATE, without waiting for a lock.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Busy`] or [`DatabaseError::InUse`], and nothing has begun.
    fn begin(&mut self) -> Result<(), DatabaseError>;

    /// COMMIT.
    ///
    /// # Errors
    ///
    /// What SQLite says; the transaction is still open then, to be rolled back.
    fn commit(&mut self) -> Result<(), DatabaseError>;

    /// ROLLBACK; a transaction that SQLite has ended by itself already is no error.
    fn rollback(&mut self);
}
