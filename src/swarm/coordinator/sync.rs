//! The sync lane of one agent's connection: links for databases, checked against the grants of its certificate at each frame,
//! and what they carry handed to the relay.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`engine`] | what is done with the messages |
//! | [`relay`] | the thread that drives it |

pub(super) mod engine;
pub(super) mod relay;

use super::Shared;
use super::trust::rights::grant_refused;
use crate::protocol::Generation;
use crate::protocol::frame::{Frame, SYNC_FRAME_BYTES, SYNC_MESSAGE_BYTES, encode_message_head};
use crate::protocol::messages::{Code, FrameKind, Lane, LaneOpen, Sender, SyncClosed, SyncMessage, SyncOpen};
use crate::protocol::session::{check_name, check_place};
use crate::swarm::lanes::{Incoming, LaneEnd, Paced};
use crate::swarm::sync::databases::MOST_DATABASES;
use crate::swarm::sync::outbox::Outbox;
use bytes::{Bytes, BytesMut};
use quinn::{Connection, RecvStream, SendStream, VarInt};
use relay::Member;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Messages of one connection that wait for the relay, in bytes: beyond it nothing more is read from the lane.
const WAITING: usize = 2 << 20;

/// What a lane brings.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) streams: (SendStream, RecvStream),
    pub(super) pace: Paced,
    pub(super) generation: Generation,
    pub(super) agent: Arc<str>,
}

/// Serves the lane until it ends, or to what is wrong with it.
pub(super) async fn serve(opened: Opened, shared: &Arc<Shared>) -> Result<(), String> {
    let Opened { connection, streams: (send, receive), pace, generation, agent } = opened;
    if !shared.relay.is_there() {
        return Err("a lane that was not agreed on".to_owned());
    }
    let outbox = Outbox::new(shared.relay.total.clone());
    let (writer, writing, traffic) = (outbox.clone(), connection.clone(), shared.traffic.clone());
    tokio::spawn(async move {
        if let Err(error) = writer.write(writing.clone(), send, traffic).await {
            // Without one of its lanes a connection is of no use.
            tracing::debug!(%error, "the sync lane has ended");
            writing.close(VarInt::from_u32(Code::Protocol as u32), b"a lane ended");
        }
    });
    let mut incoming = Incoming::new(receive, SYNC_FRAME_BYTES, shared.traffic.clone());
    incoming.keep(pace);
    let mut links = Links {
        shared: shared.clone(),
        connection,
        outbox,
        generation,
        agent,
        open: HashMap::new(),
        last: 0,
        waiting: Arc::new(Semaphore::new(WAITING)),
    };
    let mut frames = Vec::new();
    let mut first = true;
    loop {
        match incoming.batch(&mut frames).await {
            Ok(()) => {}
            Err(LaneEnd::Closed) => return Ok(()),
            Err(LaneEnd::Malformed(error)) => return Err(error.to_string()),
        }
        for frame in frames.drain(..) {
            if std::mem::take(&mut first) {
                let lane = (frame.kind == FrameKind::LaneOpen).then(|| message::<LaneOpen>(&frame));
                if lane.transpose()?.map(|open| open.lane()) != Some(Lane::Sync) {
                    return Err("the third stream is the sync lane".to_owned());
                }
                continue;
            }
            check_place(frame.kind, Lane::Sync, false, Sender::Agent).map_err(|error| error.to_string())?;
            links.frame(frame).await?;
        }
    }
}

/// The links of one connection. Dropped, all of them are gone.
struct Links {
    shared: Arc<Shared>,
    connection: Connection,
    outbox: Outbox,
    generation: Generation,
    agent: Arc<str>,
    /// By the numbers that the agent gave them.
    open: HashMap<u32, Open>,
    /// The largest of those that it has given.
    last: u32,
    waiting: Arc<Semaphore>,
}

struct Open {
    /// The number that the relay has for it.
    link: u64,
    database: Arc<str>,
}

impl Links {
    async fn frame(&mut self, frame: Frame) -> Result<(), String> {
        match frame.kind {
            FrameKind::SyncOpen => {
                let SyncOpen { link, database } = message(&frame)?;
                if link <= self.last {
                    return Err(format!("link {link} is opened after link {}", self.last));
                }
                check_name("database", &database).map_err(|error| error.to_string())?;
                self.last = link;
                self.open(link, database.into());
            }
            FrameKind::SyncClosed => {
                let SyncClosed { link, .. } = message(&frame)?;
                self.check_number(frame.kind, link)?;
                self.leave(link);
            }
            FrameKind::SyncMessage => {
                let SyncMessage { link } = message(&frame)?;
                self.check_number(frame.kind, link)?;
                let bytes = frame.payload.len();
                if bytes == 0 || bytes > SYNC_MESSAGE_BYTES {
                    return Err(format!("a message of {bytes} bytes, not 1 to {SYNC_MESSAGE_BYTES}"));
                }
                self.message(link, &frame.payload).await;
            }
            other => return Err(format!("{other} on the sync lane of an agent")),
        }
        Ok(())
    }

    fn check_number(&self, kind: FrameKind, link: u32) -> Result<(), String> {
        if link == 0 || link > self.last {
            return Err(format!("{kind} for link {link}, and {} is the last that was opened", self.last));
        }
        Ok(())
    }

    fn open(&mut self, number: u32, database: Arc<str>) {
        // A database has one link on a connection: what was there before is over.
        let before: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, open)| open.database == database)
            .map(|(&number, _)| number)
            .collect();
        before.into_iter().for_each(|number| self.leave(number));
        if let Some((code, why)) = self.shared.refuse_database(self.generation, &database) {
            return self.closed(number, code, &why);
        }
        if self.open.len() >= MOST_DATABASES {
            let why = format!("at most {MOST_DATABASES} databases a connection");
            return self.closed(number, Code::Overloaded, &why);
        }
        let member = Member {
            number,
            generation: self.generation,
            node: self.agent.clone(),
            database: database.clone(),
            outbox: self.outbox.clone(),
            connection: self.connection.clone(),
        };
        let link = self.shared.relay.join(&self.shared, member);
        self.open.insert(number, Open { link, database });
    }

    /// Hands a message to the relay; waits where too much waits for that already.
    async fn message(&mut self, number: u32, payload: &Bytes) {
        // One that was still on its way when its link was closed.
        let Some(open) = self.open.get(&number) else { return };
        if let Some((code, why)) = self.shared.refuse_database(self.generation, &open.database) {
            self.leave(number);
            return self.closed(number, code, &why);
        }
        let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let own = self.waiting.clone().acquire_many_owned(bytes).await;
        let all = self.shared.relay.waiting.clone().acquire_many_owned(bytes).await;
        // Closed by nobody.
        let (Ok(own), Ok(all)) = (own, all) else { return };
        self.shared.metrics.sync.received(payload.len());
        // Copied: a frame shares the memory of all that came with it.
        self.shared.relay.message(open.link, payload.to_vec(), [own, all]);
    }

    fn leave(&mut self, number: u32) {
        if let Some(open) = self.open.remove(&number) {
            self.shared.relay.leave(open.link);
        }
    }

    /// Tells the agent that a link is closed, or was not opened.
    fn closed(&self, link: u32, code: Code, why: &str) {
        let header = SyncClosed { link, code: code.into(), message: why.to_owned() };
        let mut frame = BytesMut::new();
        let encoded = encode_message_head(FrameKind::SyncClosed, 0, &header, 0, &mut frame);
        if encoded.is_err() || self.outbox.push(frame, Bytes::new()).is_err() {
            let code = VarInt::from_u32(Code::Overloaded as u32);
            self.connection.close(code, b"it does not read what it is sent");
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        for open in self.open.values() {
            self.shared.relay.leave(open.link);
        }
    }
}

fn message<M: prost::Message + Default>(frame: &Frame) -> Result<M, String> {
    frame.message().map_err(|error| error.to_string())
}

impl Shared {
    /// Why a session may not replicate a database; none where it may. The register is asked as it is now: a grant that was
    /// taken away counts at once.
    fn refuse_database(&self, generation: Generation, database: &str) -> Option<(Code, String)> {
        let mut hub = self.lock();
        let session = hub.sessions.get_mut(&generation).filter(|session| !session.retired);
        let Some(session) = session else { return Some((Code::Closed, "the session is over".to_owned())) };
        let credentials = &mut session.credentials;
        let current = self.trust.as_ref().and_then(|trust| trust.rights_now(credentials.peer()));
        if current.as_ref().unwrap_or(credentials.rights()).database(database) {
            return None;
        }
        if credentials.is_news("databases", database) {
            self.audit.note(grant_refused(credentials.peer(), database, "databases"));
        }
        Some((Code::Forbidden, format!("this identity may not replicate the database {database:?}")))
    }
}
