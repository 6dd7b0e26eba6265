//! What callers do, and what breaks.

use super::coordinator::Reply;
use super::frames::ProcessId;
use super::process::Status;
use super::world::{AGENT_TIMEOUT_MS, Event, KINDS, World};
use bytes::Bytes;
use midstreamer::protocol::TaskId;
use midstreamer::protocol::tasks::{Refusal, TaskSpec, TaskStatus};

impl World {
    /// A caller does something, and comes back.
    pub(super) fn caller(&mut self) {
        if self.calm {
            return;
        }
        let wait = self.rng.u64(0..=2 * self.climate.caller_ms);
        self.after(wait, Event::Caller);
        if !self.coordinator.is_up() || self.coordinator.paused.is_some() {
            return;
        }
        let now = self.coordinator_now();
        let task = TaskId(self.rng.u64(0..self.store.next_task + 1));
        match self.rng.u8(0..20) {
            0 => drop(self.coordinator.ledger_mut().cancel(task, now)),
            1 => drop(self.coordinator.ledger_mut().abandoned(task, now)),
            2 => drop(self.coordinator.ledger_mut().watch(task)),
            3 | 4 => {
                let dead: Vec<TaskId> = self.coordinator.ledger().dead_letters().collect();
                if let Some(task) = self.rng.choice(&dead) {
                    let answer = self.coordinator.ledger_mut().retry_dead_letter(*task, now);
                    assert!(matches!(answer, Ok(()) | Err(Refusal::Overloaded)), "{answer:?}");
                }
            }
            _ => return self.caller_enqueues(),
        }
        self.after_turn();
    }

    fn caller_enqueues(&mut self) {
        let rng = &mut self.rng;
        let mut maybe = |one_in: u8, range: std::ops::Range<u64>| {
            let limit = rng.u64(range);
            (rng.u8(0..one_in) == 0).then_some(limit)
        };
        let timeout_ms = maybe(3, 50..8_000);
        let attempt_timeout_ms = maybe(3, 20..2_000);
        let progress_timeout_ms = maybe(6, 20..1_000);
        let content = rng.u8(0..2);
        let key = (rng.u8(0..3) == 0).then(|| format!("key-{}", rng.u8(0..6)).into());
        let spec = TaskSpec {
            kind: KINDS[rng.usize(0..KINDS.len())].into(),
            payload: Bytes::from(vec![content; rng.usize(0..200)]),
            priority: rng.u8(0..10),
            requires: if rng.u8(0..4) == 0 { vec!["tall".into()] } else { Vec::new() },
            timeout_ms,
            attempt_timeout_ms,
            progress_timeout_ms,
            key: key.clone(),
            max_attempts: rng.u32(1..4),
        };
        let digest = key.as_ref().map(|_| [content; 32]);
        let detached = rng.bool();
        let now = self.coordinator_now();
        let before = self.coordinator.counts();
        match self.coordinator.ledger_mut().enqueue(spec, digest, detached, now) {
            Ok(enqueued) => {
                assert!(enqueued.deduplicated || before.queued < self.config.max_queued);
                let status = self.coordinator.ledger().task(enqueued.task).map(|task| task.status);
                let free = enqueued.deduplicated && status == Some(TaskStatus::Cancelled);
                assert!(!free, "{key:?} still names {:?}, which was cancelled", enqueued.task);
                self.after_turn_with(Some(Reply { enqueued, key }));
            }
            Err(refusal) => {
                assert!(matches!(refusal, Refusal::Overloaded | Refusal::IdempotencyMismatch), "{refusal}");
                self.after_turn();
            }
        }
    }

    /// Something breaks, and something else will.
    pub(super) fn fault(&mut self) {
        if self.calm {
            return;
        }
        let wait = self.rng.u64(0..=2 * self.climate.fault_ms);
        self.after(wait, Event::Fault);
        let live = |process: &ProcessId| self.processes[*process].status == Status::Live;
        let live: Vec<ProcessId> = (0..self.processes.len()).filter(live).collect();
        let victim = self.rng.choice(&live).copied();
        let how_long = self.rng.u64(0..3 * AGENT_TIMEOUT_MS);
        match (self.rng.u8(0..14), victim) {
            (0, _) => self.crash_coordinator(),
            (1, _) if self.coordinator.is_up() && self.coordinator.paused.is_none() => {
                self.coordinator.paused = Some(Default::default());
                self.after(how_long, Event::CoordinatorContinues);
            }
            (2, _) => self.coordinator.jump(AGENT_TIMEOUT_MS + how_long),
            (3, Some(process)) => self.crash_process(process),
            (4 | 5, Some(process)) if self.processes[process].paused.is_none() => {
                self.processes[process].paused = Some(Default::default());
                self.after(how_long, Event::ProcessContinues { process });
            }
            (6, Some(process)) => self.processes[process].jump(how_long),
            (7 | 8, Some(process)) => {
                self.processes[process].partitioned = true;
                self.after(how_long, Event::Heals { process });
            }
            (9 | 10, Some(process)) => {
                if let Some(connection) = self.processes[process].connection {
                    self.cut(connection);
                }
            }
            // Another process of the same name, while this one is alive.
            (11, Some(process)) => self.start_process(self.processes[process].agent),
            (12, Some(process)) if self.processes[process].paused.is_none() => self.drain_process(process),
            (13, Some(process)) if self.processes[process].paused.is_none() => {
                let slots = self.rng.u32(1..=4);
                self.offer(process, slots);
            }
            _ => {}
        }
    }
}
