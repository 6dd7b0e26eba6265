//! An identity for whoever holds a join token.
//!
//! Redeeming is one step under the lock of the directory, whichever process does it: the token is checked, the use is
//! taken from `tokens.json`, the certificate is entered into `register.json`, in that order. A crash in between has
//! burnt the use; there are never two certificates for one. A use is not given back when the answer is lost on its way
//! either: the operator makes another token, or made one with more uses.
//!
//! A token is good for any id that nobody has. An id with a certificate that has neither ended nor been revoked is
//! refused, so that whoever finds a token cannot become a machine that is there already; an operator who replaces a
//! machine revokes the old certificate first.

use super::tokens::{self, TokenRefusal, Tokens};
use super::{
    AuthorityError, CertificateAuthority, Grants, Held, Place, Register, SignRequest, SignedCertificate,
    name_error, read_register,
};
use crate::security::now_ms;
use crate::security::spiffe::{Role, check_id};
use crate::security::token::{JoinSecret, JoinToken, TokenError, TokenId};
use std::sync::PoisonError;

/// How long a token may be good for, and for how many identities.
const LONGEST_TTL_MS: u64 = 365 * 24 * 60 * 60 * 1000;
const MOST_USES: u32 = 100_000;

/// For [`CertificateAuthority::create_token`].
#[derive(Debug, Clone)]
pub struct TokenRequest<'a> {
    /// `host:port` of the enrolment endpoint.
    pub address: &'a str,
    /// From now: 1 ms to a year.
    pub ttl_ms: u64,
    /// 1 to 100,000 identities.
    pub uses: u32,
    /// What they may do.
    pub grants: &'a Grants,
}

/// For [`CertificateAuthority::redeem`].
#[derive(Debug)]
pub struct RedeemRequest<'a> {
    /// Which token.
    pub token: TokenId,
    /// What only its holder knows.
    pub secret: &'a JoinSecret,
    /// PKCS#10 in DER.
    pub certificate_request: &'a [u8],
    /// Who it is to be.
    pub id: &'a str,
    /// From now.
    pub valid_ms: u64,
    /// The id is nobody's to have. Only who holds a good token learns it.
    pub reserved: bool,
}

/// Why there is no identity for a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedeemError {
    /// The token is not good.
    #[error(transparent)]
    Token(#[from] TokenRefusal),
    /// The token is good, and the id is somebody's. No use was taken.
    #[error(
        "{id:?} has a certificate that is valid: it has to be revoked before another machine gets this id"
    )]
    Taken {
        /// The id.
        id: String,
    },
    /// The token is good, and nobody gets this id. No use was taken.
    #[error("{id:?} is not given to any agent: it is the coordinator's own id, or was revoked for good")]
    Reserved {
        /// The id.
        id: String,
    },
    /// The token is good, and the authority could not do it.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl CertificateAuthority {
    /// A new join token for agents. When this returns, what belongs to it is kept; the secret is in the token alone.
    ///
    /// # Errors
    /// `Invalid` names the argument; `TooManyTokens`; those of the directory.
    pub fn create_token(&self, request: &TokenRequest<'_>) -> Result<JoinToken, AuthorityError> {
        let TokenRequest { address, ttl_ms, uses, grants } = request;
        grants.check()?;
        if !(1..=LONGEST_TTL_MS).contains(ttl_ms) {
            let what = format!("must be 1 to {LONGEST_TTL_MS}, got {ttl_ms}");
            return Err(AuthorityError::Invalid { argument: "ttlMs", what });
        }
        if !(1..=MOST_USES).contains(uses) {
            let what = format!("must be 1 to {MOST_USES}, got {uses}");
            return Err(AuthorityError::Invalid { argument: "uses", what });
        }
        let now = now_ms();
        if now >= self.not_after {
            return Err(AuthorityError::Expired);
        }
        let token = JoinToken::generate(self.spki_digest, address).map_err(|error| match error {
            TokenError::Randomness => AuthorityError::Crypto("no random bytes"),
            _ => {
                let address: String = address.chars().take(80).collect();
                AuthorityError::Invalid { argument: "address", what: format!("{address:?} is not host:port") }
            }
        })?;
        let add = |tokens: &mut Tokens| tokens.add(&token, now.saturating_add(*ttl_ms), *uses, grants, now);
        match &self.register {
            Place::Memory(held) => add(&mut held.lock().unwrap_or_else(PoisonError::into_inner).tokens)?,
            Place::Directory(directory) => {
                let lock = directory.lock()?;
                let mut tokens = tokens::read(directory)?;
                add(&mut tokens)?;
                tokens::write(directory, &lock, &tokens)?;
            }
        }
        Ok(token)
    }

    /// Takes a token back: nobody gets anything for it any more. Returns whether there was one.
    ///
    /// # Errors
    /// Those of the directory.
    pub fn withdraw_token(&self, id: TokenId) -> Result<bool, AuthorityError> {
        match &self.register {
            Place::Memory(held) => Ok(held.lock().unwrap_or_else(PoisonError::into_inner).tokens.remove(id)),
            Place::Directory(directory) => {
                let lock = directory.lock()?;
                let mut tokens = tokens::read(directory)?;
                let found = tokens.remove(id);
                if found {
                    tokens::write(directory, &lock, &tokens)?;
                }
                Ok(found)
            }
        }
    }

    /// A certificate for the holder of a token, as an agent. When this returns, the use is taken and the certificate is
    /// in the register, for good; both or, but for a crash, neither.
    ///
    /// # Errors
    /// See [`RedeemError`].
    pub fn redeem(&self, request: &RedeemRequest<'_>) -> Result<SignedCertificate, RedeemError> {
        check_id(request.id).map_err(|error| name_error("id", request.id, error))?;
        match &self.register {
            Place::Memory(held) => {
                let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                let Held { register, tokens } = &mut *held;
                self.exchange(request, tokens, register)
            }
            Place::Directory(directory) => {
                // First without the lock, which is not for strangers to hold.
                tokens::read(directory)?.check(request.token, request.secret, now_ms())?;
                let lock = directory.lock()?;
                let before = tokens::read(directory)?;
                let mut after = before.clone();
                let mut register = read_register(directory)?;
                let signed = self.exchange(request, &mut after, &mut register)?;
                let entered = register.to_json()?;
                tokens::write(directory, &lock, &after)?;
                directory.replace(&lock, super::REGISTER, &entered).inspect_err(|_| {
                    // Nobody was given the certificate, so the use is free again; if not even that can be written, it
                    // is burnt, and the first error is the one to tell.
                    drop(tokens::write(directory, &lock, &before));
                })?;
                Ok(signed)
            }
        }
    }

    /// The step itself, on what was read. Changes both or neither.
    fn exchange(
        &self,
        request: &RedeemRequest<'_>,
        tokens: &mut Tokens,
        register: &mut Register,
    ) -> Result<SignedCertificate, RedeemError> {
        let RedeemRequest { token, secret, certificate_request, id, valid_ms, reserved } = request;
        let now = now_ms();
        let grants = tokens.check(*token, secret, now)?.clone();
        if *reserved {
            return Err(RedeemError::Reserved { id: (*id).to_owned() });
        }
        if register.is_taken(id, now) {
            return Err(RedeemError::Taken { id: (*id).to_owned() });
        }
        let request = SignRequest { certificate_request, id, role: Role::Agent, valid_ms: *valid_ms, grants };
        let (signed, entry) = self.prepare(&request)?;
        tokens.consume(*token);
        register.add(entry, now);
        Ok(signed)
    }
}

#[cfg(test)]
mod tests;
