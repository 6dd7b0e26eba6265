//! A store that is nothing but what a store has to be: committed changes, applied in order.

use midstreamer::protocol::tasks::{Change, Outcome, Phase, Recovered, TaskRecord};
use midstreamer::protocol::{Fence, TaskId};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct ModelStore {
    pub(super) tasks: BTreeMap<TaskId, TaskRecord>,
    pub(super) epoch: u64,
    pub(super) next_task: u64,
    /// Every outcome that a task ever had: more than one only when it was put back in between.
    pub(super) outcomes: BTreeMap<TaskId, Vec<Arc<Outcome>>>,
    /// How often a task was put back.
    pub(super) put_back: BTreeMap<TaskId, usize>,
    /// How often its task had been put back when an attempt was given out: the place of the outcome that it is for.
    pub(super) life: BTreeMap<(TaskId, Fence), usize>,
}

impl ModelStore {
    pub(super) fn open(&mut self) -> Recovered {
        self.epoch += 1;
        Recovered {
            store: [42; 16],
            epoch: self.epoch,
            next_task: self.next_task,
            tasks: self.tasks.values().cloned().collect(),
        }
    }

    /// Applies one change. Panics when it does not follow from what was there: the ledger may not have said so.
    pub(super) fn apply(&mut self, change: &Change) {
        let id = change.task();
        match change {
            Change::Accept(record) => {
                self.next_task = self.next_task.max(id.0 + 1);
                assert_eq!(change.accepts_new().is_some(), !self.tasks.contains_key(&id), "{id:?}");
                let before = self.tasks.insert(id, (**record).clone());
                if let Some(before) = &before {
                    let dead = matches!(&before.phase, Phase::Finished { outcome, .. }
                        if matches!(**outcome, Outcome::Failed { .. }));
                    assert!(dead, "{id:?} was accepted twice");
                    assert_eq!(before.dispatches, record.dispatches, "fences must not be used again");
                    *self.put_back.entry(id).or_default() += 1;
                }
            }
            Change::Lease { agent, fence, at, .. } => {
                let epoch = self.epoch;
                let life = self.put_back.get(&id).copied().unwrap_or(0);
                self.life.insert((id, *fence), life);
                let record = self.task(id);
                assert!(matches!(record.phase, Phase::Queued { .. }), "{id:?} leased: {:?}", record.phase);
                assert_eq!((fence.epoch, fence.attempt), (epoch, record.dispatches + 1), "{id:?}");
                record.dispatches += 1;
                record.phase = Phase::Leased { agent: agent.clone(), fence: *fence, since: *at };
            }
            Change::Requeue { attempts, not_before, error, .. } => {
                let record = self.task(id);
                assert!(matches!(record.phase, Phase::Leased { .. }), "{id:?} requeued: {:?}", record.phase);
                assert!(*attempts == record.attempts || *attempts == record.attempts + 1);
                assert!(*attempts < record.spec.max_attempts);
                record.attempts = *attempts;
                record.phase = Phase::Queued { not_before: *not_before, error: error.clone() };
            }
            Change::Finish { outcome, at, .. } => {
                let record = self.task(id);
                let unfinished = !matches!(record.phase, Phase::Finished { .. });
                assert!(unfinished, "{id:?} has two outcomes: {:?} and {outcome:?}", record.phase);
                if let Outcome::Completed { attempts, .. } | Outcome::Failed { attempts, .. } = &**outcome {
                    assert!(*attempts <= record.spec.max_attempts, "{id:?}: {outcome:?}");
                    record.attempts = *attempts;
                }
                if !matches!(&**outcome, Outcome::Failed { .. }) {
                    record.spec.payload.clear();
                }
                record.phase = Phase::Finished { outcome: outcome.clone(), at: *at };
                self.outcomes.entry(id).or_default().push(outcome.clone());
            }
            Change::Forget { .. } => {
                let before = self.tasks.remove(&id);
                let finished = before.is_none_or(|task| matches!(task.phase, Phase::Finished { .. }));
                assert!(finished, "{id:?} is forgotten without an outcome");
            }
        }
    }

    fn task(&mut self, id: TaskId) -> &mut TaskRecord {
        self.tasks.get_mut(&id).unwrap_or_else(|| panic!("{id:?} was never accepted"))
    }
}
