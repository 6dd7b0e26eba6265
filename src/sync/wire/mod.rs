//! The messages of replication as bytes: docs/sync-protocol.md, which is normative.
//!
//! A [`Message`] is encoded ([`Message::encode`]), compressed where that helps, and cut into *packets* of at most
//! [`PACKET_BYTES`], each with a checksum ([`packet`]); an [`Assembler`] puts them together again. Decoding is strict: there is
//! one encoding of each message, and nothing may follow it. No allocation is larger than a small multiple of what has come.

mod bytes;
mod item;
mod message;
mod packet;

pub use bytes::MAX_VERSION;
pub use message::{Ack, Bucket, Code, Have, Hello, Key, Message, Reply};
pub use packet::{Assembler, Received, Resting, pack};

/// Of what is spoken here. A peer with another number is refused.
pub const FORMAT: u16 = 1;

/// The longest packet.
pub const PACKET_BYTES: usize = 256 * 1024;

/// What a message may need beside the body of one component.
pub const OVERHEAD_BYTES: usize = 1024 * 1024;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It is not what its checksum was made of.
    #[error("a message with a wrong checksum")]
    Checksum,
    /// It is not encoded as it must be.
    #[error("a malformed message")]
    Malformed,
    /// It is longer than is allowed, packed or unpacked.
    #[error("a message that is too long")]
    TooLong,
    /// A Hello of another format.
    #[error("a peer that speaks another format of replication")]
    Format,
    /// The parts of a long message do not follow each other.
    #[error("a part of a message out of its place")]
    Part,
}
