//! The same file under a key: nobody without the keyring reads values, ids or meta, or changes them unnoticed.
//!
//! What is sealed is the whole plain file, in the chunks of [`StreamSealer`](crate::security::keyring::StreamSealer), on its
//! way to the disk: there is no second copy of it, and never a plain one beside the target.

use super::disk::open;
use super::format::SEALED_MAGIC;
use super::replace::{Disk, Storage, replace};
use super::{FileError, Saved, decode, encode};
use crate::security::keyring::{Keyring, KeyringError, STREAM_MAGIC};
use std::io::BufReader;
use std::path::Path;

// What a reader without a keyring takes for sealed is what a keyring writes.
const _: () = assert!(u64::from_ne_bytes(SEALED_MAGIC) == u64::from_ne_bytes(STREAM_MAGIC));

/// What a sealed library is bound to: a sealed file of another kind does not open as one.
const KIND: &str = "midstreamer.library";

/// And to what its owner says that it is, so that one library does not pass for another.
fn context_of(context: &str) -> String {
    if context.is_empty() { KIND.to_owned() } else { format!("{KIND}:{context}") }
}

/// [`write()`](super::write()), sealed with the current key and bound to a context, which may be empty.
pub fn write_sealed(path: &Path, saved: &Saved, keyring: &Keyring, context: &str) -> Result<(), FileError> {
    write_sealed_to(&Disk, path, saved, keyring, context)
}

/// [`write_sealed`] over any storage.
pub fn write_sealed_to<S: Storage>(
    storage: &S,
    path: &Path,
    saved: &Saved,
    keyring: &Keyring,
    context: &str,
) -> Result<(), FileError> {
    let header = encode::check(saved)?;
    let sealer = keyring.stream_sealer(&context_of(context))?;
    replace(storage, path, |file| {
        let mut writer = sealer.writer(file)?;
        encode::encode_checked(saved, &header, &mut writer)?;
        writer.finish()
    })
}

/// [`read`](super::read) for a sealed file, with any key of the ring and in the same context. Whatever was changed in it, and a file that is not
/// sealed, is [`KeyringError::Decrypt`].
pub fn read_sealed(path: &Path, keyring: &Keyring, context: &str) -> Result<Saved, FileError> {
    let (file, size) = open(path)?;
    let reader = keyring.stream_reader(BufReader::new(file), size, &context_of(context))?;
    let mut reader = reader.map_err(FileError::io(path, "read"))?;
    let plain_bytes = reader.plain_bytes();
    let saved = decode(&mut reader, plain_bytes, path);
    // What a changed file says of itself is nothing to report: first of all, whether it was changed.
    if saved.is_err() && !reader.is_authentic().map_err(FileError::io(path, "read"))? {
        return Err(KeyringError::Decrypt(
            "the pattern library does not open: it was changed or cut off, or is of another keyring or context",
        )
        .into());
    }
    saved
}
