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
use crate::protocol::messages::Code;
use crate::security::{
    AuthorityError, CertificateAuthority, Grants, Issued, Peer, Refusal, RegisterVersion, Role, Serial,
};
use crate::swarm::error::SwarmError;
use rights::Rights;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Certificates that are signed at once; the lock of the register lets one at a time through.
const SIGNATURES: usize = 2;

/// What the register says of a certificate.
#[derive(Debug)]
struct Entry {
    id: Box<str>,
    role: Role,
    fingerprint: [u8; 32],
    grants: Arc<Grants>,
    revoked: bool,
}

impl From<Issued> for Entry {
    fn from(issued: Issued) -> Self {
        let Issued { id, role, fingerprint, grants, revoked, .. } = issued;
        Self { id: id.into(), role, fingerprint, grants: Arc::new(grants), revoked: revoked.is_some() }
    }
}

type Entries = Arc<HashMap<Serial, Entry>>;

/// What a state of the register has taken back.
pub(super) struct TakenBack {
    /// All of it.
    pub(super) all: Vec<Serial>,
    /// What the state before it had not, and whose it was.
    new: Vec<(Serial, Box<str>)>,
}

/// The authority and what is known of its register.
pub(super) struct Trust {
    authority: Arc<CertificateAuthority>,
    entries: Mutex<Entries>,
    /// Which state of the register they are of. Held while it is read and told, so that nobody replaces a newer state by an
    /// older one.
    version: Mutex<Option<RegisterVersion>>,
    /// The register could not be read, or does not come.
    failing: AtomicBool,
    /// One reading at a time: a disk that hangs does not take thread after thread.
    reading: Arc<Semaphore>,
    /// Who is not signed for at once waits without a thread.
    signing: Arc<Semaphore>,
}

impl Trust {
    /// Reads the register: this blocks.
    pub(super) fn open(authority: Arc<CertificateAuthority>) -> Result<Self, AuthorityError> {
        let trust = Self {
            authority,
            entries: Mutex::default(),
            version: Mutex::default(),
            failing: AtomicBool::new(false),
            reading: Arc::new(Semaphore::new(1)),
            signing: Arc::new(Semaphore::new(SIGNATURES)),
        };
        trust.refresh(|_| ())?;
        Ok(trust)
    }

    pub(super) fn authority(&self) -> &Arc<CertificateAuthority> {
        &self.authority
    }

    /// The register could not be read when it was last tried; what was known before still counts.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Looks whether the register has changed, and reads it if so: this blocks. `changed` gets what is taken back, state
    /// after state.
    pub(super) fn refresh(&self, changed: impl FnOnce(TakenBack)) -> Result<(), AuthorityError> {
        let outcome = self.read(changed);
        self.failing.store(outcome.is_err(), Ordering::Relaxed);
        outcome
    }

    fn read(&self, changed: impl FnOnce(TakenBack)) -> Result<(), AuthorityError> {
        let mut seen = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the contents: a change in between shows as another version next time.
        let version = self.authority.register_version()?;
        if seen.as_ref() == Some(&version) {
            return Ok(());
        }
        let entries = self.authority.list()?.into_iter();
        let entries: HashMap<_, _> =
            entries.map(|issued| (issued.serial.clone(), Entry::from(issued))).collect();
        let before = std::mem::replace(
            &mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner),
            Arc::new(entries),
        );
        let first = seen.replace(version).is_none();
        let entries = self.entries();
        let is_new = |serial: &Serial| !first && before.get(serial).is_none_or(|entry| !entry.revoked);
        let revoked = entries.iter().filter(|(_, entry)| entry.revoked);
        let new = revoked.filter(|(serial, _)| is_new(serial));
        let new = new.map(|(serial, entry)| (serial.clone(), entry.id.clone())).collect();
        changed(TakenBack { all: self.revoked(), new });
        Ok(())
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
        // Two certificates under one number: this one was not issued by way of the register.
        let same = entry.fingerprint == peer.fingerprint
            && *entry.id == *peer.name.id()
            && entry.role == peer.name.role();
        Some(if same { Ok(Rights::of(entry.grants.clone())) } else { Err(Refusal::OtherAuthority) })
    }

    /// What a certificate may do by the register of this moment. None where it does not know it any more, or has taken it
    /// back: then the session is on its way out.
    pub(super) fn rights_now(&self, peer: &Peer) -> Option<Rights> {
        self.look_up(peer)?.ok()
    }

    pub(super) fn revoked(&self) -> Vec<Serial> {
        let entries = self.entries();
        entries.iter().filter(|(_, entry)| entry.revoked).map(|(serial, _)| serial.clone()).collect()
    }
}

/// Takes back whatever the authority issued to a member, so that other coordinators refuse it too. This blocks.
pub(super) fn revoke(shared: &Shared, id: &str, reason: &str) -> Result<(), SwarmError> {
    let Some(trust) = &shared.trust else { return Ok(()) };
    match trust.authority().revoke_member(id, (!reason.is_empty()).then_some(reason)) {
        // Nothing was issued to it: then there is nothing to take back.
        Ok(()) | Err(AuthorityError::Unknown(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Shared {
    /// What the holder of a certificate may do, or why it is not let in. A certificate that is not known is looked up once
    /// more: it may have been issued a moment ago, by another process.
    pub(super) async fn rights(self: &Arc<Self>, peer: &Peer) -> Result<Rights, (Code, String)> {
        let Some(trust) = &self.trust else { return Ok(Rights::all()) };
        let mut found = trust.look_up(peer);
        if found.is_none() {
            watch::refresh(self).await;
            found = trust.look_up(peer);
        }
        match found {
            Some(Ok(rights)) => Ok(rights),
            Some(Err(refusal)) => Err((Code::Unauthenticated, refusal.to_string())),
            // It may be in there: a disk that does not answer turns nobody away for good.
            None if trust.is_failing() => {
                Err((Code::Store, "the register of the authority cannot be read at present".to_owned()))
            }
            None => Err((Code::Unauthenticated, Refusal::OtherAuthority.to_string())),
        }
    }
}
