//! One AgentDbSync for a file, in all processes: a file beside it is locked while it is open. The system lets go when the
//! process ends, however it ends, so no heartbeat is needed and nothing is left to clear away. The database itself cannot be
//! locked for this: its locks are SQLite's.

use super::super::errors::Code;
use napi::Error;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;

/// Held until it is dropped. The file stays: who removed it could lock one that nobody sees.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// # Errors
    /// STORE: another one holds it, or the file cannot be made.
    pub(super) fn take(path: PathBuf) -> Result<Self, Error<Code>> {
        let failed = |error: std::io::Error| {
            Error::new(Code::STORE, format!("cannot lock {}: {error}", path.display()))
        };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                Code::STORE,
                format!("the database is replicated by another AgentDbSync, which holds {}", path.display()),
            )),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}
