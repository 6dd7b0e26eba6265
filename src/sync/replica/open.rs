//! Opening: a database begins to be replicated, or goes on. Every open is a new life of its origin.

use std::collections::HashMap;
use std::sync::Arc;

use super::capture::Capturing;
use super::dice::Dice;
use super::{Author, Merging, Replica, Volatile, layout};
use crate::sync::clock::{Clock, Hlc};
use crate::sync::database::{Database, Value};
use crate::sync::identity::{Incarnation, Origin};
use crate::sync::lineage;
use crate::sync::seal::Seal;
use crate::sync::store::{Life, StoreError};
use crate::sync::tables::Declared;
use crate::sync::wire::MAX_VERSION;

/// How to open.
#[derive(Debug)]
pub struct OpenOptions {
    /// The name under which nodes replicate each other.
    pub database: String,
    /// Which tables; all that are known without.
    pub tables: Option<Vec<String>>,
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// From the operating system's generator, new for each open.
    pub seed: [u8; 32],
    /// Seals what leaves.
    pub seal: Option<Arc<dyn Seal>>,
    /// What the user says of tables beyond their declarations.
    pub declared: Vec<Declared>,
}

impl Replica {
    /// Installs replication into a database, or resumes it, in a transaction of its own.
    ///
    /// # Errors
    ///
    /// [`StoreError::NewerFormat`], [`StoreError::OtherName`], [`StoreError::OtherSeal`], [`StoreError::UnsupportedTable`], and
    /// what SQLite says; nothing has changed then.
    pub fn open(database: &mut dyn Database, options: OpenOptions) -> Result<Self, StoreError> {
        database.begin()?;
        match Self::open_within(database, options) {
            Ok(mut replica) => {
                replica.commit(database)?;
                Ok(replica)
            }
            Err(error) => {
                database.rollback();
                Err(error)
            }
        }
    }

    fn open_within(database: &mut dyn Database, options: OpenOptions) -> Result<Self, StoreError> {
        let mut dice = Dice::new(options.seed);
        if database
            .query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'mqs_meta'", &[])?
            .is_empty()
        {
            database.batch(layout::TABLES)?;
            let mut origin = [0; 16];
            origin.copy_from_slice(&dice.roll()[..16]);
            database.query(
                "INSERT INTO mqs_meta(k, v) VALUES('format', ?1), ('database', ?2), ('applying', 0), ('clock', ?3), ('own', 1), ('life', 0)",
                &[Value::Integer(layout::FORMAT), Value::Text(options.database.clone()), Value::Blob(Hlc::default().to_bytes().to_vec())],
            )?;
            database.query(
                "INSERT INTO mqs_origin(id, origin, head, floor, lineage) VALUES(1, ?1, 0, 0, x'')",
                &[Value::Blob(origin.to_vec())],
            )?;
        }
        let mut meta: HashMap<String, Value> = HashMap::new();
        for row in database.query("SELECT k, v FROM mqs_meta", &[])? {
            let Ok([Value::Text(key), value]) = <[Value; 2]>::try_from(row) else {
                return Err(StoreError::Corrupt("mqs_meta"));
            };
            meta.insert(key, value);
        }
        match meta.get("format") {
            Some(Value::Integer(layout::FORMAT)) => {}
            Some(Value::Integer(format)) if *format > layout::FORMAT => {
                return Err(StoreError::NewerFormat(*format));
            }
            _ => return Err(StoreError::Corrupt("mqs_meta.format")),
        }
        match meta.get("database") {
            Some(Value::Text(name)) if *name == options.database => {}
            Some(Value::Text(name)) => return Err(StoreError::OtherName(name.clone())),
            _ => return Err(StoreError::Corrupt("mqs_meta.database")),
        }
        let integer = |key: &str| match meta.get(key) {
            Some(Value::Integer(integer)) => Some(*integer),
            _ => None,
        };
        let clock = match meta.get("clock") {
            Some(Value::Blob(bytes)) => {
                Hlc::from_slice(bytes).ok_or(StoreError::Corrupt("mqs_meta.clock"))?
            }
            _ => return Err(StoreError::Corrupt("mqs_meta.clock")),
        };
        let own = integer("own").ok_or(StoreError::Corrupt("mqs_meta.own"))?;
        let life = integer("life").ok_or(StoreError::Corrupt("mqs_meta.life"))? + 1;
        // A process that was killed between two statements of one transaction leaves nothing; a handle that was used without
        // transactions might.
        database.query("UPDATE mqs_meta SET v = ?1 WHERE k = 'life'", &[Value::Integer(life)])?;
        database.query("UPDATE mqs_meta SET v = 0 WHERE k = 'applying' AND v <> 0", &[])?;
        let now = Volatile {
            clock: Clock::resume(clock),
            authors: HashMap::new(),
            numbers: HashMap::new(),
            own,
            life,
            digest: read_digest(database)?,
            touched: Vec::new(),
            naming: None,
            named: false,
        };
        let mut replica = Self {
            database: options.database,
            tables: Vec::new(),
            seal: options.seal,
            heard: None,
            dice,
            committed: now.clone(),
            now,
            merging: Merging::default(),
            capturing: Capturing::of(options.tables, options.declared),
        };
        replica.read_authors(database)?;
        replica.choose_naming(database, meta.get("naming"))?;
        replica.begin_life(database)?;
        replica.committed = replica.now.clone();
        replica.capturing.inherited = !database.query("SELECT 1 FROM mqs_dirty LIMIT 1", &[])?.is_empty();
        replica.verify(database, options.now_ms)?;
        Ok(replica)
    }

    fn read_authors(&mut self, database: &mut dyn Database) -> Result<(), StoreError> {
        for row in database.query("SELECT id, origin, head, floor, lineage FROM mqs_origin", &[])? {
            let Ok(
                [
                    Value::Integer(number),
                    Value::Blob(origin),
                    Value::Integer(head),
                    Value::Integer(floor),
                    Value::Blob(lives),
                ],
            ) = <[Value; 5]>::try_from(row)
            else {
                return Err(StoreError::Corrupt("mqs_origin"));
            };
            let origin = Origin::from_slice(&origin).ok_or(StoreError::Corrupt("mqs_origin.origin"))?;
            let lineage = lineage::decode(&lives).ok_or(StoreError::Corrupt("mqs_origin.lineage"))?;
            let version = |number: i64| u64::try_from(number).ok().filter(|&version| version <= MAX_VERSION);
            let (Some(head), Some(floor)) = (version(head), version(floor)) else {
                return Err(StoreError::Corrupt("mqs_origin.head"));
            };
            if lineage.iter().any(|life| life.start > MAX_VERSION) {
                return Err(StoreError::Corrupt("mqs_origin.lineage"));
            }
            self.now.authors.insert(number, Author { origin, head, floor, lineage });
            self.now.numbers.insert(origin, number);
        }
        Ok(())
    }

    fn begin_life(&mut self, database: &mut dyn Database) -> Result<(), StoreError> {
        let mut incarnation = [0; 8];
        incarnation.copy_from_slice(&self.dice.roll()[..8]);
        let author = self.now.authors.get_mut(&self.now.own).ok_or(StoreError::Corrupt("mqs_meta.own"))?;
        author.lineage.push(Life { incarnation: Incarnation(incarnation), start: author.head });
        let lives = lineage::encode(&author.lineage);
        author.lineage = lineage::decode(&lives).ok_or(StoreError::Corrupt("mqs_origin.lineage"))?;
        database.query(
            "UPDATE mqs_origin SET lineage = ?2 WHERE id = ?1",
            &[Value::Integer(self.now.own), Value::Blob(lives)],
        )?;
        Ok(())
    }
}

fn read_digest(database: &mut dyn Database) -> Result<Box<[[u8; 16]; 256]>, StoreError> {
    let mut digest = Box::new([[0; 16]; 256]);
    for row in database.query("SELECT bucket, sum FROM mqs_digest", &[])? {
        let [Value::Integer(bucket), Value::Blob(sum)] = row.as_slice() else {
            return Err(StoreError::Corrupt("mqs_digest"));
        };
        let place = usize::try_from(*bucket).ok().and_then(|bucket| digest.get_mut(bucket));
        match (place, <[u8; 16]>::try_from(sum.as_slice())) {
            (Some(place), Ok(sum)) => *place = sum,
            _ => return Err(StoreError::Corrupt("mqs_digest")),
        }
    }
    Ok(digest)
}
