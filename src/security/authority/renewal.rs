//! Renewal: another certificate for the holder of one that is in the register and was not taken back.

use super::{AuthorityError, CertificateAuthority, Issued, SignRequest, SignedCertificate};
use crate::security::identity::Peer;
use crate::security::now_ms;

impl CertificateAuthority {
    /// Signs a certificate for the holder of `current`, of the same name and with the same grants, valid for `valid_ms`. A
    /// revocation and a renewal that meet are one after the other: what was taken back has no successor that was not.
    ///
    /// # Errors
    /// `Unknown` for a certificate that is not in the register, `Revoked` for one that was taken back, and those of
    /// [`sign`](CertificateAuthority::sign).
    pub fn renew(
        &self,
        certificate_request: &[u8],
        current: &Peer,
        valid_ms: u64,
    ) -> Result<SignedCertificate, AuthorityError> {
        let name = &current.name;
        let held = |issued: &&Issued| {
            issued.serial == current.serial && issued.id == name.id() && issued.role == name.role()
        };
        let unknown = || AuthorityError::Unknown(current.serial.to_string());
        let issued = self.list()?;
        let grants = issued.iter().find(held).ok_or_else(unknown)?.grants.clone();
        let request = SignRequest { certificate_request, id: name.id(), role: name.role(), valid_ms, grants };
        let (signed, entry) = self.prepare(&request)?;
        self.change(|register| {
            match register.issued().iter().find(held) {
                None => return Err(unknown()),
                Some(held) if held.revoked.is_some() => {
                    return Err(AuthorityError::Revoked(held.serial.to_string()));
                }
                Some(_) => {}
            }
            register.add(entry, now_ms());
            Ok(())
        })?;
        Ok(signed)
    }
}
