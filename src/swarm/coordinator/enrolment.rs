//! Join tokens: a coordinator with an authority makes them, and gives identities for them.

use super::Shared;
use crate::protocol::messages::{Code, Enrol};
use crate::security::audit::{Action, Audit, Entry};
use crate::security::{
    AuthorityError, CertificateAuthority, Grants, JoinSecret, JoinToken, Pinned, RedeemError, RedeemRequest,
    SignedCertificate, TokenId, TokenRefusal, TokenRequest, check_id,
};
use crate::swarm::enrolment::{Answer, Refused, Registrar};
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::renewal::{LIFE_MS, union_of_bundles};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::sync::Arc;

/// What the holder of a token is told of both: which of the two it is, is nobody's business but the log's.
const NOT_VALID: &str = "the join token is not valid";

/// A token for the enrolment endpoint of this coordinator. This blocks.
pub(super) fn create_token(
    shared: &Shared,
    ttl_ms: u64,
    uses: u32,
    grants: &Grants,
) -> Result<JoinToken, SwarmError> {
    let forbidden = |message: &str| SwarmError::new(SwarmCode::Forbidden, message);
    let authority = shared.trust.as_ref().map(|trust| trust.authority()).ok_or_else(|| {
        forbidden("createJoinToken needs a coordinator that was started with `authority`: this one cannot issue identities")
    })?;
    let address = shared.enroll_address.as_deref().ok_or_else(|| {
        forbidden("createJoinToken needs a coordinator that was started with `enrollListen`: a token holds the address at which it is good")
    })?;
    check_provable(shared, authority)?;
    let request = TokenRequest { address, ttl_ms, uses, grants };
    let token = authority.create_token(&request)?;
    let mut detail = Map::new();
    detail.insert("uses".to_owned(), Value::from(uses));
    detail.insert("ttlMs".to_owned(), Value::from(ttl_ms));
    detail.insert("grants".to_owned(), serde_json::to_value(grants).unwrap_or(Value::Null));
    let object = token.id().to_string();
    let entry =
        Entry { actor: "operator".to_owned(), action: Action::TokenCreated, object, digest: None, detail };
    if let Err(error) = shared.audit.record(entry) {
        tracing::error!(%error, "a join token was not made: the audit log does not take it");
        if let Err(error) = authority.withdraw_token(token.id()) {
            tracing::error!(%error, token = %token.id(), "a join token that nobody was given stays until it expires");
        }
        return Err(error.into());
    }
    tracing::info!(token = %token.id(), uses, ttl_ms, "join token made");
    Ok(token)
}

/// A new machine believes a coordinator whose certificate leads to the authority of the token. While a root is being
/// replaced, there may be a coordinator of the one and an authority that is the other.
fn check_provable(shared: &Shared, authority: &CertificateAuthority) -> Result<(), SwarmError> {
    let mut chain = shared.identity().chain().to_vec();
    let own = CertificateDer::from_pem_slice(authority.certificate().as_bytes());
    chain.extend(own.ok());
    Pinned::of_chain(&chain, &authority.spki_digest()).map(drop).map_err(|refusal| {
        let message = format!(
            "the coordinator's identity is not one of its authority's, so nobody with a token would believe it ({refusal}); give it one that the authority has issued: rotateIdentity()"
        );
        SwarmError::new(SwarmCode::Forbidden, message)
    })
}

/// Decides about machines with tokens.
pub(super) struct Desk(pub(super) Arc<Shared>);

impl Registrar for Desk {
    fn enrol(&self, question: &Enrol, from: IpAddr) -> Result<Answer, Refused> {
        let Self(shared) = self;
        let outcome = give(shared, question, from);
        match &outcome {
            Ok(_) => shared.metrics.enrolled("enrolled"),
            Err((why, refused)) => {
                note(
                    shared,
                    from,
                    &token_of(question).map_or_else(String::new, |id| id.to_string()),
                    why,
                    Some(&question.agent_id),
                    refused.message != NOT_VALID && refused.code != Code::Protocol,
                );
                shared.metrics.enrolled(label(refused.code));
            }
        }
        outcome.map_err(|(_, refused)| refused)
    }

    fn turned_away(&self, from: IpAddr, refused: &Refused) {
        note(&self.0, from, "", &refused.message, None, false);
        self.0.metrics.enrolled(label(refused.code));
    }

    fn span(&self) -> tracing::Span {
        self.0.span.clone()
    }
}

fn token_of(question: &Enrol) -> Option<TokenId> {
    question.token[..].try_into().ok().map(TokenId::from_bytes)
}

/// The certificate and what goes with it; or why not, for the log and for the stranger.
fn give(shared: &Shared, question: &Enrol, from: IpAddr) -> Result<Answer, (String, Refused)> {
    let refused = |code, why: String, told: &str| (why, Refused { code, message: told.to_owned() });
    let plain = |code, why: &str| refused(code, why.to_owned(), why);
    if shared.is_closed() {
        return Err(plain(Code::Closed, "the coordinator is closing"));
    }
    let trust = shared.trust.as_ref().ok_or_else(|| plain(Code::Internal, "no authority"))?;
    let authority = trust.authority();
    let token = token_of(question).ok_or_else(|| plain(Code::Protocol, "no id of a token"))?;
    let secret = question.secret[..].try_into().map(JoinSecret::from_bytes);
    let secret = secret.map_err(|_| plain(Code::Protocol, "no secret of a token"))?;
    let id = &question.agent_id;
    check_id(id).map_err(|error| {
        let why = error.to_string();
        refused(Code::Protocol, why.clone(), &why)
    })?;
    let request = RedeemRequest {
        token,
        secret: &secret,
        certificate_request: &question.certificate_request,
        id,
        valid_ms: LIFE_MS,
        // Whoever has it would speak in the coordinator's name, or would not be let in.
        reserved: *id == shared.id || shared.admission.revocations.current().contains_any(id, []),
    };
    if shared.audit.is_failing() {
        // Before a use of the token is taken.
        return Err(plain(Code::Store, "the audit log of the coordinator does not take it"));
    }
    let signed = authority.redeem(&request).map_err(|error| {
        let why = error.to_string();
        match error {
            RedeemError::Token(TokenRefusal::Unknown | TokenRefusal::WrongSecret) => {
                refused(Code::Unauthenticated, why, NOT_VALID)
            }
            RedeemError::Token(_) => refused(Code::Unauthenticated, why.clone(), &why),
            RedeemError::Taken { .. } | RedeemError::Reserved { .. } => {
                refused(Code::Forbidden, why.clone(), &why)
            }
            RedeemError::Authority(AuthorityError::Request(_) | AuthorityError::Invalid { .. }) => {
                refused(Code::Protocol, why.clone(), &why)
            }
            // Paths of the coordinator's machine are its own affair.
            RedeemError::Authority(_) => {
                tracing::error!(error = why, "an agent was not enrolled");
                refused(Code::Store, why, "the authority cannot sign at present")
            }
        }
    })?;
    keep(shared.audit.as_ref(), authority, token, id, from, &signed)
        .map_err(|why| refused(Code::Store, why, "the audit log of the coordinator does not take it"))?;
    tracing::info!(agent = id, serial = %signed.serial, token = %token, %from, "agent enrolled");
    let ca = union_of_bundles(shared.identity().ca(), authority.certificate());
    Ok(Answer { certificate: signed.certificate, ca })
}

/// In the log before anybody has it; what is not there is taken back.
fn keep(
    audit: &dyn Audit,
    authority: &CertificateAuthority,
    token: TokenId,
    id: &str,
    from: IpAddr,
    signed: &SignedCertificate,
) -> Result<(), String> {
    let mut detail = Map::new();
    detail.insert("token".to_owned(), Value::from(token.to_string()));
    detail.insert("serial".to_owned(), Value::from(signed.serial.as_str()));
    detail.insert("notAfter".to_owned(), Value::from(signed.not_after));
    let entry = Entry {
        actor: format!("unauthenticated {from}"),
        action: Action::AgentEnrolled,
        object: id.to_owned(),
        digest: None,
        detail,
    };
    audit.record(entry).map_err(|error| {
        tracing::error!(%error, "an agent was not enrolled: the audit log does not take it");
        if let Err(error) = authority.revoke(signed.serial.as_str(), Some("not audited")) {
            tracing::error!(%error, serial = %signed.serial, "a certificate that nobody was given stays in the register");
        }
        error.to_string()
    })
}

/// `known`: whoever it was knew the secret of the token.
fn note(shared: &Shared, from: IpAddr, token: &str, why: &str, id: Option<&str>, known: bool) {
    tracing::warn!(%from, token, agent = id, reason = why, "an enrolment was refused");
    let mut detail = Map::new();
    detail.insert("reason".to_owned(), Value::from(why));
    if let Some(id) = id {
        detail.insert("agentId".to_owned(), Value::from(id));
    }
    let entry = Entry {
        actor: format!("unauthenticated {from}"),
        action: Action::EnrolmentRefused,
        object: token.to_owned(),
        digest: None,
        detail,
    };
    if known {
        // Not counted with others: a stolen token does not hide behind nonsense from the same address.
        shared.audit.note_made(256, Box::new(move || vec![entry]));
    } else {
        shared.audit.note(entry);
    }
}

/// For a metric.
fn label(code: Code) -> &'static str {
    match code {
        Code::Unauthenticated => "bad_token",
        Code::Forbidden => "taken",
        Code::Overloaded => "limited",
        Code::Store | Code::Internal => "failed",
        Code::Closed => "closing",
        _ => "malformed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::audit::AuditError;
    use crate::security::{KeyRequest, Role, SignRequest};
    use std::sync::Mutex;

    /// Keeps entries, or refuses them.
    #[derive(Debug, Default)]
    struct Log {
        entries: Mutex<Vec<Entry>>,
        full: bool,
    }

    impl Audit for Log {
        fn record(&self, entry: Entry) -> Result<(), AuditError> {
            if self.full {
                return Err(AuditError::Store("no space left on the device".to_owned()));
            }
            self.note(entry);
            Ok(())
        }

        fn note(&self, entry: Entry) {
            self.entries.lock().unwrap().push(entry);
        }

        fn is_failing(&self) -> bool {
            self.full
        }
    }

    fn sign(authority: &CertificateAuthority) -> SignedCertificate {
        let key = KeyRequest::new().unwrap();
        let request = SignRequest {
            certificate_request: key.csr_der(),
            id: "agent-7",
            role: Role::Agent,
            valid_ms: 60_000,
            grants: Grants::default(),
        };
        authority.sign(&request).unwrap()
    }

    #[test]
    fn what_the_log_does_not_take_is_taken_back() {
        let authority = CertificateAuthority::in_memory("test").unwrap();
        let (token, from) = (TokenId::from_bytes([7; 8]), IpAddr::from([10, 0, 0, 1]));
        let log = Log::default();
        let signed = sign(&authority);
        keep(&log, &authority, token, "agent-7", from, &signed).unwrap();
        let entry = log.entries.lock().unwrap().pop().unwrap();
        assert_eq!((entry.action, entry.object.as_str()), (Action::AgentEnrolled, "agent-7"));
        assert_eq!(entry.actor, "unauthenticated 10.0.0.1");
        assert_eq!(entry.detail["serial"], signed.serial.as_str());
        assert_eq!(entry.detail["token"], token.to_string());
        assert!(authority.revoked_serials().unwrap().is_empty());

        let full = Log { full: true, ..Log::default() };
        let signed = sign(&authority);
        let why = keep(&full, &authority, token, "agent-7", from, &signed).unwrap_err();
        assert!(why.contains("no space left"), "{why}");
        assert_eq!(authority.revoked_serials().unwrap(), [signed.serial]);
    }
}
