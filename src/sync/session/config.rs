//! Settings, errors and numbers of a session.

use crate::sync::identity::Origin;
use crate::sync::store::{Applied, StoreError};
use crate::sync::wire::{Code, WireError};

/// Settings of a link.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of the database.
    pub database: String,
    /// The id in the peer's certificate.
    pub peer: String,
    /// Bytes of deltas and repairs that the peer has not taken yet, at most; up to 8 MiB.
    pub window_bytes: usize,
    /// The longest body of a component.
    pub component_bytes: usize,
    /// Between two comparisons of digests.
    pub digest_ms: u64,
    /// A question for the time that is answered later says nothing.
    pub patience_ms: u64,
}

impl Config {
    /// The defaults: 4 MiB, 64 MiB, 60 s, 30 s.
    #[must_use]
    pub fn new(database: impl Into<String>, peer: impl Into<String>) -> Self {
        Self {
            database: database.into(),
            peer: peer.into(),
            window_bytes: 4 << 20,
            component_bytes: 64 << 20,
            digest_ms: 60_000,
            patience_ms: 30_000,
        }
    }
}

/// On which side of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A node, which writes.
    Node,
    /// A relay, with the number that its store was given when it was made. Its transactions are never undone: when one
    /// fails, so does the relay.
    Relay {
        /// The number.
        epoch: [u8; 16],
    },
}

/// How much one step may do.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Components to merge, and to read for the peer: of each at least one.
    pub components: usize,
    /// Bytes to read for the peer, as far as one component is not more.
    pub bytes: usize,
}

impl Budget {
    /// As much as the window allows.
    pub const ALL: Self = Self { components: usize::MAX, bytes: usize::MAX };
}

/// What a step did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What merging did.
    pub applied: Applied,
    /// Components that were merged.
    pub components: usize,
    /// Bytes that were read for the peer.
    pub bytes: usize,
    /// The store's heads moved: sessions on its other links want to know ([`super::Session::changed`]).
    pub advanced: bool,
    /// This side was a copy, and writes under this origin from now on.
    pub forked: Option<Origin>,
    /// Another step would do more.
    pub more: bool,
}

/// Numbers of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Both sides have said how far they are.
    pub ready: bool,
    /// The peer is a relay, and its store has this number.
    pub epoch: Option<[u8; 16]>,
    /// Versions that are here and not yet committed there.
    pub behind: u64,
    /// Versions that it has told of and that are not here.
    pub missing: u64,
    /// When something of the peer's was merged last, in ms since 1970; 0: never.
    pub last_applied_ms: u64,
    /// How old the newest of it was then, in ms, by both clocks.
    pub lag_ms: u64,
    /// Of what the peer had when the link came up, versions that have come,
    pub done: u64,
    /// and all of them.
    pub total: u64,
    /// The last version of this node that the peer has committed.
    pub acknowledged: u64,
    /// The last version of this node that all who are connected to the relay have committed.
    pub reach: u64,
    /// What was merged over this link, repairs included.
    pub applied: Applied,
    /// Components that were sent.
    pub sent: u64,
    /// States that differed although both sides had the same heads, or that were deleted meanwhile, and were put right.
    pub repaired: u64,
    /// Comparisons of digests that found no difference, or put all right.
    pub compared: u64,
    /// Components that are longer than a message may be, and were left out.
    pub oversized: u64,
    /// The peer's clock less this one, in ms, once it was measured.
    pub offset_ms: Option<i64>,
}

/// Why a link ends, or why a step did not happen ([`SessionError::Store`]).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// Bytes that are no message.
    #[error("the peer sent {0}")]
    Wire(#[from] WireError),
    /// A message at the wrong time, or one that cannot be true.
    #[error("the peer sent something impossible: {0}")]
    Unexpected(&'static str),
    /// The peer replicates another database.
    #[error("the peer replicates the database {0:?}")]
    Database(String),
    /// One side seals and the other does not, or both do with keys that have nothing to do with each other.
    #[error("{0}")]
    Sealing(&'static str),
    /// More than it was allowed to before an acknowledgement.
    #[error("the peer sends more than the window allows")]
    Flooded,
    /// More origins than a side keeps.
    #[error("the peer has more origins than a database may have")]
    TooMany,
    /// The peer has ended the link.
    #[error("the peer has ended the link: {0:?}")]
    Peer(Code),
    /// This side has.
    #[error("the link was closed")]
    Closed,
    /// The store; the link goes on.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SessionError {
    /// What the peer is told.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Wire(WireError::Format) => Code::Format,
            Self::Wire(WireError::TooLong) | Self::TooMany => Code::TooLarge,
            Self::Wire(_) | Self::Unexpected(_) => Code::Protocol,
            Self::Database(_) => Code::Database,
            Self::Sealing(_) => Code::Sealing,
            Self::Flooded => Code::Flooded,
            Self::Peer(code) => *code,
            Self::Closed => Code::Closed,
            Self::Store(_) => Code::Store,
        }
    }

    /// Whether the link is to be closed.
    #[must_use]
    pub const fn ends_the_link(&self) -> bool {
        !matches!(self, Self::Store(_))
    }
}
