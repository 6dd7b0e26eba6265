//! The thread of the relay: takes what all links bring, as much at once as has come meanwhile (group commit), makes it durable
//! and only then sends what follows from it. It starts with the first link. Tasks have nothing to do with it: when its disk
//! hangs or its store fails, they go on.

use super::super::Shared;
use super::engine::{LinkFailure, RelayEngine, RelayOpener};
use crate::protocol::Generation;
use crate::protocol::frame::encode_message_head;
use crate::protocol::messages::{Code, FrameKind, SyncClosed, SyncMessage, SyncOpened};
use crate::swarm::sync::outbox::{Full, Outbox, Total};
use bytes::{Bytes, BytesMut};
use quinn::{Connection, VarInt};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SendError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Between two ticks, and two looks at who may still replicate what.
const TICK: Duration = Duration::from_millis(250);

/// Pause before a store that failed is opened again.
const REOPEN: Duration = Duration::from_secs(1);

/// Messages that wait for the thread, over all connections, in bytes.
const ALL_WAITING: usize = 64 << 20;

/// How long a turn is put off while too much waits to be sent.
const RESPITE: Duration = Duration::from_secs(1);

/// What is taken in one turn.
const TURN: usize = 1024;

/// The way to the thread.
pub(in crate::swarm::coordinator) struct Relay {
    opener: Option<RelayOpener>,
    thread: Mutex<Thread>,
    pub(super) waiting: Arc<Semaphore>,
    pub(super) total: Total,
    failing: AtomicBool,
    last_link: AtomicU64,
}

enum Thread {
    /// No link was ever opened.
    Waiting,
    Running(Sender<Command>, thread::JoinHandle<()>),
    Closed,
}

/// A link, as the thread has to know it.
pub(super) struct Member {
    /// Its number on its connection.
    pub(super) number: u32,
    pub(super) generation: Generation,
    pub(super) node: Arc<str>,
    pub(super) database: Arc<str>,
    pub(super) outbox: Outbox,
    pub(super) connection: Connection,
}

enum Command {
    Join(u64, Member),
    Message {
        link: u64,
        bytes: Vec<u8>,
        at: Instant,
        /// Given back when it was taken.
        _places: [OwnedSemaphorePermit; 2],
    },
    Leave(u64),
    Close,
}

impl Relay {
    pub(in crate::swarm::coordinator) fn new(opener: Option<RelayOpener>) -> Self {
        Self {
            opener,
            thread: Mutex::new(Thread::Waiting),
            waiting: Arc::new(Semaphore::new(ALL_WAITING)),
            total: Total::default(),
            failing: AtomicBool::new(false),
            last_link: AtomicU64::new(0),
        }
    }

    /// Whether messages are relayed here at all.
    pub(in crate::swarm::coordinator) fn is_there(&self) -> bool {
        self.opener.is_some()
    }

    /// Its store does not take anything at present.
    pub(in crate::swarm::coordinator) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// A link; its node is told what becomes of it.
    pub(super) fn join(&self, shared: &Arc<Shared>, member: Member) -> u64 {
        let link = self.last_link.fetch_add(1, Ordering::Relaxed) + 1;
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*thread, Thread::Waiting) {
            let (sender, receiver) = channel();
            let runner = Runner::new(shared);
            let started = thread::Builder::new().name("midstreamer-relay".to_owned());
            match started.spawn(move || runner.run(&receiver)) {
                Ok(joined) => *thread = Thread::Running(sender, joined),
                Err(error) => tracing::error!(%error, "no thread for the relay"),
            }
        }
        let command = Command::Join(link, member);
        let unsent = match &*thread {
            Thread::Running(sender, _) => sender.send(command).err().map(|SendError(command)| command),
            Thread::Waiting | Thread::Closed => Some(command),
        };
        if let Some(Command::Join(_, member)) = unsent {
            member.closed(Code::Closed, "the relay does not run");
        }
        link
    }

    /// What a link brings; the places are those of its bytes among all that waits.
    pub(super) fn message(&self, link: u64, bytes: Vec<u8>, places: [OwnedSemaphorePermit; 2]) {
        self.send(Command::Message { link, bytes, at: Instant::now(), _places: places });
    }

    pub(super) fn leave(&self, link: u64) {
        self.send(Command::Leave(link));
    }

    fn send(&self, command: Command) {
        if let Thread::Running(sender, _) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            // A thread that has ended was closed, and everything with it.
            drop(sender.send(command));
        }
    }

    /// Ends the thread, with its store closed. This waits.
    pub(in crate::swarm::coordinator) fn close(&self) {
        let thread = std::mem::replace(
            &mut *self.thread.lock().unwrap_or_else(PoisonError::into_inner),
            Thread::Closed,
        );
        if let Thread::Running(sender, joined) = thread {
            drop(sender.send(Command::Close));
            // A panic there was reported where it happened.
            drop(joined.join());
        }
    }
}

impl Member {
    fn send(&self, kind: FrameKind, header: &impl prost::Message, payload: Bytes) {
        let mut head = BytesMut::new();
        let pushed = match encode_message_head(kind, 0, header, payload.len(), &mut head) {
            Ok(()) => self.outbox.push(head, payload),
            // Reasons are cut to size where they come from.
            Err(error) => return tracing::error!(node = %self.node, %kind, %error, "a frame was not sent"),
        };
        if let Err(Full) = pushed {
            self.cut_off();
        }
    }

    /// The node does not read.
    fn cut_off(&self) {
        if self.connection.close_reason().is_none() {
            tracing::warn!(node = %self.node, "a node does not read its sync lane");
            let code = VarInt::from_u32(Code::Overloaded as u32);
            self.connection.close(code, b"it does not read what it is sent");
        }
    }

    /// Tells the node that its link is closed.
    pub(super) fn closed(&self, code: Code, message: &str) {
        let header = SyncClosed { link: self.number, code: code.into(), message: message.to_owned() };
        self.send(FrameKind::SyncClosed, &header, Bytes::new());
    }
}

/// What the thread has.
struct Runner {
    shared: Weak<Shared>,
    engine: Option<Box<dyn RelayEngine>>,
    /// When it was last tried to open one.
    opened_at: Option<Instant>,
    links: HashMap<u64, Member>,
}

impl Runner {
    fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::downgrade(shared), engine: None, opened_at: None, links: HashMap::new() }
    }

    fn run(mut self, receiver: &Receiver<Command>) {
        let mut ticked = Instant::now();
        loop {
            // While it has something to do, what comes is taken in between.
            let wait = match self.engine.as_ref().is_some_and(|engine| engine.is_busy()) {
                true => Duration::ZERO,
                false => (ticked + TICK).saturating_duration_since(Instant::now()),
            };
            let first = match receiver.recv_timeout(wait) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let Some(shared) = self.shared.upgrade() else { return };
            let _inside = shared.span.clone().entered();
            let mut arrivals = Vec::new();
            for command in first.into_iter().chain(receiver.try_iter().take(TURN)) {
                match command {
                    Command::Join(link, member) => self.join(&shared, link, member),
                    Command::Message { link, bytes, at, _places } => {
                        self.message(&shared, link, &bytes);
                        arrivals.push(at);
                    }
                    Command::Leave(link) => drop(self.leave(&shared, link)),
                    // What was not committed was not acknowledged to anybody.
                    Command::Close => return,
                }
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                self.tick(&shared);
            }
            self.settle(&shared);
            let waited = arrivals.iter().map(|at: &Instant| at.elapsed().as_secs_f64() * 1e3);
            waited.for_each(|ms| shared.metrics.sync.committed(ms));
        }
    }

    /// Something of the engine's. A panic in it is its failure, and not the end of the thread.
    fn engine<T>(&mut self, shared: &Shared, act: impl FnOnce(&mut dyn RelayEngine) -> T) -> Option<T> {
        let engine = self.engine.as_mut()?;
        match catch_unwind(AssertUnwindSafe(|| act(engine.as_mut()))) {
            Ok(out) => Some(out),
            Err(_) => {
                self.fail(shared, Code::Internal, "the relay failed");
                None
            }
        }
    }

    fn open(&mut self, shared: &Shared) {
        if self.engine.is_some() || self.opened_at.is_some_and(|at| at.elapsed() < REOPEN) {
            return;
        }
        self.opened_at = Some(Instant::now());
        let Some(opener) = &shared.relay.opener else { return };
        match opener(shared.config.data_dir.as_deref()) {
            Ok(engine) => self.engine = Some(engine),
            Err(error) => {
                shared.relay.failing.store(true, Ordering::Relaxed);
                tracing::error!(error, "the store of the sync relay cannot be opened");
            }
        }
    }

    fn join(&mut self, shared: &Shared, link: u64, member: Member) {
        self.open(shared);
        // One that comes back is not served twice.
        let same = |other: &Member| other.node == member.node && other.database == member.database;
        let before: Vec<u64> =
            self.links.iter().filter(|(_, other)| same(other)).map(|(&link, _)| link).collect();
        for link in before {
            self.close(shared, link, Code::Closed, "the database was opened again");
        }
        if self.engine.is_none() {
            return member.closed(Code::Store, "the relay cannot keep anything at present");
        }
        member.send(FrameKind::SyncOpened, &SyncOpened { link: member.number }, Bytes::new());
        let (node, database) = (member.node.clone(), member.database.clone());
        shared.metrics.sync.link(&database, 1);
        self.links.insert(link, member);
        let now = shared.clock.now();
        self.engine(shared, |engine| engine.joined(link, &node, &database, now));
    }

    fn message(&mut self, shared: &Shared, link: u64, bytes: &[u8]) {
        // One that came after its link was closed.
        if !self.links.contains_key(&link) {
            return;
        }
        let now = shared.clock.now();
        if let Some(Err(failure)) = self.engine(shared, |engine| engine.message(link, bytes, now)) {
            let LinkFailure { code, message } = failure;
            self.close(shared, link, code, &message);
        }
    }

    fn leave(&mut self, shared: &Shared, link: u64) -> Option<Member> {
        let member = self.links.remove(&link)?;
        shared.metrics.sync.link(&member.database, -1);
        self.engine(shared, |engine| engine.left(link));
        Some(member)
    }

    fn close(&mut self, shared: &Shared, link: u64, code: Code, message: &str) {
        if let Some(member) = self.leave(shared, link) {
            tracing::info!(node = %member.node, database = %member.database, ?code, message, "a sync link was closed");
            member.closed(code, message);
        }
    }

    fn tick(&mut self, shared: &Shared) {
        let over = self.links.iter().filter_map(|(&link, member)| {
            let refused = shared.refuse_database(member.generation, &member.database)?;
            Some((link, refused))
        });
        for (link, (code, message)) in over.collect::<Vec<_>>() {
            self.close(shared, link, code, &message);
        }
        for member in self.links.values().filter(|member| member.outbox.is_stuck()) {
            member.cut_off();
        }
        self.open(shared);
        let now = shared.clock.now();
        self.engine(shared, |engine| engine.tick(now));
    }

    /// Makes durable what has come, and sends what follows from it. Not while too much waits to be sent already: what is not
    /// acknowledged is not followed by more.
    fn settle(&mut self, shared: &Shared) {
        let begun = Instant::now();
        while shared.relay.total.is_much() && begun.elapsed() < RESPITE {
            thread::sleep(Duration::from_millis(5));
        }
        let settled = self.engine(shared, |engine| {
            engine
                .commit()
                .map(|()| (engine.take_outgoing(), engine.take_failed(), engine.take_latencies_ms()))
        });
        match settled {
            Some(Ok((outgoing, failed, latencies_ms))) => {
                if shared.relay.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("the store of the sync relay works again");
                }
                for (link, bytes) in outgoing {
                    if let Some(member) = self.links.get(&link) {
                        shared.metrics.sync.sent(bytes.len());
                        let header = SyncMessage { link: member.number };
                        member.send(FrameKind::SyncMessage, &header, bytes.into());
                    }
                }
                for (link, LinkFailure { code, message }) in failed {
                    self.close(shared, link, code, &message);
                }
                latencies_ms.iter().for_each(|&ms| shared.metrics.sync.merged(ms));
            }
            Some(Err(error)) => {
                tracing::error!(error, "the store of the sync relay refuses to commit");
                self.fail(shared, Code::Store, "the relay could not keep what it was sent");
            }
            None => {}
        }
    }

    /// The engine is of no use any more: what it had taken in may be lost, and the nodes send it again to the next.
    fn fail(&mut self, shared: &Shared, code: Code, message: &str) {
        shared.relay.failing.store(true, Ordering::Relaxed);
        self.engine = None;
        self.opened_at = Some(Instant::now());
        for (_, member) in self.links.drain() {
            shared.metrics.sync.link(&member.database, -1);
            member.closed(code, message);
        }
    }
}
