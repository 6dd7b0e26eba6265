//! The identity of the coordinator itself: made and renewed by the authority that it has.

use super::super::{Shared, audited, start};
use super::Trust;
use crate::security::audit::{Action, Entry};
use crate::security::{CertificateAuthority, Identity, IssueRequest, KeyRequest, Role, now_ms};
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::renewal::{self, LIFE_MS, union_of_bundles};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Who a coordinator is that was given an authority and no identity.
const ID: &str = "coordinator";

/// An identity for a coordinator that was given none. This blocks.
pub(in crate::swarm::coordinator) fn issue(authority: &CertificateAuthority) -> Result<Identity, SwarmError> {
    let request = IssueRequest { valid_ms: Some(LIFE_MS), ..IssueRequest::new(ID, Role::Coordinator) };
    Ok(authority.issue(&request)?.identity)
}

/// Whether an identity and an authority belong together: agents that the authority issues have to be let in, and have to
/// accept this coordinator.
pub(in crate::swarm::coordinator) fn check(trust: &Trust, identity: &Identity) -> Result<(), SwarmError> {
    let authority = trust.authority();
    let invalid = |message: String| Err(SwarmError::new(SwarmCode::InvalidArgument, message));
    let name = &identity.peer().name;
    if name.swarm() != authority.name() || name.trust_domain() != authority.trust_domain() {
        return invalid(format!("identity is {name}, but authority is the one of {:?}", authority.name()));
    }
    if !identity.trusts(authority.certificate()) {
        return invalid(
            "identity.ca does not hold the certificate of authority: nobody that it issues would be let in"
                .to_owned(),
        );
    }
    match trust.look_up(identity.peer()) {
        Some(Ok(_)) => Ok(()),
        Some(Err(refusal)) => Err(SwarmError::new(SwarmCode::Forbidden, format!("identity: {refusal}"))),
        // It could not be renewed, and would end.
        None => invalid(
            "identity is not in the register of authority: it was issued by another one, which `adopt` takes over"
                .to_owned(),
        ),
    }
}

/// Renews the identity around half of its life, for as long as the coordinator is open.
pub(in crate::swarm::coordinator) async fn renew(shared: Arc<Shared>) {
    let mut fresh: Option<Identity> = None;
    let mut current = shared.identity();
    let mut at = renewal::due_at(current.peer(), now_ms(), fastrand::f64());
    loop {
        tokio::select! {
            () = renewal::sleep_until(at) => {}
            // The program has put another one in its place.
            () = shared.rotated.notified() => {
                fresh = None;
                current = shared.identity();
                at = renewal::due_at(current.peer(), now_ms(), fastrand::f64());
                continue;
            }
        }
        if shared.is_closed() {
            return;
        }
        let identity = match fresh.take() {
            // It was made before, and could not be kept.
            Some(identity) if !identity.peer().expired(now_ms()) => Ok(identity),
            _ => sign(&shared, current.clone()).await,
        };
        at = renewal::retry_at(current.peer(), now_ms(), fastrand::f64());
        let identity = match identity {
            Ok(identity) => identity,
            Err(error) => {
                tracing::error!(%error, "the coordinator's identity was not renewed");
                continue;
            }
        };
        let listener = shared.config.on_identity.clone();
        if let Err(why) = renewal::keep(listener.as_ref(), &identity).await {
            tracing::error!(reason = why, "the renewed identity was not kept, so the old one is used on");
            fresh = Some(identity);
            continue;
        }
        match start::replace(&shared, &identity, &current.peer().serial) {
            Ok(true) => {
                tracing::info!(serial = %identity.peer().serial, "the coordinator's identity was renewed");
                let name = identity.peer().name.to_string();
                shared.audit.note(audited::identity(Action::IdentityRotated, name, identity.peer()));
                at = renewal::due_at(identity.peer(), now_ms(), fastrand::f64());
                current = identity;
            }
            // What the program has put in its place counts: it trusts whom the program trusts. `rotated` tells of it.
            // It stays valid: the application has kept it, and may start with it again.
            Ok(false) => {
                tracing::warn!("the identity was rotated while it was renewed: the renewed one is not used")
            }
            Err(error) => tracing::error!(%error, "the renewed identity was not taken up"),
        }
    }
}

/// A new identity of the same name, which trusts whom the old one trusted.
async fn sign(shared: &Arc<Shared>, current: Identity) -> Result<Identity, SwarmError> {
    let shared = shared.clone();
    let signing = tokio::task::spawn_blocking(move || {
        let _inside = shared.span.enter();
        let gone = || SwarmError::new(SwarmCode::Internal, "no authority");
        let authority = shared.trust.as_ref().ok_or_else(gone)?.authority();
        let key = KeyRequest::new()?;
        let signed = authority.renew(key.csr_der(), current.peer(), LIFE_MS)?;
        let mut detail = Map::new();
        detail.insert("replaces".to_owned(), Value::from(current.peer().serial.as_str()));
        detail.insert("notAfter".to_owned(), Value::from(signed.not_after));
        let entry = Entry {
            actor: current.peer().name.to_string(),
            action: Action::IdentityRenewed,
            object: signed.serial.to_string(),
            digest: None,
            detail,
        };
        if let Err(error) = shared.audit.record(entry) {
            authority.withdraw(&signed.serial)?;
            return Err(error.into());
        }
        let ca = union_of_bundles(current.ca(), authority.certificate());
        Ok(key.into_identity(&signed.certificate, &ca)?)
    });
    let panicked = |_| SwarmError::new(SwarmCode::Internal, "the authority panicked");
    signing.await.map_err(panicked)?
}
