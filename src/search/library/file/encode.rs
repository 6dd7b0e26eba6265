//! A library as bytes.

use super::blocks::BlockWriter;
use super::format::{BLOCK_BYTES, Header, MAX_TEXT_BYTES, NO_META, u32_at};
use super::{FileError, Saved};
use std::collections::HashSet;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// One call of the operating system for so many bytes.
const BUFFER_BYTES: usize = 1 << 16;

/// Writes `saved` as the bytes of a file; `path` is its name in errors. The same library gives the same bytes.
pub fn encode<W: Write>(saved: &Saved, sink: W, path: &Path) -> Result<(), FileError> {
    let header = check(saved)?;
    encode_checked(saved, &header, sink).map_err(FileError::io(path, "write"))
}

/// Whether `saved` is a library at all; a file that cannot be read again is not written.
pub(super) fn check(saved: &Saved) -> Result<Header, FileError> {
    let invalid = |what: String| Err(FileError::Invalid { what });
    let Saved { ids, meta, values, .. } = saved;
    if meta.len() != ids.len() {
        return invalid(format!("{} ids with {} meta", ids.len(), meta.len()));
    }
    let mut header = Header {
        length: saved.length as u64,
        channels: saved.channels as u64,
        window: saved.window.map(|window| window as u64),
        metric: saved.metric,
        normalize: saved.normalize,
        patterns: ids.len() as u64,
        id_bytes: 0,
        meta_bytes: 0,
    };
    if saved.length == 0 || saved.channels == 0 || header.values() != Some(values.len() as u64) {
        let (count, length, channels) = (ids.len(), saved.length, saved.channels);
        return invalid(format!("{} values for {count} patterns of {length} x {channels}", values.len()));
    }
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return invalid(format!("values[{index}] is {}", values[index]));
    }
    let mut seen = HashSet::with_capacity(ids.len());
    for (index, (id, meta)) in ids.iter().zip(meta).enumerate() {
        if !seen.insert(id) {
            return invalid(format!("ids[{index}] stands for two patterns: {id:?}"));
        }
        let meta_bytes = meta.as_ref().map_or(0, String::len);
        if id.len() > MAX_TEXT_BYTES || meta_bytes > MAX_TEXT_BYTES {
            return invalid(format!(
                "the id or the meta of pattern {index} is longer than {MAX_TEXT_BYTES} bytes"
            ));
        }
        header.id_bytes += 4 + id.len() as u64;
        header.meta_bytes += 4 + meta_bytes as u64;
    }
    Ok(header)
}

/// The bytes of a library that was checked.
pub(super) fn encode_checked<W: Write>(saved: &Saved, header: &Header, sink: W) -> io::Result<()> {
    let header = header.to_bytes().ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let mut sink = BufWriter::with_capacity(BUFFER_BYTES, sink);
    sink.write_all(&header)?;
    let mut body = BlockWriter::new(sink, u32_at(&header, header.len() - 4));
    for id in &saved.ids {
        body.put(&text_length(id).to_le_bytes())?;
        body.put(id.as_bytes())?;
    }
    for meta in &saved.meta {
        body.put(&meta.as_deref().map_or(NO_META, text_length).to_le_bytes())?;
        body.put(meta.as_deref().unwrap_or("").as_bytes())?;
    }
    let mut bytes = [0; BLOCK_BYTES];
    for values in saved.values.chunks(BLOCK_BYTES / 8) {
        for (place, value) in bytes.chunks_exact_mut(8).zip(values) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        body.put(&bytes[..values.len() * 8])?;
    }
    body.finish()?.flush()
}

fn text_length(text: &str) -> u32 {
    u32::try_from(text.len()).expect("check() refuses longer texts")
}
