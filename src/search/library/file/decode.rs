//! A library from bytes that nobody vouches for.

use super::blocks::{BlockReader, read_exact};
use super::format::{
    BLOCK_BYTES, CHECKSUM_BYTES, Header, NO_META, PRELUDE_BYTES, corrupt, parse_prelude, u32_at,
};
use super::{FileError, Saved};
use std::collections::HashSet;
use std::io::{BufReader, Read};
use std::path::Path;

/// One call of the operating system for so many bytes.
const BUFFER_BYTES: usize = 1 << 16;

/// Reads the bytes of a file of `size` bytes; `path` is its name in errors.
///
/// Nothing is allocated before the header was checked against `size`; then no allocation is larger than three times
/// `size`, and all of them together are at most ten times (thousands of patterns of one value), usually about one.
pub fn decode<R: Read>(source: R, size: u64, path: &Path) -> Result<Saved, FileError> {
    let mut source = BufReader::with_capacity(BUFFER_BYTES, source);
    let mut prelude = [0; PRELUDE_BYTES];
    read_exact(&mut source, &mut prelude, 0, path)?;
    let mut bytes = prelude.to_vec();
    bytes.resize(parse_prelude(&prelude)?, 0);
    read_exact(&mut source, &mut bytes[PRELUDE_BYTES..], PRELUDE_BYTES as u64, path)?;
    let header = Header::parse(&bytes, size)?;

    let checksum = u32_at(&bytes, bytes.len() - CHECKSUM_BYTES);
    let body = header.body_bytes().expect("parse() compared a size that includes it");
    let mut body = BlockReader::new(source, path, bytes.len() as u64, body, checksum);
    let ids = ids(&mut body, &header)?;
    let meta = metas(&mut body, &header)?;
    let values = values(&mut body, &header)?;
    body.finish()?;
    Ok(Saved {
        length: count(header.length)?,
        channels: count(header.channels)?,
        window: header.window.map(count).transpose()?,
        metric: header.metric,
        normalize: header.normalize,
        ids,
        meta,
        values,
    })
}

fn ids<R: Read>(body: &mut BlockReader<'_, R>, header: &Header) -> Result<Vec<String>, FileError> {
    let mut ids = reserved(header.patterns)?;
    let mut section = Texts { remaining: header.id_bytes, patterns: header.patterns };
    while section.patterns > 0 {
        let length =
            section.next_length(body)?.ok_or_else(|| corrupt("a pattern has no id", body.block_offset()))?;
        ids.push(text(body, length)?);
    }
    section.finish(body)?;
    let mut seen = HashSet::new();
    seen.try_reserve(ids.len()).map_err(|_| FileError::OutOfMemory { bytes: header.patterns * 16 })?;
    match ids.iter().position(|id: &String| !seen.insert(id.as_str())) {
        Some(index) => {
            let what = format!("two patterns have the id {:?}", ids[index]);
            Err(FileError::Corrupt { what, offset: body.block_offset() })
        }
        None => Ok(ids),
    }
}

fn metas<R: Read>(body: &mut BlockReader<'_, R>, header: &Header) -> Result<Vec<Option<String>>, FileError> {
    let mut metas = reserved(header.patterns)?;
    let mut section = Texts { remaining: header.meta_bytes, patterns: header.patterns };
    while section.patterns > 0 {
        let length = section.next_length(body)?;
        metas.push(length.map(|length| text(body, length)).transpose()?);
    }
    section.finish(body)?;
    Ok(metas)
}

fn values<R: Read>(body: &mut BlockReader<'_, R>, header: &Header) -> Result<Vec<f64>, FileError> {
    let total = header.values().expect("parse() compared a size that includes it");
    let mut values: Vec<f64> = reserved(total)?;
    let mut bytes = [0; BLOCK_BYTES];
    let mut left = count(total)?;
    while left > 0 {
        let now = left.min(BLOCK_BYTES / 8);
        let bytes = &mut bytes[..now * 8];
        body.take(bytes)?;
        let block = bytes
            .chunks_exact(8)
            .map(|value| f64::from_le_bytes(value.try_into().expect("chunks of eight have eight bytes")));
        values.extend(block);
        if values[values.len() - now..].iter().any(|value| !value.is_finite()) {
            return Err(corrupt("a value is not finite", body.block_offset()));
        }
        left -= now;
    }
    Ok(values)
}

/// A section of texts, each behind its length: how much of it is left.
struct Texts {
    remaining: u64,
    patterns: u64,
}

impl Texts {
    /// The length of the next text, which the section has room for, or that there is none.
    fn next_length<R: Read>(&mut self, body: &mut BlockReader<'_, R>) -> Result<Option<usize>, FileError> {
        let mut length = [0; 4];
        body.take(&mut length)?;
        let length = u32::from_le_bytes(length);
        let bytes = if length == NO_META { 0 } else { u64::from(length) };
        self.patterns -= 1;
        // Behind this text there are still the lengths of the others.
        let left = self.remaining.checked_sub(4 + bytes).filter(|left| *left >= self.patterns * 4);
        self.remaining =
            left.ok_or_else(|| corrupt("a text is longer than its section", body.block_offset()))?;
        if length == NO_META { Ok(None) } else { count(bytes).map(Some) }
    }

    /// Whether the texts fill the section.
    fn finish<R: Read>(self, body: &BlockReader<'_, R>) -> Result<(), FileError> {
        match self.remaining {
            0 => Ok(()),
            _ => Err(corrupt("a section of texts is longer than they are", body.block_offset())),
        }
    }
}

fn text<R: Read>(body: &mut BlockReader<'_, R>, length: usize) -> Result<String, FileError> {
    let mut bytes: Vec<u8> = reserved(length as u64)?;
    bytes.resize(length, 0);
    body.take(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| corrupt("a text is not UTF-8", body.block_offset()))
}

/// An empty vector for so many elements, or the error that there is no memory for them.
fn reserved<T>(elements: u64) -> Result<Vec<T>, FileError> {
    let mut vector = Vec::new();
    let bytes = elements.saturating_mul(size_of::<T>() as u64);
    vector.try_reserve_exact(count(elements)?).map_err(|_| FileError::OutOfMemory { bytes })?;
    Ok(vector)
}

/// As a count in memory, which on processors of 32 bits not every number is.
fn count(number: u64) -> Result<usize, FileError> {
    usize::try_from(number).map_err(|_| FileError::OutOfMemory { bytes: number })
}
