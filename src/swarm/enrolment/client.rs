//! A new machine: from a join token to an identity, whose key is made here and goes nowhere.

use super::{ALIVE, ANSWER, transport};
use crate::protocol::enrolment::{self, ALPN, ANSWER_BYTES, EnrolmentError, stream_bytes};
use crate::protocol::messages::Code;
use crate::security::{Identity, JoinToken, KeyRequest, Pinned, Refusal, check_id, enrolment_client_config};
use crate::swarm::agent::dial;
use crate::swarm::dial_errors::alert;
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::network::Network;
use crate::swarm::once::Once;
use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint, TransportErrorCode, VarInt};
use rustls_pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::timeout;

/// The longest that a dial may take.
const DIAL: Duration = Duration::from_secs(5);

/// An endpoint that has no place for us is dialled again so often, with pauses that double and vary.
const ATTEMPTS: u32 = 5;
const PAUSE_MS: u64 = 100;

/// For [`enrol`].
#[derive(Debug)]
pub struct EnrolConfig {
    /// `host:port` of the enrolment endpoint. None: the one in the token.
    pub address: Option<String>,
    /// What an operator has handed over.
    pub token: JoinToken,
    /// Who this machine is to be.
    pub agent_id: String,
}

/// An enrolment under way.
pub struct Enrolling {
    task: AbortHandle,
    abort: Box<dyn Fn() + Send + Sync>,
}

impl Enrolling {
    /// No longer wanted: `done` gets ABORTED, if it was not called yet. A use of the token may be gone all the same.
    pub fn abort(&self) {
        (self.abort)();
        self.task.abort();
    }
}

/// Exchanges a token for an identity; `done` runs on the network thread with it, or with why there is none.
///
/// # Errors
/// INVALID_ARGUMENT for an id that is none; INTERNAL when there is no thread.
pub fn enrol(
    config: EnrolConfig,
    done: impl FnOnce(Result<Identity, SwarmError>) + Send + 'static,
) -> Result<Enrolling, SwarmError> {
    check_id(&config.agent_id)
        .map_err(|error| SwarmError::new(SwarmCode::InvalidArgument, format!("agentId: {error}")))?;
    let network = Network::of_agents()?;
    let done = Once::new(done);
    let aborted = done.clone();
    let running = network.clone();
    let task = network.spawn(async move {
        let endpoint = match dial::endpoint(&running) {
            Ok(endpoint) => endpoint,
            Err(error) => return done.run(Err(error)),
        };
        let outcome = run(&endpoint, &config).await;
        done.run(outcome);
        // The last packet tells the coordinator that we have it.
        drop(timeout(Duration::from_secs(1), endpoint.wait_idle()).await);
    });
    let abort = Box::new(move || {
        aborted.run(Err(SwarmError::new(SwarmCode::Aborted, "the enrolment was aborted")));
    });
    Ok(Enrolling { task: task.abort_handle(), abort })
}

async fn run(endpoint: &Endpoint, config: &EnrolConfig) -> Result<Identity, SwarmError> {
    let address = config.address.clone().unwrap_or_else(|| config.token.address());
    let internal = |error: String| SwarmError::new(SwarmCode::Internal, error);
    let tls = enrolment_client_config(*config.token.pin(), ALPN)?;
    let crypto = QuicClientConfig::try_from(tls).map_err(|error| internal(error.to_string()))?;
    let mut client = quinn::ClientConfig::new(Arc::new(crypto));
    client.transport_config(transport(0, ANSWER, Some(ALIVE)));
    let mut attempt = 0;
    loop {
        let outcome = exchange(endpoint, &client, &address, config).await;
        attempt += 1;
        match outcome {
            Err(error) if error.code == SwarmCode::Overloaded && attempt < ATTEMPTS => {
                let pause = PAUSE_MS << attempt;
                tokio::time::sleep(Duration::from_millis(pause / 2 + fastrand::u64(..pause))).await;
            }
            outcome => return outcome,
        }
    }
}

async fn exchange(
    endpoint: &Endpoint,
    client: &quinn::ClientConfig,
    address: &str,
    config: &EnrolConfig,
) -> Result<Identity, SwarmError> {
    let late = |patience: Duration| {
        let message = format!("{address}: no answer within {} ms", patience.as_millis());
        SwarmError::new(SwarmCode::Connection, message)
    };
    let connecting = async {
        let target = dial::target(endpoint, address).await?;
        let connecting = endpoint.connect_with(client.clone(), target, "coordinator");
        let connecting = connecting
            .map_err(|error| SwarmError::new(SwarmCode::Connection, format!("{address}: {error}")))?;
        connecting.await.map_err(|error| of_handshake(address, &error))
    };
    let connection = timeout(DIAL, connecting).await.unwrap_or_else(|_| Err(late(DIAL)))?;
    let outcome = timeout(ANSWER, ask(&connection, address, config)).await;
    let outcome = outcome.unwrap_or_else(|_| Err(late(ANSWER)));
    let code = match &outcome {
        Err(error) if error.code == SwarmCode::Protocol => Code::Protocol,
        _ => Code::Closed,
    };
    connection.close(VarInt::from_u32(code as u32), b"");
    outcome
}

/// The handshake has shown that the other side is a coordinator of the pinned authority: only now is there a secret on
/// the way.
async fn ask(connection: &Connection, address: &str, config: &EnrolConfig) -> Result<Identity, SwarmError> {
    let protocol = |message: String| SwarmError::new(SwarmCode::Protocol, format!("{address}: {message}"));
    let chain =
        connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let chain = chain.ok_or_else(|| protocol("no certificate was presented".to_owned()))?;
    let token = &config.token;
    let pinned = Pinned::of_chain(&chain, token.pin()).map_err(|refusal| unpinned(address, refusal))?;
    // A key takes a millisecond; this thread has the heartbeats of all agents of this process.
    let key = tokio::task::spawn_blocking(KeyRequest::new).await;
    let key = key.ok().and_then(Result::ok);
    let key = key.ok_or_else(|| SwarmError::new(SwarmCode::Internal, "no key pair could be made"))?;
    let mut frame = BytesMut::new();
    let (id, secret) = (token.id(), token.secret());
    enrolment::ask(id.as_bytes(), secret.as_bytes(), &config.agent_id, key.csr_der(), &mut frame)
        .map_err(|error| SwarmError::new(SwarmCode::InvalidArgument, error.to_string()))?;
    let answer = match converse(connection, &frame).await {
        Ok(stream) => enrolment::answer(stream),
        // The connection knows why it ended; it may learn it a moment after its streams.
        Err(Gone) => return Err(dial::of_connection(address, &connection.closed().await)),
    };
    frame.fill(0);
    let answer = answer.map_err(|error| match error {
        EnrolmentError::Refused { code, message } => dial::of_code(code, format!("{address}: {message}")),
        other => protocol(other.to_string()),
    })?;
    let identity = key
        .into_identity(&answer.certificate, &answer.ca)
        .map_err(|error| protocol(format!("the answer makes no identity: {error}")))?;
    pinned.check(&identity, &config.agent_id).map_err(|error| protocol(error.to_string()))?;
    Ok(identity)
}

/// The stream or the connection ended before the answer.
struct Gone;

async fn converse(connection: &Connection, frame: &[u8]) -> Result<Bytes, Gone> {
    let (mut out, mut stream) = connection.open_bi().await.map_err(|_| Gone)?;
    out.write_all(frame).await.map_err(|_| Gone)?;
    out.finish().map_err(|_| Gone)?;
    let answer = stream.read_to_end(stream_bytes(ANSWER_BYTES)).await.map_err(|_| Gone)?;
    // The other side may have closed the connection instead of answering.
    if answer.is_empty() { Err(Gone) } else { Ok(answer.into()) }
}

fn unpinned(address: &str, refusal: Refusal) -> SwarmError {
    let message =
        format!("{address}: who answers there is no coordinator of the token's authority: {refusal}");
    SwarmError::new(SwarmCode::Unauthenticated, message)
}

/// Why there is no connection.
fn of_handshake(address: &str, error: &ConnectionError) -> SwarmError {
    let code = match error {
        ConnectionError::TransportError(error) => error.code,
        ConnectionError::ConnectionClosed(closed) => closed.error_code,
        _ => return dial::of_connection(address, error),
    };
    if code == TransportErrorCode::CONNECTION_REFUSED {
        let message =
            format!("{address}: too many machines enrol at the moment, or too many tries from here");
        return SwarmError::new(SwarmCode::Overloaded, message);
    }
    // Only this side looks at certificates, so an alert about one is its own.
    match (error, alert(code.into()).and_then(Refusal::of_alert)) {
        (ConnectionError::TransportError(_), Some(refusal)) => unpinned(address, refusal),
        _ => dial::of_connection(address, error),
    }
}
