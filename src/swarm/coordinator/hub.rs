//! What all threads of a coordinator share: the ledger, the sessions and whoever waits.
//!
//! Everything that happens is one turn: lock, tell the ledger, take its changes and effects, unlock. Effects of a turn
//! are performed in order and under the lock, so two turns never overtake each other; when there are changes to be
//! made durable, or earlier ones still are, the turn goes through the committer first. Callers' functions run after the
//! lock is gone.

mod waiters;

use super::audited;
use super::committer::{Committer, Turn};
use super::trust::credentials::Credentials;
use super::trust::rights::grant_refused;
use super::types::{AgentInfo, CoordinatorEvent, TaskNotice, TaskResult, WaiterId};
use crate::protocol::messages::{
    self, Adapt, Assign, Cancel, Code, FrameKind, Goodbye, Heartbeat, HeartbeatAck, Lane, Publish, ResultAck,
};
use crate::protocol::tasks::{CancelReason, Change, Departure, Effect, Ledger, Outcome};
use crate::protocol::{AgentId, Fence, Generation, Millis, TaskId};
use crate::security::Refusal;
use crate::security::audit::Audit;
use crate::swarm::error::SwarmError;
use crate::swarm::kinds::KINDS;
use crate::swarm::lanes::{Outgoing, SendError};
use crate::swarm::metrics::Metrics;
use bytes::Bytes;
use prost::Message;
use quinn::VarInt;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// A function of the caller's, to be run without the lock.
pub(super) type Call = Box<dyn FnOnce() + Send>;

/// Waits for the end of all work.
pub(super) type Drained = Box<dyn FnOnce(Result<(), SwarmError>) + Send>;

/// Waits for an outcome.
type Settled = Box<dyn FnOnce(Result<TaskResult, SwarmError>) + Send>;

/// Topics that one agent may subscribe to.
const MAX_TOPICS: usize = 4096;

/// How long a peer may take to close a connection that is over.
const FAREWELL: Duration = Duration::from_secs(5);

/// An agent subscribes to [`MAX_TOPICS`] already.
#[derive(Debug, thiserror::Error)]
#[error("at most {MAX_TOPICS} topics an agent")]
pub(super) struct TooManyTopics;

/// Which part of its life a coordinator is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    Open,
    /// Takes no new tasks.
    Draining,
    Closed,
}

/// One login of one agent.
pub(super) struct Session {
    pub(super) agent: AgentId,
    pub(super) out: Outgoing,
    pub(super) agent_type: Arc<str>,
    pub(super) capabilities: Vec<Arc<str>>,
    pub(super) metadata: Arc<BTreeMap<String, String>>,
    pub(super) software: Arc<str>,
    pub(super) connected_at: Millis,
    pub(super) key_exchange: Arc<str>,
    pub(super) topics: HashSet<Arc<str>>,
    pub(super) credentials: Credentials,
    /// As its last heartbeat says.
    pub(super) load: f64,
    /// As its last heartbeat says.
    pub(super) memory_bytes: u64,
    /// It has said goodbye, or was replaced.
    pub(super) retired: bool,
    /// It was dropped for good, and why.
    pub(super) revoked: Option<String>,
    /// Its agent is not to come back, so its tasks do not wait for that.
    pub(super) expelled: bool,
    /// What it was when it said goodbye: the ledger forgets it then.
    pub(super) last: Option<AgentInfo>,
}

struct Waiter {
    task: TaskId,
    settled: Settled,
}

/// See the module.
pub(super) struct Hub {
    pub(super) ledger: Ledger,
    pub(super) life: Life,
    pub(super) sessions: HashMap<Generation, Session>,
    pub(super) current: HashMap<AgentId, Generation>,
    /// Who wants which topic.
    topics: HashMap<Arc<str>, HashSet<Generation>>,
    /// Topics that the program of the coordinator itself wants.
    pub(super) own_topics: HashSet<Arc<str>>,
    waiters: HashMap<WaiterId, Waiter>,
    waiting: HashMap<TaskId, Vec<WaiterId>>,
    last_waiter: u64,
    /// Tasks whose outcome is known to the ledger and not yet durable: to everybody else they still run.
    unreleased: HashSet<TaskId>,
    /// Called once nothing is queued or running.
    pub(super) drained: Vec<Drained>,
    /// Called when the coordinator is gone.
    pub(super) closing: Vec<Call>,
    /// It is gone.
    pub(super) gone: bool,
    /// First half of the public ids of this store.
    pub(super) store_prefix: String,
    pub(super) store: [u8; 16],
    pub(super) epoch: u64,
    pub(super) metrics: Arc<Metrics>,
    messages: u64,
    /// What a turn collects.
    changes: Vec<Change>,
    welcomes: Vec<(Generation, Bytes)>,
    effects: Vec<Effect>,
    replies: Vec<Reply>,
    pub(super) calls: Vec<Call>,
    pub(super) events: Vec<CoordinatorEvent>,
}

/// Answers a caller once the turn's changes are durable, or tells why they are not.
pub(super) struct Reply {
    /// Whose acceptance it waits for, if it does.
    pub(super) accepts: Option<TaskId>,
    pub(super) answer: Box<dyn FnOnce(Result<(), SwarmError>) + Send>,
}

/// First half of the public ids of a store.
pub(super) fn prefix_of(store: [u8; 16]) -> String {
    store[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Hub {
    pub(super) fn new(ledger: Ledger, store: [u8; 16], epoch: u64, metrics: Arc<Metrics>) -> Self {
        Self {
            ledger,
            life: Life::Open,
            sessions: HashMap::new(),
            current: HashMap::new(),
            topics: HashMap::new(),
            own_topics: HashSet::new(),
            waiters: HashMap::new(),
            waiting: HashMap::new(),
            last_waiter: 0,
            unreleased: HashSet::new(),
            drained: Vec::new(),
            closing: Vec::new(),
            gone: false,
            store_prefix: prefix_of(store),
            store,
            epoch,
            metrics,
            messages: 0,
            changes: Vec::new(),
            welcomes: Vec::new(),
            effects: Vec::new(),
            replies: Vec::new(),
            calls: Vec::new(),
            events: Vec::new(),
        }
    }

    // ---------------------------------------------------------------------------------------------- names

    pub(super) fn public_id(&self, task: TaskId) -> String {
        audited::public_id(&self.store_prefix, task)
    }

    /// The task that an id of this store or a key names.
    pub(super) fn find(&self, id_or_key: &str) -> Option<TaskId> {
        self.parse(id_or_key).or_else(|| self.ledger.by_key(id_or_key))
    }

    /// Whether a text is an id, and so cannot be a key.
    pub(super) fn is_id(&self, text: &str) -> bool {
        self.parse(text).is_some()
    }

    fn parse(&self, id: &str) -> Option<TaskId> {
        let number = id.strip_prefix(self.store_prefix.as_str())?.strip_prefix('-')?;
        // What `public_id` writes: no sign, no leading zero, no capitals.
        let written = number.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !written || number.starts_with('0') {
            return None;
        }
        u64::from_str_radix(number, 16).ok().map(TaskId)
    }

    /// Whether the outcome of a task may be shown.
    pub(super) fn released(&self, task: TaskId) -> bool {
        !self.unreleased.contains(&task)
    }

    // --------------------------------------------------------------------------------------------- effects

    /// Answers once the changes of this turn are durable.
    pub(super) fn reply(
        &mut self,
        accepts: Option<TaskId>,
        answer: impl FnOnce(Result<(), SwarmError>) + Send + 'static,
    ) {
        self.replies.push(Reply { accepts, answer: Box::new(answer) });
    }

    /// Ends a turn: what follows from it happens, at once or after the commit.
    pub(super) fn end_turn(&mut self, committer: Option<&Committer>, now: Millis) {
        self.ledger.drain(&mut self.changes, &mut self.effects);
        match committer {
            Some(committer) if !self.changes.is_empty() || !committer.is_idle() => {
                let nothing = self.changes.is_empty() && self.effects.is_empty();
                if nothing && self.replies.is_empty() && self.welcomes.is_empty() {
                    return;
                }
                for effect in &self.effects {
                    if let Effect::Settled { task, .. } = effect {
                        self.unreleased.insert(*task);
                    }
                }
                committer.push(Turn {
                    welcomes: std::mem::take(&mut self.welcomes),
                    changes: std::mem::take(&mut self.changes),
                    effects: std::mem::take(&mut self.effects),
                    replies: std::mem::take(&mut self.replies),
                });
            }
            _ => {
                self.changes.clear();
                for (generation, frames) in std::mem::take(&mut self.welcomes) {
                    self.send_welcome(generation, &frames);
                }
                let mut effects = std::mem::take(&mut self.effects);
                for effect in effects.drain(..) {
                    self.perform(effect, now);
                }
                self.effects = effects;
                for reply in self.replies.drain(..) {
                    self.calls.push(Box::new(move || (reply.answer)(Ok(()))));
                }
            }
        }
    }

    /// A turn whose changes are durable.
    pub(super) fn release(&mut self, turn: Turn, now: Millis) {
        let Turn { welcomes, effects, replies, .. } = turn;
        for (generation, frames) in welcomes {
            self.send_welcome(generation, &frames);
        }
        for effect in effects {
            self.perform(effect, now);
        }
        for reply in replies {
            self.calls.push(Box::new(move || (reply.answer)(Ok(()))));
        }
    }

    /// The frames of a Welcome leave when what it says is durable: an agent forgets what it does not list.
    pub(super) fn welcome(&mut self, generation: Generation, frames: Bytes) {
        self.welcomes.push((generation, frames));
    }

    fn send_welcome(&self, generation: Generation, frames: &[u8]) {
        let Some(session) = self.sessions.get(&generation) else { return };
        if let Err(error) = session.out.send_encoded(Lane::Control, frames) {
            tracing::warn!(agent = %session.agent, %error, "no welcome");
            self.end(generation, Code::Overloaded, "it does not read what it is sent");
        }
    }

    fn perform(&mut self, effect: Effect, now: Millis) {
        match effect {
            Effect::Assign { generation, fence, task, deadline, .. } => {
                let used = self.ledger.task(task.id).map_or(1, |view| view.attempts);
                let header = Assign {
                    task: task.id.0,
                    epoch: fence.epoch,
                    attempt: fence.attempt,
                    kind: task.spec.kind.to_string(),
                    key: task.spec.key.as_deref().map(str::to_owned),
                    deadline_ms: deadline.map(|deadline| deadline.saturating_sub(now)),
                    attempt_timeout_ms: task.spec.attempt_timeout_ms,
                    progress_timeout_ms: task.spec.progress_timeout_ms,
                    used_attempts: used.saturating_sub(1),
                };
                self.send(generation, FrameKind::Assign, 0, &header, &task.spec.payload);
            }
            Effect::Acknowledge { generation, task, fence, .. } => {
                let header = ResultAck { task: task.0, epoch: fence.epoch, attempt: fence.attempt };
                let Some(session) = self.sessions.get(&generation) else { return };
                if session.out.send_lazily(FrameKind::ResultAck, &header).is_err() {
                    self.end(generation, Code::Overloaded, "it does not read what it is sent");
                }
            }
            Effect::Cancel { generation, task, fence, reason, .. } => {
                let reason = match reason {
                    CancelReason::Cancelled => messages::CancelReason::Cancelled,
                    CancelReason::Timeout => messages::CancelReason::Deadline,
                    CancelReason::AttemptTimeout => messages::CancelReason::AttemptTimeout,
                };
                let Fence { epoch, attempt } = fence;
                let header = Cancel { task: task.0, epoch, attempt, reason: reason.into() };
                self.send(generation, FrameKind::Cancel, 0, &header, &Bytes::new());
            }
            Effect::Settled { task, outcome } => {
                let kind = self.ledger.task(task).map(|view| view.kind);
                self.metrics.settled(kind.as_deref().unwrap_or(""), &outcome);
                if let Outcome::Failed { failure, attempts } = outcome.as_ref() {
                    let error = failure.message.clone();
                    let kind = kind.unwrap_or_else(|| Arc::from(""));
                    self.notice(task, kind, *attempts, error, CoordinatorEvent::TaskFailed);
                }
                self.settle(task, &outcome);
            }
            Effect::Retried { task, kind, attempts, failure } => {
                self.metrics.retried(&kind);
                self.notice(task, kind, attempts, failure.message, CoordinatorEvent::TaskRetried);
            }
            Effect::Replace { generation, .. } => {
                let message = "another process has logged in under this id".to_owned();
                let header = Goodbye { code: Code::SessionReplaced.into(), message };
                self.send(generation, FrameKind::Goodbye, 0, &header, &Bytes::new());
                self.retire(generation);
            }
            Effect::Abandon { generation, .. } => self.end(generation, Code::Closed, "came back elsewhere"),
            Effect::Lost { generation, .. } => self.end(generation, Code::Timeout, "no heartbeat in time"),
        }
    }

    /// A session that is over, and whose connection is for the peer to close: nothing is served on it any more, and the
    /// peer has a moment.
    pub(super) fn retire(&mut self, generation: Generation) {
        let Some(session) = self.sessions.get_mut(&generation) else { return };
        session.retired = true;
        session.out.close_within(FAREWELL);
        let topics = std::mem::take(&mut session.topics);
        let agent = session.agent.clone();
        for topic in &topics {
            self.drop_subscriber(generation, topic);
        }
        if self.current.get(&agent) == Some(&generation) {
            self.current.remove(&agent);
        }
    }

    /// Whether what a session says is still heard.
    pub(super) fn serves(&self, generation: Generation) -> bool {
        self.sessions.get(&generation).is_some_and(|session| !session.retired)
    }

    /// Ends a session whose certificate is not accepted any more.
    pub(super) fn end_for(&mut self, generation: Generation, refusal: Refusal) {
        let Some(session) = self.sessions.get_mut(&generation) else { return };
        let why = refusal.to_string();
        session.out.connection().close(VarInt::from_u32(Code::Unauthenticated as u32), why.as_bytes());
        session.revoked.get_or_insert(why);
        session.expelled |= refusal == Refusal::Revoked;
    }

    /// Ends every session of an agent that is not welcome any more.
    pub(super) fn expel(&mut self, agent: &str, why: &str) {
        for session in self.sessions.values_mut().filter(|session| &*session.agent == agent) {
            session.revoked =
                Some(if why.is_empty() { "revoked".to_owned() } else { format!("revoked: {why}") });
            session.expelled = true;
            let code = VarInt::from_u32(Code::Unauthenticated as u32);
            session.out.connection().close(code, b"the certificate was revoked");
        }
    }

    fn end(&self, generation: Generation, code: Code, reason: &str) {
        if let Some(session) = self.sessions.get(&generation) {
            session.out.connection().close(VarInt::from_u32(code as u32), reason.as_bytes());
        }
    }

    fn notice(
        &mut self,
        task: TaskId,
        kind: Arc<str>,
        attempts: u32,
        error: String,
        event: fn(TaskNotice) -> CoordinatorEvent,
    ) {
        let task_id = self.public_id(task);
        self.events.push(event(TaskNotice { task_id, kind, attempts, error }));
    }

    /// Sends to a session, if it is still there: what was lost with it, its resumption brings up again.
    pub(super) fn send(
        &self,
        generation: Generation,
        kind: FrameKind,
        request: u64,
        header: &impl Message,
        payload: &Bytes,
    ) {
        let Some(session) = self.sessions.get(&generation) else { return };
        match session.out.send(kind, request, header, payload) {
            Ok(()) => {}
            Err(SendError::SlowPeer) => {
                self.end(generation, Code::Overloaded, "it does not read what it is sent");
            }
            Err(SendError::Frame(error)) => {
                // Names and keys are bounded when they are accepted; a header that is too long is our mistake.
                tracing::error!(agent = %session.agent, %kind, %error, "a frame was not sent");
            }
        }
    }

    pub(super) fn heartbeat(&mut self, generation: Generation, heartbeat: &Heartbeat) {
        if let Some(session) = self.sessions.get_mut(&generation) {
            session.load = if heartbeat.load.is_finite() { f64::from(heartbeat.load.max(0.0)) } else { 0.0 };
            session.memory_bytes = heartbeat.memory_bytes;
        }
        let ack = HeartbeatAck { seq: heartbeat.seq };
        self.send(generation, FrameKind::HeartbeatAck, 0, &ack, &Bytes::new());
    }

    // -------------------------------------------------------------------------------------------- sessions

    /// Why a session may not use a topic, in words; None where it may.
    pub(super) fn refuse_topic(
        &mut self,
        generation: Generation,
        topic: &str,
        audit: &dyn Audit,
    ) -> Option<String> {
        let credentials = &mut self.sessions.get_mut(&generation)?.credentials;
        if credentials.rights().topic(topic) {
            return None;
        }
        if credentials.is_news("topics", topic) {
            audit.note(grant_refused(credentials.peer(), topic, "topics"));
        }
        Some(format!("this identity may not use the topic {topic:?}"))
    }

    /// Kinds that an agent has handlers for and may not be given: the ledger passes it over, and an operator should know why.
    pub(super) fn note_kinds(&mut self, generation: Generation, kinds: &[Arc<str>], audit: &dyn Audit) {
        let Some(session) = self.sessions.get_mut(&generation) else { return };
        let credentials = &mut session.credentials;
        let Some(allowed) = credentials.rights().kinds() else { return };
        // What is built in comes with every agent; nobody asked for it.
        for kind in kinds.iter().filter(|kind| !KINDS.contains(&&***kind) && !allowed.contains(kind)) {
            if credentials.is_news("kinds", kind) {
                tracing::warn!(agent = %session.agent, %kind, "an agent has a handler for a kind that it may not be given");
                audit.note(grant_refused(credentials.peer(), kind, "kinds"));
            }
        }
    }

    pub(super) fn subscribe(&mut self, generation: Generation, topic: &str) -> Result<(), TooManyTopics> {
        let Some(session) = self.sessions.get_mut(&generation) else { return Ok(()) };
        if session.topics.len() >= MAX_TOPICS && !session.topics.contains(topic) {
            return Err(TooManyTopics);
        }
        let topic: Arc<str> = Arc::from(topic);
        session.topics.insert(topic.clone());
        self.topics.entry(topic).or_default().insert(generation);
        Ok(())
    }

    pub(super) fn unsubscribe(&mut self, generation: Generation, topic: &str) {
        if let Some(session) = self.sessions.get_mut(&generation) {
            session.topics.remove(topic);
        }
        self.drop_subscriber(generation, topic);
    }

    fn drop_subscriber(&mut self, generation: Generation, topic: &str) {
        if let Some(subscribers) = self.topics.get_mut(topic) {
            subscribers.remove(&generation);
            if subscribers.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// Sends a message to every agent that subscribes to its topic, but not back to whom it came from, and to the
    /// program of the coordinator; returns to how many agents it went.
    pub(super) fn publish(
        &mut self,
        from: &Arc<str>,
        publisher: Option<Generation>,
        topic: &str,
        content: i32,
        payload: &Bytes,
    ) -> u32 {
        self.messages += 1;
        let header =
            Publish { topic: topic.to_owned(), from: from.to_string(), content, message_id: self.messages };
        let mut reached = 0;
        for &generation in self.topics.get(topic).into_iter().flatten() {
            if Some(generation) != publisher {
                self.send(generation, FrameKind::Publish, 0, &header, payload);
                reached += 1;
            }
        }
        if publisher.is_some()
            && let Some(topic) = self.own_topics.get(topic)
        {
            self.events.push(CoordinatorEvent::Message {
                topic: topic.clone(),
                from: from.clone(),
                payload: payload.clone(),
            });
        }
        reached
    }

    /// A command to every agent, or to the one of that name; how many it went to.
    pub(super) fn adapt(&self, to: Option<&str>, command: &str, payload: &Bytes) -> u32 {
        let header = Adapt { command: command.to_owned() };
        let mut sent = 0;
        for (agent, &generation) in &self.current {
            if to.is_none_or(|to| **agent == *to) {
                self.send(generation, FrameKind::Adapt, 0, &header, payload);
                sent += 1;
            }
        }
        sent
    }

    /// Before the ledger forgets a session: what is told of it when its connection has ended.
    pub(super) fn remember(&mut self, generation: Generation) {
        let last = self.sessions.get(&generation).map(|session| self.info(generation, session));
        if let Some(session) = self.sessions.get_mut(&generation) {
            session.last = last;
        }
    }

    /// A session's connection has ended. Says what that means for its tasks.
    pub(super) fn disconnected(
        &mut self,
        generation: Generation,
        reason: &str,
        audit: &dyn Audit,
    ) -> Departure {
        let Some(session) = self.sessions.get(&generation) else { return Departure::Disconnected };
        let info = session.last.clone().unwrap_or_else(|| self.info(generation, session));
        let Some(session) = self.sessions.remove(&generation) else { return Departure::Disconnected };
        let departure = if session.expelled { Departure::Expelled } else { Departure::Disconnected };
        for topic in &session.topics {
            self.drop_subscriber(generation, topic);
        }
        if self.current.get(&session.agent) == Some(&generation) {
            self.current.remove(&session.agent);
        }
        let reason = session.revoked.unwrap_or_else(|| reason.to_owned());
        audit.note(audited::disconnected(session.credentials.peer(), &reason));
        tracing::info!(agent = %session.agent, reason, "agent left");
        self.events.push(CoordinatorEvent::AgentLeft { agent: info, reason });
        departure
    }

    pub(super) fn info(&self, generation: Generation, session: &Session) -> AgentInfo {
        let seen = self.ledger.agent_named(&session.agent).filter(|seen| seen.generation == generation);
        let seen = seen.as_ref();
        let connection = session.out.connection();
        AgentInfo {
            id: session.agent.clone(),
            agent_type: session.agent_type.clone(),
            capabilities: session.capabilities.clone(),
            metadata: session.metadata.clone(),
            software: session.software.clone(),
            connected_at: session.connected_at,
            last_seen_at: seen.map_or(session.connected_at, |seen| seen.last_heard_at),
            running: seen.map_or(0, |seen| seen.running as u64),
            completed: seen.map_or(0, |seen| seen.completed),
            failed: seen.map_or(0, |seen| seen.failed),
            load: session.load,
            memory_bytes: session.memory_bytes,
            rtt_ms: connection.rtt().as_secs_f64() * 1e3,
            remote_address: connection.remote_address().to_string(),
            key_exchange: session.key_exchange.clone(),
        }
    }

    pub(super) fn agents(&self) -> Vec<AgentInfo> {
        let current = self
            .current
            .values()
            .filter_map(|&generation| Some(self.info(generation, self.sessions.get(&generation)?)));
        let mut agents: Vec<_> = current.collect();
        agents.sort_by(|a, b| a.id.cmp(&b.id));
        agents
    }
}
