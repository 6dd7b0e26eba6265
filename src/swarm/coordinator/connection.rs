//! One agent's connection at the coordinator, from its login to its end.

use super::Shared;
use super::audited;
use super::entrance::Attendance;
use super::hub::{Life, Session};
use super::sync;
use super::trust::credentials::Credentials;
use super::trust::renewal;
use super::trust::rights::{Rights, grant_refused};
use crate::protocol::frame::{
    Frame, HANDSHAKE_FRAME_BYTES, INLINE_PAYLOAD_BYTES, LANE_FRAME_BYTES, max_frame_bytes,
};
use crate::protocol::messages::{
    self, Code, Complete, FailureReason, FrameKind, Goodbye, GoodbyeAck, Heartbeat, Held, Lane, LaneOpen,
    Progress, Publish, PublishAck, Sender, Subscribe, SubscribeAck, TaskError, Unsubscribe,
};
use crate::protocol::session::{self, Greeting, Listening, Terms, VERSIONS, Version, version_of};
use crate::protocol::tasks::{self, Departure, Failure, FailureCode, Offer};
use crate::protocol::{Fence, Generation, TaskId};
use crate::security::{Peer, Refusal, peer_of};
use crate::swarm::lanes::{Incoming, LaneEnd, Outgoing, Paced, end_of, read_large};
use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, ConnectionError, VarInt};
use rustls_pki_types::CertificateDer;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The longest from the TLS handshake to the Hello.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Every agent has a capability of this and its id, so that a task can require that very agent.
const AGENT_CAPABILITY: &str = "agent:";

/// Why a peer was not welcomed.
struct Unwelcome {
    code: Code,
    message: String,
}

impl Unwelcome {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<session::SessionError> for Unwelcome {
    fn from(error: session::SessionError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

/// What comes after the TLS handshake, until the connection ends.
/// Serves a connection to its end. Returns why it was not welcomed, where it was not.
pub(super) async fn serve(
    connection: Connection,
    shared: &Arc<Shared>,
    attendance: &Attendance,
) -> Option<Code> {
    let known = peer(&connection);
    let named = known.as_ref().ok().cloned();
    let entered = known.and_then(|peer| {
        let ticket = attendance.enter(Arc::from(peer.name.id()));
        Ok((peer, ticket.map_err(|(code, message)| Unwelcome::new(code, message))?))
    });
    let greeted = match entered {
        Ok((peer, ticket)) => greet(&connection, peer, shared).await.map(|welcomed| (welcomed, ticket)),
        Err(unwelcome) => Err(unwelcome),
    };
    match greeted {
        Ok((welcomed, mut ticket)) => {
            ticket.welcomed();
            welcomed.run(shared).await;
            None
        }
        Err(unwelcome) => {
            tracing::info!(
                peer = %connection.remote_address(),
                code = ?unwelcome.code,
                reason = unwelcome.message,
                "a peer was turned away"
            );
            shared.metrics.turned_away(unwelcome.code);
            let from = connection.remote_address();
            let entry = audited::turned_away(named.as_ref(), from, unwelcome.code, &unwelcome.message);
            entry.into_iter().for_each(|entry| shared.audit.note(entry));
            close(&connection, unwelcome.code, &unwelcome.message);
            Some(unwelcome.code)
        }
    }
}

fn close(connection: &Connection, code: Code, message: &str) {
    connection.close(VarInt::from_u32(code as u32), message.as_bytes());
}

/// An agent that is in.
struct Welcomed {
    generation: Generation,
    out: Outgoing,
    control: Incoming,
    id: Arc<str>,
}

/// From the handshake to the Welcome.
async fn greet(connection: &Connection, peer: Peer, shared: &Arc<Shared>) -> Result<Welcomed, Unwelcome> {
    let late = |_| Unwelcome::new(Code::Timeout, "no Hello in time");
    let data = connection.handshake_data().and_then(|any| any.downcast::<HandshakeData>().ok());
    let data = data.ok_or_else(|| Unwelcome::new(Code::Internal, "no data of the handshake"))?;
    let version = version_of(VERSIONS, data.protocol.as_deref())?;
    let key_exchange: Arc<str> = Arc::from(format!("{:?}", data.negotiated_key_exchange_group));
    let id: Arc<str> = Arc::from(peer.name.id());
    let runtime = tokio::runtime::Handle::current();
    let out = Outgoing::new(connection.clone(), runtime, shared.traffic.clone());
    let (send, receive) = timeout(HANDSHAKE, connection.accept_bi())
        .await
        .map_err(late)?
        .map_err(|error| Unwelcome::new(Code::Unspecified, error.to_string()))?;
    tokio::spawn(out.clone().write(Lane::Control, send));
    let mut control = Incoming::new(receive, HANDSHAKE_FRAME_BYTES, shared.traffic.clone());
    let greeting = match timeout(HANDSHAKE, hello(&mut control, version, shared)).await.map_err(late)? {
        Ok(greeting) => greeting,
        Err(unwelcome) => {
            refuse(&out, connection, &unwelcome).await;
            return Err(unwelcome);
        }
    };
    control.allow(LANE_FRAME_BYTES);
    let rights = shared.rights(&peer).await;
    let rights = rights.map_err(|(code, message)| Unwelcome::new(code, message));
    match rights.and_then(|rights| join(shared, &peer, rights, greeting, key_exchange, &out)) {
        Ok(generation) => Ok(Welcomed { generation, out, control, id }),
        Err(unwelcome) => {
            refuse(&out, connection, &unwelcome).await;
            Err(unwelcome)
        }
    }
}

/// What this coordinator has of what an agent may use.
fn features(shared: &Shared) -> u64 {
    let renewal = if shared.trust.is_some() { session::RENEWAL } else { 0 };
    renewal | if shared.relay.is_there() { session::SYNC } else { 0 }
}

/// Says why on the control lane and leaves the peer the time to read it: a connection that is closed at once may take
/// the words with it.
async fn refuse(out: &Outgoing, connection: &Connection, unwelcome: &Unwelcome) {
    let mut frame = BytesMut::new();
    let told = session::refuse(unwelcome.code, &unwelcome.message, &mut frame);
    if told.is_ok() && out.send_encoded(Lane::Control, &frame).is_ok() {
        // The peer closes when it has read it.
        drop(timeout(Duration::from_secs(1), connection.closed()).await);
    }
}

/// Who the peer is: its certificate was verified in the handshake.
fn peer(connection: &Connection) -> Result<Peer, Unwelcome> {
    let chain =
        connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let chain =
        chain.ok_or_else(|| Unwelcome::new(Code::Unauthenticated, Refusal::NoCertificate.to_string()))?;
    peer_of(&chain).map_err(|error| Unwelcome::new(Code::Unauthenticated, error.to_string()))
}

/// Hello and what belongs to it.
async fn hello(control: &mut Incoming, version: Version, shared: &Shared) -> Result<Greeting, Unwelcome> {
    let limit_ms = u64::try_from(HANDSHAKE.as_millis()).unwrap_or(u64::MAX);
    let mut listening = Listening::new(version, shared.clock.now(), limit_ms);
    loop {
        let frame = control.next().await.map_err(|end| match end {
            LaneEnd::Closed => Unwelcome::new(Code::Unspecified, "it left before it was welcomed"),
            LaneEnd::Malformed(error) => Unwelcome::new(Code::Protocol, error.to_string()),
        })?;
        if let Some(greeting) = listening.receive(&frame)? {
            return Ok(greeting);
        }
    }
}

/// Makes a session of a greeting: in the ledger, in the hub, and on the wire.
fn join(
    shared: &Arc<Shared>,
    peer: &Peer,
    rights: Rights,
    greeting: Greeting,
    key_exchange: Arc<str>,
    out: &Outgoing,
) -> Result<Generation, Unwelcome> {
    let agent: Arc<str> = Arc::from(peer.name.id());
    if !rights.agent_type(&greeting.agent_type) {
        let message = format!("this identity may not be an agent of type {:?}", greeting.agent_type);
        shared.audit.note(grant_refused(peer, &greeting.agent_type, "agentTypes"));
        return Err(Unwelcome::new(Code::Forbidden, message));
    }
    shared.turn(|hub, now| {
        match hub.life {
            // What is there already has to be done, also by agents that lost their connection meanwhile.
            Life::Open | Life::Draining => {}
            Life::Closed => return Err(Unwelcome::new(Code::Closed, "the coordinator is closing")),
        }
        let held = |held: &Held| tasks::Held {
            task: TaskId(held.task),
            fence: Fence { epoch: held.epoch, attempt: held.attempt },
            finished: held.finished,
        };
        // Revoked since the handshake: the Hello may have taken its time.
        if shared.admission.revocations.contains(peer) {
            return Err(Unwelcome::new(Code::Unauthenticated, Refusal::Revoked.to_string()));
        }
        // What is held of another store means nothing here.
        let resume: Vec<tasks::Held> =
            if greeting.store == Some(hub.store) { greeting.held.iter().map(held).collect() } else { Vec::new() };
        let mut capabilities = greeting.capabilities.clone();
        // Nobody is somebody else by saying so.
        capabilities.retain(|capability| !capability.starts_with(AGENT_CAPABILITY));
        let offer = Offer {
            kinds: greeting.kinds.clone(),
            capabilities: capabilities
                .iter()
                .cloned()
                .chain([Arc::from(format!("{AGENT_CAPABILITY}{agent}"))])
                .collect(),
            slots: greeting.slots,
        };
        let joined = hub
            .ledger
            .join(agent.clone(), greeting.instance, offer, rights.kinds(), &resume, now)
            .map_err(|refusal| Unwelcome::new(Code::Overloaded, refusal.to_string()))?;
        let generation = joined.generation;
        hub.sessions.insert(
            generation,
            Session {
                agent: agent.clone(),
                out: out.clone(),
                agent_type: Arc::from(greeting.agent_type.as_str()),
                capabilities,
                metadata: Arc::new(greeting.metadata.clone()),
                software: Arc::from(greeting.software.as_str()),
                connected_at: now,
                key_exchange,
                topics: HashSet::new(),
                credentials: Credentials::new(peer.clone(), rights),
                load: 0.0,
                memory_bytes: 0,
                retired: false,
                revoked: None,
                expelled: false,
                last: None,
            },
        );
        hub.note_kinds(generation, &greeting.kinds, shared.audit.as_ref());
        hub.current.insert(agent.clone(), generation);
        let terms = Terms {
            coordinator: shared.id.clone(),
            generation,
            store: hub.store,
            epoch: hub.epoch,
            agent_timeout_ms: shared.config.agent_timeout_ms,
            max_message_bytes: shared.config.max_message_bytes as u64,
            features: features(shared),
        };
        let resumed = joined.resumed.iter().map(|(task, fence)| Held {
            task: task.0,
            epoch: fence.epoch,
            attempt: fence.attempt,
            finished: false,
        });
        let mut frames = BytesMut::new();
        terms
            .welcome(&greeting, &resumed.collect::<Vec<_>>(), &mut frames)
            .map_err(|error| Unwelcome::new(Code::Internal, error.to_string()))?;
        hub.welcome(generation, frames.freeze());
        if let Some(session) = hub.sessions.get(&generation) {
            shared.audit.note(audited::connected(peer, session));
        }
        let session = hub.sessions.get(&generation).map(|session| hub.info(generation, session));
        tracing::info!(agent = %agent, peer = %out.connection().remote_address(), generation = generation.0, "agent joined");
        hub.events.extend(session.map(super::CoordinatorEvent::AgentJoined));
        Ok(generation)
    })
}

impl Welcomed {
    async fn run(mut self, shared: &Arc<Shared>) {
        let connection = self.out.connection().clone();
        let pace = Paced::new(connection.clone(), Duration::from_millis(shared.config.agent_timeout_ms));
        self.control.keep(pace.clone());
        let lanes = lanes(self.generation, self.id.clone(), self.out.clone(), pace, shared.clone());
        let lanes = tokio::spawn(lanes);
        let malformed = loop {
            let frame = match self.control.next().await {
                Ok(frame) => frame,
                Err(LaneEnd::Closed) => break None,
                Err(LaneEnd::Malformed(error)) => break Some(error.to_string()),
            };
            if let Err(error) = session::check_place(frame.kind, Lane::Control, false, Sender::Agent) {
                break Some(error.to_string());
            }
            if let Err(error) = control_frame(shared, self.generation, &self.id, &frame) {
                break Some(error);
            }
        };
        if let Some(reason) = malformed {
            tracing::warn!(agent = %self.id, reason, "the agent broke the protocol");
            shared.metrics.turned_away(Code::Protocol);
            close(&connection, Code::Protocol, &reason);
        }
        let end = end_of(&connection).await;
        lanes.abort();
        shared.turn(|hub, now| {
            let reason = match &end {
                ConnectionError::ApplicationClosed(closed) => {
                    String::from_utf8_lossy(&closed.reason).into_owned()
                }
                other => other.to_string(),
            };
            let departure = hub.disconnected(self.generation, &reason, shared.audit.as_ref());
            hub.ledger.leave(&self.id, self.generation, departure, now);
        });
    }
}

/// What an agent says on the control lane.
fn control_frame(
    shared: &Arc<Shared>,
    generation: Generation,
    agent: &Arc<str>,
    frame: &Frame,
) -> Result<(), String> {
    match frame.kind {
        FrameKind::Heartbeat => {
            let heartbeat: Heartbeat = message(frame)?;
            shared.turn(|hub, now| {
                // One that was replaced, or given up, must not believe that its lease goes on.
                if hub.ledger.heard(agent, generation, now) {
                    hub.heartbeat(generation, &heartbeat);
                }
            });
        }
        FrameKind::Offer => {
            let offer: messages::Offer = message(frame)?;
            let kinds = session::check_offer(&offer).map_err(|error| error.to_string())?;
            shared.turn(|hub, now| {
                hub.note_kinds(generation, &kinds, shared.audit.as_ref());
                hub.ledger.offer_changed(agent, generation, kinds, offer.slots, now);
            });
        }
        FrameKind::Progress => {
            let progress: Progress = message(frame)?;
            if !progress.fraction.is_finite() {
                return Err("a progress that is not finite".to_owned());
            }
            let fence = Fence { epoch: progress.epoch, attempt: progress.attempt };
            let fraction = progress.fraction.clamp(0.0, 1.0);
            shared.turn(|hub, now| {
                hub.ledger.progress(agent, generation, TaskId(progress.task), fence, fraction, now);
            });
        }
        FrameKind::Subscribe => {
            let subscribe: Subscribe = message(frame)?;
            session::check_name("topic", &subscribe.topic).map_err(|error| error.to_string())?;
            shared.turn(|hub, _| {
                if !hub.serves(generation) {
                    return;
                }
                let refused = hub.refuse_topic(generation, &subscribe.topic, shared.audit.as_ref());
                let subscribed = match refused {
                    Some(refused) => Err((Code::Forbidden, refused)),
                    None => hub
                        .subscribe(generation, &subscribe.topic)
                        .map_err(|full| (Code::Overloaded, full.to_string())),
                };
                let (code, message) = subscribed.err().unwrap_or((Code::Unspecified, String::new()));
                let answer = SubscribeAck { topic: subscribe.topic.clone(), code: code.into(), message };
                hub.send(generation, FrameKind::SubscribeAck, frame.request, &answer, &Bytes::new());
            });
        }
        FrameKind::Unsubscribe => {
            let unsubscribe: Unsubscribe = message(frame)?;
            shared.turn(|hub, _| hub.unsubscribe(generation, &unsubscribe.topic));
        }
        FrameKind::Renew => renewal::asked(shared, generation, frame.request, message(frame)?)?,
        FrameKind::RenewalKept => renewal::kept(shared, generation, &message(frame)?),
        FrameKind::Goodbye => {
            let goodbye: Goodbye = message(frame)?;
            tracing::debug!(agent = %agent, code = goodbye.code, "goodbye");
            shared.turn(|hub, now| {
                // The answer is the last thing that this session hears: what else was on its way is void.
                hub.remember(generation);
                hub.ledger.leave(agent, generation, Departure::Goodbye, now);
                hub.send(generation, FrameKind::GoodbyeAck, 0, &GoodbyeAck {}, &Bytes::new());
                hub.retire(generation);
            });
        }
        FrameKind::GoodbyeAck => {
            let _: GoodbyeAck = message(frame)?;
            shared.turn(|hub, now| {
                let departure = if hub.current.get(agent) == Some(&generation) || hub.life == Life::Closed {
                    Departure::Disconnected
                } else {
                    Departure::ReplacedAcknowledged
                };
                hub.ledger.leave(agent, generation, departure, now);
                if let Some(session) = hub.sessions.get(&generation) {
                    close(session.out.connection(), Code::Closed, "goodbye");
                }
            });
        }
        other => return Err(format!("{other} on the control lane of an agent")),
    }
    Ok(())
}

/// The other streams of a connection: the task lane, large frames and the sync lane.
async fn lanes(generation: Generation, id: Arc<str>, out: Outgoing, pace: Paced, shared: Arc<Shared>) {
    let connection = out.connection().clone();
    let limit = max_frame_bytes(shared.config.max_message_bytes);
    let (task_pace, sync_pace, large_pace) = (pace.clone(), pace.clone(), pace);
    let opened = async {
        let Ok((send, receive)) = connection.accept_bi().await else { return };
        tokio::spawn(out.clone().write(Lane::Task, send));
        let mut tasks = Incoming::new(receive, LANE_FRAME_BYTES, shared.traffic.clone());
        tasks.keep(task_pace);
        match tasks.next().await {
            Ok(frame) if frame.kind == FrameKind::LaneOpen => {
                let lane = frame.message::<LaneOpen>().map(|open| open.lane());
                if lane != Ok(Lane::Task) {
                    return close(&connection, Code::Protocol, "the second stream is the task lane");
                }
            }
            Ok(frame) => {
                return close(&connection, Code::Protocol, &format!("{} where a lane opens", frame.kind));
            }
            Err(LaneEnd::Closed) => return,
            Err(LaneEnd::Malformed(error)) => return close(&connection, Code::Protocol, &error.to_string()),
        }
        let tasks = async {
            let mut frames = Vec::new();
            loop {
                match tasks.batch(&mut frames).await {
                    Ok(()) => {}
                    Err(LaneEnd::Closed) => return,
                    Err(LaneEnd::Malformed(error)) => {
                        return close(&connection, Code::Protocol, &error.to_string());
                    }
                }
                if let Err(error) = task_frames(&shared, generation, &id, frames.drain(..)) {
                    return close(&connection, Code::Protocol, &error);
                }
            }
        };
        let sync = async {
            let Ok(streams) = connection.accept_bi().await else { return };
            let (connection, agent) = (connection.clone(), id.clone());
            let opened = sync::Opened { connection, streams, pace: sync_pace, generation, agent };
            if let Err(error) = sync::serve(opened, &shared).await {
                close(out.connection(), Code::Protocol, &error);
            }
        };
        tokio::join!(tasks, sync);
    };
    let large = async {
        // As many at once as the peer may open.
        while let Ok(stream) = connection.accept_uni().await {
            let (shared, id, connection) = (shared.clone(), id.clone(), connection.clone());
            let pace = large_pace.clone();
            tokio::spawn(async move {
                let outcome = match read_large(stream, limit, &shared.traffic, Some(&pace)).await {
                    Ok(Some(frame)) => task_frames(&shared, generation, &id, std::iter::once(frame)),
                    Ok(None) | Err(LaneEnd::Closed) => Ok(()),
                    Err(LaneEnd::Malformed(error)) => Err(error.to_string()),
                };
                if let Err(error) = outcome {
                    close(&connection, Code::Protocol, &error);
                }
            });
        }
    };
    tokio::join!(opened, large);
}

fn message<M: prost::Message + Default>(frame: &Frame) -> Result<M, String> {
    frame.message().map_err(|error| error.to_string())
}

/// What an agent says on the task lane, as many frames as have come, in one turn.
fn task_frames(
    shared: &Arc<Shared>,
    generation: Generation,
    agent: &Arc<str>,
    frames: impl Iterator<Item = Frame>,
) -> Result<(), String> {
    shared.turn(|hub, now| {
        for frame in frames {
            // The limit of a frame leaves room for a header that hardly any has.
            let (bytes, limit) = (frame.payload.len(), shared.config.max_message_bytes);
            if bytes > limit {
                return Err(format!("a payload of {bytes} bytes, at most {limit} are allowed"));
            }
            match frame.kind {
                FrameKind::Publish if !hub.serves(generation) => {}
                FrameKind::Complete => {
                    let done: Complete = message(&frame)?;
                    let fence = Fence { epoch: done.epoch, attempt: done.attempt };
                    let value = keep(frame.payload);
                    hub.ledger.completed(
                        agent,
                        generation,
                        TaskId(done.task),
                        fence,
                        value,
                        done.run_ms,
                        now,
                    );
                }
                FrameKind::TaskError => {
                    let error: TaskError = message(&frame)?;
                    let fence = Fence { epoch: error.epoch, attempt: error.attempt };
                    let task = TaskId(error.task);
                    let retryable = error.retryable;
                    let code = match error.reason() {
                        FailureReason::Unspecified | FailureReason::Handler => FailureCode::Handler,
                        FailureReason::TooLarge => FailureCode::TooLarge,
                        FailureReason::AttemptTimeout => FailureCode::AttemptTimeout,
                        FailureReason::Cancelled | FailureReason::Declined => {
                            hub.ledger.stopped(agent, generation, task, fence, now);
                            continue;
                        }
                    };
                    let failure = Failure {
                        code,
                        message: error.message,
                        remote_code: error.code,
                        agent: Some(agent.clone()),
                    };
                    hub.ledger.failed(agent, generation, task, fence, failure, retryable, now);
                }
                FrameKind::Publish => {
                    let publish: Publish = message(&frame)?;
                    session::check_name("topic", &publish.topic).map_err(|error| error.to_string())?;
                    let refused = hub.refuse_topic(generation, &publish.topic, shared.audit.as_ref());
                    let answer = match refused {
                        Some(message) => PublishAck { reached: 0, code: Code::Forbidden.into(), message },
                        None => {
                            let (topic, content) = (&publish.topic, publish.content);
                            let reached =
                                hub.publish(agent, Some(generation), topic, content, &frame.payload);
                            PublishAck { reached, code: Code::Unspecified.into(), message: String::new() }
                        }
                    };
                    if frame.request != 0 {
                        hub.send(generation, FrameKind::PublishAck, frame.request, &answer, &Bytes::new());
                    }
                }
                other => return Err(format!("{other} on the task lane of an agent")),
            }
        }
        Ok(())
    })
}

/// A result that is kept for hours, without the memory of all the frames that came with it.
fn keep(payload: Bytes) -> Bytes {
    // A large one came alone, and has its memory to itself.
    if payload.len() > INLINE_PAYLOAD_BYTES { payload } else { Bytes::copy_from_slice(&payload) }
}
