//! Deadlines, agents that fall silent, and a clock that jumps.

use super::sessions::Agent;
use super::*;
use crate::protocol::work::ABORT_GRACE_MS;

impl Ledger {
    /// Agents are looked at so often: one that is lost is noticed that much late at most.
    fn sweep_interval(&self) -> u64 {
        (self.config.agent_timeout_ms / 16).max(1)
    }

    /// How long an agent that was told to stop something is waited for: it may be silent for nearly its timeout before
    /// it hears of it and again before it is heard, and its handler has the grace in between.
    pub(super) fn patience(&self) -> u64 {
        2 * self.config.agent_timeout_ms + ABORT_GRACE_MS
    }

    /// There is somebody to wait for.
    pub(super) fn watch_silence(&mut self) {
        let first = self.now + self.sweep_interval();
        self.next_sweep.get_or_insert(first);
    }

    /// Takes over the time. It never goes back.
    ///
    /// While agents are connected, the ledger asks to be called far more often than every half of their timeout. When
    /// so much time has passed nevertheless, this process was stopped, or its machine slept, and what the agents said
    /// meanwhile is still unread: nobody is lost for that reason, everybody gets the timeout once more.
    pub(super) fn advance(&mut self, now: Millis) {
        let gap = now.saturating_sub(self.now);
        self.now = self.now.max(now);
        if gap <= self.config.agent_timeout_ms / 2 || self.next_sweep.is_none() {
            return;
        }
        let now = self.now;
        let until = now + self.config.agent_timeout_ms;
        let stops_until = now + self.patience();
        for agent in self.agents.iter_mut().flatten() {
            if let Some(session) = &mut agent.session {
                session.last_heard = now;
                session.ghosts.iter_mut().for_each(|ghost| ghost.until = stops_until);
            }
            agent.former.iter_mut().for_each(|former| former.until = until);
        }
        // Timers fire as they stand, and look again.
        for entry in self.tasks.values_mut() {
            if let Some(Lease { ending: Some(ending), .. }) = entry.lease_mut() {
                ending.until = stops_until;
            }
        }
    }

    /// Does what is due. To be called at [`Ledger::next_deadline`]; more often does no harm.
    pub fn tick(&mut self, now: Millis) {
        self.advance(now);
        while let Some((due, task)) = self.timers.first().copied()
            && due <= self.now
        {
            self.timers.pop_first();
            self.entry(task).timer = None;
            self.timer_fired(task);
        }
        if self.next_sweep.is_some_and(|at| at <= self.now) {
            self.sweep();
        }
        self.trim();
    }

    /// When [`Ledger::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Millis> {
        let timer = self.timers.first().map(|(due, _)| *due);
        let retained = self.retained.first().map(|(at, _)| at.saturating_add(self.config.retention_ms));
        entry::earlier(entry::earlier(timer, self.next_sweep), retained)
    }

    fn timer_fired(&mut self, task: TaskId) {
        let now = self.now;
        let entry = self.tasks.get(&task).expect("timers of forgotten tasks are taken out");
        let Some(record) = entry.accepted.clone() else { return };
        let passed =
            |from: Millis, limit: Option<u64>| limit.is_some_and(|limit| from.saturating_add(limit) <= now);
        if passed(entry.accepted_at, record.spec.timeout_ms) {
            return self.time_out(task);
        }
        match &entry.place {
            Place::Waiting { ready: false, not_before, .. } if *not_before <= now => self.ready(task),
            Place::Leased { lease: Lease { ending: Some(ending), .. }, .. } => {
                if ending.until <= now {
                    return self.lose(task, "the agent did not stop");
                }
                self.set_timer(task);
            }
            Place::Leased { lease, .. } => {
                if passed(lease.since, record.spec.attempt_timeout_ms) {
                    self.end_attempt(task, "the attempt took longer than attemptTimeoutMs");
                } else if passed(lease.progress_at, record.spec.progress_timeout_ms) {
                    self.end_attempt(task, "no progress within progressTimeoutMs");
                }
                self.set_timer(task);
            }
            _ => self.set_timer(task),
        }
    }

    /// The task's time has run out.
    fn time_out(&mut self, task: TaskId) {
        let entry = self.tasks.get(&task).expect("looked at just now");
        // The attempt that runs is one too.
        let attempts = entry.attempts + u32::from(matches!(entry.place, Place::Leased { .. }));
        let (agent, last, never) = match &entry.place {
            Place::Leased { lease, .. } => {
                (self.agents[lease.agent].as_ref().map(|agent| agent.id.clone()), None, false)
            }
            Place::Waiting { signature, error, .. } => {
                let capable = self.index.was_capable_since(*signature, entry.accepted_at);
                let never = entry.dispatches == 0 && !capable;
                (None, error.as_ref().map(|error| error.message.as_str()), never)
            }
            Place::Finished { .. } => return,
        };
        let (code, message) = match (never, last) {
            (true, _) => {
                (FailureCode::NoAgent, "no agent that could run the task was connected in time".to_owned())
            }
            (false, Some(last)) => (FailureCode::Timeout, format!("time ran out; the last attempt: {last}")),
            (false, None) => (FailureCode::Timeout, "time ran out".to_owned()),
        };
        let failure = Failure { code, message, remote_code: None, agent };
        self.stop_lease(task, CancelReason::Timeout);
        self.finish(task, Outcome::Failed { failure, attempts });
    }

    /// Looks for agents that were silent for too long, and for executions that do not stop.
    fn sweep(&mut self) {
        let (now, timeout) = (self.now, self.config.agent_timeout_ms);
        let mut freed = Vec::new();
        // All sessions first: what one loses is not given to another that is lost as well.
        for at in 0..self.agents.len() {
            let Some(Agent { id, session: Some(session), .. }) = &mut self.agents[at] else { continue };
            if session.last_heard + timeout <= now {
                let (agent, generation) = (id.clone(), session.generation);
                self.effects.push(Effect::Lost { agent, generation });
                self.end_session(at);
            } else if session.ghosts.iter().any(|ghost| ghost.until <= now) {
                session.ghosts.retain(|ghost| ghost.until > now);
                self.load(at);
                freed.push(at);
            }
        }
        for at in 0..self.agents.len() {
            if self.agents[at].is_some() {
                self.expire_silent(at);
            }
        }
        for at in freed {
            self.feed(at);
        }
        self.next_sweep = None;
        if self.agents.iter().any(Option::is_some) {
            self.watch_silence();
        }
    }
}
