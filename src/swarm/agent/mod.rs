//! An agent: dials a coordinator, runs what it is given, and keeps each result until the coordinator has it.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`types`] | what goes in and what comes out |
//! | [`hub`] | the workbench and everything that threads share |
//! | [`dial`] | from an address to a welcome |
//! | [`session`] | a welcomed connection, and what comes after it |
//! | [`renewal`] | another identity before the one at hand ends |

pub(super) mod dial;
mod hub;
mod renewal;
mod session;
mod types;

pub use types::{AgentConfig, AgentEvent, AgentState, Handler, HandlerFailure, Work};

use super::clock::Clock;
use super::error::{SwarmCode, SwarmError};
use super::kinds::{Kinds, Limits};
use super::lanes::Traffic;
use super::network::Network;
use super::sync::databases::Databases;
use bytes::Bytes;
use hub::{Call, Hub};
use renewal::Identities;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long `close` waits for the coordinator's answer to the goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// A handle to an agent; clones are the same one. It ends by [`close`](Agent::close) alone, or by a final error.
#[derive(Clone)]
pub struct Agent(Arc<Shared>);

/// An agent that has not been welcomed yet.
pub struct Connecting(Arc<Shared>);

type Listener = Arc<dyn Fn(AgentEvent) + Send + Sync>;
type Connected = Box<dyn FnOnce(Result<Agent, SwarmError>) + Send>;

/// What all threads of an agent know.
struct Shared {
    id: Arc<str>,
    config: AgentConfig,
    identities: Mutex<Identities>,
    instance: [u8; 16],
    clock: Clock,
    traffic: Arc<Traffic>,
    handler: Arc<dyn Handler>,
    databases: Arc<Databases>,
    kinds: Kinds,
    listener: Listener,
    hub: Mutex<Hub>,
    /// Something that the connection's task should look at: the end, or a drained workbench.
    changed: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn identities(&self) -> MutexGuard<'_, Identities> {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One turn: something happens to the workbench, and what follows from it is done.
    fn turn<T>(self: &Arc<Self>, act: impl FnOnce(&mut Hub, u64) -> T) -> T {
        let mut hub = self.lock();
        let now = self.clock.now();
        let out = act(&mut hub, now);
        hub.end_turn(self, now);
        let calls: Vec<Call> = std::mem::take(&mut hub.calls);
        let events = std::mem::take(&mut hub.events);
        drop(hub);
        for call in calls {
            call();
        }
        for event in events {
            (self.listener)(event);
        }
        out
    }
}

impl Agent {
    /// Dials until a coordinator welcomes it; `connected` runs on the network thread then, or when that is hopeless.
    pub fn connect(
        config: AgentConfig,
        handler: Arc<dyn Handler>,
        listener: Arc<dyn Fn(AgentEvent) + Send + Sync>,
        connected: impl FnOnce(Result<Self, SwarmError>) + Send + 'static,
    ) -> Result<Connecting, SwarmError> {
        let network = Network::of_agents()?;
        let mut instance = [0; 16];
        aws_lc_rs::rand::fill(&mut instance)
            .map_err(|_| SwarmError::new(SwarmCode::Internal, "no randomness"))?;
        let hub = Hub::new(&config, Box::new(connected));
        let shared = Arc::new(Shared {
            id: Arc::from(config.identity.peer().name.id()),
            identities: Mutex::new(Identities::new(config.identity.clone())),
            config,
            instance,
            clock: Clock::new(),
            traffic: Arc::new(Traffic::default()),
            handler,
            databases: Arc::default(),
            kinds: Kinds::new(Limits::default()),
            listener,
            hub: Mutex::new(hub),
            changed: Notify::new(),
        });
        let running = network.clone();
        network.spawn(session::live(shared.clone(), running));
        Ok(Connecting(shared))
    }

    /// Whose links go through its coordinator.
    pub(super) fn databases(&self) -> &Arc<Databases> {
        &self.0.databases
    }

    /// Its id, from its certificate.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// Which part of its life it is in.
    pub fn state(&self) -> AgentState {
        self.0.lock().state
    }

    /// Asked immediately before a handler is called. False: its lease is over or the task was cancelled; it must not
    /// start, and nothing needs to be told.
    pub fn may_start(&self, token: u64) -> bool {
        self.0.turn(|hub, now| hub.may_start(token, now))
    }

    /// A handler has ended.
    pub fn finished(&self, token: u64, outcome: Result<Bytes, HandlerFailure>) {
        self.0.turn(|hub, now| hub.finished(token, outcome, now));
    }

    /// How far a handler is, 0 to 1.
    pub fn progress(&self, token: u64, fraction: f64) {
        self.0.turn(|hub, now| hub.progress(token, fraction, now));
    }

    /// Takes tasks of one more kind.
    pub fn handle(&self, kind: &str) {
        self.0.turn(|hub, _| hub.handle(kind));
    }

    /// Sends a message; `done` runs when the coordinator has it.
    pub fn publish(
        &self,
        topic: &str,
        payload: Bytes,
        done: impl FnOnce(Result<(), SwarmError>) + Send + 'static,
    ) {
        self.0.turn(|hub, _| hub.publish(topic, &payload, Box::new(done)));
    }

    /// Messages on this topic come as events, now and after every reconnection.
    pub fn subscribe(&self, topic: &str) {
        self.0.turn(|hub, _| hub.subscribe(topic));
    }

    /// They no longer come.
    pub fn unsubscribe(&self, topic: &str) {
        self.0.turn(|hub, _| hub.unsubscribe(topic));
    }

    /// Takes nothing new, and waits until nothing runs and the coordinator has every result; TIMEOUT when that takes
    /// too long, and then it still takes nothing new.
    pub fn drain(&self, timeout_ms: Option<u64>, done: impl FnOnce(Result<(), SwarmError>) + Send + 'static) {
        let done = super::once::Once::new(done);
        let drained = done.clone();
        self.0.turn(|hub, _| hub.drain(Box::new(move |outcome| drained.run(outcome))));
        if let Some(timeout_ms) = timeout_ms {
            let timer = async move {
                tokio::time::sleep(Duration::from_millis(timeout_ms)).await;
                let message = format!("work was left after {timeout_ms} ms");
                done.run(Err(SwarmError::new(SwarmCode::Timeout, message)));
            };
            match Network::of_agents() {
                Ok(network) => drop(network.spawn(timer)),
                Err(error) => tracing::error!(%error, "no timer for a drain"),
            }
        }
    }

    /// Ends it: the handlers' signals abort, the coordinator hears a goodbye. `done` runs when the socket is gone.
    pub fn close(&self, done: impl FnOnce() + Send + 'static) {
        self.0.turn(|hub, _| hub.close(None, Some(Box::new(done))));
        self.0.changed.notify_one();
    }
}

impl Connecting {
    /// No longer wanted: `connected` gets ABORTED, if it was not called yet.
    pub fn abort(&self) {
        self.0.turn(|hub, _| {
            if hub.state == AgentState::Connecting {
                hub.close(Some(SwarmError::new(SwarmCode::Aborted, "the operation was aborted")), None);
            }
        });
        self.0.changed.notify_one();
    }
}
