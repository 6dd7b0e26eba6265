//! Certificate authorities: open, issue, revoke, list. Everything waits for files, so everything is a promise.

use super::errors::{Code, invalid};
use super::task::fallible_promise;
use crate::security::{
    AuthorityError, AuthorityOptions, CertificateAuthority, Grants, IssueRequest, Issued, IssuedIdentity,
    Role,
};
use crate::swarm::SwarmCode;
use napi::bindgen_prelude::PromiseRaw;
use napi::{Env, Error};
use napi_derive::napi;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

/// An open authority.
#[napi]
pub struct NativeAuthority(pub(super) Arc<CertificateAuthority>);

/// What was issued; PEM texts.
#[napi(object, object_from_js = false)]
pub struct NativeIdentity {
    pub certificate: String,
    pub private_key: String,
    pub ca: String,
    pub serial: String,
    /// In milliseconds since the Unix epoch.
    pub not_after: f64,
}

/// A line of the register.
#[napi(object, object_from_js = false)]
pub struct NativeCertificate {
    pub serial: String,
    pub id: String,
    pub role: String,
    /// In milliseconds since the Unix epoch, as `revokedAt`.
    pub not_after: f64,
    pub revoked_at: Option<f64>,
    pub reason: Option<String>,
    pub agent_types: Option<Vec<String>>,
    pub kinds: Option<Vec<String>>,
    pub topics: Option<Vec<String>>,
    pub databases: Option<Vec<String>>,
}

/// `valid_days` is 0 for the usual.
#[napi(catch_unwind, ts_return_type = "Promise<NativeAuthority>")]
pub fn open_authority<'env>(
    env: &'env Env,
    directory: String,
    name: Option<String>,
    valid_days: f64,
    passphrase: Option<&[u8]>,
) -> Result<PromiseRaw<'env, NativeAuthority>, Error<Code>> {
    let valid_days = match valid_days {
        0.0 => None,
        // Saturates, and what is too large is refused below.
        days if days >= 1.0 => Some(days as u32),
        days => return Err(invalid(format!("validDays must be at least 1, got {days}"))),
    };
    let passphrase = passphrase.map(|bytes| Zeroizing::new(bytes.to_vec()));
    let open = move || {
        let passphrase = passphrase.as_deref().map(Vec::as_slice);
        let options = AuthorityOptions { name: name.as_deref(), valid_days, passphrase };
        CertificateAuthority::open(&PathBuf::from(directory), &options).map_err(code)
    };
    fallible_promise(env, open, |authority| NativeAuthority(Arc::new(authority)))
}

#[napi]
impl NativeAuthority {
    #[napi(getter, catch_unwind)]
    pub fn certificate(&self) -> String {
        self.0.certificate().to_owned()
    }

    #[napi(getter, catch_unwind)]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }

    /// `valid_ms` is 0 for the usual.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeIdentity>")]
    pub fn issue<'env>(
        &self,
        env: &'env Env,
        id: String,
        role: String,
        hosts: Vec<String>,
        valid_ms: f64,
        agent_types: Option<Vec<String>>,
        kinds: Option<Vec<String>>,
        topics: Option<Vec<String>>,
        databases: Option<Vec<String>>,
    ) -> Result<PromiseRaw<'env, NativeIdentity>, Error<Code>> {
        let authority = self.0.clone();
        let role: Role = role.parse().map_err(|error| invalid(format!("role: {error}")))?;
        let valid_ms = match valid_ms {
            0.0 => None,
            ms if ms >= 1.0 => Some(ms as u64),
            ms => return Err(invalid(format!("validMs must be at least 1, got {ms}"))),
        };
        let grants = Grants { agent_types, kinds, topics, databases };
        let issue = move || {
            authority.issue(&IssueRequest { id: &id, role, hosts: &hosts, valid_ms, grants }).map_err(code)
        };
        fallible_promise(env, issue, |IssuedIdentity { identity, serial, not_after }| NativeIdentity {
            certificate: identity.certificate().to_owned(),
            private_key: identity.private_key().to_owned(),
            ca: identity.ca().to_owned(),
            serial: serial.to_string(),
            not_after: not_after as f64,
        })
    }

    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn revoke<'env>(
        &self,
        env: &'env Env,
        id_or_serial: String,
        reason: Option<String>,
    ) -> Result<PromiseRaw<'env, ()>, Error<Code>> {
        let authority = self.0.clone();
        fallible_promise(
            env,
            move || authority.revoke(&id_or_serial, reason.as_deref()).map_err(code),
            |()| (),
        )
    }

    /// How many entries were new or have changed.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn adopt<'env>(
        &self,
        env: &'env Env,
        predecessor: &NativeAuthority,
    ) -> Result<PromiseRaw<'env, f64>, Error<Code>> {
        let (authority, predecessor) = (self.0.clone(), predecessor.0.clone());
        let adopt = move || authority.adopt(&predecessor).map_err(code);
        fallible_promise(env, adopt, |changed| changed as f64)
    }

    /// Those that were revoked are among them.
    #[napi(catch_unwind, ts_return_type = "Promise<Array<NativeCertificate>>")]
    pub fn list<'env>(
        &self,
        env: &'env Env,
    ) -> Result<PromiseRaw<'env, Vec<NativeCertificate>>, Error<Code>> {
        let authority = self.0.clone();
        let list = move || authority.list().map_err(code);
        fallible_promise(env, list, |issued| issued.into_iter().map(NativeCertificate::from).collect())
    }
}

impl From<Issued> for NativeCertificate {
    fn from(issued: Issued) -> Self {
        let Issued { serial, id, role, not_after, grants, revoked, .. } = issued;
        let Grants { agent_types, kinds, topics, databases } = grants;
        let (serial, role, not_after) = (serial.to_string(), role.to_string(), not_after as f64);
        let revoked_at = revoked.as_ref().map(|revoked| revoked.at as f64);
        let reason = revoked.and_then(|revoked| revoked.reason);
        Self { serial, id, role, not_after, revoked_at, reason, agent_types, kinds, topics, databases }
    }
}

fn code(error: AuthorityError) -> Error<Code> {
    let code = match error {
        AuthorityError::Invalid { .. } | AuthorityError::Request(_) => Code::INVALID_ARGUMENT,
        AuthorityError::Permissions { .. } => Code::FORBIDDEN,
        AuthorityError::Passphrase { .. } => Code::DECRYPT,
        AuthorityError::Corrupt { .. } => Code::CORRUPT,
        AuthorityError::Io { .. } | AuthorityError::Busy { .. } => Code::STORE,
        AuthorityError::Unknown(_) => Code::NOT_FOUND,
        AuthorityError::Revoked(_) => Code::FORBIDDEN,
        AuthorityError::Renewed(_) => Code::Swarm(SwarmCode::Overloaded),
        AuthorityError::Expired => Code::EXPIRED,
        AuthorityError::TooManyTokens { .. } => Code::Swarm(SwarmCode::Overloaded),
        AuthorityError::Crypto(_) => Code::INTERNAL,
    };
    Error::new(code, error.to_string())
}
