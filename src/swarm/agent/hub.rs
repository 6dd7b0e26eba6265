//! What all threads of an agent share: the workbench, the executions, and the way to the coordinator.

mod requests;

use super::types::{AgentConfig, AgentEvent, AgentState, HandlerFailure, Work};
use super::{Agent, Connected, Shared};
use crate::protocol::messages::{
    self, Assign, Complete, FailureReason, FrameKind, Heartbeat, Progress, Subscribe, TaskError,
};
use crate::protocol::session::{Accepted, Dialing, LeaseClock, Registration, SessionError, Version};
use crate::protocol::tasks;
use crate::protocol::work::{Abort, Assigned, Effect, Report, Start, Workbench};
use crate::protocol::{Fence, Millis, TaskId};
use crate::search::Job;
use crate::swarm::error::{SwarmCode, SwarmError};
use crate::swarm::kinds::{KINDS, KindFailure};
use crate::swarm::lanes::Outgoing;
use bytes::{Bytes, BytesMut};
use prost::Message;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A function to be run without the lock.
pub(super) type Call = Box<dyn FnOnce() + Send>;

type Told = Box<dyn FnOnce(Result<(), SwarmError>) + Send>;

/// Pause between two reports of one execution: a handler may report as often as it likes.
const PROGRESS_MS: u64 = 50;

/// Messages that wait for their acknowledgement.
const MAX_UNACKNOWLEDGED: usize = 65_536;

/// One execution.
struct Execution {
    work: Work,
    /// A built-in kind: raised to stop its kernel.
    native: Option<Arc<Job>>,
    started: Millis,
    /// When a report of progress was last sent.
    reported_at: Millis,
    /// A report that came too soon after that: it goes with the next heartbeat.
    unreported: Option<f64>,
    /// It was cancelled because its time is up.
    late: bool,
}

/// See the module.
pub(super) struct Hub {
    pub(super) state: AgentState,
    bench: Workbench,
    out: Option<Outgoing>,
    /// Names the tasks of the store at hand.
    store_prefix: String,
    lease: Option<LeaseClock>,
    max_message_bytes: usize,
    concurrency: u32,
    draining: bool,
    /// Kinds of the handler.
    kinds: BTreeSet<Arc<str>>,
    topics: BTreeSet<Arc<str>>,
    executions: HashMap<(TaskId, Fence), Execution>,
    tokens: HashMap<u64, (TaskId, Fence)>,
    last_token: u64,
    published: HashMap<u64, Told>,
    last_request: u64,
    messages: u64,
    completed: u64,
    failed: u64,
    connected: Option<Connected>,
    drained: Vec<Told>,
    closing: Option<Option<SwarmError>>,
    closed: Vec<Box<dyn FnOnce() + Send>>,
    effects: Vec<Effect>,
    pub(super) calls: Vec<Call>,
    pub(super) events: Vec<AgentEvent>,
}

impl Hub {
    pub(super) fn new(config: &AgentConfig, connected: Connected) -> Self {
        Self {
            state: AgentState::Connecting,
            bench: Workbench::new(config.concurrency),
            out: None,
            store_prefix: String::new(),
            lease: None,
            max_message_bytes: 0,
            concurrency: config.concurrency,
            draining: false,
            kinds: config.kinds.iter().map(|kind| Arc::from(kind.as_str())).collect(),
            topics: BTreeSet::new(),
            executions: HashMap::new(),
            tokens: HashMap::new(),
            last_token: 0,
            published: HashMap::new(),
            last_request: 0,
            messages: 0,
            completed: 0,
            failed: 0,
            connected: Some(connected),
            drained: Vec::new(),
            closing: None,
            closed: Vec::new(),
            effects: Vec::new(),
            calls: Vec::new(),
            events: Vec::new(),
        }
    }

    fn send(&self, kind: FrameKind, request: u64, header: &impl Message, payload: &Bytes) {
        let Some(out) = &self.out else { return };
        if let Err(error) = out.send(kind, request, header, payload) {
            // A coordinator that does not read is as good as gone; what matters is sent again after the next login.
            tracing::warn!(%error, "the connection to the coordinator is given up");
            let code = quinn::VarInt::from_u32(messages::Code::Overloaded as u32);
            out.connection().close(code, b"it does not read what it is sent");
        }
    }

    // ------------------------------------------------------------------------------------------- sessions

    /// Writes the frames of a Hello, with the bench at rest.
    pub(super) fn greet(
        &mut self,
        shared: &Shared,
        version: Version,
        now: Millis,
        out: &mut BytesMut,
    ) -> Result<Dialing, SessionError> {
        self.bench.disconnected();
        let config = &shared.config;
        let registration = Registration {
            instance: shared.instance,
            agent_type: config.agent_type.clone(),
            capabilities: config.capabilities.clone(),
            kinds: self.offered().iter().map(|kind| kind.to_string()).collect(),
            slots: self.slots(),
            metadata: config.metadata.clone(),
            software: concat!("midstreamer/", env!("CARGO_PKG_VERSION")).to_owned(),
        };
        let held = |held: tasks::Held| messages::Held {
            task: held.task.0,
            epoch: held.fence.epoch,
            attempt: held.fence.attempt,
            finished: held.finished,
        };
        let held: Vec<messages::Held> = self.bench.resume().into_iter().map(held).collect();
        let store = self.bench.home().map(|(store, _)| store);
        Dialing::new(version, &registration, &held, store, now, out)
    }

    fn offered(&self) -> Vec<Arc<str>> {
        let built_in = KINDS.iter().filter(|kind| !self.kinds.contains(**kind));
        self.kinds.iter().cloned().chain(built_in.map(|kind| Arc::from(*kind))).collect()
    }

    fn slots(&self) -> u32 {
        if self.draining { 0 } else { self.concurrency }
    }

    /// In. Returns whom to tell that the first login has succeeded.
    pub(super) fn welcomed(
        &mut self,
        out: Outgoing,
        established: Accepted,
        address: &str,
        now: Millis,
    ) -> Option<Connected> {
        self.out = Some(out);
        self.store_prefix = established.store[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        self.max_message_bytes = established.max_message_bytes;
        let resumed = established
            .resumed
            .iter()
            .map(|held| (TaskId(held.task), Fence { epoch: held.epoch, attempt: held.attempt }));
        self.bench.connected(
            crate::protocol::work::Welcome {
                store: established.store,
                epoch: established.epoch,
                generation: established.generation,
                resumed: resumed.collect(),
                lease_until: established.lease.ends_at(),
            },
            now,
        );
        self.lease = Some(established.lease);
        for topic in &self.topics {
            self.send(FrameKind::Subscribe, 0, &Subscribe { topic: topic.to_string() }, &Bytes::new());
        }
        if !self.draining {
            self.state = AgentState::Connected;
        }
        self.events.push(AgentEvent::Connected {
            address: address.to_owned(),
            coordinator: established.coordinator,
        });
        // Whoever has given up meanwhile is told so at the end.
        if self.closing.is_none() { self.connected.take() } else { None }
    }

    pub(super) fn heartbeat(&mut self, memory_bytes: u64, now: Millis) {
        self.report(now);
        let Some(lease) = &mut self.lease else { return };
        let seq = lease.heartbeat(now);
        let running = self.bench.running();
        let header = Heartbeat {
            seq,
            running: u32::try_from(running).unwrap_or(u32::MAX),
            load: running as f32 / self.concurrency.max(1) as f32,
            memory_bytes,
            completed: self.completed,
            failed: self.failed,
        };
        self.send(FrameKind::Heartbeat, 0, &header, &Bytes::new());
    }

    pub(super) fn heard(&mut self, seq: u64, now: Millis) -> Result<(), SessionError> {
        let Some(lease) = &mut self.lease else { return Ok(()) };
        lease.acknowledge(seq)?;
        let until = lease.ends_at();
        self.bench.renewed(until, now);
        Ok(())
    }

    pub(super) fn disconnected(&mut self) {
        self.out = None;
        self.bench.disconnected();
        if self.state == AgentState::Connected {
            self.state = AgentState::Reconnecting;
        }
        // Whether the coordinator had them cannot be known.
        for (_, told) in self.published.drain() {
            let error = SwarmError::new(
                SwarmCode::Connection,
                "the connection ended before the message was acknowledged",
            );
            self.calls.push(Box::new(move || told(Err(error))));
        }
    }

    /// The coordinator takes its leave. After a replacement nothing that it gave may go on.
    pub(super) fn dismissed(&mut self, error: &SwarmError) {
        if error.code.is_final() {
            self.bench.close_down();
        } else {
            self.bench.disconnected();
        }
    }

    // ---------------------------------------------------------------------------------------------- tasks

    pub(super) fn assigned(&mut self, assign: &Assign, payload: Bytes, now: Millis) {
        if self.closing.is_some() {
            // The goodbye gives it back.
            return;
        }
        let (task, fence) = (TaskId(assign.task), Fence { epoch: assign.epoch, attempt: assign.attempt });
        match self.bench.assign(task, fence) {
            Assigned::Run => {}
            Assigned::Duplicate | Assigned::Refused => return,
            Assigned::Overflow => {
                if let Some(out) = &self.out {
                    let code = quinn::VarInt::from_u32(messages::Code::Protocol as u32);
                    out.connection().close(code, b"far more tasks than slots");
                }
                return;
            }
        }
        self.last_token += 1;
        let token = self.last_token;
        let limits = [assign.deadline_ms, assign.attempt_timeout_ms];
        let work = Work {
            token,
            task_id: format!("{}-{:x}", self.store_prefix, task.0),
            kind: Arc::from(assign.kind.as_str()),
            payload,
            attempt: assign.used_attempts.saturating_add(1),
            fence,
            key: assign.key.as_deref().map(Arc::from),
            deadline: limits.into_iter().flatten().min().map(|left| now.saturating_add(left)),
        };
        let own = self.kinds.contains(&work.kind);
        let native = (!own && KINDS.contains(&&*work.kind)).then(|| Arc::new(Job::new()));
        let declined = !own && native.is_none();
        self.tokens.insert(token, (task, fence));
        self.executions.insert(
            (task, fence),
            Execution { work, native, started: now, reported_at: 0, unreported: None, late: false },
        );
        if declined {
            // Offers of kinds only ever grow, so this is a coordinator that guesses.
            self.bench.cancel(task, fence, now);
        } else {
            self.effects.push(Effect::Run { task, fence });
        }
    }

    /// Lets every new execution begin: those of the handler are handed over, built-in kinds are started.
    fn begin(&mut self, shared: &Arc<Shared>, task: TaskId, fence: Fence, now: Millis) {
        let Some(execution) = self.executions.get_mut(&(task, fence)) else { return };
        let work = execution.work.clone();
        let Some(job) = execution.native.clone() else {
            let shared = shared.clone();
            self.calls.push(Box::new(move || shared.handler.run(work)));
            return;
        };
        let token = work.token;
        if !self.may_start(token, now) {
            return;
        }
        let shared = shared.clone();
        self.calls.push(Box::new(move || {
            let agent = Agent(shared.clone());
            let done = move |outcome: Result<Bytes, KindFailure>| {
                let failure = |failure: KindFailure| HandlerFailure {
                    message: failure.message,
                    code: Some(failure.code.as_str().to_owned()),
                    retryable: failure.retryable,
                };
                agent.finished(token, outcome.map_err(failure));
            };
            shared.kinds.start(&work.kind, work.payload, job, done);
        }));
    }

    pub(super) fn may_start(&mut self, token: u64, now: Millis) -> bool {
        let Some(&(task, fence)) = self.tokens.get(&token) else { return false };
        match self.bench.may_start(task, fence, now) {
            Start::Now => {
                if let Some(execution) = self.executions.get_mut(&(task, fence)) {
                    execution.started = now;
                    // The handler has it now.
                    execution.work.payload = Bytes::new();
                }
                true
            }
            // The bench says when to ask again, or that it is over.
            Start::Later => false,
            Start::Never => {
                self.forget(task, fence);
                false
            }
        }
    }

    pub(super) fn finished(&mut self, token: u64, outcome: Result<Bytes, HandlerFailure>, now: Millis) {
        let Some(&(task, fence)) = self.tokens.get(&token) else { return };
        let started = self.executions.get(&(task, fence)).map_or(now, |execution| execution.started);
        self.forget(task, fence);
        let limit = self.max_message_bytes;
        let report = match outcome {
            Ok(value) if value.len() <= limit => {
                self.completed += 1;
                Report::Completed { value, run_ms: now.saturating_sub(started) }
            }
            Ok(value) => Report::Failed {
                message: format!("the result has {} bytes, maxMessageBytes is {limit}", value.len()),
                code: Some(SwarmCode::TooLarge.as_str().to_owned()),
                too_large: true,
                retryable: false,
            },
            Err(failure) => Report::Failed {
                message: bounded(failure.message, MAX_ERROR_BYTES),
                code: failure.code.map(|code| bounded(code, MAX_CODE_BYTES)),
                too_large: false,
                retryable: failure.retryable,
            },
        };
        self.failed += u64::from(matches!(report, Report::Failed { .. }));
        self.bench.finished(task, fence, report);
    }

    fn forget(&mut self, task: TaskId, fence: Fence) -> Option<Execution> {
        let execution = self.executions.remove(&(task, fence))?;
        self.tokens.remove(&execution.work.token);
        Some(execution)
    }

    pub(super) fn progress(&mut self, token: u64, fraction: f64, now: Millis) {
        let Some(&(task, fence)) = self.tokens.get(&token) else { return };
        let Some(execution) = self.executions.get_mut(&(task, fence)) else { return };
        if !fraction.is_finite() || !self.bench.is_running(task, fence) {
            return;
        }
        execution.unreported = Some(fraction.clamp(0.0, 1.0));
        if now.saturating_sub(execution.reported_at) >= PROGRESS_MS {
            self.report_progress(task, fence, now);
        }
    }

    /// Sends every report that was put off.
    fn report(&mut self, now: Millis) {
        let waiting = self.executions.iter().filter(|(_, execution)| execution.unreported.is_some());
        let waiting: Vec<(TaskId, Fence)> = waiting.map(|(key, _)| *key).collect();
        for (task, fence) in waiting {
            self.report_progress(task, fence, now);
        }
    }

    fn report_progress(&mut self, task: TaskId, fence: Fence, now: Millis) {
        let Some(execution) = self.executions.get_mut(&(task, fence)) else { return };
        let Some(fraction) = execution.unreported.take() else { return };
        execution.reported_at = now;
        let header = Progress { task: task.0, epoch: fence.epoch, attempt: fence.attempt, fraction };
        self.send(FrameKind::Progress, 0, &header, &Bytes::new());
    }

    /// `late`: because its time is up.
    pub(super) fn cancelled(&mut self, task: TaskId, fence: Fence, late: bool, now: Millis) {
        if let Some(execution) = self.executions.get_mut(&(task, fence)) {
            execution.late = late;
        }
        self.bench.cancel(task, fence, now);
    }

    pub(super) fn acknowledged(&mut self, task: TaskId, fence: Fence) {
        self.bench.acknowledged(task, fence);
    }

    pub(super) fn tick(&mut self, now: Millis) {
        self.bench.tick(now);
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn next_tick(&self) -> Option<Millis> {
        self.bench.next_deadline()
    }

    /// Does what the bench has decided.
    pub(super) fn end_turn(&mut self, shared: &Arc<Shared>, now: Millis) {
        let mut effects = std::mem::take(&mut self.effects);
        // What begins may end at once, and then there is more to do.
        loop {
            self.bench.drain(&mut effects);
            if effects.is_empty() {
                break;
            }
            for effect in effects.drain(..) {
                self.perform(shared, effect, now);
            }
        }
        self.effects = effects;
        if !self.drained.is_empty() && self.bench.is_idle() {
            for told in std::mem::take(&mut self.drained) {
                self.calls.push(Box::new(move || told(Ok(()))));
            }
        }
    }

    fn perform(&mut self, shared: &Arc<Shared>, effect: Effect, now: Millis) {
        match effect {
            Effect::Run { task, fence } => self.begin(shared, task, fence, now),
            Effect::Drop { task, fence } => drop(self.forget(task, fence)),
            Effect::Abort { task, fence, reason } => {
                let reason = match reason {
                    Abort::Cancelled => "the task was cancelled",
                    Abort::Superseded => "the task belongs to another agent by now",
                    Abort::Closing => "the agent is closing",
                };
                let Some(execution) = self.executions.get(&(task, fence)) else { return };
                let (token, job, shared) = (execution.work.token, execution.native.clone(), shared.clone());
                let (code, reason) = match execution.late {
                    true => (SwarmCode::Timeout, "the time of the task is up"),
                    false => (SwarmCode::Aborted, reason),
                };
                match job {
                    Some(job) => job.cancel(),
                    None => self.calls.push(Box::new(move || shared.handler.stop(token, code, reason))),
                }
            }
            Effect::Send { task, fence, report } => self.send_report(task, fence, &report),
            Effect::Stopped { task, fence } => {
                drop(self.forget(task, fence));
                let header = TaskError {
                    task: task.0,
                    epoch: fence.epoch,
                    attempt: fence.attempt,
                    reason: FailureReason::Declined.into(),
                    retryable: true,
                    ..TaskError::default()
                };
                self.send(FrameKind::TaskError, 0, &header, &Bytes::new());
            }
        }
    }

    fn send_report(&self, task: TaskId, fence: Fence, report: &Report) {
        let Fence { epoch, attempt } = fence;
        match report {
            Report::Completed { value, run_ms } => {
                let header = Complete { task: task.0, epoch, attempt, run_ms: *run_ms };
                self.send(FrameKind::Complete, 0, &header, value);
            }
            Report::Failed { message, code, too_large, retryable } => {
                let reason = if *too_large { FailureReason::TooLarge } else { FailureReason::Handler };
                let header = TaskError {
                    task: task.0,
                    epoch,
                    attempt,
                    reason: reason.into(),
                    message: message.clone(),
                    code: code.clone(),
                    retryable: *retryable,
                    run_ms: 0,
                };
                self.send(FrameKind::TaskError, 0, &header, &Bytes::new());
            }
        }
    }
}

/// What the process has in memory; 0 where the system does not tell (Linux does, by /proc).
pub(super) fn resident_bytes() -> u64 {
    /// Of the pages in /proc/self/statm; larger ones exist on other processors, and there this says too little.
    const PAGE_BYTES: u64 = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|statm| statm.split_whitespace().nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}

/// The longest message and code of an error that travel, in bytes: the header of a frame holds both.
const MAX_ERROR_BYTES: usize = 16 << 10;
const MAX_CODE_BYTES: usize = 256;

fn bounded(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
