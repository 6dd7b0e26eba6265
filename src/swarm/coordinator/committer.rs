//! Makes changes durable on a thread of its own, as many turns at once as have come meanwhile (group commit), and lets
//! their effects happen afterwards, in order.

use super::Shared;
use super::hub::Reply;
use crate::protocol::tasks::{Change, Effect};
use crate::protocol::{Generation, TaskId};
use crate::store::{StoreError, TaskStore};
use crate::swarm::error::{SwarmCode, SwarmError};
use bytes::Bytes;
use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

/// Pause before a commit that failed is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// What one turn of the hub decided.
pub(super) struct Turn {
    /// Encoded frames for agents that have come.
    pub(super) welcomes: Vec<(Generation, Bytes)>,
    pub(super) changes: Vec<Change>,
    pub(super) effects: Vec<Effect>,
    pub(super) replies: Vec<Reply>,
}

/// The way to the thread.
#[derive(Clone)]
pub(super) struct Committer(Arc<Queue>);

struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// The last commit failed; what is accepted now could not be kept.
    failing: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    turns: VecDeque<Turn>,
    /// Turns were taken and are not released yet.
    busy: bool,
    closed: bool,
}

impl Committer {
    pub(super) fn new() -> Self {
        let queue =
            Queue { waiting: Mutex::default(), changed: Condvar::new(), failing: AtomicBool::new(false) };
        Self(Arc::new(queue))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In the order of calls, which the hub's lock decides.
    pub(super) fn push(&self, turn: Turn) {
        self.lock().turns.push_back(turn);
        self.0.changed.notify_all();
    }

    /// Nothing waits and nothing is being committed: effects without changes may happen at once.
    pub(super) fn is_idle(&self) -> bool {
        let waiting = self.lock();
        waiting.turns.is_empty() && !waiting.busy
    }

    pub(super) fn is_failing(&self) -> bool {
        self.0.failing.load(Ordering::Relaxed)
    }

    /// The thread commits what is there and ends.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.0.changed.notify_all();
    }

    /// Starts the thread. It ends after `close`, and when the coordinator is gone.
    pub(super) fn start(
        &self,
        store: Box<dyn TaskStore>,
        shared: Weak<Shared>,
    ) -> std::io::Result<thread::JoinHandle<()>> {
        let committer = self.clone();
        thread::Builder::new()
            .name("midstreamer-store".to_owned())
            .spawn(move || committer.run(store, &shared))
    }

    fn run(&self, mut store: Box<dyn TaskStore>, shared: &Weak<Shared>) {
        let mut turns: Vec<Turn> = Vec::new();
        let mut changes: Vec<Change> = Vec::new();
        loop {
            {
                let mut waiting = self.lock();
                while waiting.turns.is_empty() && !waiting.closed {
                    waiting = self.0.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                }
                if waiting.turns.is_empty() {
                    return;
                }
                turns.extend(waiting.turns.drain(..));
                waiting.busy = true;
            }
            for turn in &mut turns {
                changes.append(&mut turn.changes);
            }
            while let Err(error) = self.commit(store.as_mut(), &changes) {
                let Some(shared) = shared.upgrade() else { return };
                let _inside = shared.span.clone().entered();
                tracing::error!(%error, "the task store refuses to commit");
                self.withdraw(&shared, &mut turns, &mut changes, &error);
                let waiting = self.lock();
                let closed = |waiting: &mut Waiting| !waiting.closed;
                let (mut waiting, _) = self
                    .0
                    .changed
                    .wait_timeout_while(waiting, RETRY, closed)
                    .unwrap_or_else(PoisonError::into_inner);
                if waiting.closed {
                    // What could not be kept was never told to anybody; whoever waits for an answer gets that.
                    turns.extend(waiting.turns.drain(..));
                    waiting.busy = false;
                    drop(waiting);
                    for reply in turns.drain(..).flat_map(|turn| turn.replies) {
                        (reply.answer)(Err(SwarmError::new(SwarmCode::Store, error.to_string())));
                    }
                    return;
                }
            }
            let Some(shared) = shared.upgrade() else { return };
            shared.audit_tasks(&changes);
            changes.clear();
            shared.release(turns.drain(..), || self.lock().busy = false);
        }
    }

    fn commit(&self, store: &mut dyn TaskStore, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let outcome = store.commit(changes);
        self.0.failing.store(outcome.is_err(), Ordering::Relaxed);
        outcome
    }

    /// Takes back the tasks whose acceptance could not be kept, whatever was going to happen to them: their callers are
    /// told STORE, and nothing of them has left the process.
    fn withdraw(
        &self,
        shared: &Arc<Shared>,
        turns: &mut Vec<Turn>,
        changes: &mut Vec<Change>,
        error: &StoreError,
    ) {
        shared.withdraw(|hub, now| {
            // Under the hub's lock, so no turn that names these tasks is on its way here.
            turns.extend(self.lock().turns.drain(..));
            for turn in turns.iter_mut() {
                changes.append(&mut turn.changes);
            }
            let tasks: HashSet<TaskId> = changes.iter().filter_map(Change::accepts_new).collect();
            changes.retain(|change| !tasks.contains(&change.task()));
            // An error does not say that nothing was kept.
            changes.extend(tasks.iter().map(|&task| Change::Forget { task }));
            hub.withdraw(&tasks, now);
            for turn in turns.iter_mut() {
                turn.effects.retain(|effect| !effect.task().is_some_and(|task| tasks.contains(&task)));
                for reply in std::mem::take(&mut turn.replies) {
                    if reply.accepts.is_some_and(|task| tasks.contains(&task)) {
                        let error = SwarmError::new(SwarmCode::Store, error.to_string());
                        hub.calls.push(Box::new(move || (reply.answer)(Err(error))));
                    } else {
                        turn.replies.push(reply);
                    }
                }
            }
        });
    }
}
