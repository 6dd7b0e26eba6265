//! One database that is replicated: what is captured from it, and what is merged into it.
//!
//! Everything runs in a transaction on the user's handle ([`Replica::begin`], [`Replica::commit`], [`Replica::rollback`]), and
//! every transaction that merges captures first: otherwise a local write made a moment before would be overwritten unseen.

mod apply;
mod bound;
mod capture;
mod collect;
mod content;
mod counters;
mod dice;
mod digest;
mod event;
mod fork;
mod install;
mod layout;
mod open;
mod orphans;
mod pending;
mod read;
mod references;
mod sealing;
mod states;
mod sweep;
mod write;

use std::collections::HashMap;
use std::sync::Arc;

pub use self::bound::Bound;
pub use self::capture::Captured;
use self::capture::Capturing;
pub use self::content::table_id;
use self::dice::Dice;
pub use self::event::Event;
pub use self::install::uninstall;
pub use self::open::OpenOptions;
use self::pending::Merging;
pub use self::pending::{Reason, Wake};
pub use self::sweep::Swept;
use super::clock::{Clock, Hlc};
use super::component::Stamp;
use super::database::{Database, Value};
use super::identity::{Gid, Origin, TableId};
use super::seal::{Naming, Seal, SealTag};
use super::store::{Lineage, StoreError};
use super::table::Table;

/// What this replica knows of an origin.
#[derive(Clone, Debug)]
struct Author {
    origin: Origin,
    head: u64,
    floor: u64,
    lineage: Lineage,
}

/// What changes with every transaction, and goes back when it is rolled back.
#[derive(Clone, Debug)]
struct Volatile {
    clock: Clock,
    /// By `mqs_origin.id`.
    authors: HashMap<i64, Author>,
    /// By origin.
    numbers: HashMap<Origin, i64>,
    /// `mqs_origin.id` of the origin under which this replica writes.
    own: i64,
    /// Ordinal of the current life, as in `mqs_base`.
    life: i64,
    /// The digest by buckets, and which of them differ from `mqs_digest`.
    digest: Box<[[u8; 16]; 256]>,
    touched: Vec<u8>,
    /// What names are given with, where contents are sealed, and whether anything has a name already.
    naming: Option<Naming>,
    named: bool,
}

/// A replica.
pub struct Replica {
    /// The name under which nodes replicate each other.
    database: String,
    tables: Vec<Arc<Table>>,
    seal: Option<Arc<dyn Seal>>,
    /// What a peer names with, when no key here does.
    heard: Option<SealTag>,
    dice: Dice,
    now: Volatile,
    /// As of the last commit.
    committed: Volatile,
    /// What merging keeps in mind, and tells.
    merging: Merging,
    /// What capturing keeps in mind.
    capturing: Capturing,
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Replica")
            .field("database", &self.database)
            .field("own", &self.own())
            .finish_non_exhaustive()
    }
}

impl Replica {
    /// Opens a transaction.
    ///
    /// # Errors
    ///
    /// [`super::database::DatabaseError::Busy`] or `InUse`: later.
    pub fn begin(&mut self, database: &mut dyn Database) -> Result<(), StoreError> {
        Ok(database.begin()?)
    }

    /// Commits it. When that fails it is rolled back.
    ///
    /// # Errors
    ///
    /// What SQLite says.
    pub fn commit(&mut self, database: &mut dyn Database) -> Result<(), StoreError> {
        let outcome = self
            .settle_all(database)
            .and_then(|()| self.save(database))
            .and_then(|()| Ok(database.commit()?));
        if outcome.is_ok() {
            self.committed = self.now.clone();
            self.merging.committed();
            self.capturing.verified = false;
        } else {
            self.rollback(database);
        }
        outcome
    }

    /// Undoes it.
    pub fn rollback(&mut self, database: &mut dyn Database) {
        database.rollback();
        self.now = self.committed.clone();
        self.identify_tables();
        self.merging.rolled_back();
        if std::mem::take(&mut self.capturing.verified) {
            self.capturing.schema = None;
        }
    }

    /// What has happened since this was last asked, up to the last commit.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.merging.take_events()
    }

    /// A relay's time less this node's, in ms: a node whose clock is more than [`MAX_SKEW_MS`](super::clock::MAX_SKEW_MS) off
    /// stamps with the relay's time. Within a transaction, whose end keeps it.
    pub fn measured(&mut self, offset_ms: i64) {
        self.now.clock.measured(offset_ms);
    }

    /// The origin under which this replica writes.
    #[must_use]
    pub fn own(&self) -> Origin {
        self.now.authors[&self.now.own].origin
    }

    /// A table by its name.
    fn table_named(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// A table by its number in this file.
    fn table_numbered(&self, local: i64) -> Option<&Arc<Table>> {
        self.tables.iter().find(|table| table.local == local)
    }

    /// The name of a table, or its id where the name has not been told yet.
    fn name_of(&self, id: TableId) -> String {
        match self.table_identified(id) {
            Some(table) => table.name.clone(),
            None => self.merging.absent.get(&id).cloned().unwrap_or_else(|| id.to_string()),
        }
    }

    /// A table by its id.
    fn table_identified(&self, id: TableId) -> Option<&Arc<Table>> {
        self.tables.iter().find(|table| table.id == id)
    }

    /// The next stamp of this replica.
    fn stamp(&mut self, now_ms: u64) -> Stamp {
        let hlc = self.now.clock.stamp(now_ms);
        self.stamp_at(hlc)
    }

    /// The next version of this replica, at a time that is given: what was there before replication is at zero, and one change
    /// of several components is at one time.
    fn stamp_at(&mut self, hlc: Hlc) -> Stamp {
        let author = self
            .now
            .authors
            .get_mut(&self.now.own)
            .expect("the own origin is entered when the replica is opened");
        author.head += 1;
        Stamp { hlc, origin: author.origin, version: author.head }
    }

    /// A gid for a row without a natural key: its time, then random bytes, so that the index grows at its end.
    fn mint(&mut self, now_ms: u64) -> Gid {
        let mut gid = [0; 16];
        gid[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
        gid[6..].copy_from_slice(&self.dice.roll()[..10]);
        Gid(gid)
    }

    /// The number of an origin in this file; a new one is entered with head 0.
    fn number(&mut self, database: &mut dyn Database, origin: Origin) -> Result<i64, StoreError> {
        if origin == Origin::BASELINE {
            return Ok(layout::BASELINE);
        }
        if let Some(&number) = self.now.numbers.get(&origin) {
            return Ok(number);
        }
        let number = self.now.authors.keys().max().copied().unwrap_or(layout::BASELINE) + 1;
        database.query(
            "INSERT INTO mqs_origin(id, origin, head, floor, lineage) VALUES(?1, ?2, 0, 0, x'')",
            &[Value::Integer(number), Value::Blob(origin.0.to_vec())],
        )?;
        self.now.numbers.insert(origin, number);
        self.now.authors.insert(number, Author { origin, head: 0, floor: 0, lineage: Vec::new() });
        Ok(number)
    }

    /// The origin of this number.
    fn origin(&self, number: i64) -> Result<Origin, StoreError> {
        if number == layout::BASELINE {
            return Ok(Origin::BASELINE);
        }
        self.now
            .authors
            .get(&number)
            .map(|author| author.origin)
            .ok_or(StoreError::Corrupt("a row of an origin that is not in mqs_origin"))
    }

    /// Writes what a transaction has changed in memory alone.
    fn save(&mut self, database: &mut dyn Database) -> Result<(), StoreError> {
        let (now, committed) = (&self.now, &self.committed);
        if now.clock.last() != committed.clock.last() {
            database.query(
                "UPDATE mqs_meta SET v = ?1 WHERE k = 'clock'",
                &[Value::Blob(now.clock.last().to_bytes().to_vec())],
            )?;
        }
        for (number, author) in &now.authors {
            let before = committed.authors.get(number);
            if before.is_none_or(|before| before.head != author.head || before.floor != author.floor) {
                database.query(
                    "UPDATE mqs_origin SET head = ?2, floor = ?3 WHERE id = ?1",
                    &[
                        Value::Integer(*number),
                        states::version_value(author.head),
                        states::version_value(author.floor),
                    ],
                )?;
            }
        }
        for bucket in std::mem::take(&mut self.now.touched) {
            database.query(
                "INSERT INTO mqs_digest(bucket, sum) VALUES(?1, ?2) ON CONFLICT(bucket) DO UPDATE SET sum = excluded.sum",
                &[Value::Integer(i64::from(bucket)), Value::Blob(self.now.digest[usize::from(bucket)].to_vec())],
            )?;
        }
        Ok(())
    }
}
