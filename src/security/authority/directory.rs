//! The directory of an authority: who may read it, who writes at the moment, and files that are replaced whole.
//!
//! On Unix the directory has the mode 0700 and its files 0600, and anything wider is refused rather than narrowed:
//! what others could read until now may have been read. On Windows the access list of the parent directory applies, so
//! an authority belongs below the profile of the account that runs it.

use super::AuthorityError;
use crate::security::private_file::{
    self, FileLock, FileVersion, LOCK_PATIENCE, LOCK_PAUSE, PrivateFileError, check_private, io_error,
};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::Instant;

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
    file: FileLock,
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
        let end = Instant::now() + LOCK_PATIENCE;
        let turn = loop {
            match self.turn.try_lock() {
                Ok(turn) => break turn,
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                // Whoever has it may wait for another process: nobody waits for longer than that because of it.
                Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(LOCK_PAUSE),
                Err(TryLockError::WouldBlock) => return Err(AuthorityError::Busy { path: self.path(LOCK) }),
            }
        };
        let file = private_file::lock_until(&self.path(LOCK), end)?;
        Ok(Lock { _turn: turn, file })
    }

    /// Which contents a file has now, without reading it; `None` when there is no such file.
    pub(super) fn version(&self, name: &str) -> Result<Option<FileVersion>, AuthorityError> {
        Ok(private_file::version(&self.path(name))?)
    }

    /// What a file holds, or `None` when there is no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, AuthorityError> {
        let contents = private_file::read(&self.path(name), LARGEST_FILE)?;
        Ok(contents.map(|mut contents| std::mem::take(&mut *contents.text)))
    }

    /// Replaces a file, so that a crash at any time leaves the old one or the new one, and the new one is there for good
    /// when this returns.
    pub(super) fn replace(&self, lock: &Lock<'_>, name: &str, contents: &[u8]) -> Result<(), AuthorityError> {
        if contents.len() as u64 > LARGEST_FILE {
            // Nobody could read it any more.
            let source = io::Error::from(io::ErrorKind::FileTooLarge);
            return Err(AuthorityError::Io { path: self.path(name), action: "write", source });
        }
        Ok(private_file::replace(&lock.file, &self.path(name), contents)?)
    }
}

impl From<PrivateFileError> for AuthorityError {
    fn from(error: PrivateFileError) -> Self {
        match error {
            PrivateFileError::Permissions { path, mode } => Self::Permissions { path, mode },
            PrivateFileError::Corrupt { path, what } => Self::Corrupt { path, what: what.to_owned() },
            PrivateFileError::Io { path, action, source } => Self::Io { path, action, source },
            PrivateFileError::Busy { path } => Self::Busy { path },
        }
    }
}
