//! Sees everything from outside, and knows what must not happen.

use super::frames::ProcessId;
use super::model_store::ModelStore;
use midstreamer::protocol::tasks::{Effect, FailureCode, Outcome, Phase};
use midstreamer::protocol::{Fence, TaskId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Witness {
    /// Tasks whose acceptance a caller was told of.
    pub(super) accepted: BTreeSet<TaskId>,
    /// The task that was last accepted under a key.
    keys: BTreeMap<Arc<str>, TaskId>,
    /// The latest outcomes that callers were told, as places in [`ModelStore::outcomes`], and since when.
    delivered: BTreeMap<TaskId, (usize, u64)>,
    /// Every execution that was started.
    started: BTreeSet<(TaskId, Fence)>,
    /// The latest of them.
    latest: BTreeMap<TaskId, Fence>,
    /// Executions that a process was told to stop.
    told: BTreeSet<(ProcessId, TaskId, Fence)>,
    pub(super) starts: u64,
}

impl Witness {
    /// A caller is told that a task is accepted.
    pub(super) fn accepted(&mut self, task: TaskId, key: Option<Arc<str>>, store: &ModelStore) {
        // Its retention may be over in the commit that accepts it.
        let durable = store.tasks.contains_key(&task) || store.outcomes.contains_key(&task);
        assert!(durable, "{task:?} is not durable");
        self.accepted.insert(task);
        let Some(key) = key else { return };
        if let Some(before) = self.keys.insert(key.clone(), task).filter(|before| *before != task) {
            let free = store.tasks.get(&before).is_none_or(|record| {
                matches!(&record.phase, Phase::Finished { outcome, .. } if **outcome == Outcome::Cancelled)
            });
            assert!(free, "{key} names both {before:?} and {task:?}");
        }
    }

    /// An effect leaves the coordinator.
    pub(super) fn leaves(&mut self, effect: &Effect, store: &ModelStore, now: u64) {
        let kept = effect.task().and_then(|task| store.tasks.get(&task));
        match effect {
            Effect::Assign { agent, fence, task, .. } => {
                // It may have ended, and its retention too, in the same commit.
                let forgotten = store.outcomes.contains_key(&task.id);
                assert!(kept.is_some() || forgotten, "{:?} is sent without being durable", task.id);
                let fenced = kept.is_none_or(|kept| kept.dispatches >= fence.attempt);
                assert!(fenced, "{:?}: its fence is not durable", task.id);
                if let Some(kept) = kept.filter(|kept| kept.dispatches == fence.attempt)
                    && let Phase::Leased { agent: holder, fence: kept, .. } = &kept.phase
                {
                    assert_eq!((holder, kept), (agent, fence));
                }
            }
            Effect::Acknowledge { task, fence, accepted: true, .. } => {
                let pending = kept.is_some_and(
                    |record| matches!(&record.phase, Phase::Leased { fence: kept, .. } if kept == fence),
                );
                assert!(!pending, "{task:?} is acknowledged before its result is durable");
            }
            Effect::Settled { task, outcome } => {
                let all = store.outcomes.get(task).map_or(&[][..], Vec::as_slice);
                let place = all.iter().rposition(|kept| kept == outcome);
                let place =
                    place.unwrap_or_else(|| panic!("{task:?}: {outcome:?} is told, {all:?} is durable"));
                if matches!(&**outcome, Outcome::Failed { failure, .. } if failure.code == FailureCode::NoAgent)
                {
                    assert!(!self.latest.contains_key(task), "{task:?}: NoAgent, but it ran");
                }
                let (before, _) = *self.delivered.entry(*task).or_insert((place, now));
                assert!(before <= place, "{task:?}: {outcome:?} is told after a later outcome");
                if before < place {
                    self.delivered.insert(*task, (place, now));
                }
            }
            _ => {}
        }
    }

    /// A process was told to stop an execution.
    pub(super) fn told(&mut self, process: ProcessId, task: TaskId, fence: Fence) {
        self.told.insert((process, task, fence));
    }

    /// A handler starts.
    pub(super) fn starts(
        &mut self,
        process: ProcessId,
        task: TaskId,
        fence: Fence,
        now: u64,
        agent_timeout: u64,
        store: &ModelStore,
    ) {
        self.starts += 1;
        assert!(self.started.insert((task, fence)), "{task:?} {fence} is started twice");
        assert!(!self.told.contains(&(process, task, fence)), "{task:?} {fence} starts after its Cancel");
        let put_back = store.put_back.get(&task).copied().unwrap_or(0);
        let before = self.latest.insert(task, fence);
        // Whoever puts a dead letter back whose time ran out does not wait for the agent to hear of the deadline.
        let in_order = put_back > 0 || before.is_none_or(|before| before < fence);
        assert!(in_order, "{task:?} starts {fence} after {before:?}");
        // The outcome of this attempt's life, if that or a later one was told.
        let life = store.life[&(task, fence)];
        let told = self.delivered.get(&task).filter(|(place, _)| *place >= life);
        if let Some((place, at)) = told {
            let outcome = &store.outcomes[&task][life];
            // Whoever cancels, or sets a deadline, does not wait for the agent to hear of it.
            let meanwhile = match &**outcome {
                Outcome::Cancelled => true,
                Outcome::Failed { failure, .. } => failure.code == FailureCode::Timeout,
                Outcome::Completed { .. } => false,
            };
            let late = if *place == life { now - at } else { 0 };
            assert!(
                meanwhile && late <= 2 * agent_timeout,
                "{task:?} {fence} starts {late} ms after {outcome:?}"
            );
        }
    }

    /// How many tasks have an outcome that was told.
    pub(super) fn delivered(&self) -> usize {
        self.delivered.len()
    }
}
