//! Packets: a byte of flags, a piece of a message, and CRC-32 (IEEE 802.3) of both, little-endian.
//!
//! A short message is one packet. A long one is several: all but the last have [`MORE`], all but the first [`CONTINUED`], and
//! whole messages of one packet may come in between, so that acknowledgements need not wait for megabytes. With [`PACKED`] (the
//! same in all its packets) the pieces together are the message's length and one zstd frame (RFC 8878); else they are the
//! message.

use super::{Message, PACKET_BYTES, WireError};

const MORE: u8 = 1;
const CONTINUED: u8 = 2;
const PACKED: u8 = 4;

/// Flags before and checksum behind.
const AROUND: usize = 5;
/// The length of what is packed.
const LENGTH: usize = 4;
/// Below, compressing costs more than it saves.
const PACK_ABOVE: usize = 1024;
/// What is packed may be so many times longer than it is packed, so that a few bytes cannot claim megabytes. What would
/// shrink more than that is sent as it is.
const EXPANSION: usize = 64;
/// What unpacks to more than so many times its bytes waits packed.
const KEEP: usize = 4;
/// zstd's default: higher levels find little in vectors of floats.
const LEVEL: i32 = 3;

/// Cuts an encoded message into packets.
#[must_use]
pub fn pack(message: &[u8]) -> Vec<Vec<u8>> {
    let packed = shrink(message);
    let (flag, content) = packed.as_deref().map_or((0, message), |packed| (PACKED, packed));
    let pieces: Vec<&[u8]> = content.chunks(PACKET_BYTES - AROUND).collect();
    let last = pieces.len().saturating_sub(1);
    pieces
        .into_iter()
        .enumerate()
        .map(|(index, piece)| {
            let mut packet = Vec::with_capacity(piece.len() + AROUND);
            packet.push(flag | if index < last { MORE } else { 0 } | if index > 0 { CONTINUED } else { 0 });
            packet.extend_from_slice(piece);
            let checksum = crc32fast::hash(&packet);
            packet.extend_from_slice(&checksum.to_le_bytes());
            packet
        })
        .collect()
}

/// Its length and one frame, if that is shorter.
fn shrink(message: &[u8]) -> Option<Vec<u8>> {
    if message.len() <= PACK_ABOVE {
        return None;
    }
    let length = u32::try_from(message.len()).ok()?;
    // Without it the message goes as it is.
    let frame = zstd::bulk::compress(message, LEVEL).ok()?;
    if frame.len() + LENGTH >= message.len() || message.len() > (frame.len() + LENGTH) * EXPANSION {
        return None;
    }
    let mut packed = Vec::with_capacity(frame.len() + LENGTH);
    packed.extend_from_slice(&length.to_le_bytes());
    packed.extend_from_slice(&frame);
    Some(packed)
}

/// A message that came whole. It is well-formed.
#[derive(Debug, PartialEq)]
pub struct Received {
    /// What it says.
    pub message: Message,
    /// Its bytes, unpacked.
    pub length: usize,
    /// As it came, if it has grown by much.
    packed: Option<Vec<u8>>,
}

impl Received {
    /// For keeping: in memory of the order of what came.
    #[must_use]
    pub fn rest(self) -> Resting {
        match self.packed {
            Some(packed) => Resting::Packed(packed),
            None => Resting::Open(self.message),
        }
    }
}

/// A message that waits.
#[derive(Debug)]
pub enum Resting {
    /// To be read.
    Open(Message),
    /// A length and a frame, as they came.
    Packed(Vec<u8>),
}

impl Resting {
    /// The message, which stays unpacked from here on.
    ///
    /// # Errors
    ///
    /// None that [`Assembler::receive`] has not found before.
    pub fn open(&mut self) -> Result<&mut Message, WireError> {
        if let Self::Packed(packed) = self {
            *self = Self::Open(Message::decode(&unpack(packed, usize::MAX)?)?);
        }
        match self {
            Self::Open(message) => Ok(message),
            Self::Packed(_) => Err(WireError::Malformed),
        }
    }
}

/// Puts packets together.
#[derive(Debug)]
pub struct Assembler {
    /// Of a message, before packing.
    limit: usize,
    /// Of a long message that has begun: whether it is packed, and its pieces.
    begun: Option<(bool, Vec<u8>)>,
}

impl Assembler {
    /// For messages of at most so many bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, begun: None }
    }

    /// Bytes of a long message that wait for the rest of it.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.begun.as_ref().map_or(0, |(_, pieces)| pieces.len())
    }

    /// Takes one packet; the message that it completes, if it does.
    ///
    /// # Errors
    ///
    /// [`WireError`]; nothing that follows means anything then.
    pub fn receive(&mut self, packet: &[u8]) -> Result<Option<Received>, WireError> {
        if packet.len() > PACKET_BYTES {
            return Err(WireError::TooLong);
        }
        let (content, checksum) = packet.split_last_chunk::<4>().ok_or(WireError::Malformed)?;
        if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
            return Err(WireError::Checksum);
        }
        let (&flags, piece) = content.split_first().ok_or(WireError::Malformed)?;
        if flags & !(MORE | CONTINUED | PACKED) != 0 || piece.is_empty() {
            return Err(WireError::Malformed);
        }
        let packed = flags & PACKED != 0;
        match (flags & CONTINUED != 0, flags & MORE != 0) {
            (false, false) => self.open(packed, piece).map(Some),
            (false, true) => {
                if self.begun.is_some() || piece.len() != PACKET_BYTES - AROUND {
                    return Err(WireError::Part);
                }
                self.begun = Some((packed, piece.to_vec()));
                Ok(None)
            }
            (true, more) => {
                let limit = self.limit.saturating_add(LENGTH);
                let (as_packed, pieces) = self.begun.as_mut().ok_or(WireError::Part)?;
                if *as_packed != packed || more && piece.len() != PACKET_BYTES - AROUND {
                    return Err(WireError::Part);
                }
                if pieces.len() + piece.len() > limit {
                    return Err(WireError::TooLong);
                }
                pieces.extend_from_slice(piece);
                if more {
                    return Ok(None);
                }
                let (packed, pieces) = self.begun.take().ok_or(WireError::Part)?;
                // All others fit into one packet, and only these are held back by the window.
                match self.open(packed, &pieces)? {
                    received if received.message.is_bulk() => Ok(Some(received)),
                    _ => Err(WireError::Part),
                }
            }
        }
    }

    fn open(&self, packed: bool, content: &[u8]) -> Result<Received, WireError> {
        if !packed {
            if content.len() > self.limit {
                return Err(WireError::TooLong);
            }
            return Ok(Received { message: Message::decode(content)?, length: content.len(), packed: None });
        }
        let bytes = unpack(content, self.limit)?;
        let grown = bytes.len() > content.len().saturating_mul(KEEP);
        Ok(Received {
            message: Message::decode(&bytes)?,
            length: bytes.len(),
            packed: grown.then(|| content.to_vec()),
        })
    }
}

/// A message of at most `limit` bytes from its length and its frame.
fn unpack(packed: &[u8], limit: usize) -> Result<Vec<u8>, WireError> {
    let (length, frame) = packed.split_first_chunk::<LENGTH>().ok_or(WireError::Malformed)?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > limit || length > packed.len() * EXPANSION {
        return Err(WireError::TooLong);
    }
    let message = zstd::bulk::decompress(frame, length).map_err(|_| WireError::Malformed)?;
    if message.len() == length { Ok(message) } else { Err(WireError::Malformed) }
}
