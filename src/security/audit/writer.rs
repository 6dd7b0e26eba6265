//! Lines into segments: what is appended is durable when the call returns, or not in the log at all.

use super::checkpoint::{Checkpoint, Signer};
use super::files::{Disk, Segment};
use super::line::{Anchor, append};
use super::verify::SIDECAR;
use super::walk::segment_name;
use super::{AuditError, AuditOptions, Entry};
use std::io;
use std::time::Instant;

/// Bytes that are written and flushed at once, give or take a line: as many as a crash can leave in pieces.
pub(super) const BATCH: usize = 1 << 20;

/// An entry and its time, in milliseconds since the Unix epoch.
pub(super) type Timed = (u64, Entry);

/// The end of a log, open for writing.
pub(super) struct Writer<D: Disk> {
    pub(super) disk: D,
    pub(super) signer: Signer,
    pub(super) options: AuditOptions,
    /// The segment at the end; none before the first, and where it could not be made.
    pub(super) file: Option<D::File>,
    /// Bytes of that segment that are durable.
    pub(super) length: u64,
    /// There may be bytes beyond, of a write that failed.
    pub(super) unclean: bool,
    /// The last durable entry.
    pub(super) head: Anchor,
    /// Entries written since the log was opened.
    pub(super) written: u64,
    /// The last durable checkpoint's own number.
    pub(super) signed: u64,
    /// Since when there are entries that no checkpoint covers.
    pub(super) unsigned_since: Option<Instant>,
    /// A checkpoint that is in the log and not yet beside it.
    pub(super) beside: Option<Checkpoint>,
}

impl<D: Disk> Writer<D> {
    /// Appends entries in their order, and drops from the list those that are durable. A checkpoint follows when it is
    /// due, or `sign` says so.
    pub(super) fn append(
        &mut self,
        entries: &mut Vec<Timed>,
        sign: bool,
        now_ms: u64,
    ) -> Result<(), AuditError> {
        self.try_append(entries, sign, now_ms).map_err(|error| AuditError::of_io(&self.disk.name(), &error))
    }

    fn try_append(&mut self, entries: &mut Vec<Timed>, sign: bool, now_ms: u64) -> io::Result<()> {
        loop {
            self.clean()?;
            if self.file.is_none() || self.length >= self.options.segment_bytes {
                self.rotate(now_ms)?;
            }
            let (mut bytes, mut head, mut taken) = (Vec::new(), self.head, 0);
            while taken < entries.len() && bytes.len() < BATCH {
                let (at, entry) = &entries[taken];
                head = append(&mut bytes, head, *at, entry.clone());
                taken += 1;
            }
            let last = taken == entries.len();
            let due = head.seq - self.signed >= self.options.checkpoint_entries || self.is_checkpoint_due();
            let checkpoint = (due || last && sign) && head.seq > self.signed;
            self.write(bytes, head, checkpoint, now_ms)?;
            entries.drain(..taken);
            if last {
                return Ok(());
            }
        }
    }

    /// When a checkpoint is due that no entry brings about.
    pub(super) fn checkpoint_due(&self) -> Option<Instant> {
        self.unsigned_since.map(|since| since + self.options.checkpoint_interval)
    }

    fn is_checkpoint_due(&self) -> bool {
        self.checkpoint_due().is_some_and(|due| due <= Instant::now())
    }

    /// One write and one flush.
    fn write(
        &mut self,
        mut bytes: Vec<u8>,
        mut head: Anchor,
        checkpoint: bool,
        now_ms: u64,
    ) -> io::Result<()> {
        if checkpoint {
            let entry = self.signer.sign(head, now_ms).into_entry();
            head = append(&mut bytes, head, now_ms, entry);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let file = self.file.as_mut().ok_or_else(|| io::Error::other("no segment is open"))?;
        self.unclean = true;
        if let Err(error) = file.write_at(self.length, &bytes).and_then(|()| file.sync()) {
            // At once, so that nobody reads half a line; where that fails too it is done before the next write.
            drop(self.clean());
            return Err(error);
        }
        self.unclean = false;
        self.written += head.seq - self.head.seq;
        (self.length, self.head) = (self.length + bytes.len() as u64, head);
        if checkpoint {
            (self.signed, self.unsigned_since) = (head.seq, None);
            self.beside = Some(self.signer.sign(head, now_ms));
        } else {
            self.unsigned_since.get_or_insert_with(Instant::now);
        }
        Ok(())
    }

    /// Drops what a write left that failed. Also after a flush that failed: what of it reached the disk is not known, so
    /// it is written anew.
    fn clean(&mut self) -> io::Result<()> {
        if let Some(file) = self.file.as_mut().filter(|_| self.unclean) {
            file.truncate(self.length)?;
            file.sync()?;
        }
        self.unclean = false;
        Ok(())
    }

    /// Closes the chapter: a checkpoint as its last line, then the next segment.
    fn rotate(&mut self, now_ms: u64) -> io::Result<()> {
        if self.file.is_some() && self.head.seq > self.signed {
            self.write(Vec::new(), self.head, true, now_ms)?;
        }
        // One that was made and could not be published is made again: nothing is in it.
        let file = self.disk.create(&segment_name(self.head.seq + 1))?;
        (self.file, self.length) = (Some(file), 0);
        Ok(())
    }

    /// Puts the newest checkpoint beside the log, if it is not there yet.
    pub(super) fn put_beside(&mut self) -> Result<(), AuditError> {
        let Some(checkpoint) = &self.beside else { return Ok(()) };
        self.disk
            .replace(SIDECAR, checkpoint.to_text().as_bytes())
            .map_err(|error| AuditError::of_io(&self.disk.name(), &error))?;
        self.beside = None;
        Ok(())
    }
}
