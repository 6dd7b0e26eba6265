//! Who is who: the certificate authority, identities, and the TLS configurations that trust nobody else.
//!
//! Every connection of a swarm is TLS 1.3 with certificates on both sides, issued by the swarm's own authority; there
//! is no way to turn that off. Who a peer is stands in its certificate as a SPIFFE name ([`PeerName`]) and nowhere
//! else. What it may do stands in the authority's register ([`Grants`]), under the serial number of the certificate.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `spiffe` | the names: `spiffe://<trust domain>/swarm/<name>/<role>/<id>` |
//! | `identity` | a certificate, its key and whom it trusts; what a peer's certificate says |
//! | `key`, `request` | key pairs, and certificate requests for keys that stay where they were made |
//! | `admission` | why a peer is refused, and which certificates are revoked |
//! | `token` | what a new machine is given to get an identity with |
//! | `tls` | configurations for rustls, and through it for QUIC |
//! | `enrolment` | the same for machines that have a token and no identity |
//! | `audit` | where security events go |
//! | `authority` | issues certificates and keeps the register of them, in a directory or in memory |
//! | [`keyring`] | keys for patterns at rest and between nodes, and what is sealed with them |
//! | `private_file` | files that nobody else can read, replaced whole, with a lock between processes |
//! | `passphrase` | secrets under a passphrase |
//!
//! A trust domain is `<name>.midstreamer`, with the name of the swarm in lower case. It keeps the names of two swarms
//! apart; what keeps swarms apart is that each trusts the key of its own authority alone.

mod admission;
pub mod audit;
mod authority;
mod enrolment;
mod identity;
mod key;
pub mod keyring;
mod passphrase;
mod private_file;
mod request;
mod spiffe;
mod tls;
mod token;

pub(crate) use admission::Refused;
pub use admission::{Admission, Refusal, Revocations};
pub use authority::{
    AuthorityError, AuthorityOptions, CertificateAuthority, Grants, IssueRequest, Issued, IssuedIdentity,
    RedeemError, RedeemRequest, RegisterVersion, Revocation, SignRequest, SignedCertificate, TokenRefusal,
    TokenRequest,
};
pub(crate) use authority::{BACKDATED_MS, check_reason};
pub use enrolment::{AnswerError, Pinned, enrolment_client_config, enrolment_server_config};
pub use identity::{Identity, IdentityError, Peer, Serial, peer_of};
pub use private_file::PrivateFileError;
pub use request::{KeyRequest, LONGEST_REQUEST, RequestError};
pub use spiffe::{LONGEST_ID, LONGEST_SWARM, NameError, PeerName, Role, check_id, check_swarm};
pub use tls::{client_config, server_config};
pub use token::{JoinSecret, JoinToken, LONGEST_TOKEN, TokenError, TokenId};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::crypto::CryptoProvider;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The cryptography of everything here, named explicitly: two providers in one process would make rustls' default
/// ambiguous. Key exchange is hybrid first (X25519MLKEM768), so that what is recorded today stays closed to a quantum
/// computer of tomorrow.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || {
        use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
        let mut provider = default_provider();
        provider.kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519, kx_group::SECP256R1];
        // QUIC needs the second one for its Initial packets.
        provider.cipher_suites = vec![
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ];
        Arc::new(provider)
    };
    PROVIDER.get_or_init(make).clone()
}

/// Milliseconds since the Unix epoch, by the wall clock: certificates are about calendar time.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// SHA-256.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of hexadecimal digits.
fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pair = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
