//! From an address to a welcome, and what went wrong on the way.

use super::Shared;
use crate::protocol::frame::{HANDSHAKE_FRAME_BYTES, LANE_FRAME_BYTES};
use crate::protocol::messages::{Code, Lane};
use crate::protocol::session::{self, VERSIONS, version_of};
use crate::security::Refusal;
use crate::swarm::dial_errors::{NO_APPLICATION_PROTOCOL, alert};
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::lanes::{Incoming, LaneEnd, Outgoing};
use crate::swarm::network;
use bytes::BytesMut;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, ConnectionError, Endpoint};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The longest that one dial may take, up to the Welcome.
pub(super) const DIAL: Duration = Duration::from_secs(5);

/// The same where there are other addresses to try.
pub(super) const DIAL_ONE_OF_MANY: Duration = Duration::from_secs(2);

/// Dials of this process at once. A thousand that begin together lose packets to each other, and then seconds.
static DIALS: Semaphore = Semaphore::const_new(16);

/// A coordinator has welcomed us.
pub(super) struct Welcomed {
    pub(super) out: Outgoing,
    pub(super) control: Incoming,
    pub(super) established: session::Accepted,
}

/// Dials one address.
pub(super) async fn dial(
    shared: &Arc<Shared>,
    endpoint: &Endpoint,
    client: &quinn::ClientConfig,
    address: &str,
    patience: Duration,
) -> Result<Welcomed, SwarmError> {
    let _place = DIALS.acquire().await;
    match timeout(patience, attempt(shared, endpoint, client, address)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(SwarmError::new(
            SwarmCode::Connection,
            format!("{address}: no answer within {} ms", patience.as_millis()),
        )),
    }
}

async fn attempt(
    shared: &Arc<Shared>,
    endpoint: &Endpoint,
    client: &quinn::ClientConfig,
    address: &str,
) -> Result<Welcomed, SwarmError> {
    let target = target(endpoint, address).await?;
    // The name is not looked at: who answers is in its certificate.
    let connecting = endpoint
        .connect_with(client.clone(), target, "coordinator")
        .map_err(|error| SwarmError::new(SwarmCode::Connection, format!("{address}: {error}")))?;
    let connection = connecting.await.map_err(|error| of_connection(address, &error))?;
    match greet(shared, &connection).await {
        Ok(welcomed) => Ok(welcomed),
        Err(Some(error)) => {
            let code = if error.code == SwarmCode::Protocol { Code::Protocol } else { Code::Closed };
            connection.close(quinn::VarInt::from_u32(code as u32), b"");
            Err(error)
        }
        // The connection knows why it ended; it may learn it a moment after its streams.
        Err(None) => Err(of_connection(address, &connection.closed().await)),
    }
}

/// Which address to dial for `host:port`.
pub(in crate::swarm) async fn target(endpoint: &Endpoint, address: &str) -> Result<SocketAddr, SwarmError> {
    let unreachable = |why: String| SwarmError::new(SwarmCode::Connection, format!("{address}: {why}"));
    let mut found = tokio::net::lookup_host(address).await.map_err(|error| unreachable(error.to_string()))?;
    let v4 = endpoint.local_addr().is_ok_and(|local| local.is_ipv4());
    let target = found.find(|found| !v4 || found.is_ipv4());
    let target = target.ok_or_else(|| unreachable("has no address that this machine can dial".to_owned()))?;
    // What a coordinator that listens on every address calls its own is, from here, this machine.
    Ok(match target.ip() {
        ip if !ip.is_unspecified() => target,
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, target.port())),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, target.port())),
    })
}

/// Sends Hello and waits for the answer; None when the connection ended.
async fn greet(shared: &Arc<Shared>, connection: &Connection) -> Result<Welcomed, Option<SwarmError>> {
    let (send, receive) = connection.open_bi().await.map_err(|_| None)?;
    let runtime = tokio::runtime::Handle::current();
    let out = Outgoing::new(connection.clone(), runtime, shared.traffic.clone());
    tokio::spawn(out.clone().write(Lane::Control, send));
    let mut control = Incoming::new(receive, HANDSHAKE_FRAME_BYTES, shared.traffic.clone());
    let internal = |error: String| Some(SwarmError::new(SwarmCode::Internal, error));
    let data = connection.handshake_data().and_then(|any| any.downcast::<HandshakeData>().ok());
    let version = version_of(VERSIONS, data.and_then(|data| data.protocol).as_deref())
        .map_err(|error| Some(of_code(error.code(), error.to_string())))?;
    let mut frames = BytesMut::new();
    let dialing = shared.turn(|hub, now| hub.greet(shared, version, now, &mut frames));
    let mut dialing =
        dialing.map_err(|error| Some(SwarmError::new(SwarmCode::InvalidArgument, error.to_string())))?;
    out.send_encoded(Lane::Control, &frames).map_err(|error| internal(error.to_string()))?;
    let established = loop {
        let frame = control.next().await.map_err(|end| match end {
            LaneEnd::Closed => None,
            LaneEnd::Malformed(error) => Some(SwarmError::new(SwarmCode::Protocol, error.to_string())),
        })?;
        match dialing.receive(&frame) {
            Ok(None) => {}
            Ok(Some(established)) => break established,
            Err(refused) => return Err(Some(of_code(refused.code(), refused.to_string()))),
        }
    };
    control.allow(LANE_FRAME_BYTES);
    Ok(Welcomed { out, control, established })
}

/// The error of a code of the protocol.
pub(in crate::swarm) fn of_code(code: Code, message: String) -> SwarmError {
    let code = match code {
        Code::Protocol => SwarmCode::Protocol,
        Code::Unauthenticated => SwarmCode::Unauthenticated,
        Code::Forbidden => SwarmCode::Forbidden,
        Code::SessionReplaced => SwarmCode::SessionReplaced,
        Code::Overloaded => SwarmCode::Overloaded,
        Code::Store => SwarmCode::Store,
        Code::NotFound => SwarmCode::NotFound,
        Code::Unspecified | Code::Draining | Code::Closed | Code::Timeout | Code::Internal => {
            SwarmCode::Connection
        }
    };
    SwarmError::new(code, message)
}

/// Why a connection ended.
pub(in crate::swarm) fn of_connection(address: &str, error: &ConnectionError) -> SwarmError {
    let (code, message) = match error {
        ConnectionError::ApplicationClosed(closed) => {
            let reason = String::from_utf8_lossy(&closed.reason).into_owned();
            let code = u32::try_from(closed.error_code.into_inner()).ok();
            let code = code.and_then(|code| i32::try_from(code).ok());
            let code = code.and_then(|code| Code::try_from(code).ok()).unwrap_or(Code::Unspecified);
            return of_code(code, format!("{address}: {reason}"));
        }
        ConnectionError::ConnectionClosed(closed) => (closed.error_code, closed.to_string()),
        ConnectionError::TransportError(error) => (error.code, error.to_string()),
        other => return SwarmError::new(SwarmCode::Connection, format!("{address}: {other}")),
    };
    let code = match alert(code.into()).map(|alert| (alert, Refusal::of_alert(alert))) {
        Some((_, Some(Refusal::WrongRole | Refusal::OtherSwarm))) => SwarmCode::Forbidden,
        Some((_, Some(_))) => SwarmCode::Unauthenticated,
        Some((NO_APPLICATION_PROTOCOL, None)) => SwarmCode::Protocol,
        _ => SwarmCode::Connection,
    };
    SwarmError::new(code, format!("{address}: {message}"))
}

/// A socket for dialling: of both families where the system can.
pub(in crate::swarm) fn endpoint(network: &network::Network) -> Result<Endpoint, SwarmError> {
    let failed = |error: std::io::Error| {
        SwarmError::new(SwarmCode::Connection, format!("no socket to dial from: {error}"))
    };
    let side = network::Side::Agent;
    let any6 = std::net::SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
    let any4 = std::net::SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, 0));
    let socket = network::socket(any6, side).or_else(|_| network::socket(any4, side)).map_err(failed)?;
    let _inside = network.handle().enter();
    Endpoint::new(network::endpoint_config(None), None, socket, Arc::new(quinn::TokioRuntime)).map_err(failed)
}
