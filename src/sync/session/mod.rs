//! One link between two sides of one database, as a state machine (docs/sync-protocol.md). It knows no socket and no
//! clock: packets go in ([`Session::receive`]) and out ([`Session::take_outgoing`]), and all work on the store happens in
//! [`Session::step`], within a transaction of the caller's. What a step wants to say leaves after [`Session::committed`], so
//! what a peer has heard is never undone; after [`Session::rolled_back`] it is as if the step had not been.
//!
//! | module | what it is |
//! | --- | --- |
//! | `config` | settings, errors, numbers for the program |
//! | `state` | what goes back when a transaction does |
//! | `listen` | what is done with what a peer says |
//! | `merge` | deltas and repairs that came |
//! | `tell` | greetings, deltas, acknowledgements |
//! | `repair` | comparing digests, and what follows |

mod config;
mod listen;
mod merge;
mod repair;
mod state;
mod tell;

pub use config::{Budget, Config, Progress, Role, SessionError, Status};

use self::repair::Repair;
use self::state::{Mine, State};
use super::seal::Sealing;
use super::store::Store;
use super::wire::{Ack, Assembler, Code, Message, OVERHEAD_BYTES, PACKET_BYTES, Resting, pack};
use std::collections::VecDeque;

/// Whatever its own settings are, a peer may have sent so many bytes that were not taken yet.
const MOST_UNTAKEN: u64 = 8 << 20;
/// Messages that wait to be dealt with, those that the window does not hold back: unpacked, as they wait in memory.
const MOST_CONTROL: usize = 8 << 20;
/// Deltas and repairs that wait, however short they are.
const MOST_MESSAGES: usize = 1 << 16;
/// Heads that wait among deltas, in memory: packed, they may be a sixtieth of it, and no window holds them back.
const MOST_HEADS: usize = 8 << 20;
/// Of those that are short, in one step.
const CONTROL_IN_STEP: usize = 256;

/// A message that came and is short, and its bytes, unpacked.
#[derive(Debug)]
struct Control {
    message: Message,
    bytes: usize,
}

/// A delta, a repair or a head among them.
#[derive(Debug)]
struct Bulk {
    message: Resting,
    /// Of its last packet.
    bytes: usize,
    /// What heads take in memory.
    heads: usize,
}

/// A link.
#[derive(Debug)]
pub struct Session {
    config: Config,
    role: Role,
    assembler: Assembler,
    /// What came and is short.
    control: VecDeque<Control>,
    control_bytes: usize,
    /// Deltas and repairs that came.
    bulk: VecDeque<Bulk>,
    heads: usize,
    /// Bytes of bulk packets that came, and those of them whose message was not whole when they were taken.
    received: u64,
    parts_taken: u64,
    /// What leaves next.
    ready: Vec<Vec<u8>>,
    /// Packets of bulk that wait for the window.
    waiting: VecDeque<Vec<u8>>,
    waiting_bytes: usize,
    /// What was said since the last commit: whether it is bulk, and its packets.
    staged: Vec<(bool, Vec<Vec<u8>>)>,
    staged_bytes: usize,
    /// Bytes of bulk that have left, and what the peer has taken of them.
    sent: u64,
    taken: u64,
    state: State,
    /// As of the last commit, while a transaction is open.
    saved: Option<Box<State>>,
    changed: bool,
    failed: Option<SessionError>,
    next_digest_ms: u64,
    offset_ms: Option<i64>,
}

impl Session {
    /// A link that has just come up.
    #[must_use]
    pub fn new(config: Config, role: Role, now_ms: u64) -> Self {
        let next_digest_ms = now_ms.saturating_add(config.digest_ms);
        Self {
            assembler: Assembler::new(config.component_bytes + OVERHEAD_BYTES),
            config,
            role,
            control: VecDeque::new(),
            control_bytes: 0,
            bulk: VecDeque::new(),
            heads: 0,
            received: 0,
            parts_taken: 0,
            ready: Vec::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            staged: Vec::new(),
            staged_bytes: 0,
            sent: 0,
            taken: 0,
            state: State::default(),
            saved: None,
            changed: true,
            failed: None,
            next_digest_ms,
            offset_ms: None,
        }
    }

    /// Takes a packet, and keeps what it says until the next step.
    ///
    /// # Errors
    ///
    /// Why the link is to be closed: what is ready to leave then still says so to the peer.
    pub fn receive(&mut self, packet: &[u8], now_ms: u64) -> Result<(), SessionError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.take(packet, now_ms).map_err(|error| self.fail(error))
    }

    fn take(&mut self, packet: &[u8], now_ms: u64) -> Result<(), SessionError> {
        let received = self.assembler.receive(packet)?;
        let bytes = packet.len();
        let Some(received) = received else {
            self.received += bytes as u64;
            self.parts_taken += bytes as u64;
            // Else a message that is longer than the window would never be whole.
            self.acknowledge_now();
            return Ok(());
        };
        if received.message.is_bulk() {
            self.received += bytes as u64;
            if self.received - self.parts_taken - self.state.finished > MOST_UNTAKEN + PACKET_BYTES as u64 {
                return Err(SessionError::Flooded);
            }
            if self.bulk.len() > MOST_MESSAGES {
                return Err(SessionError::Flooded);
            }
            self.bulk.push_back(Bulk { message: received.rest(), bytes, heads: 0 });
            return Ok(());
        }
        let length = received.length;
        match received.message {
            Message::Ping { now_ms: theirs } => self.say_now(&Message::Pong { echo_ms: theirs, now_ms }),
            Message::Pong { echo_ms, now_ms: theirs } => self.measure(echo_ms, theirs, now_ms),
            Message::Bye(code) => return Err(self.dismissed(code)),
            // A head that goes back holds from here on, not for the deltas before.
            Message::Have(have) if have.exact && !self.bulk.is_empty() => {
                if self.bulk.len() > MOST_MESSAGES {
                    return Err(SessionError::Flooded);
                }
                let heads = have.states.iter().map(|state| 64 + 16 * state.lineage.len()).sum();
                self.heads += heads;
                if self.heads > MOST_HEADS {
                    return Err(SessionError::Flooded);
                }
                self.bulk.push_back(Bulk { message: Resting::Open(Message::Have(have)), bytes: 0, heads });
            }
            message => {
                match &message {
                    Message::Hello(hello) => self.say_now(&Message::Pong { echo_ms: hello.now_ms, now_ms }),
                    Message::Ack(ack) if ack.taken > self.sent => {
                        return Err(SessionError::Unexpected("it has taken more than it was sent"));
                    }
                    Message::Ack(ack) => {
                        self.taken = self.taken.max(ack.taken);
                        self.pump();
                        if ack.heads.is_empty() {
                            return Ok(());
                        }
                    }
                    _ => {}
                }
                self.control_bytes += length;
                if self.control_bytes > MOST_CONTROL {
                    return Err(SessionError::Flooded);
                }
                self.control.push_back(Control { message, bytes: length });
            }
        }
        Ok(())
    }

    /// Does some of what there is to do, in the transaction that the caller has opened on the store.
    ///
    /// # Errors
    ///
    /// The store's: the caller rolls back and tries again later. Others: the link is to be closed, and nothing was written.
    pub fn step(
        &mut self,
        store: &mut dyn Store,
        budget: Budget,
        now_ms: u64,
    ) -> Result<Progress, SessionError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        if self.saved.is_none() && self.role == Role::Node {
            self.saved = Some(Box::new(self.state.clone()));
        }
        self.work(store, budget, now_ms).map_err(|error| match error {
            SessionError::Store(_) => error,
            error => self.fail(error),
        })
    }

    fn work(&mut self, store: &mut dyn Store, budget: Budget, now_ms: u64) -> Result<Progress, SessionError> {
        let mut progress = Progress::default();
        let mut mine = Mine::read(store)?;
        // A fork that was found on another link is told on this one.
        let (told, with) = (self.state.greeted_as, self.state.greeted_with);
        if !self.state.greeted || told != mine.own || with != mine.sealing {
            self.greet(&mine, now_ms);
        }
        for _ in 0..CONTROL_IN_STEP {
            let Some(queued) = self.control.get(self.state.heard) else { break };
            self.state.heard += 1;
            let message = queued.message.clone();
            self.listen(store, &mut mine, message, now_ms, &mut progress)?;
            if !self.state.greeted {
                // Under another origin than a moment before.
                self.greet(&mine, now_ms);
            }
        }
        if self.state.complete {
            if self.merge(store, &mut mine, budget, now_ms, &mut progress)? {
                mine = Mine::read(store)?;
            }
            if !self.state.greeted {
                self.greet(&mine, now_ms);
            }
            if self.adopt_floors(store, &mine)? {
                mine = Mine::read(store)?;
            }
            self.continue_repair(store, &mine, now_ms)?;
            self.tell(store, &mine, budget, &mut progress)?;
        }
        self.changed = false;
        self.state.count(&mine);
        progress.more = self.wants_step(now_ms);
        Ok(progress)
    }

    /// What the steps since the last commit have done is durable: what they said may leave.
    pub fn committed(&mut self) {
        self.saved = None;
        for queued in self.control.drain(..self.state.heard) {
            self.control_bytes -= queued.bytes;
        }
        for queued in self.bulk.drain(..self.state.merged) {
            self.heads -= queued.heads;
        }
        (self.state.heard, self.state.merged) = (0, 0);
        for (bulk, packets) in std::mem::take(&mut self.staged) {
            if bulk {
                self.waiting_bytes += packets.iter().map(Vec::len).sum::<usize>();
                self.waiting.extend(packets);
            } else {
                self.ready.extend(packets);
            }
        }
        self.staged_bytes = 0;
        self.pump();
    }

    /// What the steps since the last commit have done was undone.
    pub fn rolled_back(&mut self) {
        if let Some(saved) = self.saved.take() {
            self.state = *saved;
        }
        self.staged.clear();
        self.staged_bytes = 0;
        self.changed = true;
    }

    /// What is to be sent now, in this order.
    pub fn take_outgoing(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.ready)
    }

    /// The store has more than at the last step: this side has written, or another link has brought something.
    pub const fn changed(&mut self) {
        self.changed = true;
    }

    /// Whether a step would do anything.
    #[must_use]
    pub fn wants_step(&self, now_ms: u64) -> bool {
        if self.failed.is_some() {
            return false;
        }
        let heard = self.control.len() > self.state.heard;
        let merges = self.state.complete && self.bulk.len() > self.state.merged;
        let tells = self.state.complete && self.state.backlog && self.has_room();
        let repairs = match self.state.repair {
            Repair::Wanted => self.state.complete && self.state.pulled,
            Repair::Idle => self.compares() && now_ms >= self.next_digest_ms,
            _ => false,
        };
        !self.state.greeted || self.changed || heard || merges || tells || repairs
    }

    /// When a step is wanted though nothing has happened.
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        (self.failed.is_none() && self.compares() && matches!(self.state.repair, Repair::Idle))
            .then_some(self.next_digest_ms)
    }

    /// Tells a node how far all that are connected are with what it published.
    pub fn reach(&mut self, origin: super::identity::Origin, version: u64) {
        self.say_now(&Message::Reach { origin, version });
    }

    /// Tells the peer that the link ends, and why.
    pub fn close(&mut self, code: Code) {
        self.say_now(&Message::Bye(code));
        self.failed.get_or_insert(SessionError::Closed);
    }

    /// Asks the peer for its time again.
    pub fn ping(&mut self, now_ms: u64) {
        self.say_now(&Message::Ping { now_ms });
    }

    /// Numbers for the program.
    #[must_use]
    pub fn status(&self) -> Status {
        Status { offset_ms: self.offset_ms, ..self.state.status.clone() }
    }

    /// The version up to which the peer has committed what this origin published.
    #[must_use]
    pub fn peer_head(&self, origin: super::identity::Origin) -> u64 {
        self.state.theirs.get(&origin).map_or(0, |theirs| theirs.head)
    }

    /// The origin under which the peer writes, once it has said so and is not a relay.
    #[must_use]
    pub const fn peer_origin(&self) -> Option<super::identity::Origin> {
        self.state.peer_own
    }

    /// Whether both sides have said how far they are.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.state.complete
    }

    /// Nodes compare with all, relays with nobody of their own accord: it is one for many.
    fn compares(&self) -> bool {
        self.state.complete && self.role == Role::Node
    }

    /// The peer's clock less ours, from the middle of a question and its answer.
    fn measure(&mut self, asked_ms: u64, theirs_ms: u64, now_ms: u64) {
        // An answer to nothing that was asked here, or a clock that was set meanwhile.
        let Some(passed) = now_ms.checked_sub(asked_ms) else { return };
        if passed > self.config.patience_ms {
            return;
        }
        let middle = i128::from(asked_ms) + i128::from(passed / 2);
        self.offset_ms = i64::try_from(i128::from(theirs_ms) - middle).ok().or(self.offset_ms);
    }

    /// The peer has ended the link. How it seals is in its Hello, which may not have been looked at yet.
    fn dismissed(&self, code: Code) -> SessionError {
        if code != Code::Sealing {
            return SessionError::Peer(code);
        }
        let hello = self.control.iter().rev().find_map(|queued| match &queued.message {
            Message::Hello(hello) => Some(hello.sealing),
            _ => None,
        });
        let mine = self.state.greeted_with.unwrap_or(Sealing::Plain);
        SessionError::Sealing(mine.against(hello.unwrap_or(self.state.peer_sealing)))
    }

    fn fail(&mut self, error: SessionError) -> SessionError {
        if !matches!(error, SessionError::Peer(_)) {
            self.say_now(&Message::Bye(error.code()));
        }
        self.failed = Some(error.clone());
        error
    }

    /// Says what follows from nothing in the store.
    fn say_now(&mut self, message: &Message) {
        self.ready.extend(pack(&message.encode()));
    }

    /// Says it after the commit.
    fn say(&mut self, message: &Message) -> usize {
        let packets = pack(&message.encode());
        let bytes = packets.iter().map(Vec::len).sum();
        let bulk = message.is_bulk();
        if bulk {
            self.staged_bytes += bytes;
        }
        self.staged.push((bulk, packets));
        bytes
    }

    fn acknowledge_now(&mut self) {
        let saved = self.saved.as_ref().map_or(self.state.finished, |saved| saved.finished);
        self.say_now(&Message::Ack(Ack { taken: self.parts_taken + saved, heads: Vec::new() }));
    }

    /// Lets bulk go as far as the window is open. One packet may stand out of it.
    fn pump(&mut self) {
        while self.sent - self.taken < self.config.window_bytes as u64 {
            let Some(packet) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= packet.len();
            self.sent += packet.len() as u64;
            self.ready.push(packet);
        }
    }

    /// Whether more bulk may be read from the store.
    fn has_room(&self) -> bool {
        let held = self.sent - self.taken + (self.waiting_bytes + self.staged_bytes) as u64;
        held < self.config.window_bytes as u64
    }
}
