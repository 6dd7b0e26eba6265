//! Renewal of the identities of agents, over the connections that they have.

use super::super::Shared;
use super::super::hub::Hub;
use crate::protocol::Generation;
use crate::protocol::messages::{Code, FrameKind, Renew, RenewalKept, Renewed};
use crate::security::audit::{Action, Entry};
use crate::security::{AuthorityError, Peer, now_ms, peer_of};
use crate::swarm::renewal::{LIFE_MS, is_early};
use bytes::Bytes;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Map, Value};
use std::sync::Arc;

/// Why there is no new certificate.
struct Refused {
    code: Code,
    message: String,
}

impl From<AuthorityError> for Refused {
    fn from(error: AuthorityError) -> Self {
        let code = match &error {
            AuthorityError::Invalid { .. } | AuthorityError::Request(_) => Code::Protocol,
            AuthorityError::Revoked(_) | AuthorityError::Unknown(_) => Code::Unauthenticated,
            AuthorityError::Renewed(_) => Code::Overloaded,
            AuthorityError::Crypto(_) => Code::Internal,
            _ => Code::Store,
        };
        // Paths of the coordinator's machine are its own affair.
        let message = match code {
            Code::Store => "the authority cannot sign at present".to_owned(),
            _ => error.to_string(),
        };
        tracing::warn!(%error, "an identity was not renewed");
        Self { code, message }
    }
}

/// An agent wants another certificate. An error breaks the protocol.
pub(in crate::swarm::coordinator) fn asked(
    shared: &Arc<Shared>,
    generation: Generation,
    request: u64,
    renew: Renew,
) -> Result<(), String> {
    let Some(trust) = &shared.trust else {
        return Err("Renew, and no renewal was announced".to_owned());
    };
    let peer = {
        let mut hub = shared.lock();
        if !hub.serves(generation) {
            return Ok(());
        }
        let Some(session) = hub.sessions.get_mut(&generation) else { return Ok(()) };
        let peer = session.credentials.peer().clone();
        let refused = if is_early(&peer, now_ms()) {
            Some("the certificate is too new to be renewed")
        } else if session.credentials.ask() {
            None
        } else {
            Some("another certificate is being signed for this session")
        };
        if let Some(message) = refused {
            let refused = Refused { code: Code::Overloaded, message: message.to_owned() };
            answer(&hub, generation, request, Err(refused));
            return Ok(());
        }
        peer
    };
    let (shared, places) = (shared.clone(), trust.signing.clone());
    tokio::spawn(async move {
        // Closed by nobody.
        let Ok(place) = places.acquire_owned().await else { return };
        // Files and a signature: not on the network's thread.
        tokio::task::spawn_blocking(move || {
            let _inside = shared.span.enter();
            let outcome = sign(&shared, &peer, &renew.csr);
            drop(place);
            shared.turn(|hub, _| {
                let Some(session) = hub.sessions.get_mut(&generation) else { return };
                session.credentials.offer(outcome.as_ref().ok().map(|(offered, _)| offered.clone()));
                answer(hub, generation, request, outcome.map(|(_, renewed)| renewed));
            });
        });
    });
    Ok(())
}

fn answer(hub: &Hub, generation: Generation, request: u64, outcome: Result<Renewed, Refused>) {
    let renewed = outcome.unwrap_or_else(|Refused { code, message }| Renewed {
        certificate: String::new(),
        ca: String::new(),
        code: code.into(),
        message,
    });
    hub.send(generation, FrameKind::Renewed, request, &renewed, &Bytes::new());
}

/// Signs, and records it before anybody hears of it.
fn sign(shared: &Shared, peer: &Peer, csr: &[u8]) -> Result<(Peer, Renewed), Refused> {
    let internal = |message: &str| Refused { code: Code::Internal, message: message.to_owned() };
    let trust = shared.trust.as_ref().ok_or_else(|| internal("no authority"))?;
    if shared.audit.is_failing() {
        // It could not be written down: nothing is signed that would have to be taken back.
        let message = "the audit log does not take it".to_owned();
        return Err(Refused { code: Code::Store, message });
    }
    let signed = trust.authority().renew(csr, peer, LIFE_MS)?;
    let mut detail = Map::new();
    detail.insert("replaces".to_owned(), Value::from(peer.serial.as_str()));
    detail.insert("notAfter".to_owned(), Value::from(signed.not_after));
    let entry = Entry {
        actor: peer.name.to_string(),
        action: Action::IdentityRenewed,
        object: signed.serial.to_string(),
        digest: None,
        detail,
    };
    if let Err(error) = shared.audit.record(entry) {
        tracing::error!(%error, "an identity was not renewed: the audit log does not take it");
        // It was shown to nobody.
        if let Err(error) = trust.authority().withdraw(&signed.serial) {
            tracing::error!(%error, serial = %signed.serial, "a certificate that nobody was given stays in the register");
        }
        let message = "the audit log does not take it".to_owned();
        return Err(Refused { code: Code::Store, message });
    }
    let unreadable = |_| internal("a certificate that was just signed does not parse");
    let der = CertificateDer::from_pem_slice(signed.certificate.as_bytes()).map_err(unreadable)?;
    let offered = peer_of(&[der]).map_err(|error| internal(&error.to_string()))?;
    let ca = shared.identity().ca().to_owned();
    let renewed = Renewed {
        certificate: signed.certificate,
        ca,
        code: Code::Unspecified.into(),
        message: String::new(),
    };
    Ok((offered, renewed))
}

/// An agent has kept its new certificate.
pub(in crate::swarm::coordinator) fn kept(shared: &Shared, generation: Generation, kept: &RenewalKept) {
    let mut hub = shared.lock();
    let Some(session) = hub.sessions.get_mut(&generation) else { return };
    if session.credentials.kept(&kept.serial, now_ms()) {
        tracing::info!(agent = %session.agent, serial = kept.serial, "identity renewed");
    } else {
        // It was offered on another connection, or to somebody else. The session stays what it was.
        tracing::debug!(agent = %session.agent, "a certificate was kept that was not offered here");
    }
}
