//! The life of an agent on the network thread: dial, serve, dial again.

use super::dial::{self, Welcomed};
use super::hub::resident_bytes;
use super::renewal::Renewal;
use super::types::{AgentEvent, AgentState};
use super::{Agent, GOODBYE, Shared};
use crate::protocol::frame::{Frame, LANE_FRAME_BYTES, max_frame_bytes};
use crate::protocol::messages::{
    Adapt, Assign, Cancel, CancelReason, Code, FrameKind, Goodbye, GoodbyeAck, HeartbeatAck, Lane, LaneOpen,
    Publish, PublishAck, Renewed, ResultAck, SubscribeAck,
};
use crate::protocol::session::{self, VERSIONS, alpns};
use crate::protocol::{Fence, TaskId};
use crate::security::{Admission, Identity, client_config, now_ms};
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::lanes::{self, Incoming, LaneEnd, Outgoing, read_large};
use crate::swarm::network::{self, Network, Side};
use crate::swarm::sync::lane;
use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Endpoint, VarInt};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// A session that lasted so long was one: the next dial does not wait longer for what was before it.
const STEADY: Duration = Duration::from_secs(1);

/// Of the first connection, before a coordinator has said otherwise.
const FIRST_TIMEOUT: Duration = Duration::from_secs(10);

/// Everything, to the end.
pub(super) async fn live(shared: Arc<Shared>, network: Network) {
    let error = match dial::endpoint(&network) {
        Ok(endpoint) => {
            let error = dial_and_serve(&shared, &endpoint).await;
            endpoint.close(VarInt::from_u32(Code::Closed as u32), b"the agent is closing");
            // The last packets; nobody waits long for an answer.
            drop(timeout(GOODBYE, endpoint.wait_idle()).await);
            error
        }
        Err(error) => Some(error),
    };
    shared.databases.end(error.as_ref());
    shared.turn(|hub, _| hub.end(error));
}

/// For one dial with the identity of this moment.
fn client(identity: &Identity, agent_timeout: Duration) -> Result<quinn::ClientConfig, SwarmError> {
    let protocols = alpns(VERSIONS);
    let protocols: Vec<&[u8]> = protocols.iter().map(Vec::as_slice).collect();
    let tls = client_config(identity, &protocols, &Admission::default())?;
    let crypto = QuicClientConfig::try_from(tls).map_err(|error| {
        SwarmError::new(SwarmCode::Internal, format!("no cipher suite for QUIC: {error}"))
    })?;
    let mut client = quinn::ClientConfig::new(Arc::new(crypto));
    client.transport_config(network::transport(Side::Agent, agent_timeout));
    Ok(client)
}

/// Returns with the final error, or without one after `close`.
async fn dial_and_serve(shared: &Arc<Shared>, endpoint: &Endpoint) -> Option<SwarmError> {
    let give_up = Instant::now() + Duration::from_millis(shared.config.connect_timeout_ms);
    let mut agent_timeout = FIRST_TIMEOUT;
    let (mut attempt, mut last_error) = (0, None);
    let addresses = &shared.config.addresses;
    let patience = if addresses.len() > 1 { dial::DIAL_ONE_OF_MANY } else { dial::DIAL };
    // Every round begins where somebody answered last.
    let mut first = 0;
    loop {
        for at in 0..addresses.len() {
            let at = (first + at) % addresses.len();
            let address = &addresses[at];
            let identity = shared.identities().current().clone();
            let serial = &identity.peer().serial;
            let client = match client(&identity, agent_timeout) {
                Ok(client) => client,
                Err(error) => return Some(error),
            };
            let dialled = tokio::select! {
                dialled = dial::dial(shared, endpoint, &client, address, patience) => dialled,
                () = closed(shared) => return None,
                () = sleep_until(give_up), if shared.lock().state == AgentState::Connecting => {
                    return Some(no_coordinator(shared, last_error));
                }
            };
            let served = dialled.is_ok();
            let error = match dialled {
                Ok(welcomed) => {
                    first = at;
                    agent_timeout = Duration::from_millis(welcomed.established.lease.agent_timeout_ms());
                    shared.identities().welcomed(serial);
                    let since = Instant::now();
                    let served = serve(shared, welcomed, address).await;
                    if since.elapsed() > STEADY {
                        attempt = 0;
                    }
                    match served {
                        Ok(()) => return None,
                        Err(error) => error,
                    }
                }
                Err(error) => error,
            };
            tracing::debug!(agent = %shared.id, address, %error, "not connected");
            // What we say of ourselves is refused by our own checks: saying it again does not help.
            let mut hopeless = error.code.is_final() || error.code == SwarmCode::InvalidArgument;
            if matches!(error.code, SwarmCode::Unauthenticated | SwarmCode::Forbidden) {
                hopeless = !shared.identities().refused(serial, now_ms());
            }
            if hopeless || shared.lock().is_closing() {
                return Some(error);
            }
            if served {
                let reason = error.message.clone();
                shared.turn(|hub, _| hub.events.push(AgentEvent::Disconnected { reason }));
            }
            last_error = Some(error);
        }
        let pause = session::backoff_ms(attempt, fastrand::f64());
        attempt += 1;
        tokio::select! {
            () = sleep(Duration::from_millis(pause)) => {}
            () = closed(shared) => return None,
            () = sleep_until(give_up), if shared.lock().state == AgentState::Connecting => {
                return Some(no_coordinator(shared, last_error));
            }
        }
    }
}

/// The error of a first login that took too long, with what was heard last.
fn no_coordinator(shared: &Shared, last: Option<SwarmError>) -> SwarmError {
    let within = shared.config.connect_timeout_ms;
    match last {
        None => SwarmError::new(SwarmCode::Connection, format!("no coordinator answered within {within} ms")),
        Some(last) => {
            let (code, said) = (last.code.as_str(), last.message);
            let message = format!(
                "no coordinator took this agent within {within} ms; the last attempt: {code}, {said}"
            );
            SwarmError::new(SwarmCode::Connection, message)
        }
    }
}

/// Waits for `close`.
async fn closed(shared: &Shared) {
    while !shared.lock().is_closing() {
        shared.changed.notified().await;
    }
}

/// A welcomed connection, to its end: an error, or nothing after `close`.
async fn serve(shared: &Arc<Shared>, welcomed: Welcomed, address: &str) -> Result<(), SwarmError> {
    let Welcomed { out, mut control, established } = welcomed;
    let connection = out.connection().clone();
    let end = |error: &quinn::ConnectionError| dial::of_connection(address, error);
    let (send, receive) = connection.open_bi().await.map_err(|error| end(&error))?;
    tokio::spawn(out.clone().write(Lane::Task, send));
    let limit = max_frame_bytes(established.max_message_bytes);
    let tasks = Incoming::new(receive, LANE_FRAME_BYTES, shared.traffic.clone());
    let heartbeat = Duration::from_millis(established.heartbeat_ms.max(1));
    let features = established.features;
    let first = shared.turn(|hub, now| {
        let open = LaneOpen { lane: Lane::Task.into() };
        // An error is a connection that has ended, which the reader below finds.
        drop(out.send(FrameKind::LaneOpen, 0, &open, &Bytes::new()));
        hub.welcomed(out.clone(), established, address, now)
    });
    if let Some(first) = first {
        first(Ok(Agent(shared.clone())));
    }
    let syncing = tokio::spawn(lane::serve(
        shared.databases.clone(),
        lane::Session {
            connection: connection.clone(),
            address: address.to_owned(),
            traffic: shared.traffic.clone(),
            carries: features & session::SYNC != 0,
        },
    ));
    let others = tokio::spawn(other_lanes(shared.clone(), out.clone(), tasks, limit));
    let mut beat = tokio::time::interval(heartbeat);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut renewal = Renewal::new(shared, features & session::RENEWAL != 0);
    // While it closes: until when results may still be acknowledged, and then until when the goodbye may be answered.
    let (mut leaving, mut said_goodbye) = (None, None);
    let refused = loop {
        if leaving.is_some_and(|until| Instant::now() >= until || shared.lock().is_done())
            && said_goodbye.is_none()
        {
            let header = Goodbye { code: Code::Closed.into(), message: "the agent is closing".to_owned() };
            if out.send(FrameKind::Goodbye, 0, &header, &Bytes::new()).is_err() {
                break None;
            }
            said_goodbye = Some(Instant::now() + GOODBYE);
        }
        let wait_until = said_goodbye.or(leaving).unwrap_or_else(Instant::now);
        tokio::select! {
            frame = control.next() => match frame {
                Ok(frame) => match control_frame(shared, &out, &frame) {
                    Ok(Next::Go) => {}
                    Ok(Next::Renewed(renewed)) => renewal.answered(shared, &out, frame.request, &renewed),
                    Ok(Next::Close) => {
                        connection.close(VarInt::from_u32(Code::Closed as u32), b"goodbye");
                        break None;
                    }
                    Ok(Next::Ended(error)) => {
                        // The answer is on its way, and the coordinator closes when it has it.
                        drop(timeout(GOODBYE, connection.closed()).await);
                        break Some(error);
                    }
                    Err(error) => {
                        connection.close(VarInt::from_u32(Code::Protocol as u32), error.as_bytes());
                        break Some(SwarmError::new(SwarmCode::Protocol, error));
                    }
                },
                Err(LaneEnd::Malformed(error)) => {
                    connection.close(VarInt::from_u32(Code::Protocol as u32), error.to_string().as_bytes());
                    break Some(SwarmError::new(SwarmCode::Protocol, error.to_string()));
                }
                Err(LaneEnd::Closed) => break None,
            },
            kept = renewal.ready(), if leaving.is_none() => renewal.go_on(shared, &out, kept),
            _ = beat.tick() => {
                let memory_bytes = resident_bytes();
                shared.turn(|hub, now| hub.heartbeat(memory_bytes, now));
            }
            () = closed(shared), if leaving.is_none() => leaving = Some(Instant::now() + GOODBYE),
            () = sleep_until(wait_until), if leaving.is_some() => {
                if said_goodbye.is_some() {
                    break None;
                }
            }
        }
    };
    others.abort();
    if leaving.is_some() || shared.lock().is_closing() {
        shared.turn(|hub, _| hub.disconnected());
        return Ok(());
    }
    let error = match refused {
        Some(error) => error,
        None => end(&lanes::end_of(&connection).await),
    };
    // Its links are down before those of the next connection are up. A panic there was reported where it happened.
    drop(syncing.await);
    shared.turn(|hub, _| hub.disconnected());
    Err(error)
}

/// What follows from a frame on the control lane.
enum Next {
    Go,
    /// The answer to a Renew.
    Renewed(Renewed),
    /// Both goodbyes were said, and ours was the first: we close.
    Close,
    /// The coordinator takes its leave.
    Ended(SwarmError),
}

fn message<M: prost::Message + Default>(frame: &Frame) -> Result<M, String> {
    frame.message().map_err(|error| error.to_string())
}

fn control_frame(shared: &Arc<Shared>, out: &Outgoing, frame: &Frame) -> Result<Next, String> {
    match frame.kind {
        FrameKind::HeartbeatAck => {
            let ack: HeartbeatAck = message(frame)?;
            shared.turn(|hub, now| hub.heard(ack.seq, now)).map_err(|error| error.to_string())?;
        }
        FrameKind::Cancel => {
            let cancel: Cancel = message(frame)?;
            let fence = Fence { epoch: cancel.epoch, attempt: cancel.attempt };
            let late = matches!(cancel.reason(), CancelReason::Deadline | CancelReason::AttemptTimeout);
            let mut due = shared.turn(|hub, now| {
                hub.cancelled(TaskId(cancel.task), fence, late, now);
                hub.next_tick()
            });
            if due.is_some() {
                let shared = shared.clone();
                tokio::spawn(async move {
                    while let Some(at) = due {
                        sleep_until(shared.clock.instant(at).into()).await;
                        due = shared.turn(|hub, now| {
                            hub.tick(now);
                            hub.next_tick()
                        });
                    }
                });
            }
        }
        FrameKind::ResultAck => {
            let ack: ResultAck = message(frame)?;
            let fence = Fence { epoch: ack.epoch, attempt: ack.attempt };
            shared.turn(|hub, _| hub.acknowledged(TaskId(ack.task), fence));
        }
        FrameKind::SubscribeAck => {
            let ack: SubscribeAck = message(frame)?;
            if ack.code() != Code::Unspecified {
                let code = dial::of_code(ack.code(), String::new()).code;
                let (topic, reason) = (ack.topic, ack.message);
                shared.turn(|hub, _| {
                    hub.events.push(AgentEvent::SubscriptionRefused { topic, code, reason });
                });
            }
        }
        FrameKind::Renewed => return Ok(Next::Renewed(message(frame)?)),
        FrameKind::Goodbye => {
            let goodbye: Goodbye = message(frame)?;
            let error = dial::of_code(goodbye.code(), goodbye.message.clone());
            // Before the answer: whoever reads it may count on nothing running here any more.
            shared.turn(|hub, _| hub.dismissed(&error));
            // The coordinator closes when it has read this: it is the last receiver.
            drop(out.send(FrameKind::GoodbyeAck, 0, &GoodbyeAck {}, &Bytes::new()));
            return Ok(Next::Ended(error));
        }
        FrameKind::GoodbyeAck => {
            let _: GoodbyeAck = message(frame)?;
            return Ok(Next::Close);
        }
        other => return Err(format!("{other} on the control lane of a coordinator")),
    }
    Ok(Next::Go)
}

/// The task lane and large frames.
async fn other_lanes(shared: Arc<Shared>, out: Outgoing, mut tasks: Incoming, limit: usize) {
    let connection = out.connection().clone();
    let broken = |error: &str| connection.close(VarInt::from_u32(Code::Protocol as u32), error.as_bytes());
    let lane = async {
        let mut frames = Vec::new();
        loop {
            match tasks.batch(&mut frames).await {
                Ok(()) => {}
                Err(LaneEnd::Closed) => return,
                Err(LaneEnd::Malformed(error)) => return broken(&error.to_string()),
            }
            if let Err(error) = task_frames(&shared, frames.drain(..)) {
                return broken(&error);
            }
        }
    };
    let large = async {
        // As many at once as the peer may open.
        while let Ok(stream) = connection.accept_uni().await {
            let (shared, connection) = (shared.clone(), connection.clone());
            tokio::spawn(async move {
                let outcome = match read_large(stream, limit, &shared.traffic, None).await {
                    Ok(Some(frame)) => task_frames(&shared, std::iter::once(frame)),
                    Ok(None) | Err(LaneEnd::Closed) => Ok(()),
                    Err(LaneEnd::Malformed(error)) => Err(error.to_string()),
                };
                if let Err(error) = outcome {
                    connection.close(VarInt::from_u32(Code::Protocol as u32), error.as_bytes());
                }
            });
        }
    };
    tokio::join!(lane, large);
}

/// What a coordinator says on the task lane, as many frames as have come, in one turn.
fn task_frames(shared: &Arc<Shared>, frames: impl Iterator<Item = Frame>) -> Result<(), String> {
    shared.turn(|hub, now| {
        for frame in frames {
            match frame.kind {
                FrameKind::Assign => {
                    let assign: Assign = message(&frame)?;
                    hub.assigned(&assign, frame.payload, now);
                }
                FrameKind::Publish => {
                    let publish: Publish = message(&frame)?;
                    hub.events.push(AgentEvent::Message {
                        topic: Arc::from(publish.topic),
                        from: Arc::from(publish.from),
                        payload: frame.payload,
                    });
                }
                FrameKind::PublishAck => {
                    let ack: PublishAck = message(&frame)?;
                    let error = (ack.code() != Code::Unspecified)
                        .then(|| dial::of_code(ack.code(), ack.message.clone()));
                    hub.published(frame.request, error);
                }
                FrameKind::Adapt => {
                    let adapt: Adapt = message(&frame)?;
                    hub.events.push(AgentEvent::Adapt { command: adapt.command, payload: frame.payload });
                }
                other => return Err(format!("{other} on the task lane of a coordinator")),
            }
        }
        Ok(())
    })
}
