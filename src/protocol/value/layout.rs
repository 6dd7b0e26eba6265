//! How the bytes of a value are laid out, without a look into its JSON text.

use super::{Array, ElementKind, ValueError};
use bytes::Bytes;

/// Length of the JSON text and number of arrays.
pub(super) const HEAD_BYTES: usize = 8;

/// What is said of an array: type, 0 and length.
pub(super) const ENTRY_BYTES: usize = 16;

/// Text and arrays end at multiples of it.
pub(super) const ALIGNMENT: usize = 8;

/// The JSON text and the arrays. Nothing is allocated for an array whose entry has not arrived.
pub(super) fn take_apart(bytes: &Bytes) -> Result<(&[u8], Vec<Array>), ValueError> {
    let (json_bytes, count) = match bytes.first_chunk::<HEAD_BYTES>() {
        Some(&[a, b, c, d, e, f, g, h]) => {
            (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
        }
        None => return Err(ValueError::Truncated { bytes: bytes.len(), needed: HEAD_BYTES as u64 }),
    };
    let mut rest = Rest { bytes, at: HEAD_BYTES };
    let entries = rest.take(u64::from(count) * ENTRY_BYTES as u64)?;
    let text = rest.take(u64::from(json_bytes))?;
    rest.padding()?;
    let mut arrays = Vec::with_capacity(entries.len() / ENTRY_BYTES);
    for (index, entry) in entries.chunks_exact(ENTRY_BYTES).enumerate() {
        let number = u32::from_le_bytes(entry[..4].try_into().expect("4 bytes"));
        let kind = ElementKind::from_number(number).ok_or(ValueError::UnknownType { index, number })?;
        if entry[4..8] != [0; 4] {
            return Err(ValueError::Reserved { index });
        }
        let length = u64::from_le_bytes(entry[8..].try_into().expect("8 bytes"));
        if length % kind.element_bytes() as u64 != 0 {
            return Err(ValueError::PartElement { index, bytes: length, kind });
        }
        let elements = rest.take(length)?;
        rest.padding()?;
        arrays.push(Array::new(kind, bytes.slice_ref(elements)));
    }
    match bytes.len() - rest.at {
        0 => Ok((text, arrays)),
        bytes => Err(ValueError::Trailing { bytes }),
    }
}

/// What has not been taken.
struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Rest<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], ValueError> {
        let there = &self.bytes[self.at..];
        let taken = usize::try_from(length).ok().and_then(|length| there.get(..length)).ok_or_else(|| {
            ValueError::Truncated { bytes: self.bytes.len(), needed: length.saturating_add(self.at as u64) }
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    fn padding(&mut self) -> Result<(), ValueError> {
        let zeros = self.take((self.at.next_multiple_of(ALIGNMENT) - self.at) as u64)?;
        if zeros.iter().any(|&byte| byte != 0) {
            return Err(ValueError::Padding { end: self.at });
        }
        Ok(())
    }
}
