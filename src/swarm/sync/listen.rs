//! Takes direct links. Whoever connects has a certificate of the same swarm's authority, for an agent or a peer; what it was
//! granted stands in the register, which is not here (docs/security.md says what follows from that).
//!
//! Each address is validated by Retry before a handshake is computed for it (RFC 9000, section 8.1.2), handshake and preamble
//! have a deadline, and so many connections are served and no more. A node has one link here: its newest.

use super::direct::{self, Stream};
use super::links::Inner;
use crate::protocol::direct::ALPN;
use crate::protocol::messages::Code;
use crate::security::{Admission, Identity, Role, server_config};
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::network::{self, Side};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, Incoming, VarInt};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// From the first packet to the preamble.
const GREETING: Duration = Duration::from_secs(5);

/// Connections, with those that have not said yet what they are for; and of these alone.
const MAX_CONNECTIONS: usize = 256;
const MAX_GREETINGS: usize = 32;

/// First packets that wait to be looked at, and their bytes, each and together.
const MAX_INCOMING: usize = 256;
const INCOMING_BYTES: u64 = 8 << 10;
const ALL_INCOMING_BYTES: u64 = 1 << 20;

/// How long the last packets may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// By the id of their node: the number of each link here and its connection.
type Present = Arc<Mutex<HashMap<Box<str>, (u64, Connection)>>>;

/// An endpoint that listens, and its address.
pub(super) async fn open(address: &str, identity: &Identity) -> Result<(Endpoint, String), SwarmError> {
    let role = identity.peer().name.role();
    if role != Role::Peer {
        let message = format!("identity: it is for the role {role}, and who listens needs the role peer");
        return Err(SwarmError::new(SwarmCode::Forbidden, message));
    }
    let server = server(identity)?;
    let local = resolve(address).await?;
    let failed = |error: std::io::Error| {
        SwarmError::new(SwarmCode::Connection, format!("listen {address:?}: {error}"))
    };
    let socket = network::socket(local, Side::Agent).map_err(failed)?;
    let runtime = Arc::new(quinn::TokioRuntime);
    let endpoint =
        Endpoint::new(network::endpoint_config(None), Some(server), socket, runtime).map_err(failed)?;
    let local = endpoint.local_addr().map_err(failed)?.to_string();
    Ok((endpoint, local))
}

/// The address of `host:port`.
async fn resolve(address: &str) -> Result<SocketAddr, SwarmError> {
    let wrong =
        |why: String| SwarmError::new(SwarmCode::InvalidArgument, format!("listen {address:?}: {why}"));
    if !address.contains(':') {
        return Err(wrong("must be host:port".to_owned()));
    }
    let mut found = tokio::net::lookup_host(address).await.map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("has no address".to_owned()))
}

fn server(identity: &Identity) -> Result<quinn::ServerConfig, SwarmError> {
    let tls = server_config(identity, &[ALPN], &Admission::default())?;
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| {
        SwarmError::new(SwarmCode::Internal, format!("no cipher suite for QUIC: {error}"))
    })?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    server
        .transport_config(direct::transport(true))
        .max_incoming(MAX_INCOMING)
        .incoming_buffer_size(INCOMING_BYTES)
        .incoming_buffer_size_total(ALL_INCOMING_BYTES);
    Ok(server)
}

/// Serves who connects until the links are closed.
pub(super) async fn serve(links: Arc<Inner>, endpoint: Endpoint, identity: Identity) {
    let present = Present::default();
    let (places, greetings) =
        (Arc::new(Semaphore::new(MAX_CONNECTIONS)), Arc::new(Semaphore::new(MAX_GREETINGS)));
    let not_after = identity.peer().not_after;
    let mut count = 0;
    loop {
        let incoming = tokio::select! {
            incoming = endpoint.accept() => incoming,
            () = links.closed() => None,
        };
        let Some(incoming) = incoming else { break };
        if !incoming.remote_address_validated() {
            if let Err(error) = incoming.retry() {
                error.into_incoming().ignore();
            }
            continue;
        }
        let taken = (places.clone().try_acquire_owned(), greetings.clone().try_acquire_owned());
        let (Ok(place), Ok(greeting)) = taken else {
            incoming.refuse();
            continue;
        };
        count += 1;
        let visit = Visit { links: links.clone(), present: present.clone(), number: count, not_after };
        tokio::spawn(async move {
            visit.run(incoming, greeting).await;
            drop(place);
        });
    }
    endpoint.close(VarInt::from_u32(Code::Closed as u32), b"the node is closing");
    drop(timeout(FAREWELL, endpoint.wait_idle()).await);
}

/// One who connects.
struct Visit {
    links: Arc<Inner>,
    present: Present,
    number: u64,
    not_after: u64,
}

impl Visit {
    async fn run(self, incoming: Incoming, greeting: OwnedSemaphorePermit) {
        let from = incoming.remote_address();
        let greeted = match timeout(GREETING, self.greet(incoming)).await {
            Ok(greeted) => greeted,
            Err(_) => Err(SwarmError::new(SwarmCode::Connection, "it did not say in time what it wants")),
        };
        drop(greeting);
        let stream = match greeted {
            Ok(stream) => stream,
            Err(error) => return tracing::info!(%from, %error, "a direct link did not come about"),
        };
        let id: Box<str> = stream.peer.name.id().into();
        let connection = stream.connection.clone();
        let before = self.lock().insert(id.clone(), (self.number, connection));
        if let Some((_, before)) = before {
            // One that has lost its connection comes back before this side has noticed.
            before.close(VarInt::from_u32(Code::SessionReplaced as u32), b"the node has connected again");
        }
        direct::serve(&self.links, stream, self.not_after, || ()).await;
        let mut present = self.lock();
        if present.get(&id).is_some_and(|(number, _)| *number == self.number) {
            present.remove(&id);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, (u64, Connection)>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who it is, and whether it is for our database.
    async fn greet(&self, incoming: Incoming) -> Result<Stream, SwarmError> {
        let from = incoming.remote_address().to_string();
        let connection = incoming.await.map_err(|error| direct::reason(&from, &error))?;
        let peer = direct::peer(&connection)?;
        let streams = connection.accept_bi().await.map_err(|error| direct::reason(&from, &error))?;
        let mut stream = Stream::new(connection, peer, streams);
        let database = stream.hear().await?;
        if *database != *self.links.database {
            return Err(
                stream.refuse(Code::NotFound, &format!("no database {database:?} is replicated here"))
            );
        }
        stream.say(&database).await?;
        Ok(stream)
    }
}
