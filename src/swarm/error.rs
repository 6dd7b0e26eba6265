//! What callers of the swarm are told when something went wrong.

use crate::protocol::tasks::{Failure, FailureCode, Refusal};
use crate::store::StoreError;
use std::fmt;

/// An error with a stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwarmError {
    /// Which kind.
    pub code: SwarmCode,
    /// In words.
    pub message: String,
    /// [`SwarmCode::TaskFailed`], `Timeout` and `NoAgent`: what failed where.
    pub task: Option<Box<TaskFailure>>,
}

/// What failed where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskFailure {
    /// The task.
    pub task_id: String,
    /// Attempts used.
    pub attempts: u32,
    /// What the handler's error said, or what ended the attempt.
    pub remote_message: String,
    /// The `code` of the handler's error.
    pub remote_code: Option<String>,
}

/// The codes of `MidstreamerError` that the swarm gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SwarmCode {
    /// What was passed cannot be used.
    InvalidArgument,
    /// A payload or result is larger than a message may be.
    TooLarge,
    /// The caller left, or the task was cancelled.
    Aborted,
    /// Time ran out.
    Timeout,
    /// The object was closed.
    Closed,
    /// There is no such task.
    NotFound,
    /// There was such a task; it is no longer kept.
    Expired,
    /// Time ran out and no agent could have run the task.
    NoAgent,
    /// Every attempt failed.
    TaskFailed,
    /// The key belongs to another task.
    IdempotencyMismatch,
    /// A queue is full.
    Overloaded,
    /// The peer's or our certificate was refused.
    Unauthenticated,
    /// The identity may not do this.
    Forbidden,
    /// Another process has logged in under this id.
    SessionReplaced,
    /// The other side cannot be reached.
    Connection,
    /// The other side does not speak the protocol.
    Protocol,
    /// The store failed.
    Store,
    /// The store is damaged.
    Corrupt,
    /// Our mistake.
    Internal,
}

impl SwarmCode {
    /// The code as JavaScript and the wire know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::TooLarge => "TOO_LARGE",
            Self::Aborted => "ABORTED",
            Self::Timeout => "TIMEOUT",
            Self::Closed => "CLOSED",
            Self::NotFound => "NOT_FOUND",
            Self::Expired => "EXPIRED",
            Self::NoAgent => "NO_AGENT",
            Self::TaskFailed => "TASK_FAILED",
            Self::IdempotencyMismatch => "IDEMPOTENCY_MISMATCH",
            Self::Overloaded => "OVERLOADED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::SessionReplaced => "SESSION_REPLACED",
            Self::Connection => "CONNECTION",
            Self::Protocol => "PROTOCOL",
            Self::Store => "STORE",
            Self::Corrupt => "CORRUPT",
            Self::Internal => "INTERNAL",
        }
    }

    /// Whether connecting again cannot help: the other side would say the same.
    pub fn is_final(self) -> bool {
        matches!(self, Self::SessionReplaced | Self::Unauthenticated | Self::Forbidden | Self::Protocol)
    }
}

impl SwarmError {
    /// An error that is not about a task's own failure.
    pub fn new(code: SwarmCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), task: None }
    }

    pub(super) fn closed(what: &str) -> Self {
        Self::new(SwarmCode::Closed, format!("the {what} is closed"))
    }

    /// The error of a task that has failed.
    pub(super) fn failed(task_id: String, failure: &Failure, attempts: u32) -> Self {
        let code = match failure.code {
            FailureCode::Timeout => SwarmCode::Timeout,
            FailureCode::NoAgent => SwarmCode::NoAgent,
            FailureCode::Handler
            | FailureCode::AgentLost
            | FailureCode::AttemptTimeout
            | FailureCode::TooLarge => SwarmCode::TaskFailed,
        };
        let times = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
        Self {
            code,
            message: format!("task {task_id} failed after {times}: {}", failure.message),
            task: Some(Box::new(TaskFailure {
                task_id,
                attempts,
                remote_message: failure.message.clone(),
                remote_code: failure.remote_code.clone(),
            })),
        }
    }
}

impl fmt::Display for SwarmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for SwarmError {}

impl From<Refusal> for SwarmError {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::Overloaded | Refusal::TooManyAgents => SwarmCode::Overloaded,
            Refusal::IdempotencyMismatch => SwarmCode::IdempotencyMismatch,
            Refusal::NotFound => SwarmCode::NotFound,
            Refusal::Expired => SwarmCode::Expired,
            Refusal::NotDead => SwarmCode::InvalidArgument,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<StoreError> for SwarmError {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Corrupt { .. } => SwarmCode::Corrupt,
            _ => SwarmCode::Store,
        };
        Self::new(code, error.to_string())
    }
}
