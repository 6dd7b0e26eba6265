//! Sealed replicas on real SQLite, with real keyrings: what a relay gets to see, what is refused, keys that come later and keys
//! that change.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use midstreamer::security::keyring::Keyring;
use midstreamer::swarm::sync::KeyringSeal;
use midstreamer::sync::component::{Component, Slot};
use midstreamer::sync::database::{Database, Value};
use midstreamer::sync::identity::TableId;
use midstreamer::sync::relay::{MemoryRelayStore, Relay, RelayStore, Table};
use midstreamer::sync::replica::{Bound, Event, OpenOptions, Reason, Replica, Wake};
use midstreamer::sync::seal::Seal;
use midstreamer::sync::session::{Budget, Config, Role, Session, SessionError};
use midstreamer::sync::store::{Delta, Limit, Store, StoreError};
use midstreamer::sync::wire::Code;

use crate::schema;
use crate::sqlite::Sqlite;

const NOW_MS: u64 = 1_790_000_000_000;
const MARKER: &str = "zq-marker-7391";

/// A directory for keyrings, which is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("midstreamer-sealed-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn ring(&self, name: &str) -> Arc<Keyring> {
        Arc::new(Keyring::open(&self.0.join(name), None).unwrap())
    }

    /// A ring that begins with the current key of another one.
    fn follower(&self, name: &str, of: &Keyring) -> Arc<Keyring> {
        let ring = self.ring(name);
        ring.make_current(&hand_over(of, &ring)).unwrap();
        ring
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Brings the current key of one ring to another.
fn hand_over(from: &Keyring, to: &Keyring) -> String {
    let id = from.current().unwrap().to_string();
    to.install(&from.export(&id, b"open sesame").unwrap(), b"open sesame").unwrap();
    id
}

struct Node {
    name: String,
    db: Sqlite,
    replica: Replica,
    session: Option<Session>,
    events: Vec<Event>,
}

fn options(ring: Option<&Arc<Keyring>>, seed: u8) -> OpenOptions {
    let seal = ring.map(|ring| Arc::new(KeyringSeal(ring.clone())) as Arc<dyn Seal>);
    OpenOptions {
        database: "desk".to_owned(),
        tables: None,
        now_ms: NOW_MS,
        seed: [seed; 32],
        seal,
        declared: Vec::new(),
    }
}

impl Node {
    fn new(name: &str, ring: Option<&Arc<Keyring>>, sql: &str) -> Self {
        let mut db = Sqlite::new();
        db.run(schema::TABLES);
        db.run(sql);
        let replica = Replica::open(&mut db, options(ring, name.as_bytes()[0])).unwrap();
        let mut node = Self { name: name.to_owned(), db, replica, session: None, events: Vec::new() };
        // The rows that were there before are entered page by page.
        while node.transact(|_| Ok(())) {}
        node
    }

    /// Captures, and then does something. Says whether there is more to capture.
    fn transact(&mut self, step: impl FnOnce(&mut Bound<'_>) -> Result<(), StoreError>) -> bool {
        self.replica.begin(&mut self.db).unwrap();
        let captured = self.replica.capture(&mut self.db, NOW_MS, 1000).unwrap();
        step(&mut Bound { replica: &mut self.replica, database: &mut self.db }).unwrap();
        self.replica.commit(&mut self.db).unwrap();
        self.events.extend(self.replica.take_events());
        captured.more
    }

    fn read_all(&mut self) -> Delta {
        let own = self.replica.own();
        let mut delta = None;
        self.transact(|bound| {
            delta = Some(bound.read(own, 0, Limit { components: 1000, bytes: 1 << 24 })?);
            Ok(())
        });
        delta.unwrap()
    }

    fn apply(&mut self, delta: &Delta) {
        self.transact(|bound| bound.apply(delta, NOW_MS).map(drop));
    }

    fn texts(&mut self, sql: &str) -> Vec<String> {
        let rows = self.db.query(sql, &[]).unwrap();
        rows.into_iter()
            .map(|row| row.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(" "))
            .collect()
    }

    fn skills(&mut self) -> Vec<String> {
        let rows = self.db.query("SELECT name FROM skills ORDER BY name", &[]).unwrap();
        rows.into_iter()
            .map(|row| match &row[0] {
                Value::Text(name) => name.clone(),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn waiting(&mut self) -> Vec<(Reason, u64)> {
        let parked = self.replica.parked(&mut self.db).unwrap();
        parked.into_iter().map(|(_, reason, count)| (reason, count)).collect()
    }

    fn refusals(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Refused { .. })).count()
    }

    fn wake(&mut self) {
        self.replica.begin(&mut self.db).unwrap();
        self.replica.capture(&mut self.db, NOW_MS, 1000).unwrap();
        self.replica.wake(&mut self.db, Wake::Key, NOW_MS).unwrap();
        self.replica.commit(&mut self.db).unwrap();
    }

    /// A transaction for its link; what leaves.
    fn step(&mut self) -> Result<Vec<Vec<u8>>, SessionError> {
        let Some(session) = &mut self.session else { return Ok(Vec::new()) };
        self.replica.begin(&mut self.db).unwrap();
        let captured = self.replica.capture(&mut self.db, NOW_MS, 1000).unwrap();
        if captured.rows > 0 {
            session.changed();
        }
        let outcome = if session.wants_step(NOW_MS) {
            let mut bound = Bound { replica: &mut self.replica, database: &mut self.db };
            session.step(&mut bound, Budget::ALL, NOW_MS).map(drop)
        } else {
            Ok(())
        };
        self.replica.commit(&mut self.db).unwrap();
        self.events.extend(self.replica.take_events());
        session.committed();
        let outgoing = session.take_outgoing();
        outcome.map(|()| outgoing)
    }
}

/// Nodes around a relay, and all bytes that went to or from it.
struct Star {
    relay: Relay,
    store: MemoryRelayStore,
    seen: Vec<u8>,
}

impl Star {
    fn new() -> Self {
        let store = MemoryRelayStore::new([7; 16]);
        Self { relay: Relay::new(Box::new(store.clone())).unwrap(), store, seen: Vec::new() }
    }

    /// Connects all anew, until nobody has anything to say; who was refused, and why.
    fn meet(&mut self, nodes: &mut [&mut Node]) -> Vec<(String, SessionError)> {
        let mut refused = Vec::new();
        for (link, node) in nodes.iter_mut().enumerate() {
            self.relay.left(link as u64);
            self.relay.joined(link as u64, &node.name, "desk", NOW_MS);
            node.session = Some(Session::new(Config::new("desk", "relay"), Role::Node, NOW_MS));
        }
        for round in 0.. {
            assert!(round < 1000, "it never ends");
            let mut any = false;
            for (link, node) in nodes.iter_mut().enumerate() {
                let (packets, error) = match node.step() {
                    Ok(packets) => (packets, None),
                    Err(error) => (Vec::new(), Some(error)),
                };
                for packet in packets {
                    any = true;
                    self.seen.extend_from_slice(&packet);
                    // What is wrong with it is in what it says to the node.
                    drop(self.relay.message(link as u64, &packet, NOW_MS));
                }
                if let Some(error) = error {
                    refused.push((node.name.clone(), error));
                    node.session = None;
                    self.relay.left(link as u64);
                }
            }
            self.relay.commit().unwrap();
            let failed: Vec<u64> = self.relay.take_failed().into_iter().map(|(link, _)| link).collect();
            for (link, packet) in self.relay.take_outgoing() {
                any = true;
                self.seen.extend_from_slice(&packet);
                let node = &mut nodes[link as usize];
                let Some(session) = &mut node.session else { continue };
                if let Err(error) = session.receive(&packet, NOW_MS) {
                    refused.push((node.name.clone(), error));
                    node.session = None;
                }
            }
            failed.into_iter().for_each(|link| self.relay.left(link));
            if !any {
                return refused;
            }
        }
        unreachable!()
    }

    fn stored(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        for table in Table::ALL {
            self.store
                .range(table, &[], &[0xff; 64], &mut |key, value| {
                    all.extend_from_slice(key);
                    all.extend_from_slice(value);
                    true
                })
                .unwrap();
        }
        all
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn skill(name: &str) -> String {
    format!("INSERT INTO skills(name, signature, description) VALUES('{name}', '{{}}', '{MARKER}');")
}

fn rows_of(node: &str) -> String {
    format!(
        "{} {}
         INSERT INTO reasoning_patterns(ts, task_type, approach, uses, success_rate) VALUES(1, '{MARKER}', 'of {node}', 4, 0.5);
         INSERT INTO pattern_embeddings VALUES(last_insert_rowid(), x'0000803f00000040');",
        skill("hedge"),
        skill(&format!("only-{node}"))
    )
}

#[test]
fn two_nodes_read_each_other_and_the_relay_between_them_sees_nothing() {
    let scratch = Scratch::new();
    let ring = scratch.ring("a");
    let other = scratch.follower("b", &ring);
    let mut seen = Vec::new();
    for sealed in [true, false] {
        let (mut a, mut b) = (
            Node::new("a", sealed.then_some(&ring), &rows_of("a")),
            Node::new("b", sealed.then_some(&other), &rows_of("b")),
        );
        let mut star = Star::new();
        assert_eq!(star.meet(&mut [&mut a, &mut b]), []);
        for node in [&mut a, &mut b] {
            assert_eq!(node.skills(), ["hedge", "only-a", "only-b"], "one natural key is one row");
            assert_eq!(node.waiting(), []);
            assert_eq!(node.refusals(), 0);
        }
        let contents = "SELECT approach, uses, success_rate, hex(embedding) FROM reasoning_patterns JOIN pattern_embeddings ON pattern_id = id ORDER BY approach";
        assert_eq!(a.texts(contents), b.texts(contents));
        assert_eq!(a.texts(contents).len(), 2);
        let gids = "SELECT hex(gid) FROM mqs_row ORDER BY gid";
        assert_eq!(a.texts(gids), b.texts(gids));
        // What is deleted is deleted, and what is counted on both adds up.
        a.db.run("DELETE FROM skills WHERE name = 'hedge'");
        for node in [&mut a, &mut b] {
            node.db.run("UPDATE skills SET success_rate = (success_rate * uses + 1) / (uses + 1), uses = uses + 1 WHERE name = 'only-a'");
        }
        assert_eq!(star.meet(&mut [&mut a, &mut b]), []);
        assert_eq!(b.skills(), ["only-a", "only-b"]);
        assert_eq!(b.texts("SELECT uses FROM skills WHERE name = 'only-a'"), ["Integer(2)"]);
        let stored = star.stored();
        // Without a keyring it is there to read: the search finds what there is.
        assert_eq!(holds(&stored, MARKER), !sealed);
        for secret in [MARKER, "hedge", "only-a", "reasoning_patterns", "success_rate"] {
            assert!(!sealed || !holds(&stored, secret) && !holds(&star.seen, secret), "{secret}");
        }
        seen.push(a.texts(gids));
    }
    // Names are of the keyring: who has none cannot tell from a gid which name is behind it.
    assert!(seen[0].iter().all(|gid| !seen[1].contains(gid)));
}

#[test]
fn what_was_changed_or_moved_is_refused_and_nothing_else_is_lost() {
    let scratch = Scratch::new();
    let ring = scratch.ring("a");
    let mut a = Node::new("a", Some(&ring), "");
    a.db.run(&format!("{}{}{}", skill("one"), skill("two"), skill("three")));
    let good = a.read_all();
    let rows: Vec<usize> =
        (0..good.components.len()).filter(|&place| good.components[place].slot == Slot::Row).collect();
    assert_eq!(rows.len(), 3);
    let (first, second) = (rows[0], rows[1]);
    let swap = good.components[second].clone();
    let length = swap.body.as_ref().unwrap().len();
    let flip = |at: usize| move |component: &mut Component| component.body.as_mut().unwrap()[at] ^= 1;
    type Spoil<'a> = Box<dyn Fn(&mut Component) + 'a>;
    let mut spoils: Vec<(String, Spoil<'_>)> = vec![
        ("the gid of another row".into(), Box::new(|component| component.gid.0[3] ^= 1)),
        ("another time".into(), Box::new(|component| component.stamp.hlc.0 += 1)),
        ("the body of another row".into(), Box::new(|component| component.body = swap.body.clone())),
        ("cut off".into(), Box::new(|component| component.body.as_mut().unwrap().truncate(20))),
        ("empty".into(), Box::new(|component| component.body.as_mut().unwrap().clear())),
        ("not sealed".into(), Box::new(|component| component.body = Some(b"plain".to_vec()))),
        ("another table".into(), Box::new(|component| component.table = TableId([9; 8]))),
        ("a share".into(), Box::new(|component| component.slot = Slot::Share(component.stamp.origin))),
    ];
    // The header but for the key's number, the ciphertext and the tag.
    for at in [0, 4, 6, 16, 27, 28, length / 2, length - 1] {
        spoils.push((format!("byte {at}"), Box::new(flip(at))));
    }
    for (what, spoil) in spoils {
        let mut b = Node::new("b", Some(&ring), "");
        let mut bad = good.clone();
        spoil(&mut bad.components[first]);
        b.apply(&bad);
        assert_eq!(b.skills().len(), 2, "{what}: the others are there");
        assert_eq!(b.refusals(), 1, "{what}");
        assert_eq!(b.waiting(), [], "{what}");
        // Offered again it is refused again, and not complained of twice.
        b.transact(|bound| bound.mend(&bad.components, NOW_MS).map(drop));
        assert_eq!((b.skills().len(), b.refusals()), (2, 1), "{what}");
        // And what was sealed for the place is taken in when it comes.
        b.transact(|bound| bound.mend(&good.components, NOW_MS).map(drop));
        assert_eq!(b.skills(), ["one", "three", "two"], "{what}");
    }
    // Another origin is another delta.
    let mut b = Node::new("b", Some(&ring), "");
    let mut bad = good.clone();
    bad.origin.0[0] ^= 1;
    bad.components.iter_mut().for_each(|component| component.stamp.origin = bad.origin);
    b.apply(&bad);
    assert_eq!((b.skills().len(), b.refusals()), (0, 3));
    // A forged state that is newer hides nothing that comes later.
    let mut b = Node::new("b", Some(&ring), "");
    b.apply(&good);
    let mut forged = good.components[first].clone();
    forged.stamp.hlc.0 += 1000 << 16;
    b.transact(|bound| bound.mend(std::slice::from_ref(&forged), NOW_MS).map(drop));
    a.db.run("UPDATE skills SET description = 'later'");
    let later = a.read_all();
    b.transact(|bound| bound.mend(&later.components, NOW_MS).map(drop));
    assert_eq!(b.texts("SELECT DISTINCT description FROM skills"), ["Text(\"later\")"]);
}

#[test]
fn what_is_sealed_with_a_key_that_is_not_here_waits_for_it() {
    let scratch = Scratch::new();
    let ring = scratch.ring("a");
    let other = scratch.follower("b", &ring);
    let (mut a, mut b) = (Node::new("a", Some(&ring), ""), Node::new("b", Some(&other), ""));
    a.db.run(&skill("before"));
    let mut star = Star::new();
    assert_eq!(star.meet(&mut [&mut a, &mut b]), []);
    let next = ring.rotate().unwrap().to_string();
    a.db.run(&rows_of("a"));
    assert_eq!(star.meet(&mut [&mut a, &mut b]), []);
    assert_eq!(b.skills(), ["before"]);
    let waiting = b.waiting();
    assert!(waiting.iter().all(|(reason, _)| *reason == Reason::Key) && !waiting.is_empty(), "{waiting:?}");
    assert_eq!(b.replica.missing_keys(), std::slice::from_ref(&next));
    assert_eq!(b.refusals(), 0);
    // It is handed on as it came: c has the key, and hears of it from b alone.
    let mut c = Node::new("c", Some(&ring), "");
    let (origin, mut delta) = (a.replica.own(), None);
    b.transact(|bound| {
        delta = Some(bound.read(origin, 0, Limit { components: 1000, bytes: 1 << 24 })?);
        Ok(())
    });
    c.apply(&delta.unwrap());
    assert_eq!(c.skills(), ["before", "hedge", "only-a"]);
    // Nothing changes before the key is there.
    b.wake();
    assert_eq!((b.skills(), b.waiting()), (vec!["before".to_owned()], waiting));
    other.install(&ring.export(&next, b"open sesame").unwrap(), b"open sesame").unwrap();
    b.wake();
    assert_eq!(b.skills(), ["before", "hedge", "only-a"]);
    assert_eq!((b.waiting(), b.replica.missing_keys()), (vec![], vec![]));
}

#[test]
fn what_is_damaged_shows_when_its_key_comes() {
    let scratch = Scratch::new();
    let ring = scratch.ring("a");
    let other = scratch.follower("b", &ring);
    let next = ring.rotate().unwrap().to_string();
    let (mut a, mut b) = (Node::new("a", Some(&ring), ""), Node::new("b", Some(&other), ""));
    a.db.run(&format!("{}{}", skill("one"), skill("two")));
    let good = a.read_all();
    let mut bad = good.clone();
    let row = bad.components.iter_mut().find(|component| component.slot == Slot::Row).unwrap();
    *row.body.as_mut().unwrap().last_mut().unwrap() ^= 1;
    b.apply(&bad);
    assert_eq!(b.waiting(), [(Reason::Key, 2)]);
    other.install(&ring.export(&next, b"open sesame").unwrap(), b"open sesame").unwrap();
    b.wake();
    b.transact(|_| Ok(()));
    assert_eq!((b.skills().len(), b.refusals()), (1, 1));
    assert_eq!(b.waiting(), []);
    let digest = |node: &mut Node| {
        let mut sums = Vec::new();
        node.transact(|bound| {
            sums = bound.digest()?;
            Ok(())
        });
        sums
    };
    assert_ne!(digest(&mut a), digest(&mut b), "a comparison shows that something is missing");
    b.transact(|bound| bound.mend(&good.components, NOW_MS).map(drop));
    assert_eq!(b.skills(), ["one", "two"]);
    assert_eq!(digest(&mut a), digest(&mut b));
}

#[test]
fn a_new_key_seals_what_is_written_next_and_nothing_is_sent_again() {
    let scratch = Scratch::new();
    let ring = scratch.ring("a");
    let other = scratch.follower("b", &ring);
    let (mut a, mut b) =
        (Node::new("a", Some(&ring), &rows_of("a")), Node::new("b", Some(&other), &skill("of-b")));
    let mut star = Star::new();
    assert_eq!(star.meet(&mut [&mut a, &mut b]), []);
    let first = ring.current().unwrap().to_string();
    let before = a.texts("SELECT hex(gid), version FROM mqs_row ORDER BY gid");
    ring.rotate().unwrap();
    let id = hand_over(&ring, &other);
    other.make_current(&id).unwrap();
    star.seen.clear();
    assert_eq!(star.meet(&mut [&mut a, &mut b]), []);
    assert!(star.seen.len() < 1500, "{} bytes to say that there is nothing new", star.seen.len());
    assert_eq!(a.texts("SELECT hex(gid), version FROM mqs_row ORDER BY gid"), before);
    // The same names as before: b's own `hedge` is a's.
    b.db.run("UPDATE skills SET description = 'of b' WHERE name = 'hedge'");
    b.db.run(&skill("new"));
    assert_eq!(star.meet(&mut [&mut a, &mut b]), []);
    assert_eq!(a.skills(), ["hedge", "new", "of-b", "only-a"]);
    assert_eq!(a.texts("SELECT description FROM skills WHERE name = 'hedge'"), ["Text(\"of b\")"]);
    // When the first key is gone, names stay; what only the relay has under it waits for a node that never had it.
    for ring in [&ring, &other] {
        ring.remove(&first).unwrap();
    }
    a.db.run(&skill("after"));
    let mut c = Node::new("c", Some(&other), "");
    assert_eq!(star.meet(&mut [&mut a, &mut b, &mut c]), []);
    assert_eq!(b.skills(), ["after", "hedge", "new", "of-b", "only-a"]);
    assert!(c.skills().contains(&"after".to_owned()), "{:?}", c.skills());
    assert!(!c.waiting().is_empty() && c.replica.missing_keys() == [first.clone()]);
    // The database still opens under its names.
    let Node { mut db, replica, .. } = a;
    drop(replica);
    let replica = Replica::open(&mut db, options(Some(&ring), 77)).unwrap();
    let mut again = Node { name: "a".into(), db, replica, session: None, events: Vec::new() };
    assert_eq!(star.meet(&mut [&mut again, &mut b]), []);
    assert_eq!(again.skills(), ["after", "hedge", "new", "of-b", "only-a"]);
}

#[test]
fn whoever_seals_otherwise_is_refused_and_told_why() {
    let scratch = Scratch::new();
    let ring = scratch.ring("a");
    let stranger = scratch.ring("stranger");
    let mut star = Star::new();
    let mut a = Node::new("a", Some(&ring), &skill("of-a"));
    assert_eq!(star.meet(&mut [&mut a]), []);
    let mut plain = Node::new("p", None, &skill("of-p"));
    let mut other = Node::new("o", Some(&stranger), &skill("of-o"));
    let refused = star.meet(&mut [&mut a, &mut plain, &mut other]);
    assert_eq!(refused.len(), 2, "{refused:?}");
    for (name, error) in &refused {
        let SessionError::Sealing(why) = error else { panic!("{name}: {error:?}") };
        let expected = if name == "p" { "there is no keyring here" } else { "keys of another line" };
        // A relay that refuses at once says so before it says who it is.
        assert!(why.contains(expected) || why.contains("another keyring"), "{name}: {why}");
        assert_eq!(error.code(), Code::Sealing);
    }
    assert_eq!((plain.skills(), other.skills()), (vec!["of-p".to_owned()], vec!["of-o".to_owned()]));
    assert_eq!(a.skills(), ["of-a"]);
    // The relay remembers it, with nobody connected and after a restart.
    star.relay = Relay::new(Box::new(star.store.clone())).unwrap();
    assert_eq!(star.meet(&mut [&mut plain]).len(), 1);
    // The other way round.
    let mut star = Star::new();
    assert_eq!(star.meet(&mut [&mut plain]), []);
    star.relay = Relay::new(Box::new(star.store.clone())).unwrap();
    let refused = star.meet(&mut [&mut plain, &mut a]);
    assert!(
        matches!(&refused[..], [(name, SessionError::Sealing(why))] if name == "a" && (why.contains("not sealed there") || why.contains("another keyring"))),
        "{refused:?}"
    );
    // A database in which nobody has written is what whoever comes first alone says.
    let mut star = Star::new();
    assert_eq!(star.meet(&mut [&mut Node::new("e", None, "")]), []);
    star.relay.left(0);
    assert_eq!(star.meet(&mut [&mut a]), []);
}

#[test]
fn direct_links_refuse_as_relays_do() {
    let scratch = Scratch::new();
    let ring = scratch.ring("a");
    let mut sealed = Node::new("a", Some(&ring), &skill("of-a"));
    let mut plain = Node::new("p", None, &skill("of-p"));
    for node in [&mut sealed, &mut plain] {
        node.session = Some(Session::new(Config::new("desk", "peer"), Role::Node, NOW_MS));
    }
    let (from_sealed, from_plain) = (sealed.step().unwrap(), plain.step().unwrap());
    for (node, packets) in [(&mut sealed, from_plain), (&mut plain, from_sealed)] {
        for packet in packets {
            node.session.as_mut().unwrap().receive(&packet, NOW_MS).unwrap();
        }
        assert!(matches!(node.step(), Err(SessionError::Sealing(_))), "{}", node.name);
        let bye = node.session.as_mut().unwrap().take_outgoing();
        assert!(node.session.as_mut().unwrap().receive(&bye.concat(), NOW_MS).is_err());
    }
    assert_eq!((sealed.skills(), plain.skills()), (vec!["of-a".to_owned()], vec!["of-p".to_owned()]));
}

#[test]
fn who_has_named_nothing_follows_and_waits_for_the_key_until_it_comes() {
    let scratch = Scratch::new();
    let (ring, other) = (scratch.ring("a"), scratch.ring("b"));
    let (mut a, mut b) = (Node::new("a", Some(&ring), &rows_of("a")), Node::new("b", Some(&other), ""));
    let mut star = Star::new();
    assert_eq!(star.meet(&mut [&mut a, &mut b]), []);
    assert_eq!(b.skills(), Vec::<String>::new());
    assert!(b.waiting().iter().all(|(reason, _)| *reason == Reason::Key));
    // It opens now, and b names as a does, although it still seals with its own key.
    hand_over(&ring, &other);
    b.wake();
    assert_eq!(b.skills(), ["hedge", "only-a"]);
    assert_eq!(b.waiting(), []);
    b.db.run(&skill("of-b"));
    assert_eq!(star.meet(&mut [&mut a, &mut b]), []);
    assert_eq!(a.waiting(), [(Reason::Key, 1)]);
    hand_over(&other, &ring);
    a.wake();
    assert_eq!(a.skills(), ["hedge", "of-b", "only-a"]);
}

#[test]
fn a_database_stays_as_it_was_opened_first() {
    let scratch = Scratch::new();
    let (ring, stranger) = (scratch.ring("a"), scratch.ring("b"));
    let reopened = |first: Option<&Arc<Keyring>>, then: Option<&Arc<Keyring>>| {
        let mut db = Node::new("a", first, &skill("x")).db;
        Replica::open(&mut db, options(then, 9)).map(drop)
    };
    assert_eq!(reopened(Some(&ring), Some(&ring)), Ok(()));
    for (first, then, why) in [
        (None, Some(&ring), "without a keyring"),
        (Some(&ring), None, "it is sealed"),
        (Some(&ring), Some(&stranger), "keys of another line"),
    ] {
        let error = reopened(first, then).unwrap_err();
        assert!(matches!(error, StoreError::OtherSeal(_)) && error.to_string().contains(why), "{error}");
    }
}
