//! What goes into an agent and what it tells.

use crate::protocol::{Fence, Millis};
use crate::security::Identity;
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::renewal::IdentityListener;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How an agent is set up.
pub struct AgentConfig {
    /// `host:port` of coordinators, tried in order and again with back-off.
    pub addresses: Vec<String>,
    /// Who it is.
    pub identity: Identity,
    /// Keeps its renewed identities.
    pub on_identity: Option<IdentityListener>,
    /// What it is for.
    pub agent_type: String,
    /// What tasks may require of it.
    pub capabilities: Vec<String>,
    /// Whatever the application wants to be known.
    pub metadata: BTreeMap<String, String>,
    /// Tasks that it runs at once.
    pub concurrency: u32,
    /// Kinds that the handler runs, beside the built-in ones.
    pub kinds: Vec<String>,
    /// How long the first login may take.
    pub connect_timeout_ms: u64,
}

/// What an agent reports of its own accord.
#[derive(Debug, Clone)]
pub enum AgentEvent {
    /// A coordinator has welcomed it, again after a loss.
    Connected {
        /// `host:port`.
        address: String,
        /// Its id.
        coordinator: String,
    },
    /// The connection is gone; it dials again.
    Disconnected {
        /// Why.
        reason: String,
    },
    /// Messages on a topic will not come: it may not have them, or has too many topics.
    SubscriptionRefused {
        /// The topic.
        topic: String,
        /// FORBIDDEN or OVERLOADED.
        code: SwarmCode,
        /// Why.
        reason: String,
    },
    /// The end: an error that dialling again cannot mend, or `close`.
    Closed(Option<SwarmError>),
    /// A command to adapt.
    Adapt {
        /// In the words of the application.
        command: String,
        /// An encoded value.
        payload: Bytes,
    },
    /// A message on a topic that this agent subscribes to.
    Message {
        /// The topic.
        topic: Arc<str>,
        /// Who published it.
        from: Arc<str>,
        /// An encoded value.
        payload: Bytes,
    },
}

/// A task for the handler.
#[derive(Debug, Clone)]
pub struct Work {
    /// Names this execution in every call about it.
    pub token: u64,
    /// The public id of the task.
    pub task_id: String,
    /// Its kind.
    pub kind: Arc<str>,
    /// An encoded value.
    pub payload: Bytes,
    /// Attempts used, this one included.
    pub attempt: u32,
    /// For side effects.
    pub fence: Fence,
    /// The task's idempotency key.
    pub key: Option<Arc<str>>,
    /// When the task, or this attempt, runs out of time.
    pub deadline: Option<Millis>,
}

/// Runs tasks of the application. Its functions return at once: the work itself is done elsewhere.
pub trait Handler: Send + Sync {
    /// Starts the work; its end is told by [`finished`](super::Agent::finished).
    fn run(&self, work: Work);

    /// Nobody wants it any more: TIMEOUT when its time is up, else ABORTED. It may still finish, and nobody will hear of it.
    fn stop(&self, token: u64, code: SwarmCode, reason: &str);
}

/// Why a handler has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandlerFailure {
    /// In words.
    pub message: String,
    /// The code of the error, if it has one.
    pub code: Option<String>,
    /// Whether another attempt may succeed.
    pub retryable: bool,
}

/// Which part of its life an agent is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentState {
    /// Before the first Welcome.
    Connecting,
    /// Welcomed.
    Connected,
    /// The connection is gone; it dials again.
    Reconnecting,
    /// Takes nothing new.
    Draining,
    /// The end.
    Closed,
}

impl AgentState {
    /// As JavaScript knows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
            Self::Draining => "draining",
            Self::Closed => "closed",
        }
    }
}
