//! TLS configurations: version 1.3 alone (RFC 8446), certificates on both sides, nothing that outlives a handshake.
//!
//! - No session tickets, no resumption: a resumed session is not verified again, so a revoked agent would get in.
//! - No 0-RTT: early data can be replayed, and a task would run twice.
//! - No key log, whatever the environment says.
//! - No server name is sent or compared: the SPIFFE name in the certificate is the identity, and addresses change.
//!
//! A client finishes its part of a TLS 1.3 handshake before the server has looked at its certificate. Being connected
//! therefore means nothing to a client before the server's first message has arrived.

use crate::security::admission::{Admission, Refusal};
use crate::security::identity::{Identity, IdentityError, peer_of, verify_as_server};
use crate::security::provider;
use crate::security::spiffe::{PeerName, Role};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use std::fmt;
use std::sync::Arc;

/// For the side that listens: a coordinator or a peer. `protocols` are the application protocols (ALPN, RFC 7301), the
/// preferred one first.
pub fn server_config(
    identity: &Identity,
    protocols: &[&[u8]],
    admission: &Admission,
) -> Result<Arc<ServerConfig>, IdentityError> {
    let name = &identity.peer().name;
    if !name.role().serves() {
        return Err(IdentityError::Role { found: name.role(), needed: "listen" });
    }
    let chain = WebPkiClientVerifier::builder_with_provider(identity.roots().clone(), provider())
        .build()
        .map_err(|_| IdentityError::Certificate(Refusal::OtherAuthority))?;
    let verifier = ClientVerifier { chain, name: name.clone(), admission: admission.clone() };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(IdentityError::Tls)?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity.key().clone())));
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// For the side that dials: an agent or a peer.
pub fn client_config(
    identity: &Identity,
    protocols: &[&[u8]],
    admission: &Admission,
) -> Result<Arc<ClientConfig>, IdentityError> {
    let name = &identity.peer().name;
    if !name.role().dials() {
        return Err(IdentityError::Role { found: name.role(), needed: "dial" });
    }
    let (roots, name, admission) = (identity.roots().clone(), name.clone(), admission.clone());
    let verify = move |leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>], now: UnixTime| {
        verify_as_server(leaf, others, &roots, now)
            .and_then(|()| admit(&name, std::slice::from_ref(leaf), Role::serves, &admission))
            .map_err(|refusal| admission.refuse(refusal))
    };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(IdentityError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier(verify)))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity.key().clone())));
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// What both sides ask once the chain is good.
fn admit(
    own: &PeerName,
    chain: &[CertificateDer<'_>],
    may: fn(Role) -> bool,
    admission: &Admission,
) -> Result<(), Refusal> {
    let peer = peer_of(chain).map_err(|_| Refusal::Malformed)?;
    if !peer.name.is_of_same_swarm(own) {
        return Err(Refusal::OtherSwarm);
    }
    // The key usages are those of the role, so this says the same again; but it says it about the name.
    if !may(peer.name.role()) {
        return Err(Refusal::WrongRole);
    }
    if admission.revocations.contains(&peer) {
        return Err(Refusal::Revoked);
    }
    Ok(())
}

/// Only rustls' own TLS 1.2 code would ask, and that is not compiled in.
fn no_tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
}

/// Looks at who dials.
#[derive(Debug)]
struct ClientVerifier {
    chain: Arc<dyn ClientCertVerifier>,
    name: PeerName,
    admission: Admission,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .chain
            .verify_client_cert(leaf, intermediates, now)
            .map_err(|error| self.admission.refuse(Refusal::of_chain(&error)))?;
        admit(&self.name, std::slice::from_ref(leaf), Role::dials, &self.admission)
            .map_err(|refusal| self.admission.refuse(refusal))?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Looks at who was dialled: the leaf, what came behind it, and the time.
pub(super) struct ServerVerifier<F>(pub(super) F);

impl<F> fmt::Debug for ServerVerifier<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerVerifier")
    }
}

impl<F> ServerCertVerifier for ServerVerifier<F>
where
    F: Fn(&CertificateDer<'_>, &[CertificateDer<'_>], UnixTime) -> Result<(), rustls::Error> + Send + Sync,
{
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        (self.0)(leaf, others, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{CertificateAuthority, IssueRequest};
    use rustls::NamedGroup;

    #[test]
    fn nothing_outlives_a_handshake() {
        let authority = CertificateAuthority::in_memory("test").unwrap();
        let issue = |role| authority.issue(&IssueRequest::new("one", role)).unwrap().identity;
        let server = server_config(&issue(Role::Coordinator), &[b"a/1"], &Admission::default()).unwrap();
        assert_eq!((server.send_tls13_tickets, server.max_early_data_size), (0, 0));
        assert!(!server.session_storage.can_cache() && !server.ticketer.enabled());
        assert_eq!(server.alpn_protocols, [b"a/1".to_vec()]);
        let client = client_config(&issue(Role::Agent), &[b"a/2", b"a/1"], &Admission::default()).unwrap();
        assert!(!client.enable_early_data && !client.enable_sni);
        assert_eq!(client.alpn_protocols, [b"a/2".to_vec(), b"a/1".to_vec()]);
        for config in [server.crypto_provider(), client.crypto_provider()] {
            assert_eq!(config.kx_groups[0].name(), NamedGroup::X25519MLKEM768);
        }
    }

    #[test]
    fn a_role_configures_its_own_side_only() {
        let authority = CertificateAuthority::in_memory("test").unwrap();
        let issue = |role| authority.issue(&IssueRequest::new("one", role)).unwrap().identity;
        let admission = Admission::default();
        let serves = |role| server_config(&issue(role), &[], &admission).map(|_| ());
        let dials = |role| client_config(&issue(role), &[], &admission).map(|_| ());
        assert!(serves(Role::Coordinator).is_ok() && serves(Role::Peer).is_ok());
        assert!(dials(Role::Agent).is_ok() && dials(Role::Peer).is_ok());
        let agent = serves(Role::Agent).unwrap_err().to_string();
        assert_eq!(agent, "certificate: it is for the role agent, which cannot listen here");
        let coordinator = dials(Role::Coordinator).unwrap_err().to_string();
        assert_eq!(coordinator, "certificate: it is for the role coordinator, which cannot dial here");
    }
}
