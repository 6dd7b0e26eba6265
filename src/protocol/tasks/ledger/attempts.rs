//! Dispatch, results and failures.

use super::sessions::{Agent, Ghost};
use super::*;
use bytes::Bytes;

/// What the first failure of a task waits for, before jitter; doubled by each further one.
const BACK_OFF_MS: u64 = 100;

/// The longest that a failure is waited for.
const LONGEST_BACK_OFF_MS: u64 = 30_000;

/// How long a task waits after its attempts so far: between half of the step and the whole, told apart by the number
/// of the task, so that tasks which failed together do not come back together.
pub(super) fn back_off_ms(task: TaskId, attempts: u32) -> u64 {
    let step = BACK_OFF_MS.saturating_mul(1 << attempts.saturating_sub(1).min(20)).min(LONGEST_BACK_OFF_MS);
    let dice = (task.0 ^ (u64::from(attempts) << 48)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    step / 2 + step * dice / (2 << 32)
}

/// Whose a result is.
enum Claim {
    /// The one that is waited for.
    Lease(AgentIndex),
    /// Of an execution that was told to stop.
    Ghost(AgentIndex),
    /// The one that was accepted before.
    Repeated,
    /// Of a lease that has ended.
    Stale,
}

impl Ledger {
    /// The task waits from now on: it is given to the best free agent, or stands in its queue.
    pub(super) fn ready(&mut self, task: TaskId) {
        let dispatching = self.dispatching;
        let entry = self.tasks.get_mut(&task).expect("indices name known tasks alone");
        let priority = entry.accepted.as_ref().map_or(0, |record| record.spec.priority);
        let Place::Waiting { signature, ready, .. } = &mut entry.place else { return };
        *ready = true;
        let signature = *signature;
        let agent = match dispatching && !self.index.has_queue(signature) {
            true => self.index.agent_for(signature),
            false => None,
        };
        match agent {
            Some(agent) => self.assign(task, agent),
            None => {
                self.index.push(signature, index::rank(entry.accepted_at, priority), task);
                self.set_timer(task);
            }
        }
    }

    /// Gives an agent tasks until its slots are full.
    pub(super) fn feed(&mut self, at: AgentIndex) {
        while self.dispatching
            && let Some(Some(Agent { session: Some(session), .. })) = self.agents.get(at)
            && session.outstanding() < session.slots as usize
            && let Some(task) = self.index.task_for(at)
        {
            self.assign(task, at);
        }
    }

    /// Gives a waiting task to a connected agent.
    fn assign(&mut self, task: TaskId, at: AgentIndex) {
        let now = self.now;
        let agent = self.agents[at].as_ref().expect("the index names connected agents alone");
        let session = agent.session.as_ref().expect("the index names connected agents alone");
        let (id, generation) = (agent.id.clone(), session.generation);
        self.leave_queue(task);
        let entry = self.entry(task);
        entry.dispatches += 1;
        let attempt = entry.dispatches;
        let record = entry.accepted.clone().expect("a task without outcome keeps its payload");
        let fence = Fence { epoch: self.epoch, attempt };
        self.lease_to(task, at, generation, fence, now);
        let session = self.agent(at).session.as_mut().expect("the index names connected agents alone");
        session.leases.insert(task);
        self.load(at);
        let now = self.now;
        let deadline = self.entry(task).deadline(now);
        self.changes.push(Change::Lease { task, agent: id.clone(), fence, at: now });
        self.effects.push(Effect::Assign { agent: id, generation, fence, task: record, deadline });
    }

    /// A task that waits, not in a queue, is now somebody's.
    pub(super) fn lease_to(
        &mut self,
        task: TaskId,
        agent: AgentIndex,
        generation: Generation,
        fence: Fence,
        since: Millis,
    ) {
        let now = self.now;
        let entry = self.entry(task);
        if let Place::Waiting { signature, .. } = entry.place {
            let lease =
                Lease { agent, generation, fence, since, progress_at: now, progress: None, ending: None };
            entry.place = Place::Leased { signature, lease };
            self.counts.queued -= 1;
            self.counts.running += 1;
        }
        self.set_timer(task);
    }

    /// Takes a task that waits out of its queue.
    pub(super) fn leave_queue(&mut self, task: TaskId) {
        let entry = self.tasks.get(&task).expect("indices name known tasks alone");
        if let Place::Waiting { signature, ready: true, .. } = entry.place {
            let priority = entry.accepted.as_ref().map_or(0, |record| record.spec.priority);
            self.index.remove_task(signature, index::rank(entry.accepted_at, priority), task);
        }
    }

    /// Takes a task from who has it; it waits, but not in a queue. Returns who had it.
    pub(super) fn end_lease(&mut self, task: TaskId) -> Option<AgentIndex> {
        let now = self.now;
        let entry = self.entry(task);
        let Place::Leased { signature, lease } = &entry.place else { return None };
        let (signature, at, generation) = (*signature, lease.agent, lease.generation);
        entry.place = Place::Waiting { signature, not_before: now, ready: false, error: None };
        self.counts.running -= 1;
        self.counts.queued += 1;
        // Its agent is unknown when the whole former session was taken from it just now.
        if let Some(agent) = &mut self.agents[at] {
            if let Some(session) = agent.session.as_mut().filter(|session| session.generation == generation) {
                session.leases.remove(&task);
            }
            for former in agent.former.iter_mut().filter(|former| former.generation == generation) {
                former.leases.remove(&task);
            }
            agent.former.retain(|former| !former.leases.is_empty());
        }
        self.load(at);
        Some(at)
    }

    /// Tells the agent that has the task, if it is connected, to stop.
    pub(super) fn stop_lease(&mut self, task: TaskId, reason: CancelReason) {
        let until = self.now + self.patience();
        let Some(lease) = self.tasks.get(&task).and_then(|entry| entry.lease()) else { return };
        let Some(agent) = &mut self.agents[lease.agent] else { return };
        let session = agent.session.as_mut().filter(|session| session.generation == lease.generation);
        let Some(session) = session else { return };
        session.ghosts.push(Ghost { task, fence: lease.fence, until });
        if lease.ending.is_none() {
            self.effects.push(Effect::Cancel {
                agent: agent.id.clone(),
                generation: session.generation,
                task,
                fence: lease.fence,
                reason,
            });
        }
    }

    /// Whose a report is.
    fn claim(&mut self, agent: &str, generation: Generation, task: TaskId, fence: Fence) -> Claim {
        let Some(at) = self.current(agent, generation) else { return Claim::Stale };
        let ghosts = &self.agent(at).session.as_ref().expect("its generation was compared").ghosts;
        if ghosts.iter().any(|ghost| ghost.task == task && ghost.fence == fence) {
            return Claim::Ghost(at);
        }
        match self.tasks.get(&task).map(|entry| &entry.place) {
            Some(Place::Leased { lease, .. })
                if lease.agent == at && lease.generation == generation && lease.fence == fence =>
            {
                Claim::Lease(at)
            }
            Some(Place::Finished { fence: Some(last), .. }) if *last == fence => Claim::Repeated,
            _ => Claim::Stale,
        }
    }

    fn acknowledge(
        &mut self,
        agent: &str,
        generation: Generation,
        task: TaskId,
        fence: Fence,
        accepted: bool,
    ) {
        self.effects.push(Effect::Acknowledge { agent: agent.into(), generation, task, fence, accepted });
    }

    /// An execution that was told to stop has ended.
    fn lay(&mut self, at: AgentIndex, task: TaskId, fence: Fence) {
        if let Some(session) = &mut self.agent(at).session {
            session.ghosts.retain(|ghost| ghost.task != task || ghost.fence != fence);
        }
        self.load(at);
    }

    /// A handler has returned.
    #[allow(clippy::too_many_arguments)] // a frame, field by field
    pub fn completed(
        &mut self,
        agent: &str,
        generation: Generation,
        task: TaskId,
        fence: Fence,
        value: Bytes,
        run_ms: u64,
        now: Millis,
    ) {
        self.advance(now);
        match self.claim(agent, generation, task, fence) {
            Claim::Lease(at) => {
                self.acknowledge(agent, generation, task, fence, true);
                let holder = self.agent(at);
                holder.completed += 1;
                let agent = holder.id.clone();
                let entry = self.entry(task);
                let Some(lease) = entry.lease() else { return };
                let queued_ms = lease.since.saturating_sub(entry.accepted_at);
                entry.attempts += 1;
                let attempts = entry.attempts;
                self.finish(task, Outcome::Completed { agent, value, attempts, queued_ms, run_ms });
            }
            other => self.refuse(other, agent, generation, task, fence),
        }
    }

    /// A handler has failed. Without `retryable` there is no other attempt.
    #[allow(clippy::too_many_arguments)] // a frame, field by field
    pub fn failed(
        &mut self,
        agent: &str,
        generation: Generation,
        task: TaskId,
        fence: Fence,
        failure: Failure,
        retryable: bool,
        now: Millis,
    ) {
        self.advance(now);
        match self.claim(agent, generation, task, fence) {
            Claim::Lease(at) => {
                self.acknowledge(agent, generation, task, fence, true);
                let holder = self.agent(at);
                holder.failed += 1;
                let failure = Failure { agent: Some(holder.id.clone()), ..failure };
                self.fail(task, failure, retryable);
            }
            other => self.refuse(other, agent, generation, task, fence),
        }
    }

    /// A report that changes nothing: the agent can drop it.
    fn refuse(&mut self, claim: Claim, agent: &str, generation: Generation, task: TaskId, fence: Fence) {
        self.acknowledge(agent, generation, task, fence, matches!(claim, Claim::Repeated));
        if let Claim::Ghost(at) = claim {
            self.lay(at, task, fence);
            self.feed(at);
        }
    }

    /// The agent does not run this any more and will not, without a result: it was told to stop, or could not take it.
    pub fn stopped(&mut self, agent: &str, generation: Generation, task: TaskId, fence: Fence, now: Millis) {
        self.advance(now);
        match self.claim(agent, generation, task, fence) {
            Claim::Lease(_) => self.lose(task, "the agent gave the task up"),
            Claim::Ghost(at) => {
                self.lay(at, task, fence);
                self.feed(at);
            }
            Claim::Repeated | Claim::Stale => {}
        }
    }

    /// A handler reports how far it is, 0 to 1.
    pub fn progress(
        &mut self,
        agent: &str,
        generation: Generation,
        task: TaskId,
        fence: Fence,
        fraction: f64,
        now: Millis,
    ) {
        self.advance(now);
        if let Claim::Lease(_) = self.claim(agent, generation, task, fence) {
            let now = self.now;
            // The timer stays as it is and looks again when it is due: reports are frequent.
            if let Some(lease) = self.entry(task).lease_mut() {
                (lease.progress, lease.progress_at) = (Some(fraction), now);
            }
        }
    }

    /// The attempt has taken too long. Its agent is told to stop, and the task goes on when it has.
    pub(super) fn end_attempt(&mut self, task: TaskId, message: &str) {
        let until = self.now + self.patience();
        let Some(lease) = self.tasks.get_mut(&task).and_then(|entry| entry.lease_mut()) else { return };
        let Some(agent) = &self.agents[lease.agent] else { return };
        lease.ending = Some(Ending {
            failure: Failure {
                code: FailureCode::AttemptTimeout,
                message: message.to_owned(),
                remote_code: None,
                agent: Some(agent.id.clone()),
            },
            until,
        });
        let session = agent.session.as_ref().filter(|session| session.generation == lease.generation);
        if session.is_some() {
            self.effects.push(Effect::Cancel {
                agent: agent.id.clone(),
                generation: lease.generation,
                task,
                fence: lease.fence,
                reason: CancelReason::AttemptTimeout,
            });
        }
    }

    /// The holder of a lease is gone, or has stopped.
    pub(super) fn lose(&mut self, task: TaskId, why: &str) {
        let Some(lease) = self.entry(task).lease_mut() else { return };
        let (ending, at) = (lease.ending.take(), lease.agent);
        let agent = self.agents[at].as_ref().map(|agent| agent.id.clone());
        let failure = ending.map_or_else(
            || Failure { code: FailureCode::AgentLost, message: why.to_owned(), remote_code: None, agent },
            |ending| ending.failure,
        );
        self.fail(task, failure, true);
    }

    /// An attempt is used up.
    fn fail(&mut self, task: TaskId, failure: Failure, retryable: bool) {
        let entry = self.entry(task);
        entry.attempts += 1;
        let (kind, attempts) = (entry.kind.clone(), entry.attempts);
        let most = entry.accepted.as_ref().map_or(0, |record| record.spec.max_attempts);
        if !retryable || attempts >= most {
            return self.finish(task, Outcome::Failed { failure, attempts });
        }
        // Nothing is wrong with a task because its agent was lost once.
        let at_once = failure.code == FailureCode::AgentLost && attempts == 1;
        let wait = if at_once { 0 } else { back_off_ms(task, attempts) };
        self.counts.retried += 1;
        self.effects.push(Effect::Retried { task, kind, attempts, failure: failure.clone() });
        self.requeue(task, wait, Some(failure));
    }

    /// The lease ends without an attempt being used up.
    pub(super) fn give_back(&mut self, task: TaskId) {
        self.requeue(task, 0, None);
    }

    fn requeue(&mut self, task: TaskId, wait_ms: u64, why: Option<Failure>) {
        let at = self.end_lease(task);
        let not_before_at = self.now + wait_ms;
        let entry = self.entry(task);
        let attempts = entry.attempts;
        if let Place::Waiting { not_before, error, .. } = &mut entry.place {
            (*not_before, *error) = (not_before_at, why.clone());
        }
        self.changes.push(Change::Requeue { task, attempts, not_before: not_before_at, error: why });
        match wait_ms {
            0 => self.ready(task),
            _ => self.set_timer(task),
        }
        if let Some(at) = at {
            self.feed(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_with_jitter_up_to_its_limit() {
        for task in (0..1000).map(TaskId) {
            for attempts in 1..40 {
                let step = (BACK_OFF_MS << (attempts - 1).min(20)).min(LONGEST_BACK_OFF_MS);
                let wait = back_off_ms(task, attempts);
                assert!(wait >= step / 2 && wait <= step, "{task:?} {attempts}: {wait}");
            }
        }
        let waits: BTreeSet<u64> = (0..100).map(|task| back_off_ms(TaskId(task), 5)).collect();
        assert!(waits.len() > 50, "tasks that fail together come back together: {waits:?}");
    }
}
