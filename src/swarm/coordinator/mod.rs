//! The coordinator: accepts tasks, gives them to agents, and keeps their outcomes.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`types`] | what goes in and what comes out |
//! | [`agent_record`] | an agent as JSON |
//! | [`checks`] | what a task may claim |
//! | [`door`] | who may begin a handshake, under load and under attack |
//! | [`entrance`] | lets agents in: handshakes, and how many connections an identity may have |
//! | [`hub`] | the ledger and everything that threads share |
//! | [`shared`] | turns, and the checks before them |
//! | [`committer`] | makes changes durable before their effects happen |
//! | [`start`] | opens the store and the sockets |
//! | [`refused`] | agents that were dropped for good |
//! | [`connection`] | one agent's connection, from its login to its end |
//! | [`enrolment`] | join tokens, and who gets an identity for one |
//! | [`sync`] | links for AgentDB sync, and the relay behind them |
//! | [`trust`] | whom to believe, and for how long |

mod agent_record;
mod audited;
mod checks;
mod committer;
mod connection;
mod door;
mod enrolment;
mod entrance;
mod hub;
mod refused;
mod shared;
mod start;
mod sync;
mod trust;
mod types;

pub use agent_record::AgentRecord;
pub use sync::engine::{LinkFailure, RelayEngine, RelayOpener};
pub use types::{
    Accepted, AgentInfo, CoordinatorConfig, CoordinatorEvent, LogListener, SwarmStats, TaskNotice,
    TaskRequest, TaskResult, TaskState, TaskStateName, WaiterId,
};

use super::clock::Clock;
use super::error::{SwarmCode, SwarmError};
use super::http::Monitored;
use super::lanes::Traffic;
use super::logs::Subscription;
use super::metrics::{Metrics, Present};
use super::network::Network;
use super::once::Once;
use crate::protocol::messages::{Code, Content, FrameKind, Goodbye};
use crate::security::audit::{Action, Anchor, Audit, AuditLog};
use crate::security::{
    Admission, CertificateAuthority, Grants, Identity, JoinToken, check_id, check_reason, now_ms,
};
use bytes::Bytes;
use committer::Committer;
use hub::{Hub, Life};
use refused::Refused;
use shared::fingerprint;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;
use sync::relay::Relay;
use tokio::sync::Notify;
use trust::Trust;

/// How long `close` waits for agents to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// A handle to a coordinator; clones are the same one. It ends by [`close`](Coordinator::close) alone.
#[derive(Clone)]
pub struct Coordinator(Arc<Shared>);

type Listener = Arc<dyn Fn(CoordinatorEvent) + Send + Sync>;

/// What all threads of a coordinator know.
struct Shared {
    id: String,
    /// In whole, as the audit log has it; every identity that it may be given has the same.
    name: Arc<str>,
    address: String,
    http_address: OnceLock<String>,
    config: CoordinatorConfig,
    clock: Clock,
    network: Mutex<Option<Network>>,
    /// None once it is closed: then its port is free.
    endpoint: Mutex<Option<quinn::Endpoint>>,
    /// Where machines enrol, if they do. None once it is closed.
    enrolment: Mutex<Option<super::enrolment::Endpoint>>,
    enroll_address: Option<String>,
    admission: Admission,
    development: Option<CertificateAuthority>,
    /// The authority that it was given.
    trust: Option<Trust>,
    /// Who it is at present.
    identity: Mutex<Identity>,
    /// The identity was changed by the program.
    rotated: Notify,
    audit: Arc<dyn Audit>,
    /// The same, where there is a data directory.
    audit_log: Option<Arc<AuditLog>>,
    /// First half of the public ids of its tasks.
    store_prefix: String,
    traffic: Arc<Traffic>,
    metrics: Arc<Metrics>,
    committer: Option<Committer>,
    store_thread: Mutex<Option<thread::JoinHandle<()>>>,
    listener: Listener,
    hub: Mutex<Hub>,
    /// The ledger has an earlier deadline than the timer knows, or the coordinator was closed.
    timer: Notify,
    refused: Mutex<Refused>,
    relay: Relay,
    /// Everything that this coordinator logs is inside.
    span: tracing::Span,
    /// Where that goes.
    _log: Option<Subscription>,
}

impl Coordinator {
    /// Starts one; `started` runs on a thread of the coordinator's when it listens, or why it does not. Everything
    /// that it has to report of its own accord goes to `listener`.
    pub fn start(
        config: CoordinatorConfig,
        listener: Arc<dyn Fn(CoordinatorEvent) + Send + Sync>,
        started: impl FnOnce(Result<Self, SwarmError>) + Send + 'static,
    ) {
        start::start(config, listener, Box::new(started));
    }

    /// Its id, from its certificate.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// `host:port` that agents dial.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// `host:port` at which machines with a join token get an identity, if they do.
    pub fn enroll_address(&self) -> Option<&str> {
        self.0.enroll_address.as_deref()
    }

    /// Makes a join token, good for `uses` agents within `ttl_ms`, which may do what `grants` say. `done` gets it when it
    /// is kept.
    ///
    /// `done` gets FORBIDDEN without an authority or an endpoint for enrolment, INVALID_ARGUMENT naming what makes no
    /// sense, STORE when it could not be kept.
    pub fn create_join_token(
        &self,
        ttl_ms: u64,
        uses: u32,
        grants: Grants,
        done: impl FnOnce(Result<JoinToken, SwarmError>) + Send + 'static,
    ) {
        if let Err(error) = self.0.check_open(&self.0.lock()) {
            return done(Err(error));
        }
        let shared = self.0.clone();
        let made = Once::new(done);
        let told = made.clone();
        // Files may be slow.
        let thread = thread::Builder::new().name("midstreamer-token".to_owned()).spawn(move || {
            let _inside = shared.span.clone().entered();
            made.run(enrolment::create_token(&shared, ttl_ms, uses, &grants));
        });
        if let Err(error) = thread {
            told.run(Err(SwarmError::new(SwarmCode::Internal, format!("no thread to make it: {error}"))));
        }
    }

    /// `host:port` of metrics and health, if they are served.
    pub fn http_address(&self) -> Option<&str> {
        self.0.http_address.get().map(String::as_str)
    }

    /// An identity from the throw-away authority.
    ///
    /// # Errors
    /// FORBIDDEN when the coordinator was given a real identity; INVALID_ARGUMENT for an id that is none.
    pub fn development_identity(&self, agent_id: &str) -> Result<Identity, SwarmError> {
        let authority = self.0.development.as_ref().ok_or_else(|| {
            SwarmError::new(
                SwarmCode::Forbidden,
                "developmentIdentity needs a coordinator without an identity of its own: this one has a real one",
            )
        })?;
        let identity = start::agent_identity(authority, agent_id)?;
        let operator = audited::OPERATOR.to_owned();
        self.0.audit.note(audited::identity(Action::IdentityIssued, operator, identity.peer()));
        Ok(identity)
    }

    /// Accepts a task; `done` runs when it is accepted, durably where there is a data directory.
    pub fn enqueue(
        &self,
        task: TaskRequest,
        done: impl FnOnce(Result<Accepted, SwarmError>) + Send + 'static,
    ) {
        // A hash of 64 MiB takes a while: before the turn, not inside.
        let digest = task.key.as_ref().map(|_| fingerprint(&task.kind, &task.payload));
        let key = task.key.clone();
        self.0.turn(|hub, now| {
            let accepted = self.0.spec(hub, task, digest).and_then(|(spec, digest)| {
                hub.ledger
                    .enqueue(spec, digest, true, now)
                    .map_err(|refusal| self.0.refusal(refusal, key.as_deref()))
            });
            match accepted {
                Ok(accepted) => {
                    let out = Accepted {
                        task_id: hub.public_id(accepted.task),
                        deduplicated: accepted.deduplicated,
                    };
                    hub.reply(Some(accepted.task), move |kept| done(kept.map(|()| out)));
                }
                Err(error) => hub.calls.push(Box::new(move || done(Err(error)))),
            }
        });
    }

    /// Accepts a task and waits for its outcome.
    pub fn submit(
        &self,
        task: TaskRequest,
        done: impl FnOnce(Result<TaskResult, SwarmError>) + Send + 'static,
    ) -> WaiterId {
        let digest = task.key.as_ref().map(|_| fingerprint(&task.kind, &task.payload));
        let key = task.key.clone();
        self.0.turn(|hub, now| {
            let accepted = self.0.spec(hub, task, digest).and_then(|(spec, digest)| {
                hub.ledger
                    .enqueue(spec, digest, false, now)
                    .map_err(|refusal| self.0.refusal(refusal, key.as_deref()))
            });
            match accepted {
                Ok(accepted) => hub.wait(accepted.task, Box::new(done)),
                Err(error) => {
                    hub.calls.push(Box::new(move || done(Err(error))));
                    WaiterId(0)
                }
            }
        })
    }

    /// Waits for the outcome of a task of this or an earlier life.
    pub fn result(
        &self,
        id_or_key: &str,
        done: impl FnOnce(Result<TaskResult, SwarmError>) + Send + 'static,
    ) -> WaiterId {
        self.0.turn(|hub, _| {
            let found = self.0.check_open(hub).and_then(|()| {
                hub.find(id_or_key).ok_or_else(|| {
                    SwarmError::new(SwarmCode::NotFound, format!("there is no task {id_or_key:?}"))
                })
            });
            match found {
                Ok(task) => hub.wait(task, Box::new(done)),
                Err(error) => {
                    hub.calls.push(Box::new(move || done(Err(error))));
                    WaiterId(0)
                }
            }
        })
    }

    /// The waiter's function runs with ABORTED. A task that nobody waits for any more, and that was never enqueued without
    /// waiting, is cancelled.
    pub fn leave(&self, waiter: WaiterId) {
        self.0.turn(|hub, now| hub.leave(waiter, now));
    }

    /// Where a task is.
    pub fn task(&self, id_or_key: &str) -> Option<TaskState> {
        let hub = self.0.lock();
        let task = hub.find(id_or_key)?;
        self.0.state_of(&hub, task)
    }

    /// Cancels a task; `done` gets whether it had no outcome yet.
    pub fn cancel(&self, id_or_key: &str, done: impl FnOnce(Result<bool, SwarmError>) + Send + 'static) {
        self.0.turn(|hub, now| {
            let cancelled = self
                .0
                .check_open(hub)
                .map(|()| hub.find(id_or_key).is_some_and(|task| hub.ledger.cancel(task, now)));
            match cancelled {
                Ok(cancelled) => hub.reply(None, move |kept| done(kept.map(|()| cancelled))),
                Err(error) => hub.calls.push(Box::new(move || done(Err(error)))),
            }
        });
    }

    /// Tasks that failed for good and are still kept, oldest first.
    pub fn dead_letters(&self) -> Vec<TaskState> {
        let hub = self.0.lock();
        let released = hub.ledger.dead_letters().filter(|&task| hub.released(task));
        released.filter_map(|task| self.0.state_of(&hub, task)).collect()
    }

    /// Puts a dead letter back into the queue, with all its attempts.
    pub fn retry_dead_letter(
        &self,
        task_id: &str,
        done: impl FnOnce(Result<(), SwarmError>) + Send + 'static,
    ) {
        self.0.turn(|hub, now| {
            let task = hub.find(task_id);
            let retried = self.0.check_taking(hub).and_then(|()| {
                let missing =
                    || SwarmError::new(SwarmCode::NotFound, format!("there is no dead letter {task_id:?}"));
                let task = task.ok_or_else(missing)?;
                hub.ledger
                    .retry_dead_letter(task, now)
                    .map_err(|refusal| self.0.refusal(refusal, Some(task_id)))
            });
            match retried {
                Ok(()) => hub.reply(None, done),
                Err(error) => hub.calls.push(Box::new(move || done(Err(error)))),
            }
        });
    }

    /// Sends a message to the agents that subscribe to the topic; `done` gets how many.
    pub fn publish(
        &self,
        topic: &str,
        payload: Bytes,
        done: impl FnOnce(Result<u64, SwarmError>) + Send + 'static,
    ) {
        self.0.turn(|hub, _| {
            let sent = self.0.check_open(hub).and_then(|()| self.0.check_message(&payload)).map(|()| {
                let from: Arc<str> = Arc::from(self.0.id.as_str());
                u64::from(hub.publish(&from, None, topic, Content::Generic.into(), &payload))
            });
            hub.calls.push(Box::new(move || done(sent)));
        });
    }

    /// Sends a command to adapt to every connected agent, or to the one with the id `to`; returns to how many.
    ///
    /// # Errors
    /// CLOSED, TOO_LARGE.
    pub fn adapt(&self, to: Option<&str>, command: &str, payload: &Bytes) -> Result<u64, SwarmError> {
        let hub = self.0.lock();
        self.0.check_open(&hub)?;
        self.0.check_message(payload)?;
        Ok(u64::from(hub.adapt(to, command, payload)))
    }

    /// Counts the quality of a verdict among the metrics, 0 to 1.
    pub fn judged(&self, quality: f64) {
        self.0.metrics.quality(quality);
    }

    /// Messages of agents on this topic come as events.
    pub fn subscribe(&self, topic: &str) {
        self.0.lock().own_topics.insert(Arc::from(topic));
    }

    /// They no longer come.
    pub fn unsubscribe(&self, topic: &str) {
        self.0.lock().own_topics.remove(topic);
    }

    /// The connected agents, by id.
    pub fn agents(&self) -> Vec<AgentInfo> {
        self.0.lock().agents()
    }

    /// Numbers since the start.
    pub fn stats(&self) -> SwarmStats {
        let (counts, agents) = {
            let hub = self.0.lock();
            (hub.ledger.counts(), hub.current.len() as u64)
        };
        SwarmStats {
            agents,
            queued: counts.queued as u64,
            running: counts.running as u64,
            completed: counts.completed,
            failed: counts.failed,
            retried: counts.retried,
            dead_lettered: counts.dead_letters as u64,
            bytes_in: self.0.traffic.received.load(Ordering::Relaxed),
            bytes_out: self.0.traffic.sent.load(Ordering::Relaxed),
            uptime_ms: self.0.clock.uptime_ms(),
        }
    }

    /// Prometheus text.
    pub fn metrics(&self) -> String {
        let present = Present {
            failing: self.0.failing(),
            audit: self.0.audit_log.as_ref().map(|log| log.counts()),
            identity_ends_ms: self.0.identity().peer().not_after,
        };
        self.0.metrics.text(&self.stats(), &present)
    }

    /// Drops an agent now and refuses it from now on, whatever its certificate says; kept in the data directory where
    /// there is one, and in the register of the authority where there is one. `done` gets STORE when it could not be kept: then the agent is dropped, and refused by this process alone.
    pub fn revoke(
        &self,
        agent_id: &str,
        reason: &str,
        done: impl FnOnce(Result<(), SwarmError>) + Send + 'static,
    ) {
        if let Err(error) = check_id(agent_id) {
            return done(Err(SwarmError::new(SwarmCode::InvalidArgument, format!("agentId: {error}"))));
        }
        if agent_id == self.0.id {
            let message = format!("agentId: {agent_id:?} is this coordinator itself");
            return done(Err(SwarmError::new(SwarmCode::InvalidArgument, message)));
        }
        // Before anything happens: half of a revocation is none.
        if let Err(error) = check_reason(Some(reason)) {
            return done(Err(error.into()));
        }
        let _inside = self.0.span.clone().entered();
        self.0.admission.revocations.refuse_id(agent_id);
        tracing::warn!(agent = agent_id, reason, "agent revoked");
        self.0.turn(|hub, _| hub.expel(agent_id, reason));
        let (shared, id, reason) = (self.0.clone(), agent_id.to_owned(), reason.to_owned());
        let kept = Once::new(done);
        let told = kept.clone();
        // The file may be slow; the agent is gone already.
        let thread = thread::Builder::new().name("midstreamer-revoke".to_owned()).spawn(move || {
            let _inside = shared.span.clone().entered();
            let listed = shared.refused.lock().unwrap_or_else(PoisonError::into_inner).add(&id);
            let taken_back = trust::revoke(&shared, &id, &reason);
            // Whatever became of those: it is refused, and that is what has to be known.
            let failed = listed.as_ref().and(taken_back.as_ref()).err().map(ToString::to_string);
            let entry = audited::revoked(&id, &reason, failed.as_deref());
            let recorded = shared.audit.record(entry).map_err(SwarmError::from);
            kept.run(listed.and(taken_back).and(recorded));
        });
        if let Err(error) = thread {
            told.run(Err(SwarmError::new(SwarmCode::Store, format!("no thread to keep it: {error}"))));
        }
    }

    /// New handshakes use this identity; live connections stay. This blocks until the audit log has it.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for an identity of another coordinator or swarm, FORBIDDEN for a throw-away one, STORE when the audit
    /// log does not take it.
    pub fn rotate_identity(&self, identity: &Identity) -> Result<(), SwarmError> {
        self.0.check_open(&self.0.lock())?;
        start::rotate(&self.0, identity)?;
        self.0.rotated.notify_one();
        Ok(())
    }

    /// Writes down a step of a key of a keyring of this program; `done` gets STORE when that could not be kept.
    pub fn audit_key(
        &self,
        step: &str,
        key: &str,
        done: impl FnOnce(Result<(), SwarmError>) + Send + 'static,
    ) {
        if let Err(error) = self.0.check_open(&self.0.lock()) {
            return done(Err(error));
        }
        let (shared, entry) = (self.0.clone(), audited::key_changed(step, key));
        let kept = Once::new(done);
        let told = kept.clone();
        // It waits for the disk.
        let thread = thread::Builder::new().name("midstreamer-key".to_owned()).spawn(move || {
            kept.run(shared.audit.record(entry).map_err(SwarmError::from));
        });
        if let Err(error) = thread {
            told.run(Err(SwarmError::new(SwarmCode::Store, format!("no thread to write it down: {error}"))));
        }
    }

    /// Where the audit log is, the public key of its checkpoints, and its last entry; None without a data directory.
    pub fn audit_log(&self) -> Option<(&str, &str, Anchor)> {
        self.0.audit_log.as_ref().map(|log| (log.place(), log.public_key(), log.head()))
    }

    /// Takes nothing new and waits until nothing is queued or running; TIMEOUT when that takes too long, and then it
    /// still takes nothing new.
    pub fn drain(&self, timeout_ms: Option<u64>, done: impl FnOnce(Result<(), SwarmError>) + Send + 'static) {
        let done = Once::new(done);
        let drained = done.clone();
        let network = self.0.network.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.0.turn(|hub, _| {
            if let Err(error) = self.0.check_open(hub) {
                hub.calls.push(Box::new(move || drained.run(Err(error))));
                return;
            }
            hub.life = Life::Draining;
            hub.drained.push(Box::new(move |outcome| drained.run(outcome)));
        });
        if let (Some(timeout_ms), Some(network)) = (timeout_ms, network) {
            network.spawn(async move {
                tokio::time::sleep(Duration::from_millis(timeout_ms)).await;
                let message = format!("tasks were left after {timeout_ms} ms");
                done.run(Err(SwarmError::new(SwarmCode::Timeout, message)));
            });
        }
    }

    /// Ends it: waiters get CLOSED, agents a goodbye; durable tasks remain. `done` runs when sockets, threads and store
    /// are gone; every further call is answered the same way.
    pub fn close(&self, done: impl FnOnce() + Send + 'static) {
        let first = {
            let mut hub = self.0.lock();
            let first = hub.life != Life::Closed;
            hub.life = Life::Closed;
            if hub.gone {
                hub.calls.push(Box::new(done));
            } else {
                hub.closing.push(Box::new(done));
            }
            hub.reject_waiters(&SwarmError::closed("coordinator"));
            for drained in std::mem::take(&mut hub.drained) {
                hub.calls.push(Box::new(move || drained(Err(SwarmError::closed("coordinator")))));
            }
            if first {
                // What is left is for the next life: nobody is given a task that it will refuse.
                hub.ledger.suspend();
                let message = "the coordinator is closing".to_owned();
                let header = Goodbye { code: Code::Closed.into(), message };
                let generations: Vec<_> = hub.sessions.keys().copied().collect();
                for generation in generations {
                    hub.send(generation, FrameKind::Goodbye, 0, &header, &Bytes::new());
                }
            }
            self.0.leave(hub);
            first
        };
        if !first {
            return;
        }
        let shared = self.0.clone();
        // The network thread cannot wait for its own end.
        let ended = thread::Builder::new().name("midstreamer-close".to_owned()).spawn(move || {
            start::end(&shared, GOODBYE);
        });
        if let Err(error) = ended {
            tracing::error!(%error, "no thread to close the coordinator with: its sockets stay open");
            self.0.gone();
        }
    }
}

impl Monitored for Coordinator {
    fn metrics(&self) -> String {
        self.metrics()
    }

    fn agents(&self) -> Result<String, serde_json::Error> {
        let agents = self.agents();
        serde_json::to_string(&agents.iter().map(|agent| AgentRecord::new(agent, None)).collect::<Vec<_>>())
    }

    fn not_ready(&self) -> Option<&'static str> {
        let failing = self.0.failing();
        if failing.store {
            return Some("the task store refuses to commit");
        }
        if failing.register {
            return Some("the register of the authority cannot be read");
        }
        if failing.relay {
            return Some("the store of the sync relay does not work");
        }
        if failing.audit {
            return Some("the audit log cannot be written");
        }
        if self.0.identity().peer().expired(now_ms()) {
            return Some("the certificate of the coordinator has ended");
        }
        match self.0.lock().life {
            Life::Open => None,
            Life::Draining => Some("draining"),
            Life::Closed => Some("closed"),
        }
    }
}
