//! Capture against a naive model: whatever statements a program runs, a peer that hears what is published holds what the
//! tables hold.

use std::collections::{BTreeMap, HashMap};

use midstreamer::sync::component::Slot;
use midstreamer::sync::database::{Database, Value};
use midstreamer::sync::identity::{Gid, Origin};
use midstreamer::sync::replica::{Bound, Event, OpenOptions, Replica, uninstall};
use midstreamer::sync::row::{Cell, Content, Share};
use midstreamer::sync::store::{Limit, Store, StoreError};

use crate::agentdb;
use crate::sqlite::Sqlite;

fn options(tables: Option<&[&str]>, seed: u8) -> OpenOptions {
    OpenOptions {
        database: "default".to_owned(),
        tables: tables.map(|names| names.iter().map(|&name| name.to_owned()).collect()),
        now_ms: 1_000,
        seed: [seed; 32],
        seal: None,
        declared: Vec::new(),
    }
}

/// Captures until nothing is left, in pages of `limit`; how many components were published.
fn capture(db: &mut Sqlite, replica: &mut Replica, limit: usize) -> u64 {
    let mut published = 0;
    for _ in 0..100_000 {
        replica.begin(db).expect("a transaction");
        let captured = replica.capture(db, 2_000, limit).expect("captures");
        replica.commit(db).expect("commits");
        published += captured.rows;
        if !captured.more {
            return published;
        }
    }
    panic!("capture does not end");
}

fn sweep(db: &mut Sqlite, replica: &mut Replica, limit: usize) -> u64 {
    let mut marked = 0;
    loop {
        replica.begin(db).expect("a transaction");
        let swept = replica.sweep(db, 2_000, limit).expect("sweeps");
        replica.commit(db).expect("commits");
        marked += swept.marked;
        if swept.complete {
            return marked;
        }
    }
}

/// What a peer holds that hears everything.
#[derive(Default)]
struct Peer {
    head: u64,
    rows: BTreeMap<Gid, Content>,
    shares: HashMap<(Gid, Origin), Share>,
}

impl Peer {
    fn hear(&mut self, db: &mut Sqlite, replica: &mut Replica) {
        replica.begin(db).expect("a transaction");
        let own = replica.own();
        loop {
            let mut side = Bound { replica: &mut *replica, database: &mut *db };
            let delta = side.read(own, self.head, Limit { components: 7, bytes: 1 << 20 }).expect("reads");
            if delta.to == self.head {
                break;
            }
            for component in delta.components {
                assert!(component.stamp.version > self.head && component.stamp.version <= delta.to);
                match (component.slot, component.body) {
                    (Slot::Row, Some(body)) => {
                        self.rows.insert(component.gid, Content::decode(&body).expect("a row"));
                    }
                    (Slot::Row, None) => {
                        self.rows.remove(&component.gid);
                    }
                    (Slot::Share(owner), body) => {
                        let share = Share::decode(&body.expect("a share has a body")).expect("a share");
                        self.shares.insert((component.gid, owner), share);
                    }
                }
            }
            self.head = delta.to;
        }
        replica.commit(db).expect("commits");
    }

    /// As text, with references by a column of the row that is meant (`column>label`); 0: it is gone.
    fn show(&self, table: &str, columns: &[&str]) -> Vec<String> {
        let mut rows: Vec<String> = self
            .rows
            .values()
            .filter(|content| content.table == table)
            .map(|content| {
                columns.iter().map(|column| self.cell(content, column)).collect::<Vec<_>>().join("|")
            })
            .collect();
        rows.sort();
        rows
    }

    fn cell(&self, content: &Content, column: &str) -> String {
        let (column, label) = column.split_once('>').unwrap_or((column, ""));
        match content.cells.iter().find(|(name, _)| name == column).map(|(_, cell)| cell) {
            Some(Cell::Reference(gid)) => {
                self.rows.get(gid).map_or("0".to_owned(), |row| self.cell(row, label))
            }
            Some(Cell::Value(value)) => text(value),
            None => "missing".to_owned(),
        }
    }

    fn counts(&self, table: &str) -> Vec<(i64, String)> {
        let mut counts: Vec<(i64, String)> = self
            .rows
            .iter()
            .filter(|(_, content)| content.table == table)
            .map(|(gid, _)| {
                let shares = self.shares.iter().filter(|((row, _), _)| row == gid).map(|(_, share)| share);
                let (count, sum) = shares.fold((0, 0.0), |(count, sum), share| {
                    (count + share.count, sum + share.means.first().map_or(0.0, |mean| mean.sum))
                });
                (count, format!("{:.6}", if count > 0 { sum / count as f64 } else { 0.0 }))
            })
            .collect();
        counts.sort();
        counts
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) => format!("{real:?}"),
        Value::Text(text) => text.clone(),
        Value::Blob(blob) => format!("{blob:?}"),
    }
}

fn naive(db: &mut Sqlite, sql: &str) -> Vec<String> {
    let mut rows: Vec<String> = db
        .query(sql, &[])
        .expect("a query")
        .iter()
        .map(|row| row.iter().map(text).collect::<Vec<_>>().join("|"))
        .collect();
    rows.sort();
    rows
}

fn agree(db: &mut Sqlite, peer: &Peer, what: &str) {
    assert_eq!(
        peer.show("episodes", &["task", "critique"]),
        naive(db, "SELECT task, critique FROM episodes"),
        "{what}: episodes"
    );
    assert_eq!(
        peer.show("events", &["content", "episode_id>task"]),
        naive(db, "SELECT content, task FROM events LEFT JOIN episodes ON episodes.id = episode_id"),
        "{what}: events"
    );
    assert_eq!(
        peer.show("skills", &["name", "created_from_episode>task"]),
        naive(db, "SELECT name, task FROM skills LEFT JOIN episodes ON episodes.id = created_from_episode"),
        "{what}: skills"
    );
    assert_eq!(
        peer.show("skill_links", &["parent_skill_id>name", "child_skill_id>name", "relationship", "weight"]),
        naive(
            db,
            "SELECT a.name, b.name, relationship, weight FROM skill_links JOIN skills a ON a.id = parent_skill_id JOIN skills b ON b.id = child_skill_id"
        ),
        "{what}: links"
    );
    assert_eq!(
        peer.show("facts", &["subject", "source_id>task"]),
        naive(db, "SELECT subject, coalesce(task, CASE source_type WHEN 'episode' THEN 0 ELSE source_id END) FROM facts
                   LEFT JOIN episodes ON source_type = 'episode' AND episodes.id = source_id"),
        "{what}: facts"
    );
    let counts: Vec<(i64, String)> = db
        .query("SELECT uses, success_rate FROM reasoning_patterns", &[])
        .expect("a query")
        .iter()
        .map(|row| match (&row[0], &row[1]) {
            (Value::Integer(uses), Value::Real(rate)) => {
                (*uses, format!("{:.6}", if *uses > 0 { *rate } else { 0.0 }))
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let mut counts = counts;
    counts.sort();
    assert_eq!(peer.counts("reasoning_patterns"), counts, "{what}: counters");
    let embeddings = peer.rows.values().filter_map(|content| content.embedding.as_ref()).count();
    let stored = naive(
        db,
        "SELECT (SELECT count(*) FROM episode_embeddings) + (SELECT count(*) FROM pattern_embeddings)",
    );
    assert_eq!(vec![embeddings.to_string()], stored, "{what}: embeddings");
}

/// One statement of a program.
fn statement(dice: &mut fastrand::Rng, unique: u32) -> String {
    let some = |dice: &mut fastrand::Rng, table: &str| {
        format!("(SELECT id FROM {table} ORDER BY id LIMIT 1 OFFSET {})", dice.u8(..4))
    };
    let name = format!("skill-{}", dice.u8(..4));
    match dice.u8(..20) {
        0..=2 => format!("INSERT INTO episodes(session_id, task) VALUES('s', 'task-{unique}');
                          INSERT INTO episode_embeddings(episode_id, embedding) VALUES(last_insert_rowid(), x'0000803f00000040');"),
        3 => format!("UPDATE OR FAIL episodes SET critique = 'c-{unique}' WHERE id = {};", some(dice, "episodes")),
        4 => format!("UPDATE skills SET created_from_episode = NULL; DELETE FROM episodes WHERE id = {};", some(dice, "episodes")),
        5 => format!("INSERT OR REPLACE INTO skills(name, signature, created_from_episode) VALUES('{name}', '{{}}', {});", some(dice, "episodes")),
        6 => format!("INSERT OR IGNORE INTO skills(name, signature) VALUES('{name}', '{{}}');"),
        7 => format!("UPDATE OR IGNORE skills SET name = '{name}' WHERE id = {};", some(dice, "skills")),
        8 => format!("DELETE FROM skills WHERE id = {};", some(dice, "skills")),
        9..=10 => format!("INSERT OR IGNORE INTO skill_links(parent_skill_id, child_skill_id, relationship) SELECT a.id, b.id, 'r' FROM skills a, skills b
                          WHERE a.id = {} AND b.id <> a.id LIMIT 1;", some(dice, "skills")),
        11 => format!("UPDATE skill_links SET weight = {}.5 WHERE id = {};", dice.u8(..9), some(dice, "skill_links")),
        12 => format!("INSERT INTO events(session_id, episode_id, step, content) VALUES('s', {}, 1, 'event-{unique}');", some(dice, "episodes")),
        13 => format!("INSERT INTO facts(subject, predicate, object, source_type, source_id) VALUES('f-{unique}', 'p', 'o', 'episode', coalesce({}, 0));", some(dice, "episodes")),
        14 => format!("INSERT INTO facts(subject, predicate, object, source_type, source_id) VALUES('f-{unique}', 'p', 'o', 'elsewhere', {});", dice.u8(..9)),
        15 => format!("INSERT INTO reasoning_patterns(task_type, approach, success_rate) VALUES('t', 'a', 0.{});
                       INSERT INTO pattern_embeddings(pattern_id, embedding) VALUES(last_insert_rowid(), x'0000803f');", dice.u8(..9)),
        16..=17 => format!("UPDATE reasoning_patterns SET success_rate = (success_rate * uses + {}) / (uses + 1), uses = uses + 1 WHERE id = {};", dice.u8(..2), some(dice, "reasoning_patterns")),
        18 => format!("UPDATE skills SET uses = uses + 1 WHERE id = {};", some(dice, "skills")),
        _ => "CREATE TABLE rebuilt AS SELECT * FROM facts; DROP TABLE facts;
              CREATE TABLE facts(id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, predicate TEXT NOT NULL, object TEXT NOT NULL, source_type TEXT,
              source_id INTEGER, confidence REAL DEFAULT 1.0, created_at INTEGER NOT NULL DEFAULT 0, expires_at INTEGER, metadata JSON);
              INSERT INTO facts SELECT * FROM rebuilt WHERE id % 5; DROP TABLE rebuilt;".to_owned(),
    }
}

#[test]
fn what_is_published_is_what_the_tables_hold() {
    for seed in 0..12 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut db = Sqlite::new();
        db.run(agentdb::PATTERNS);
        db.run(agentdb::MEMORY);
        for unique in 0..30 {
            db.run(&statement(&mut dice, unique));
        }
        let mut replica = Replica::open(&mut db, options(None, seed as u8)).expect("opens");
        let mut peer = Peer::default();
        for round in 0..12 {
            for step in 0..dice.u32(..12) {
                db.run(&statement(&mut dice, 1_000 + round * 100 + step));
            }
            if dice.u8(..8) == 0 {
                replica = Replica::open(&mut db, options(None, dice.u8(..))).expect("opens again");
            }
            let limit = dice.usize(1..20);
            capture(&mut db, &mut replica, limit);
            sweep(&mut db, &mut replica, dice.usize(1..20));
            capture(&mut db, &mut replica, limit);
            peer.hear(&mut db, &mut replica);
            agree(&mut db, &peer, &format!("seed {seed}, round {round}"));
            db.run("UPDATE skills SET uses = uses; UPDATE episodes SET task = task; UPDATE reasoning_patterns SET uses = uses;");
            assert_eq!(
                capture(&mut db, &mut replica, 100),
                0,
                "seed {seed}, round {round}: nothing has changed"
            );
            assert_eq!(
                sweep(&mut db, &mut replica, 100),
                0,
                "seed {seed}, round {round}: nothing was missed"
            );
        }
    }
}

#[test]
fn uninstalling_leaves_the_schema_as_it_was() {
    let mut db = Sqlite::new();
    for schema in [agentdb::PATTERNS, agentdb::MEMORY, agentdb::FRONTIER] {
        db.run(schema);
    }
    db.run("CREATE TABLE mine(a TEXT, b INTEGER, c, PRIMARY KEY(a, b)) WITHOUT ROWID; INSERT INTO mine VALUES('x', 1, 2);");
    let schema = "SELECT type, name, tbl_name, sql FROM sqlite_master";
    let before = db.dump(schema);
    let sequence = db.dump("SELECT * FROM sqlite_sequence");
    let mut replica =
        Replica::open(&mut db, options(Some(&["mine", "skills", "episodes"]), 1)).expect("opens");
    capture(&mut db, &mut replica, 10);
    assert!(db.dump(schema).len() > before.len());
    uninstall(&mut db).expect("uninstalls");
    assert_eq!(db.dump(schema), before);
    assert_eq!(db.dump("SELECT * FROM sqlite_sequence"), sequence);
}

#[test]
fn tables_are_known_by_their_columns() {
    let mut db = Sqlite::new();
    for schema in [agentdb::PATTERNS, agentdb::MEMORY, agentdb::FRONTIER] {
        db.run(schema);
    }
    Replica::open(&mut db, options(None, 1)).expect("opens");
    assert_eq!(naive(&mut db, "SELECT count(*) FROM mqs_table"), ["21"]);
    let mut flow = Sqlite::new();
    flow.run(agentdb::AGENTIC_FLOW);
    flow.run(
        "INSERT INTO patterns(id, type, pattern_data) VALUES('a', 't', '{}'), ('b', 't', '{}');
              INSERT INTO pattern_embeddings(id, model, dims, vector) VALUES('a', 'm', 1, x'0000803f');
              INSERT INTO pattern_links(src_id, dst_id, relation) VALUES('a', 'b', 'r');",
    );
    let mut replica = Replica::open(&mut flow, options(None, 1)).expect("opens");
    capture(&mut flow, &mut replica, 1);
    flow.run("UPDATE pattern_links SET dst_id = 'a' WHERE src_id = 'a'; UPDATE patterns SET usage_count = 3 WHERE id = 'b';");
    capture(&mut flow, &mut replica, 1);
    let mut peer = Peer::default();
    peer.hear(&mut flow, &mut replica);
    assert_eq!(peer.show("patterns", &["id"]), ["a", "b"]);
    assert_eq!(peer.show("pattern_links", &["src_id>id", "dst_id>id"]), ["a|a"]);
    assert_eq!(peer.counts("patterns").iter().map(|(count, _)| *count).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(peer.rows.values().filter(|content| content.embedding.is_some()).count(), 1);
}

#[test]
fn tables_that_cannot_be_replicated_are_named() {
    for (sql, name) in [
        ("CREATE TABLE none(a, b)", "none"),
        ("CREATE TABLE pair(a BLOB, b TEXT, PRIMARY KEY(a, b))", "pair"),
        ("CREATE VIRTUAL TABLE words USING fts5(a)", "words"),
        ("SELECT 1", "absent"),
        (
            "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE child(id INTEGER PRIMARY KEY, p INTEGER NOT NULL REFERENCES p(id))",
            "child",
        ),
    ] {
        let mut db = Sqlite::new();
        db.run(sql);
        match Replica::open(&mut db, options(Some(&[name]), 1)) {
            Err(StoreError::UnsupportedTable { table, .. }) => assert_eq!(table, name),
            other => panic!("{name}: {other:?}"),
        }
        assert!(naive(&mut db, "SELECT name FROM sqlite_master WHERE name LIKE 'mqs%'").is_empty());
    }
}

#[test]
fn two_copies_of_one_database_are_one() {
    let mut db = Sqlite::new();
    db.run(agentdb::PATTERNS);
    db.run("INSERT INTO reasoning_patterns(ts, task_type, approach, uses, success_rate) VALUES(1, 't', 'a', 10, 0.5), (1, 't', 'a', 0, 0.7), (1, 't', 'b', 1, 1.0);");
    let mut copy = db.copy();
    copy.run("UPDATE reasoning_patterns SET uses = 11 WHERE id = 1");
    let mut peers = Vec::new();
    for (seed, db) in [(1, &mut db), (2, &mut copy)] {
        let mut replica = Replica::open(db, options(None, seed)).expect("opens");
        capture(db, &mut replica, 1);
        let mut peer = Peer::default();
        peer.hear(db, &mut replica);
        assert!(peer.shares.keys().all(|(_, owner)| *owner == Origin::BASELINE));
        peers.push(peer);
    }
    assert_eq!(peers[0].rows, peers[1].rows);
    assert_eq!(peers[0].rows.len(), 3);
}

#[test]
fn a_bad_embedding_keeps_its_row_here() {
    let mut db = Sqlite::new();
    db.run(agentdb::PATTERNS);
    let mut replica = Replica::open(&mut db, options(None, 1)).expect("opens");
    for id in 1..=3 {
        db.run(&format!("INSERT INTO reasoning_patterns(id, task_type, approach) VALUES({id}, 't{id}', 'a'); INSERT INTO pattern_embeddings VALUES({id}, zeroblob(16));"));
    }
    for (id, blob) in [(4, "zeroblob(8192)"), (5, "x'0000c07f0000803f0000803f0000803f'"), (6, "x'00'")] {
        db.run(&format!("INSERT INTO reasoning_patterns(id, task_type, approach) VALUES({id}, 't{id}', 'a'); INSERT INTO pattern_embeddings VALUES({id}, {blob});"));
    }
    capture(&mut db, &mut replica, 2);
    let mut peer = Peer::default();
    peer.hear(&mut db, &mut replica);
    assert_eq!(peer.show("reasoning_patterns", &["task_type"]), ["t1", "t2", "t3"]);
    let complaints = replica
        .take_events()
        .into_iter()
        .filter(|event| matches!(event, Event::SchemaMismatch { .. }))
        .count();
    assert_eq!(complaints, 3);
    db.run("UPDATE pattern_embeddings SET embedding = zeroblob(16)");
    capture(&mut db, &mut replica, 2);
    peer.hear(&mut db, &mut replica);
    assert_eq!(peer.rows.len(), 6);
}

#[test]
fn other_formats_and_names_are_refused() {
    let mut db = Sqlite::new();
    db.run(agentdb::PATTERNS);
    Replica::open(&mut db, options(None, 1)).expect("opens");
    let other = OpenOptions { database: "other".to_owned(), ..options(None, 1) };
    assert!(matches!(Replica::open(&mut db, other), Err(StoreError::OtherName(name)) if name == "default"));
    db.run("UPDATE mqs_meta SET v = 2 WHERE k = 'format'");
    assert!(matches!(Replica::open(&mut db, options(None, 1)), Err(StoreError::NewerFormat(2))));
}

#[test]
fn bookkeeping_stays_below_15_percent() {
    let mut db = Sqlite::new();
    db.run(agentdb::PATTERNS);
    db.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
            INSERT INTO reasoning_patterns(task_type, approach, uses, success_rate, avg_reward) SELECT 'task ' || i, 'approach ' || i, i % 7, 0.5, 0.25 FROM n;
            INSERT INTO pattern_embeddings SELECT id, zeroblob(1536) FROM reasoning_patterns;");
    let pages = |db: &mut Sqlite| match db
        .query("SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count", &[])
        .expect("a pragma")[0][0]
    {
        Value::Integer(pages) => pages,
        _ => panic!("no number"),
    };
    let before = pages(&mut db);
    let mut replica = Replica::open(&mut db, options(None, 1)).expect("opens");
    let begun = std::time::Instant::now();
    capture(&mut db, &mut replica, 100);
    let after = pages(&mut db);
    let percent = (after - before) as f64 * 100.0 / before as f64;
    println!(
        "2000 patterns: {before} pages, {after} with bookkeeping: {percent:.1} % more; installed in {:?}",
        begun.elapsed()
    );
    assert!(percent < 15.0, "{percent:.1} %");
}
