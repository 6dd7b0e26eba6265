//! Verification of a log that is on disk, its own or a copy, while somebody writes it or not.

use super::AuditError;
use super::checkpoint::{Checkpoint, PublicKey};
use super::files::{AuditDirectory, Shelf, open_regular};
use super::line::Anchor;
use super::walk::{Walk, first_of, segment_name, segments};
use std::fs;
use std::io::{self, BufReader, Read};
use std::path::Path;

/// The newest checkpoint, in a file of its own.
pub(super) const SIDECAR: &str = "checkpoint.json";

/// Bytes of that file; it takes 400.
const LONGEST_SIDECAR: u64 = 4096;

/// Bytes that are read at once.
const READ: usize = 128 * 1024;

/// The log in a data directory.
pub const DIRECTORY: &str = "audit";

/// Against what a log is verified, beyond itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct VerifyOptions<'a> {
    /// The public key of the log as PEM. Without it signatures are not verified.
    pub public_key: Option<&'a str>,
    /// A place that was in the log.
    pub anchor: Option<Anchor>,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// The chain holds, the signatures too where a key was given, and nothing is known to be cut off.
    pub ok: bool,
    /// Entries that hold, from the first on.
    pub entries: u64,
    /// The hash of the last of them.
    pub head: [u8; 32],
    /// The first entry that does not hold.
    pub broken_at: Option<u64>,
    /// The log is shorter than it was, or was written anew from some entry on.
    pub truncated: bool,
    /// Entries after the last checkpoint: only the chain speaks for them.
    pub unsigned_tail: u64,
}

/// Verifies the log at `path`: its directory, the data directory around it, or one segment of it.
///
/// # Errors
///
/// [`AuditError::NotFound`] when there is no log, [`AuditError::Store`] when it cannot be read, and
/// [`AuditError::Invalid`] for a public key that is none. What does not hold is no error.
pub fn verify(path: &Path, options: &VerifyOptions<'_>) -> Result<Verification, AuditError> {
    let shown = path.display().to_string();
    let failed = |error: io::Error| of_io(&shown, &error);
    let metadata = fs::metadata(path).map_err(failed)?;
    if !metadata.is_dir() {
        return verify_segment(path, options);
    }
    let inner = path.join(DIRECTORY);
    let shelf = AuditDirectory::new(path);
    let here = shelf.names().map_err(failed)?;
    if !here.iter().any(|name| first_of(name).is_some() || name == SIDECAR) && inner.is_dir() {
        return verify_directory(&AuditDirectory::new(&inner), options);
    }
    verify_directory(&shelf, options)
}

fn of_io(place: &str, error: &io::Error) -> AuditError {
    match error.kind() {
        io::ErrorKind::NotFound => AuditError::NotFound(place.to_owned()),
        _ => AuditError::of_io(place, error),
    }
}

fn key_of(options: &VerifyOptions<'_>) -> Result<Option<PublicKey>, AuditError> {
    let Some(pem) = options.public_key else { return Ok(None) };
    let key = PublicKey::of_pem(pem);
    key.map(Some).ok_or_else(|| AuditError::Invalid("not the PEM of an Ed25519 public key".to_owned()))
}

/// What the file beside the segments says.
enum Sidecar {
    None,
    /// It cannot be believed.
    Spoilt,
    Holds(Anchor),
}

fn sidecar(shelf: &dyn Shelf, key: Option<&PublicKey>) -> io::Result<Sidecar> {
    let Some(reader) = shelf.reader(SIDECAR)? else { return Ok(Sidecar::None) };
    let mut bytes = Vec::new();
    reader.take(LONGEST_SIDECAR + 1).read_to_end(&mut bytes)?;
    let checkpoint = Checkpoint::parse(&bytes).filter(|it| key.is_none_or(|key| key.verifies(it)));
    Ok(checkpoint.and_then(|checkpoint| checkpoint.anchor()).map_or(Sidecar::Spoilt, Sidecar::Holds))
}

/// Verifies a whole log.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_directory(shelf: &dyn Shelf, options: &VerifyOptions<'_>) -> Result<Verification, AuditError> {
    let key = key_of(options)?;
    let place = shelf.name();
    let failed = |error: io::Error| of_io(&place, &error);
    // Before the segments: what it names is in them by then, whoever goes on writing.
    let sidecar = sidecar(shelf, key.as_ref()).map_err(failed)?;
    let segments = segments(shelf.names().map_err(failed)?);
    if segments.is_empty() && matches!(sidecar, Sidecar::None) {
        return Err(AuditError::NotFound(format!("an audit log in {place}")));
    }
    let mut walk = Walk::whole(key.as_ref());
    let spoilt = take_pins(&mut walk, &sidecar, options);
    let mut broken = None;
    let mut torn = false;
    for (index, &first) in segments.iter().enumerate() {
        let expected = walk.place().seq + 1;
        if first != expected {
            broken = Some(first.min(expected));
            break;
        }
        let last = index + 1 == segments.len();
        let reader = shelf.reader(&segment_name(first)).map_err(failed)?;
        // Gone since the names were read.
        let Some(reader) = reader else {
            broken = Some(expected);
            break;
        };
        match walk
            .file(&mut BufReader::with_capacity(READ, reader), last && shelf.may_grow())
            .map_err(failed)?
        {
            Ok((false, _)) => {}
            Ok((true, _)) if last => torn = true,
            Ok((true, _)) => broken = Some(walk.broken().0),
            Err((at, _)) => broken = Some(at.0),
        }
        if broken.is_some() {
            break;
        }
    }
    Ok(outcome(&walk, broken, torn || spoilt))
}

/// Verifies one segment. What was before its first line is taken from that line.
fn verify_segment(path: &Path, options: &VerifyOptions<'_>) -> Result<Verification, AuditError> {
    let key = key_of(options)?;
    let shown = path.display().to_string();
    let failed = |error: io::Error| of_io(&shown, &error);
    let name = path.file_name().and_then(|name| name.to_str());
    // A copy under another name knows nothing of its neighbours.
    let own = name.and_then(first_of);
    let mut walk = Walk::part(key.as_ref(), own.unwrap_or(1));
    let beside = match (own, path.parent()) {
        (Some(_), Some(parent)) if parent.as_os_str().is_empty() => Some(AuditDirectory::new(Path::new("."))),
        (Some(_), Some(parent)) => Some(AuditDirectory::new(parent)),
        _ => None,
    };
    let mut next = None;
    let mut found = Sidecar::None;
    if let (Some(beside), Some(own)) = (&beside, own) {
        found = sidecar(beside, key.as_ref()).map_err(failed)?;
        next = segments(beside.names().map_err(failed)?).into_iter().find(|first| *first > own);
    }
    if next.is_some() {
        found = Sidecar::None;
    }
    let spoilt = take_pins(&mut walk, &found, options);
    let file = open_regular(path).map_err(failed)?;
    let walked = walk.file(&mut BufReader::with_capacity(READ, file), next.is_none()).map_err(failed)?;
    let (mut broken, mut torn) = match walked {
        Ok((torn, _)) => (None, torn),
        Err((at, _)) => (Some(at.0), false),
    };
    if let Some(own) = own
        && walk.entries > 0
        && walk.place().seq - walk.entries + 1 != own
    {
        broken = Some(own);
    }
    torn |= broken.is_none() && next.is_some_and(|next| next != walk.place().seq + 1);
    Ok(outcome(&walk, broken, torn || spoilt))
}

/// Returns whether the file with the newest checkpoint cannot be believed.
fn take_pins(walk: &mut Walk<'_>, sidecar: &Sidecar, options: &VerifyOptions<'_>) -> bool {
    if let Some(anchor) = options.anchor {
        walk.pin(anchor);
    }
    if let Sidecar::Holds(anchor) = sidecar {
        walk.pin(*anchor);
    }
    matches!(sidecar, Sidecar::Spoilt)
}

fn outcome(walk: &Walk<'_>, broken: Option<u64>, torn: bool) -> Verification {
    // Behind a break nothing is known of the end.
    let short = broken.is_none() && walk.falls_short();
    let truncated = torn || short || walk.missing || walk.rewritten.is_some();
    let broken_at = match (broken, walk.rewritten) {
        (Some(broken), Some(rewritten)) => Some(broken.min(rewritten)),
        (broken, rewritten) => broken.or(rewritten),
    };
    Verification {
        ok: broken_at.is_none() && !truncated,
        entries: walk.entries,
        head: walk.place().head,
        broken_at,
        truncated,
        unsigned_tail: walk.unsigned(),
    }
}
