//! The sync lane of an agent's connection: opens a link for each database, again after a pause where it was closed, and says
//! what becomes of it.

use super::databases::Databases;
use super::links::{Inner, Link, Route};
use super::outbox::{Outbox, Total};
use super::{LONGEST_MESSAGE, is_final, peer_id};
use crate::protocol::frame::{Frame, SYNC_FRAME_BYTES, encode_message_head};
use crate::protocol::messages::{
    Code, FrameKind, Lane as LaneName, LaneOpen, Sender, SyncClosed, SyncMessage, SyncOpen, SyncOpened,
};
use crate::protocol::session::{backoff_ms, check_place};
use crate::swarm::agent::dial::{of_code, of_connection};
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::lanes::{Incoming, LaneEnd, Traffic};
use bytes::{Bytes, BytesMut};
use quinn::{Connection, VarInt};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};

/// A link that was up for so long was one: the next is not opened later for what was before it.
const STEADY: Duration = Duration::from_secs(1);

/// How long a database may leave its messages untaken before its link is closed: the others of the agent wait meanwhile.
const PATIENCE: Duration = Duration::from_secs(30);

/// The connection of an agent that was welcomed, at `address`.
pub(in crate::swarm) struct Session {
    pub(in crate::swarm) connection: Connection,
    pub(in crate::swarm) address: String,
    pub(in crate::swarm) traffic: Arc<Traffic>,
    /// The coordinator has the feature.
    pub(in crate::swarm) carries: bool,
}

/// Serves the databases of an agent on one of its connections, to the end of that.
pub(in crate::swarm) async fn serve(databases: Arc<Databases>, session: Session) {
    let Session { connection, address, traffic, carries } = session;
    while databases.wanted().is_empty() {
        tokio::select! {
            () = databases.changed.notified() => {}
            _ = connection.closed() => return,
        }
    }
    if !carries {
        return not_carried(&databases, &connection).await;
    }
    let Ok((send, receive)) = connection.open_bi().await else { return };
    let outbox = Outbox::new(Total::default());
    let (writer, writing) = (outbox.clone(), connection.clone());
    let written = traffic.clone();
    tokio::spawn(async move {
        if let Err(error) = writer.write(writing.clone(), send, written).await {
            // Without one of its lanes a connection is of no use.
            tracing::debug!(%error, "the sync lane has ended");
            writing.close(VarInt::from_u32(Code::Protocol as u32), b"a lane ended");
        }
    });
    let mut lane = Lane {
        peer: peer_id(&connection),
        way: Arc::new(Way { outbox, closing: Mutex::default(), databases: databases.clone() }),
        last: 0,
        databases: Vec::new(),
    };
    lane.way.send(FrameKind::LaneOpen, &LaneOpen { lane: LaneName::Sync.into() });
    let mut incoming = Incoming::new(receive, SYNC_FRAME_BYTES, traffic);
    if let Err(broken) = lane.run(&databases, &connection, &mut incoming).await {
        connection.close(VarInt::from_u32(Code::Protocol as u32), broken.as_bytes());
        return lane.end(&SwarmError::new(SwarmCode::Protocol, broken));
    }
    if connection.close_reason().is_none() {
        connection.close(VarInt::from_u32(Code::Protocol as u32), b"a lane ended");
    }
    lane.end(&of_connection(&address, &connection.closed().await));
}

/// With a coordinator that has never heard of the lane: says so to each database.
async fn not_carried(databases: &Databases, connection: &Connection) {
    let mut told: Vec<Arc<Inner>> = Vec::new();
    loop {
        for links in databases.wanted() {
            if !told.iter().any(|told| Arc::ptr_eq(told, &links)) {
                let message = "the coordinator carries no messages of AgentDB sync";
                links.refused(SwarmError::new(SwarmCode::Connection, message));
                told.push(links);
            }
        }
        tokio::select! {
            () = databases.changed.notified() => {}
            _ = connection.closed() => return,
        }
    }
}

/// The way to the coordinator, for all links of the lane.
struct Way {
    outbox: Outbox,
    /// Links that this side wants closed.
    closing: Mutex<Vec<(u32, Code)>>,
    databases: Arc<Databases>,
}

impl Way {
    /// What opens and closes links: so few that the queue need not bound them.
    fn send(&self, kind: FrameKind, header: &impl prost::Message) {
        let mut frame = BytesMut::new();
        match encode_message_head(kind, 0, header, 0, &mut frame) {
            Ok(()) => self.outbox.push_always(frame),
            // Names and reasons of this side are short.
            Err(error) => tracing::error!(%kind, %error, "a frame was not sent"),
        }
    }

    fn close(&self, link: u32, code: Code) {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner).push((link, code));
        self.databases.changed.notify_one();
    }
}

/// The way of one link.
struct RelayRoute {
    way: Arc<Way>,
    number: u32,
}

impl Route for RelayRoute {
    fn send(&self, message: Bytes) -> Result<(), SwarmError> {
        let mut head = BytesMut::new();
        encode_message_head(
            FrameKind::SyncMessage,
            0,
            &SyncMessage { link: self.number },
            message.len(),
            &mut head,
        )
        .map_err(|error| SwarmError::new(SwarmCode::Internal, error.to_string()))?;
        self.way.outbox.push(head, message).map_err(|full| {
            self.way.close(self.number, Code::Overloaded);
            SwarmError::new(SwarmCode::Overloaded, full.to_string())
        })
    }

    fn close(&self, code: Code) {
        self.way.close(self.number, code);
    }
}

/// The lane of one connection.
struct Lane {
    peer: String,
    way: Arc<Way>,
    /// The number of the link that was opened last.
    last: u32,
    databases: Vec<Database>,
}

/// A database on this lane.
struct Database {
    links: Arc<Inner>,
    phase: Phase,
    /// Pauses since a link was last up for a while.
    attempt: u32,
    since: Instant,
}

enum Phase {
    /// To be opened at this time.
    Closed(Instant),
    /// Asked for under this number.
    Opening(u32),
    Open(u32, Link),
    /// It will not be opened any more.
    Refused,
}

impl Phase {
    fn number(&self) -> Option<u32> {
        match self {
            Self::Opening(number) | Self::Open(number, _) => Some(*number),
            Self::Closed(_) | Self::Refused => None,
        }
    }
}

impl Lane {
    /// Returns when the stream or the connection has ended, or with what is wrong with what came.
    async fn run(
        &mut self,
        databases: &Arc<Databases>,
        connection: &Connection,
        incoming: &mut Incoming,
    ) -> Result<(), String> {
        let mut frames = Vec::new();
        loop {
            self.adjust(databases);
            let due = self.databases.iter().filter_map(|database| match database.phase {
                Phase::Closed(at) => Some(at),
                _ => None,
            });
            let due = due.min();
            tokio::select! {
                read = incoming.batch(&mut frames) => match read {
                    Ok(()) => {}
                    Err(LaneEnd::Closed) => return Ok(()),
                    Err(LaneEnd::Malformed(error)) => return Err(error.to_string()),
                },
                () = databases.changed.notified() => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            for frame in frames.drain(..) {
                check_place(frame.kind, LaneName::Sync, false, Sender::Coordinator)
                    .map_err(|error| error.to_string())?;
                self.frame(databases, connection, &frame).await?;
            }
        }
    }

    /// Opens what is due, and closes what is not wanted any more.
    fn adjust(&mut self, databases: &Arc<Databases>) {
        let (wanted, now) = (databases.wanted(), Instant::now());
        let way = self.way.clone();
        self.databases.retain(|database| {
            let keep = wanted.iter().any(|links| Arc::ptr_eq(links, &database.links));
            if let Some(number) = database.phase.number().filter(|_| !keep) {
                way.closed(number, Code::Closed);
            }
            keep
        });
        for links in wanted {
            if !self.databases.iter().any(|database| Arc::ptr_eq(&database.links, &links)) {
                self.databases.push(Database { links, phase: Phase::Closed(now), attempt: 0, since: now });
            }
        }
        let closing = std::mem::take(&mut *way.closing.lock().unwrap_or_else(PoisonError::into_inner));
        for (number, code) in closing {
            if let Some(database) = self.find(number) {
                way.closed(number, code);
                database.close(databases, None, is_final(of_code(code, String::new()).code));
            }
        }
        for database in &mut self.databases {
            if matches!(database.phase, Phase::Closed(at) if at <= now) {
                self.last += 1;
                database.phase = Phase::Opening(self.last);
                let open = SyncOpen { link: self.last, database: database.links.database.to_string() };
                way.send(FrameKind::SyncOpen, &open);
            }
        }
    }

    fn find(&mut self, number: u32) -> Option<&mut Database> {
        self.databases.iter_mut().find(|database| database.phase.number() == Some(number))
    }

    /// What the coordinator says.
    async fn frame(
        &mut self,
        databases: &Arc<Databases>,
        connection: &Connection,
        frame: &Frame,
    ) -> Result<(), String> {
        let (number, last) = (link_of(frame)?, self.last);
        if number == 0 || number > last {
            return Err(format!("{} for link {number}, and {last} were opened", frame.kind));
        }
        let (way, peer) = (self.way.clone(), self.peer.clone());
        // What is still on its way for a link that this side has closed is passed over.
        let Some(database) = self.find(number) else { return Ok(()) };
        match (frame.kind, &database.phase) {
            (FrameKind::SyncOpened, Phase::Opening(_)) => {
                let route = RelayRoute { way, number };
                // None when the program has just closed it: the next turn says so.
                if let Some(link) = database.links.up(&peer, true, Arc::new(route)) {
                    database.phase = Phase::Open(number, link);
                    database.since = Instant::now();
                }
            }
            (FrameKind::SyncClosed, _) => {
                let closed: SyncClosed = frame.message().map_err(|error| error.to_string())?;
                let reason = of_code(closed.code(), closed.message);
                tracing::debug!(database = %database.links.database, %reason, "a link was closed");
                let last = is_final(reason.code);
                database.close(databases, Some(reason), last);
            }
            (FrameKind::SyncMessage, Phase::Open(_, link)) => {
                let bytes = frame.payload.len();
                if bytes == 0 || bytes > LONGEST_MESSAGE {
                    return Err(format!("a message of {bytes} bytes, not 1 to {LONGEST_MESSAGE}"));
                }
                tokio::select! {
                    free = timeout(PATIENCE, link.free()) => match free {
                        Ok(()) => link.deliver(&frame.payload),
                        Err(_) => {
                            way.closed(number, Code::Overloaded);
                            let message = "its messages were not taken";
                            let reason = SwarmError::new(SwarmCode::Overloaded, message);
                            database.close(databases, Some(reason), false);
                        }
                    },
                    // The reader finds that too.
                    _ = connection.closed() => {}
                }
            }
            (kind, _) => return Err(format!("{kind} for link {number} out of turn")),
        }
        Ok(())
    }

    /// The connection is gone.
    fn end(self, reason: &SwarmError) {
        for database in self.databases {
            if let Phase::Open(_, link) = database.phase {
                link.end(Some(reason.clone()));
            }
        }
    }
}

impl Way {
    fn closed(&self, link: u32, code: Code) {
        self.send(FrameKind::SyncClosed, &SyncClosed { link, code: code.into(), message: String::new() });
    }
}

impl Database {
    /// The link is down, or was refused; for good, or until after a pause.
    fn close(&mut self, databases: &Databases, reason: Option<SwarmError>, for_good: bool) {
        let now = Instant::now();
        if matches!(self.phase, Phase::Open(..)) && now.duration_since(self.since) > STEADY {
            self.attempt = 0;
        }
        let next = if for_good {
            databases.refuse(&self.links);
            Phase::Refused
        } else {
            let pause = backoff_ms(self.attempt, fastrand::f64());
            self.attempt += 1;
            Phase::Closed(now + Duration::from_millis(pause))
        };
        match (std::mem::replace(&mut self.phase, next), reason) {
            (Phase::Open(_, link), reason) => link.end(reason),
            (_, Some(reason)) if for_good => self.links.refused(reason),
            (_, _) => {}
        }
    }
}

/// Which link a frame of the lane is about.
fn link_of(frame: &Frame) -> Result<u32, String> {
    let link = match frame.kind {
        FrameKind::SyncOpened => frame.message::<SyncOpened>().map(|opened| opened.link),
        FrameKind::SyncClosed => frame.message::<SyncClosed>().map(|closed| closed.link),
        FrameKind::SyncMessage => frame.message::<SyncMessage>().map(|message| message.link),
        other => return Err(format!("{other} on the sync lane of a coordinator")),
    };
    link.map_err(|error| error.to_string())
}
