//! The directory of an authority: who may read it, who writes at the moment, and files that are replaced whole.
//!
//! On Unix the directory has the mode 0700 and its files 0600, and anything wider is refused rather than narrowed:
//! what others could read until now may have been read. On Windows the access list of the parent directory applies, so
//! an authority belongs below the profile of the account that runs it.

use super::AuthorityError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How long one change waits for those of others. Each takes milliseconds, so this is somebody who does not go on.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks at the lock.
const LOCK_PAUSE: Duration = Duration::from_millis(5);

/// Bytes of a file that is read: a register of half a million certificates.
const LARGEST_FILE: u64 = 256 << 20;

const LOCK: &str = "lock";

/// A directory that nobody else can read.
pub(super) struct Directory {
    path: PathBuf,
    /// The changes of this process wait here in a queue, those of others at the file.
    turn: Mutex<()>,
}

/// While it lives, nobody else changes the directory. The system lets go of the file when the process ends, however it
/// ends.
pub(super) struct Lock<'a> {
    _turn: MutexGuard<'a, ()>,
    _file: File,
}

/// Which contents of a file somebody has seen. Files are replaced by others, so a new one has another number, length or
/// time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileVersion {
    number: u64,
    length: u64,
    modified: Option<SystemTime>,
}

impl Directory {
    /// Makes the directory if there is none.
    pub(super) fn open(path: &Path) -> Result<Self, AuthorityError> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(io_error(path, "create"))?;
        let metadata = fs::metadata(path).map_err(io_error(path, "read"))?;
        check_private(path, &metadata)?;
        Ok(Self { path: path.to_owned(), turn: Mutex::new(()) })
    }

    /// Where it is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Waits until nobody else changes anything here.
    pub(super) fn lock(&self) -> Result<Lock<'_>, AuthorityError> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(LOCK);
        let file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(&path)
            .map_err(io_error(&path, "open"))?;
        check_private(&path, &file.metadata().map_err(io_error(&path, "read"))?)?;
        let end = Instant::now() + LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _turn: turn, _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::WouldBlock) => return Err(AuthorityError::Busy { path }),
                Err(TryLockError::Error(error)) => return Err(io_error(&path, "lock")(error)),
            }
        }
    }

    /// Which contents a file has now, without reading it; `None` when there is no such file.
    pub(super) fn version(&self, name: &str) -> Result<Option<FileVersion>, AuthorityError> {
        let path = self.path(name);
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(io_error(&path, "read"))?,
        };
        #[cfg(unix)]
        let number = std::os::unix::fs::MetadataExt::ino(&metadata);
        #[cfg(not(unix))]
        let number = 0;
        Ok(Some(FileVersion { number, length: metadata.len(), modified: metadata.modified().ok() }))
    }

    /// What a file holds, or `None` when there is no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, AuthorityError> {
        let path = self.path(name);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(io_error(&path, "open"))?,
        };
        let metadata = file.metadata().map_err(io_error(&path, "read"))?;
        check_private(&path, &metadata)?;
        let corrupt = |what: &str| AuthorityError::Corrupt { path: path.clone(), what: what.to_owned() };
        if !metadata.is_file() || metadata.len() > LARGEST_FILE {
            return Err(corrupt("not a file of an authority"));
        }
        let mut text = String::new();
        match file.take(LARGEST_FILE).read_to_string(&mut text) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(corrupt("not text")),
            read => read.map(|_| Some(text)).map_err(io_error(&path, "read")),
        }
    }

    /// Replaces a file, so that a crash at any time leaves the old one or the new one, and the new one is there for good
    /// when this returns (RFC-less common practice: write beside, flush, rename, flush the directory). The lock makes
    /// the name of the temporary file its own, and what a crash left under that name is overwritten.
    pub(super) fn replace(&self, _: &Lock<'_>, name: &str, contents: &[u8]) -> Result<(), AuthorityError> {
        let (target, beside) = (self.path(name), self.path(&format!("{name}.new")));
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
            fs::rename(&beside, &target)
        })();
        if let Err(error) = written {
            // What cannot be removed either is overwritten next time; the first error is the one to tell.
            drop(fs::remove_file(&beside));
            return Err(io_error(&target, "write")(error));
        }
        self.flush()
    }

    #[cfg(unix)]
    fn flush(&self) -> Result<(), AuthorityError> {
        let flushed = File::open(&self.path).and_then(|directory| directory.sync_all());
        flushed.map_err(io_error(&self.path, "flush"))
    }

    /// NTFS keeps the order of renames in its own journal, and a directory cannot be opened for that.
    #[cfg(not(unix))]
    fn flush(&self) -> Result<(), AuthorityError> {
        Ok(())
    }
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> AuthorityError {
    move |source| AuthorityError::Io { path: path.to_owned(), action, source }
}

/// Nobody but the owner, from the first moment on.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

#[cfg(unix)]
fn check_private(path: &Path, metadata: &fs::Metadata) -> Result<(), AuthorityError> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(AuthorityError::Permissions { path: path.to_owned(), mode }) }
}

#[cfg(not(unix))]
fn check_private(_: &Path, _: &fs::Metadata) -> Result<(), AuthorityError> {
    Ok(())
}
