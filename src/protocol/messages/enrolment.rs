//! Messages of a connection for enrolment. What refuses there is `Refuse`, as everywhere.

use bytes::Bytes;
use std::fmt;

/// A machine that holds a join token asks for a certificate.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct Enrol {
    /// By what the authority finds the token: 8 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub token: Bytes,
    /// What only its holder knows: 16 bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub secret: Bytes,
    /// Who it wants to be.
    #[prost(string, tag = "3")]
    pub agent_id: String,
    /// A request for a certificate of its key: PKCS#10 in DER.
    #[prost(bytes = "bytes", tag = "4")]
    pub certificate_request: Bytes,
}

impl fmt::Debug for Enrol {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrol")
            .field("token", &self.token)
            .field("agent_id", &self.agent_id)
            .finish_non_exhaustive()
    }
}

/// What makes an identity of the key.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Enrolled {
    /// The certificate of the key, in PEM.
    #[prost(string, tag = "1")]
    pub certificate: String,
    /// The authorities that members of the swarm trust, in PEM.
    #[prost(string, tag = "2")]
    pub ca: String,
}
