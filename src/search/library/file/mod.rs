//! A pattern library in a file: versioned, checksummed, replaced whole or not at all.
//!
//! `docs/library-file.md` is the normative description of the bytes. The rules that everything here follows:
//!
//! - nothing is believed before the checksum that covers it was compared;
//! - nothing is allocated before the real size of the file was found to be what the header says, so memory is bounded
//!   by a small multiple of the file;
//! - a file is written beside its target, made durable and then renamed: a crash at any time leaves the whole old
//!   library or the whole new one;
//! - both ways go through blocks of 4 KiB: there is no second copy of the values.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `format` | the fields of the header, their limits, how they fit together |
//! | `blocks` | a stream of bytes cut into checksummed blocks |
//! | `decode`, `encode` | a library as such a stream |
//! | `disk` | reading and replacing the file |
//! | `replace` | the steps by which a file replaces another, over any [`Storage`] |
//! | `sealed` | the same bytes under a key of a [`Keyring`](crate::security::keyring::Keyring) |

mod blocks;
mod decode;
mod encode;
mod format;

// Where there are files.
#[cfg(not(target_family = "wasm"))]
mod disk;
#[cfg(not(target_family = "wasm"))]
mod replace;
#[cfg(not(target_family = "wasm"))]
mod sealed;

pub use decode::decode;
#[cfg(not(target_family = "wasm"))]
pub use disk::{read, write, write_to};
pub use encode::encode;
pub use format::VERSION;
#[cfg(not(target_family = "wasm"))]
pub use replace::{Disk, Storage};
#[cfg(not(target_family = "wasm"))]
pub use sealed::{read_sealed, write_sealed, write_sealed_to};

use crate::kernels::dtw::Metric;
use crate::kernels::normalize::Normalize;
#[cfg(not(target_family = "wasm"))]
use crate::security::keyring::KeyringError;
use std::io;
use std::path::{Path, PathBuf};

/// What is kept of a library: its options, and its patterns in the order in which they were added.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// Time steps of every pattern, at least 1.
    pub length: usize,
    /// Values per time step, at least 1.
    pub channels: usize,
    /// Sakoe-Chiba radius in samples, or no band.
    pub window: Option<usize>,
    /// Local cost.
    pub metric: Metric,
    /// What is done to patterns and queries before they are compared.
    pub normalize: Normalize,
    /// One a pattern, all different.
    pub ids: Vec<String>,
    /// One a pattern, where it has any: JSON text. Kept as it is and not parsed: who parses it (the JavaScript facade)
    /// reports text that is not JSON as a corrupt file.
    pub meta: Vec<Option<String>>,
    /// `length * channels` finite values a pattern, raw, row-major, pattern after pattern.
    pub values: Vec<f64>,
}

/// Why a library was not saved or loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was tried, as a verb: "read", "rename".
        action: &'static str,
        /// What the system answered.
        source: io::Error,
    },
    /// There is nothing at the path.
    #[error("there is no file {}", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A directory, a device or a pipe stands at the path.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What is in the way.
        path: PathBuf,
    },
    /// The bytes are not those of a library that was written whole: cut off, changed, or another kind of file.
    #[error("not an intact pattern library: {what} (at byte {offset})")]
    Corrupt {
        /// What is wrong.
        what: String,
        /// Where it was noticed, in bytes from the start of the file.
        offset: u64,
    },
    /// Written by a later version.
    #[error("the pattern library has format version {found}, this version reads {supported}")]
    Schema {
        /// The version of the file.
        found: u32,
        /// The version that can be read.
        supported: u32,
    },
    /// Of this version, but with features that a reader must understand and this one does not. As `Schema`, it means
    /// that a later release can read the file.
    #[error("the pattern library needs features that this version does not have (bits {unknown:#x})")]
    Features {
        /// The bits that are unknown.
        unknown: u32,
    },
    /// What was to be saved is not a library: the caller's mistake.
    #[error("the library cannot be saved: {what}")]
    Invalid {
        /// What is wrong.
        what: String,
    },
    /// The file is sealed, and there was no keyring to open it with.
    #[error("the pattern library is sealed: it takes the keyring to load it")]
    Sealed,
    /// With a keyring: the file does not open, or no key could be had.
    #[cfg(not(target_family = "wasm"))]
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The operating system has no room for what the file holds.
    #[error("{bytes} bytes of memory could not be had")]
    OutOfMemory {
        /// What was asked for.
        bytes: u64,
    },
}

impl FileError {
    /// For `map_err`.
    fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source }
    }
}
