//! Dials a node that takes direct links, and dials it again whenever the link has gone down.

use super::direct::{self, Stream};
use super::is_final;
use super::links::Inner;
use crate::protocol::direct::ALPN;
use crate::protocol::messages::Code;
use crate::protocol::session::backoff_ms;
use crate::security::{Admission, Identity, Role, client_config};
use crate::swarm::agent::dial::{endpoint, target};
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::network::Network;
use crate::swarm::once::Once;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Endpoint, VarInt};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The longest that one dial may take, up to the other side's preamble.
const DIAL: Duration = Duration::from_secs(5);

/// A link that was up for so long was one: the next is not dialled later for what was before it.
const STEADY: Duration = Duration::from_secs(1);

/// How long the last packets may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// Whom to dial.
pub(super) struct Dial {
    pub(super) address: String,
    pub(super) identity: Identity,
    /// For the first link.
    pub(super) timeout: Duration,
}

/// Dials and serves until the links are closed, or it is hopeless. `done` hears of the first link.
pub(super) async fn run(links: Arc<Inner>, network: Network, dial: Dial, done: Once<Result<(), SwarmError>>) {
    let opened = client(&dial.identity).and_then(|client| Ok((client, endpoint(&network)?)));
    let (client, endpoint) = match opened {
        Ok(opened) => opened,
        Err(error) => return done.run(Err(error)),
    };
    tokio::select! {
        () = again_and_again(&links, &endpoint, &client, &dial, &done) => {}
        () = links.closed() => done.run(Err(SwarmError::closed("database's link"))),
    }
    endpoint.close(VarInt::from_u32(Code::Closed as u32), b"the node is closing");
    drop(timeout(FAREWELL, endpoint.wait_idle()).await);
}

fn client(identity: &Identity) -> Result<quinn::ClientConfig, SwarmError> {
    let role = identity.peer().name.role();
    if !role.dials() {
        let message =
            format!("identity: it is for the role {role}, and who dials needs the role peer or agent");
        return Err(SwarmError::new(SwarmCode::Forbidden, message));
    }
    let tls = client_config(identity, &[ALPN], &Admission::default())?;
    let crypto = QuicClientConfig::try_from(tls).map_err(|error| {
        SwarmError::new(SwarmCode::Internal, format!("no cipher suite for QUIC: {error}"))
    })?;
    let mut client = quinn::ClientConfig::new(Arc::new(crypto));
    client.transport_config(direct::transport(false));
    Ok(client)
}

/// Returns when it is hopeless.
async fn again_and_again(
    links: &Arc<Inner>,
    endpoint: &Endpoint,
    client: &quinn::ClientConfig,
    dial: &Dial,
    done: &Once<Result<(), SwarmError>>,
) {
    let give_up = Instant::now() + dial.timeout;
    let (mut attempt, mut was_up) = (0, false);
    let mut last = None;
    loop {
        let greeted = async {
            match timeout(DIAL, greet(links, endpoint, client, &dial.address)).await {
                Ok(greeted) => greeted,
                Err(_) => {
                    let message = format!("{}: no answer within {} ms", dial.address, DIAL.as_millis());
                    Err(SwarmError::new(SwarmCode::Connection, message))
                }
            }
        };
        let greeted = tokio::select! {
            greeted = greeted => greeted,
            () = sleep_until(give_up), if !was_up => return done.run(Err(no_node(dial, last))),
        };
        match greeted {
            Ok(stream) => {
                let since = Instant::now();
                was_up = true;
                let up = || done.run(Ok(()));
                let served = direct::serve(links, stream, dial.identity.peer().not_after, up).await;
                if served.for_good {
                    return;
                }
                if since.elapsed() > STEADY {
                    attempt = 0;
                }
            }
            Err(error) => {
                tracing::debug!(address = dial.address, %error, "no direct link");
                if is_final(error.code) || error.code == SwarmCode::InvalidArgument {
                    if was_up {
                        links.refused(error);
                    } else {
                        done.run(Err(error));
                    }
                    return;
                }
                last = Some(error);
            }
        }
        let pause = Duration::from_millis(backoff_ms(attempt, fastrand::f64()));
        attempt += 1;
        tokio::select! {
            () = sleep(pause) => {}
            () = sleep_until(give_up), if !was_up => return done.run(Err(no_node(dial, last))),
        }
    }
}

/// The error of a first link that took too long, with what was heard last.
fn no_node(dial: &Dial, last: Option<SwarmError>) -> SwarmError {
    let within = dial.timeout.as_millis();
    let address = &dial.address;
    let said = last.map_or_else(String::new, |last| format!("; the last attempt: {last}"));
    SwarmError::new(SwarmCode::Connection, format!("{address}: no direct link within {within} ms{said}"))
}

/// From an address to a stream on which both sides have said that it is for the same database.
async fn greet(
    links: &Inner,
    endpoint: &Endpoint,
    client: &quinn::ClientConfig,
    address: &str,
) -> Result<Stream, SwarmError> {
    if !address.contains(':') {
        let message = format!("address {address:?}: must be host:port");
        return Err(SwarmError::new(SwarmCode::InvalidArgument, message));
    }
    let target = target(endpoint, address).await?;
    // The name is not looked at: who answers is in its certificate.
    let connecting = endpoint
        .connect_with(client.clone(), target, "peer")
        .map_err(|error| SwarmError::new(SwarmCode::Connection, format!("{address}: {error}")))?;
    let connection = connecting.await.map_err(|error| direct::reason(address, &error))?;
    let peer = direct::peer(&connection)?;
    let streams = connection.open_bi().await.map_err(|error| direct::reason(address, &error))?;
    let mut stream = Stream::new(connection, peer, streams);
    let role = stream.peer.name.role();
    if role != Role::Peer {
        return Err(stream.refuse(Code::Forbidden, &format!("{address}: it has the role {role}, not peer")));
    }
    stream.say(&links.database).await?;
    // What this side hears first: until then the other has not looked at our certificate.
    let database = stream.hear().await?;
    if *database != *links.database {
        let message = format!("{address}: it answers for the database {database:?}");
        return Err(stream.refuse(Code::Protocol, &message));
    }
    Ok(stream)
}
