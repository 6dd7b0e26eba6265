//! Tasks come in: new, from the store, or back from the dead letters. They go out by cancelling or withdrawing.

use super::*;

impl Ledger {
    /// Accepts a task, or finds the one that was accepted under the same key. `digest` tells kinds and payloads apart
    /// and is needed with a key. `detached`: the task goes on when nobody waits for it any more.
    ///
    /// The caller may be told once what is drained next is committed. The outcome of a task that was there may be
    /// there too: ask with [`Ledger::watch`].
    pub fn enqueue(
        &mut self,
        spec: TaskSpec,
        digest: Option<[u8; 32]>,
        detached: bool,
        now: Millis,
    ) -> Result<Enqueued, Refusal> {
        self.advance(now);
        if let Some(task) = spec.key.as_ref().and_then(|key| self.by_key.get(key)).copied() {
            let entry = self.entry(task);
            if entry.digest != digest || entry.kind != spec.kind {
                return Err(Refusal::IdempotencyMismatch);
            }
            entry.detached |= detached;
            return Ok(Enqueued { task, deduplicated: true });
        }
        let bytes = RECORD_BYTES + (spec.payload.len() + spec.key.as_ref().map_or(0, |key| key.len())) as u64;
        self.admit(bytes)?;
        let task = TaskId(self.next_task);
        self.next_task += 1;
        let record = Arc::new(TaskRecord {
            id: task,
            spec,
            digest,
            accepted_at: self.now,
            dispatches: 0,
            attempts: 0,
            phase: Phase::Queued { not_before: self.now, error: None },
        });
        if let Some(key) = &record.spec.key {
            self.by_key.insert(key.clone(), task);
        }
        self.changes.push(Change::Accept(record.clone()));
        self.insert(record, detached, None);
        self.ready(task);
        Ok(Enqueued { task, deduplicated: false })
    }

    /// Whether there is room for another task.
    fn admit(&self, bytes: u64) -> Result<(), Refusal> {
        let room = self.counts.queued < self.config.max_queued
            && self.counts.queued_bytes.saturating_add(bytes) <= self.config.max_queued_bytes;
        room.then_some(()).ok_or(Refusal::Overloaded)
    }

    /// Knows a task that waits, but not in a queue yet.
    fn insert(&mut self, record: Arc<TaskRecord>, detached: bool, error: Option<Failure>) {
        let signature = self.signature_of(&record);
        let not_before = match &record.phase {
            Phase::Queued { not_before, .. } => *not_before,
            _ => self.now,
        };
        let entry = Entry {
            kind: record.spec.kind.clone(),
            key: record.spec.key.clone(),
            digest: record.digest,
            accepted_at: record.accepted_at,
            dispatches: record.dispatches,
            attempts: record.attempts,
            detached,
            place: Place::Waiting { signature, not_before, ready: false, error },
            timer: None,
            accepted: Some(record.clone()),
        };
        self.counts.queued += 1;
        self.counts.queued_bytes += entry.bytes();
        self.tasks.insert(record.id, Box::new(entry));
    }

    /// Takes over a task that the store had.
    pub(super) fn recover(&mut self, mut record: TaskRecord) {
        let id = record.id;
        self.next_task = self.next_task.max(id.0 + 1);
        // A wall clock that was set back between two lives must not make anything wait for the difference.
        record.accepted_at = record.accepted_at.min(self.now);
        let phase = record.phase.clone();
        if let Some(key) = &record.spec.key
            && !matches!(&phase, Phase::Finished { outcome, .. } if **outcome == Outcome::Cancelled)
        {
            self.by_key.insert(key.clone(), id);
        }
        let (not_before, error) = match &phase {
            Phase::Queued { not_before, error } => (*not_before, error.clone()),
            _ => (self.now, None),
        };
        let not_before = not_before.min(self.now + attempts::back_off_ms(id, record.attempts));
        record.phase = Phase::Queued { not_before, error: None };
        let record = Arc::new(record);
        match phase {
            Phase::Finished { outcome, at } => {
                self.insert(record, true, None);
                self.bury(id, outcome, at.min(self.now), None);
            }
            Phase::Queued { .. } => {
                self.insert(record, true, error);
                if not_before <= self.now {
                    self.ready(id);
                } else {
                    self.set_timer(id);
                }
            }
            Phase::Leased { agent, fence, since } => {
                self.insert(record, true, None);
                let at = self.agent_index(&agent);
                self.lease_to(id, at, Generation(0), fence, since.min(self.now));
                let until = self.now + self.config.agent_timeout_ms;
                let former = &mut self.agent(at).former;
                match former.first_mut() {
                    Some(former) => drop(former.leases.insert(id)),
                    None => former.push(Former {
                        generation: Generation(0),
                        instance: None,
                        until,
                        leases: BTreeSet::from([id]),
                    }),
                }
                self.watch_silence();
            }
        }
    }

    /// Cancels a task; false when it has its outcome already, or is not known.
    pub fn cancel(&mut self, task: TaskId, now: Millis) -> bool {
        self.advance(now);
        let unfinished =
            self.tasks.get(&task).is_some_and(|entry| !matches!(entry.place, Place::Finished { .. }));
        if unfinished {
            self.stop_lease(task, CancelReason::Cancelled);
            self.finish(task, Outcome::Cancelled);
        }
        unfinished
    }

    /// The last of those who waited for a task no longer does: cancels it, unless somebody enqueued it without
    /// waiting. Whether it was cancelled.
    pub fn abandoned(&mut self, task: TaskId, now: Millis) -> bool {
        let detached = self.tasks.get(&task).is_none_or(|entry| entry.detached);
        !detached && self.cancel(task, now)
    }

    /// Puts a dead letter back into the queue, with all its attempts before it.
    pub fn retry_dead_letter(&mut self, task: TaskId, now: Millis) -> Result<(), Refusal> {
        self.advance(now);
        self.find(task)?;
        if !self.dead.contains(&task) {
            return Err(Refusal::NotDead);
        }
        let entry = self.entry(task);
        let accepted = entry.accepted.clone().expect("a dead letter keeps its payload");
        let Place::Finished { outcome, .. } = &entry.place else { unreachable!("dead letters are finished") };
        let error = match &**outcome {
            Outcome::Failed { failure, .. } => Some(failure.clone()),
            _ => unreachable!("dead letters have failed"),
        };
        let (dispatches, bytes) = (entry.dispatches, entry.bytes());
        self.admit(bytes)?;
        self.unbury(task);
        let record = Arc::new(TaskRecord {
            id: task,
            spec: accepted.spec.clone(),
            digest: accepted.digest,
            accepted_at: self.now,
            dispatches,
            attempts: 0,
            phase: Phase::Queued { not_before: self.now, error: error.clone() },
        });
        self.changes.push(Change::Accept(record.clone()));
        self.insert(record, true, error);
        self.ready(task);
        Ok(())
    }

    /// The store could not take the [`Change::accepts_new`] of these tasks. They are forgotten, whatever became of
    /// them meanwhile, as if they had never been accepted.
    ///
    /// The caller drops every change and effect about them that it has drained but not used. All other changes have to
    /// be committed some time, in their order, and their effects after them.
    pub fn withdraw(&mut self, tasks: &[TaskId], now: Millis) {
        self.advance(now);
        let gone: BTreeSet<TaskId> = tasks.iter().copied().collect();
        self.changes.retain(|change| !gone.contains(&change.task()));
        self.effects.retain(|effect| effect.task().is_none_or(|task| !gone.contains(&task)));
        let mut freed = self.exorcise(&gone);
        for task in gone {
            let Some(entry) = self.tasks.get(&task) else { continue };
            let key = entry.key.clone();
            match &entry.place {
                Place::Finished { .. } => self.unbury(task),
                _ => {
                    freed.extend(self.end_lease(task));
                    self.leave_queue(task);
                    self.forget_entry(task);
                }
            }
            if let Some(key) = &key
                && self.by_key.get(key) == Some(&task)
            {
                self.by_key.remove(key);
            }
        }
        for agent in freed {
            self.feed(agent);
        }
    }

    /// Executions of these tasks do not count as such: they were never sent to anybody.
    fn exorcise(&mut self, tasks: &BTreeSet<TaskId>) -> Vec<AgentIndex> {
        let mut freed = Vec::new();
        for at in 0..self.agents.len() {
            let session = self.agents[at].as_mut().and_then(|agent| agent.session.as_mut());
            let Some(session) = session.filter(|session| !session.ghosts.is_empty()) else { continue };
            session.ghosts.retain(|ghost| !tasks.contains(&ghost.task));
            self.load(at);
            freed.push(at);
        }
        freed
    }
}
