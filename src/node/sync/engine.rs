//! A replica with its sessions: what one slice does on the user's handle.
//!
//! A slice is one transaction: everything that was written locally is captured, and only then something of what has come is
//! merged, or read for a peer. What the sessions want to say is kept until [`Engine::send`], which the caller calls when the
//! commit is as durable as it gets: with sql.js after the save.

use crate::protocol::messages::Code as LinkCode;
use crate::swarm::SwarmError;
use crate::swarm::sync::{LinkEvent, Links, Mailbox};
use crate::sync::database::{Database, DatabaseError, Value};
use crate::sync::identity::Origin;
use crate::sync::replica::{Bound, Event, Reason, Replica, Wake};
use crate::sync::seal::Seal;
use crate::sync::session::{Budget, Config, Role, Session, SessionError, Status};
use crate::sync::store::{Store, StoreError};
use crate::sync::wire::Code;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

/// What a slice reads for peers: so much for each row that it may have, within these bounds.
const ROW_BYTES: usize = 4 << 10;
const LEAST_READ_BYTES: usize = 16 << 10;
const MOST_READ_BYTES: usize = 256 << 10;

/// Between two looks at what waits for its time, and at the clocks of peers.
const TICK_MS: u64 = 1_000;

/// Rows that the sweep looks at in each tick.
const SWEPT_ROWS: usize = 256;

const PING_MS: u64 = 30_000;

const FAREWELL_MS: u64 = 1_000;

/// A link that is up.
struct Linked {
    peer: String,
    relay: bool,
    session: Session,
    told: (u64, u64),
}

/// What is known of a peer, also after its link has gone.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    pub(super) connected: bool,
    pub(super) status: Status,
}

/// What happened, for the program.
#[derive(Debug)]
pub(super) enum Notice {
    /// By whom, and what.
    Replica(String, Event),
    /// Peer, done, total.
    Progress(String, u64, u64),
    /// A link was refused for good, or ended with an error.
    Refused(SwarmError),
    /// By whom, and why: one side seals otherwise than the other.
    Sealing(String, String),
}

/// How a slice ended.
#[derive(Debug, Default)]
pub(super) struct Slice {
    pub(super) committed: bool,
    pub(super) more: bool,
    /// Rows that were captured, merged or read for a peer.
    pub(super) rows: u64,
    pub(super) captured: u64,
    /// Some of what was written is not captured yet.
    pub(super) behind: bool,
}

/// Where a flush stands.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reached {
    /// Links that are up.
    pub(super) links: u32,
    /// Those whose other end has committed the version, by the scope.
    pub(super) reached: u32,
    /// Whether that is enough.
    pub(super) done: bool,
}

/// See the module.
pub(super) struct Engine {
    replica: Replica,
    seal: Option<Arc<dyn Seal>>,
    /// The keys for which what waits for one was tried last.
    keys: Option<Vec<String>>,
    /// Those for which it is tried in the open transaction.
    new_keys: Option<Vec<String>>,
    links: Links,
    mailbox: Arc<Mailbox>,
    linked: BTreeMap<u64, Linked>,
    gone: BTreeMap<String, Status>,
    notices: Vec<Notice>,
    /// Links that a session has given up, with the reason, once its last words are out; and the time to close them.
    ending: Vec<(u64, LinkCode, u64)>,
    now_ms: u64,
    /// At the last commit: a table that is new has no triggers yet.
    schema: Option<Value>,
    /// It has changed, and what waits for that has not been tried again.
    altered: bool,
    /// Some of what is in the database was not captured yet: rows that were there at the beginning are in no dirty set.
    behind: bool,
    next_tick_ms: u64,
    next_ping_ms: u64,
    waiting: u64,
    parked: Vec<String>,
    by_reason: Vec<(String, Reason, u64)>,
    forked_from: Option<Origin>,
    sent: u64,
    applied: u64,
    conflicts: u64,
    /// Of messages, over all links.
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

impl Engine {
    pub(super) fn new(
        replica: Replica,
        seal: Option<Arc<dyn Seal>>,
        links: Links,
        mailbox: Arc<Mailbox>,
    ) -> Self {
        Self {
            replica,
            seal,
            keys: None,
            new_keys: None,
            links,
            mailbox,
            linked: BTreeMap::new(),
            gone: BTreeMap::new(),
            notices: Vec::new(),
            ending: Vec::new(),
            now_ms: 0,
            schema: None,
            altered: false,
            behind: true,
            next_tick_ms: 0,
            next_ping_ms: 0,
            waiting: 0,
            parked: Vec::new(),
            by_reason: Vec::new(),
            forked_from: None,
            sent: 0,
            applied: 0,
            conflicts: 0,
            bytes_in: 0,
            bytes_out: 0,
        }
    }

    /// Takes what the network has brought.
    fn listen(&mut self, now_ms: u64) {
        for event in self.mailbox.take() {
            match event {
                LinkEvent::Up { link, peer, relay } => {
                    let session =
                        Session::new(Config::new(self.links.database(), &*peer), Role::Node, now_ms);
                    self.linked.insert(link, Linked { peer, relay, session, told: (0, 0) });
                }
                LinkEvent::Message { link, bytes } => {
                    let Some(linked) = self.linked.get_mut(&link) else { continue };
                    self.bytes_in += bytes.len() as u64;
                    if let Err(error) = linked.session.receive(&bytes, now_ms) {
                        self.notices.extend(sealing(&linked.peer, &error));
                        self.ending.push((link, code_of(&error), now_ms + farewell_ms(&error)));
                    }
                }
                LinkEvent::Down { link, reason } => {
                    let known = self.linked.remove(&link);
                    if let Some(Linked { peer, session, .. }) = known {
                        let status = session.status();
                        self.keep(peer, &status);
                    }
                    self.notices.extend(reason.map(Notice::Refused));
                }
            }
        }
    }

    /// What a link that is gone has done.
    fn keep(&mut self, peer: String, status: &Status) {
        self.sent += status.sent;
        self.applied += status.applied.rows;
        self.conflicts += status.applied.conflicts;
        self.gone.insert(peer, status.clone());
    }

    /// One slice of at most so many rows.
    ///
    /// # Errors
    /// `Busy` and `InUse`: nothing was done. Others likewise, but they do not pass by themselves.
    pub(super) fn slice(
        &mut self,
        database: &mut dyn Database,
        now_ms: u64,
        rows: usize,
    ) -> Result<Slice, StoreError> {
        self.now_ms = now_ms;
        self.listen(now_ms);
        let tick = now_ms >= self.next_tick_ms;
        let wanted = self.linked.values().any(|linked| linked.session.wants_step(now_ms));
        let schema = schema_version(database)?;
        self.altered |= schema != self.schema;
        if !wanted && !tick && !self.behind && schema == self.schema && !self.replica.is_dirty(database)? {
            return Ok(Slice::default());
        }
        if tick {
            self.next_tick_ms = now_ms + TICK_MS;
            self.ping(now_ms);
        }
        self.replica.begin(database)?;
        let before = changes(database);
        let outcome = catch_unwind(AssertUnwindSafe(|| match self.work(database, now_ms, rows, tick) {
            Ok(slice) => self.replica.commit(database).map(|()| slice),
            Err(error) => {
                self.replica.rollback(database);
                Err(error)
            }
        }));
        let outcome = outcome.unwrap_or_else(|panic| {
            // The user's handle is not left in a transaction of ours, whatever happens.
            self.replica.rollback(database);
            self.linked.values_mut().for_each(|linked| linked.session.rolled_back());
            resume_unwind(panic)
        });
        match outcome {
            Ok((mut slice, author)) => {
                self.schema = schema;
                self.altered &= slice.behind;
                self.behind = slice.behind;
                if let Some(keys) = self.new_keys.take() {
                    self.keys = Some(keys);
                }
                self.committed(&author);
                slice.committed = changes(database) != before;
                slice.more |= self.linked.values().any(|linked| linked.session.wants_step(now_ms));
                Ok(slice)
            }
            Err(error) => {
                self.new_keys = None;
                self.linked.values_mut().for_each(|linked| linked.session.rolled_back());
                Err(error)
            }
        }
    }

    /// In the transaction. Also whose changes were merged.
    fn work(
        &mut self,
        database: &mut dyn Database,
        now_ms: u64,
        rows: usize,
        tick: bool,
    ) -> Result<(Slice, String), StoreError> {
        // Before anything is stamped. A direct peer's clock is no better than ours.
        let relays = self.linked.values().filter(|linked| linked.relay);
        if let Some(offset_ms) = relays.filter_map(|linked| linked.session.status().offset_ms).next() {
            self.replica.measured(offset_ms);
        }
        let captured = self.replica.capture(database, now_ms, rows)?;
        let mut slice = Slice {
            rows: captured.rows,
            captured: captured.rows,
            more: captured.more,
            behind: captured.more,
            ..Slice::default()
        };
        if captured.rows > 0 {
            self.linked.values_mut().for_each(|linked| linked.session.changed());
        }
        if captured.more {
            // What is not captured yet would be overwritten.
            return Ok((slice, String::new()));
        }
        if self.altered {
            slice.rows += self.replica.wake(database, Wake::Schema, now_ms)?;
        }
        if tick {
            let swept = self.replica.sweep(database, now_ms, SWEPT_ROWS)?;
            slice.more |= swept.marked > 0;
        }
        let mut look = self.altered || (tick && self.waiting > 0);
        if tick && self.waiting > 0 {
            slice.rows += self.replica.wake(database, Wake::Time, now_ms)?;
        }
        let keys = self.seal.as_ref().filter(|_| tick).map(|seal| seal.keys());
        if keys.is_some() && keys != self.keys {
            slice.rows += self.replica.wake(database, Wake::Key, now_ms)?;
            self.new_keys = keys;
            look = true;
        }
        let mut author = String::new();
        let mut advanced = None;
        for (&link, linked) in &mut self.linked {
            if !linked.session.wants_step(now_ms) {
                continue;
            }
            let bytes = rows.saturating_mul(ROW_BYTES).clamp(LEAST_READ_BYTES, MOST_READ_BYTES);
            let budget = Budget { components: rows, bytes };
            let sent = linked.session.status().sent;
            let mut bound = Bound { replica: &mut self.replica, database };
            let progress = match linked.session.step(&mut bound, budget, now_ms) {
                Ok(progress) => progress,
                Err(SessionError::Store(error)) => return Err(error),
                Err(error) => {
                    self.notices.extend(sealing(&linked.peer, &error));
                    self.ending.push((link, code_of(&error), now_ms + farewell_ms(&error)));
                    continue;
                }
            };
            slice.more |= progress.more;
            slice.rows += linked.session.status().sent - sent;
            if progress.forked.is_some() || progress.advanced {
                advanced = Some(link);
            }
            if progress.components > 0 {
                slice.rows += progress.components as u64;
                look |= progress.applied.parked > 0 || self.waiting > 0;
                author.clone_from(&linked.peer);
                // One peer a slice, so that it is known who has written what.
                break;
            }
        }
        if let Some(from) = advanced {
            let others = self.linked.iter_mut().filter(|(link, _)| **link != from);
            others.for_each(|(_, linked)| linked.session.changed());
        }
        if look {
            let parked = self.replica.parked(database)?;
            self.waiting = parked.iter().map(|(_, _, count)| count).sum();
            let schema = parked.iter().filter(|(_, reason, _)| *reason == Reason::Schema);
            self.parked = schema.map(|(table, ..)| table.clone()).collect();
            self.parked.dedup();
            self.by_reason = parked;
        }
        Ok((slice, author))
    }

    fn committed(&mut self, author: &str) {
        for linked in self.linked.values_mut() {
            linked.session.committed();
            let status = linked.session.status();
            let told = (status.done, status.total);
            if told != linked.told && status.total > 0 {
                self.notices.push(Notice::Progress(linked.peer.clone(), status.done, status.total));
            }
            linked.told = told;
        }
        for event in self.replica.take_events() {
            if let Event::Forked { from, .. } = &event {
                self.forked_from = Some(*from);
            }
            self.notices.push(Notice::Replica(author.to_owned(), event));
        }
    }

    fn ping(&mut self, now_ms: u64) {
        if now_ms < self.next_ping_ms {
            return;
        }
        self.next_ping_ms = now_ms + PING_MS;
        for linked in self.linked.values_mut().filter(|linked| linked.session.is_ready()) {
            linked.session.ping(now_ms);
        }
    }

    /// Lets out what the sessions have to say.
    pub(super) fn send(&mut self) {
        for (&link, linked) in &mut self.linked {
            for packet in linked.session.take_outgoing() {
                self.bytes_out += packet.len() as u64;
                if self.links.send(link, packet).is_err() {
                    // It is down, and its Down is on the way.
                    break;
                }
            }
        }
        for (link, code, _) in self.ending.extract_if(.., |(_, _, due_ms)| *due_ms <= self.now_ms) {
            self.links.close_link(link, code);
        }
    }

    pub(super) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    pub(super) fn own(&self) -> Origin {
        self.replica.own()
    }

    /// The last version that this node has published.
    pub(super) fn head(&mut self, database: &mut dyn Database) -> Result<u64, StoreError> {
        let own = self.replica.own();
        let states = Bound { replica: &mut self.replica, database }.states()?;
        Ok(states.iter().find(|state| state.origin == own).map_or(0, |state| state.head))
    }

    /// Who has this version of ours: the next hop, or all members.
    pub(super) fn reached(&self, version: u64, members: bool) -> Reached {
        let has = |linked: &&Linked| {
            let status = linked.session.status();
            status.ready
                && if members && linked.relay {
                    status.reach >= version
                } else {
                    status.acknowledged >= version
                }
        };
        let links = self.linked.len() as u32;
        let reached = self.linked.values().filter(has).count() as u32;
        // The relay is the next hop where there is one: it forwards also to those that are away.
        let relays = self.linked.values().any(|linked| linked.relay);
        let hop = self.linked.values().filter(|linked| linked.relay == relays).filter(has).count() as u32;
        let done = links > 0 && if members { reached == links } else { hop > 0 };
        Reached { links, reached, done }
    }

    /// By id.
    pub(super) fn peers(&self) -> BTreeMap<String, Peer> {
        let mut peers: BTreeMap<String, Peer> = self
            .gone
            .iter()
            .map(|(id, status)| (id.clone(), Peer { connected: false, status: status.clone() }))
            .collect();
        for linked in self.linked.values() {
            let status = linked.session.status();
            peers.insert(linked.peer.clone(), Peer { connected: status.ready, status });
        }
        peers
    }

    /// Rows sent, rows applied, conflicts.
    pub(super) fn totals(&self) -> (u64, u64, u64) {
        self.linked.values().map(|linked| linked.session.status()).fold(
            (self.sent, self.applied, self.conflicts),
            |sum, status| {
                (sum.0 + status.sent, sum.1 + status.applied.rows, sum.2 + status.applied.conflicts)
            },
        )
    }

    pub(super) fn waiting(&self) -> (u64, &[String], Option<Origin>) {
        let withheld: u64 = self.replica.withheld().iter().map(|(_, rows)| rows).sum();
        (self.waiting + withheld, &self.parked, self.forked_from)
    }

    /// What waits, of others here and of this node for being sent: table, for what, how many.
    pub(super) fn by_reason(&self) -> Vec<(String, Reason, u64)> {
        let mut all = self.by_reason.clone();
        for (table, rows) in self.replica.withheld() {
            match all.iter_mut().find(|(name, reason, _)| *name == table && *reason == Reason::Embedding) {
                Some((.., count)) => *count += rows,
                None => all.push((table, Reason::Embedding, rows)),
            }
        }
        all
    }

    /// The keys that some of it is sealed with, and that are not here.
    pub(super) fn missing_keys(&self) -> Vec<String> {
        if self.by_reason.iter().any(|(_, reason, _)| *reason == Reason::Key) {
            self.replica.missing_keys()
        } else {
            Vec::new()
        }
    }

    /// Links on which both sides have said who they are and how far.
    pub(super) fn ready(&self) -> u32 {
        self.linked.values().filter(|linked| linked.session.is_ready()).count() as u32
    }

    /// Says goodbye on all links.
    pub(super) fn leave(&mut self) {
        for linked in self.linked.values_mut() {
            linked.session.close(Code::Closed);
        }
        self.send();
    }
}

/// Changes with every statement that changes the schema, in this process or another.
fn schema_version(database: &mut dyn Database) -> Result<Option<Value>, DatabaseError> {
    let rows = database.query("PRAGMA schema_version", &[])?;
    Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()))
}

/// How many rows this connection has written; `None` where SQLite does not say.
fn changes(database: &mut dyn Database) -> Option<Value> {
    let rows = database.query("SELECT total_changes()", &[]).ok()?;
    rows.into_iter().next()?.into_iter().next()
}

/// How long a link stays up after its last words. What is on its way is lost when a direct one is closed, and who seals
/// otherwise is to hear of it.
const fn farewell_ms(error: &SessionError) -> u64 {
    match error {
        SessionError::Sealing(_) | SessionError::Peer(Code::Sealing) => FAREWELL_MS,
        _ => 0,
    }
}

/// What the program is told of a link between sides that do not seal alike.
fn sealing(peer: &str, error: &SessionError) -> Option<Notice> {
    let why = match error {
        SessionError::Sealing(why) => *why,
        SessionError::Peer(Code::Sealing) => {
            "it has refused: one side has a keyring and the other has not, or both have keys of different lines"
        }
        _ => return None,
    };
    Some(Notice::Sealing(peer.to_owned(), why.to_owned()))
}

/// What the transport of the peer is told.
fn code_of(error: &SessionError) -> LinkCode {
    match error {
        SessionError::Database(_)
        | SessionError::Sealing(_)
        | SessionError::Peer(Code::Database | Code::Sealing) => LinkCode::NotFound,
        SessionError::Wire(_) | SessionError::Unexpected(_) => LinkCode::Protocol,
        SessionError::Closed | SessionError::Peer(_) => LinkCode::Closed,
        SessionError::Flooded | SessionError::TooMany => LinkCode::Overloaded,
        SessionError::Store(_) => LinkCode::Store,
    }
}
