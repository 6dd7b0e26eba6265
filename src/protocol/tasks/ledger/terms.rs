//! What goes into the ledger and what comes out of it, in words.

use super::super::{Failure, Outcome, TaskRecord};
use crate::protocol::{AgentId, Fence, Generation, Millis, TaskId};
use std::sync::Arc;

/// Limits of a ledger. Each queue and each list in it is bounded by one of these.
#[derive(Debug, Clone)]
pub struct LedgerConfig {
    /// An agent that was not heard of for so long is gone, and whatever it held goes to others.
    pub agent_timeout_ms: u64,
    /// Agents connected at once. Bounds the index of agents.
    pub max_agents: usize,
    /// Tasks that wait for an agent. Bounds the queues; tasks that come back from a lost agent may exceed it, by at
    /// most the leases there were.
    pub max_queued: usize,
    /// Bytes of all tasks without an outcome: payloads, and [`super::RECORD_BYTES`] each.
    pub max_queued_bytes: u64,
    /// How long an outcome is kept.
    pub retention_ms: u64,
    /// Bytes of all tasks with an outcome: results, payloads of dead letters, and [`super::RECORD_BYTES`] each. The
    /// oldest outcomes are forgotten first. So this bounds their number as well.
    pub max_retained_bytes: u64,
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            agent_timeout_ms: 10_000,
            max_agents: 10_000,
            max_queued: 100_000,
            max_queued_bytes: 1 << 30,
            retention_ms: 24 * 60 * 60 * 1000,
            max_retained_bytes: 256 << 20,
        }
    }
}

/// A task was accepted, or was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// Its number.
    pub task: TaskId,
    /// There was a task with this key and this content.
    pub deduplicated: bool,
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// `max_queued` or `max_queued_bytes`.
    #[error("the queue is full")]
    Overloaded,
    /// `max_agents`.
    #[error("too many agents are connected")]
    TooManyAgents,
    /// A task with this key has another kind or payload.
    #[error("the idempotency key belongs to a task with another kind or payload")]
    IdempotencyMismatch,
    /// There never was such a task.
    #[error("there is no such task")]
    NotFound,
    /// There was, but nothing is kept of it.
    #[error("the outcome of this task is no longer kept")]
    Expired,
    /// The task is none of the dead letters.
    #[error("the task is not a dead letter")]
    NotDead,
}

/// What an agent says of itself when it joins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Kinds of task that it has a handler for.
    pub kinds: Vec<Arc<str>>,
    /// What it can do beside.
    pub capabilities: Vec<Arc<str>>,
    /// Tasks that it runs at once; 0 for none now.
    pub slots: u32,
}

/// A task that an agent has when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// Which.
    pub task: TaskId,
    /// Under which fence it was given to the agent.
    pub fence: Fence,
    /// It has a result for it.
    pub finished: bool,
}

/// An agent is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Of this login.
    pub generation: Generation,
    /// What it goes on with. Everything else that it listed is no longer its own: the Welcome has to carry this list,
    /// so that nothing else is started after it.
    pub resumed: Vec<(TaskId, Fence)>,
}

/// How a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Departure {
    /// The agent took its leave. It runs nothing any more.
    Goodbye,
    /// The agent has seen [`Effect::Replace`]. It runs nothing any more.
    ReplacedAcknowledged,
    /// The connection is gone; the agent may be there still.
    Disconnected,
    /// The agent was thrown out and is not let in again: whatever it still runs, its tasks need not wait for it.
    Expelled,
}

/// Why an agent should stop an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CancelReason {
    /// Somebody cancelled the task.
    Cancelled,
    /// The task's time ran out.
    Timeout,
    /// The attempt took too long, or reported no progress for too long.
    AttemptTimeout,
}

/// What should happen, once every change that was drained with it or before it is committed.
///
/// A frame for an agent goes to the connection of exactly that generation, or nowhere.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send the task to the agent.
    Assign {
        /// To whom.
        agent: AgentId,
        /// Over which connection.
        generation: Generation,
        /// Under which fence.
        fence: Fence,
        /// The task as it was accepted; its phase and its counts are those of that time.
        task: Arc<TaskRecord>,
        /// When the attempt or the task runs out of time, whichever is first.
        deadline: Option<Millis>,
    },
    /// Tell the agent that it can drop its result.
    Acknowledge {
        /// Whose.
        agent: AgentId,
        /// Over which connection.
        generation: Generation,
        /// Of which task.
        task: TaskId,
        /// Of which attempt.
        fence: Fence,
        /// False for a result that came too late.
        accepted: bool,
    },
    /// Tell the agent to stop. It answers with [`super::Ledger::stopped`], unless a result is on its way.
    Cancel {
        /// Whom.
        agent: AgentId,
        /// Over which connection.
        generation: Generation,
        /// What.
        task: TaskId,
        /// Which attempt.
        fence: Fence,
        /// Why.
        reason: CancelReason,
    },
    /// The task has its outcome: wake who waits for it.
    Settled {
        /// Which task.
        task: TaskId,
        /// What became of it.
        outcome: Arc<Outcome>,
    },
    /// An attempt failed and there will be another one.
    Retried {
        /// Which task.
        task: TaskId,
        /// Its kind.
        kind: Arc<str>,
        /// Attempts used.
        attempts: u32,
        /// Why.
        failure: Failure,
    },
    /// Tell this session that another process has logged in under its name, for good, and close it when it has
    /// answered ([`Departure::ReplacedAcknowledged`]).
    Replace {
        /// Whom.
        agent: AgentId,
        /// The session that was replaced.
        generation: Generation,
    },
    /// The same process came back on another connection: close this one without a word.
    Abandon {
        /// Whom.
        agent: AgentId,
        /// The earlier session.
        generation: Generation,
    },
    /// The agent was not heard of for `agent_timeout_ms`: close its connection.
    Lost {
        /// Whom.
        agent: AgentId,
        /// Its session.
        generation: Generation,
    },
}

impl Effect {
    /// The task that it is about. With [`super::Ledger::withdraw`], effects about the withdrawn tasks are dropped.
    pub fn task(&self) -> Option<TaskId> {
        match self {
            Self::Assign { task, .. } => Some(task.id),
            Self::Acknowledge { task, .. }
            | Self::Cancel { task, .. }
            | Self::Settled { task, .. }
            | Self::Retried { task, .. } => Some(*task),
            Self::Replace { .. } | Self::Abandon { .. } | Self::Lost { .. } => None,
        }
    }
}

/// Where a task is, for those who ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskStatus {
    /// It waits for an agent or for the end of its back-off.
    Queued,
    /// An agent has it.
    Running,
    /// A handler returned.
    Completed,
    /// It is a dead letter.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

/// A task, for those who ask.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskView {
    /// Its number.
    pub task: TaskId,
    /// Its idempotency key.
    pub key: Option<Arc<str>>,
    /// Its kind.
    pub kind: Arc<str>,
    /// Where it is.
    pub status: TaskStatus,
    /// Attempts used, a running one included.
    pub attempts: u32,
    /// Who runs it, or ran it to its end.
    pub agent: Option<AgentId>,
    /// What the running attempt last reported, 0 to 1.
    pub progress: Option<f64>,
    /// Why the latest attempt failed.
    pub error: Option<String>,
}

/// An agent that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentView {
    /// Its name.
    pub id: AgentId,
    /// Its session.
    pub generation: Generation,
    /// Since when.
    pub connected_at: Millis,
    /// When it was last heard of.
    pub last_heard_at: Millis,
    /// Tasks that it has.
    pub running: usize,
    /// Tasks that it runs at once.
    pub slots: u32,
    /// Results accepted from this name, as long as it has been known without a gap.
    pub completed: u64,
    /// Failures accepted from this name.
    pub failed: u64,
}

/// Numbers of a ledger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Agents connected.
    pub agents: usize,
    /// Tasks that wait.
    pub queued: usize,
    /// Tasks that an agent has.
    pub running: usize,
    /// Tasks with an outcome that is kept.
    pub retained: usize,
    /// Dead letters that are kept.
    pub dead_letters: usize,
    /// Bytes of tasks without an outcome.
    pub queued_bytes: u64,
    /// Bytes of tasks with an outcome.
    pub retained_bytes: u64,
    /// Completed in this life of the process.
    pub completed: u64,
    /// Failed for good in this life of the process.
    pub failed: u64,
    /// Cancelled in this life of the process.
    pub cancelled: u64,
    /// Attempts that failed and were followed by another one.
    pub retried: u64,
}
