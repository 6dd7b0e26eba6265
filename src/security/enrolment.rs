//! TLS for a machine that has a join token and no identity: the server shows its certificate, the machine shows none,
//! and trusts the one authority whose key the token names.
//!
//! The server sends the certificates of its authorities behind its own, which is allowed (RFC 8446, section 4.4.2) and
//! what lets the machine find the pinned one. Whatever else is in the chain decides nothing: somebody in the middle can
//! copy the authority's certificate, but the first certificate has to be signed with its key.
//!
//! As everywhere: TLS 1.3 alone, no tickets, no 0-RTT, no key log, no server name.

use super::admission::Refusal;
use super::identity::{Identity, IdentityError, certificates, peer_of, verify_as_server, verify_chain};
use super::spiffe::{PeerName, Role};
use super::tls::ServerVerifier;
use super::{now_ms, provider, sha256};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;
use std::time::Duration;

/// Certificates of a chain that are looked at: a chain and a bundle of authorities at their longest.
const MOST_CERTIFICATES: usize = 16;

/// Why an answer makes no identity.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The certificates do not fit the key or each other.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The pinned authority has not signed the certificate, or not for an agent, or not for now.
    #[error("the new certificate: {0}")]
    Certificate(Refusal),
    /// Somebody else's.
    #[error("the new certificate is for {found}, not for the agent {expected:?} of this swarm")]
    Name {
        /// Who is in it.
        found: Box<PeerName>,
        /// Who should be.
        expected: String,
    },
    /// The authority is not among those that the identity would trust: it could not verify its own coordinator.
    #[error("the authority that the token names is not among those that come with the certificate")]
    Untrusted,
}

/// For the side that listens for machines with tokens.
///
/// # Errors
/// For an identity that is not for listening.
pub fn enrolment_server_config(
    identity: &Identity,
    protocol: &[u8],
) -> Result<Arc<ServerConfig>, IdentityError> {
    let role = identity.peer().name.role();
    if role != Role::Coordinator {
        return Err(IdentityError::Role { found: role, needed: "take join tokens" });
    }
    let mut chain = identity.chain().to_vec();
    for authority in certificates("ca", identity.ca())? {
        if !chain.contains(&authority) {
            chain.push(authority);
        }
    }
    let key = CertifiedKey::new(chain, identity.key().key.clone());
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(IdentityError::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![protocol.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// For the machine: a handshake succeeds with a coordinator of the pinned authority and with nobody else.
///
/// # Errors
/// Only if TLS 1.3 were not there.
pub fn enrolment_client_config(pin: [u8; 32], protocol: &[u8]) -> Result<Arc<ClientConfig>, IdentityError> {
    let verify = move |leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime| {
        let chain: Vec<_> = std::iter::once(leaf).chain(others).cloned().collect();
        Pinned::at(&chain, &pin, now).map(drop).map_err(Refusal::into_tls)
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(IdentityError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier(verify)))
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// The authority that a token names, and the coordinator that has shown a certificate of it.
#[derive(Debug, Clone)]
pub struct Pinned {
    roots: Arc<RootCertStore>,
    pin: [u8; 32],
    coordinator: PeerName,
}

impl Pinned {
    /// Finds the pinned authority in a chain that was presented, leaf first, and verifies the leaf with it alone.
    ///
    /// # Errors
    /// `OtherAuthority` when it is not there or has not signed the leaf; the others are about the leaf.
    pub fn of_chain(chain: &[CertificateDer<'_>], pin: &[u8; 32]) -> Result<Self, Refusal> {
        Self::at(chain, pin, UnixTime::since_unix_epoch(Duration::from_millis(now_ms())))
    }

    fn at(chain: &[CertificateDer<'_>], pin: &[u8; 32], now: UnixTime) -> Result<Self, Refusal> {
        let (leaf, others) = chain.split_first().ok_or(Refusal::NoCertificate)?;
        let others = &others[..others.len().min(MOST_CERTIFICATES)];
        let pinned = others.iter().find(|certificate| is_pinned(certificate, pin));
        let pinned = pinned.ok_or(Refusal::OtherAuthority)?;
        let mut roots = RootCertStore::empty();
        roots.add(pinned.clone().into_owned()).map_err(|_| Refusal::OtherAuthority)?;
        verify_as_server(leaf, others, &roots, now)?;
        let peer = peer_of(chain).map_err(|_| Refusal::Malformed)?;
        // A peer listens too, but hands out no identities.
        if peer.name.role() != Role::Coordinator {
            return Err(Refusal::WrongRole);
        }
        Ok(Self { roots: Arc::new(roots), pin: *pin, coordinator: peer.name })
    }

    /// Who answers.
    pub fn coordinator(&self) -> &PeerName {
        &self.coordinator
    }

    /// Whether an identity is what was asked for: of the pinned authority, an agent of this id, in the swarm of the
    /// coordinator.
    ///
    /// # Errors
    /// Says what it is not.
    pub fn check(&self, identity: &Identity, agent_id: &str) -> Result<(), AnswerError> {
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now_ms()));
        verify_chain(Role::Agent, identity.chain(), &self.roots, now).map_err(AnswerError::Certificate)?;
        let name = &identity.peer().name;
        let ours = name.role() == Role::Agent && name.id() == agent_id;
        if !ours || !name.is_of_same_swarm(&self.coordinator) {
            let (found, expected) = (Box::new(name.clone()), agent_id.to_owned());
            return Err(AnswerError::Name { found, expected });
        }
        let trusted = certificates("ca", identity.ca())?;
        if !trusted.iter().any(|certificate| is_pinned(certificate, &self.pin)) {
            return Err(AnswerError::Untrusted);
        }
        Ok(())
    }
}

fn is_pinned(certificate: &CertificateDer<'_>, pin: &[u8; 32]) -> bool {
    x509_parser::parse_x509_certificate(certificate)
        .is_ok_and(|(_, parsed)| verify_slices_are_equal(&sha256(parsed.public_key().raw), pin).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{CertificateAuthority, IssueRequest, KeyRequest, SignRequest};

    fn authority() -> CertificateAuthority {
        CertificateAuthority::in_memory("test").unwrap()
    }

    fn issue(authority: &CertificateAuthority, id: &str, role: Role) -> Identity {
        authority.issue(&IssueRequest::new(id, role)).unwrap().identity
    }

    /// What a server with this identity sends.
    fn sent(identity: &Identity) -> Vec<CertificateDer<'static>> {
        let mut chain = identity.chain().to_vec();
        chain.extend(certificates("ca", identity.ca()).unwrap());
        chain
    }

    fn refused(chain: &[CertificateDer<'_>], pin: &[u8; 32]) -> Refusal {
        Pinned::of_chain(chain, pin).unwrap_err()
    }

    #[test]
    fn only_a_coordinator_of_the_pinned_authority_is_told_anything() {
        let (ours, theirs) = (authority(), authority());
        let pin = ours.spki_digest();
        let honest = sent(&issue(&ours, "boss", Role::Coordinator));
        assert_eq!(Pinned::of_chain(&honest, &pin).unwrap().coordinator().id(), "boss");
        assert_eq!(refused(&honest, &theirs.spki_digest()), Refusal::OtherAuthority);
        assert_eq!(refused(&honest[..1], &pin), Refusal::OtherAuthority);
        assert_eq!(refused(&[], &pin), Refusal::NoCertificate);
        // The authority by itself is nobody's server.
        assert_eq!(refused(&honest[1..], &pin), Refusal::OtherAuthority);
        let itself = [honest[1].clone(), honest[1].clone()];
        assert!(Pinned::of_chain(&itself, &pin).is_err());
        // A member that is no coordinator.
        assert_eq!(refused(&sent(&issue(&ours, "agent", Role::Agent)), &pin), Refusal::WrongRole);
        assert_eq!(refused(&sent(&issue(&ours, "node", Role::Peer)), &pin), Refusal::WrongRole);
        // Somebody in the middle, who has our authority's certificate as everybody has, and one of his own.
        let mut middle = sent(&issue(&theirs, "boss", Role::Coordinator));
        middle.insert(1, honest[1].clone());
        assert_eq!(refused(&middle, &pin), Refusal::OtherAuthority);
        middle.truncate(2);
        assert_eq!(refused(&middle, &pin), Refusal::OtherAuthority);
        // An end that has passed.
        let end =
            ours.issue(&IssueRequest { valid_ms: Some(60_000), ..IssueRequest::new("b", Role::Coordinator) });
        let end = end.unwrap();
        let later = UnixTime::since_unix_epoch(Duration::from_millis(end.not_after + 1000));
        assert_eq!(Pinned::at(&sent(&end.identity), &pin, later).unwrap_err(), Refusal::Expired);
    }

    #[test]
    fn only_the_identity_that_was_asked_for_is_taken() {
        let ours = authority();
        let pinned =
            Pinned::of_chain(&sent(&issue(&ours, "boss", Role::Coordinator)), &ours.spki_digest()).unwrap();
        pinned.check(&issue(&ours, "agent-7", Role::Agent), "agent-7").unwrap();
        let other_id = pinned.check(&issue(&ours, "agent-8", Role::Agent), "agent-7").unwrap_err();
        assert!(matches!(other_id, AnswerError::Name { .. }), "{other_id}");
        let other_role = pinned.check(&issue(&ours, "agent-7", Role::Peer), "agent-7").unwrap_err();
        assert!(matches!(other_role, AnswerError::Name { .. }), "{other_role}");
        let server = pinned.check(&issue(&ours, "agent-7", Role::Coordinator), "agent-7").unwrap_err();
        assert!(matches!(server, AnswerError::Certificate(Refusal::WrongRole)), "{server}");
        let foreign = pinned.check(&issue(&authority(), "agent-7", Role::Agent), "agent-7").unwrap_err();
        assert!(matches!(foreign, AnswerError::Certificate(Refusal::OtherAuthority)), "{foreign}");

        // While a root is replaced, both are handed out, and the pinned one has to be among them.
        let next = authority();
        let both = format!("{}{}", next.certificate(), ours.certificate());
        let sign = |ca: &str| {
            let key = KeyRequest::new().unwrap();
            let request = SignRequest {
                certificate_request: key.csr_der(),
                id: "agent-7",
                role: Role::Agent,
                valid_ms: 60_000,
                grants: Default::default(),
            };
            let certificate = ours.sign(&request).unwrap().certificate;
            key.into_identity(&certificate, ca).unwrap()
        };
        pinned.check(&sign(&both), "agent-7").unwrap();
    }

    #[test]
    fn nothing_outlives_a_handshake() {
        let ours = authority();
        let server = enrolment_server_config(&issue(&ours, "boss", Role::Coordinator), b"x/1").unwrap();
        assert_eq!((server.send_tls13_tickets, server.max_early_data_size), (0, 0));
        assert!(!server.session_storage.can_cache() && !server.ticketer.enabled());
        let client = enrolment_client_config([0; 32], b"x/1").unwrap();
        assert!(!client.enable_early_data && !client.enable_sni);
        for role in [Role::Agent, Role::Peer] {
            let error = enrolment_server_config(&issue(&ours, "a", role), b"x/1").unwrap_err().to_string();
            assert!(error.ends_with("which cannot take join tokens here"), "{error}");
        }
    }
}
