//! `NativeAgent`.

use super::super::errors::Code;
use super::environment::{self, Ends};
use super::headers::MessageHeader;
use super::identities::Identities;
use super::outbox::{ErrorHeader, Outbox, RecordType};
use super::{closed, identity, optional, small, thrown};
use crate::calls::arguments::{copy, natural};
use crate::swarm::agent::{AgentConfig, AgentEvent, AgentState, Connecting, Handler, HandlerFailure, Work};
use crate::swarm::{Agent, SwarmCode, SwarmError};
use bytes::Bytes;
use napi::bindgen_prelude::{BufferSlice, Function, Unknown};
use napi::{Env, Error};
use napi_derive::napi;
use serde::Serialize;
use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// An agent, and where it reports to.
struct Open {
    outbox: Arc<Outbox>,
    identities: Arc<Identities>,
    /// From its first login until its end is known: what it holds is not to wait for the garbage collector.
    agent: Mutex<Option<Agent>>,
    /// While the first login is under way.
    connecting: Mutex<Option<Connecting>>,
    ended: AtomicBool,
}

impl Ends for Open {
    fn end(&self, done: Box<dyn FnOnce() + Send>) {
        self.outbox.shut();
        self.identities.forget();
        self.ended.store(true, Ordering::SeqCst);
        self.abort();
        if let Some(agent) = self.agent() {
            agent.close(done);
        }
    }
}

impl Open {
    fn agent(&self) -> Option<Agent> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, agent: Option<Agent>) {
        let before = mem::replace(&mut *self.agent.lock().unwrap_or_else(PoisonError::into_inner), agent);
        // Outside the lock: this may be the last handle.
        drop(before);
    }

    fn connected(&self, request: f64, result: Result<Agent, SwarmError>) {
        let agent = match result {
            Ok(agent) => agent,
            Err(error) => return self.outbox.fail(request, &error),
        };
        self.set(Some(agent.clone()));
        if self.ended.load(Ordering::SeqCst) {
            // The environment ended meanwhile.
            agent.close(|| ());
        }
        self.outbox.settle(request, &agent.id());
    }

    fn abort(&self) {
        let connecting = self.connecting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(connecting) = connecting {
            connecting.abort();
        }
    }
}

/// Work goes to JavaScript.
struct Outlet(Arc<Outbox>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkHeader<'a> {
    task_id: &'a str,
    kind: &'a str,
    attempt: u32,
    fence: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<u64>,
}

impl Handler for Outlet {
    fn run(&self, work: Work) {
        let header = WorkHeader {
            task_id: &work.task_id,
            kind: &work.kind,
            attempt: work.attempt,
            fence: work.fence.to_string(),
            idempotency_key: work.key.as_deref(),
            deadline: work.deadline,
        };
        self.0.push(RecordType::Work, work.token as f64, &header, &work.payload);
    }

    fn stop(&self, token: u64, code: SwarmCode, reason: &str) {
        let header = StopHeader { code: code.as_str(), message: reason };
        self.0.push(RecordType::Stop, token as f64, &header, &[]);
    }
}

/// The reason of a handler's signal.
#[derive(Serialize)]
struct StopHeader<'a> {
    code: &'static str,
    message: &'a str,
}

#[derive(Serialize)]
struct ConnectedHeader<'a> {
    address: &'a str,
    coordinator: &'a str,
}

#[derive(Serialize)]
struct DisconnectedHeader<'a> {
    reason: &'a str,
}

#[derive(Serialize)]
struct SubscriptionHeader<'a> {
    topic: &'a str,
    code: &'static str,
    reason: &'a str,
}

/// A command to adapt; its payload follows.
#[derive(Serialize)]
struct AdaptHeader<'a> {
    command: &'a str,
}

/// What an agent reports goes to the outbox.
fn report(outbox: &Outbox, event: AgentEvent) {
    match event {
        AgentEvent::Connected { address, coordinator } => {
            let header = ConnectedHeader { address: &address, coordinator: &coordinator };
            outbox.push(RecordType::Connected, 0.0, &header, &[]);
        }
        AgentEvent::Disconnected { reason } => {
            outbox.push(RecordType::Disconnected, 0.0, &DisconnectedHeader { reason: &reason }, &[]);
        }
        AgentEvent::Closed(error) => {
            outbox.push(RecordType::Closed, 0.0, &error.as_ref().map(ErrorHeader::from), &[]);
        }
        AgentEvent::SubscriptionRefused { topic, code, reason } => {
            let header = SubscriptionHeader { topic: &topic, code: code.as_str(), reason: &reason };
            outbox.push(RecordType::SubscriptionRefused, 0.0, &header, &[]);
        }
        AgentEvent::Adapt { command, payload } => {
            outbox.push(RecordType::Adapt, 0.0, &AdaptHeader { command: &command }, &payload);
        }
        AgentEvent::Message { topic, from, payload } => {
            outbox.offer(RecordType::Message, &MessageHeader { topic: &topic, from: &from }, &payload);
        }
    }
}

#[napi]
pub struct NativeAgent {
    open: Arc<Open>,
    ticket: u64,
}

#[napi]
impl NativeAgent {
    /// `wake` is called when there is something to take.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: &Env, wake: Function<'_, (), Unknown<'static>>) -> Result<Self, Error<Code>> {
        let outbox = Outbox::new(&wake).map_err(|error| Error::new(Code::INTERNAL, error.reason.clone()))?;
        let open = Arc::new(Open {
            outbox,
            identities: Arc::default(),
            agent: Mutex::default(),
            connecting: Mutex::new(None),
            ended: AtomicBool::new(false),
        });
        let weak: std::sync::Weak<dyn Ends> = Arc::<Open>::downgrade(&open);
        let ticket = environment::enter(env, weak)?;
        Ok(Self { open, ticket })
    }

    /// `metadata`: name, value, name, value, ...
    #[napi(catch_unwind)]
    pub fn connect(
        &self,
        request: f64,
        addresses: Vec<String>,
        certificate: String,
        private_key: String,
        ca: String,
        keeps_identity: bool,
        agent_type: String,
        capabilities: Vec<String>,
        metadata: Vec<String>,
        concurrency: f64,
        kinds: Vec<String>,
        connect_timeout_ms: f64,
    ) -> Result<(), Error<Code>> {
        let mut metadata = metadata.into_iter();
        let mut pairs = BTreeMap::new();
        while let (Some(name), Some(value)) = (metadata.next(), metadata.next()) {
            pairs.insert(name, value);
        }
        let config = AgentConfig {
            addresses,
            identity: identity(&certificate, &private_key, &ca)?,
            on_identity: keeps_identity.then(|| self.open.identities.listener(&self.open.outbox)),
            agent_type,
            capabilities,
            metadata: pairs,
            concurrency: small("concurrency", concurrency)?,
            kinds,
            connect_timeout_ms: natural("connectTimeoutMs", connect_timeout_ms)? as u64,
        };
        let (outbox, open) = (self.open.outbox.clone(), self.open.clone());
        let connecting = Agent::connect(
            config,
            Arc::new(Outlet(self.open.outbox.clone())),
            Arc::new(move |event| report(&outbox, event)),
            move |result| open.connected(request, result),
        )
        .map_err(|error| thrown(&error))?;
        *self.open.connecting.lock().unwrap_or_else(PoisonError::into_inner) = Some(connecting);
        Ok(())
    }

    /// The answer to a renewed identity.
    #[napi(catch_unwind)]
    pub fn identity_kept(&self, token: f64, error: Option<String>) {
        self.open.identities.kept(token, error);
    }

    /// Gives up the first login.
    #[napi(catch_unwind)]
    pub fn abort(&self) {
        self.open.abort();
    }

    /// Everything that has happened since the last call, up to a batch.
    #[napi(catch_unwind)]
    pub fn take<'env>(&self, env: &'env Env) -> Result<Option<BufferSlice<'env>>, Error<Code>> {
        self.open.outbox.take(env).map_err(|error| Error::new(Code::INTERNAL, error.reason.clone()))
    }

    #[napi(catch_unwind)]
    pub fn state(&self) -> &'static str {
        self.open.agent().map_or(AgentState::Connecting, |agent| agent.state()).as_str()
    }

    /// Asked immediately before a handler is called: false when its lease is over.
    #[napi(catch_unwind)]
    pub fn may_start(&self, token: f64) -> bool {
        self.open.agent().is_some_and(|agent| agent.may_start(token as u64))
    }

    #[napi(catch_unwind)]
    pub fn finished(&self, token: f64, value: &[u8]) -> Result<(), Error<Code>> {
        let value = Bytes::from(copy("result", value)?);
        self.agent()?.finished(token as u64, Ok(value));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn failed(
        &self,
        token: f64,
        message: String,
        code: Option<String>,
        retryable: bool,
    ) -> Result<(), Error<Code>> {
        self.agent()?.finished(token as u64, Err(HandlerFailure { message, code, retryable }));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn progress(&self, token: f64, fraction: f64) -> Result<(), Error<Code>> {
        self.agent()?.progress(token as u64, fraction);
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn handle(&self, kind: String) -> Result<(), Error<Code>> {
        self.agent()?.handle(&kind);
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn publish(&self, request: f64, topic: String, payload: &[u8]) -> Result<(), Error<Code>> {
        let payload = Bytes::from(copy("payload", payload)?);
        self.agent()?.publish(&topic, payload, self.open.outbox.done(request));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn subscribe(&self, topic: String) -> Result<(), Error<Code>> {
        self.agent()?.subscribe(&topic);
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn unsubscribe(&self, topic: String) -> Result<(), Error<Code>> {
        self.agent()?.unsubscribe(&topic);
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn drain(&self, request: f64, timeout_ms: f64) -> Result<(), Error<Code>> {
        self.agent()?.drain(optional("timeoutMs", timeout_ms)?, self.open.outbox.done(request));
        Ok(())
    }

    /// Closes it; the answer comes when its socket and threads are gone.
    #[napi(catch_unwind)]
    pub fn close(&self, request: f64) -> Result<(), Error<Code>> {
        let outbox = self.open.outbox.clone();
        self.agent()?.close(move || outbox.settle(request, &()));
        Ok(())
    }

    /// After the last answer: JavaScript is not called any more.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        self.open.outbox.shut();
        self.open.identities.forget();
        self.open.set(None);
        drop(self.open.connecting.lock().unwrap_or_else(PoisonError::into_inner).take());
        environment::leave(self.ticket);
    }
}

impl NativeAgent {
    pub(in crate::node) fn agent(&self) -> Result<Agent, Error<Code>> {
        self.open.agent().ok_or_else(closed)
    }
}
