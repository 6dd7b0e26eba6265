//! Messages of the renewal of identities, on the control lane; used when both sides have announced
//! [`RENEWAL`](crate::protocol::session::RENEWAL).

use bytes::Bytes;

/// The agent asks for a new certificate of its own name. The private key stays where it was made.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Renew {
    /// A PKCS #10 request (RFC 2986) in DER. Only its public key counts, and that its signature shows who has the private one.
    #[prost(bytes = "bytes", tag = "1")]
    pub csr: Bytes,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Renewed {
    /// In PEM; empty where it was refused.
    #[prost(string, tag = "1")]
    pub certificate: String,
    /// The authorities to trust from now on, in PEM.
    #[prost(string, tag = "2")]
    pub ca: String,
    /// Unspecified: renewed. Otherwise why not.
    #[prost(enumeration = "super::Code", tag = "3")]
    pub code: i32,
    /// In words.
    #[prost(string, tag = "4")]
    pub message: String,
}

/// The agent has put its new identity where it will find it again: the session goes on under that.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct RenewalKept {
    /// The serial number of the new certificate, in lower-case hexadecimal without leading zero bytes.
    #[prost(string, tag = "1")]
    pub serial: String,
}
