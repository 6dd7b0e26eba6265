//! Where security events go: who did what to which object, and when. A log that can be added to and nothing else.
//!
//! Entries are lines of JSON in segments of a directory, each with the hash of the one before; signed checkpoints say
//! how far the log has come. What an entry is in bytes, and what a verifier has to do, is in `docs/audit-log.md`.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `line` | an entry as bytes |
//! | `checkpoint` | keys and signatures |
//! | `walk` | the chain, line by line |
//! | `verify` | what holds of a log on disk |
//! | `files` | the directory, or a model of one |
//! | `open` | the end of a log, and what a crash left of it |
//! | `writer` | appending: durable or not at all |
//! | `refusals` | what others can cause at will, by the second |
//! | `queue` | what waits to be written |
//! | `log` | all of it, for many threads |

mod checkpoint;
mod files;
mod line;
mod log;
mod open;
mod queue;
mod refusals;
mod verify;
mod walk;
mod writer;

pub use files::{AuditDirectory, Disk, Segment, Shelf};
pub use line::{Anchor, LONGEST_DETAIL};
pub use log::{AuditCounts, AuditLog, AuditOptions};
pub use verify::{DIRECTORY, Verification, VerifyOptions, verify, verify_directory};
pub use walk::{head_of_hex, hex_of_head};

use serde_json::{Map, Value};
use std::fmt;

/// Makes entries on the thread of the log, so that whoever causes them does not wait for hashes and texts.
pub type MakeEntries = Box<dyn FnOnce() -> Vec<Entry> + Send>;

/// Where security events go. Shared by all threads.
pub trait Audit: Send + Sync + fmt::Debug {
    /// Appends an entry and returns when it is durable. Blocks: never on the network thread.
    ///
    /// # Errors
    ///
    /// [`AuditError`] when the entry is not durable.
    fn record(&self, entry: Entry) -> Result<(), AuditError>;

    /// Queues an entry; never blocks and never fails loudly: what could not be written is counted, shows as
    /// [`Audit::is_failing`], and as an entry once writing works again.
    fn note(&self, entry: Entry);

    /// Queues entries that are yet to be made; `bytes` is what they keep in memory until then.
    fn note_made(&self, bytes: usize, make: MakeEntries) {
        let _ = bytes;
        for entry in make() {
            self.note(entry);
        }
    }

    /// The last write failed, or entries were lost since.
    fn is_failing(&self) -> bool;
}

/// Nothing is kept: a coordinator without a data directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAudit;

impl Audit for NoAudit {
    fn record(&self, _entry: Entry) -> Result<(), AuditError> {
        Ok(())
    }

    fn note(&self, _entry: Entry) {}

    fn note_made(&self, _bytes: usize, _make: MakeEntries) {}

    fn is_failing(&self) -> bool {
        false
    }
}

/// One security event, before it has a place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Who acts: a SPIFFE name, `unauthenticated <address>`, or `operator`.
    pub actor: String,
    /// What was done.
    pub action: Action,
    /// To what: an id, a serial, the id of a token, a batch of tasks.
    pub object: String,
    /// SHA-256 of the object, where it has bytes.
    pub digest: Option<[u8; 32]>,
    /// What else is worth keeping; never a secret.
    pub detail: Map<String, Value>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// The log was opened for writing.
    LogOpened,
    /// The log was closed in order.
    LogClosed,
    /// A signature over the head of the chain.
    Checkpoint,
    /// Entries could not be written; the entry says how many.
    EntriesLost,
    /// An agent's session began.
    AgentConnected,
    /// An agent's session ended.
    AgentDisconnected,
    /// A peer was refused before or at its handshake.
    PeerRefused,
    /// An agent was enrolled with a token.
    AgentEnrolled,
    /// An enrolment was refused.
    EnrolmentRefused,
    /// A join token was made.
    TokenCreated,
    /// An identity was issued.
    IdentityIssued,
    /// An identity was renewed.
    IdentityRenewed,
    /// The coordinator took up another identity.
    IdentityRotated,
    /// A certificate, or every certificate of an id, was revoked.
    Revoked,
    /// A peer asked for what its grants do not cover.
    GrantRefused,
    /// A key of a keyring was made, exported, installed, put to use, retired or removed.
    KeyChanged,
    /// A batch of tasks that were accepted or ended.
    Tasks,
}

impl Action {
    /// The name of the action in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LogOpened => "log-opened",
            Self::LogClosed => "log-closed",
            Self::Checkpoint => "checkpoint",
            Self::EntriesLost => "entries-lost",
            Self::AgentConnected => "agent-connected",
            Self::AgentDisconnected => "agent-disconnected",
            Self::PeerRefused => "peer-refused",
            Self::AgentEnrolled => "agent-enrolled",
            Self::EnrolmentRefused => "enrolment-refused",
            Self::TokenCreated => "token-created",
            Self::IdentityIssued => "identity-issued",
            Self::IdentityRenewed => "identity-renewed",
            Self::IdentityRotated => "identity-rotated",
            Self::Revoked => "revoked",
            Self::GrantRefused => "grant-refused",
            Self::KeyChanged => "key-changed",
            Self::Tasks => "tasks",
        }
    }
}

/// Why an entry is not in the log, or the log cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// Writing or reading failed: no space, no permission, a broken device.
    #[error("audit log: {0}")]
    Store(String),
    /// The log was closed before.
    #[error("the audit log is closed")]
    Closed,
    /// There is no such file or directory, or no log in it.
    #[error("{0} does not exist")]
    NotFound(String),
    /// Others have access to the directory or a file in it.
    #[error("audit log: {0}")]
    Permissions(String),
    /// Another process writes it.
    #[error("the audit log in {0} is in use by another process")]
    InUse(String),
    /// It is not what was written.
    #[error("{0}")]
    Corrupt(String),
    /// What was given makes no sense: a public key that is none, an anchor whose head is no hash.
    #[error("{0}")]
    Invalid(String),
}
