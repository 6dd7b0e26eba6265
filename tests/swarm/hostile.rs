//! Peers that break the rules, over real QUIC on loopback: they are told why and are cut off, and honest agents notice nothing.
//!
//! | module | what its peers do |
//! | --- | --- |
//! | [`handshakes`] | come with the wrong certificate, or many at once, or do not finish |
//! | [`frames`] | send what is no frame, or what has no place |
//! | [`claims`] | say things that are not so: results, names, capabilities |
//! | [`renewals`] | ask for certificates, or run under some, that are not theirs |
//! | [`floods`] | send, open or leave unread too much |
//! | [`peer`] | what they are made of: a client without manners |

mod claims;
mod floods;
mod frames;
mod handshakes;
pub(crate) mod peer;
mod renewals;

use crate::live::{PATIENCE, TestAgent, close, close_agent, connect, echo, start, submit, task};
use midstreamer::security::Identity;
use midstreamer::swarm::Coordinator;
use midstreamer::swarm::agent::AgentEvent;
use midstreamer::swarm::coordinator::{CoordinatorConfig, CoordinatorEvent};
use std::sync::mpsc::Receiver;
use std::time::Instant;

/// A coordinator with an agent that has to go on working whatever else is there.
pub(crate) struct Swarm {
    pub(crate) coordinator: Coordinator,
    pub(crate) events: Receiver<CoordinatorEvent>,
    pub(crate) honest: TestAgent,
}

impl Swarm {
    pub(crate) fn new(config: CoordinatorConfig) -> Self {
        let (coordinator, events) = start(config);
        let identity = coordinator.development_identity("honest").unwrap();
        let honest = connect(coordinator.address(), identity, &["echo"], echo).unwrap();
        Self { coordinator, events, honest }
    }

    pub(crate) fn identity(&self, id: &str) -> Identity {
        self.coordinator.development_identity(id).unwrap()
    }

    /// The honest agent is at its first connection, and gets its work done.
    pub(crate) fn works(&self) {
        let results: Vec<_> =
            (0..20).map(|_| submit(&self.coordinator, task("echo", b"still here"))).collect();
        for result in results {
            let result = result.recv_timeout(PATIENCE).unwrap().unwrap();
            assert_eq!((&*result.agent, &result.value[..]), ("honest", &b"still here"[..]));
        }
        // Not put into words: there may be gigabytes of messages among them.
        let left =
            self.honest.events.try_iter().find(|event| matches!(event, AgentEvent::Disconnected { .. }));
        assert!(left.is_none(), "{left:?}");
    }

    /// A metric, by its name with labels; 0 when it was never counted.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        metric(&self.coordinator, name)
    }

    pub(crate) fn end(self) {
        self.works();
        close_agent(&self.honest.agent);
        close(&self.coordinator);
    }
}

pub(crate) fn metric(coordinator: &Coordinator, name: &str) -> u64 {
    let text = coordinator.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

/// Waits for what no event tells.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
