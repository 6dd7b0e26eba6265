//! What is known of a table that is replicated. Made from its columns, never from its name alone: agentic-flow has another
//! `pattern_embeddings` than AgentDB.

use super::identity::TableId;

/// How a row is found locally.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// By its INTEGER PRIMARY KEY, of this name: an alias of the rowid, given by each database as it likes.
    Rowid(String),
    /// By other columns of a primary key: the same everywhere, so its values are the row's natural key. `rid` is the value
    /// itself for one column, and for more a JSON array of them in this order (as SQLite's json_array writes it).
    Columns(Vec<String>),
}

/// What a column holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that travels as it is.
    Plain,
    /// The local key of a row of this table (its name): travels as that row's gid.
    Reference(String),
    /// The local key of a row of the table that another column names by a word: (that column, word and table for each).
    Tagged(String, Vec<(String, String)>),
    /// A count or mean that is added up over origins, never sent with the row.
    Counted,
    /// Local bookkeeping that is not replicated.
    Local,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name, as declared.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// Its default, as an expression of SQL.
    pub default: Option<String>,
}

/// Columns that trials are counted in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// How many trials: `uses`.
    pub count: String,
    /// Means over the trials: `success_rate`, `avg_reward`. While there is no trial they hold what was put there.
    pub means: Vec<String>,
}

/// The table that holds the embeddings of a table's rows, one for a row at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingTable {
    /// Its name.
    pub name: String,
    /// Its column with the row's local key.
    pub key: String,
    /// Its column with the vector: raw little-endian f32.
    pub vector: String,
    /// Its column with the name of the model, if there is one.
    pub model: Option<String>,
    /// Its column with the number of dimensions, if there is one.
    pub dimensions: Option<String>,
}

/// A table that is replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its name for the others.
    pub id: TableId,
    /// Its number in `mqs_table`, for this database only.
    pub local: i64,
    /// How its rows are found.
    pub key: Key,
    /// All its columns but an INTEGER PRIMARY KEY.
    pub columns: Vec<Column>,
    /// Plain columns that triggers of the schema set to the local time (AgentDB's `updated_at`): they travel, but a change of
    /// them alone is none.
    pub clocks: Vec<String>,
    /// What is counted.
    pub counters: Option<Counters>,
    /// Columns whose values name a row everywhere (a UNIQUE index over columns that are NOT NULL, or the primary key), if any.
    pub natural: Option<Vec<String>>,
    /// Where its embeddings are.
    pub embedding: Option<EmbeddingTable>,
}
