//! What an agent has to do and what it has done: the other end of the [ledger](crate::protocol::tasks).
//!
//! The workbench is told what the coordinator and the handlers say and what time it is, and answers with [`Effect`]s.
//! It keeps numbers, fences and results; payloads wait for their start with the caller.
//!
//! What it promises:
//! - Nothing is started without a live session, after the lease clock has run out, after it was cancelled, or twice.
//!   The lease clock stands at the time at which the last acknowledged heartbeat *was sent* plus the agent timeout of
//!   the Welcome, so it runs out before the coordinator gives the agent up.
//! - A result is kept, and sent again after each Welcome that still wants it, until it is acknowledged.
//! - What a Welcome does not list is dropped: somebody else has it, or it has its outcome.
//!
//! Time is the agent's own and need not agree with the coordinator's. The rates have to: the ledger looks for silent
//! agents a sixteenth of the timeout late at worst and never early, which is no allowance for a clock that runs slow,
//! so the lease clock may be set somewhat short.

mod closed;
#[cfg(test)]
mod tests;

use crate::protocol::tasks::Held;
use crate::protocol::{Fence, Generation, Millis, TaskId};
use bytes::Bytes;
use closed::Closed;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// How long an execution that was told to stop keeps its slot. A handler that does not listen loses it then, so that
/// one that hangs for ever does not take the agent with it.
pub const ABORT_GRACE_MS: u64 = 1_000;

/// What an agent has at most, beyond four times its slots: results whose acknowledgement is on its way.
const HELD_BEYOND_SLOTS: usize = 1_024;

/// What a handler made of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It returned.
    Completed {
        /// The encoded result.
        value: Bytes,
        /// From start to end.
        run_ms: u64,
    },
    /// It failed.
    Failed {
        /// What it said.
        message: String,
        /// The `code` of the error.
        code: Option<String>,
        /// The result was larger than a message may be.
        too_large: bool,
        /// Whether another attempt makes sense.
        retryable: bool,
    },
}

/// Why an execution should stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Abort {
    /// The coordinator says so.
    Cancelled,
    /// The coordinator has given the task to somebody else, or is another one.
    Superseded,
    /// This agent is closing, or was replaced.
    Closing,
}

/// What should happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask again for this start ([`Workbench::may_start`] said [`Start::Later`]).
    Run {
        /// Which task.
        task: TaskId,
        /// Which attempt.
        fence: Fence,
    },
    /// It was not started and will not be: its payload is of no use.
    Drop {
        /// Which task.
        task: TaskId,
        /// Which attempt.
        fence: Fence,
    },
    /// Tell the running handler to stop.
    Abort {
        /// Which task.
        task: TaskId,
        /// Which attempt.
        fence: Fence,
        /// Why.
        reason: Abort,
    },
    /// Send the result to the coordinator.
    Send {
        /// Which task.
        task: TaskId,
        /// Which attempt.
        fence: Fence,
        /// What became of it.
        report: Arc<Report>,
    },
    /// Tell the coordinator that this will not run (any more) and has no result.
    Stopped {
        /// Which task.
        task: TaskId,
        /// Which attempt.
        fence: Fence,
    },
}

/// What to do with a task that the coordinator sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Assigned {
    /// Keep the payload and start it when there is a turn ([`Workbench::may_start`]).
    Run,
    /// It is here already; nothing.
    Duplicate,
    /// It was cancelled, is over, or is older than what is here; nothing.
    Refused,
    /// The coordinator sends far more than the slots: a breach of the protocol.
    Overflow,
}

/// Whether to start a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Start {
    /// Yes, at once. It counts as running.
    Now,
    /// Not while the coordinator may have given the agent up. Keep it: [`Effect::Run`] or [`Effect::Drop`] follows.
    Later,
    /// No. Drop it.
    Never,
}

/// What the coordinator said when it let the agent in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// Names its store for ever.
    pub store: [u8; 16],
    /// Starts on that store.
    pub epoch: u64,
    /// Of this login.
    pub generation: Generation,
    /// What of the list in the Hello goes on.
    pub resumed: Vec<(TaskId, Fence)>,
    /// When the lease clock runs out: the time at which the Hello was sent, plus the agent timeout.
    pub lease_until: Millis,
}

/// One task of the coordinator's.
#[derive(Debug)]
enum State {
    /// Not started; whether a start was put off.
    Waiting { put_off: bool },
    /// In a handler.
    Running,
    /// In a handler that was told to stop.
    Stopping,
    /// Waits for its acknowledgement.
    Finished(Arc<Report>),
}

/// A session with a coordinator.
#[derive(Debug)]
struct Session {
    generation: Generation,
    lease_until: Millis,
}

/// What an agent has to do and what it has done.
#[derive(Debug)]
pub struct Workbench {
    slots: u32,
    /// Where everything that is held comes from.
    store: Option<[u8; 16]>,
    epoch: u64,
    session: Option<Session>,
    held: BTreeMap<(TaskId, Fence), State>,
    /// How many of them have a start that was put off.
    put_off: usize,
    /// When those that were told to stop no longer count, first in front. Some may have stopped since.
    stopping: VecDeque<(Millis, TaskId, Fence)>,
    /// What must not run any more in this session.
    closed: Closed,
    effects: Vec<Effect>,
}

impl Workbench {
    /// With nothing to do.
    pub fn new(slots: u32) -> Self {
        Self {
            slots,
            store: None,
            epoch: 0,
            session: None,
            held: BTreeMap::new(),
            put_off: 0,
            stopping: VecDeque::new(),
            closed: Closed::default(),
            effects: Vec::new(),
        }
    }

    /// Moves what has to be done to the end of the list.
    pub fn drain(&mut self, effects: &mut Vec<Effect>) {
        effects.append(&mut self.effects);
    }

    /// What a Hello lists: everything that the coordinator could want to go on. The Hello is sent without a live
    /// session ([`Workbench::disconnected`] first), so that nothing is started between it and the Welcome.
    pub fn resume(&self) -> Vec<Held> {
        let listed = self.held.iter().filter(|(_, state)| !matches!(state, State::Stopping));
        listed
            .map(|(&(task, fence), state)| Held {
                task,
                fence,
                finished: matches!(state, State::Finished(_)),
            })
            .collect()
    }

    /// The coordinator has let the agent in.
    pub fn connected(&mut self, welcome: Welcome, now: Millis) {
        let same_store = self.store == Some(welcome.store);
        self.store = Some(welcome.store);
        self.epoch = welcome.epoch;
        self.closed.clear();
        let resumed: BTreeSet<(TaskId, Fence)> = welcome.resumed.into_iter().collect();
        let listed: Vec<(TaskId, Fence)> = self.held.keys().copied().collect();
        for (task, fence) in listed {
            if !same_store || !resumed.contains(&(task, fence)) {
                self.discard(task, fence, Abort::Superseded);
            }
        }
        self.session = Some(Session { generation: welcome.generation, lease_until: welcome.lease_until });
        for (&(task, fence), state) in &self.held {
            if let State::Finished(report) = state {
                self.effects.push(Effect::Send { task, fence, report: report.clone() });
            }
        }
        self.start_put_off(now);
    }

    /// The connection is gone. Handlers go on; nothing is started.
    pub fn disconnected(&mut self) {
        self.session = None;
    }

    /// The login that is served, while there is one.
    pub fn generation(&self) -> Option<Generation> {
        self.session.as_ref().map(|session| session.generation)
    }

    /// A heartbeat was acknowledged: the lease clock runs until then, unless it already ran longer.
    pub fn renewed(&mut self, lease_until: Millis, now: Millis) {
        if let Some(session) = &mut self.session {
            session.lease_until = session.lease_until.max(lease_until);
            self.start_put_off(now);
        }
    }

    fn may_start_anything(&self, now: Millis) -> bool {
        self.session.as_ref().is_some_and(|session| now < session.lease_until)
    }

    fn start_put_off(&mut self, now: Millis) {
        if self.put_off == 0 || !self.may_start_anything(now) {
            return;
        }
        self.put_off = 0;
        for (&(task, fence), state) in &mut self.held {
            if let State::Waiting { put_off } = state
                && std::mem::take(put_off)
            {
                self.effects.push(Effect::Run { task, fence });
            }
        }
    }

    /// The coordinator sends a task.
    pub fn assign(&mut self, task: TaskId, fence: Fence) -> Assigned {
        if self.session.is_none() {
            return Assigned::Refused;
        }
        if self.closed.covers(task, fence) {
            self.effects.push(Effect::Stopped { task, fence });
            return Assigned::Refused;
        }
        let latest = self.fences_of(task).last().copied();
        match latest {
            Some(latest) if latest == fence => return Assigned::Duplicate,
            Some(latest) if latest > fence => return Assigned::Refused,
            // The coordinator has ended the earlier attempts before it began this one.
            Some(_) => {
                for earlier in self.fences_of(task) {
                    self.discard(task, earlier, Abort::Superseded);
                }
            }
            None => {}
        }
        if self.held.len() >= 4 * self.slots as usize + HELD_BEYOND_SLOTS {
            return Assigned::Overflow;
        }
        self.held.insert((task, fence), State::Waiting { put_off: false });
        Assigned::Run
    }

    /// The attempts of a task that are here, oldest first.
    fn fences_of(&self, task: TaskId) -> Vec<Fence> {
        let first = Fence { epoch: 0, attempt: 0 };
        let last = Fence { epoch: u64::MAX, attempt: u32::MAX };
        self.held.range((task, first)..=(task, last)).map(|((_, fence), _)| *fence).collect()
    }

    /// Asked right before the handler is called, on the thread that calls it or with it waiting: a task whose outcome
    /// is known is not started.
    pub fn may_start(&mut self, task: TaskId, fence: Fence, now: Millis) -> Start {
        let may = self.may_start_anything(now);
        match self.held.get_mut(&(task, fence)) {
            Some(state @ State::Waiting { .. }) if may => {
                if let State::Waiting { put_off: true } = state {
                    self.put_off -= 1;
                }
                *state = State::Running;
                Start::Now
            }
            Some(State::Waiting { put_off }) => {
                if !std::mem::replace(put_off, true) {
                    self.put_off += 1;
                }
                Start::Later
            }
            _ => Start::Never,
        }
    }

    /// Whether a handler for this is running that was not told to stop: what it reports is worth sending.
    pub fn is_running(&self, task: TaskId, fence: Fence) -> bool {
        matches!(self.held.get(&(task, fence)), Some(State::Running))
    }

    /// A handler has ended.
    pub fn finished(&mut self, task: TaskId, fence: Fence, report: Report) {
        match self.held.get_mut(&(task, fence)) {
            Some(state @ State::Running) => {
                let report = Arc::new(report);
                *state = State::Finished(report.clone());
                if self.session.is_some() {
                    self.effects.push(Effect::Send { task, fence, report });
                }
            }
            Some(State::Stopping) => self.stopped(task, fence),
            // It was dropped while it ran.
            _ => {}
        }
    }

    /// The coordinator needs the result no more, or never will.
    pub fn acknowledged(&mut self, task: TaskId, fence: Fence) {
        if let Some(State::Finished(_)) = self.held.get(&(task, fence)) {
            self.held.remove(&(task, fence));
        }
        self.close(task, fence);
    }

    /// The coordinator wants this stopped. It may be heard before the task itself has arrived.
    pub fn cancel(&mut self, task: TaskId, fence: Fence, now: Millis) {
        let over = self.closed.covers(task, fence) || self.fences_of(task).last() > Some(&fence);
        match self.held.get_mut(&(task, fence)) {
            Some(State::Waiting { .. }) => {
                self.discard(task, fence, Abort::Cancelled);
                self.close(task, fence);
                self.effects.push(Effect::Stopped { task, fence });
            }
            Some(state @ State::Running) => {
                *state = State::Stopping;
                self.stopping.push_back((now + ABORT_GRACE_MS, task, fence));
                self.effects.push(Effect::Abort { task, fence, reason: Abort::Cancelled });
            }
            // The result has been sent: that is the answer.
            Some(State::Stopping | State::Finished(_)) => {}
            // The answer may have been lost with what it was about; a second one does no harm.
            None if over => {
                self.effects.push(Effect::Stopped { task, fence });
            }
            // It is on its way.
            None => self.close(task, fence),
        }
    }

    /// An execution that was told to stop no longer counts.
    fn stopped(&mut self, task: TaskId, fence: Fence) {
        self.held.remove(&(task, fence));
        self.close(task, fence);
        if self.session.is_some() {
            self.effects.push(Effect::Stopped { task, fence });
        }
    }

    fn close(&mut self, task: TaskId, fence: Fence) {
        self.closed.insert(task, fence, 4 * self.slots as usize + HELD_BEYOND_SLOTS);
    }

    /// Forgets something without telling the coordinator.
    fn discard(&mut self, task: TaskId, fence: Fence, reason: Abort) {
        match self.held.remove(&(task, fence)) {
            Some(State::Waiting { put_off }) => {
                self.put_off -= usize::from(put_off);
                self.effects.push(Effect::Drop { task, fence });
            }
            Some(State::Running) => self.effects.push(Effect::Abort { task, fence, reason }),
            Some(State::Stopping | State::Finished(_)) | None => {}
        }
    }

    /// Does what is due, at [`Workbench::next_deadline`].
    pub fn tick(&mut self, now: Millis) {
        while let Some((until, task, fence)) = self.stopping.front().copied()
            && until <= now
        {
            self.stopping.pop_front();
            if let Some(State::Stopping) = self.held.get(&(task, fence)) {
                self.stopped(task, fence);
            }
        }
    }

    /// When [`Workbench::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Millis> {
        self.stopping.front().map(|(until, ..)| *until)
    }

    /// Drops everything: after SESSION_REPLACED, or with the Goodbye. Whoever drains offers no slots first, and comes
    /// here when [`Workbench::is_idle`] or out of patience.
    pub fn close_down(&mut self) {
        self.session = None;
        let all: Vec<(TaskId, Fence)> = self.held.keys().copied().collect();
        for (task, fence) in all {
            self.discard(task, fence, Abort::Closing);
        }
    }

    /// Drops what waits and runs, and keeps the results that are not acknowledged: before the Goodbye.
    pub fn abandon(&mut self) {
        let unfinished = self.held.iter().filter(|(_, state)| !matches!(state, State::Finished(_)));
        let unfinished: Vec<(TaskId, Fence)> = unfinished.map(|(key, _)| *key).collect();
        for (task, fence) in unfinished {
            self.discard(task, fence, Abort::Closing);
        }
    }

    /// Nothing waits, runs, or is unacknowledged.
    pub fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// Tasks in handlers, those that were told to stop included.
    pub fn running(&self) -> usize {
        let in_handler = |state: &&State| matches!(state, State::Running | State::Stopping);
        self.held.values().filter(in_handler).count()
    }

    /// What uses a slot: everything but results.
    pub fn outstanding(&self) -> usize {
        self.held.values().filter(|state| !matches!(state, State::Finished(_))).count()
    }

    /// Everything that is here.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Where the tasks come from, once there was a Welcome: its store and its epoch.
    pub fn home(&self) -> Option<([u8; 16], u64)> {
        self.store.map(|store| (store, self.epoch))
    }

    /// The number of slots has changed. What is here goes on.
    pub fn set_slots(&mut self, slots: u32) {
        self.slots = slots;
    }
}
