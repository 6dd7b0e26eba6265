//! The start of a log: its key, its end, and what a crash left there.

use super::checkpoint::{Checkpoint, LOG, Signer};
use super::files::{Disk, Segment};
use super::line::{self, Anchor, sha256};
use super::verify::SIDECAR;
use super::walk::{Walk, segment_name, segments};
use super::writer::{BATCH, Timed, Writer};
use super::{Action, AuditError, AuditOptions, Entry};
use crate::security::hex;
use serde_json::{Map, Value, json};
use std::io::{self, BufReader, Read};
use zeroize::Zeroizing;

const PRIVATE_KEY: &str = "private.pem";
const PUBLIC_KEY: &str = "public.pem";

/// Bytes of a key as PEM; a private one takes 119.
const LONGEST_KEY: u64 = 4096;

const LONGEST_SIDECAR: u64 = 4096;

/// Bytes at the end that a crash may have left in pieces: one write, the line with which it ends, and a checkpoint.
const LONGEST_TEAR: usize = BATCH + 3 * super::line::LONGEST_LINE;

/// Entries of a log that may have no file with its latest checkpoint: of a few starts that failed before it was written.
const UNMARKED: u64 = 16;

/// The version of the format.
const FORMAT: u64 = 1;

/// What was found behind the last whole line.
struct Torn {
    bytes: Vec<u8>,
    digest: [u8; 32],
}

/// Where a log ends.
struct End {
    head: Anchor,
    /// Of the last segment: the entry that it is named after, and the bytes of its whole lines.
    last: Option<(u64, u64)>,
    torn: Option<Torn>,
    /// The newest checkpoint that is known, where the log ends before it.
    missing: Option<Anchor>,
}

/// Opens the log on `disk`, repairs its end, and says so in its first entries.
pub(super) fn open<D: Disk>(
    mut disk: D,
    options: AuditOptions,
    now_ms: u64,
) -> Result<Writer<D>, AuditError> {
    let place = disk.name();
    let failed = |error: io::Error| AuditError::of_io(&place, &error);
    if !disk.lock().map_err(failed)? {
        return Err(AuditError::InUse(place));
    }
    let segments = segments(disk.names().map_err(failed)?);
    let signer = key(&mut disk, segments.is_empty())?;
    let end = end(&disk, &segments, &signer)?;
    let mut file = None;
    if let Some((first, length)) = end.last {
        let mut segment = disk.open(&segment_name(first)).map_err(failed)?;
        if let Some(torn) = &end.torn {
            // Whoever wants to know what was cut off finds it beside the log.
            let name = format!("torn-{:020}-{}", end.head.seq + 1, &hex(&torn.digest)[..16]);
            disk.replace(&name, &torn.bytes).map_err(failed)?;
        }
        if segment.length().map_err(failed)? > length {
            segment.truncate(length).map_err(failed)?;
        }
        // What was read may be known to this system alone, and is built upon from here on.
        segment.sync().map_err(failed)?;
        file = Some(segment);
    }
    let mut entries = vec![(now_ms, opened(&signer, &end))];
    let mut writer = Writer {
        disk,
        signer,
        options,
        file,
        length: end.last.map_or(0, |(_, length)| length),
        unclean: false,
        head: end.head,
        written: 0,
        // Whatever came before: the first batch ends with a checkpoint.
        signed: 0,
        unsigned_since: None,
        beside: None,
    };
    writer.append(&mut entries, true, now_ms)?;
    writer.put_beside()?;
    Ok(writer)
}

/// The entries with which a log is closed.
pub(super) fn closing(signer: &Signer, now_ms: u64) -> Timed {
    (now_ms, own(Action::LogClosed, signer.log().to_owned(), Map::new()))
}

/// An entry of the log about itself.
pub(super) fn own(action: Action, object: String, detail: Map<String, Value>) -> Entry {
    Entry { actor: LOG.to_owned(), action, object, digest: None, detail }
}

fn opened(signer: &Signer, end: &End) -> Entry {
    let mut detail = Map::new();
    detail.insert("format".to_owned(), FORMAT.into());
    if let Some(torn) = &end.torn {
        detail.insert("torn".to_owned(), json!({ "bytes": torn.bytes.len(), "sha256": hex(&torn.digest) }));
    }
    if let Some(missing) = end.missing {
        detail.insert("missing".to_owned(), json!({ "seq": missing.seq, "head": hex(&missing.head) }));
    }
    own(Action::LogOpened, signer.log().to_owned(), detail)
}

/// The key pair; a new log makes one. A log that has lost its key cannot go on: nobody could tell its new checkpoints
/// from those of somebody else.
fn key<D: Disk>(disk: &mut D, new: bool) -> Result<Signer, AuditError> {
    let place = disk.name();
    let failed = |error: io::Error| AuditError::of_io(&place, &error);
    let pem = match read(disk, PRIVATE_KEY, LONGEST_KEY).map_err(failed)? {
        Some(bytes) => bytes,
        None if new => {
            let pem = Signer::generate()?;
            disk.replace(PRIVATE_KEY, pem.as_bytes()).map_err(failed)?;
            Zeroizing::new(pem.as_bytes().to_vec())
        }
        None => {
            return Err(AuditError::Corrupt(format!(
                "the audit log in {place} has no {PRIVATE_KEY} any more"
            )));
        }
    };
    let signer = std::str::from_utf8(&pem).ok().and_then(Signer::of_pem);
    let signer = signer
        .ok_or_else(|| AuditError::Corrupt(format!("{PRIVATE_KEY} in {place} is not a key of Ed25519")))?;
    let public = read(disk, PUBLIC_KEY, LONGEST_KEY).map_err(failed)?;
    if public.is_none_or(|public| *public != signer.public_pem().as_bytes()) {
        disk.replace(PUBLIC_KEY, signer.public_pem().as_bytes()).map_err(failed)?;
    }
    Ok(signer)
}

/// A small file; one that is too long is cut, and is then nothing that it should be.
fn read<D: Disk>(disk: &D, name: &str, most: u64) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let Some(reader) = disk.reader(name)? else { return Ok(None) };
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(most).unwrap_or(0) + 1));
    reader.take(most + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Finds the end. Of the log only the last segment is read, and the one before it where the last one has no entry yet.
fn end<D: Disk>(disk: &D, segments: &[u64], signer: &Signer) -> Result<End, AuditError> {
    let place = disk.name();
    let failed = |error: io::Error| AuditError::of_io(&place, &error);
    let checkpoint = read(disk, SIDECAR, LONGEST_SIDECAR).map_err(failed)?;
    let known = match checkpoint {
        None => Anchor::GENESIS,
        Some(bytes) => {
            let checkpoint = Checkpoint::parse(&bytes).filter(|it| signer.public().verifies(it));
            let anchor = checkpoint.and_then(|checkpoint| checkpoint.anchor());
            anchor.ok_or_else(|| AuditError::Corrupt(format!("{SIDECAR} in {place} was changed")))?
        }
    };
    let Some(&last) = segments.last() else {
        let missing = (known.seq > 0).then_some(known);
        return Ok(End { head: Anchor::GENESIS, last: None, torn: None, missing });
    };
    let mut from = segments.len() - 1;
    loop {
        let mut walk = match segments[from] {
            1 => Walk::whole(Some(signer.public())),
            first => Walk::part(Some(signer.public()), first),
        };
        walk.pin(known);
        let mut tail = (0, None);
        for &first in &segments[from..] {
            if walk.entries > 0 && walk.place().seq + 1 != first {
                return Err(corrupt(&place, walk.broken().0));
            }
            tail = walk_segment(disk, first, &mut walk).map_err(failed)?;
            if first != last && tail.1.is_some() {
                return Err(corrupt(&place, walk.broken().0));
            }
        }
        if walk.entries == 0 && from > 0 {
            // Made, and nothing written to it: the entry before is in the one before.
            from -= 1;
            continue;
        }
        let head = if walk.entries == 0 && last == 1 { Anchor::GENESIS } else { walk.place() };
        let (length, torn) = tail;
        let first_is_wrong = walk.entries == 0 && last != 1
            || from + 1 == segments.len() && walk.entries > 0 && head.seq - walk.entries + 1 != last;
        // A crash leaves pieces of what was written last, and never of what a checkpoint covers.
        let spoilt = torn.as_ref().is_some_and(|torn| {
            let covered = torn.lines && head.seq < known.seq;
            torn.bytes.len() > LONGEST_TEAR || covered || was_gone_on_with(&torn.bytes, signer)
        });
        // It is written with the first entries, before anybody else has one.
        let unmarked = known.seq == 0 && head.seq > UNMARKED;
        if first_is_wrong || spoilt || unmarked || walk.rewritten.is_some() {
            return Err(corrupt(&place, walk.rewritten.unwrap_or(walk.broken().0)));
        }
        let missing = walk.falls_short().then_some(known);
        let torn = torn.map(|Tail { bytes, digest, .. }| Torn { bytes, digest });
        return Ok(End { head, last: Some((last, length)), torn, missing });
    }
}

fn corrupt(place: &str, seq: u64) -> AuditError {
    AuditError::Corrupt(format!(
        "the audit log in {place} was changed at entry {seq}; keep the directory as evidence and start with another one"
    ))
}

/// Whether a checkpoint of this log stands in what does not hold, and is not the last that was written: a checkpoint ends a
/// write, and the next one begins when that is durable. So no crash did this.
fn was_gone_on_with(bytes: &[u8], signer: &Signer) -> bool {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let signed = |line: &[u8]| {
        let line = line.strip_suffix(b"\n").and_then(line::parse).map(|(line, _)| line);
        let checkpoint = line.filter(|line| line.action == Action::Checkpoint.as_str());
        let checkpoint = checkpoint.and_then(|line| Checkpoint::of_line(&line));
        checkpoint.is_some_and(|checkpoint| signer.public().verifies(&checkpoint))
    };
    lines.any(signed) && lines.next().is_some()
}

/// What is behind the last whole line of a segment.
struct Tail {
    bytes: Vec<u8>,
    digest: [u8; 32],
    /// There is at least one line in it: it was not merely cut off.
    lines: bool,
}

/// Walks a segment up to the first line that does not hold. Returns the bytes of the lines before it, and what follows.
fn walk_segment<D: Disk>(disk: &D, first: u64, walk: &mut Walk<'_>) -> io::Result<(u64, Option<Tail>)> {
    let name = segment_name(first);
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let mut reader = BufReader::with_capacity(BATCH, disk.reader(&name)?.ok_or_else(gone)?);
    let (clean, length) = match walk.file(&mut reader, false)? {
        Ok((torn, whole)) => (!torn, whole),
        Err((_, whole)) => (false, whole),
    };
    if clean {
        return Ok((length, None));
    }
    drop(reader);
    let mut rest = disk.reader(&name)?.ok_or_else(gone)?;
    io::copy(&mut rest.by_ref().take(length), &mut io::sink())?;
    let mut bytes = Vec::new();
    rest.take(LONGEST_TEAR as u64 + 1).read_to_end(&mut bytes)?;
    let lines = bytes.contains(&b'\n');
    let digest = sha256(&bytes);
    Ok((length, Some(Tail { bytes, digest, lines })))
}
