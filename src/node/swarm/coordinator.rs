//! `NativeCoordinator`.

use super::super::authority::NativeAuthority;
use super::super::errors::Code;
use super::super::task::fallible_promise;
use super::environment::{self, Ends};
use super::headers::{
    AcceptedHeader, LogHeader, MessageHeader, NoticeHeader, ResultHeader, StateHeader, StatsHeader, json,
};
use super::identities::Identities;
use super::outbox::{Outbox, RecordType};
use super::{closed, identity, optional, small, texts, thrown};
use crate::calls::arguments::{copy, natural};
use crate::security::audit::{Anchor, hex_of_head};
use crate::security::{Grants, JoinToken};
use crate::swarm::coordinator::{
    Accepted, AgentRecord, CoordinatorConfig, CoordinatorEvent, LogListener, TaskRequest, TaskResult,
    WaiterId,
};
use crate::swarm::{Coordinator, SwarmError};
use bytes::Bytes;
use napi::bindgen_prelude::{BufferSlice, Function, PromiseRaw, Unknown};
use napi::{Env, Error};
use napi_derive::napi;
use serde::Serialize;
use std::mem;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A coordinator, and where it reports to.
struct Open {
    outbox: Arc<Outbox>,
    identities: Arc<Identities>,
    /// From its start until its end is known: what it holds is not to wait for the garbage collector.
    coordinator: Mutex<Option<Coordinator>>,
    ended: AtomicBool,
}

impl Ends for Open {
    fn end(&self, done: Box<dyn FnOnce() + Send>) {
        self.outbox.shut();
        self.identities.forget();
        self.ended.store(true, Ordering::SeqCst);
        if let Some(coordinator) = self.coordinator() {
            coordinator.close(done);
        }
    }
}

impl Open {
    fn coordinator(&self) -> Option<Coordinator> {
        self.coordinator.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, coordinator: Option<Coordinator>) {
        let before =
            mem::replace(&mut *self.coordinator.lock().unwrap_or_else(PoisonError::into_inner), coordinator);
        // Outside the lock: this may be the last handle.
        drop(before);
    }

    fn started(&self, request: f64, result: Result<Coordinator, SwarmError>) {
        let coordinator = match result {
            Ok(coordinator) => coordinator,
            Err(error) => return self.outbox.fail(request, &error),
        };
        self.set(Some(coordinator.clone()));
        if self.ended.load(Ordering::SeqCst) {
            // The environment ended meanwhile.
            coordinator.close(|| ());
        }
        let header = StartedHeader {
            id: coordinator.id(),
            address: coordinator.address(),
            enroll_address: coordinator.enroll_address(),
            http_address: coordinator.http_address(),
        };
        self.outbox.settle(request, &header);
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StartedHeader<'a> {
    id: &'a str,
    address: &'a str,
    enroll_address: Option<&'a str>,
    http_address: Option<&'a str>,
}

/// What a coordinator reports goes to the outbox.
fn report(outbox: &Outbox, event: CoordinatorEvent) {
    match event {
        CoordinatorEvent::AgentJoined(agent) => {
            outbox.push(RecordType::AgentJoined, 0.0, &AgentRecord::new(&agent, None), &[]);
        }
        CoordinatorEvent::AgentLeft { agent, reason } => {
            outbox.push(RecordType::AgentLeft, 0.0, &AgentRecord::new(&agent, Some(&reason)), &[]);
        }
        CoordinatorEvent::TaskFailed(task) => {
            outbox.offer(RecordType::TaskFailed, &NoticeHeader::from(&task), &[]);
        }
        CoordinatorEvent::TaskRetried(task) => {
            outbox.offer(RecordType::TaskRetried, &NoticeHeader::from(&task), &[]);
        }
        CoordinatorEvent::Message { topic, from, payload } => {
            outbox.offer(RecordType::Message, &MessageHeader { topic: &topic, from: &from }, &payload);
        }
    }
}

/// Log entries go there too.
fn log_to(outbox: &Arc<Outbox>) -> LogListener {
    let outbox = outbox.clone();
    Arc::new(move |entry| outbox.offer(RecordType::Log, &LogHeader::from(&entry), &[]))
}

/// Where the audit log is, its key, and its last entry.
#[napi(object, object_from_js = false)]
pub struct NativeAuditLog {
    pub path: String,
    pub public_key: String,
    pub seq: f64,
    pub head: String,
}

#[napi]
pub struct NativeCoordinator {
    open: Arc<Open>,
    ticket: u64,
}

#[napi]
impl NativeCoordinator {
    /// `wake` is called when there is something to take.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: &Env, wake: Function<'_, (), Unknown<'static>>) -> Result<Self, Error<Code>> {
        let outbox = Outbox::new(&wake).map_err(|error| Error::new(Code::INTERNAL, error.reason.clone()))?;
        let open = Arc::new(Open {
            outbox,
            identities: Arc::default(),
            coordinator: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let weak: std::sync::Weak<dyn Ends> = Arc::<Open>::downgrade(&open);
        let ticket = environment::enter(env, weak)?;
        Ok(Self { open, ticket })
    }

    /// An empty certificate: an identity of `authority`, or of a throw-away one. An empty `data_dir`: in memory. An empty
    /// `enroll_listen`, `http`: none.
    #[napi(catch_unwind)]
    pub fn start(
        &self,
        request: f64,
        listen: String,
        certificate: String,
        private_key: String,
        ca: String,
        authority: Option<&NativeAuthority>,
        keeps_identity: bool,
        enroll_listen: String,
        data_dir: String,
        agent_timeout_ms: f64,
        task_timeout_ms: f64,
        max_attempts: f64,
        max_queued: f64,
        max_agents: f64,
        max_message_bytes: f64,
        result_retention_ms: f64,
        max_retained_bytes: f64,
        http: String,
        log: bool,
    ) -> Result<(), Error<Code>> {
        let some = |text: String| (!text.is_empty()).then_some(text);
        let identity =
            if certificate.is_empty() { None } else { Some(identity(&certificate, &private_key, &ca)?) };
        let defaults = CoordinatorConfig::default();
        let config = CoordinatorConfig {
            listen,
            identity,
            authority: authority.map(|authority| authority.0.clone()),
            enroll_listen: some(enroll_listen),
            on_identity: keeps_identity.then(|| self.open.identities.listener(&self.open.outbox)),
            data_dir: some(data_dir).map(PathBuf::from),
            agent_timeout_ms: optional("agentTimeoutMs", agent_timeout_ms)?
                .unwrap_or(defaults.agent_timeout_ms),
            task_timeout_ms: optional("taskTimeoutMs", task_timeout_ms)?,
            max_attempts: if max_attempts == -1.0 {
                defaults.max_attempts
            } else {
                small("maxAttempts", max_attempts)?
            },
            max_queued: if max_queued == -1.0 {
                defaults.max_queued
            } else {
                natural("maxQueued", max_queued)?
            },
            max_agents: if max_agents == -1.0 {
                defaults.max_agents
            } else {
                natural("maxAgents", max_agents)?
            },
            max_message_bytes: if max_message_bytes == -1.0 {
                defaults.max_message_bytes
            } else {
                natural("maxMessageBytes", max_message_bytes)?
            },
            result_retention_ms: optional("resultRetentionMs", result_retention_ms)?
                .unwrap_or(defaults.result_retention_ms),
            max_retained_bytes: optional("maxRetainedBytes", max_retained_bytes)?
                .unwrap_or(defaults.max_retained_bytes),
            http: some(http),
            on_log: log.then(|| log_to(&self.open.outbox)),
            ..CoordinatorConfig::default()
        };
        let (outbox, open) = (self.open.outbox.clone(), self.open.clone());
        Coordinator::start(config, Arc::new(move |event| report(&outbox, event)), move |result| {
            open.started(request, result)
        });
        Ok(())
    }

    /// Everything that has happened since the last call, up to a batch.
    #[napi(catch_unwind)]
    pub fn take<'env>(&self, env: &'env Env) -> Result<Option<BufferSlice<'env>>, Error<Code>> {
        self.open.outbox.take(env).map_err(|error| Error::new(Code::INTERNAL, error.reason.clone()))
    }

    /// Certificate, private key and CA.
    #[napi(catch_unwind)]
    pub fn development_identity(&self, agent_id: String) -> Result<Vec<String>, Error<Code>> {
        let identity = self.coordinator()?.development_identity(&agent_id).map_err(|error| thrown(&error))?;
        Ok(vec![
            identity.certificate().to_owned(),
            identity.private_key().to_owned(),
            identity.ca().to_owned(),
        ])
    }

    /// The answer is the token's text.
    #[napi(catch_unwind)]
    pub fn create_join_token(
        &self,
        request: f64,
        ttl_ms: f64,
        uses: f64,
        agent_types: Option<Vec<String>>,
        kinds: Option<Vec<String>>,
        topics: Option<Vec<String>>,
        databases: Option<Vec<String>>,
    ) -> Result<(), Error<Code>> {
        let grants = Grants { agent_types, kinds, topics, databases };
        let (ttl_ms, uses) = (natural("ttlMs", ttl_ms)? as u64, small("uses", uses)?);
        let text = |token: JoinToken| token.to_text().as_str().to_owned();
        self.coordinator()?.create_join_token(ttl_ms, uses, grants, self.open.outbox.answer(request, text));
        Ok(())
    }

    /// Times: -1 for none; `max_attempts`: -1 for the coordinator's; an empty key: none. With `wait` the answer is the
    /// outcome, and what is returned is the waiter; otherwise it is that the task was accepted.
    #[napi(catch_unwind)]
    pub fn submit(
        &self,
        request: f64,
        wait: bool,
        kind: String,
        payload: &[u8],
        priority: f64,
        timeout_ms: f64,
        attempt_timeout_ms: f64,
        progress_timeout_ms: f64,
        max_attempts: f64,
        key: Option<String>,
        requires: Option<Vec<String>>,
    ) -> Result<f64, Error<Code>> {
        let coordinator = self.coordinator()?;
        let task = TaskRequest {
            kind: kind.into(),
            payload: Bytes::from(copy("payload", payload)?),
            priority: natural("priority", priority)?.min(9) as u8,
            requires: requires.map(texts).unwrap_or_default(),
            timeout_ms: optional("timeoutMs", timeout_ms)?,
            attempt_timeout_ms: optional("attemptTimeoutMs", attempt_timeout_ms)?,
            progress_timeout_ms: optional("progressTimeoutMs", progress_timeout_ms)?,
            key: key.map(Arc::from),
            max_attempts: if max_attempts == -1.0 { None } else { Some(small("maxAttempts", max_attempts)?) },
        };
        if wait {
            return Ok(coordinator.submit(task, self.outcome(request)).0 as f64);
        }
        coordinator.enqueue(
            task,
            self.open.outbox.answer(request, |accepted: Accepted| AcceptedHeader {
                task_id: accepted.task_id,
                deduplicated: accepted.deduplicated,
            }),
        );
        Ok(0.0)
    }

    /// Returns the waiter.
    #[napi(catch_unwind)]
    pub fn result(&self, request: f64, id_or_key: String) -> Result<f64, Error<Code>> {
        Ok(self.coordinator()?.result(&id_or_key, self.outcome(request)).0 as f64)
    }

    #[napi(catch_unwind)]
    pub fn leave(&self, waiter: f64) -> Result<(), Error<Code>> {
        self.coordinator()?.leave(WaiterId(natural("waiter", waiter)? as u64));
        Ok(())
    }

    /// JSON, or nothing when there is no such task.
    #[napi(catch_unwind)]
    pub fn task(&self, id_or_key: String) -> Result<Option<String>, Error<Code>> {
        Ok(self.coordinator()?.task(&id_or_key).map(|state| json(&StateHeader::from(&state))))
    }

    #[napi(catch_unwind)]
    pub fn cancel(&self, request: f64, id_or_key: String) -> Result<(), Error<Code>> {
        self.coordinator()?.cancel(&id_or_key, self.open.outbox.answer(request, |cancelled: bool| cancelled));
        Ok(())
    }

    /// JSON.
    #[napi(catch_unwind)]
    pub fn dead_letters(&self) -> Result<String, Error<Code>> {
        let states = self.coordinator()?.dead_letters();
        Ok(json(&states.iter().map(StateHeader::from).collect::<Vec<_>>()))
    }

    #[napi(catch_unwind)]
    pub fn retry_dead_letter(&self, request: f64, task_id: String) -> Result<(), Error<Code>> {
        self.coordinator()?.retry_dead_letter(&task_id, self.open.outbox.done(request));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn publish(&self, request: f64, topic: String, payload: &[u8]) -> Result<(), Error<Code>> {
        let payload = Bytes::from(copy("payload", payload)?);
        self.coordinator()?.publish(
            &topic,
            payload,
            self.open.outbox.answer(request, |reached: u64| reached),
        );
        Ok(())
    }

    /// A command to all agents, or to one; how many it went to.
    #[napi(catch_unwind)]
    pub fn adapt(&self, to: Option<String>, command: String, payload: &[u8]) -> Result<f64, Error<Code>> {
        let payload = Bytes::from(copy("payload", payload)?);
        let sent = self.coordinator()?.adapt(to.as_deref(), &command, &payload);
        sent.map(|sent| sent as f64).map_err(|error| thrown(&error))
    }

    /// Qualities of verdicts, for the metrics.
    #[napi(catch_unwind)]
    pub fn judged(&self, qualities: &[f64]) -> Result<(), Error<Code>> {
        let coordinator = self.coordinator()?;
        qualities.iter().for_each(|&quality| coordinator.judged(quality));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn subscribe(&self, topic: String) -> Result<(), Error<Code>> {
        self.coordinator()?.subscribe(&topic);
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn unsubscribe(&self, topic: String) -> Result<(), Error<Code>> {
        self.coordinator()?.unsubscribe(&topic);
        Ok(())
    }

    /// JSON.
    #[napi(catch_unwind)]
    pub fn agents(&self) -> Result<String, Error<Code>> {
        let agents = self.coordinator()?.agents();
        Ok(json(&agents.iter().map(|agent| AgentRecord::new(agent, None)).collect::<Vec<_>>()))
    }

    /// JSON.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> Result<String, Error<Code>> {
        Ok(json(&StatsHeader::from(self.coordinator()?.stats())))
    }

    #[napi(catch_unwind)]
    pub fn metrics(&self) -> Result<String, Error<Code>> {
        Ok(self.coordinator()?.metrics())
    }

    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn rotate_identity<'env>(
        &self,
        env: &'env Env,
        certificate: String,
        private_key: String,
        ca: String,
    ) -> Result<PromiseRaw<'env, ()>, Error<Code>> {
        let identity = identity(&certificate, &private_key, &ca)?;
        let coordinator = self.coordinator()?;
        // It waits for the audit log.
        let rotate = move || coordinator.rotate_identity(&identity).map_err(|error| thrown(&error));
        fallible_promise(env, rotate, |()| ())
    }

    /// Nothing without a data directory.
    #[napi(catch_unwind)]
    pub fn audit_log(&self) -> Result<Option<NativeAuditLog>, Error<Code>> {
        let coordinator = self.coordinator()?;
        Ok(coordinator.audit_log().map(|(path, public_key, Anchor { seq, head })| NativeAuditLog {
            path: path.to_owned(),
            public_key: public_key.to_owned(),
            seq: seq as f64,
            head: hex_of_head(&head),
        }))
    }

    /// The answer to a renewed identity.
    #[napi(catch_unwind)]
    pub fn identity_kept(&self, token: f64, error: Option<String>) {
        self.open.identities.kept(token, error);
    }

    #[napi(catch_unwind)]
    pub fn audit_key(&self, request: f64, step: String, key: String) -> Result<(), Error<Code>> {
        self.coordinator()?.audit_key(&step, &key, self.open.outbox.done(request));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn revoke(&self, request: f64, agent_id: String, reason: String) -> Result<(), Error<Code>> {
        self.coordinator()?.revoke(&agent_id, &reason, self.open.outbox.done(request));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn drain(&self, request: f64, timeout_ms: f64) -> Result<(), Error<Code>> {
        self.coordinator()?.drain(optional("timeoutMs", timeout_ms)?, self.open.outbox.done(request));
        Ok(())
    }

    /// Closes it; the answer comes when its socket, threads and store are gone.
    #[napi(catch_unwind)]
    pub fn close(&self, request: f64) -> Result<(), Error<Code>> {
        let outbox = self.open.outbox.clone();
        self.coordinator()?.close(move || outbox.settle(request, &()));
        Ok(())
    }

    /// After the last answer: JavaScript is not called any more.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        self.open.outbox.shut();
        self.open.identities.forget();
        self.open.set(None);
        environment::leave(self.ticket);
    }
}

impl NativeCoordinator {
    fn coordinator(&self) -> Result<Coordinator, Error<Code>> {
        self.open.coordinator().ok_or_else(closed)
    }

    /// What is called with the outcome of a task.
    fn outcome(&self, request: f64) -> impl FnOnce(Result<TaskResult, SwarmError>) + Send + 'static {
        let outbox = self.open.outbox.clone();
        move |result| match result {
            Ok(result) => {
                outbox.push(RecordType::Value, request, &ResultHeader::from(&result), &result.value);
            }
            Err(error) => outbox.fail(request, &error),
        }
    }
}
