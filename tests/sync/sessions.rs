//! Sessions over links that are cut, between nodes that crash, restart, go back to a backup or are copied, and a relay that
//! restarts or loses everything: when all of that ends, everybody has the same, and nothing that was written is missing.

use crate::model::Model;
use midstreamer::sync::component::{Slot, Stamp};
use midstreamer::sync::identity::{Gid, Incarnation, Origin};
use midstreamer::sync::relay::{KEPT_MS, MEMBER_MS, MemoryRelayStore, Relay};
use midstreamer::sync::session::{Budget, Config, Role, Session, SessionError};
use midstreamer::sync::store::{Delta, Life, OriginState, Store};
use midstreamer::sync::wire::{Have, Message, pack};
use std::collections::{BTreeMap, VecDeque};

/// Seeds of an ordinary run; `SYNC_SEEDS=from..to` runs others.
const SEEDS: std::ops::Range<u64> = 0..30;
const START_MS: u64 = 1_790_000_000_000;

fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("SYNC_SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("SYNC_SEEDS=from..to");
    from.parse().unwrap()..to.parse().unwrap()
}

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Node(usize),
    Relay,
}

struct Link {
    ends: [End; 2],
    /// While it is up: its number, sessions of its nodes, and what is on its way to each end.
    up: Option<Up>,
}

struct Up {
    number: u64,
    sessions: [Option<Session>; 2],
    way: [VecDeque<Vec<u8>>; 2],
}

struct World {
    dice: fastrand::Rng,
    now_ms: u64,
    skew_ms: Vec<u64>,
    nodes: Vec<Model>,
    backups: Vec<Option<Model>>,
    relay: Option<(Relay, MemoryRelayStore)>,
    links: Vec<Link>,
    numbers: u64,
    repaired: u64,
    component_bytes: usize,
    window_bytes: usize,
}

impl World {
    fn new(seed: u64, nodes: usize, relay: bool, pairs: &[(usize, usize)]) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut links: Vec<Link> =
            pairs.iter().map(|&(a, b)| Link { ends: [End::Node(a), End::Node(b)], up: None }).collect();
        if relay {
            links.extend((0..nodes).map(|node| Link { ends: [End::Node(node), End::Relay], up: None }));
        }
        let mut world = Self {
            now_ms: START_MS,
            skew_ms: vec![0; nodes],
            nodes: (0..nodes).map(|_| Model::new(dice.u64(..))).collect(),
            backups: vec![None; nodes],
            relay: None,
            links,
            numbers: 0,
            repaired: 0,
            component_bytes: 1 << 20,
            window_bytes: 1 << 20,
            dice,
        };
        if relay {
            world.fresh_relay();
        }
        world
    }

    fn fresh_relay(&mut self) {
        let store = MemoryRelayStore::new(std::array::from_fn(|_| self.dice.u8(..)));
        self.relay = Some((Relay::new(Box::new(store.clone())).unwrap(), store));
    }

    fn time_of(&self, end: End) -> u64 {
        match end {
            End::Node(node) => self.now_ms + self.skew_ms[node],
            End::Relay => self.now_ms,
        }
    }

    fn connect(&mut self, link: usize) {
        if self.links[link].up.is_some() {
            return;
        }
        self.numbers += 1;
        let number = self.numbers;
        let mut sessions = [None, None];
        for (side, end) in self.links[link].ends.into_iter().enumerate() {
            let now_ms = self.time_of(end);
            match end {
                End::Node(_) => {
                    let mut config = Config::new("db", format!("{:?}", self.links[link].ends[1 - side]));
                    config.component_bytes = self.component_bytes;
                    config.window_bytes = self.window_bytes;
                    sessions[side] = Some(Session::new(config, Role::Node, now_ms));
                }
                End::Relay => {
                    let node = format!("{:?}", self.links[link].ends[1 - side]);
                    self.relay.as_mut().unwrap().0.joined(number, &node, "db", now_ms);
                }
            }
        }
        self.links[link].up = Some(Up { number, sessions, way: Default::default() });
    }

    fn cut(&mut self, link: usize) {
        let Some(up) = self.links[link].up.take() else { return };
        for session in up.sessions.into_iter().flatten() {
            self.repaired += session.status().repaired;
        }
        if self.links[link].ends.contains(&End::Relay) {
            self.relay.as_mut().unwrap().0.left(up.number);
        }
    }

    fn cut_all_of(&mut self, end: End) {
        for link in 0..self.links.len() {
            if self.links[link].ends.contains(&end) {
                self.cut(link);
            }
        }
    }

    /// Brings the next packet of a link to one of its ends.
    fn deliver(&mut self, link: usize, side: usize) -> bool {
        let end = self.links[link].ends[side];
        let now_ms = self.time_of(end);
        let Some(up) = &mut self.links[link].up else { return false };
        let Some(packet) = up.way[side].pop_front() else { return false };
        match &mut up.sessions[side] {
            Some(session) => {
                session.receive(&packet, now_ms).unwrap();
                let answers = session.take_outgoing();
                up.way[1 - side].extend(answers);
            }
            None => self.relay.as_mut().unwrap().0.message(up.number, &packet, now_ms).unwrap(),
        }
        true
    }

    /// A transaction on a node for one of its links. Says whether there was anything to do.
    fn step(&mut self, link: usize, side: usize, faults: bool) -> bool {
        let End::Node(node) = self.links[link].ends[side] else { return self.relay_turn(faults) };
        let now_ms = self.time_of(End::Node(node));
        let Some(up) = &mut self.links[link].up else { return false };
        let Some(session) = &mut up.sessions[side] else { return false };
        if !session.wants_step(now_ms) {
            return false;
        }
        let before = self.nodes[node].clone();
        let mut advanced = false;
        for _ in 0..self.dice.usize(1..3) {
            let budget = Budget { components: self.dice.usize(1..20), bytes: self.dice.usize(1..400_000) };
            let progress = session.step(&mut self.nodes[node], budget, now_ms).unwrap();
            advanced |= progress.advanced;
        }
        if faults && self.dice.u8(..) < 20 {
            // The lock was lost, the disk was full.
            self.nodes[node] = before;
            session.rolled_back();
            return true;
        }
        session.committed();
        if faults && self.dice.u8(..) < 6 {
            // A crash after the commit, before anything was said.
            self.nodes[node].open(self.dice.u64(..));
            self.cut_all_of(End::Node(node));
            return true;
        }
        up.way[1 - side].extend(session.take_outgoing());
        if advanced {
            self.changed(node);
        }
        true
    }

    fn changed(&mut self, node: usize) {
        for link in &mut self.links {
            for side in 0..2 {
                if link.ends[side] == End::Node(node)
                    && let Some(session) = link.up.as_mut().and_then(|up| up.sessions[side].as_mut())
                {
                    session.changed();
                }
            }
        }
    }

    fn relay_turn(&mut self, faults: bool) -> bool {
        let Some((relay, store)) = &mut self.relay else { return false };
        relay.tick(self.now_ms);
        let store = store.clone();
        relay.commit().unwrap();
        assert!(relay.take_failed().is_empty(), "a node said something impossible");
        if faults && self.dice.u8(..) < 4 {
            // Killed before what it had to say was sent, or afterwards, with more in hand.
            self.cut_all_of(End::Relay);
            self.relay = None;
            let relay = Relay::new(Box::new(store.clone())).unwrap();
            self.relay = Some((relay, store));
            return true;
        }
        let outgoing = self.relay.as_mut().unwrap().0.take_outgoing();
        let any = !outgoing.is_empty();
        for (number, packet) in outgoing {
            let up = self.links.iter_mut().filter_map(|link| link.up.as_mut()).find(|up| up.number == number);
            // The relay is always at the second end.
            if let Some(up) = up {
                up.way[0].push_back(packet);
            }
        }
        any
    }

    fn gid(&mut self) -> Gid {
        let mut gid = [0; 16];
        gid[0] = self.dice.u8(0..12);
        gid[15] = gid[0] % 5;
        Gid(gid)
    }

    fn write(&mut self, node: usize) {
        let (gid, now_ms) = (self.gid(), self.time_of(End::Node(node)));
        let body = match self.dice.u8(0..40) {
            0..8 => None,
            8 => Some((0..self.dice.usize(0..700_000)).map(|_| self.dice.u8(..)).collect()),
            9 => Some(vec![b'a'; self.dice.usize(0..300_000)]),
            10..16 => {
                let count = self.dice.u64(..);
                self.nodes[node].count(gid, count, now_ms);
                return self.changed(node);
            }
            _ => Some((0..self.dice.usize(0..40)).map(|_| self.dice.u8(..)).collect()),
        };
        self.nodes[node].write(gid, None, body, now_ms);
        self.changed(node);
    }

    fn chaos(&mut self, steps: usize, copies: bool) {
        for _ in 0..steps {
            let link = self.dice.usize(..self.links.len());
            let node = self.dice.usize(..self.nodes.len());
            let side = self.dice.usize(..2);
            self.now_ms += self.dice.u64(0..50);
            match self.dice.u16(0..1000) {
                0..120 => self.write(node),
                120..200 => self.connect(link),
                200..215 => self.cut(link),
                215..218 if copies => self.backups[node] = Some(self.nodes[node].clone()),
                218..221 if copies => {
                    // A backup is restored; or, what another node has is copied here.
                    let other = self.dice.usize(..self.nodes.len());
                    let from = if self.dice.bool() {
                        self.backups[node].clone()
                    } else {
                        Some(self.nodes[other].clone())
                    };
                    if let Some(mut from) = from {
                        from.open(self.dice.u64(..));
                        self.cut_all_of(End::Node(node));
                        self.nodes[node] = from;
                        self.backups[node] = None;
                    }
                }
                221..223 if self.relay.is_some() => {
                    self.cut_all_of(End::Relay);
                    self.fresh_relay();
                }
                223..226 => self.now_ms += self.dice.u64(0..100_000),
                226..600 => drop(self.deliver(link, side)),
                _ => drop(self.step(link, side, true)),
            }
        }
    }

    /// Everything is up and works until nobody has anything to say.
    fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 10_000, "it never ends");
            let mut any = false;
            for link in 0..self.links.len() {
                self.connect(link);
                for side in 0..2 {
                    while self.deliver(link, side) {
                        any = true;
                    }
                    any |= self.step(link, side, false);
                }
            }
            if !any {
                return;
            }
        }
    }

    fn settle_and_compare(&mut self) {
        self.settle();
        for _ in 0..3 {
            self.now_ms += 61_000;
            self.settle();
        }
    }

    fn check_same(&mut self, seed: u64) {
        let first = self.nodes[0].contents();
        let sums = self.nodes[0].digest().unwrap();
        for (index, node) in self.nodes.iter_mut().enumerate() {
            assert_eq!(node.digest().unwrap() == sums, node.contents() == first, "seed {seed}");
            for (key, (stamp, _)) in &node.contents() {
                assert_eq!(
                    first.get(key).map(|(stamp, _)| *stamp),
                    Some(*stamp),
                    "seed {seed}: node {index} has {key:?}"
                );
            }
            assert!(node.contents() == first, "seed {seed}: node {index} has something else");
        }
        if let Some((relay, _)) = &self.relay {
            assert!(relay.digest("db").unwrap() == sums, "seed {seed}: the relay has something else");
        }
    }
}

fn topology(seed: u64) -> World {
    match seed % 4 {
        0 => World::new(seed, 3, false, &[(0, 1), (1, 2)]),
        1 => World::new(seed, 3, true, &[]),
        2 => World::new(seed, 4, false, &[(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)]),
        _ => World::new(seed, 4, true, &[(0, 1)]),
    }
}

/// What was published last of each component, whoever won.
fn greatest(world: &World, all: &mut BTreeMap<(Gid, Slot), Stamp>) {
    for node in &world.nodes {
        for (key, component) in &node.components {
            let stamp = all.entry(*key).or_insert(component.stamp);
            *stamp = (*stamp).max(component.stamp);
        }
    }
}

#[test]
fn whatever_happens_to_links_and_processes_all_have_everything() {
    for seed in seeds() {
        let mut world = topology(seed);
        if seed % 7 == 0 {
            world.skew_ms[0] = 3_600_000;
        }
        let mut all = BTreeMap::new();
        for _ in 0..12 {
            world.chaos(50, false);
            greatest(&world, &mut all);
        }
        world.settle_and_compare();
        world.check_same(seed);
        assert_eq!(
            world.nodes.iter().map(|node| node.forks).sum::<usize>(),
            0,
            "seed {seed}: nobody was a copy"
        );
        let kept: BTreeMap<_, _> =
            world.nodes[0].components.iter().map(|(key, component)| (*key, component.stamp)).collect();
        assert_eq!(kept, all, "seed {seed}");
        assert_eq!(world.repaired, 0, "seed {seed}: nothing had to be repaired");
    }
}

#[test]
fn restored_backups_and_clones_end_with_everybody_having_the_same() {
    let mut forks = 0;
    for seed in seeds() {
        let mut world = topology(seed);
        world.chaos(700, true);
        world.settle_and_compare();
        world.check_same(seed);
        forks += world.nodes.iter().map(|node| node.forks).sum::<usize>();
        let owns: std::collections::BTreeSet<Origin> = world.nodes.iter().map(|node| node.own).collect();
        assert_eq!(owns.len(), world.nodes.len(), "seed {seed}: two nodes write under one origin");
    }
    assert!(forks > 0, "copies were made, and nobody noticed");
}

#[test]
fn a_component_longer_than_the_window_arrives_in_parts() {
    for relay in [false, true] {
        let mut world = World::new(1, 2, relay, if relay { &[] } else { &[(0, 1)] });
        world.component_bytes = 8 << 20;
        world.window_bytes = 300_000;
        let body: Vec<u8> = (0..5 << 20).map(|_| world.dice.u8(..)).collect();
        world.nodes[0].write(Gid([1; 16]), None, Some(body.clone()), START_MS);
        world.nodes[0].write(Gid([2; 16]), None, Some(vec![b'z'; 3 << 20]), START_MS);
        world.settle();
        assert_eq!(world.nodes[1].components[&(Gid([1; 16]), Slot::Row)].body.as_ref(), Some(&body));
        world.check_same(1);
    }
}

#[test]
fn tombstones_go_when_all_have_them_and_who_was_away_too_long_drops_what_was_deleted() {
    let mut world = World::new(2, 3, true, &[]);
    let (kept, deleted, away) = (Gid([1; 16]), Gid([2; 16]), Gid([3; 16]));
    let now_ms = world.now_ms;
    for gid in [kept, deleted] {
        world.nodes[0].write(gid, None, Some(b"row".to_vec()), now_ms);
    }
    world.nodes[0].count(deleted, 4, now_ms);
    world.settle();
    // Node 2 goes away; the links of the others stay.
    world.cut_all_of(End::Node(2));
    let gone = world.links.pop().unwrap();
    world.nodes[1].write(deleted, None, None, now_ms);
    world.nodes[2].write(away, None, Some(b"written while away".to_vec()), now_ms);
    world.changed(1);
    world.settle();
    for _ in 0..10 {
        world.now_ms += KEPT_MS / 4;
        world.settle();
    }
    assert!(world.nodes[0].components.contains_key(&(deleted, Slot::Row)), "a member does not have it yet");
    for _ in 0..8 {
        world.now_ms += MEMBER_MS / 4;
        world.settle();
    }
    assert!(!world.nodes[0].components.contains_key(&(deleted, Slot::Row)), "the tombstone is collected");
    assert_eq!(world.nodes[2].components[&(deleted, Slot::Row)].body.as_deref(), Some(&b"row"[..]));
    world.links.push(gone);
    world.settle_and_compare();
    world.check_same(2);
    assert!(!world.nodes[2].components.contains_key(&(deleted, Slot::Row)), "nothing is resurrected");
    assert_eq!(
        world.nodes[0].components[&(away, Slot::Row)].body.as_deref(),
        Some(&b"written while away"[..])
    );
    assert_eq!(world.nodes[2].components[&(kept, Slot::Row)].body.as_deref(), Some(&b"row"[..]));
}

#[test]
fn what_was_damaged_is_found_and_put_right() {
    let mut world = World::new(3, 3, true, &[]);
    for byte in 0..200 {
        let now_ms = world.now_ms;
        world.nodes[0].write(Gid([byte; 16]), None, Some(vec![byte; 100]), now_ms);
    }
    world.settle();
    let all = world.nodes[0].contents();
    world.nodes[1].components.retain(|(gid, _), _| gid.0[0] % 3 != 0);
    world.settle_and_compare();
    assert!(world.nodes[1].contents() == all);
    let repaired: u64 = world
        .links
        .iter()
        .filter_map(|link| link.up.as_ref()?.sessions[0].as_ref())
        .map(|session| session.status().repaired)
        .sum();
    assert_eq!(repaired, 67);
}

#[test]
fn a_clock_that_is_an_hour_off_is_measured() {
    let mut world = World::new(4, 2, true, &[]);
    world.skew_ms[1] = 3_600_000;
    world.settle();
    let offset =
        |link: usize| world.links[link].up.as_ref().unwrap().sessions[0].as_ref().unwrap().status().offset_ms;
    assert_eq!((offset(0), offset(1)), (Some(0), Some(-3_600_000)));
}

#[test]
fn members_hear_how_far_all_are() {
    let mut world = World::new(5, 3, true, &[]);
    let now_ms = world.now_ms;
    world.settle();
    world.nodes[0].write(Gid([9; 16]), None, Some(vec![1]), now_ms);
    world.changed(0);
    world.settle();
    let status = world.links[0].up.as_ref().unwrap().sessions[0].as_ref().unwrap().status();
    assert_eq!((status.acknowledged, status.reach, status.behind), (1, 1, 0));
}

#[test]
fn heads_that_never_end_are_a_flood_however_small_they_are_packed() {
    // A delta before all heads have been told waits, and so do the exact heads behind it.
    let origin = Origin([1; 16]);
    let delta = Message::Delta(Delta { origin, after: 0, to: 1, components: Vec::new() });
    let life = |start| Life { incarnation: Incarnation([7; 8]), start };
    // Origins are at random and the lives are not: packed, it is a tenth.
    let mut dice = fastrand::Rng::with_seed(7);
    let state = |_| OriginState {
        origin: Origin(std::array::from_fn(|_| dice.u8(..))),
        head: 9,
        floor: 0,
        lineage: (0..32).map(life).collect(),
    };
    let mut states: Vec<_> = (1..200).map(state).collect();
    states.sort_by_key(|state| state.origin);
    let heads = |exact| Message::Have(Have { exact, last: false, states: states.clone() });
    let flood = |first: Option<&Message>, then: &Message| {
        let mut session = Session::new(Config::new("db", "peer"), Role::Node, 0);
        let mut bytes = 0;
        for message in first.into_iter().chain(std::iter::repeat_n(then, 1000)) {
            for packet in pack(&message.encode()) {
                bytes += packet.len();
                if let Err(error) = session.receive(&packet, 0) {
                    return (error, bytes);
                }
            }
        }
        panic!("{bytes} bytes were not too many");
    };
    for (first, then) in [(Some(&delta), heads(true)), (None, heads(false))] {
        let (error, bytes) = flood(first, &then);
        assert_eq!(error, SessionError::Flooded);
        assert!(bytes < 2 << 20, "{bytes} bytes");
    }
}
