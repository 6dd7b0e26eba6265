//! A direct link: one stream of one connection, once both sides have said which database it is for.

use super::is_final;
use super::links::{Inner, Route};
use super::outbox::{Outbox, Total};
use crate::protocol::direct::{message_head, put_preamble, take_message, take_preamble};
use crate::protocol::messages::Code;
use crate::security::{Peer, Refusal, now_ms, peer_of};
use crate::swarm::agent::dial::{of_code, of_connection};
use crate::swarm::dial_errors::alert;
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::lanes::Traffic;
use bytes::{Bytes, BytesMut};
use quinn::congestion::CubicConfig;
use quinn::{Connection, ConnectionError, IdleTimeout, RecvStream, SendStream, TransportConfig, VarInt};
use rustls_pki_types::CertificateDer;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A connection on which nothing is heard for so long is gone; who dials sees to it that something is.
const IDLE: Duration = Duration::from_secs(10);

/// What may be in flight: more than a message, and enough for a link of 1 Gbit/s at 16 ms.
const WINDOW: u32 = 2 << 20;

/// The longest that a look at the clock is put off: timers stand still while a machine sleeps.
const LOOK: Duration = Duration::from_secs(60);

/// How its connection behaves.
pub(super) fn transport(listens: bool) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE).unwrap_or_else(|_| IdleTimeout::from(VarInt::MAX));
    config
        .max_idle_timeout(Some(idle))
        .keep_alive_interval((!listens).then_some(IDLE / 3))
        .max_concurrent_bidi_streams(VarInt::from_u32(u32::from(listens)))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(u64::from(WINDOW))
        .datagram_receive_buffer_size(None)
        .congestion_controller_factory(Arc::new(CubicConfig::default()));
    Arc::new(config)
}

/// A connection on which this side has still to say what it is for, or to hear it.
pub(super) struct Stream {
    pub(super) connection: Connection,
    pub(super) peer: Peer,
    send: SendStream,
    receive: RecvStream,
    arrived: BytesMut,
}

impl Stream {
    pub(super) fn new(connection: Connection, peer: Peer, (send, receive): (SendStream, RecvStream)) -> Self {
        Self { connection, peer, send, receive, arrived: BytesMut::new() }
    }

    /// Says for which database it is.
    pub(super) async fn say(&mut self, database: &str) -> Result<(), SwarmError> {
        let mut preamble = BytesMut::new();
        put_preamble(database, &mut preamble)
            .map_err(|error| SwarmError::new(SwarmCode::Internal, error.to_string()))?;
        // The other side knows why.
        match self.send.write_all(&preamble).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.ended().await),
        }
    }

    /// Hears it.
    pub(super) async fn hear(&mut self) -> Result<String, SwarmError> {
        loop {
            match take_preamble(&mut self.arrived) {
                Ok(Some(database)) => return Ok(database),
                Ok(None) => {}
                Err(error) => return Err(self.refuse(error.code(), &error.to_string())),
            }
            match self.receive.read_chunk(usize::MAX, true).await {
                Ok(Some(chunk)) => self.arrived.extend_from_slice(&chunk.bytes),
                Ok(None) | Err(_) => return Err(self.ended().await),
            }
        }
    }

    /// Closes it for this reason, which the other side is told, and gives it.
    pub(super) fn refuse(&self, code: Code, why: &str) -> SwarmError {
        self.connection.close(VarInt::from_u32(code as u32), why.as_bytes());
        of_code(code, why.to_owned())
    }

    /// Why it has ended. Where the stream alone has, the connection is of no use any more.
    async fn ended(&self) -> SwarmError {
        if self.connection.close_reason().is_none() {
            return self.refuse(Code::Protocol, "the stream of a direct link ended");
        }
        reason_of(&self.connection, &self.connection.closed().await)
    }
}

/// Why a connection ended, or did not come about, in words that say whose certificate was not accepted.
pub(super) fn reason_of(connection: &Connection, error: &ConnectionError) -> SwarmError {
    reason(&connection.remote_address().to_string(), error)
}

/// The same for one that never was.
pub(super) fn reason(address: &str, error: &ConnectionError) -> SwarmError {
    let (code, whose) = match error {
        ConnectionError::TransportError(error) => (u64::from(error.code), "its certificate was refused"),
        ConnectionError::ConnectionClosed(closed) => {
            (u64::from(closed.error_code), "it refused our certificate")
        }
        _ => return of_connection(address, error),
    };
    let SwarmError { code: known, .. } = of_connection(address, error);
    match alert(code).and_then(Refusal::of_alert) {
        Some(refusal) => SwarmError::new(known, format!("{address}: {whose}: {refusal}")),
        None => of_connection(address, error),
    }
}

/// Who is at the other end.
pub(super) fn peer(connection: &Connection) -> Result<Peer, SwarmError> {
    let refused = |refusal: Refusal| SwarmError::new(SwarmCode::Unauthenticated, refusal.to_string());
    let chain =
        connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let chain = chain.ok_or_else(|| refused(Refusal::NoCertificate))?;
    peer_of(&chain).map_err(|error| SwarmError::new(SwarmCode::Unauthenticated, error.to_string()))
}

/// How this side has ended a link.
#[derive(Debug, Clone, Copy)]
struct Ended {
    code: Code,
    /// The program wanted it.
    wanted: bool,
}

struct DirectRoute {
    outbox: Outbox,
    connection: Connection,
    ended: OnceLock<Ended>,
}

impl DirectRoute {
    fn end(&self, code: Code, wanted: bool, why: &str) {
        // The first reason counts.
        self.ended.get_or_init(|| Ended { code, wanted });
        self.connection.close(VarInt::from_u32(code as u32), why.as_bytes());
    }
}

impl Route for DirectRoute {
    fn send(&self, message: Bytes) -> Result<(), SwarmError> {
        let head = message_head(message.len())
            .map_err(|error| SwarmError::new(SwarmCode::Internal, error.to_string()))?;
        self.outbox.push(head, message).map_err(|full| {
            self.end(Code::Overloaded, false, "it does not read what it is sent");
            SwarmError::new(SwarmCode::Overloaded, full.to_string())
        })
    }

    fn close(&self, code: Code) {
        self.end(code, true, "the node has closed the link");
    }
}

/// How a link was.
pub(super) struct Served {
    /// It is not to be dialled again.
    pub(super) for_good: bool,
}

/// A link from `Up` to `Down`. `up` runs in between. It ends with either certificate: `not_after` is the end of ours.
pub(super) async fn serve(links: &Arc<Inner>, stream: Stream, not_after: u64, up: impl FnOnce()) -> Served {
    let Stream { connection, peer, send, mut receive, mut arrived } = stream;
    let outbox = Outbox::new(Total::default());
    let (writer, writing) = (outbox.clone(), connection.clone());
    tokio::spawn(async move {
        if let Err(error) = writer.write(writing.clone(), send, Arc::new(Traffic::default())).await {
            tracing::debug!(%error, "a direct link has ended");
            writing.close(VarInt::from_u32(Code::Protocol as u32), b"the stream of a direct link ended");
        }
    });
    let route = Arc::new(DirectRoute { outbox, connection: connection.clone(), ended: OnceLock::new() });
    let Some(link) = links.up(peer.name.id(), false, route.clone()) else {
        connection.close(VarInt::from_u32(Code::Closed as u32), b"the node is closing");
        return Served { for_good: true };
    };
    up();
    let ends_at = not_after.min(peer.not_after);
    let mut look = Instant::now();
    let broken = loop {
        match take_message(&mut arrived) {
            Ok(Some(message)) => {
                tokio::select! {
                    () = link.free() => link.deliver(&message),
                    _ = connection.closed() => break None,
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => break Some((error.code(), error.to_string())),
        }
        tokio::select! {
            chunk = receive.read_chunk(usize::MAX, true) => match chunk {
                Ok(Some(chunk)) => arrived.extend_from_slice(&chunk.bytes),
                Ok(None) | Err(_) if connection.close_reason().is_some() => break None,
                Ok(None) | Err(_) => {
                    break Some((Code::Protocol, "the stream of a direct link ended".to_owned()));
                }
            },
            () = sleep_until(look) => {
                // Certificates count whole seconds, and that one is the last.
                let left = (ends_at / 1000 * 1000 + 1000).saturating_sub(now_ms());
                if left == 0 {
                    break Some((Code::Unauthenticated, Refusal::Expired.to_string()));
                }
                look = Instant::now() + Duration::from_millis(left).min(LOOK);
            }
        }
    };
    if let Some((code, why)) = &broken {
        route.end(*code, false, why);
    }
    let closed = connection.closed().await;
    let (reason, code) = match (route.ended.get(), broken) {
        (Some(Ended { code, wanted: true }), _) => (None, of_code(*code, String::new()).code),
        (_, Some((code, why))) => {
            let reason = of_code(code, why);
            (Some(reason.clone()), reason.code)
        }
        (Some(Ended { code, .. }), None) => {
            let reason = of_code(*code, "the peer does not read what it is sent".to_owned());
            (Some(reason.clone()), reason.code)
        }
        (None, None) => {
            let reason = reason_of(&connection, &closed);
            (Some(reason.clone()), reason.code)
        }
    };
    link.end(reason);
    Served { for_good: is_final(code) }
}
