//! What all threads of a coordinator do with the [`Hub`]: one turn at a time, and the checks before it.

use super::committer::{self, Committer};
use super::hub::{Call, Hub, Life};
use super::trust::Trust;
use super::types::{TaskRequest, TaskState, TaskStateName};
use super::{Shared, checks};
use crate::protocol::tasks::{Refusal, TaskSpec, TaskStatus};
use crate::protocol::{Millis, TaskId};
use crate::security::Identity;
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::metrics::Failing;
use aws_lc_rs::digest;
use bytes::Bytes;
use std::sync::{MutexGuard, PoisonError};

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One turn: see [`hub`].
    pub(super) fn turn<T>(&self, act: impl FnOnce(&mut Hub, Millis) -> T) -> T {
        let _inside = self.span.enter();
        let mut hub = self.lock();
        let before = hub.ledger.next_deadline();
        let now = self.clock.now();
        let out = act(&mut hub, now);
        hub.end_turn(self.committer.as_ref(), now);
        let after = hub.ledger.next_deadline();
        self.leave(hub);
        // Sooner than before: the timer sleeps too long.
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.timer.notify_one();
        }
        out
    }

    /// What the ledger refuses, with the name or the limit that it is about.
    pub(super) fn refusal(&self, refusal: Refusal, name: Option<&str>) -> SwarmError {
        let message = match (refusal, name) {
            (Refusal::Overloaded, _) => {
                let most = self.config.max_queued;
                format!("the queue is full: it holds maxQueued ({most}) tasks, or 1 GiB of payloads")
            }
            (Refusal::IdempotencyMismatch, Some(key)) => {
                format!("idempotencyKey {key:?} belongs to a task with another kind or payload")
            }
            (other, Some(name)) => format!("task {name:?}: {other}"),
            (other, None) => other.to_string(),
        };
        SwarmError { message, ..SwarmError::from(refusal) }
    }

    /// Gives up the lock and runs what was collected under it.
    pub(super) fn leave(&self, mut hub: MutexGuard<'_, Hub>) {
        let calls: Vec<Call> = std::mem::take(&mut hub.calls);
        let events = std::mem::take(&mut hub.events);
        let counts = hub.ledger.counts();
        // With a store, what is done has to be durable too; the end of a commit looks here again.
        let durable = self.committer.as_ref().is_none_or(Committer::is_idle);
        let idle = counts.queued == 0 && counts.running == 0 && durable;
        let drained = if idle { std::mem::take(&mut hub.drained) } else { Vec::new() };
        drop(hub);
        for call in calls {
            call();
        }
        for call in drained {
            call(Ok(()));
        }
        for event in events {
            (self.listener)(event);
        }
    }

    /// After a commit: the effects of the turns, in order.
    pub(super) fn release(&self, turns: impl Iterator<Item = committer::Turn>, released: impl FnOnce()) {
        let mut hub = self.lock();
        let now = self.clock.now();
        for turn in turns {
            hub.release(turn, now);
        }
        released();
        self.leave(hub);
    }

    /// After a commit that failed.
    pub(super) fn withdraw(&self, act: impl FnOnce(&mut Hub, Millis)) {
        let mut hub = self.lock();
        act(&mut hub, self.clock.now());
        hub.end_turn(self.committer.as_ref(), self.clock.now());
        self.leave(hub);
        self.timer.notify_one();
    }

    /// What does not work at the moment.
    pub(super) fn failing(&self) -> Failing {
        Failing {
            store: self.committer.as_ref().is_some_and(Committer::is_failing),
            audit: self.audit.is_failing(),
            relay: self.relay.is_failing(),
            register: self.trust.as_ref().is_some_and(Trust::is_failing),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().life == Life::Closed
    }

    /// Who it is at present.
    pub(super) fn identity(&self) -> Identity {
        self.identity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn check_open(&self, hub: &Hub) -> Result<(), SwarmError> {
        match hub.life {
            Life::Closed => Err(SwarmError::closed("coordinator")),
            Life::Open | Life::Draining => Ok(()),
        }
    }

    pub(super) fn check_taking(&self, hub: &Hub) -> Result<(), SwarmError> {
        if hub.life == Life::Draining {
            return Err(SwarmError::new(
                SwarmCode::Closed,
                "the coordinator is draining and takes no more tasks",
            ));
        }
        self.check_open(hub)
    }

    /// The task as the ledger wants it, or why it is not accepted.
    pub(super) fn spec(
        &self,
        hub: &Hub,
        task: TaskRequest,
        digest: Option<[u8; 32]>,
    ) -> Result<(TaskSpec, Option<[u8; 32]>), SwarmError> {
        self.check_taking(hub)?;
        checks::task(&task)?;
        if let Some(key) = task.key.as_deref().filter(|key| hub.is_id(key)) {
            let message = format!("idempotencyKey {key:?} has the form of a task's id");
            return Err(SwarmError::new(SwarmCode::InvalidArgument, message));
        }
        if self.committer.as_ref().is_some_and(Committer::is_failing) {
            return Err(SwarmError::new(
                SwarmCode::Store,
                "the task store does not take anything at present",
            ));
        }
        if task.payload.len() > self.config.max_message_bytes {
            return Err(SwarmError::new(
                SwarmCode::TooLarge,
                format!(
                    "payload of {} bytes, maxMessageBytes is {}",
                    task.payload.len(),
                    self.config.max_message_bytes
                ),
            ));
        }
        let mut requires = task.requires;
        requires.sort();
        requires.dedup();
        let spec = TaskSpec {
            kind: task.kind,
            payload: task.payload,
            priority: task.priority,
            requires,
            timeout_ms: task.timeout_ms.or(self.config.task_timeout_ms),
            attempt_timeout_ms: task.attempt_timeout_ms,
            progress_timeout_ms: task.progress_timeout_ms,
            key: task.key,
            max_attempts: task.max_attempts.unwrap_or(self.config.max_attempts),
        };
        Ok((spec, digest))
    }

    pub(super) fn state_of(&self, hub: &Hub, task: TaskId) -> Option<TaskState> {
        let view = hub.ledger.task(task)?;
        let mut state = TaskState {
            task_id: hub.public_id(task),
            key: view.key,
            kind: view.kind,
            state: match view.status {
                TaskStatus::Queued => TaskStateName::Queued,
                TaskStatus::Running => TaskStateName::Running,
                TaskStatus::Completed => TaskStateName::Completed,
                TaskStatus::Failed => TaskStateName::Failed,
                TaskStatus::Cancelled => TaskStateName::Cancelled,
            },
            attempts: view.attempts,
            agent: view.agent,
            progress: view.progress,
            error: view.error,
        };
        if !hub.released(task) {
            // Its outcome is known here and not yet durable: nobody may see what a crash could undo.
            state.state = TaskStateName::Running;
            state.error = None;
        }
        Some(state)
    }

    /// Tells everybody who waits for the end.
    pub(super) fn gone(&self) {
        let mut hub = self.lock();
        hub.gone = true;
        let closing = std::mem::take(&mut hub.closing);
        hub.calls.extend(closing);
        self.leave(hub);
    }

    pub(super) fn check_message(&self, payload: &Bytes) -> Result<(), SwarmError> {
        let limit = self.config.max_message_bytes;
        if payload.len() <= limit {
            return Ok(());
        }
        let message = format!("payload of {} bytes, maxMessageBytes is {limit}", payload.len());
        Err(SwarmError::new(SwarmCode::TooLarge, message))
    }
}

/// SHA-256 of kind and payload, the kind with its length so that nothing moves from one to the other.
pub(super) fn fingerprint(kind: &str, payload: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&(kind.len() as u64).to_le_bytes());
    context.update(kind.as_bytes());
    context.update(payload);
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}
