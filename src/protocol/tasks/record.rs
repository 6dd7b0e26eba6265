//! A task as the store keeps it, and the changes that make its life.
//!
//! Every change is a complete statement about one task, so that applying a prefix of the changes gives a state that
//! the ledger was in, and applying one twice is applying it once.

use crate::protocol::{AgentId, Fence, Millis, TaskId};
use bytes::Bytes;
use std::sync::Arc;

/// What a caller asks for. Limits were checked before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSpec {
    /// Which handler runs it.
    pub kind: Arc<str>,
    /// An encoded value, opaque here.
    pub payload: Bytes,
    /// 0 to 9, 9 first.
    pub priority: u8,
    /// Capabilities that an agent must have, sorted, without repetition.
    pub requires: Vec<Arc<str>>,
    /// From acceptance to outcome.
    pub timeout_ms: Option<u64>,
    /// From dispatch to result.
    pub attempt_timeout_ms: Option<u64>,
    /// The longest that a running handler may report no progress.
    pub progress_timeout_ms: Option<u64>,
    /// Two tasks with the same key are one.
    pub key: Option<Arc<str>>,
    /// At least 1.
    pub max_attempts: u32,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecord {
    /// Its number.
    pub id: TaskId,
    /// What was asked for. The payload is dropped (empty) once the task has completed or was cancelled.
    pub spec: TaskSpec,
    /// SHA-256 of kind and payload when there is a key, to tell a repetition from another task under the same key.
    pub digest: Option<[u8; 32]>,
    /// When it was accepted, or put back by hand from the dead letters.
    pub accepted_at: Millis,
    /// Dispatches over its whole life; the attempt of the latest fence.
    pub dispatches: u32,
    /// Attempts used up, at most `spec.max_attempts`; starts anew when a dead letter is retried.
    pub attempts: u32,
    /// Where it is.
    pub phase: Phase,
}

/// Where a task is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Waits for an agent, not before an instant (back-off).
    Queued {
        /// Earliest dispatch.
        not_before: Millis,
        /// Why the attempt before failed, if there was one.
        error: Option<Failure>,
    },
    /// An agent has it, or will have been sent it.
    Leased {
        /// Who.
        agent: AgentId,
        /// Under which fence a result is accepted.
        fence: Fence,
        /// When it was dispatched.
        since: Millis,
    },
    /// It has its outcome.
    Finished {
        /// What became of it.
        outcome: Arc<Outcome>,
        /// When.
        at: Millis,
    },
}

/// What became of a task. A task has at most one outcome, unless a dead letter is retried by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A handler returned.
    Completed {
        /// Who ran it.
        agent: AgentId,
        /// The encoded result.
        value: Bytes,
        /// Attempts used, the successful one included.
        attempts: u32,
        /// From acceptance to the last dispatch.
        queued_ms: u64,
        /// From the last dispatch to the result.
        run_ms: u64,
    },
    /// No attempt succeeded, or time ran out: a dead letter.
    Failed {
        /// Why.
        failure: Failure,
        /// Attempts used.
        attempts: u32,
    },
    /// Somebody cancelled it.
    Cancelled,
}

/// Why an attempt or a task failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind of failure.
    pub code: FailureCode,
    /// In words: the handler's message, or ours.
    pub message: String,
    /// The `code` of the error that a handler threw.
    pub remote_code: Option<String>,
    /// Who reported it or held the task.
    pub agent: Option<AgentId>,
}

/// Kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// The handler threw, or refused its payload.
    Handler,
    /// The agent was lost while it had the task.
    AgentLost,
    /// The attempt took longer than its own limit, or reported no progress for too long.
    AttemptTimeout,
    /// The task's time ran out.
    Timeout,
    /// The task's time ran out and no agent could ever have run it.
    NoAgent,
    /// The result was larger than a message may be.
    TooLarge,
}

/// One step in the life of a task, for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A task was accepted, or a dead letter put back: the whole record. One that was put back is queued with the
    /// error that it had.
    Accept(Arc<TaskRecord>),
    /// It was given to an agent.
    Lease {
        /// Which task.
        task: TaskId,
        /// To whom.
        agent: AgentId,
        /// Under which fence; its attempt is the task's number of dispatches.
        fence: Fence,
        /// When.
        at: Millis,
    },
    /// The lease ended without an outcome.
    Requeue {
        /// Which task.
        task: TaskId,
        /// Attempts used up now.
        attempts: u32,
        /// Earliest next dispatch.
        not_before: Millis,
        /// Why, if the attempt failed.
        error: Option<Failure>,
    },
    /// It has its outcome.
    Finish {
        /// Which task.
        task: TaskId,
        /// What.
        outcome: Arc<Outcome>,
        /// When.
        at: Millis,
    },
    /// Its retention has ended: nothing is kept of it.
    Forget {
        /// Which task.
        task: TaskId,
    },
}

impl Change {
    /// The task that is accepted for the first time. When the store cannot take this change, the task can be
    /// withdrawn; every other change states what has happened to a task that is there.
    pub fn accepts_new(&self) -> Option<TaskId> {
        match self {
            Self::Accept(record) if matches!(record.phase, Phase::Queued { error: None, .. }) => {
                Some(record.id)
            }
            _ => None,
        }
    }

    /// The task it is about.
    pub fn task(&self) -> TaskId {
        match self {
            Self::Accept(record) => record.id,
            Self::Lease { task, .. }
            | Self::Requeue { task, .. }
            | Self::Finish { task, .. }
            | Self::Forget { task } => *task,
        }
    }
}

/// What a store knew when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Names this store for ever: held results of another store mean nothing here.
    pub store: [u8; 16],
    /// Starts on this store, this one included, durable before anything else happens.
    pub epoch: u64,
    /// The first number that was never given to a task.
    pub next_task: u64,
    /// Every task that is not forgotten, in order of number.
    pub tasks: Vec<TaskRecord>,
}
