//! Numbers and byte strings of messages. Lengths, counts and versions are LEB128 varints in their shortest form, everything
//! else is of a fixed width and little-endian. Nothing is reserved for a length that the rest of the message cannot hold.

use super::WireError;

/// No version is above: JavaScript and SQLite count them exactly up to here, and no database lives to see it.
pub const MAX_VERSION: u64 = (1 << 53) - 1;

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a length and the bytes.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// What is left to decode.
pub(super) struct Input<'a>(pub(super) &'a [u8]);

impl<'a> Input<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(WireError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.take(N)?.try_into().map_err(|_| WireError::Malformed)
    }

    pub(super) fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// 0 or 1.
    pub(super) fn flag(&mut self) -> Result<bool, WireError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Malformed),
        }
    }

    pub(super) fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(WireError::Malformed);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                // A last byte of zero could have been left away.
                return if byte == 0 && shift > 0 { Err(WireError::Malformed) } else { Ok(value) };
            }
        }
        Err(WireError::Malformed)
    }

    pub(super) fn version(&mut self) -> Result<u64, WireError> {
        let version = self.varint()?;
        if version <= MAX_VERSION { Ok(version) } else { Err(WireError::Malformed) }
    }

    /// How many things follow, of so many bytes each at least.
    pub(super) fn count(&mut self, smallest: usize) -> Result<usize, WireError> {
        let count = usize::try_from(self.varint()?).map_err(|_| WireError::Malformed)?;
        if count <= self.0.len() / smallest { Ok(count) } else { Err(WireError::Malformed) }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.count(1)?;
        self.take(length)
    }

    pub(super) fn end<T>(&self, value: T) -> Result<T, WireError> {
        if self.0.is_empty() { Ok(value) } else { Err(WireError::Malformed) }
    }
}
