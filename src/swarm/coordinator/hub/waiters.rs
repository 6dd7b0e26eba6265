//! Who waits for which outcome.

use super::{Hub, Settled, Waiter};
use crate::protocol::tasks::Outcome;
use crate::protocol::{Millis, TaskId};
use crate::swarm::coordinator::types::{TaskResult, WaiterId};
use crate::swarm::error::{SwarmCode, SwarmError};
use std::collections::HashSet;

impl Hub {
    /// Runs `settled` with the outcome of the task: now, when it is there, or later.
    pub(in crate::swarm::coordinator) fn wait(&mut self, task: TaskId, settled: Settled) -> WaiterId {
        self.last_waiter += 1;
        let id = WaiterId(self.last_waiter);
        match self.ledger.outcome(task) {
            Ok(Some(outcome)) if self.released(task) => {
                let outcome = outcome.clone();
                self.answer(task, &outcome, settled);
            }
            Ok(_) => {
                self.waiters.insert(id, Waiter { task, settled });
                self.waiting.entry(task).or_default().push(id);
            }
            Err(missing) => {
                let id = self.public_id(task);
                let error =
                    SwarmError { message: format!("task {id}: {missing}"), ..SwarmError::from(missing) };
                self.calls.push(Box::new(move || settled(Err(error))));
            }
        }
        id
    }

    fn answer(&mut self, task: TaskId, outcome: &Outcome, settled: Settled) {
        let result = self.result_of(task, outcome);
        self.calls.push(Box::new(move || settled(result)));
    }

    fn result_of(&self, task: TaskId, outcome: &Outcome) -> Result<TaskResult, SwarmError> {
        let task_id = self.public_id(task);
        match outcome {
            Outcome::Completed { agent, value, attempts, queued_ms, run_ms } => Ok(TaskResult {
                task_id,
                key: self.ledger.task(task).and_then(|view| view.key),
                agent: agent.clone(),
                value: value.clone(),
                attempts: *attempts,
                queued_ms: *queued_ms,
                run_ms: *run_ms,
            }),
            Outcome::Failed { failure, attempts } => Err(SwarmError::failed(task_id, failure, *attempts)),
            Outcome::Cancelled => {
                Err(SwarmError::new(SwarmCode::Aborted, format!("task {task_id} was cancelled")))
            }
        }
    }

    /// The waiter goes, with ABORTED; a task that nobody else waits for, and that was only ever submitted, goes too.
    pub(in crate::swarm::coordinator) fn leave(&mut self, waiter: WaiterId, now: Millis) {
        let Some(Waiter { task, settled }) = self.waiters.remove(&waiter) else { return };
        let others = self.waiting.get_mut(&task).map_or(0, |waiting| {
            waiting.retain(|other| *other != waiter);
            waiting.len()
        });
        if others == 0 {
            self.waiting.remove(&task);
            self.ledger.abandoned(task, now);
        }
        let error = SwarmError::new(SwarmCode::Aborted, "the operation was aborted");
        self.calls.push(Box::new(move || settled(Err(error))));
    }

    pub(super) fn settle(&mut self, task: TaskId, outcome: &Outcome) {
        self.unreleased.remove(&task);
        for waiter in self.waiting.remove(&task).unwrap_or_default() {
            if let Some(waiter) = self.waiters.remove(&waiter) {
                self.answer(task, outcome, waiter.settled);
            }
        }
    }

    /// These tasks were never accepted.
    pub(in crate::swarm::coordinator) fn withdraw(&mut self, tasks: &HashSet<TaskId>, now: Millis) {
        let list: Vec<TaskId> = tasks.iter().copied().collect();
        self.ledger.withdraw(&list, now);
        let error = SwarmError::new(SwarmCode::Store, "the task store refused to keep the task");
        for task in tasks {
            self.unreleased.remove(task);
            for waiter in self.waiting.remove(task).unwrap_or_default() {
                if let Some(waiter) = self.waiters.remove(&waiter) {
                    let error = error.clone();
                    self.calls.push(Box::new(move || (waiter.settled)(Err(error))));
                }
            }
        }
    }

    /// Nobody waits any more.
    pub(in crate::swarm::coordinator) fn reject_waiters(&mut self, error: &SwarmError) {
        self.waiting.clear();
        for (_, waiter) in self.waiters.drain() {
            let error = error.clone();
            self.calls.push(Box::new(move || (waiter.settled)(Err(error))));
        }
    }
}
