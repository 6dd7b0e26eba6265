//! What others did to a register: noticing it, and taking over the register of a predecessor.

use super::{AuthorityError, CertificateAuthority, Place, REGISTER, register};
use crate::security::now_ms;
use std::sync::PoisonError;

/// Which state of a register somebody has seen. Two that are equal are of the same contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterVersion(Version);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Version {
    /// Certificates, the last one, and how many were taken back: each change changes one of them.
    Memory { issued: usize, last: Option<String>, revoked: usize },
    /// Of the file, which is replaced whole. None: there is none yet.
    File(Option<crate::security::private_file::FileVersion>),
}

impl CertificateAuthority {
    /// The present state of the register. Costs a look at the file's name, not at its contents.
    pub fn register_version(&self) -> Result<RegisterVersion, AuthorityError> {
        Ok(RegisterVersion(match &self.register {
            Place::Memory(held) => {
                let held = held.lock().unwrap_or_else(PoisonError::into_inner);
                let issued = held.register.issued();
                Version::Memory {
                    issued: issued.len(),
                    last: issued.last().map(|issued| issued.serial.to_string()),
                    revoked: issued.iter().filter(|issued| issued.revoked.is_some()).count(),
                }
            }
            Place::Directory(directory) => Version::File(directory.version(REGISTER)?),
        }))
    }

    /// Enters what a predecessor of the same swarm issued and took back into this register: its certificates keep what
    /// they may do, and can be revoked here. For the change from one root to the next; may be repeated. Returns how many
    /// entries were new or have changed.
    pub fn adopt(&self, predecessor: &Self) -> Result<usize, AuthorityError> {
        if predecessor.name != self.name {
            let what = format!("is the authority of {:?}, this one of {:?}", predecessor.name, self.name);
            return Err(AuthorityError::Invalid { argument: "predecessor", what });
        }
        let entries = predecessor.list()?;
        let mut changed = 0;
        self.change(|register| {
            changed = register::Register::adopt(register, &entries, now_ms());
            Ok(())
        })?;
        Ok(changed)
    }
}
