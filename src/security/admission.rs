//! Who is let in: why not, and the list of certificates that are refused before they end.

use crate::security::identity::{Peer, Serial};
use crate::security::spiffe::NameError;
use rustls::{AlertDescription, CertificateError};
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Why a certificate was not accepted. The side that refuses knows exactly; the other side is told by a TLS alert
/// (RFC 8446, section 6.2), which [`Refusal::of_alert`] turns back into the nearest of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There was none. On the wire: `certificate_required`.
    #[error("no certificate was presented")]
    NoCertificate,
    /// Not issued by the authority that is trusted here. `unknown_ca`.
    #[error("the certificate is of another authority")]
    OtherAuthority,
    /// Its time is over. `certificate_expired`.
    #[error("the certificate has expired")]
    Expired,
    /// Its time has not come, or a clock is wrong. `certificate_expired` as well: TLS has no other word for it.
    #[error("the certificate is not valid yet")]
    NotYetValid,
    /// Taken back by the authority. `certificate_revoked`.
    #[error("the certificate was revoked")]
    Revoked,
    /// An agent where a coordinator should be, or the reverse. `unsupported_certificate`.
    #[error("the certificate is for another role")]
    WrongRole,
    /// Of the trusted authority, but for another swarm or trust domain. `access_denied`.
    #[error("the certificate is for another swarm")]
    OtherSwarm,
    /// It does not carry exactly one SPIFFE name of the right form, or cannot be read. `bad_certificate`.
    #[error("the certificate does not carry one SPIFFE name of a swarm member")]
    Malformed,
}

impl Refusal {
    /// All of them, for counters.
    pub const ALL: [Self; 8] = [
        Self::NoCertificate,
        Self::OtherAuthority,
        Self::Expired,
        Self::NotYetValid,
        Self::Revoked,
        Self::WrongRole,
        Self::OtherSwarm,
        Self::Malformed,
    ];

    /// One word, for the label of a metric.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCertificate => "no_certificate",
            Self::OtherAuthority => "other_authority",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Revoked => "revoked",
            Self::WrongRole => "wrong_role",
            Self::OtherSwarm => "other_swarm",
            Self::Malformed => "malformed",
        }
    }

    /// What a TLS alert says about a certificate; `None` for alerts about something else. In QUIC the alert is the low
    /// byte of a transport error 0x100 to 0x1ff (RFC 9001, section 4.8).
    pub fn of_alert(alert: u8) -> Option<Self> {
        Some(match AlertDescription::from(alert) {
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => Self::NoCertificate,
            AlertDescription::UnknownCA => Self::OtherAuthority,
            AlertDescription::CertificateExpired => Self::Expired,
            AlertDescription::CertificateRevoked => Self::Revoked,
            AlertDescription::UnsupportedCertificate => Self::WrongRole,
            AlertDescription::AccessDenied => Self::OtherSwarm,
            AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => Self::Malformed,
            _ => return None,
        })
    }

    /// What the path validation of rustls found.
    pub(super) fn of_chain(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(error) = error else { return Self::Malformed };
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::Revoked => Self::Revoked,
            // Two authorities of the same name: the issuer fits, its signature does not.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::OtherAuthority,
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                Self::WrongRole
            }
            _ => Self::Malformed,
        }
    }

    /// As rustls wants it: the variant decides which alert is sent.
    pub(super) fn into_tls(self) -> rustls::Error {
        rustls::Error::InvalidCertificate(match self {
            Self::NoCertificate => return rustls::Error::NoCertificatesPresented,
            Self::OtherAuthority => CertificateError::UnknownIssuer,
            Self::Expired => CertificateError::Expired,
            Self::NotYetValid => CertificateError::NotValidYet,
            Self::Revoked => CertificateError::Revoked,
            Self::WrongRole => CertificateError::InvalidPurpose,
            Self::OtherSwarm => CertificateError::ApplicationVerificationFailure,
            Self::Malformed => CertificateError::BadEncoding,
        })
    }
}

impl From<NameError> for Refusal {
    fn from(_: NameError) -> Self {
        Self::Malformed
    }
}

/// What is refused although its certificate is valid. Clones share one list; the list is replaced whole, so that a
/// handshake sees the one or the other.
#[derive(Clone, Default)]
pub struct Revocations(Arc<Mutex<Arc<Refused>>>);

/// One state of the list.
#[derive(Default)]
pub(crate) struct Refused {
    serials: HashSet<Serial>,
    ids: HashSet<String>,
}

impl Refused {
    /// Whether any of these certificates of a member is refused, or the member itself.
    pub(crate) fn contains_any<'a>(&self, id: &str, serials: impl IntoIterator<Item = &'a Serial>) -> bool {
        self.ids.contains(id) || serials.into_iter().any(|serial| self.serials.contains(serial))
    }
}

impl Revocations {
    /// Nothing is refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Refuses exactly these from now on: certificates by serial number, and members by id whatever their certificate.
    pub fn replace(&self, serials: impl IntoIterator<Item = Serial>, ids: impl IntoIterator<Item = String>) {
        let list = Refused { serials: serials.into_iter().collect(), ids: ids.into_iter().collect() };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(list);
    }

    /// Refuses exactly these certificates from now on; the list of members stays.
    pub fn replace_serials(&self, serials: impl IntoIterator<Item = Serial>) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ids = list.ids.clone();
        *list = Arc::new(Refused { serials: serials.into_iter().collect(), ids });
    }

    /// Refuses a member from now on, in addition to what is refused already.
    pub fn refuse_id(&self, id: &str) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ids = list.ids.clone();
        ids.insert(id.to_owned());
        *list = Arc::new(Refused { serials: list.serials.clone(), ids });
    }

    /// The list as it is now, for many questions.
    pub(crate) fn current(&self) -> Arc<Refused> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this peer is refused. Also for connections that are open when the list changes.
    pub fn contains(&self, peer: &Peer) -> bool {
        self.current().contains_any(peer.name.id(), [&peer.serial])
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Revocations")
            .field("serials", &list.serials.len())
            .field("ids", &list.ids.len())
            .finish()
    }
}

/// What a TLS configuration consults at each handshake beyond the certificates, and whom it tells of refusals.
#[derive(Clone, Default)]
pub struct Admission {
    /// Refused at the handshake.
    pub revocations: Revocations,
    /// Told of each certificate that this side refused. A peer without any never gets that far: that shows as the alert
    /// `certificate_required` of the failed connection ([`Refusal::of_alert`]).
    pub observer: Option<Arc<dyn Fn(Refusal) + Send + Sync>>,
}

impl Admission {
    /// Counts the refusal and words it for rustls.
    pub(super) fn refuse(&self, refusal: Refusal) -> rustls::Error {
        if let Some(observer) = &self.observer {
            observer(refusal);
        }
        refusal.into_tls()
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").field("revocations", &self.revocations).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alert_of_a_refusal_says_what_it_was() {
        for refusal in Refusal::ALL {
            let alert = match refusal.into_tls() {
                rustls::Error::InvalidCertificate(error) => AlertDescription::from(error),
                _ => AlertDescription::CertificateRequired,
            };
            let told = Refusal::of_alert(u8::from(alert));
            // TLS knows one word for both.
            let expected = if refusal == Refusal::NotYetValid { Refusal::Expired } else { refusal };
            assert_eq!(told, Some(expected), "{refusal:?}");
        }
        assert_eq!(Refusal::of_alert(u8::from(AlertDescription::NoApplicationProtocol)), None);
        assert_eq!(Refusal::of_alert(u8::from(AlertDescription::HandshakeFailure)), None);
    }
}
