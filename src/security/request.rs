//! Certificate requests (PKCS#10, RFC 2986): a member makes its key pair itself and shows that it has it; the key goes
//! nowhere. What an authority reads of a request is the key and nothing else: names and extensions that somebody asks
//! for are not what they get.

use super::identity::{Identity, IdentityError};
use super::key::SigningKey;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rcgen::{CertificateParams, DistinguishedName, SubjectPublicKeyInfo};
use std::fmt;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

/// Bytes of a request in DER. One with nothing but a key takes 200; other programs put names into theirs.
pub const LONGEST_REQUEST: usize = 4096;

/// The SubjectPublicKeyInfo of a P-256 key up to its 65 bytes (RFC 5480, section 2): one spelling, in DER.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The first byte of a point of which both coordinates follow (SEC 1, section 2.3.3), and the length of it.
const UNCOMPRESSED: u8 = 4;
const POINT_BYTES: usize = 65;

/// ecdsa-with-SHA256, RFC 5758, section 3.2.
const ECDSA_WITH_SHA256: &str = "1.2.840.10045.4.3.2";

/// Why a certificate request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Above the limit.
    #[error("takes more than {LONGEST_REQUEST} bytes")]
    TooLong,
    /// Not PKCS#10 in DER, or something follows it.
    #[error("is not a PKCS#10 request in DER")]
    Malformed,
    /// A key that the members of a swarm do not have.
    #[error("is for another key than one of ECDSA on P-256")]
    Key,
    /// It was not signed with the key that is in it, so who sends it may not have that key.
    #[error("is not signed by the key in it")]
    Signature,
}

/// The key of a request, once its signature was verified.
pub(super) fn requested_key(der: &[u8]) -> Result<SubjectPublicKeyInfo, RequestError> {
    if der.len() > LONGEST_REQUEST {
        return Err(RequestError::TooLong);
    }
    let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| RequestError::Malformed)?;
    if !rest.is_empty() {
        return Err(RequestError::Malformed);
    }
    let info = &request.certification_request_info;
    let spki = info.subject_pki.raw;
    let point = spki.strip_prefix(&P256_PREFIX).ok_or(RequestError::Key)?;
    if point.len() != POINT_BYTES || point[0] != UNCOMPRESSED {
        return Err(RequestError::Key);
    }
    if request.signature_algorithm.algorithm.to_id_string() != ECDSA_WITH_SHA256 {
        return Err(RequestError::Signature);
    }
    // Also refuses what is not a point of the curve.
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
        .verify(info.raw, &request.signature_value.data)
        .map_err(|_| RequestError::Signature)?;
    SubjectPublicKeyInfo::from_der(spki).map_err(|_| RequestError::Key)
}

/// A new key pair and a request for a certificate of it. The private key leaves it only inside the [`Identity`] that it
/// becomes.
pub struct KeyRequest {
    key: SigningKey,
    der: Vec<u8>,
}

impl KeyRequest {
    /// Makes the key pair: a millisecond or less.
    ///
    /// # Errors
    /// Of the cryptography, when the system has no randomness.
    pub fn new() -> Result<Self, IdentityError> {
        let failed = |_| IdentityError::Key;
        let key = SigningKey::generate().map_err(failed)?;
        let mut params = CertificateParams::default();
        // The authority says who this is.
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key).map_err(failed)?;
        Ok(Self { der: request.der().to_vec(), key })
    }

    /// The request, PKCS#10 in DER.
    pub fn csr_der(&self) -> &[u8] {
        &self.der
    }

    /// The identity that the authority's answer makes of the key. Both texts are PEM.
    ///
    /// # Errors
    /// KeyMismatch for the certificate of another key, and whatever [`Identity::parse`] finds.
    pub fn into_identity(self, certificate_pem: &str, ca_pem: &str) -> Result<Identity, IdentityError> {
        Identity::parse(certificate_pem, &self.key.to_pem(), ca_pem)
    }
}

impl fmt::Debug for KeyRequest {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRequest").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
