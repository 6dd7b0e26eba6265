//! An identity: a certificate, its private key, and the authorities that its holder trusts. And what the certificate of
//! a peer says.

use crate::security::admission::Refusal;
use crate::security::spiffe::{NameError, PeerName, Role};
use crate::security::{hex, now_ms, provider, sha256};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

/// Characters of each of the three texts: a chain of four certificates takes a tenth of it.
const LONGEST_PEM: usize = 64 * 1024;

/// Certificates of a chain, and authorities that are trusted at once (two while a root is being replaced).
const MOST_CERTIFICATES: usize = 8;

/// The serial number of a certificate: its bytes in lower-case hexadecimal, without leading zero bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(Box<str>);

impl Serial {
    /// Of the content octets of an ASN.1 INTEGER, which begin with a zero where the first bit would be a sign.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        Self(hex(&bytes[zeros..]).into())
    }

    /// Of what [`Self::as_str`] gave; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let whole = (2..=40).contains(&text.len()) && text.len().is_multiple_of(2) && !text.starts_with("00");
        (whole && text.bytes().all(digit)).then(|| Self(text.into()))
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a certificate says of its holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who.
    pub name: PeerName,
    /// Under which serial number the authority knows the certificate.
    pub serial: Serial,
    /// Its first instant, in milliseconds since the Unix epoch.
    pub not_before: u64,
    /// Its end, in milliseconds since the Unix epoch. Certificates count whole seconds, and this second is the last.
    pub not_after: u64,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
}

impl Peer {
    /// Whether the certificate has ended; a connection that lives longer than its certificate has to go too.
    pub fn expired(&self, now_ms: u64) -> bool {
        now_ms / 1000 > self.not_after / 1000
    }
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// Not PEM of what it should be.
    #[error("{part} {problem}")]
    Pem {
        /// `certificate`, `privateKey` or `ca`.
        part: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The certificate itself is not one of a swarm member.
    #[error("certificate: {0}")]
    Certificate(Refusal),
    /// The name in the certificate.
    #[error("certificate: its SPIFFE name is {0}")]
    Name(#[from] NameError),
    /// Certificate and key do not belong together.
    #[error("privateKey is not the key of the certificate")]
    KeyMismatch,
    /// No key pair could be made: the system has no randomness.
    #[error("no key pair could be made")]
    Key,
    /// The certificate is for something else.
    #[error("certificate: it is for the role {found}, which cannot {needed} here")]
    Role {
        /// What it is for.
        found: Role,
        /// What was to be done with it: "listen", "dial".
        needed: &'static str,
    },
    /// The TLS library would not take it.
    #[error("certificate: {0}")]
    Tls(rustls::Error),
}

/// A checked identity: the chain leads to an authority of `ca`, the key fits, and exactly one SPIFFE name is in it.
#[derive(Clone)]
pub struct Identity {
    certificate: Arc<str>,
    private_key: Arc<Zeroizing<String>>,
    ca: Arc<str>,
    peer: Peer,
    chain: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    key: Arc<CertifiedKey>,
}

impl Identity {
    /// Checks three PEM texts: the certificate (and its intermediates, if any, after it), its key (PKCS#8 or SEC 1), and
    /// the authorities to trust. An identity that has ended is refused; one that has not begun is too.
    pub fn parse(certificate: &str, private_key: &str, ca: &str) -> Result<Self, IdentityError> {
        let chain = certificates("certificate", certificate)?;
        let anchors = certificates("ca", ca)?;
        if private_key.len() > LONGEST_PEM {
            return Err(IdentityError::Pem { part: "privateKey", problem: "is too long".to_owned() });
        }
        let der = PrivateKeyDer::from_pem_slice(private_key.as_bytes())
            // What the parser says could quote the key.
            .map_err(|_| IdentityError::Pem {
                part: "privateKey",
                problem: "holds no private key in PEM".to_owned(),
            })?;
        let peer = peer_of(&chain)?;
        let key = CertifiedKey::from_der(chain.clone(), der, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => IdentityError::KeyMismatch,
            _ => {
                IdentityError::Pem { part: "privateKey", problem: "holds no key that TLS can use".to_owned() }
            }
        })?;
        let mut roots = RootCertStore::empty();
        for anchor in anchors {
            roots.add(anchor).map_err(|_| IdentityError::Pem {
                part: "ca",
                problem: "holds no usable certificate".to_owned(),
            })?;
        }
        let roots = Arc::new(roots);
        let now = UnixTime::since_unix_epoch(Duration::from_millis(now_ms()));
        verify_chain(peer.name.role(), &chain, &roots, now).map_err(IdentityError::Certificate)?;
        Ok(Self {
            certificate: certificate.into(),
            private_key: Arc::new(Zeroizing::new(private_key.to_owned())),
            ca: ca.into(),
            peer,
            chain,
            roots,
            key: Arc::new(key),
        })
    }

    /// The certificate and its intermediates, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The private key, in PEM. It is wiped from memory with the last clone of this identity; copies that the caller
    /// makes are the caller's.
    pub fn private_key(&self) -> &str {
        &self.private_key
    }

    /// The authorities that are trusted, in PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// What the certificate says.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whether an authority, in PEM, is among those that are trusted.
    pub(crate) fn trusts(&self, authority: &str) -> bool {
        let own: Vec<_> = CertificateDer::pem_slice_iter(self.ca.as_bytes()).filter_map(Result::ok).collect();
        CertificateDer::from_pem_slice(authority.as_bytes()).is_ok_and(|authority| own.contains(&authority))
    }

    pub(super) fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }

    pub(super) fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The chain as it is sent, leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

impl fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("peer", &self.peer).finish_non_exhaustive()
    }
}

pub(super) fn certificates(
    part: &'static str,
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let bad = |problem: &str| IdentityError::Pem { part, problem: problem.to_owned() };
    if pem.len() > LONGEST_PEM {
        return Err(bad("is too long"));
    }
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| bad("is not well-formed PEM"))?;
    match found.len() {
        0 => Err(bad("holds no certificate in PEM")),
        1..=MOST_CERTIFICATES => Ok(found),
        _ => Err(bad("holds too many certificates")),
    }
}

/// The chain from a leaf to a root, the instant, and the extended key usage of one of the two sides.
pub(super) fn verify_chain(
    role: Role,
    chain: &[CertificateDer<'static>],
    roots: &Arc<RootCertStore>,
    now: UnixTime,
) -> Result<(), Refusal> {
    let (leaf, intermediates) = chain.split_first().ok_or(Refusal::NoCertificate)?;
    if role.serves() {
        verify_as_server(leaf, intermediates, roots, now)?;
    }
    if role.dials() {
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|_| Refusal::OtherAuthority)?;
        verifier.verify_client_cert(leaf, intermediates, now).map_err(|error| Refusal::of_chain(&error))?;
    }
    Ok(())
}

/// [`verify_chain`] for the side that was dialled. The name under which it was dialled plays no part: a certificate
/// names a member of the swarm, wherever that member runs today.
pub(super) fn verify_as_server(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    roots: &RootCertStore,
    now: UnixTime,
) -> Result<(), Refusal> {
    let parsed = ParsedCertificate::try_from(leaf).map_err(|error| Refusal::of_chain(&error))?;
    let algorithms = provider().signature_verification_algorithms.all;
    rustls::client::verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)
        .map_err(|error| Refusal::of_chain(&error))
}

/// Who presented this chain (leaf first). It says nothing about whether the chain is to be trusted: that was decided in
/// the handshake.
pub fn peer_of(chain: &[CertificateDer<'_>]) -> Result<Peer, IdentityError> {
    let malformed = || IdentityError::Certificate(Refusal::Malformed);
    let leaf = chain.first().ok_or(IdentityError::Certificate(Refusal::NoCertificate))?;
    let (rest, certificate) = x509_parser::parse_x509_certificate(leaf).map_err(|_| malformed())?;
    if !rest.is_empty() {
        return Err(malformed());
    }
    let names = certificate.subject_alternative_name().map_err(|_| malformed())?.ok_or_else(malformed)?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    // SPIFFE X509-SVID, section 2: exactly one URI. With two, it would be up to the reader who this is.
    let (Some(uri), None) = (uris.next(), uris.next()) else { return Err(malformed()) };
    let validity = certificate.validity();
    let millis =
        |seconds: i64| u64::try_from(seconds).map_err(|_| malformed()).map(|s| s.saturating_mul(1000));
    Ok(Peer {
        name: uri.parse()?,
        serial: Serial::from_bytes(certificate.raw_serial()),
        not_before: millis(validity.not_before.timestamp())?,
        not_after: millis(validity.not_after.timestamp())?,
        fingerprint: sha256(leaf),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{CertificateAuthority, IssueRequest};

    fn issue(authority: &CertificateAuthority, role: Role) -> Identity {
        authority.issue(&IssueRequest::new("one", role)).unwrap().identity
    }

    #[test]
    fn what_was_issued_parses_and_shows_no_key() {
        let authority = CertificateAuthority::in_memory("test").unwrap();
        for role in [Role::Agent, Role::Coordinator, Role::Peer] {
            let identity = issue(&authority, role);
            let again =
                Identity::parse(identity.certificate(), identity.private_key(), identity.ca()).unwrap();
            assert_eq!(again.peer(), identity.peer());
            assert_eq!(
                identity.peer().name.to_string(),
                format!("spiffe://test.midstreamer/swarm/test/{role}/one")
            );
            let shown = format!("{identity:?} {identity:#?}");
            assert!(!shown.contains("PRIVATE") && shown.contains("one"), "{shown}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let (a, b) = (
            CertificateAuthority::in_memory("test").unwrap(),
            CertificateAuthority::in_memory("test").unwrap(),
        );
        let (one, other) = (issue(&a, Role::Agent), issue(&b, Role::Agent));
        let parse =
            |certificate: &str, key: &str, ca: &str| Identity::parse(certificate, key, ca).unwrap_err();
        let wrong_key = parse(one.certificate(), other.private_key(), one.ca());
        assert!(matches!(wrong_key, IdentityError::KeyMismatch), "{wrong_key}");
        let wrong_ca = parse(one.certificate(), one.private_key(), other.ca());
        assert!(matches!(wrong_ca, IdentityError::Certificate(Refusal::OtherAuthority)), "{wrong_ca}");
        let no_name = parse(one.ca(), one.private_key(), one.ca());
        assert!(matches!(no_name, IdentityError::Certificate(Refusal::Malformed)), "{no_name}");
        for (certificate, key, ca, part) in [
            ("", one.private_key(), one.ca(), "certificate"),
            (one.private_key(), one.private_key(), one.ca(), "certificate"),
            (one.certificate(), "", one.ca(), "privateKey"),
            (one.certificate(), one.certificate(), one.ca(), "privateKey"),
            (one.certificate(), one.private_key(), "text", "ca"),
            (&one.certificate().repeat(9), one.private_key(), one.ca(), "certificate"),
            (&one.certificate().repeat(200), one.private_key(), one.ca(), "certificate"),
        ] {
            let error = parse(certificate, key, ca);
            assert!(
                matches!(&error, IdentityError::Pem { part: found, .. } if *found == part),
                "{part}: {error}"
            );
        }
        // A secret must not turn up in a message.
        let cut = &one.private_key()[..one.private_key().len() - 40];
        assert!(!parse(one.certificate(), cut, one.ca()).to_string().contains("MIG"));
    }

    #[test]
    fn both_roots_are_trusted_while_one_replaces_the_other() {
        let (old, new) = (
            CertificateAuthority::in_memory("test").unwrap(),
            CertificateAuthority::in_memory("test").unwrap(),
        );
        let both = format!("{}{}", old.certificate(), new.certificate());
        for identity in [issue(&old, Role::Peer), issue(&new, Role::Peer)] {
            Identity::parse(identity.certificate(), identity.private_key(), &both).unwrap();
        }
    }

    #[test]
    fn serials_have_one_spelling() {
        assert_eq!(Serial::from_bytes(&[0, 0x8f, 1]).as_str(), "8f01");
        assert_eq!(Serial::from_bytes(&[0x0f]).as_str(), "0f");
    }
}
