//! Renewal: another certificate for the holder of one that is in the register and was not taken back.

use super::signing::Member;
use super::{AuthorityError, CertificateAuthority, Issued, SignedCertificate};
use crate::security::identity::{Peer, Serial};
use crate::security::now_ms;
use crate::security::request::requested_key;

/// Certificates that one is renewed into and that are valid: more than one where the holder lost the answer, or could not
/// keep it. Whoever wants many does not get them.
const MOST_SUCCESSORS: usize = 3;

impl CertificateAuthority {
    /// Signs a certificate for the holder of `current`, of the same name and with the same grants, valid for `valid_ms`.
    /// All of it is one step under the lock of the directory: a revocation and a renewal that meet are one after the
    /// other, and what was taken back has no successor that was not.
    ///
    /// # Errors
    /// `Request` for what is not a request that the key in it signed, `Unknown` for a certificate that is not in the
    /// register, `Revoked` for one that was taken back, `Renewed` for one that was renewed too often, and those of
    /// [`sign`](CertificateAuthority::sign).
    pub fn renew(
        &self,
        certificate_request: &[u8],
        current: &Peer,
        valid_ms: u64,
    ) -> Result<SignedCertificate, AuthorityError> {
        // Before anything is read: whoever sends nonsense costs no more than that.
        let key = requested_key(certificate_request)?;
        let name = &current.name;
        let mut signed = None;
        self.change(|register| {
            let now = now_ms();
            let held = register.issued().iter().find(|issued| issued.serial == current.serial);
            let held = held.filter(|issued| issued.is_of(current));
            let held = held.ok_or_else(|| AuthorityError::Unknown(current.serial.to_string()))?;
            if held.revoked.is_some() {
                return Err(AuthorityError::Revoked(held.serial.to_string()));
            }
            let follows = |issued: &&Issued| {
                // One that was taken back is nobody's.
                issued.replaces.as_ref() == Some(&current.serial)
                    && issued.not_after > now
                    && issued.revoked.is_none()
            };
            if register.issued().iter().filter(follows).count() >= MOST_SUCCESSORS {
                return Err(AuthorityError::Renewed(current.serial.to_string()));
            }
            let grants = held.grants.clone();
            let member = Member { id: name.id(), role: name.role(), hosts: &[], valid_ms, grants: &grants };
            let (certificate, entry) = self.certify(&member, &key)?;
            register.add(Issued { replaces: Some(current.serial.clone()), ..entry }, now);
            signed = Some(certificate);
            Ok(())
        })?;
        signed.ok_or(AuthorityError::Crypto("a change of the register was not made"))
    }

    /// Forgets a certificate that was signed and handed to nobody.
    pub(crate) fn withdraw(&self, serial: &Serial) -> Result<(), AuthorityError> {
        self.change(|register| {
            register.remove(serial);
            Ok(())
        })
    }
}
