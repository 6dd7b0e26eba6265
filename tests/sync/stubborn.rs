//! Databases in which a statement does not do what it should: what cannot be shown waits, and all else goes on.

use midstreamer::sync::replica::{Bound, OpenOptions, Replica, uninstall};
use midstreamer::sync::store::{Applied, Limit, Store, StoreError};

use crate::sqlite::Sqlite;

const NOW: u64 = 1_800_000_000_000;

struct Node {
    db: Sqlite,
    replica: Replica,
}

impl Node {
    fn new(schema: &str, tables: &[&str], seed: u8) -> Self {
        let mut db = Sqlite::new();
        db.run(schema);
        let replica = open(&mut db, tables, seed).expect("opens");
        let mut node = Self { db, replica };
        node.capture();
        node
    }

    fn transact<T>(
        &mut self,
        step: impl FnOnce(&mut Bound<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.replica.begin(&mut self.db)?;
        match step(&mut Bound { replica: &mut self.replica, database: &mut self.db }) {
            Ok(value) => self.replica.commit(&mut self.db).map(|()| value),
            Err(error) => {
                self.replica.rollback(&mut self.db);
                Err(error)
            }
        }
    }

    /// Everything that was touched; how many rounds of 100 rows it took.
    fn capture(&mut self) -> usize {
        for round in 1.. {
            let captured =
                self.transact(|side| side.replica.capture(side.database, NOW, 100)).expect("captures");
            if !captured.more {
                return round;
            }
            assert!(round < 1_000, "it goes on for ever");
        }
        unreachable!("a count has no end")
    }

    /// Everything that the other one has published itself.
    fn hear(&mut self, other: &mut Self) -> Applied {
        other.capture();
        self.capture();
        let own = other.replica.own();
        let mut all = Applied::default();
        loop {
            let head = self
                .transact(|side| side.states())
                .expect("states")
                .iter()
                .find(|state| state.origin == own)
                .map_or(0, |state| state.head);
            let limit = Limit { components: 50, bytes: 1 << 20 };
            let delta = other.transact(|side| side.read(own, head, limit)).expect("reads");
            if delta.to == head {
                return all;
            }
            let applied = self.transact(|side| side.apply(&delta, NOW)).expect("applies");
            all.rows += applied.rows;
            all.parked += applied.parked;
        }
    }

    fn rows(&mut self, sql: &str) -> Vec<String> {
        self.db.dump(sql)
    }
}

fn open(db: &mut Sqlite, tables: &[&str], seed: u8) -> Result<Replica, StoreError> {
    let options = OpenOptions {
        database: "default".to_owned(),
        tables: Some(tables.iter().map(|&name| name.to_owned()).collect()),
        now_ms: NOW,
        seed: [seed; 32],
        seal: None,
        declared: Vec::new(),
    };
    Replica::open(db, options)
}

const THREAD: &str = "CREATE TABLE posts(id INTEGER PRIMARY KEY AUTOINCREMENT, words TEXT, parent INTEGER REFERENCES posts(id) ON DELETE CASCADE)";

#[test]
fn a_chain_of_any_length_goes_with_its_first_row() {
    let (mut a, mut b) = (Node::new(THREAD, &["posts"], 1), Node::new(THREAD, &["posts"], 2));
    a.db.run("INSERT INTO posts(words) VALUES('first'), ('other')");
    for id in 3..300 {
        let parent = if id == 3 { 1 } else { id - 1 };
        a.db.run(&format!("INSERT INTO posts(words, parent) VALUES('reply', {parent})"));
    }
    b.hear(&mut a);
    assert_eq!(b.rows("SELECT count(*) FROM posts"), ["[Integer(299)]"]);
    a.db.run("DELETE FROM posts WHERE words = 'first'");
    b.hear(&mut a);
    assert_eq!(b.rows("SELECT words FROM posts"), ["[Text(\"other\")]"]);
    a.hear(&mut b);
    assert_eq!(a.rows("SELECT words FROM posts"), ["[Text(\"other\")]"]);
}

#[test]
fn rows_that_refer_to_one_another_go_together() {
    let (mut a, mut b) = (Node::new(THREAD, &["posts"], 1), Node::new(THREAD, &["posts"], 2));
    a.db.run("INSERT INTO posts(words) VALUES('one'), ('two'); UPDATE posts SET parent = 3 - id");
    a.db.run("INSERT INTO posts(words, parent) VALUES('hangs on one', 1), ('free', NULL)");
    a.db.run("INSERT INTO posts(words, parent) VALUES('itself', 5)");
    b.hear(&mut a);
    a.db.run("DELETE FROM posts WHERE words = 'one'; DELETE FROM posts WHERE words = 'itself'");
    b.hear(&mut a);
    assert_eq!(a.rows("SELECT words FROM posts"), ["[Text(\"free\")]"]);
    assert_eq!(b.rows("SELECT words FROM posts"), ["[Text(\"free\")]"]);
}

const ITEMS: &str = "CREATE TABLE items(id INTEGER PRIMARY KEY AUTOINCREMENT, word TEXT)";

#[test]
fn a_row_that_a_trigger_leaves_out_or_an_expression_refuses_waits_and_holds_up_nothing() {
    for stubborn in [
        "CREATE TRIGGER once BEFORE INSERT ON items WHEN NEW.word = 'odd' BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER never BEFORE INSERT ON items WHEN NEW.word = 'odd' BEGIN SELECT RAISE(ABORT, 'no'); END",
        "CREATE INDEX by_kind ON items(json_extract(CASE word WHEN 'odd' THEN '{' ELSE '{}' END, '$.kind'))",
        "CREATE TRIGGER broken AFTER INSERT ON items WHEN NEW.word = 'odd' BEGIN SELECT json_extract('{', '$'); END",
    ] {
        let (mut a, mut b) = (Node::new(ITEMS, &["items"], 1), Node::new(ITEMS, &["items"], 2));
        b.db.run(stubborn);
        a.db.run("INSERT INTO items(word) VALUES('first'), ('odd'), ('last')");
        b.db.run("INSERT INTO items(word) VALUES('of b')");
        let applied = b.hear(&mut a);
        assert_eq!((applied.rows, applied.parked), (2, 1), "{stubborn}");
        let words = ["[Text(\"first\")]", "[Text(\"last\")]", "[Text(\"of b\")]"];
        assert_eq!(b.rows("SELECT word FROM items ORDER BY word"), words, "{stubborn}");
        // What b writes leaves.
        a.hear(&mut b);
        assert_eq!(a.rows("SELECT count(*) FROM items"), ["[Integer(4)]"], "{stubborn}");
    }
}

#[test]
fn a_temporary_table_of_the_same_name_is_another_table() {
    let with_vectors = "CREATE TABLE reasoning_patterns(id INTEGER PRIMARY KEY AUTOINCREMENT, ts INTEGER DEFAULT 1, task_type TEXT NOT NULL, \
         approach TEXT NOT NULL, success_rate REAL NOT NULL DEFAULT 0.0, uses INTEGER DEFAULT 0, avg_reward REAL DEFAULT 0.0, tags TEXT, metadata TEXT);
         CREATE TABLE pattern_embeddings(pattern_id INTEGER PRIMARY KEY, embedding BLOB NOT NULL, \
         FOREIGN KEY(pattern_id) REFERENCES reasoning_patterns(id) ON DELETE CASCADE)";
    let hide = "CREATE TEMP TABLE reasoning_patterns(x); CREATE TEMP TABLE pattern_embeddings(x)";
    let insert = |db: &Sqlite, word: &str| {
        db.run(&format!(
            "INSERT INTO main.reasoning_patterns(task_type, approach) VALUES('{word}', 'b');
             INSERT INTO main.pattern_embeddings VALUES(last_insert_rowid(), x'0000803f')"
        ));
    };
    let all = "SELECT task_type, embedding FROM main.reasoning_patterns JOIN main.pattern_embeddings ON pattern_id = id ORDER BY 1";
    // Before the tables are found in one, and after it in the other.
    let mut db = Sqlite::new();
    db.run(with_vectors);
    db.run(hide);
    insert(&db, "there before");
    let replica = open(&mut db, &["reasoning_patterns"], 1).expect("opens");
    let mut a = Node { db, replica };
    let mut b = Node::new(with_vectors, &["reasoning_patterns"], 2);
    b.db.run(hide);
    insert(&a.db, "of a");
    insert(&b.db, "of b");
    b.hear(&mut a);
    a.hear(&mut b);
    assert_eq!(a.rows(all).len(), 3, "{:?}", a.rows(all));
    assert_eq!(a.rows(all), b.rows(all));
    a.db.run("UPDATE main.reasoning_patterns SET approach = 'c'; DELETE FROM main.reasoning_patterns WHERE task_type = 'of b'");
    b.hear(&mut a);
    a.hear(&mut b);
    let approaches = "SELECT task_type, approach FROM main.reasoning_patterns ORDER BY 1";
    assert_eq!(
        a.rows(approaches),
        ["[Text(\"of a\"), Text(\"c\")]", "[Text(\"there before\"), Text(\"c\")]"]
    );
    assert_eq!(b.rows(approaches), a.rows(approaches));
    for node in [&mut a, &mut b] {
        uninstall(&mut node.db).expect("uninstalls");
        assert_eq!(
            node.rows("SELECT count(*) FROM main.sqlite_master WHERE name LIKE 'mqs%'"),
            ["[Integer(0)]"]
        );
        assert_eq!(node.rows("SELECT count(*) FROM temp.reasoning_patterns"), ["[Integer(0)]"]);
    }
}

#[test]
fn a_key_that_is_no_valid_text_holds_up_nothing() {
    let schema = "CREATE TABLE notes(name TEXT PRIMARY KEY, words TEXT)";
    let (mut a, mut b) = (Node::new(schema, &["notes"], 1), Node::new(schema, &["notes"], 2));
    a.db.run("INSERT INTO notes VALUES(CAST(x'ff61' AS TEXT), 'odd'), ('plain', 'fine')");
    assert_eq!(a.capture(), 1);
    assert!(!a.replica.is_dirty(&mut a.db).unwrap());
    b.hear(&mut a);
    assert_eq!(b.rows("SELECT words FROM notes WHERE name = 'plain'"), ["[Text(\"fine\")]"]);
}

#[test]
fn what_is_no_longer_replicated_leaves_no_triggers_and_no_marks() {
    let schema = "CREATE TABLE kept(id INTEGER PRIMARY KEY, word TEXT); CREATE TABLE left(id INTEGER PRIMARY KEY, word TEXT)";
    let mut node = Node::new(schema, &["kept", "left"], 1);
    node.db.run("INSERT INTO left(word) VALUES('seen')");
    node.replica = open(&mut node.db, &["kept"], 2).expect("opens");
    node.db.run("INSERT INTO left(word) VALUES('unseen'); INSERT INTO kept(word) VALUES('x')");
    node.capture();
    assert_eq!(node.rows("SELECT * FROM mqs_dirty"), [""; 0]);
    let triggers = "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ";
    assert_eq!(node.rows(&format!("{triggers}'left'")), ["[Integer(0)]"]);
    assert_eq!(node.rows(&format!("{triggers}'kept'")), ["[Integer(3)]"]);
    // Asked for again, everything in it is looked at.
    node.replica = open(&mut node.db, &["kept", "left"], 3).expect("opens");
    node.capture();
    assert_eq!(node.rows("SELECT count(*) FROM mqs_row WHERE rid IS NOT NULL"), ["[Integer(3)]"]);
}

#[test]
fn uninstalling_takes_away_what_was_installed_and_nothing_of_a_like_name() {
    let mut node = Node::new(ITEMS, &["items"], 1);
    node.db.run(
        "CREATE TABLE MQS_archive(x); INSERT INTO MQS_archive VALUES(1); CREATE TABLE mqs_own(x);
         CREATE TRIGGER mqs_mine AFTER INSERT ON items BEGIN INSERT INTO mqs_own VALUES(1); END",
    );
    uninstall(&mut node.db).expect("uninstalls");
    let names = "SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite%' ORDER BY name";
    let left =
        ["[Text(\"MQS_archive\")]", "[Text(\"items\")]", "[Text(\"mqs_mine\")]", "[Text(\"mqs_own\")]"];
    assert_eq!(node.rows(names), left);
    assert_eq!(node.rows("SELECT * FROM MQS_archive"), ["[Integer(1)]"]);
}

#[test]
fn numbers_that_no_node_counts_to_are_damage() {
    for damage in ["head = 9223372036854775807", "head = -1", "floor = -5", "floor = 9007199254740992"] {
        let mut node = Node::new(ITEMS, &["items"], 1);
        node.db.run(&format!("UPDATE mqs_origin SET {damage}"));
        assert!(matches!(open(&mut node.db, &["items"], 2), Err(StoreError::Corrupt(_))), "{damage}");
        // The user's handle is in no transaction.
        node.db.run("BEGIN; INSERT INTO items(word) VALUES('x'); COMMIT");
    }
}
