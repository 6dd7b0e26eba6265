//! The walk along the chain: one line after the other, in constant memory.

use super::checkpoint::{Checkpoint, PublicKey, tells_of_missing};
use super::line::{Anchor, LONGEST_LINE, parse, unhex};
use super::{Action, AuditError};
use crate::security::hex;
use std::io::{self, BufRead};
use std::thread;
use std::time::Duration;

/// How often a line without an end is looked at again: whoever writes the log may be in the middle of it.
const LOOKS: u32 = 5;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

const PREFIX: &str = "audit-";
const SUFFIX: &str = ".jsonl";

/// Digits of the number in the name of a segment.
const DIGITS: usize = 16;

/// The segment that begins with this entry.
pub(super) fn segment_name(first: u64) -> String {
    format!("{PREFIX}{first:0DIGITS$}{SUFFIX}")
}

/// The first entry of a segment of this name.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let whole = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| digits.parse().ok()).flatten().filter(|first| *first > 0)
}

/// The segments of a directory in order, by their first entries.
pub(super) fn segments(names: Vec<String>) -> Vec<u64> {
    let mut segments: Vec<u64> = names.iter().filter_map(|name| first_of(name)).collect();
    segments.sort_unstable();
    segments
}

/// What came next in a file.
pub(super) enum Next {
    /// A line; its bytes, without the line feed, are in the buffer.
    Line,
    /// The file ends after a line, or has none.
    End,
    /// The file ends within a line.
    Torn,
    /// A line that is longer than any.
    TooLong,
}

/// Reads the next line into `line`.
pub(super) fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>, patient: bool) -> io::Result<Next> {
    line.clear();
    let mut looks = if patient { LOOKS } else { 0 };
    loop {
        let available = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        if available.is_empty() {
            if line.is_empty() {
                return Ok(Next::End);
            }
            if looks == 0 {
                return Ok(Next::Torn);
            }
            looks -= 1;
            thread::sleep(PAUSE);
            continue;
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(available.len());
        if line.len() + taken >= LONGEST_LINE {
            return Ok(Next::TooLong);
        }
        line.extend_from_slice(&available[..taken]);
        reader.consume(taken + usize::from(end.is_some()));
        if end.is_some() {
            return Ok(Next::Line);
        }
    }
}

/// Where the chain does not hold: the number of the entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken(pub(super) u64);

/// What is known of the log so far.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    key: Option<&'a PublicKey>,
    first: u64,
    /// The last entry; `None` while a walk that begins in the middle has seen none.
    place: Option<Anchor>,
    pub(super) entries: u64,
    /// The last entry that a checkpoint covers: its own.
    signed: u64,
    /// Which log this is, once an entry said so.
    log: Option<String>,
    /// What has to be in the log.
    pins: Vec<Anchor>,
    /// The first pin that is something else.
    pub(super) rewritten: Option<u64>,
    /// The log itself says that entries were gone when it was opened.
    pub(super) missing: bool,
}

impl<'a> Walk<'a> {
    /// From the beginning of the log.
    pub(super) fn whole(key: Option<&'a PublicKey>) -> Self {
        Self { place: Some(Anchor::GENESIS), ..Self::part(key, 1) }
    }

    /// From wherever the first line stands, whose word is taken for what was before it. `first` is the number to name
    /// when there is no such line.
    pub(super) fn part(key: Option<&'a PublicKey>, first: u64) -> Self {
        Self {
            key,
            first,
            place: None,
            entries: 0,
            signed: 0,
            log: None,
            pins: Vec::new(),
            rewritten: None,
            missing: false,
        }
    }

    /// From here on `pin` has to be met.
    pub(super) fn pin(&mut self, pin: Anchor) {
        if self.place == Some(pin) || pin == Anchor::GENESIS {
            return;
        }
        if self.place.is_some_and(|place| place.seq == pin.seq) || pin.seq == 0 {
            return self.differs(pin.seq.max(1));
        }
        self.pins.push(pin);
    }

    fn differs(&mut self, seq: u64) {
        self.rewritten = Some(self.rewritten.map_or(seq, |first| first.min(seq)));
    }

    /// The last entry that was seen.
    pub(super) fn place(&self) -> Anchor {
        self.place.unwrap_or(Anchor::GENESIS)
    }

    /// The next entry is not there, or is not what it was.
    pub(super) fn broken(&self) -> Broken {
        Broken(self.place.map_or(self.first, |place| place.seq + 1))
    }

    /// Entries after the last checkpoint.
    pub(super) fn unsigned(&self) -> u64 {
        let first = self.place().seq - self.entries;
        self.place().seq - self.signed.max(first)
    }

    /// Something that has to be in the log lies behind its end.
    pub(super) fn falls_short(&self) -> bool {
        let end = self.place().seq;
        self.pins.iter().any(|pin| pin.seq > end)
    }

    /// The next line, without its line feed.
    pub(super) fn line(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        let Some((line, place)) = parse(bytes) else { return Err(self.broken()) };
        let prev = unhex(&line.prev).unwrap_or_default();
        let before = match self.place {
            Some(before) => before,
            None => {
                let before = Anchor { seq: line.seq - 1, head: prev };
                if before.seq == 0 && before != Anchor::GENESIS {
                    return Err(Broken(1));
                }
                self.look(before);
                before
            }
        };
        if line.seq != before.seq + 1 {
            // A whole line of a lower number stands here a second time; a higher one says that others are gone.
            return Err(Broken(line.seq.min(before.seq + 1)));
        }
        if prev != before.head {
            return Err(Broken(line.seq));
        }
        let signs = line.action == Action::Checkpoint.as_str();
        let log = if signs {
            let checkpoint = Checkpoint::of_line(&line).ok_or(Broken(line.seq))?;
            let holds =
                checkpoint.anchor() == Some(before) && self.key.is_none_or(|key| key.verifies(&checkpoint));
            if !holds {
                return Err(Broken(line.seq));
            }
            Some(line.object)
        } else {
            self.missing |= tells_of_missing(&line);
            (line.action == Action::LogOpened.as_str()).then_some(line.object)
        };
        if let Some(log) = log
            && *self.log.get_or_insert_with(|| log.clone()) != log
        {
            return Err(Broken(line.seq));
        }
        (self.place, self.entries) = (Some(place), self.entries + 1);
        // Now that it is in the chain: a checkpoint of another log signs nothing.
        if signs {
            self.signed = place.seq;
        }
        self.look(place);
        Ok(())
    }

    /// Compares a place with what has to be there.
    fn look(&mut self, place: Anchor) {
        for index in (0..self.pins.len()).rev() {
            if self.pins[index].seq == place.seq {
                let pin = self.pins.swap_remove(index);
                if pin != place {
                    self.differs(pin.seq);
                }
            }
        }
    }

    /// Every line of a file, up to its end. Returns whether it ends within a line, and the bytes of its whole lines.
    pub(super) fn file(
        &mut self,
        reader: &mut impl BufRead,
        patient: bool,
    ) -> io::Result<Result<(bool, u64), (Broken, u64)>> {
        let (mut line, mut whole) = (Vec::new(), 0);
        loop {
            match next_line(reader, &mut line, patient)? {
                Next::Line => match self.line(&line) {
                    Ok(()) => whole += line.len() as u64 + 1,
                    Err(broken) => return Ok(Err((broken, whole))),
                },
                Next::End => return Ok(Ok((false, whole))),
                Next::Torn => return Ok(Ok((true, whole))),
                Next::TooLong => return Ok(Err((self.broken(), whole))),
            }
        }
    }
}

/// The head of an anchor from its text.
///
/// # Errors
///
/// [`AuditError::Invalid`] for anything but 64 lower-case hexadecimal digits.
pub fn head_of_hex(text: &str) -> Result<[u8; 32], AuditError> {
    unhex(text).ok_or_else(|| {
        AuditError::Invalid("the head of an anchor has 64 lower-case hexadecimal digits".to_owned())
    })
}

/// The head of an anchor as text: 64 lower-case hexadecimal digits.
#[must_use]
pub fn hex_of_head(head: &[u8; 32]) -> String {
    hex(head)
}
