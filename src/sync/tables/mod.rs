//! Which tables are replicated, and how: the known ones of AgentDB and agentic-flow, recognised by their columns, and any
//! ordinary table with a primary key that the user names. Made from the schema at each open and after each change of it.

mod known;
pub mod schema;

use self::known::{KNOWN, Known, WORDS};
use self::schema::{ColumnSchema, TableSchema};
use super::identity::TableId;
use super::table::{Column, Counters, EmbeddingTable, Key, Kind, Table};

/// What a user says of a table beyond its declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Which table.
    pub name: String,
    /// What is counted in it.
    pub counters: Option<Counters>,
    /// Columns with the local key of a row of a table, where no foreign key says so.
    pub references: Vec<(String, String)>,
    /// Where its embeddings are.
    pub embedding: Option<EmbeddingTable>,
    /// Columns that stay here.
    pub local: Vec<String>,
}

/// A table that cannot be replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// Which one.
    pub table: String,
    /// Why.
    pub reason: String,
}

/// The tables to replicate, those that others refer to first. `wanted` are the names that the user gave: all known ones
/// without.
///
/// # Errors
///
/// [`Unsupported`] for a table that the user named.
pub fn resolve(
    schemas: &[TableSchema],
    wanted: Option<&[String]>,
    declared: &[Declared],
    id: impl Fn(&str) -> TableId,
) -> Result<Vec<Table>, Unsupported> {
    let mut chosen: Vec<&TableSchema> = Vec::new();
    match wanted {
        None => {
            chosen.extend(schemas.iter().filter(|schema| {
                known(schema).is_some() || declared.iter().any(|one| one.name == schema.name)
            }))
        }
        Some(names) => {
            for name in names {
                let schema =
                    find(schemas, name).ok_or_else(|| unsupported(name, "there is no such table"))?;
                let owner = owner_of_embeddings(schemas, schema).unwrap_or(schema);
                if !chosen.iter().any(|one| one.name == owner.name) {
                    chosen.push(owner);
                }
            }
        }
    }
    let mut tables = Vec::with_capacity(chosen.len());
    for schema in &chosen {
        let own = declared.iter().find(|one| one.name.eq_ignore_ascii_case(&schema.name));
        match table(schemas, &chosen, schema, own, &id) {
            Ok(table) => tables.push(table),
            // A known table that somebody has declared otherwise is left alone unless it was asked for.
            Err(_) if wanted.is_none() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(parents_first(tables))
}

/// The shape of AgentDB or agentic-flow that a table has.
fn known(schema: &TableSchema) -> Option<&'static Known> {
    KNOWN.iter().find(|known| {
        known.name == schema.name && known.columns.iter().all(|name| schema.column(name).is_some())
    })
}

fn find<'a>(schemas: &'a [TableSchema], name: &str) -> Option<&'a TableSchema> {
    schemas.iter().find(|schema| schema.name.eq_ignore_ascii_case(name))
}

/// The table whose embeddings this one holds.
fn owner_of_embeddings<'a>(schemas: &'a [TableSchema], schema: &TableSchema) -> Option<&'a TableSchema> {
    schemas.iter().find(|owner| {
        known(owner)
            .and_then(|known| embedding(schemas, known))
            .is_some_and(|embedding| embedding.name == schema.name)
    })
}

fn embedding(schemas: &[TableSchema], known: &Known) -> Option<EmbeddingTable> {
    let place = known.embedding.as_ref()?;
    let schema = find(schemas, place.name)?;
    let has = |column: &str| schema.column(column).is_some();
    let optional = |column: Option<&str>| column.filter(|column| has(column)).map(str::to_owned);
    (has(place.key) && has(place.vector)).then(|| EmbeddingTable {
        name: schema.name.clone(),
        key: place.key.to_owned(),
        vector: place.vector.to_owned(),
        model: optional(place.model),
        dimensions: optional(place.dimensions),
    })
}

fn unsupported(table: &str, reason: &str) -> Unsupported {
    Unsupported { table: table.to_owned(), reason: reason.to_owned() }
}

/// One table.
fn table(
    schemas: &[TableSchema],
    chosen: &[&TableSchema],
    schema: &TableSchema,
    own: Option<&Declared>,
    id: &impl Fn(&str) -> TableId,
) -> Result<Table, Unsupported> {
    let name = &schema.name;
    let key = key_of(schema)?;
    let known = known(schema);
    let counters = own.and_then(|own| own.counters.clone()).or_else(|| {
        let (count, means) = known?.counters?;
        Some(Counters { count: count.to_owned(), means: means.iter().map(|&mean| mean.to_owned()).collect() })
    });
    let counted = |column: &str| {
        counters.as_ref().is_some_and(|counters| {
            counters.count == column || counters.means.iter().any(|mean| mean == column)
        })
    };
    let mut columns = Vec::with_capacity(schema.columns.len());
    for column in schema
        .columns
        .iter()
        .filter(|column| !column.generated && !matches!(&key, Key::Rowid(rowid) if *rowid == column.name))
    {
        let kind = if own.is_some_and(|own| own.local.contains(&column.name)) {
            Kind::Local
        } else if counted(&column.name) {
            Kind::Counted
        } else {
            kind_of(schemas, chosen, schema, column, known, own)?
        };
        columns.push(Column {
            name: column.name.clone(),
            kind,
            not_null: column.not_null,
            default: column.default.clone(),
        });
    }
    columns.sort_by(|a, b| a.name.cmp(&b.name));
    let natural = match &key {
        Key::Columns(names) => Some(names.clone()),
        Key::Rowid(_) => natural_key(schema, &columns),
    };
    let clocks = known.map_or(&[][..], |known| known.clocks).iter().map(|&clock| clock.to_owned()).collect();
    let embedding = own.and_then(|own| own.embedding.clone()).or_else(|| embedding(schemas, known?));
    Ok(Table {
        name: name.clone(),
        id: id(name),
        local: 0,
        key,
        columns,
        clocks,
        counters,
        natural,
        embedding,
    })
}

fn key_of(schema: &TableSchema) -> Result<Key, Unsupported> {
    let error = |reason: &str| Err(unsupported(&schema.name, reason));
    if schema.is_virtual {
        return error("it is a virtual table");
    }
    if let Some(rowid) = schema.rowid() {
        if schema.foreign_keys.iter().any(|key| key.column.eq_ignore_ascii_case(&rowid.name)) {
            return error("its INTEGER PRIMARY KEY refers to another table");
        }
        return Ok(Key::Rowid(rowid.name.clone()));
    }
    let key = schema.primary_key();
    if key.is_empty() {
        return error("it has no primary key");
    }
    if key.iter().any(|column| column.generated) {
        return error("its primary key is computed");
    }
    // In a key of several columns JSON carries the values: exact for integers and text alone.
    if key.len() > 1 && key.iter().any(|column| !carried_by_json(&column.declared)) {
        return error("a column of its composite primary key is neither INTEGER nor TEXT");
    }
    Ok(Key::Columns(key.iter().map(|column| column.name.clone()).collect()))
}

/// Affinity INTEGER or TEXT (sqlite.org/datatype3.html, 3.1).
fn carried_by_json(declared: &str) -> bool {
    ["INT", "CHAR", "CLOB", "TEXT"].iter().any(|word| declared.contains(word))
}

fn kind_of(
    schemas: &[TableSchema],
    chosen: &[&TableSchema],
    schema: &TableSchema,
    column: &ColumnSchema,
    known: Option<&Known>,
    own: Option<&Declared>,
) -> Result<Kind, Unsupported> {
    if let Some((_, by)) =
        known.and_then(|known| known.tagged.iter().find(|(tagged, _)| *tagged == column.name))
    {
        let words = WORDS.iter().filter(|(_, table)| chosen.iter().any(|one| one.name == *table));
        return Ok(Kind::Tagged(
            (*by).to_owned(),
            words.map(|&(word, table)| (word.to_owned(), table.to_owned())).collect(),
        ));
    }
    if let Some((_, target)) =
        own.and_then(|own| own.references.iter().find(|(from, _)| *from == column.name))
    {
        return Ok(Kind::Reference(target.clone()));
    }
    let Some(foreign) = schema.foreign_keys.iter().find(|key| key.column.eq_ignore_ascii_case(&column.name))
    else {
        return Ok(Kind::Plain);
    };
    let Some(target) = find(schemas, &foreign.table) else {
        return Ok(Kind::Plain);
    };
    let key = target.primary_key();
    let to_key = match (&foreign.to, &key[..]) {
        (None, [_]) => true,
        (Some(to), [only]) => only.name.eq_ignore_ascii_case(to),
        _ => false,
    };
    // Another column than the key holds the same value everywhere.
    if !to_key {
        return Ok(Kind::Plain);
    }
    if chosen.iter().any(|one| one.name == target.name) {
        return Ok(Kind::Reference(target.name.clone()));
    }
    if target.rowid().is_none() {
        return Ok(Kind::Plain);
    }
    if column.not_null {
        let reason = format!("its column {} refers to {}, which is not replicated", column.name, target.name);
        return Err(Unsupported { table: schema.name.clone(), reason });
    }
    Ok(Kind::Local)
}

/// The smallest UNIQUE index whose columns travel; of equal ones the first by name.
fn natural_key(schema: &TableSchema, columns: &[Column]) -> Option<Vec<String>> {
    let travels = |name: &String| {
        columns
            .iter()
            .any(|column| column.name == *name && matches!(column.kind, Kind::Plain | Kind::Reference(_)))
    };
    schema
        .unique
        .iter()
        .filter(|index| index.iter().all(travels))
        .min_by_key(|index| (index.len(), (*index).clone()))
        .cloned()
}

/// Tables that others refer to come before them, as far as there are no cycles; otherwise by name.
fn parents_first(mut tables: Vec<Table>) -> Vec<Table> {
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let mut sorted: Vec<Table> = Vec::with_capacity(tables.len());
    while !tables.is_empty() {
        let free = tables.iter().position(|table| {
            let waits =
                |target: &str| target != table.name && tables.iter().any(|other| other.name == target);
            !table.columns.iter().any(|column| match &column.kind {
                Kind::Reference(target) => waits(target),
                Kind::Tagged(_, words) => words.iter().any(|(_, target)| waits(target)),
                _ => false,
            })
        });
        sorted.push(tables.remove(free.unwrap_or(0)));
    }
    sorted
}
