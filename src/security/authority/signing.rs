//! Certificates for keys that somebody else has: a member sends a request for one ([`KeyRequest`]), and who it is and
//! what it may do is said by the authority's side, never by the request.
//!
//! [`KeyRequest`]: crate::security::KeyRequest

use super::certificates::{self, Leaf, Signed};
use super::{AuthorityError, BACKDATED_MS, CertificateAuthority, Grants, Issued, name_error};
use crate::security::identity::Serial;
use crate::security::request::requested_key;
use crate::security::spiffe::{PeerName, Role, check_id};
use crate::security::{now_ms, sha256};
use rcgen::PublicKeyData;
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// For [`CertificateAuthority::sign`].
#[derive(Debug, Clone)]
pub struct SignRequest<'a> {
    /// PKCS#10 in DER. Its key and its signature count; what else it asks for is ignored.
    pub certificate_request: &'a [u8],
    /// Who.
    pub id: &'a str,
    /// As what.
    pub role: Role,
    /// From now. Never beyond the authority's own end.
    pub valid_ms: u64,
    /// What the holder may do.
    pub grants: Grants,
}

/// A certificate and where it stands in the register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCertificate {
    /// In PEM.
    pub certificate: String,
    /// Its number in the register.
    pub serial: Serial,
    /// Its end, in milliseconds since the Unix epoch.
    pub not_after: u64,
}

/// Whom a certificate is for.
pub(super) struct Member<'a> {
    pub(super) id: &'a str,
    pub(super) role: Role,
    pub(super) hosts: &'a [String],
    pub(super) valid_ms: u64,
    pub(super) grants: &'a Grants,
}

impl CertificateAuthority {
    /// Signs a certificate for the key of a request, and returns it once the register has it.
    ///
    /// # Errors
    /// `Request` for what is not a request that the key in it signed, and those of
    /// [`issue`](CertificateAuthority::issue).
    pub fn sign(&self, request: &SignRequest<'_>) -> Result<SignedCertificate, AuthorityError> {
        let (signed, entry) = self.prepare(request)?;
        self.register(entry)?;
        Ok(signed)
    }

    /// The certificate, and what has to be in the register before anybody is given it.
    pub(super) fn prepare(
        &self,
        request: &SignRequest<'_>,
    ) -> Result<(SignedCertificate, Issued), AuthorityError> {
        let SignRequest { certificate_request, id, role, valid_ms, grants } = request;
        let key = requested_key(certificate_request)?;
        self.certify(&Member { id, role: *role, hosts: &[], valid_ms: *valid_ms, grants }, &key)
    }

    /// The same for a key that is known to be the member's.
    pub(super) fn certify(
        &self,
        member: &Member<'_>,
        key: &impl PublicKeyData,
    ) -> Result<(SignedCertificate, Issued), AuthorityError> {
        let Member { id, role, hosts, valid_ms, grants } = member;
        check_id(id).map_err(|error| name_error("id", id, error))?;
        grants.check()?;
        let now = now_ms();
        if now >= self.not_after {
            return Err(AuthorityError::Expired);
        }
        if *valid_ms == 0 {
            let what = "must be at least 1".to_owned();
            return Err(AuthorityError::Invalid { argument: "validMs", what });
        }
        let not_after = certificates::seconds_of(now.saturating_add(*valid_ms).min(self.not_after));
        let not_before = now.saturating_sub(BACKDATED_MS).max(self.not_before);
        let name = PeerName::new(&self.trust_domain, &self.name, *role, id)
            .map_err(|error| name_error("id", id, error))?;
        let leaf = Leaf { name: &name, hosts, not_before, not_after };
        let Signed { certificate, serial } = certificates::leaf(&self.issuer, &leaf, key)?;
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| AuthorityError::Crypto("a certificate that was just signed does not parse"))?;
        let entry = Issued {
            serial: serial.clone(),
            id: (*id).to_owned(),
            role: *role,
            not_after,
            fingerprint: sha256(&der),
            replaces: None,
            grants: (*grants).clone(),
            revoked: None,
        };
        Ok((SignedCertificate { certificate, serial, not_after }, entry))
    }

    /// Puts a certificate into the register; when this returns, it is kept there.
    pub(super) fn register(&self, entry: Issued) -> Result<(), AuthorityError> {
        let now = now_ms();
        self.change(|register| {
            register.add(entry, now);
            Ok(())
        })
    }
}
