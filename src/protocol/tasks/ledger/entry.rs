//! What the ledger holds of one task.

use super::index::SignatureIndex;
use super::{AgentIndex, RECORD_BYTES};
use crate::protocol::tasks::{Failure, Outcome, TaskRecord};
use crate::protocol::{Fence, Generation, Millis};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// One task.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Arc<str>,
    pub(super) key: Option<Arc<str>>,
    pub(super) digest: Option<[u8; 32]>,
    pub(super) accepted_at: Millis,
    pub(super) dispatches: u32,
    pub(super) attempts: u32,
    /// Somebody enqueued it without waiting for it.
    pub(super) detached: bool,
    /// As it was accepted, payload and all; nothing once it has completed or was cancelled.
    pub(super) accepted: Option<Arc<TaskRecord>>,
    pub(super) place: Place,
    /// When the clock has to look at it next, as it stands in the ledger's timers.
    pub(super) timer: Option<Millis>,
}

/// Where it is.
#[derive(Debug)]
pub(super) enum Place {
    /// In the queue of its signature, or waiting for the end of its back-off.
    Waiting { signature: SignatureIndex, not_before: Millis, ready: bool, error: Option<Failure> },
    /// An agent has it.
    Leased { signature: SignatureIndex, lease: Lease },
    /// It has its outcome.
    Finished { outcome: Arc<Outcome>, at: Millis, fence: Option<Fence> },
}

/// Who has a task.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) agent: AgentIndex,
    pub(super) generation: Generation,
    pub(super) fence: Fence,
    pub(super) since: Millis,
    pub(super) progress_at: Millis,
    pub(super) progress: Option<f64>,
    /// The attempt has failed, but the agent has not said yet that it stopped.
    pub(super) ending: Option<Ending>,
}

/// An attempt that was told to stop.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) failure: Failure,
    /// No longer waited for than this.
    pub(super) until: Millis,
}

impl Entry {
    /// Who has it.
    pub(super) fn lease(&self) -> Option<&Lease> {
        match &self.place {
            Place::Leased { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// Who has it.
    pub(super) fn lease_mut(&mut self) -> Option<&mut Lease> {
        match &mut self.place {
            Place::Leased { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// Bytes that it counts for.
    pub(super) fn bytes(&self) -> u64 {
        let payload = self.accepted.as_ref().map_or(0, |record| record.spec.payload.len());
        let outcome = match &self.place {
            Place::Finished { outcome, .. } => match &**outcome {
                Outcome::Completed { value, .. } => value.len(),
                Outcome::Failed { failure, .. } => failure.message.len(),
                Outcome::Cancelled => 0,
            },
            _ => 0,
        };
        RECORD_BYTES + (payload + outcome) as u64 + self.key.as_ref().map_or(0, |key| key.len() as u64)
    }

    /// When the clock has to look at it next.
    pub(super) fn due(&self) -> Option<Millis> {
        let spec = &self.accepted.as_ref()?.spec;
        let after = |from: Millis, limit: Option<u64>| limit.map(|limit| from.saturating_add(limit));
        let own = match &self.place {
            Place::Finished { .. } => return None,
            Place::Waiting { ready: true, .. } => None,
            Place::Waiting { not_before, .. } => Some(*not_before),
            Place::Leased { lease: Lease { ending: Some(ending), .. }, .. } => Some(ending.until),
            Place::Leased { lease, .. } => {
                let attempt = after(lease.since, spec.attempt_timeout_ms);
                earlier(attempt, after(lease.progress_at, spec.progress_timeout_ms))
            }
        };
        earlier(own, after(self.accepted_at, spec.timeout_ms))
    }
}

impl Entry {
    /// When an attempt that began at `since` runs out of time, or the task does. A handler that reports progress in time
    /// is not hurried by the limit on that.
    pub(super) fn deadline(&self, since: Millis) -> Option<Millis> {
        let spec = &self.accepted.as_ref()?.spec;
        let after = |from: Millis, limit: Option<u64>| limit.map(|limit| from.saturating_add(limit));
        earlier(after(since, spec.attempt_timeout_ms), after(self.accepted_at, spec.timeout_ms))
    }
}

/// The earlier of two instants that there may be.
pub(super) fn earlier(a: Option<Millis>, b: Option<Millis>) -> Option<Millis> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Numbers of tasks are given in order by ourselves: nobody can choose them so that they collide.
#[derive(Debug, Default)]
pub(super) struct TaskHasher(u64);

impl Hasher for TaskHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // Fibonacci hashing: the table looks at both ends of the number.
        let product = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}

/// Makes a [`TaskHasher`].
pub(super) type TaskHash = BuildHasherDefault<TaskHasher>;
