//! What goes into a coordinator and what it tells.

use super::sync::engine::{self, RelayOpener};
use crate::protocol::{AgentId, Millis};
use crate::security::{CertificateAuthority, Identity};
use crate::swarm::logs::LogEntry;
use crate::swarm::renewal::IdentityListener;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Takes the log of a coordinator; runs on any thread and must not block.
pub type LogListener = Arc<dyn Fn(LogEntry) + Send + Sync>;

/// How a coordinator is set up.
pub struct CoordinatorConfig {
    /// `host:port` to listen on; port 0 takes a free one.
    pub listen: String,
    /// Who it is. None: its authority makes it an identity; without one it makes a throw-away authority of its own, for
    /// development.
    pub identity: Option<Identity>,
    /// Issues the identities of its members. None: nobody can join or be renewed.
    pub authority: Option<Arc<CertificateAuthority>>,
    /// `host:port` for those who join with a token; needs an authority. Off by default.
    pub enroll_listen: Option<String>,
    /// Keeps its renewed identities.
    pub on_identity: Option<IdentityListener>,
    /// Where the task queue is kept. None: in memory.
    pub data_dir: Option<PathBuf>,
    /// What is done with the messages of AgentDB sync: by default a relay of its own. None: they are not carried.
    pub relay: Option<RelayOpener>,
    /// An agent that was not heard of for so long is gone.
    pub agent_timeout_ms: u64,
    /// For tasks that name none: from acceptance to outcome.
    pub task_timeout_ms: Option<u64>,
    /// For tasks that name none.
    pub max_attempts: u32,
    /// Tasks that may wait for an agent.
    pub max_queued: usize,
    /// Agents that may be connected.
    pub max_agents: usize,
    /// The largest payload or result, in bytes.
    pub max_message_bytes: usize,
    /// How long outcomes are kept.
    pub result_retention_ms: u64,
    /// Bytes of outcomes that are kept; beyond it the oldest go first.
    pub max_retained_bytes: u64,
    /// `host:port` for metrics and health; off by default.
    pub http: Option<String>,
    /// Takes its log; silent by default.
    pub on_log: Option<LogListener>,
}

impl Default for CoordinatorConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            identity: None,
            authority: None,
            enroll_listen: None,
            on_identity: None,
            data_dir: None,
            relay: Some(engine::opener()),
            agent_timeout_ms: 10_000,
            task_timeout_ms: None,
            max_attempts: 3,
            max_queued: 100_000,
            max_agents: 20_000,
            max_message_bytes: 65 << 20,
            result_retention_ms: 24 * 60 * 60 * 1000,
            max_retained_bytes: 256 << 20,
            http: None,
            on_log: None,
        }
    }
}

/// What a coordinator reports of its own accord.
#[derive(Debug, Clone)]
pub enum CoordinatorEvent {
    /// An agent was welcomed.
    AgentJoined(AgentInfo),
    /// An agent is gone.
    AgentLeft {
        /// As it was last seen.
        agent: AgentInfo,
        /// Why.
        reason: String,
    },
    /// A task has failed for good.
    TaskFailed(TaskNotice),
    /// An attempt has failed; the task will be tried again.
    TaskRetried(TaskNotice),
    /// A message on a topic that the coordinator subscribes to.
    Message {
        /// The topic.
        topic: Arc<str>,
        /// The id of the agent that published it, or of the coordinator.
        from: Arc<str>,
        /// An encoded value.
        payload: Bytes,
    },
}

/// What happened to a task.
#[derive(Debug, Clone)]
pub struct TaskNotice {
    /// Which task.
    pub task_id: String,
    /// Its kind.
    pub kind: Arc<str>,
    /// Attempts used.
    pub attempts: u32,
    /// What went wrong.
    pub error: String,
}

/// An agent as the coordinator sees it.
#[derive(Debug, Clone)]
pub struct AgentInfo {
    /// From its certificate.
    pub id: AgentId,
    /// What it says it is.
    pub agent_type: Arc<str>,
    /// What it says it can do.
    pub capabilities: Vec<Arc<str>>,
    /// Whatever else it says of itself.
    pub metadata: Arc<BTreeMap<String, String>>,
    /// Name and version of its program.
    pub software: Arc<str>,
    /// When it was welcomed.
    pub connected_at: Millis,
    /// When it was last heard.
    pub last_seen_at: Millis,
    /// Tasks it has now.
    pub running: u64,
    /// Tasks it completed in this session.
    pub completed: u64,
    /// Attempts that failed in this session.
    pub failed: u64,
    /// Running tasks for each slot, as it last said: 1 is full.
    pub load: f64,
    /// Resident memory of its process, as it last said; 0 where its system does not tell.
    pub memory_bytes: u64,
    /// Round trip as QUIC estimates it.
    pub rtt_ms: f64,
    /// `host:port`.
    pub remote_address: String,
    /// The group of the TLS key exchange, e.g. X25519MLKEM768.
    pub key_exchange: Arc<str>,
}

/// A task to do.
#[derive(Debug, Clone)]
pub struct TaskRequest {
    /// Which handler.
    pub kind: Arc<str>,
    /// An encoded value.
    pub payload: Bytes,
    /// 0 to 9, 9 first.
    pub priority: u8,
    /// Capabilities that the agent must have.
    pub requires: Vec<Arc<str>>,
    /// From acceptance to outcome.
    pub timeout_ms: Option<u64>,
    /// From dispatch to result.
    pub attempt_timeout_ms: Option<u64>,
    /// The longest without progress.
    pub progress_timeout_ms: Option<u64>,
    /// Two tasks with the same key are one.
    pub key: Option<Arc<str>>,
    /// At least 1.
    pub max_attempts: Option<u32>,
}

/// A task was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its public id.
    pub task_id: String,
    /// It was there already, under the same key.
    pub deduplicated: bool,
}

/// A completed task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskResult {
    /// Its public id.
    pub task_id: String,
    /// Its key.
    pub key: Option<Arc<str>>,
    /// Who ran it.
    pub agent: AgentId,
    /// An encoded value.
    pub value: Bytes,
    /// Attempts used.
    pub attempts: u32,
    /// From acceptance to the last dispatch.
    pub queued_ms: u64,
    /// From the last dispatch to the result.
    pub run_ms: u64,
}

/// Where a task is.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskState {
    /// Its public id.
    pub task_id: String,
    /// Its key.
    pub key: Option<Arc<str>>,
    /// Its kind.
    pub kind: Arc<str>,
    /// Where.
    pub state: TaskStateName,
    /// Attempts used, the running one included.
    pub attempts: u32,
    /// Who has it, or ran it.
    pub agent: Option<AgentId>,
    /// As the handler last reported it.
    pub progress: Option<f64>,
    /// What went wrong last.
    pub error: Option<String>,
}

/// The states that callers know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskStateName {
    /// Waits for an agent.
    Queued,
    /// An agent has it.
    Running,
    /// It has a result.
    Completed,
    /// It is a dead letter.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl TaskStateName {
    /// As JavaScript knows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Numbers of a coordinator, since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SwarmStats {
    /// Connected now.
    pub agents: u64,
    /// Waiting now.
    pub queued: u64,
    /// At agents now.
    pub running: u64,
    /// Tasks with a result.
    pub completed: u64,
    /// Tasks that failed for good.
    pub failed: u64,
    /// Attempts that were followed by another.
    pub retried: u64,
    /// Dead letters now.
    pub dead_lettered: u64,
    /// From agents.
    pub bytes_in: u64,
    /// To agents.
    pub bytes_out: u64,
    /// Since the start.
    pub uptime_ms: u64,
}

/// Somebody who waits for an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaiterId(pub u64);
