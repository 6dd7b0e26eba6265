//! Files that nobody but their owner can read: permissions, a lock between processes, replacement as a whole.
//!
//! On Unix such a file has the mode 0600, and anything wider is refused rather than narrowed: what others could read until
//! now may have been read. On Windows the access list of the parent directory applies.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use zeroize::Zeroizing;

/// How long one change waits for those of others. Each takes milliseconds, so this is somebody who does not go on.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at the lock.
pub(super) const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Why a private file was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateFileError {
    /// Others can read it.
    #[error("{} has the permissions {mode:04o}: others may have read it. Nobody but its owner may have access (0600)", path.display())]
    Permissions {
        /// Which one.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is nothing that was written here.
    #[error("{} is damaged: {what}", path.display())]
    Corrupt {
        /// Which one.
        path: PathBuf,
        /// What does not fit.
        what: &'static str,
    },
    /// The operating system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb.
        action: &'static str,
        /// What the system answered.
        source: io::Error,
    },
    /// Another process holds the lock and does not let go.
    #[error("{} is held by another process", path.display())]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
}

/// While it lives, nobody else has the lock. The system lets go of the file when the process ends, however it ends.
pub(super) struct FileLock {
    _file: File,
}

/// Waits until nobody else holds the lock file at `path`, which is made if there is none and stays.
pub(super) fn lock(path: &Path) -> Result<FileLock, PrivateFileError> {
    lock_until(path, Instant::now() + LOCK_PATIENCE)
}

/// The same up to an instant.
pub(super) fn lock_until(path: &Path, end: Instant) -> Result<FileLock, PrivateFileError> {
    let file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
        .open(path)
        .map_err(io_error(path, "open"))?;
    check_private(path, &file.metadata().map_err(io_error(path, "read"))?)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(FileLock { _file: file }),
            Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => return Err(PrivateFileError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(io_error(path, "lock")(error)),
        }
    }
}

/// Which contents of a file somebody has seen. Files are replaced by others, so a new one has another number, length or
/// time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileVersion {
    number: u64,
    length: u64,
    modified: Option<SystemTime>,
}

impl FileVersion {
    fn of(metadata: &fs::Metadata) -> Self {
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(metadata);
        #[cfg(not(unix))]
        let number = 0;
        Self { number, length: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// Which contents a file has now, without reading it; `None` when there is no such file.
pub(super) fn version(path: &Path) -> Result<Option<FileVersion>, PrivateFileError> {
    match fs::metadata(path) {
        Ok(metadata) => {
            // Also of a file that is used already: what others can read by now they may have read.
            check_private(path, &metadata)?;
            Ok(Some(FileVersion::of(&metadata)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(path, "read")(error)),
    }
}

/// What a file held when it was read.
pub(super) struct Contents {
    pub(super) text: Zeroizing<String>,
    pub(super) version: FileVersion,
    /// The file, on Unix: while it is open its number goes to no other one, so that versions which are equal are the
    /// same. Windows has no numbers here, and replaces no open file.
    pub(super) held: Option<File>,
}

/// What a file of at most `largest` bytes holds, or `None` when there is no such file.
pub(super) fn read(path: &Path, largest: u64) -> Result<Option<Contents>, PrivateFileError> {
    // Before it is opened: a pipe would wait for whoever writes into it.
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Ok(metadata) if !metadata.is_file() => {
            let what = "it is not a regular file";
            return Err(PrivateFileError::Corrupt { path: path.to_owned(), what });
        }
        _ => {}
    }
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io_error(path, "open"))?,
    };
    let metadata = file.metadata().map_err(io_error(path, "read"))?;
    let corrupt = |what| PrivateFileError::Corrupt { path: path.to_owned(), what };
    if !metadata.is_file() {
        return Err(corrupt("it is not a regular file"));
    }
    if metadata.len() > largest {
        return Err(corrupt("it is larger than anything that is written here"));
    }
    check_private(path, &metadata)?;
    // As long as it has to be: a text that grows leaves copies of secrets behind.
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 64));
    match (&file).take(largest).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(corrupt("not text")),
        Err(error) => Err(io_error(path, "read")(error)),
        Ok(_) => {
            Ok(Some(Contents { text, version: FileVersion::of(&metadata), held: cfg!(unix).then_some(file) }))
        }
    }
}

/// Replaces a file, so that a crash at any time leaves the old one or the new one, and the new one is there for good
/// when this returns (RFC-less common practice: write beside, flush, rename, flush the directory). The lock makes
/// the name of the temporary file its own, and what a crash left under that name is overwritten.
pub(super) fn replace(_: &FileLock, target: &Path, contents: &[u8]) -> Result<(), PrivateFileError> {
    let mut beside = target.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = (|| {
        // Opened afresh: a file that a crash left could have been made with other permissions.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&beside)?;
        file.write_all(contents)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&beside, target)
    })();
    if let Err(error) = written {
        // What cannot be removed either is overwritten next time; the first error is the one to tell.
        drop(fs::remove_file(&beside));
        return Err(io_error(target, "write")(error));
    }
    flush(directory_of(target))
}

/// The directory that a file is in.
pub(super) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn flush(directory: &Path) -> Result<(), PrivateFileError> {
    let flushed = File::open(directory).and_then(|directory| directory.sync_all());
    flushed.map_err(io_error(directory, "flush"))
}

/// NTFS keeps the order of renames in its own journal, and a directory cannot be opened for that.
#[cfg(not(unix))]
fn flush(_: &Path) -> Result<(), PrivateFileError> {
    Ok(())
}

/// For `map_err`.
pub(super) fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> PrivateFileError {
    move |source| PrivateFileError::Io { path: path.to_owned(), action, source }
}

/// Nobody but the owner, from the first moment on.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Whether nobody but the owner has access.
#[cfg(unix)]
pub(super) fn check_private(path: &Path, metadata: &fs::Metadata) -> Result<(), PrivateFileError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(PrivateFileError::Permissions { path: path.to_owned(), mode })
    }
}

/// Windows decides by the access list of the directory.
#[cfg(not(unix))]
pub(super) fn check_private(_: &Path, _: &fs::Metadata) -> Result<(), PrivateFileError> {
    Ok(())
}
