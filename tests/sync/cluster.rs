//! Replicas on real SQLite with AgentDB's schema, which exchange deltas straight through [`Store`]: random statements of users,
//! partitions, deliveries that are repeated, late or cut off between commit and acknowledgement, backups that are restored,
//! clones, and a clock that is an hour off. When everybody has met everybody, all show the same.
//!
//! Every trial that is counted on a pattern carries a reward of its own power of two, so that the sum that comes out tells which
//! trials are in it: each once, and none missing.

use std::collections::{BTreeMap, BTreeSet};

use midstreamer::sync::database::{Database, Value};
use midstreamer::sync::identity::Origin;
use midstreamer::sync::lineage::{self, Relation};
use midstreamer::sync::replica::{Bound, Event, Replica, Wake};
use midstreamer::sync::store::{Delta, Limit, Store, StoreError};

use crate::schema;
use crate::sqlite::Sqlite;

/// Seeds of an ordinary run; `SYNC_SEEDS=from..to` in the environment runs others.
const SEEDS: std::ops::Range<u64> = 0..60;
const START_MS: u64 = 1_790_000_000_000;
const PATTERNS: usize = 4;

struct Node {
    name: String,
    db: Sqlite,
    replica: Replica,
    /// What its clock is ahead of the others'.
    skew_ms: u64,
}

struct Backup {
    db: Sqlite,
    /// Trials that were in it, by pattern.
    of: usize,
}

#[derive(Default)]
struct Trials {
    all: BTreeMap<usize, u64>,
    /// Counted since its node's last backup: lost when that is restored before anybody has heard of them.
    at_risk: Vec<(usize, usize, u64)>,
    may_be_lost: BTreeMap<usize, u64>,
}

struct World {
    seed: u64,
    dice: fastrand::Rng,
    now_ms: u64,
    nodes: Vec<Node>,
    backups: Vec<Backup>,
    trials: Trials,
    old: Vec<Delta>,
    names: usize,
    /// Tasks of episodes that were deleted while all agreed.
    dead: BTreeSet<String>,
    forks: usize,
}

impl Node {
    fn transact<T>(
        &mut self,
        now_ms: u64,
        step: impl FnOnce(&mut Bound<'_>, u64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let now_ms = now_ms + self.skew_ms;
        self.replica.begin(&mut self.db)?;
        let outcome = (|| {
            self.replica.capture(&mut self.db, now_ms, usize::MAX)?;
            step(&mut Bound { replica: &mut self.replica, database: &mut self.db }, now_ms)
        })();
        match outcome {
            Ok(done) => {
                self.replica.commit(&mut self.db)?;
                Ok(done)
            }
            Err(error) => {
                self.replica.rollback(&mut self.db);
                Err(error)
            }
        }
    }

    fn value(&mut self, sql: &str) -> Option<Value> {
        self.db
            .query(sql, &[])
            .expect("a query of the test")
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next())
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let count = dice.usize(2..5);
        let skewed = dice.usize(0..8);
        let mut world = Self {
            seed,
            dice,
            now_ms: START_MS,
            nodes: Vec::new(),
            backups: Vec::new(),
            trials: Trials::default(),
            old: Vec::new(),
            names: 0,
            dead: BTreeSet::new(),
            forks: 0,
        };
        for index in 0..count {
            let db = Sqlite::new();
            db.run(schema::TABLES);
            world.start(db, if index == skewed { 3_600_000 } else { 0 });
        }
        world
    }

    fn start(&mut self, mut db: Sqlite, skew_ms: u64) {
        let name = format!("node-{}", self.nodes.len());
        let replica = self.open(&mut db, skew_ms);
        self.nodes.push(Node { name, db, replica, skew_ms });
    }

    fn open(&mut self, db: &mut Sqlite, skew_ms: u64) -> Replica {
        let seed: [u8; 32] = std::array::from_fn(|_| self.dice.u8(..));
        schema::open(db, self.now_ms + skew_ms, seed)
    }

    /// A user's statement; constraints may refuse it.
    fn write(&mut self, index: usize) {
        self.names += 1;
        let (unique, pick) = (self.names, self.dice.u32(..) % 1_000);
        let pool = self.dice.usize(0..6);
        let other = self.dice.usize(0..6);
        let embedding =
            format!("x'{:08x}0000803f0000803f0000003f'", (unique as u32).swap_bytes() & 0xffff_ff3f);
        let some =
            |table: &str| format!("(SELECT id FROM {table} ORDER BY (id * 7919 + {pick}) % 101 LIMIT 1)");
        let episode = some("episodes");
        let sql = match self.dice.usize(0..16) {
            0 | 1 => format!(
                "BEGIN; INSERT INTO episodes(ts, session_id, task) VALUES({unique}, 's', 'task-{unique}');
                 INSERT INTO episode_embeddings(episode_id, embedding) VALUES(last_insert_rowid(), {embedding}); COMMIT"
            ),
            2 => format!("UPDATE episodes SET critique = 'c-{unique}' WHERE id = {episode}"),
            3 => format!("DELETE FROM episodes WHERE id = {episode}"),
            4 | 5 => format!("INSERT INTO events(session_id, episode_id, step, content) VALUES('s', {episode}, 1, 'event-{unique}')"),
            6 => format!("DELETE FROM events WHERE id = {}", some("events")),
            7 => format!(
                "INSERT INTO skills(name, signature, description, created_from_episode) VALUES('skill-{pool}', '{{}}', 'd-{unique}', {episode})"
            ),
            8 => format!("UPDATE skills SET description = 'd-{unique}' WHERE name = 'skill-{pool}'"),
            9 => format!("DELETE FROM skills WHERE name = 'skill-{pool}'"),
            10 => format!(
                "INSERT INTO skill_links(parent_skill_id, child_skill_id, relationship, weight)
                 SELECT a.id, b.id, 'prerequisite', {unique} FROM skills a, skills b WHERE a.name = 'skill-{pool}' AND b.name = 'skill-{other}'"
            ),
            11 => format!("UPDATE skills SET name = 'skill-{other}' WHERE name = 'skill-{pool}'"),
            12 => format!("UPDATE skills SET created_from_episode = {episode} WHERE name = 'skill-{pool}'"),
            13 => format!("UPDATE skills SET success_rate = (success_rate * uses + 1) / (uses + 1), uses = uses + 1 WHERE name = 'skill-{pool}'"),
            _ => return self.trial(index),
        };
        // A constraint may say no, as to any program.
        if self.nodes[index].db.batch(&sql).is_err() {
            self.nodes[index].db.rollback();
        }
    }

    /// Counts a trial on a pattern, which is made when it is not there yet.
    fn trial(&mut self, index: usize) {
        let pattern = self.dice.usize(0..PATTERNS);
        let node = &mut self.nodes[index];
        let Some(Value::Integer(id)) =
            node.value(&format!("SELECT id FROM reasoning_patterns WHERE task_type = 'pattern-{pattern}'"))
        else {
            return;
        };
        let bit = self.trials.all.entry(pattern).or_default().count_ones();
        if bit >= 26 {
            return;
        }
        let reward = 1_u64 << bit;
        *self.trials.all.entry(pattern).or_default() |= reward;
        self.trials.at_risk.push((index, pattern, reward));
        node.db.run(&format!(
            "UPDATE reasoning_patterns SET avg_reward = (avg_reward * uses + {reward}.0) / (uses + 1),
             success_rate = (success_rate * uses + 1.0) / (uses + 1), uses = uses + 1 WHERE id = {id}"
        ));
    }

    fn pattern(&mut self, index: usize, pattern: usize) {
        self.nodes[index].db.run(&format!(
            "BEGIN; INSERT INTO reasoning_patterns(ts, task_type, approach, success_rate) VALUES(1, 'pattern-{pattern}', 'a', 0.7);
             INSERT INTO pattern_embeddings VALUES(last_insert_rowid(), x'0000803f0000803f0000803f0000803f'); COMMIT"
        ));
    }

    /// What two sides say to each other first: who of them is a copy finds it out and goes on under another origin.
    fn hello(&mut self, at: usize, from: usize) -> bool {
        let now_ms = self.now_ms;
        let theirs = self.nodes[from].transact(now_ms, |store, _| store.states()).expect("states");
        let forked = self.nodes[at]
            .transact(now_ms, |store, now_ms| {
                let mine = store.states()?;
                let own = store.own().expect("a replica");
                for state in &theirs {
                    let here = mine.iter().find(|here| here.origin == state.origin);
                    if state.origin == own {
                        let here = here.expect("the own origin");
                        if let Relation::Forked { agreed, restored } =
                            lineage::of_own(&here.lineage, here.head, &state.lineage, state.head)
                        {
                            store.fork(agreed, restored, now_ms)?;
                            return Ok(true);
                        }
                    } else {
                        store.learn(state.origin, &state.lineage)?;
                    }
                }
                Ok(false)
            })
            .expect("comparing lives");
        if forked {
            self.forks += 1;
            // Links are made anew, and nothing of an old one comes again.
            self.old.clear();
            let told = self.nodes[at].replica.take_events();
            assert!(
                told.iter().any(|event| matches!(event, Event::Forked { .. })),
                "seed {}: a fork that nobody was told of",
                self.seed
            );
        }
        forked
    }

    /// One side takes what it lacks from another, in deltas that may be cut off.
    fn pull(&mut self, at: usize, from: usize, rounds: usize) {
        let now_ms = self.now_ms;
        for _ in 0..rounds {
            let theirs = self.nodes[from].transact(now_ms, |store, _| store.states()).expect("states");
            let mine = self.nodes[at].transact(now_ms, |store, _| store.states()).expect("states");
            let mut moved = false;
            for state in theirs {
                let head = mine.iter().find(|here| here.origin == state.origin).map_or(0, |here| here.head);
                if head >= state.head || state.origin == self.nodes[at].replica.own() {
                    continue;
                }
                moved = true;
                let limit = Limit { components: self.dice.usize(1..12), bytes: self.dice.usize(1..4_000) };
                let delta = self.nodes[from]
                    .transact(now_ms, |store, _| store.read(state.origin, head, limit))
                    .expect("a delta");
                assert!(delta.to > head, "seed {}: a delta that leads nowhere: {delta:?}", self.seed);
                self.nodes[at]
                    .transact(now_ms, |store, now_ms| store.apply(&delta, now_ms))
                    .expect("a delta is applied");
                // Cut off between the commit and the acknowledgement, in one of four.
                if self.dice.u8(..4) != 0 {
                    let peer = self.nodes[at].name.clone();
                    let (origin, to) = (delta.origin, delta.to);
                    self.nodes[from]
                        .transact(now_ms, |store, now_ms| store.acknowledged(&peer, origin, to, now_ms))
                        .expect("noted");
                }
                self.old.push(delta);
            }
            if !moved {
                break;
            }
        }
    }

    /// A delivery of before comes again, to anyone.
    fn repeat(&mut self) {
        if self.old.is_empty() {
            return;
        }
        let (delta, at) =
            (self.old[self.dice.usize(..self.old.len())].clone(), self.dice.usize(..self.nodes.len()));
        let now_ms = self.now_ms;
        let outcome = self.nodes[at].transact(now_ms, |store, now_ms| store.apply(&delta, now_ms));
        assert!(matches!(outcome, Ok(_) | Err(StoreError::Gap { .. })), "seed {}: {outcome:?}", self.seed);
    }

    fn meet(&mut self, one: usize, other: usize, rounds: usize) {
        while self.hello(one, other) | self.hello(other, one) {}
        self.hello(one, other);
        self.pull(one, other, rounds);
        self.pull(other, one, rounds);
    }

    fn back_up(&mut self, of: usize) {
        let now_ms = self.now_ms;
        self.nodes[of].transact(now_ms, |_, _| Ok(())).expect("captured");
        self.backups.retain(|backup| backup.of != of);
        self.trials.at_risk.retain(|(node, ..)| *node != of);
        self.backups.push(Backup { db: self.nodes[of].db.copy(), of });
    }

    fn restore(&mut self) {
        if self.backups.is_empty() {
            return;
        }
        self.old.clear();
        let backup = self.backups.swap_remove(self.dice.usize(..self.backups.len()));
        let of = backup.of;
        for (node, pattern, reward) in std::mem::take(&mut self.trials.at_risk) {
            if node == of {
                *self.trials.may_be_lost.entry(pattern).or_default() |= reward;
            } else {
                self.trials.at_risk.push((node, pattern, reward));
            }
        }
        let mut db = backup.db;
        self.nodes[of].replica = self.open(&mut db, self.nodes[of].skew_ms);
        self.nodes[of].db = db;
    }

    fn reopen(&mut self, of: usize) {
        let mut db = std::mem::replace(&mut self.nodes[of].db, Sqlite::new());
        self.nodes[of].replica = self.open(&mut db, self.nodes[of].skew_ms);
        self.nodes[of].db = db;
    }

    /// Everybody meets everybody until nothing moves, and time passes.
    fn heal(&mut self) {
        let count = self.nodes.len();
        for _ in 0..2 {
            for _ in 0..count {
                for one in 0..count {
                    for other in 0..one {
                        self.meet(one, other, usize::MAX);
                    }
                }
            }
            self.now_ms += 2 * 3_600_000;
            let now_ms = self.now_ms;
            for node in &mut self.nodes {
                node.transact(now_ms, |store, now_ms| store.replica.wake(store.database, Wake::Time, now_ms))
                    .expect("woken");
            }
        }
    }

    fn check(&mut self) {
        let seed = self.seed;
        let now_ms = self.now_ms;
        let mut shown = Vec::new();
        for node in &mut self.nodes {
            let digest = node.transact(now_ms, |store, _| store.digest()).expect("a digest");
            let mut parked = node.replica.parked(&mut node.db).expect("a list");
            parked.sort();
            let origins: Vec<(Origin, u64)> = node
                .transact(now_ms, |store, _| store.states())
                .expect("states")
                .into_iter()
                .map(|state| (state.origin, state.head))
                .collect();
            let dump: Vec<Vec<String>> = schema::CONTENTS.iter().map(|sql| node.db.dump(sql)).collect();
            shown.push((node.name.clone(), digest, dump, parked, origins));
        }
        let (first, rest) = shown.split_first().expect("a node");
        for other in rest {
            for (one, two) in first.2.iter().zip(&other.2) {
                assert_eq!(
                    one, two,
                    "seed {seed}: {} and {} show different rows; parked {:?} and {:?}",
                    first.0, other.0, first.3, other.3
                );
            }
            assert_eq!(first.4, other.4, "seed {seed}: {} and {} have different heads", first.0, other.0);
            let differing: Vec<usize> =
                (0..256).filter(|&bucket| first.1[bucket] != other.1[bucket]).collect();
            assert!(
                differing.is_empty(),
                "seed {seed}: {} and {} differ in buckets {differing:?}",
                first.0,
                other.0
            );
        }
        for index in 0..self.nodes.len() {
            self.check_node(index);
        }
    }

    fn check_node(&mut self, index: usize) {
        let seed = self.seed;
        let node = &mut self.nodes[index];
        for sql in schema::WITHOUT_EMBEDDING {
            assert_eq!(
                node.db.dump(sql),
                Vec::<String>::new(),
                "seed {seed}: {} has rows without an embedding",
                node.name
            );
        }
        assert_eq!(node.db.dump("PRAGMA foreign_key_check"), Vec::<String>::new(), "seed {seed}");
        for task in &self.dead {
            assert_eq!(
                node.value(&format!("SELECT task FROM episodes WHERE task = '{task}'")),
                None,
                "seed {seed}: {task} is back at {}",
                node.name
            );
        }
        for (pattern, &all) in &self.trials.all {
            let sql = format!(
                "SELECT uses, avg_reward FROM reasoning_patterns WHERE task_type = 'pattern-{pattern}'"
            );
            let rows = node.db.query(&sql, &[]).expect("a query");
            let [Value::Integer(uses), Value::Real(mean)] = rows[0].as_slice() else {
                panic!("seed {seed}: {rows:?}")
            };
            let sum = (mean * *uses as f64).round() as u64;
            let lost = self.trials.may_be_lost.get(pattern).copied().unwrap_or(0);
            assert_eq!(
                sum.count_ones(),
                u32::try_from(*uses).expect("few"),
                "seed {seed}: a trial is counted twice: {sum:b} in {uses}, all {all:b}"
            );
            assert_eq!(sum & !all, 0, "seed {seed}: {sum:b} has trials that were not made: {all:b}");
            assert_eq!(
                all & !sum & !lost,
                0,
                "seed {seed}: trials are missing at {}: {sum:b} of {all:b}, {lost:b} may be lost",
                node.name
            );
        }
    }

    fn step(&mut self) {
        self.now_ms += self.dice.u64(0..2_000);
        let count = self.nodes.len();
        let (one, other) = (self.dice.usize(..count), self.dice.usize(..count));
        match self.dice.u8(..100) {
            0..=54 => self.write(one),
            55..=79 if one != other => {
                let rounds = self.dice.usize(1..4);
                self.meet(one, other, rounds);
            }
            80..=86 => self.repeat(),
            87..=89 => self.back_up(one),
            90 => self.restore(),
            91..=92 => self.reopen(one),
            93 if count < 6 => {
                // A copy of the file goes on as a node of its own.
                let now_ms = self.now_ms;
                self.nodes[one].transact(now_ms, |_, _| Ok(())).expect("captured");
                let copy = self.nodes[one].db.copy();
                let skew_ms = self.nodes[one].skew_ms;
                self.reopen(one);
                self.start(copy, skew_ms);
            }
            94 => self.bury(one),
            _ => {
                let now_ms = self.now_ms;
                self.nodes[one].transact(now_ms, |_, _| Ok(())).expect("captured");
            }
        }
    }

    /// All agree, then one deletes an episode, and all hear of it.
    fn bury(&mut self, at: usize) {
        self.heal();
        let sql = "SELECT task FROM episodes WHERE id NOT IN (SELECT created_from_episode FROM skills WHERE created_from_episode IS NOT NULL) LIMIT 1";
        if let Some(Value::Text(task)) = self.nodes[at].value(sql) {
            self.nodes[at].db.run(&format!("DELETE FROM episodes WHERE task = '{task}'"));
            self.heal();
            self.dead.insert(task);
        }
    }
}

fn run(seed: u64) -> usize {
    let mut world = World::new(seed);
    for pattern in 0..PATTERNS {
        world.pattern(0, pattern);
    }
    world.heal();
    for _ in 0..world.dice.usize(20..160) {
        world.step();
    }
    world.heal();
    world.check();
    // And once more from there: what was settled stays so.
    for _ in 0..world.dice.usize(0..40) {
        world.step();
    }
    world.heal();
    world.check();
    world.forks
}

#[test]
fn replicas_that_have_heard_the_same_show_the_same() {
    let seeds = std::env::var("SYNC_SEEDS").ok().and_then(|range| {
        let (from, to) = range.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    let forks: usize = seeds.unwrap_or(SEEDS).map(run).sum();
    assert!(forks > 0, "no seed has made a copy");
}
