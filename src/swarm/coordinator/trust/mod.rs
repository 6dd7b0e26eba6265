//! Whom a coordinator believes, from the authority that it was given: what the register says of each certificate, now.
//!
//! TLS has checked that a certificate was signed by an authority that is trusted. Here it is looked up by its serial
//! number: what its holder may do, and whether it was taken back, also by other processes and while its holder is
//! connected. A certificate that the register does not know is refused: everything that was issued is entered before it
//! is handed out, so somebody else has signed it.
//!
//! Without an authority there is no register: every member may do everything of its role, nothing is renewed, and the
//! coordinator's own list of refused agents is all there is.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`rights`] | what a session may do |
//! | [`credentials`] | the certificates of a session |
//! | [`watch`] | ends sessions whose certificate has ended or was revoked |
//! | [`renewal`] | renews the identities of agents, over their connections |
//! | [`own`] | renews the identity of the coordinator itself |

pub(super) mod credentials;
pub(super) mod own;
pub(super) mod renewal;
pub(super) mod rights;
pub(super) mod watch;

use super::Shared;
use crate::security::{
    AuthorityError, CertificateAuthority, Grants, Peer, Refusal, RegisterVersion, Role, Serial,
};
use crate::swarm::error::SwarmError;
use rights::Rights;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What the register says of a certificate.
#[derive(Debug, Clone)]
struct Entry {
    id: Box<str>,
    role: Role,
    grants: Arc<Grants>,
    revoked: bool,
}

type Entries = Arc<HashMap<Serial, Entry>>;

/// The authority and what is known of its register.
pub(super) struct Trust {
    authority: Arc<CertificateAuthority>,
    entries: Mutex<Entries>,
    /// Which state of the register they are of. Held while it is read, so that nobody replaces a newer state by an older one.
    version: Mutex<Option<RegisterVersion>>,
    /// The register could not be read.
    failing: AtomicBool,
}

impl Trust {
    /// Reads the register: this blocks.
    pub(super) fn open(authority: Arc<CertificateAuthority>) -> Result<Self, AuthorityError> {
        let trust = Self {
            authority,
            entries: Mutex::default(),
            version: Mutex::default(),
            failing: AtomicBool::new(false),
        };
        trust.refresh()?;
        Ok(trust)
    }

    pub(super) fn authority(&self) -> &Arc<CertificateAuthority> {
        &self.authority
    }

    /// The register could not be read when it was last tried; what was known before still counts.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Looks whether the register has changed, and reads it if so: this blocks. Returns whether it has.
    pub(super) fn refresh(&self) -> Result<bool, AuthorityError> {
        let outcome = self.read();
        self.failing.store(outcome.is_err(), Ordering::Relaxed);
        outcome
    }

    fn read(&self) -> Result<bool, AuthorityError> {
        let mut seen = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the contents: a change in between shows as another version next time.
        let version = self.authority.register_version()?;
        if seen.as_ref() == Some(&version) {
            return Ok(false);
        }
        let entry = |issued: crate::security::Issued| {
            let entry = Entry {
                id: issued.id.into(),
                role: issued.role,
                grants: Arc::new(issued.grants),
                revoked: issued.revoked.is_some(),
            };
            (issued.serial, entry)
        };
        let entries: HashMap<_, _> = self.authority.list()?.into_iter().map(entry).collect();
        *self.entries.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(entries);
        *seen = Some(version);
        Ok(true)
    }

    fn entries(&self) -> Entries {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a certificate may do, as far as the register is known; None where it is not in it.
    fn look_up(&self, peer: &Peer) -> Option<Result<Rights, Refusal>> {
        let entries = self.entries();
        let entry = entries.get(&peer.serial)?;
        if entry.revoked {
            return Some(Err(Refusal::Revoked));
        }
        // Two certificates under one number: one of them was not signed by this authority.
        if *entry.id != *peer.name.id() || entry.role != peer.name.role() {
            return Some(Err(Refusal::OtherAuthority));
        }
        Some(Ok(Rights::of(entry.grants.clone())))
    }

    pub(super) fn revoked(&self) -> Vec<Serial> {
        let entries = self.entries();
        entries.iter().filter(|(_, entry)| entry.revoked).map(|(serial, _)| serial.clone()).collect()
    }
}

/// Takes back whatever the authority issued to a member, so that other coordinators refuse it too. This blocks.
pub(super) fn revoke(shared: &Shared, id: &str, reason: &str) -> Result<(), SwarmError> {
    let Some(trust) = &shared.trust else { return Ok(()) };
    match trust.authority().revoke(id, (!reason.is_empty()).then_some(reason)) {
        // Nothing was issued to it: then there is nothing to take back.
        Ok(()) | Err(AuthorityError::Unknown(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Shared {
    /// What the holder of a certificate may do, or why it is not let in. A certificate that is not known is looked up once
    /// more: it may have been issued a moment ago, by another process.
    pub(super) async fn rights(self: &Arc<Self>, peer: &Peer) -> Result<Rights, Refusal> {
        let Some(trust) = &self.trust else { return Ok(Rights::all()) };
        if let Some(found) = trust.look_up(peer) {
            return found;
        }
        watch::refresh(self).await;
        trust.look_up(peer).unwrap_or(Err(Refusal::OtherAuthority))
    }
}
