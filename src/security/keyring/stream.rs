//! Files of any length, sealed in chunks, so that neither sealing nor opening needs the whole in memory.
//!
//! ```text
//! magic 8 | version 1 | algorithm 1 | 0 x 6 | key id 8 | salt 32 | chunks: ciphertext up to 65,536 | tag 16
//! ```
//!
//! The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizar: "Online authenticated-encryption and its
//! nonce-reuse misuse-resistance", CRYPTO 2015), as in age: every file has a key of its own, derived with the salt, and the
//! nonce of a chunk says which one it is and whether it is the last. So a chunk opens in its place alone, and a file that
//! ends after a whole chunk does not pass for a shorter one. `docs/keyring.md` is the normative description.

use super::KeyringError;
use super::envelope::{NONCE_BYTES, TAG_BYTES, UNOPENED, authenticated, check};
use super::key::{ID_BYTES, Key, KeyId, random};
use super::ring::Ring;
use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce};
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// The first bytes of every sealed file. First a byte that is not ASCII, last a line end and an end-of-file mark: what
/// text-mode transfers change.
pub const MAGIC: [u8; 8] = *b"\x89MSS\r\n\x1a\n";
/// Version 1; AES-256-GCM-SIV with a key by HKDF-SHA-256; nothing.
const FORMAT: [u8; 8] = [1, 1, 0, 0, 0, 0, 0, 0];
const ID_AT: usize = 16;
const SALT_AT: usize = ID_AT + ID_BYTES;
const HEADER_BYTES: usize = SALT_AT + 32;
/// Bytes of what is sealed that go into one chunk.
const CHUNK_BYTES: usize = 65_536;

/// The nonce of a chunk.
fn nonce(index: u64, last: bool) -> Nonce {
    let mut bytes = [0; NONCE_BYTES];
    bytes[..8].copy_from_slice(&index.to_le_bytes());
    bytes[8] = u8::from(last);
    Nonce::assume_unique_for_key(bytes)
}

/// What is sealed when `total` bytes are in a file, in bytes. `None`: no file has this length.
fn plain_bytes(total: u64) -> Option<u64> {
    let (whole, tag) = ((CHUNK_BYTES + TAG_BYTES) as u64, TAG_BYTES as u64);
    let body = total.checked_sub(HEADER_BYTES as u64).filter(|body| *body >= tag)?;
    let chunks = body.div_ceil(whole);
    let last = body - (chunks - 1) * whole;
    // Only of nothing at all there is an empty chunk.
    (last > tag || (last == tag && chunks == 1)).then(|| body - chunks * tag)
}

/// Ready to seal one file.
pub struct StreamSealer {
    header: [u8; HEADER_BYTES],
    cipher: LessSafeKey,
    authenticated: Vec<u8>,
}

impl StreamSealer {
    pub(super) fn new(key: &Key, context: &str) -> Result<Self, KeyringError> {
        check(context, 0)?;
        let salt: [u8; 32] = random()?;
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..ID_AT].copy_from_slice(&FORMAT);
        header[ID_AT..SALT_AT].copy_from_slice(&key.id.0);
        header[SALT_AT..].copy_from_slice(&salt);
        Ok(Self { header, cipher: key.stream(&salt)?, authenticated: authenticated(&header, context) })
    }

    /// Seals what is written into `sink`. Ends with [`StreamWriter::finish`], without which the file does not open.
    pub fn writer<W: Write>(self, mut sink: W) -> io::Result<StreamWriter<W>> {
        sink.write_all(&self.header)?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
        Ok(StreamWriter { cipher: self.cipher, authenticated: self.authenticated, sink, chunk, index: 0 })
    }
}

/// Seals what is written.
pub struct StreamWriter<W> {
    cipher: LessSafeKey,
    authenticated: Vec<u8>,
    sink: W,
    chunk: Zeroizing<Vec<u8>>,
    index: u64,
}

impl<W: Write> StreamWriter<W> {
    /// Writes the last chunk.
    pub fn finish(mut self) -> io::Result<()> {
        self.close_chunk(true)?;
        self.sink.flush()
    }

    fn close_chunk(&mut self, last: bool) -> io::Result<()> {
        let nonce = nonce(self.index, last);
        let aad = Aad::from(self.authenticated.as_slice());
        let tag = self.cipher.seal_in_place_separate_tag(nonce, aad, &mut self.chunk);
        let tag = tag.map_err(|_| io::Error::other("a chunk could not be sealed"))?;
        self.sink.write_all(&self.chunk)?;
        self.sink.write_all(tag.as_ref())?;
        self.chunk.clear();
        self.index += 1;
        Ok(())
    }
}

impl<W: Write> Write for StreamWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Not before there is more: the last chunk is sealed as the last.
        if self.chunk.len() == CHUNK_BYTES && !bytes.is_empty() {
            self.close_chunk(false)?;
        }
        let now = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..now]);
        Ok(now)
    }

    /// What is not a whole chunk waits for [`finish`](Self::finish).
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Opens a sealed file as it is read, chunk by chunk: nothing comes out that is not authentic.
pub struct StreamReader<R> {
    cipher: LessSafeKey,
    authenticated: Vec<u8>,
    source: R,
    /// Of the file, not read yet.
    remaining: u64,
    plain_bytes: u64,
    /// What is open of the present chunk, from `used` on.
    chunk: Zeroizing<Vec<u8>>,
    used: usize,
    index: u64,
    refused: bool,
}

impl<R: Read> StreamReader<R> {
    /// Reads the header of a file of `total` bytes.
    pub(super) fn new(
        ring: &Ring,
        mut source: R,
        total: u64,
        context: &str,
    ) -> Result<io::Result<Self>, KeyringError> {
        check(context, 0)?;
        let mut header = [0; HEADER_BYTES];
        let short = KeyringError::Decrypt("the file is not sealed, or was cut off");
        let Some(plain_bytes) = plain_bytes(total) else { return Err(short) };
        match source.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(short),
            Err(error) => return Ok(Err(error)),
            Ok(()) => {}
        }
        if header[..8] != MAGIC {
            return Err(KeyringError::Decrypt("the file is not sealed, and was to be opened with a keyring"));
        }
        if header[8..ID_AT] != FORMAT {
            let what = "the file is sealed in a way that this release does not know, or was changed";
            return Err(KeyringError::Decrypt(what));
        }
        let id = KeyId(header[ID_AT..SALT_AT].try_into().expect("a key id has its length"));
        let key = ring.key(id).ok_or(KeyringError::NoKey(id))?;
        Ok(Ok(Self {
            cipher: key.stream(&header[SALT_AT..])?,
            authenticated: authenticated(&header, context),
            source,
            remaining: total - HEADER_BYTES as u64,
            plain_bytes,
            chunk: Zeroizing::new(Vec::with_capacity(CHUNK_BYTES + TAG_BYTES)),
            used: 0,
            index: 0,
            refused: false,
        }))
    }

    /// How many bytes there are to read, if the file is what it was.
    pub fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    /// Whether all that was read, and all that was not read yet, is as it was sealed. Reads to the end.
    pub fn is_authentic(&mut self) -> io::Result<bool> {
        while !self.refused && self.remaining > 0 {
            match self.open_chunk() {
                Err(error) if !self.refused => return Err(error),
                _ => {}
            }
        }
        Ok(!self.refused)
    }

    fn open_chunk(&mut self) -> io::Result<()> {
        // Until it is known to be authentic, for whatever reason that may not come to be.
        self.used = 0;
        self.chunk.clear();
        let length = self.remaining.min((CHUNK_BYTES + TAG_BYTES) as u64);
        self.chunk.resize(length as usize, 0);
        let read = self.source.read_exact(&mut self.chunk);
        if let Err(error) = read {
            self.chunk.clear();
            // It was longer a moment ago.
            self.refused |= error.kind() == io::ErrorKind::UnexpectedEof;
            return Err(error);
        }
        self.remaining -= length;
        let nonce = nonce(self.index, self.remaining == 0);
        let aad = Aad::from(self.authenticated.as_slice());
        let opened = self.cipher.open_in_place(nonce, aad, &mut self.chunk).map(|plain| plain.len());
        let Ok(plain) = opened else {
            self.chunk.clear();
            self.refused = true;
            return Err(io::Error::new(io::ErrorKind::InvalidData, UNOPENED));
        };
        self.chunk.truncate(plain);
        self.index += 1;
        Ok(())
    }
}

impl<R: Read> Read for StreamReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.refused {
            return Err(io::Error::new(io::ErrorKind::InvalidData, UNOPENED));
        }
        if self.used == self.chunk.len() && self.remaining > 0 {
            self.open_chunk()?;
        }
        let now = out.len().min(self.chunk.len() - self.used);
        out[..now].copy_from_slice(&self.chunk[self.used..self.used + now]);
        self.used += now;
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: usize = CHUNK_BYTES + TAG_BYTES;

    fn ring() -> Ring {
        Ring::new(Key::new(KeyId([3; ID_BYTES]), 1, Zeroizing::new([3; 32])).unwrap())
    }

    fn sealed(plain: &[u8], piece: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = StreamSealer::new(ring().current(), "here").unwrap().writer(&mut out).unwrap();
        for bytes in plain.chunks(piece) {
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap();
        out
    }

    /// `Err`: it stayed closed, at the header or later.
    fn opened(bytes: &[u8], context: &str) -> Result<Vec<u8>, String> {
        let reader = StreamReader::new(&ring(), bytes, bytes.len() as u64, context);
        let mut reader = reader.map_err(|error| error.to_string())?.unwrap();
        let mut plain = Vec::new();
        let read = reader.read_to_end(&mut plain);
        assert_eq!(reader.is_authentic().unwrap(), read.is_ok());
        assert!(read.is_err() || plain.len() as u64 == reader.plain_bytes());
        read.map(|_| plain).map_err(|error| error.to_string())
    }

    fn plain(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 31 % 251) as u8).collect()
    }

    #[test]
    fn every_length_around_a_chunk_comes_back() {
        let near = |at: usize| [at.saturating_sub(1), at, at + 1];
        for length in [0, CHUNK_BYTES, 2 * CHUNK_BYTES].into_iter().flat_map(near) {
            for piece in [1000, CHUNK_BYTES, usize::MAX] {
                let bytes = sealed(&plain(length), piece);
                assert_eq!(
                    bytes.len(),
                    HEADER_BYTES + length + length.div_ceil(CHUNK_BYTES).max(1) * TAG_BYTES
                );
                assert_eq!(
                    opened(&bytes, "here").unwrap(),
                    plain(length),
                    "{length} bytes in pieces of {piece}"
                );
            }
        }
    }

    #[test]
    fn what_was_cut_continued_or_put_together_anew_stays_closed() {
        let bytes = sealed(&plain(3 * CHUNK_BYTES + 100), usize::MAX);
        let closed = |bytes: &[u8], what: &str| assert!(opened(bytes, "here").is_err(), "{what}");
        let chunk = |at: usize| HEADER_BYTES + at * WHOLE..(HEADER_BYTES + (at + 1) * WHOLE).min(bytes.len());
        let parts = |order: &[usize]| {
            let chunks = order.iter().flat_map(|at| bytes[chunk(*at)].to_vec());
            bytes[..HEADER_BYTES].iter().copied().chain(chunks).collect::<Vec<u8>>()
        };
        assert_eq!(parts(&[0, 1, 2, 3]), bytes);
        for order in [
            &[0][..],
            &[0, 1],
            &[0, 1, 2],
            &[1, 2, 3],
            &[0, 2, 1, 3],
            &[0, 0, 1, 2, 3],
            &[3],
            &[0, 1, 3],
            &[],
        ] {
            closed(&parts(order), &format!("{order:?}"));
        }
        for length in (0..HEADER_BYTES + 40).chain((0..40).map(|less| bytes.len() - 1 - less)) {
            closed(&bytes[..length], &format!("{length} bytes"));
        }
        closed(&[&bytes[..], &[0]].concat(), "one byte more");
        let other = sealed(&plain(3 * CHUNK_BYTES + 100), usize::MAX);
        closed(&[&bytes[..chunk(1).start], &other[chunk(1).start..]].concat(), "half of another");
        assert!(opened(&bytes, "there").is_err() && opened(&bytes, "").is_err());
    }

    #[test]
    fn every_flipped_bit_stays_closed() {
        let bytes = sealed(&plain(100), usize::MAX);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(opened(&changed, "here").is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_file_that_shrinks_while_it_is_read_stays_closed() {
        let bytes = sealed(&plain(CHUNK_BYTES + 5), usize::MAX);
        let reader = StreamReader::new(&ring(), &bytes[..HEADER_BYTES + WHOLE], bytes.len() as u64, "here");
        let mut reader = reader.unwrap().unwrap();
        let mut out = vec![0; CHUNK_BYTES];
        reader.read_exact(&mut out).unwrap();
        assert!(!reader.is_authentic().unwrap());
        assert_eq!(reader.read(&mut out).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn lengths_that_no_file_has() {
        let lengths = [0, 55, 56, 71, 56 + WHOLE as u64 + 15, 56 + WHOLE as u64 + 16];
        assert!(lengths.into_iter().all(|length| plain_bytes(length).is_none()));
        assert_eq!(plain_bytes(72), Some(0));
        assert_eq!(plain_bytes(56 + WHOLE as u64), Some(CHUNK_BYTES as u64));
        assert_eq!(plain_bytes(56 + WHOLE as u64 + 17), Some(CHUNK_BYTES as u64 + 1));
        assert!(plain_bytes(u64::MAX).is_some_and(|plain| plain < u64::MAX));
    }
}
