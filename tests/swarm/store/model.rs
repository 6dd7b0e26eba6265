//! What a store should hold, and lives of tasks to fill it with.

use super::disk::Disk;
use bytes::Bytes;
use midstreamer::protocol::tasks::{
    Change, Failure, FailureCode, Outcome, Phase, Recovered, TaskRecord, TaskSpec,
};
use midstreamer::protocol::{AgentId, Fence, TaskId};
use midstreamer::store::{RedbStore, TaskStore};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every record as the documentation of the changes has it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Model {
    pub(super) tasks: BTreeMap<u64, TaskRecord>,
    pub(super) next_task: u64,
}

impl Model {
    pub(super) fn new() -> Self {
        Self { tasks: BTreeMap::new(), next_task: 1 }
    }

    pub(super) fn apply(&mut self, change: &Change) {
        let id = change.task().0;
        if let Change::Accept(record) = change {
            self.next_task = self.next_task.max(id + 1);
            self.tasks.insert(id, TaskRecord::clone(record));
            return;
        }
        let Some(task) = self.tasks.get_mut(&id) else { return };
        match change.clone() {
            Change::Accept(_) => unreachable!(),
            Change::Lease { agent, fence, at, .. } => {
                task.dispatches = fence.attempt;
                task.phase = Phase::Leased { agent, fence, since: at };
            }
            Change::Requeue { attempts, not_before, error, .. } => {
                task.attempts = attempts;
                task.phase = Phase::Queued { not_before, error };
            }
            Change::Finish { outcome, at, .. } => {
                match &*outcome {
                    Outcome::Completed { attempts, .. } => {
                        (task.attempts, task.spec.payload) = (*attempts, Bytes::new());
                    }
                    Outcome::Failed { attempts, .. } => task.attempts = *attempts,
                    Outcome::Cancelled => task.spec.payload = Bytes::new(),
                }
                task.phase = Phase::Finished { outcome, at };
            }
            Change::Forget { .. } => drop(self.tasks.remove(&id)),
        }
    }

    pub(super) fn matches(&self, recovered: &Recovered) -> bool {
        self.next_task == recovered.next_task && self.tasks.values().eq(recovered.tasks.iter())
    }
}

/// Lives of tasks, valid and random.
pub(super) struct Lives {
    random: fastrand::Rng,
    pub(super) model: Model,
    pub(super) epoch: u64,
    now: u64,
    /// The largest payload and value, in bytes.
    largest: usize,
}

impl Lives {
    pub(super) fn new(seed: u64, largest: usize) -> Self {
        let random = fastrand::Rng::with_seed(seed);
        Self { random, model: Model::new(), epoch: 1, now: 1_800_000_000_000, largest }
    }

    fn bytes(&mut self) -> Bytes {
        let mut bytes = vec![0; self.random.usize(0..=self.largest)];
        self.random.fill(&mut bytes);
        bytes.into()
    }

    fn agent(&mut self) -> AgentId {
        format!("agent-{}", self.random.u8(0..4)).into()
    }

    fn failure(&mut self) -> Failure {
        let codes = [
            FailureCode::Handler,
            FailureCode::AgentLost,
            FailureCode::AttemptTimeout,
            FailureCode::Timeout,
            FailureCode::NoAgent,
            FailureCode::TooLarge,
        ];
        let code = codes[self.random.usize(..codes.len())];
        let remote_code = self.random.bool().then(|| "E_REMOTE".to_owned());
        let agent = self.random.bool().then(|| self.agent());
        Failure { code, message: "it \u{2620}".repeat(self.random.usize(0..3)), remote_code, agent }
    }

    pub(super) fn accept(&mut self) -> Change {
        let some = |random: &mut fastrand::Rng| random.bool().then(|| random.u64(..));
        let key: Option<Arc<str>> = self.random.bool().then(|| format!("key-{}", self.random.u32(..)).into());
        let spec = TaskSpec {
            kind: "dtw".into(),
            payload: self.bytes(),
            priority: self.random.u8(0..=9),
            requires: (0..self.random.u8(0..3)).map(|i| format!("needs-{i}").into()).collect(),
            timeout_ms: some(&mut self.random),
            attempt_timeout_ms: some(&mut self.random),
            progress_timeout_ms: some(&mut self.random),
            key: key.clone(),
            max_attempts: self.random.u32(1..5),
        };
        let record = TaskRecord {
            id: TaskId(self.model.next_task + self.random.u64(0..2)),
            digest: key.map(|_| [self.random.u8(..); 32]),
            spec,
            accepted_at: self.now,
            dispatches: 0,
            attempts: 0,
            phase: Phase::Queued { not_before: self.now, error: None },
        };
        Change::Accept(Arc::new(record))
    }

    fn change(&mut self) -> Change {
        self.now += self.random.u64(0..100);
        let count = self.model.tasks.len();
        if count == 0 || count < 40 && self.random.u8(..) < 80 {
            return self.accept();
        }
        let at = self.random.usize(..count);
        let record = self.model.tasks.values().nth(at).unwrap().clone();
        let (task, at) = (record.id, self.now);
        let attempts = record.attempts + 1;
        match (&record.phase, self.random.u8(0..6)) {
            (Phase::Finished { outcome, .. }, 0..=2) if matches!(**outcome, Outcome::Failed { .. }) => {
                // A dead letter is put back.
                let phase = Phase::Queued { not_before: at, error: None };
                Change::Accept(Arc::new(TaskRecord { attempts: 0, accepted_at: at, phase, ..record }))
            }
            (Phase::Finished { .. }, _) => Change::Forget { task },
            (Phase::Queued { .. }, 0..=3) => {
                let fence = Fence { epoch: self.epoch, attempt: record.dispatches + 1 };
                Change::Lease { task, agent: self.agent(), fence, at }
            }
            (Phase::Leased { .. }, 0..=1) => {
                let error = self.random.bool().then(|| self.failure());
                Change::Requeue { task, attempts, not_before: at + 100, error }
            }
            (Phase::Leased { .. }, 2..=3) => {
                let (agent, value) = (self.agent(), self.bytes());
                let outcome = Outcome::Completed { agent, value, attempts, queued_ms: 3, run_ms: 4 };
                Change::Finish { task, outcome: Arc::new(outcome), at }
            }
            (_, 4) => {
                let outcome = Outcome::Failed { failure: self.failure(), attempts };
                Change::Finish { task, outcome: Arc::new(outcome), at }
            }
            _ => Change::Finish { task, outcome: Arc::new(Outcome::Cancelled), at },
        }
    }

    /// The next changes, at most `most` of them, applied to the model.
    pub(super) fn batch(&mut self, most: usize) -> Vec<Change> {
        let count = self.random.usize(1..=most);
        (0..count)
            .map(|_| {
                let change = self.change();
                self.model.apply(&change);
                change
            })
            .collect()
    }
}

#[test]
fn a_store_is_its_model_whenever_it_is_opened() {
    for seed in 0..12 {
        let disk = Disk::new();
        let mut lives = Lives::new(seed, 2_000);
        let mut identity = None;
        for epoch in 1..6 {
            let mut store = RedbStore::on(disk.place());
            let recovered = store.open().unwrap();
            assert!(lives.model.matches(&recovered), "seed {seed}, epoch {epoch}");
            assert_eq!(recovered.epoch, epoch);
            assert_eq!(*identity.get_or_insert(recovered.store), recovered.store);
            lives.epoch = epoch;
            for _ in 0..12 {
                store.commit(&lives.batch(30)).unwrap();
            }
        }
    }
}

#[test]
fn a_number_is_never_given_twice() {
    let disk = Disk::new();
    let mut lives = Lives::new(1, 10);
    let open = || {
        let mut store = RedbStore::on(disk.place());
        let next = store.open().unwrap().next_task;
        (store, next)
    };
    let (mut store, next) = open();
    assert_eq!(next, 1);
    let accepted = lives.accept();
    let task = accepted.task();
    store.commit(&[accepted, Change::Forget { task }]).unwrap();
    drop(store);
    let (mut store, next) = open();
    assert_eq!(next, task.0 + 1);
    // Forgetting twice is forgetting once.
    store.commit(&[Change::Forget { task }]).unwrap();
    drop(store);
    assert_eq!(open().1, task.0 + 1);
}

#[test]
fn a_commit_is_all_or_nothing_and_repeating_it_changes_nothing() {
    let disk = Disk::new();
    let mut store = RedbStore::on(disk.place());
    store.open().unwrap();
    let mut lives = Lives::new(2, 100);
    let first = lives.batch(20);
    store.commit(&first).unwrap();
    // The ledger never does this; a store that took it would hold what nobody can explain.
    let unknown = Change::Requeue { task: TaskId(1 << 40), attempts: 1, not_before: 0, error: None };
    assert!(store.commit(&[lives.accept(), unknown]).is_err());
    store.commit(&[]).unwrap();
    let second = lives.batch(20);
    store.commit(&second).unwrap();
    store.commit(&second).unwrap();
    drop(store);
    assert!(lives.model.matches(&RedbStore::on(disk.place()).open().unwrap()));
}
