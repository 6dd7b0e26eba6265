//! How two sides become a session, stay one and part. Streams, clocks and dice are the caller's: frames and the time come
//! in, frames and deadlines go out.
//!
//! | module | what it is |
//! | --- | --- |
//! | `agent` | the side that dials: Hello, then a Welcome or a refusal |
//! | `coordinator` | the side that listens: a checked Hello, then the terms |
//! | `lease` | for how long an agent may start work, |
//! | `limits` | what a message may claim |
//! | `backoff` | when to dial again |

mod agent;
mod backoff;
mod coordinator;
mod lease;
mod limits;

pub use agent::{Accepted, Dialing, Registration};
pub use backoff::backoff_ms;
pub use coordinator::{Greeting, Listening, Terms, refuse};
pub use lease::LeaseClock;
pub use limits::{
    MAX_AGENT_TIMEOUT_MS, MAX_HELD, MAX_METADATA_BYTES, MAX_METADATA_ENTRIES, MAX_NAME_BYTES, MAX_NAMES,
    MAX_SLOTS, MIN_AGENT_TIMEOUT_MS, check_name, check_offer,
};

use super::frame::FrameError;
use super::messages::{Code, FrameKind, Lane, Sender};

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// As Hello says it.
    pub protocol: u32,
    /// As TLS negotiates it.
    pub alpn: &'static [u8],
}

/// The versions that are served, newest first: this one, and the one before it as soon as there is one.
pub const VERSIONS: &[Version] = &[Version { protocol: 1, alpn: b"nt-swarm/1" }];

/// A feature: the coordinator has an authority and renews the identities of its agents over their connections.
pub const RENEWAL: u64 = 1;

/// A feature: messages of AgentDB sync, on a lane of their own.
pub const SYNC: u64 = 2;

/// The features that this version can use.
pub const FEATURES: u64 = RENEWAL | SYNC;

/// The protocols for TLS, by preference.
pub fn alpns(versions: &[Version]) -> Vec<Vec<u8>> {
    versions.iter().map(|version| version.alpn.to_vec()).collect()
}

/// The version that TLS has agreed on.
pub fn version_of(versions: &[Version], alpn: Option<&[u8]>) -> Result<Version, SessionError> {
    let of = |alpn: &[u8]| versions.iter().find(|version| version.alpn == alpn).copied();
    alpn.and_then(of).ok_or_else(|| SessionError::Alpn {
        alpn: alpn.map_or_else(|| "none".to_owned(), |alpn| String::from_utf8_lossy(alpn).into_owned()),
    })
}

/// Why there is no session, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// What was sent is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// TLS agreed on a protocol that is not ours.
    #[error("the connection is for {alpn:?}, which is no version of the swarm's protocol")]
    Alpn {
        /// What it agreed on.
        alpn: String,
    },
    /// Hello says another version than TLS.
    #[error("Hello is of version {hello}, the connection of version {connection}")]
    Version {
        /// In Hello.
        hello: u32,
        /// Of the connection.
        connection: u32,
    },
    /// A frame that has no place here, or not now.
    #[error("a {kind} frame is not allowed {place}")]
    Unexpected {
        /// What it is.
        kind: FrameKind,
        /// Where it came.
        place: &'static str,
    },
    /// A message claims what it must not.
    #[error("{what}")]
    Invalid {
        /// Field, value and limit, in words.
        what: String,
    },
    /// The other side refused.
    #[error("refused: {message}")]
    Refused {
        /// Why.
        code: Code,
        /// In words.
        message: String,
    },
    /// The other side did not say in time who it is.
    #[error("no Hello within {limit_ms} ms")]
    Silent {
        /// What it had, in milliseconds.
        limit_ms: u64,
    },
}

impl SessionError {
    /// What the connection is closed with.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { code, .. } => *code,
            Self::Silent { .. } => Code::Timeout,
            _ => Code::Protocol,
        }
    }
}

pub(crate) fn invalid(what: impl Into<String>) -> SessionError {
    SessionError::Invalid { what: what.into() }
}

/// Whether a frame that comes in an established session has its place: on this lane, from this side. `alone`: on a stream
/// for one frame, which counts to the task lane and is for what has a payload.
pub fn check_place(kind: FrameKind, lane: Lane, alone: bool, from: Sender) -> Result<(), SessionError> {
    let refused = |place| Err(SessionError::Unexpected { kind, place });
    if matches!(kind, FrameKind::Hello | FrameKind::Resume | FrameKind::Welcome | FrameKind::LaneOpen) {
        return refused("after the handshake");
    }
    if kind.lane() != lane {
        return refused("on this lane");
    }
    if kind.sender() != Sender::Either && kind.sender() != from {
        return refused("from this side");
    }
    if alone && matches!(kind, FrameKind::PublishAck) {
        return refused("on a stream of its own");
    }
    Ok(())
}
