//! The file itself.

use super::replace::{Disk, Storage, replace};
use super::{FileError, Saved, decode, encode};
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Saves a library, in place of what the file at `path` held before. A symbolic link stays one: what it points to is
/// replaced. The permissions of an existing file are kept.
///
/// After an error the file is as it was, and nothing is left beside it. There is one exception: when everything worked
/// but the directory could not be flushed (`action` is "flush the directory of"), the new library is in place, and
/// only a loss of power could still undo that.
pub fn write(path: &Path, saved: &Saved) -> Result<(), FileError> {
    write_to(&Disk, path, saved)
}

/// [`write()`] over any storage.
pub fn write_to<S: Storage>(storage: &S, path: &Path, saved: &Saved) -> Result<(), FileError> {
    let header = encode::check(saved)?;
    replace(storage, path, |file| encode::encode_checked(saved, &header, file))
}

/// Loads a library. Needs memory for what the file holds and a small constant; reads once, front to back.
pub fn read(path: &Path) -> Result<Saved, FileError> {
    let (file, size) = open(path)?;
    decode(file, size, path)
}

/// The file at `path` and its length in bytes.
pub(super) fn open(path: &Path) -> Result<(File, u64), FileError> {
    let found = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => FileError::Missing { path: path.to_owned() },
        _ => FileError::Io { path: path.to_owned(), action: "open", source: error },
    };
    // Before opening it, because opening a pipe waits for somebody to write to it.
    if !fs::metadata(path).map_err(found)?.is_file() {
        return Err(FileError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(found)?;
    let size = file.metadata().map_err(FileError::io(path, "read"))?.len();
    Ok((file, size))
}
