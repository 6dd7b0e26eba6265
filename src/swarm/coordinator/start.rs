//! The beginning and the end of a coordinator: store, sockets, threads.

use super::audited;
use super::checks;
use super::committer::Committer;
use super::enrolment::Desk;
use super::entrance;
use super::hub::{Hub, Life, prefix_of};
use super::refused::Refused;
use super::sync::relay::Relay;
use super::trust::{self, Trust};
use super::{Coordinator, CoordinatorConfig, Listener, Shared};
use crate::protocol::messages::Code;
use crate::protocol::session::{VERSIONS, alpns};
use crate::protocol::tasks::{Ledger, LedgerConfig};
use crate::security::audit::{Action, Audit, AuditError, NoAudit};
use crate::security::{
    Admission, AuthorityError, CertificateAuthority, Identity, IdentityError, IssueRequest, Role, Serial,
};
use crate::store::{MemoryStore, RedbStore, TaskStore};
use crate::swarm::clock::Clock;
use crate::swarm::enrolment;
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::http;
use crate::swarm::lanes::Traffic;
use crate::swarm::logs;
use crate::swarm::metrics::Metrics;
use crate::swarm::network::{self, Network, Side};
use crate::swarm::once::Once;
use quinn::crypto::rustls::QuicServerConfig;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tracing::Instrument;

/// The id of a coordinator that was given none.
const DEVELOPMENT_ID: &str = "coordinator";
/// The name of the swarm of a throw-away authority.
const DEVELOPMENT_SWARM: &str = "development";

/// Packets of handshakes that wait to be looked at, over all peers.
const MAX_INCOMING: usize = 4096;

type Started = Box<dyn FnOnce(Result<Coordinator, SwarmError>) + Send>;

/// Files and name look-ups may wait, so this has a thread of its own.
pub(super) fn start(config: CoordinatorConfig, listener: Listener, started: Started) {
    let started = Once::new(started);
    let failed = started.clone();
    let thread = thread::Builder::new().name("midstreamer-start".to_owned());
    if let Err(error) = thread.spawn(move || started.run(open(config, listener))) {
        failed.run(Err(SwarmError::new(SwarmCode::Internal, format!("no thread to start with: {error}"))));
    }
}

fn open(mut config: CoordinatorConfig, listener: Listener) -> Result<Coordinator, SwarmError> {
    let instance = logs::instance();
    let log = config.on_log.take().map(|listener| logs::subscribe(instance, listener));
    let span = logs::span(instance);
    let _inside = span.clone().entered();
    checks::config(&config)?;
    let listen = network::resolve("listen", &config.listen)?;
    let http = config.http.as_deref().map(|address| network::resolve("http", address)).transpose()?;
    let trust = config.authority.clone().map(Trust::open).transpose()?;
    if let (Some(trust), Some(identity)) = (&trust, &config.identity) {
        trust::own::check(trust, identity)?;
    }
    let enroll_listen = match (&config.enroll_listen, &trust) {
        (Some(_), None) => {
            let message = "enrollListen needs `authority`: without one nobody can be given an identity";
            return Err(SwarmError::new(SwarmCode::InvalidArgument, message));
        }
        (address, _) => {
            address.as_deref().map(|address| network::resolve("enrollListen", address)).transpose()?
        }
    };
    // Before anything is issued: what happens is written down, or does not happen.
    let mut store: Box<dyn TaskStore> = match &config.data_dir {
        Some(directory) => Box::new(RedbStore::new(directory)),
        None => Box::new(MemoryStore::new()),
    };
    let recovered = store.open()?;
    let refused = Refused::open(config.data_dir.as_deref())?;
    let audit_log = config.data_dir.as_deref().map(audited::open).transpose()?;
    let audit: Arc<dyn Audit> = match &audit_log {
        Some(log) => log.clone(),
        None => Arc::new(NoAudit),
    };
    let given = config.identity.is_some();
    let (identity, development) = match (config.identity.take(), &trust) {
        (Some(identity), _) if identity.peer().name.role() == Role::Coordinator => (identity, None),
        (Some(identity), _) => {
            let message = format!("identity is {}, not a coordinator", identity.peer().name);
            return Err(SwarmError::new(SwarmCode::InvalidArgument, message));
        }
        (None, Some(trust)) => {
            let identity = trust::own::issue(trust.authority())?;
            trust.refresh(|_| ())?;
            (identity, None)
        }
        (None, None) => {
            let authority = CertificateAuthority::in_memory(DEVELOPMENT_SWARM)?;
            let identity = issue(&authority, DEVELOPMENT_ID, Role::Coordinator)?;
            (identity, Some(authority))
        }
    };
    let metrics = Arc::new(Metrics::new());
    let admission = {
        let metrics = metrics.clone();
        Admission {
            observer: Some(Arc::new(move |refusal| metrics.refused(refusal))),
            ..Admission::default()
        }
    };
    let server = server_config(&identity, &admission, &config)?;

    if trust.is_some() && !given {
        let peer = identity.peer();
        audit.record(audited::identity(Action::IdentityIssued, peer.name.to_string(), peer))?;
    }
    let revoked = trust.as_ref().map(Trust::revoked).unwrap_or_default();
    admission.revocations.replace(revoked, refused.ids().map(str::to_owned));
    let (name, epoch) = (recovered.store, recovered.epoch);
    let clock = Clock::new();
    let ledger_config = LedgerConfig {
        agent_timeout_ms: config.agent_timeout_ms,
        max_queued: config.max_queued,
        max_agents: config.max_agents,
        retention_ms: config.result_retention_ms,
        max_retained_bytes: config.max_retained_bytes,
        ..LedgerConfig::default()
    };
    let ledger = Ledger::new(ledger_config, recovered, clock.now());
    let store_prefix = prefix_of(name);
    let hub = Hub::new(ledger, name, epoch, metrics.clone());

    let network = Network::start("midstreamer-coordinator")?;
    let keys = config.data_dir.as_deref().map(reset_keys).transpose()?;
    let socket = network::socket(listen, Side::Coordinator).map_err(|error| {
        SwarmError::new(SwarmCode::Connection, format!("listen {:?}: {error}", config.listen))
    })?;
    let endpoint = {
        let _inside = network.handle().enter();
        quinn::Endpoint::new(
            network::endpoint_config(keys.as_ref()),
            Some(server),
            socket,
            Arc::new(quinn::TokioRuntime),
        )
        .map_err(|error| SwarmError::new(SwarmCode::Connection, format!("listen: {error}")))?
    };
    let address = endpoint
        .local_addr()
        .map_err(|error| SwarmError::new(SwarmCode::Connection, format!("listen: {error}")))?
        .to_string();

    let enrolment =
        enroll_listen.map(|address| enrolment::Endpoint::open(&network, address, &identity)).transpose()?;
    let enroll_address = enrolment.as_ref().map(|enrolment| enrolment.address().to_owned());

    let committer = store.durable().then(Committer::new);
    let relay = Relay::new(config.relay.clone());
    let shared = Arc::new(Shared {
        id: identity.peer().name.id().to_owned(),
        name: Arc::from(identity.peer().name.to_string()),
        address,
        http_address: OnceLock::new(),
        config,
        clock,
        network: Mutex::new(Some(network.clone())),
        endpoint: Mutex::new(Some(endpoint.clone())),
        enrolment: Mutex::new(enrolment),
        enroll_address,
        admission,
        development,
        trust,
        identity: Mutex::new(identity),
        rotated: Notify::new(),
        audit,
        audit_log,
        store_prefix,
        traffic: Arc::new(Traffic::default()),
        metrics,
        committer: committer.clone(),
        store_thread: Mutex::new(None),
        listener,
        hub: Mutex::new(hub),
        timer: Notify::new(),
        refused: Mutex::new(refused),
        relay,
        span: span.clone(),
        _log: log,
    });
    if let Some(committer) = committer {
        let thread = committer.start(store, Arc::downgrade(&shared)).map_err(|error| {
            SwarmError::new(SwarmCode::Internal, format!("no thread for the task store: {error}"))
        })?;
        *shared.store_thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    }
    network.spawn(timer(shared.clone()).instrument(span.clone()));
    network.spawn(trust::watch::expire(shared.clone()).instrument(span.clone()));
    if shared.trust.is_some() {
        network.spawn(trust::watch::watch(shared.clone()).instrument(span.clone()));
        network.spawn(trust::own::renew(shared.clone()).instrument(span.clone()));
    }
    if let Some(enrolment) = &*shared.enrolment.lock().unwrap_or_else(PoisonError::into_inner) {
        enrolment.serve(&network, Arc::new(Desk(shared.clone())));
    }
    network.spawn(entrance::accept(endpoint, shared.clone()).instrument(span));
    // What the recovery itself decided, such as deadlines that passed meanwhile.
    shared.turn(|_, _| {});
    if let Some(address) = http {
        let served = http::serve(&network, address, Arc::new(Coordinator(shared.clone())));
        let local = served.map_err(|error| {
            // Nothing of a coordinator that was not started stays behind.
            end(&shared, Duration::ZERO);
            SwarmError::new(SwarmCode::Connection, format!("http {address}: {error}"))
        })?;
        // Set once, here.
        drop(shared.http_address.set(local.to_string()));
    }
    tracing::info!(id = shared.id, address = shared.address, epoch, "coordinator started");
    Ok(Coordinator(shared))
}

/// Tells the ledger the time whenever it has asked to be told.
async fn timer(shared: Arc<Shared>) {
    loop {
        let next = {
            let hub = shared.lock();
            if hub.life == Life::Closed {
                return;
            }
            hub.ledger.next_deadline()
        };
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(shared.clock.instant(at).into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = due => shared.turn(|hub, now| hub.ledger.tick(now)),
            () = shared.timer.notified() => {}
        }
    }
}

fn server_config(
    identity: &Identity,
    admission: &Admission,
    config: &CoordinatorConfig,
) -> Result<quinn::ServerConfig, SwarmError> {
    let protocols = alpns(VERSIONS);
    let protocols: Vec<&[u8]> = protocols.iter().map(Vec::as_slice).collect();
    let tls = crate::security::server_config(identity, &protocols, admission)?;
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| {
        SwarmError::new(SwarmCode::Internal, format!("no cipher suite for QUIC: {error}"))
    })?;
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    server.transport_config(network::transport(
        Side::Coordinator,
        Duration::from_millis(config.agent_timeout_ms),
    ));
    server.max_incoming(MAX_INCOMING);
    Ok(server)
}

/// New handshakes use another identity of the same coordinator.
pub(super) fn rotate(shared: &Shared, identity: &Identity) -> Result<(), SwarmError> {
    if shared.development.is_some() {
        return Err(SwarmError::new(
            SwarmCode::Forbidden,
            "rotateIdentity needs a coordinator that was started with an identity",
        ));
    }
    let name = &identity.peer().name;
    if name.id() != shared.id || name.role() != Role::Coordinator {
        let message = format!("identity is {name}, not the coordinator {:?}", shared.id);
        return Err(SwarmError::new(SwarmCode::InvalidArgument, message));
    }
    if let Some(trust) = &shared.trust {
        // It may have been issued a moment ago.
        trust.refresh(|taken| trust::watch::take_back(shared, taken))?;
        trust::own::check(trust, identity)?;
    }
    // Before it is used, so that nothing is that the log does not tell of.
    let operator = audited::OPERATOR.to_owned();
    shared.audit.record(audited::identity(Action::IdentityRotated, operator, identity.peer()))?;
    let mut current = shared.identity.lock().unwrap_or_else(PoisonError::into_inner);
    take_up(shared, &mut current, identity)
}

/// The same with an identity that was renewed from the one with this number. False when that is not in use any more.
pub(super) fn replace(shared: &Shared, identity: &Identity, before: &Serial) -> Result<bool, SwarmError> {
    let mut current = shared.identity.lock().unwrap_or_else(PoisonError::into_inner);
    if current.peer().serial != *before {
        return Ok(false);
    }
    take_up(shared, &mut current, identity)?;
    Ok(true)
}

fn take_up(shared: &Shared, current: &mut Identity, identity: &Identity) -> Result<(), SwarmError> {
    let server = server_config(identity, &shared.admission, &shared.config)?;
    match shared.endpoint.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        Some(endpoint) => {
            if let Some(enrolment) = &*shared.enrolment.lock().unwrap_or_else(PoisonError::into_inner) {
                enrolment.rotate(identity)?;
            }
            endpoint.set_server_config(Some(server));
            *current = identity.clone();
            Ok(())
        }
        None => Err(SwarmError::closed("coordinator")),
    }
}

fn issue(authority: &CertificateAuthority, id: &str, role: Role) -> Result<Identity, SwarmError> {
    Ok(authority.issue(&IssueRequest::new(id, role))?.identity)
}

pub(super) fn agent_identity(authority: &CertificateAuthority, id: &str) -> Result<Identity, SwarmError> {
    issue(authority, id, Role::Agent)
}

/// The keys by which a restarted coordinator tells agents of the life before that their connections are gone, at once
/// instead of after an idle timeout (RFC 9000, section 10.3).
fn reset_keys(directory: &Path) -> Result<network::ResetKeys, SwarmError> {
    network::ResetKeys::open(&directory.join("quic.keys")).map_err(|error| {
        SwarmError::new(SwarmCode::Store, format!("the keys in {}: {error}", directory.display()))
    })
}

/// Waits for goodbyes, ends connections, threads and the store, and tells who waits for that. Called once.
pub(super) fn end(shared: &Arc<Shared>, goodbye: Duration) {
    let network = shared.network.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(network) = &network {
        let until = Instant::now() + goodbye;
        while Instant::now() < until && !shared.lock().sessions.is_empty() {
            thread::sleep(Duration::from_millis(2));
        }
        let endpoint = shared.endpoint.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(endpoint) = &endpoint {
            endpoint.close(quinn::VarInt::from_u32(Code::Closed as u32), b"the coordinator is closing");
        }
        let enrolment = shared.enrolment.lock().unwrap_or_else(PoisonError::into_inner).take();
        let enrolment = enrolment.map(enrolment::Endpoint::close);
        shared.lock().life = Life::Closed;
        shared.timer.notify_one();
        let (sender, receiver) = std::sync::mpsc::channel();
        network.spawn(async move {
            for endpoint in [endpoint, enrolment].into_iter().flatten() {
                // The last packets tell the peers; nobody waits long for those that do not answer.
                drop(tokio::time::timeout(Duration::from_secs(1), endpoint.wait_idle()).await);
            }
            if sender.send(()).is_err() {
                tracing::error!("nobody waits for the end of the endpoint");
            }
        });
        if receiver.recv().is_err() {
            tracing::error!("the network thread ended before its endpoint");
        }
    }
    shared.relay.close();
    if let Some(committer) = &shared.committer {
        committer.close();
    }
    let store = shared.store_thread.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(store) = store {
        // A panic there was reported where it happened.
        drop(store.join());
    }
    drop(network);
    // Not under the lock: this joins the thread, and what runs there may want it.
    let last = shared.network.lock().unwrap_or_else(PoisonError::into_inner).take();
    drop(last);
    // Last, for the end of every connection is in it.
    if let Some(log) = &shared.audit_log
        && let Err(error) = log.close()
    {
        tracing::error!(%error, "the audit log was closed without its last entries");
    }
    shared.gone();
}

impl From<AuthorityError> for SwarmError {
    fn from(error: AuthorityError) -> Self {
        let code = match error {
            AuthorityError::Invalid { .. } | AuthorityError::Request(_) => SwarmCode::InvalidArgument,
            AuthorityError::Permissions { .. } | AuthorityError::Passphrase { .. } => SwarmCode::Forbidden,
            AuthorityError::Revoked(_) => SwarmCode::Forbidden,
            AuthorityError::Corrupt { .. } => SwarmCode::Corrupt,
            AuthorityError::Io { .. } | AuthorityError::Busy { .. } => SwarmCode::Store,
            AuthorityError::Unknown(_) => SwarmCode::NotFound,
            AuthorityError::Expired => SwarmCode::Expired,
            AuthorityError::TooManyTokens { .. } | AuthorityError::Renewed(_) => SwarmCode::Overloaded,
            AuthorityError::Crypto(_) => SwarmCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<AuditError> for SwarmError {
    fn from(error: AuditError) -> Self {
        let code = match error {
            AuditError::Permissions(_) => SwarmCode::Forbidden,
            AuditError::Corrupt(_) => SwarmCode::Corrupt,
            _ => SwarmCode::Store,
        };
        Self::new(code, error.to_string())
    }
}

impl From<IdentityError> for SwarmError {
    fn from(error: IdentityError) -> Self {
        Self::new(SwarmCode::InvalidArgument, format!("identity: {error}"))
    }
}
