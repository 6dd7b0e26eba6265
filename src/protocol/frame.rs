//! Frames: what the lanes of a connection are cut into.
//!
//! ```text
//! u32 LE   length of all that follows, in bytes
//! u8       kind
//! u8       flags: bit 0 SKIPPABLE, the others 0
//! u64 LE   request: pairs an answer with its question, 0 when none is expected
//! varint   length of the header, at most 65,536, in its shortest form
//! ...      header: one protobuf message, which one is said by the kind
//! ...      payload: raw, opaque here
//! ```
//!
//! The length is checked against the limit before anything is reserved for the frame, and no more is ever reserved
//! than has already arrived, so a length costs its sender as much as its receiver.

use super::messages::FrameKind;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// The length field.
const LENGTH_BYTES: usize = 4;

/// Kind, flags and request.
const FIXED_BYTES: usize = 10;

/// The longest header that is sent or read.
pub const MAX_HEADER_BYTES: usize = 1 << 16;

/// Until both sides are established, no frame is longer than this.
pub const HANDSHAKE_FRAME_BYTES: usize = 1 << 16;

/// A payload that is longer than this travels alone on a stream of its own.
pub const INLINE_PAYLOAD_BYTES: usize = 1 << 16;

/// The longest frame on a lane of an established session.
pub const LANE_FRAME_BYTES: usize = max_frame_bytes(INLINE_PAYLOAD_BYTES);

/// The longest message of AgentDB sync. On the sync lane no payload takes a stream of its own.
pub const SYNC_MESSAGE_BYTES: usize = 256 << 10;

/// The longest frame on the sync lane.
pub const SYNC_FRAME_BYTES: usize = max_frame_bytes(SYNC_MESSAGE_BYTES);

/// The receiver may ignore the frame when it does not know its kind.
const SKIPPABLE: u8 = 1;

/// The longest frame that carries a payload of so many bytes: the limit for [`Decoder::new`].
pub const fn max_frame_bytes(payload_bytes: usize) -> usize {
    // Three bytes hold the length of the longest header.
    payload_bytes.saturating_add(FIXED_BYTES + 3 + MAX_HEADER_BYTES)
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// Who does not know the kind may ignore the frame.
    pub skippable: bool,
    /// Pairs an answer with its question; 0 when no answer is expected.
    pub request: u64,
    /// A protobuf message.
    pub header: Bytes,
    /// Opaque bytes. A decoded one shares the memory that it was read into: copy what is kept for long.
    pub payload: Bytes,
}

impl Frame {
    /// The header as the message that belongs to the kind.
    pub fn message<M: prost::Message + Default>(&self) -> Result<M, FrameError> {
        M::decode(self.header.clone())
            .map_err(|error| FrameError::Header { kind: self.kind, reason: error.to_string() })
    }
}

/// Why bytes are no frame, or a frame cannot be sent. Each ends the connection with PROTOCOL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The length is above the limit.
    #[error("a frame of {length} bytes, at most {limit} are allowed here")]
    TooLong {
        /// Bytes after the length field.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// The length leaves no room for the fields that every frame has.
    #[error("a frame of {length} bytes is too short to be one")]
    TooShort {
        /// Bytes after the length field.
        length: usize,
    },
    /// The header is above its limit.
    #[error("a header of {length} bytes, at most {MAX_HEADER_BYTES} are allowed")]
    HeaderTooLong {
        /// Bytes of the header.
        length: usize,
    },
    /// The length of the header is no varint in its shortest form, or goes past the end of the frame.
    #[error("the length of a header is malformed or past the end of its frame")]
    HeaderLength,
    /// A flag that is not known. Those to come are used only after both sides have announced the feature.
    #[error("unknown flags {flags:#04x}")]
    Flags {
        /// All flags of the frame.
        flags: u8,
    },
    /// A kind that is not known, and the frame is not skippable.
    #[error("unknown frame kind {kind:#04x}")]
    UnknownKind {
        /// Its number.
        kind: u8,
    },
    /// The header is not the message that belongs to the kind.
    #[error("the header of a {kind} frame: {reason}")]
    Header {
        /// The kind.
        kind: FrameKind,
        /// What the decoder said.
        reason: String,
    },
    /// A frame that has a stream of its own, and other bytes on it.
    #[error("a stream for one frame holds {bytes} other bytes")]
    NotAlone {
        /// How many.
        bytes: usize,
    },
    /// The stream ended in the middle of a frame.
    #[error("a stream ended in the middle of a frame, after {bytes} bytes")]
    Truncated {
        /// Bytes of the frame that had arrived.
        bytes: usize,
    },
}

/// Cuts a stream of bytes into frames. Holds the limit alone; the bytes are the caller's.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    limit: usize,
}

impl Default for Decoder {
    /// With the limit for a peer that has not been established.
    fn default() -> Self {
        Self::new(HANDSHAKE_FRAME_BYTES)
    }
}

impl Decoder {
    /// Accepts frames whose length field is at most `limit`; see [`max_frame_bytes`].
    pub fn new(limit: usize) -> Self {
        Self { limit }
    }

    /// Takes the first frame out of `buffer`, which holds what has arrived and was not taken; `None` when it has not
    /// arrived in full. Nothing is copied: header and payload share the memory of `buffer`. Skippable frames of
    /// unknown kinds are passed over. After an error the stream cannot be read on.
    pub fn decode(&self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        while let Some(length) = self.length(buffer)? {
            let missing = (LENGTH_BYTES + length).saturating_sub(buffer.len());
            if missing > 0 {
                buffer.reserve(missing.min(buffer.len()));
                return Ok(None);
            }
            buffer.advance(LENGTH_BYTES);
            if let Some(frame) = parse(buffer.split_to(length).freeze())? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    /// The frame that a stream of its own consists of; `None` when it is a skippable one of an unknown kind.
    pub fn decode_alone(&self, mut stream: Bytes) -> Result<Option<Frame>, FrameError> {
        let length = self.length(&stream)?.ok_or(FrameError::Truncated { bytes: stream.len() })?;
        let there = stream.len() - LENGTH_BYTES;
        if there < length {
            return Err(FrameError::Truncated { bytes: stream.len() });
        }
        if there > length {
            return Err(FrameError::NotAlone { bytes: there - length });
        }
        stream.advance(LENGTH_BYTES);
        parse(stream)
    }

    /// The checked length field, once it has arrived.
    fn length(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some(field) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*field) as usize;
        if length > self.limit {
            return Err(FrameError::TooLong { length, limit: self.limit });
        }
        if length <= FIXED_BYTES {
            return Err(FrameError::TooShort { length });
        }
        Ok(Some(length))
    }
}

/// All of a frame after its length field, which was more than [`FIXED_BYTES`].
fn parse(mut body: Bytes) -> Result<Option<Frame>, FrameError> {
    let (number, flags, request) = (body.get_u8(), body.get_u8(), body.get_u64_le());
    let skippable = flags & SKIPPABLE != 0;
    let Some(kind) = FrameKind::from_number(number) else {
        return if skippable { Ok(None) } else { Err(FrameError::UnknownKind { kind: number }) };
    };
    if flags & !SKIPPABLE != 0 {
        return Err(FrameError::Flags { flags });
    }
    let header_bytes = header_length(&mut body)?;
    let header = body.split_to(header_bytes);
    Ok(Some(Frame { kind, skippable, request, header, payload: body }))
}

/// Reads the varint, and leaves at least so many bytes in `body`.
fn header_length(body: &mut Bytes) -> Result<usize, FrameError> {
    let mut length = 0usize;
    for shift in [0, 7, 14, 21, 28] {
        let Some(&byte) = body.first() else { return Err(FrameError::HeaderLength) };
        body.advance(1);
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 != 0 {
            continue;
        }
        if byte == 0 && shift > 0 {
            return Err(FrameError::HeaderLength);
        }
        if length > MAX_HEADER_BYTES {
            return Err(FrameError::HeaderTooLong { length });
        }
        return if length <= body.len() { Ok(length) } else { Err(FrameError::HeaderLength) };
    }
    Err(FrameError::HeaderLength)
}

/// Appends the frame to `out`.
pub fn encode(frame: &Frame, out: &mut BytesMut) -> Result<(), FrameError> {
    encode_head(frame, out)?;
    out.put_slice(&frame.payload);
    Ok(())
}

/// Appends the frame to `out` up to its payload, which is to follow without having been copied.
pub fn encode_head(frame: &Frame, out: &mut BytesMut) -> Result<(), FrameError> {
    put_prefix(frame.kind, frame.skippable, frame.request, frame.header.len(), frame.payload.len(), out)?;
    out.put_slice(&frame.header);
    Ok(())
}

/// Appends a frame of `kind`, with `message` as its header, to `out`.
pub fn encode_message(
    kind: FrameKind,
    request: u64,
    message: &impl prost::Message,
    payload: &[u8],
    out: &mut BytesMut,
) -> Result<(), FrameError> {
    encode_message_head(kind, request, message, payload.len(), out)?;
    out.put_slice(payload);
    Ok(())
}

/// The same up to the payload, of which `payload_bytes` are to follow.
pub fn encode_message_head(
    kind: FrameKind,
    request: u64,
    message: &impl prost::Message,
    payload_bytes: usize,
    out: &mut BytesMut,
) -> Result<(), FrameError> {
    put_prefix(kind, false, request, message.encoded_len(), payload_bytes, out)?;
    message.encode_raw(out);
    Ok(())
}

/// All that stands before the header, and room for that and the payload. Writes nothing when it fails.
fn put_prefix(
    kind: FrameKind,
    skippable: bool,
    request: u64,
    header_bytes: usize,
    payload_bytes: usize,
    out: &mut BytesMut,
) -> Result<(), FrameError> {
    if header_bytes > MAX_HEADER_BYTES {
        return Err(FrameError::HeaderTooLong { length: header_bytes });
    }
    let varint_bytes = prost::encoding::encoded_len_varint(header_bytes as u64);
    let length = payload_bytes.saturating_add(FIXED_BYTES + varint_bytes + header_bytes);
    let field = u32::try_from(length).map_err(|_| FrameError::TooLong {
        length,
        limit: usize::try_from(u32::MAX).unwrap_or(usize::MAX),
    })?;
    out.reserve(LENGTH_BYTES + FIXED_BYTES + varint_bytes + header_bytes);
    out.put_u32_le(field);
    out.put_u8(kind.number());
    out.put_u8(if skippable { SKIPPABLE } else { 0 });
    out.put_u64_le(request);
    prost::encoding::encode_varint(header_bytes as u64, out);
    Ok(())
}
