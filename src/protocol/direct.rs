//! Direct links between two nodes that replicate a database: what is said on their one stream.
//!
//! ```text
//! first, by each side    4 bytes  "MQSL"
//!                        u16 LE   version: 1
//!                        u16 LE   length of the name, 1 to 128
//!                        ...      name of the database, UTF-8 without control characters
//! then, both ways        u32 LE   length of a message, 1 to 262,144
//!                        ...      a message of AgentDB sync, opaque here
//! ```
//!
//! Lengths are checked before anything is reserved, and no more is ever reserved than has already arrived.

use super::frame::SYNC_MESSAGE_BYTES;
use super::messages::Code;
use super::session::{MAX_NAME_BYTES, check_name};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The protocol for TLS.
pub const ALPN: &[u8] = b"mqs/1";

/// The version in the preamble, which is also that of the ALPN.
pub const VERSION: u16 = 1;

/// What a preamble begins with.
const MAGIC: &[u8; 4] = b"MQSL";

/// A preamble up to the name.
const FIXED_BYTES: usize = 8;

/// The length of a message.
const LENGTH_BYTES: usize = 4;

/// Why bytes are not those of a direct link. Each ends the connection with PROTOCOL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectError {
    /// Something else is spoken.
    #[error("the other side does not begin as a direct link does")]
    Magic,
    /// Another version than that of the ALPN.
    #[error("a direct link of version {found}, not {VERSION}")]
    Version {
        /// What it says.
        found: u16,
    },
    /// The name of the database.
    #[error("{what}")]
    Name {
        /// What is wrong with it.
        what: String,
    },
    /// A message that is empty or too long.
    #[error("a message of {length} bytes, not 1 to {SYNC_MESSAGE_BYTES}")]
    Length {
        /// Its length.
        length: usize,
    },
}

impl DirectError {
    /// What the connection is closed with.
    pub fn code(&self) -> Code {
        Code::Protocol
    }
}

/// Appends the preamble for a database, whose name was checked ([`check_name`]).
pub fn put_preamble(database: &str, out: &mut BytesMut) -> Result<(), DirectError> {
    let name = |error: super::session::SessionError| DirectError::Name { what: error.to_string() };
    check_name("database", database).map_err(name)?;
    out.put_slice(MAGIC);
    out.put_u16_le(VERSION);
    // At most 128.
    out.put_u16_le(database.len() as u16);
    out.put_slice(database.as_bytes());
    Ok(())
}

/// Takes the preamble out of what has arrived: the name of the database; none when it is not there in full.
pub fn take_preamble(buffer: &mut BytesMut) -> Result<Option<String>, DirectError> {
    let begun = buffer.len().min(MAGIC.len());
    if buffer[..begun] != MAGIC[..begun] {
        return Err(DirectError::Magic);
    }
    if buffer.len() < FIXED_BYTES {
        return Ok(None);
    }
    let field = |at: usize| u16::from_le_bytes([buffer[at], buffer[at + 1]]);
    let (found, length) = (field(4), usize::from(field(6)));
    if found != VERSION {
        return Err(DirectError::Version { found });
    }
    if length == 0 || length > MAX_NAME_BYTES {
        return Err(DirectError::Name {
            what: format!("database has {length} bytes, not 1 to {MAX_NAME_BYTES}"),
        });
    }
    if buffer.len() < FIXED_BYTES + length {
        return Ok(None);
    }
    buffer.advance(FIXED_BYTES);
    let name = String::from_utf8(buffer.split_to(length).to_vec())
        .map_err(|_| DirectError::Name { what: "database is not UTF-8".to_owned() })?;
    check_name("database", &name).map_err(|error| DirectError::Name { what: error.to_string() })?;
    Ok(Some(name))
}

/// What stands before a message of this length.
pub fn message_head(length: usize) -> Result<BytesMut, DirectError> {
    if length == 0 || length > SYNC_MESSAGE_BYTES {
        return Err(DirectError::Length { length });
    }
    // At most 2^18.
    Ok(BytesMut::from(&(length as u32).to_le_bytes()[..]))
}

/// Takes the first message out of what has arrived; none when it is not there in full. Nothing is copied.
pub fn take_message(buffer: &mut BytesMut) -> Result<Option<Bytes>, DirectError> {
    let Some(field) = buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_le_bytes(*field) as usize;
    if length == 0 || length > SYNC_MESSAGE_BYTES {
        return Err(DirectError::Length { length });
    }
    let missing = (LENGTH_BYTES + length).saturating_sub(buffer.len());
    if missing > 0 {
        buffer.reserve(missing.min(buffer.len()));
        return Ok(None);
    }
    buffer.advance(LENGTH_BYTES);
    Ok(Some(buffer.split_to(length).freeze()))
}
