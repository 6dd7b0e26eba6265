//! What is kept of finished tasks, and for how long.

use super::*;

impl Ledger {
    /// The task has its outcome.
    pub(super) fn finish(&mut self, task: TaskId, outcome: Outcome) {
        let fence = self.entry(task).lease().map(|lease| lease.fence);
        let freed = self.end_lease(task);
        self.leave_queue(task);
        let (outcome, at) = (Arc::new(outcome), self.now);
        match &*outcome {
            Outcome::Completed { .. } => self.counts.completed += 1,
            Outcome::Failed { .. } => self.counts.failed += 1,
            Outcome::Cancelled => self.counts.cancelled += 1,
        }
        self.changes.push(Change::Finish { task, outcome: outcome.clone(), at });
        self.effects.push(Effect::Settled { task, outcome: outcome.clone() });
        self.bury(task, outcome, at, fence);
        self.trim();
        if let Some(agent) = freed {
            self.feed(agent);
        }
    }

    /// Makes a task that waits, not in a queue, a finished one.
    pub(super) fn bury(&mut self, task: TaskId, outcome: Arc<Outcome>, at: Millis, fence: Option<Fence>) {
        let entry = self.entry(task);
        let Place::Waiting { signature, .. } = entry.place else { return };
        let bytes_before = entry.bytes();
        let failed = matches!(&*outcome, Outcome::Failed { .. });
        let cancelled = matches!(&*outcome, Outcome::Cancelled);
        if !failed {
            // A dead letter may be put back; nothing else is run again.
            entry.accepted = None;
        }
        if let Outcome::Completed { attempts, .. } | Outcome::Failed { attempts, .. } = &*outcome {
            entry.attempts = *attempts;
        }
        entry.place = Place::Finished { outcome, at, fence };
        let bytes = entry.bytes();
        let (key, timer) = (entry.key.clone(), entry.timer.take());
        if let Some(timer) = timer {
            self.timers.remove(&(timer, task));
        }
        if let Some(key) = key.filter(|_| cancelled)
            && self.by_key.get(&key) == Some(&task)
        {
            self.by_key.remove(&key);
        }
        if failed {
            self.dead.insert(task);
        }
        self.index.release(signature);
        self.retained.insert((at, task));
        self.counts.queued -= 1;
        self.counts.queued_bytes -= bytes_before;
        self.counts.retained += 1;
        self.counts.retained_bytes += bytes;
    }

    /// Takes a finished task out, as if it was not known. Its key stays.
    pub(super) fn unbury(&mut self, task: TaskId) {
        let Some(entry) = self.tasks.remove(&task) else { return };
        if let Place::Finished { at, .. } = entry.place {
            self.retained.remove(&(at, task));
            self.dead.remove(&task);
            self.counts.retained -= 1;
            self.counts.retained_bytes -= entry.bytes();
        }
    }

    /// Takes a task that waits, not in a queue, out, as if it had never been known. Its key stays.
    pub(super) fn forget_entry(&mut self, task: TaskId) {
        let Some(entry) = self.tasks.remove(&task) else { return };
        if let Place::Waiting { signature, .. } = entry.place {
            if let Some(timer) = entry.timer {
                self.timers.remove(&(timer, task));
            }
            self.index.release(signature);
            self.counts.queued -= 1;
            self.counts.queued_bytes -= entry.bytes();
        }
    }

    /// Forgets outcomes whose time is over, and the oldest while there are too many bytes of them.
    pub(super) fn trim(&mut self) {
        while let Some((at, task)) = self.retained.first().copied() {
            let over = self.counts.retained_bytes > self.config.max_retained_bytes;
            if !over && at.saturating_add(self.config.retention_ms) > self.now {
                return;
            }
            let key = self.entry(task).key.clone();
            if let Some(key) = key
                && self.by_key.get(&key) == Some(&task)
            {
                self.by_key.remove(&key);
            }
            self.unbury(task);
            self.changes.push(Change::Forget { task });
        }
    }
}
