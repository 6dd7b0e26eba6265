//! The endpoint at which machines enrol. Anybody may come here, so everything is small and short: each address is
//! validated by Retry (RFC 9000, section 8.1.2) before a handshake is computed for it, one stream, one question of a
//! few kilobytes within five seconds, a bounded number of exchanges, and limits for each address.

use super::limits::{Limits, Verdict};
use super::{ANSWER, ASK, transport};
use crate::protocol::enrolment::{self, ALPN, EnrolmentError, QUESTION_BYTES, stream_bytes};
use crate::protocol::messages::{Code, Enrol};
use crate::security::{Identity, enrolment_server_config};
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::network::{self, Network, Side};
use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, ReadToEndError, VarInt};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::Instrument;
use zeroize::Zeroizing;

/// Exchanges at once, over all addresses. Each holds a place for at most [`ASK`], the time of the authority, and
/// [`READ`].
const MAX_EXCHANGES: usize = 64;

/// Decisions at once: each reads the authority's files, and the lock of the register lets one at a time through.
const MAX_DECISIONS: usize = 4;

/// First packets that wait to be looked at.
const MAX_INCOMING: usize = 256;

/// Bytes of those, each and together: with Retry there is nothing worth keeping in them.
const INCOMING_BYTES: u64 = 8 << 10;
const ALL_INCOMING_BYTES: u64 = 1 << 20;

/// How long the machine may take to read the answer and go.
const READ: Duration = Duration::from_secs(2);

/// A certificate, and the authorities that members trust. Both PEM.
pub(in crate::swarm) struct Answer {
    pub(in crate::swarm) certificate: String,
    pub(in crate::swarm) ca: String,
}

/// Why there is none, in words for a stranger.
#[derive(Debug)]
pub(in crate::swarm) struct Refused {
    pub(in crate::swarm) code: Code,
    pub(in crate::swarm) message: String,
}

impl From<EnrolmentError> for Refused {
    fn from(error: EnrolmentError) -> Self {
        Self { code: error.code(), message: error.to_string() }
    }
}

/// Who decides. The endpoint knows packets and limits.
pub(in crate::swarm) trait Registrar: Send + Sync + 'static {
    /// Gives a certificate or refuses, and keeps either in the audit log. This blocks.
    fn enrol(&self, question: &Enrol, from: IpAddr) -> Result<Answer, Refused>;

    /// Somebody came and nothing was decided: what was sent was not the protocol, or came too late, or too often.
    fn turned_away(&self, from: IpAddr, refused: &Refused);

    /// So that every line of a log belongs to a coordinator.
    fn span(&self) -> tracing::Span;
}

/// The endpoint. It ends by [`close`](Self::close) alone.
#[derive(Debug)]
pub(in crate::swarm) struct Endpoint {
    endpoint: quinn::Endpoint,
    address: String,
}

impl Endpoint {
    /// Listens.
    pub(in crate::swarm) fn open(
        network: &Network,
        address: SocketAddr,
        identity: &Identity,
    ) -> Result<Self, SwarmError> {
        let failed = |error: std::io::Error| {
            SwarmError::new(SwarmCode::Connection, format!("enrollListen {address}: {error}"))
        };
        let server = server_config(identity)?;
        let socket = network::socket(address, Side::Agent).map_err(failed)?;
        let _inside = network.handle().enter();
        let endpoint = quinn::Endpoint::new(
            network::endpoint_config(None),
            Some(server),
            socket,
            Arc::new(quinn::TokioRuntime),
        )
        .map_err(failed)?;
        let address = endpoint.local_addr().map_err(failed)?.to_string();
        Ok(Self { endpoint, address })
    }

    /// Serves, on the thread of the network, until it is closed.
    pub(in crate::swarm) fn serve(&self, network: &Network, registrar: Arc<dyn Registrar>) {
        let span = registrar.span();
        network.spawn(accept(self.endpoint.clone(), registrar).instrument(span));
    }

    /// `host:port`.
    pub(in crate::swarm) fn address(&self) -> &str {
        &self.address
    }

    /// New handshakes use this identity.
    pub(in crate::swarm) fn rotate(&self, identity: &Identity) -> Result<(), SwarmError> {
        self.endpoint.set_server_config(Some(server_config(identity)?));
        Ok(())
    }

    /// Nobody is served any more. The socket is free when the exchanges under way have noticed.
    pub(in crate::swarm) fn close(self) -> quinn::Endpoint {
        self.endpoint.close(VarInt::from_u32(Code::Closed as u32), b"the coordinator is closing");
        self.endpoint
    }
}

fn server_config(identity: &Identity) -> Result<quinn::ServerConfig, SwarmError> {
    let tls = enrolment_server_config(identity, ALPN)?;
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| {
        SwarmError::new(SwarmCode::Internal, format!("no cipher suite for QUIC: {error}"))
    })?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    server
        .transport_config(transport(1, ANSWER, None))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(ALL_INCOMING_BYTES)
        .migration(false);
    Ok(server)
}

async fn accept(endpoint: quinn::Endpoint, registrar: Arc<dyn Registrar>) {
    let exchanges = Arc::new(Semaphore::new(MAX_EXCHANGES));
    let limits = Arc::new(Mutex::new(Limits::default()));
    let deciding = Arc::new(Semaphore::new(MAX_DECISIONS));
    while let Some(incoming) = endpoint.accept().await {
        if !incoming.remote_address_validated() {
            if let Err(error) = incoming.retry() {
                error.into_incoming().ignore();
            }
            continue;
        }
        let from = incoming.remote_address().ip().to_canonical();
        let verdict = lock(&limits).attempt(from, Instant::now());
        if let Verdict::Stop { first } = verdict {
            incoming.refuse();
            if first {
                let message = "too many attempts from this address".to_owned();
                registrar.turned_away(from, &Refused { code: Code::Overloaded, message });
            }
            continue;
        }
        let Ok(place) = exchanges.clone().try_acquire_owned() else {
            lock(&limits).ended(from, false, Instant::now());
            incoming.refuse();
            let message = "too many exchanges at once".to_owned();
            registrar.turned_away(from, &Refused { code: Code::Overloaded, message });
            continue;
        };
        let (registrar, limits, deciding) = (registrar.clone(), limits.clone(), deciding.clone());
        let exchange = async move {
            let _place = place;
            let failed = exchange(incoming, from, &registrar, &deciding).await.is_err();
            lock(&limits).ended(from, failed, Instant::now());
        };
        tokio::spawn(exchange.in_current_span());
    }
}

fn lock(limits: &Mutex<Limits>) -> std::sync::MutexGuard<'_, Limits> {
    limits.lock().unwrap_or_else(PoisonError::into_inner)
}

/// He has himself to blame.
struct Fault;

/// One connection. What goes wrong on this side is not his fault.
async fn exchange(
    incoming: quinn::Incoming,
    from: IpAddr,
    registrar: &Arc<dyn Registrar>,
    deciding: &Arc<Semaphore>,
) -> Result<(), Fault> {
    let late =
        || Refused { code: Code::Timeout, message: format!("no question within {} ms", ASK.as_millis()) };
    let until = tokio::time::Instant::now() + ASK;
    let connection = match tokio::time::timeout_at(until, incoming).await {
        Ok(Ok(connection)) => connection,
        // He has looked at our certificate and left, or is no client of this protocol.
        Ok(Err(error)) => {
            let message = format!("the handshake failed: {error}");
            registrar.turned_away(from, &Refused { code: Code::Unspecified, message });
            return Err(Fault);
        }
        Err(_) => {
            registrar.turned_away(from, &late());
            return Err(Fault);
        }
    };
    let asked = tokio::time::timeout_at(until, question(&connection)).await.unwrap_or_else(|_| Err(late()));
    let (mut out, outcome) = match asked {
        Ok((question, out)) => {
            // Closed by nobody.
            let Ok(turn) = deciding.clone().acquire_owned().await else { return Err(Fault) };
            let (decider, registrar) = (registrar.clone(), registrar.clone());
            let asking = connection.clone();
            // Files, locks and signatures: not on the network's thread.
            let decided = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                let _inside = decider.span().entered();
                if asking.close_reason().is_some() {
                    // Nobody would hear the answer, and a use of the token would be gone.
                    let message = "it left before its turn".to_owned();
                    let refused = Refused { code: Code::Timeout, message };
                    decider.turned_away(from, &refused);
                    return Err(refused);
                }
                decider.enrol(&question, from)
            });
            let outcome = decided.await.unwrap_or_else(|_| {
                let refused = Refused { code: Code::Internal, message: "the authority failed".to_owned() };
                registrar.turned_away(from, &refused);
                Err(refused)
            });
            (out, outcome)
        }
        Err(refused) => {
            registrar.turned_away(from, &refused);
            close(&connection, refused.code, &refused.message);
            return Err(Fault);
        }
    };
    let mut frame = BytesMut::new();
    let (code, encoded) = match &outcome {
        Ok(Answer { certificate, ca }) => (Code::Closed, enrolment::grant(certificate, ca, &mut frame)),
        Err(Refused { code, message }) => (*code, enrolment::refuse(*code, message, &mut frame)),
    };
    if let Err(error) = encoded {
        // A bundle of authorities that does not fit into a frame.
        tracing::error!(%error, "an answer cannot be sent");
        close(&connection, Code::Internal, "the answer cannot be sent");
        return Ok(());
    }
    let answered = async {
        out.write_all(&frame).await.is_ok() && out.finish().is_ok() && {
            // He closes when he has read it; closing at once could take the words along.
            connection.closed().await;
            true
        }
    };
    // Whether he has it or not: the use of the token is gone, and he will say if he has not.
    drop(timeout(READ, answered).await);
    close(&connection, code, "");
    match outcome {
        Ok(_) => Ok(()),
        Err(Refused { code: Code::Store | Code::Internal | Code::Closed, .. }) => Ok(()),
        Err(_) => Err(Fault),
    }
}

/// The one question of a connection, and where its answer goes.
async fn question(connection: &Connection) -> Result<(Enrol, quinn::SendStream), Refused> {
    let left = || Refused { code: Code::Unspecified, message: "left without a question".to_owned() };
    let (out, mut stream) = connection.accept_bi().await.map_err(|_| left())?;
    let bytes = stream.read_to_end(stream_bytes(QUESTION_BYTES)).await.map_err(|error| match error {
        ReadToEndError::TooLong => Refused {
            code: Code::Protocol,
            message: format!("a question of more than {QUESTION_BYTES} bytes"),
        },
        ReadToEndError::Read(_) => left(),
    })?;
    // The secret is in there; the memory is wiped when the last view of it goes.
    let question = enrolment::question(Bytes::from_owner(Zeroizing::new(bytes)))?;
    Ok((question, out))
}

fn close(connection: &Connection, code: Code, message: &str) {
    connection.close(VarInt::from_u32(code as u32), message.as_bytes());
}
