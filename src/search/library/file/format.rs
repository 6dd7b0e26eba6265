//! The fixed part of the file: which bytes stand where, what they may say, and how long the whole must be.

use super::FileError;
use crate::kernels::dtw::Metric;
use crate::kernels::normalize::Normalize;

/// The version that is written, and the latest that is read.
pub const VERSION: u32 = 1;

/// First a byte that is not ASCII, last a line end and an end-of-file mark: what text-mode transfers change.
const MAGIC: [u8; 8] = *b"\x89MSPL\r\n\x1a";
/// What a sealed file begins with instead: the magic of a keyring's streams, known here without a keyring.
pub(super) const SEALED_MAGIC: [u8; 8] = *b"\x89MSS\r\n\x1a\n";
/// Opens the last bytes of the file.
pub(super) const END: [u8; 8] = *b"MSPL-END";

/// The bytes that every version begins with: magic, version, header length, features, and their checksum.
pub(super) const PRELUDE_BYTES: usize = 28;
/// What this version writes; later ones may append fields.
const HEADER_BYTES: usize = 92;
/// No header is longer.
const MAX_HEADER_BYTES: usize = 4096;
/// [`END`] and a checksum.
const TRAILER_BYTES: u64 = 12;
/// Bytes of the body between two checksums. Up to 11,450 bytes this CRC finds every change of up to three bits.
pub(super) const BLOCK_BYTES: usize = 4096;
/// Of one checksum.
pub(super) const CHECKSUM_BYTES: usize = 4;
/// The length of meta that is not there.
pub(super) const NO_META: u32 = u32::MAX;
/// Of an id or a meta, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = u32::MAX as usize - 1;
/// Required features that are understood: none exist yet.
const KNOWN_FEATURES: u32 = 0;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Header {
    pub(super) length: u64,
    pub(super) channels: u64,
    pub(super) window: Option<u64>,
    pub(super) metric: Metric,
    pub(super) normalize: Normalize,
    /// How many there are.
    pub(super) patterns: u64,
    /// Of all ids, with their lengths.
    pub(super) id_bytes: u64,
    /// Of all meta, with their lengths.
    pub(super) meta_bytes: u64,
}

impl Header {
    /// How many values follow, if that is a number at all.
    pub(super) fn values(&self) -> Option<u64> {
        self.patterns.checked_mul(self.length)?.checked_mul(self.channels)
    }

    /// Bytes of ids, meta and values.
    pub(super) fn body_bytes(&self) -> Option<u64> {
        let values = self.values()?.checked_mul(8)?;
        self.id_bytes.checked_add(self.meta_bytes)?.checked_add(values)
    }

    /// Bytes of the whole file behind a header of `header_bytes`.
    fn file_bytes(&self, header_bytes: u64) -> Option<u64> {
        let body = self.body_bytes()?;
        let checksums = body.div_ceil(BLOCK_BYTES as u64).checked_mul(CHECKSUM_BYTES as u64)?;
        header_bytes.checked_add(body)?.checked_add(checksums)?.checked_add(TRAILER_BYTES)
    }

    /// As bytes; `None` when the file would be longer than 2^64 bytes. The last four are the checksum that the first
    /// block continues.
    pub(super) fn to_bytes(self) -> Option<[u8; HEADER_BYTES]> {
        let file_bytes = self.file_bytes(HEADER_BYTES as u64)?;
        let mut bytes = [0; HEADER_BYTES];
        let mut at = 0;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&MAGIC);
        put(&VERSION.to_le_bytes());
        put(&(HEADER_BYTES as u32).to_le_bytes());
        put(&0_u32.to_le_bytes());
        put(&0_u32.to_le_bytes());
        put(&[0; CHECKSUM_BYTES]);
        put(&[metric_code(self.metric), normalize_code(self.normalize), u8::from(self.window.is_some()), 0]);
        put(&file_bytes.to_le_bytes());
        for field in [self.patterns, self.length, self.channels, self.window.unwrap_or(0)] {
            put(&field.to_le_bytes());
        }
        put(&self.id_bytes.to_le_bytes());
        put(&self.meta_bytes.to_le_bytes());
        debug_assert_eq!(at, HEADER_BYTES - CHECKSUM_BYTES);
        for end in [PRELUDE_BYTES, HEADER_BYTES] {
            let (covered, rest) = bytes.split_at_mut(end - CHECKSUM_BYTES);
            rest[..CHECKSUM_BYTES].copy_from_slice(&crc32fast::hash(covered).to_le_bytes());
        }
        Some(bytes)
    }

    /// From all bytes of a header, whose prelude was checked, of a file of `size` bytes.
    pub(super) fn parse(bytes: &[u8], size: u64) -> Result<Self, FileError> {
        let end = bytes.len() - CHECKSUM_BYTES;
        if crc32fast::hash(&bytes[..end]) != u32_at(bytes, end) {
            return Err(corrupt("the header does not match its checksum", end as u64));
        }
        let metric = metric_of(bytes[28]).ok_or_else(|| corrupt("unknown metric", 28))?;
        let normalize = normalize_of(bytes[29]).ok_or_else(|| corrupt("unknown normalisation", 29))?;
        let window = match (bytes[30], u64_at(bytes, 64)) {
            (0, 0) => None,
            (1, window) => Some(window),
            _ => return Err(corrupt("the window is neither there nor absent", 30)),
        };
        if bytes[31] != 0 {
            return Err(corrupt("a reserved byte is not 0", 31));
        }
        let header = Self {
            length: u64_at(bytes, 48),
            channels: u64_at(bytes, 56),
            window,
            metric,
            normalize,
            patterns: u64_at(bytes, 40),
            id_bytes: u64_at(bytes, 72),
            meta_bytes: u64_at(bytes, 80),
        };
        if header.length == 0 || header.channels == 0 {
            return Err(corrupt("patterns without values", 48));
        }
        let lengths = header.patterns.checked_mul(4);
        if lengths.is_none_or(|least| header.id_bytes < least || header.meta_bytes < least) {
            return Err(corrupt("more patterns than their ids and meta have room for", 40));
        }
        let told = u64_at(bytes, 32);
        if header.file_bytes(bytes.len() as u64) != Some(told) {
            return Err(corrupt("the sizes in the header contradict each other", 32));
        }
        if told != size {
            let what = format!("the file has {size} bytes where its header tells of {told}");
            return Err(FileError::Corrupt { what, offset: size.min(told) });
        }
        Ok(header)
    }
}

/// Checks the first bytes of a file, and gives the length of its header.
pub(super) fn parse_prelude(bytes: &[u8; PRELUDE_BYTES]) -> Result<usize, FileError> {
    if bytes[..SEALED_MAGIC.len()] == SEALED_MAGIC {
        return Err(FileError::Sealed);
    }
    if bytes[..MAGIC.len()] != MAGIC {
        return Err(corrupt("it does not begin like one", 0));
    }
    let end = PRELUDE_BYTES - CHECKSUM_BYTES;
    if crc32fast::hash(&bytes[..end]) != u32_at(bytes, end) {
        return Err(corrupt("the first bytes do not match their checksum", end as u64));
    }
    match u32_at(bytes, 8) {
        0 => return Err(corrupt("version 0 does not exist", 8)),
        VERSION => {}
        found => return Err(FileError::Schema { found, supported: VERSION }),
    }
    let unknown = u32_at(bytes, 16) & !KNOWN_FEATURES;
    if unknown != 0 {
        return Err(FileError::Features { unknown });
    }
    // The optional features at 20 are for readers that know them.
    let header_bytes = u32_at(bytes, 12) as usize;
    if !(HEADER_BYTES..=MAX_HEADER_BYTES).contains(&header_bytes) {
        return Err(corrupt("the header has an impossible length", 12));
    }
    Ok(header_bytes)
}

/// The error for `what` at `offset`.
pub(super) fn corrupt(what: &str, offset: u64) -> FileError {
    FileError::Corrupt { what: what.to_owned(), offset }
}

/// The little-endian number at `at`.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes make four bytes"))
}

/// The little-endian number at `at`.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes make eight bytes"))
}

fn metric_code(metric: Metric) -> u8 {
    match metric {
        Metric::Absolute => 0,
        Metric::Squared => 1,
        Metric::Euclidean => 2,
    }
}

fn metric_of(code: u8) -> Option<Metric> {
    [Metric::Absolute, Metric::Squared, Metric::Euclidean].into_iter().find(|m| metric_code(*m) == code)
}

fn normalize_code(normalize: Normalize) -> u8 {
    match normalize {
        Normalize::None => 0,
        Normalize::Zscore => 1,
        Normalize::Minmax => 2,
    }
}

fn normalize_of(code: u8) -> Option<Normalize> {
    [Normalize::None, Normalize::Zscore, Normalize::Minmax].into_iter().find(|n| normalize_code(*n) == code)
}
