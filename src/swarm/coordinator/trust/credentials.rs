//! The certificates of one session: the one that it runs under, those before it, and one that was offered.

use super::rights::Rights;
use crate::security::{Peer, Refusal, Refused, Serial};
use std::collections::HashSet;

/// Refusals of one session that are told.
const MOST_TOLD: usize = 64;

/// See the module. A session begins under the certificate of its handshake; a renewal puts another one in its place.
pub(in crate::swarm::coordinator) struct Credentials {
    peer: Peer,
    rights: Rights,
    /// Serial and end of those before. The agent still has their keys, or somebody who stole them: their revocation counts.
    earlier: Vec<(Serial, u64)>,
    /// Signed for this session, and not yet kept by the agent.
    offered: Option<Peer>,
    /// One is being signed.
    asking: bool,
    /// What was asked for and is not granted: told once, however often it is asked for.
    told: HashSet<(&'static str, Box<str>)>,
}

impl Credentials {
    pub(in crate::swarm::coordinator) fn new(peer: Peer, rights: Rights) -> Self {
        Self { peer, rights, earlier: Vec::new(), offered: None, asking: false, told: HashSet::new() }
    }

    pub(in crate::swarm::coordinator) fn peer(&self) -> &Peer {
        &self.peer
    }

    pub(in crate::swarm::coordinator) fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Whether a refusal is news: the first of its kind in this session, and not one of very many.
    pub(in crate::swarm::coordinator) fn is_news(&mut self, grant: &'static str, name: &str) -> bool {
        self.told.len() < MOST_TOLD && self.told.insert((grant, name.into()))
    }

    /// Why a session with these is not served any more.
    pub(super) fn over(&self, refused: &Refused, now_ms: u64) -> Option<Refusal> {
        if self.peer.expired(now_ms) {
            return Some(Refusal::Expired);
        }
        let serials = self.earlier.iter().map(|(serial, _)| serial).chain([&self.peer.serial]);
        refused.contains_any(self.peer.name.id(), serials).then_some(Refusal::Revoked)
    }

    /// Another certificate is asked for. False while one is being signed: one at a time.
    pub(super) fn ask(&mut self) -> bool {
        !std::mem::replace(&mut self.asking, true)
    }

    /// It was signed, or it was not.
    pub(super) fn offer(&mut self, offered: Option<Peer>) {
        self.asking = false;
        self.offered = offered;
    }

    /// The agent has kept the one with this number. False when that is not what it was offered: nobody comes to run under a
    /// certificate by naming it.
    pub(super) fn kept(&mut self, serial: &str, now_ms: u64) -> bool {
        let Some(offered) = self.offered.take_if(|offered| offered.serial.as_str() == serial) else {
            return false;
        };
        let before = std::mem::replace(&mut self.peer, offered);
        self.earlier.push((before.serial, before.not_after));
        // An ended one lets nobody in.
        self.earlier.retain(|(_, not_after)| *not_after >= now_ms);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{CertificateAuthority, IssueRequest, Revocations, Role};

    #[test]
    fn a_session_ends_with_its_last_certificate_and_with_the_revocation_of_any() {
        let authority = CertificateAuthority::in_memory("test").unwrap();
        let peer = |hours: u64| {
            let valid_ms = Some(hours * 3_600_000);
            let request = IssueRequest { valid_ms, ..IssueRequest::new("a", Role::Agent) };
            authority.issue(&request).unwrap().identity.peer().clone()
        };
        let (first, second) = (peer(1), peer(3));
        let revocations = Revocations::new();
        let mut credentials = Credentials::new(first.clone(), Rights::all());
        let now = first.not_after - 1000;
        assert_eq!(credentials.over(&revocations.current(), now), None);
        assert_eq!(credentials.over(&revocations.current(), first.not_after + 1000), Some(Refusal::Expired));

        assert!(credentials.ask() && !credentials.ask());
        assert!(!credentials.kept(second.serial.as_str(), now), "it was not offered yet");
        credentials.offer(Some(second.clone()));
        assert!(
            !credentials.kept(first.serial.as_str(), now) && credentials.kept(second.serial.as_str(), now)
        );
        assert!(!credentials.kept(second.serial.as_str(), now), "kept once");
        assert_eq!(credentials.peer(), &second);
        assert!(credentials.ask());
        assert_eq!(credentials.over(&revocations.current(), first.not_after + 1000), None);
        for serial in [&first.serial, &second.serial] {
            revocations.replace_serials([serial.clone()]);
            assert_eq!(credentials.over(&revocations.current(), now), Some(Refusal::Revoked));
        }
        revocations.replace_serials([]);
        revocations.refuse_id("a");
        assert_eq!(credentials.over(&revocations.current(), now), Some(Refusal::Revoked));
    }
}
