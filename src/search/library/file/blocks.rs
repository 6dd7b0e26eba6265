//! The body of the file as a stream of bytes: cut into blocks, each followed by a checksum.
//!
//! The checksums are chained: each covers the one before it and its own block, the first the checksum of the header,
//! the last, in the trailer, the mark of the end. So a block is valid only behind the blocks that it was written
//! behind, and blocks of two files (or of two saves of one) do not make a third.

use super::FileError;
use super::format::{BLOCK_BYTES, CHECKSUM_BYTES, END, corrupt, u32_at};
use std::io::{self, Read, Write};
use std::path::Path;

fn chained(previous: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&previous.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

/// Writes the body and the trailer.
pub(super) struct BlockWriter<W> {
    sink: W,
    checksum: u32,
    block: Vec<u8>,
}

impl<W: Write> BlockWriter<W> {
    /// Behind a header that ends with `checksum`.
    pub(super) fn new(sink: W, checksum: u32) -> Self {
        Self { sink, checksum, block: Vec::with_capacity(BLOCK_BYTES) }
    }

    /// Appends to the body.
    pub(super) fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK_BYTES {
                self.close_block()?;
            }
        }
        Ok(())
    }

    /// Ends the body and writes the trailer.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.block.is_empty() {
            self.close_block()?;
        }
        self.block.extend_from_slice(&END);
        self.close_block()?;
        Ok(self.sink)
    }

    fn close_block(&mut self) -> io::Result<()> {
        self.checksum = chained(self.checksum, &self.block);
        self.sink.write_all(&self.block)?;
        self.sink.write_all(&self.checksum.to_le_bytes())?;
        self.block.clear();
        Ok(())
    }
}

/// Reads what [`BlockWriter`] wrote, and hands out only what matches its checksum.
pub(super) struct BlockReader<'a, R> {
    source: R,
    path: &'a Path,
    /// Of the file, behind what was read.
    offset: u64,
    /// Of the body, not read yet.
    remaining: u64,
    checksum: u32,
    block: Vec<u8>,
    /// How much of the block was handed out.
    used: usize,
}

impl<'a, R: Read> BlockReader<'a, R> {
    /// Behind a header of `offset` bytes that ends with `checksum`, for a body of `remaining` bytes.
    pub(super) fn new(source: R, path: &'a Path, offset: u64, remaining: u64, checksum: u32) -> Self {
        Self { source, path, offset, remaining, checksum, block: Vec::with_capacity(BLOCK_BYTES), used: 0 }
    }

    /// Fills `bytes` with the next ones of the body, of which the caller knows that they exist.
    pub(super) fn take(&mut self, mut bytes: &mut [u8]) -> Result<(), FileError> {
        while !bytes.is_empty() {
            if self.used == self.block.len() {
                let length = self.remaining.min(BLOCK_BYTES as u64);
                debug_assert!(length > 0, "the header's sizes were checked against each other");
                self.remaining -= length;
                self.open_block(length as usize)?;
            }
            let now = bytes.len().min(self.block.len() - self.used);
            let (head, tail) = bytes.split_at_mut(now);
            head.copy_from_slice(&self.block[self.used..self.used + now]);
            self.used += now;
            bytes = tail;
        }
        Ok(())
    }

    /// Where in the file the block begins that was read last.
    pub(super) fn block_offset(&self) -> u64 {
        self.offset - (self.block.len() + CHECKSUM_BYTES) as u64
    }

    /// Checks the trailer, after the whole body was taken, and that nothing follows it.
    pub(super) fn finish(mut self) -> Result<(), FileError> {
        debug_assert!(self.remaining == 0 && self.used == self.block.len());
        self.open_block(END.len())?;
        if self.block != END {
            return Err(corrupt("the mark of the end is missing", self.block_offset()));
        }
        // The size was compared before, but the file may have grown since.
        let mut more = [0];
        match self.source.read_exact(&mut more) {
            Ok(()) => Err(corrupt("there is more behind the end", self.offset)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(FileError::io(self.path, "read")(error)),
        }
    }

    fn open_block(&mut self, length: usize) -> Result<(), FileError> {
        let mut stored = [0; CHECKSUM_BYTES];
        self.block.resize(length, 0);
        self.used = 0;
        read_exact(&mut self.source, &mut self.block, self.offset, self.path)?;
        read_exact(&mut self.source, &mut stored, self.offset + length as u64, self.path)?;
        self.offset += (length + CHECKSUM_BYTES) as u64;
        self.checksum = chained(self.checksum, &self.block);
        if self.checksum != u32_at(&stored, 0) {
            return Err(corrupt("a block does not match its checksum", self.block_offset()));
        }
        Ok(())
    }
}

/// Fills `bytes` from `offset` on; a file that ends there is a corrupt one.
pub(super) fn read_exact<R: Read>(
    source: &mut R,
    bytes: &mut [u8],
    offset: u64,
    path: &Path,
) -> Result<(), FileError> {
    source.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => corrupt("it ends early", offset),
        _ => FileError::io(path, "read")(error),
    })
}
