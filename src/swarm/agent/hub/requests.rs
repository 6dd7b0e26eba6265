//! What the program asks an agent for, and the end.

use super::{AgentEvent, AgentState, Hub, MAX_UNACKNOWLEDGED, Told};
use crate::protocol::messages::{Content, FrameKind, Offer, Publish, Subscribe, Unsubscribe};
use crate::swarm::error::{SwarmCode, SwarmError};
use bytes::Bytes;
use std::sync::Arc;

impl Hub {
    pub(in crate::swarm::agent) fn handle(&mut self, kind: &str) {
        if self.kinds.insert(Arc::from(kind)) {
            self.offer();
        }
    }

    pub(super) fn offer(&self) {
        let kinds = self.offered().iter().map(|kind| kind.to_string()).collect();
        self.send(FrameKind::Offer, 0, &Offer { kinds, slots: self.slots() }, &Bytes::new());
    }

    pub(in crate::swarm::agent) fn publish(&mut self, topic: &str, payload: &Bytes, told: Told) {
        let refused = if self.closing.is_some() {
            Some(SwarmError::closed("agent"))
        } else if self.out.is_none() {
            Some(SwarmError::new(SwarmCode::Connection, "the agent is not connected"))
        } else if payload.len() > self.max_message_bytes {
            let message =
                format!("payload of {} bytes, maxMessageBytes is {}", payload.len(), self.max_message_bytes);
            Some(SwarmError::new(SwarmCode::TooLarge, message))
        } else if self.published.len() >= MAX_UNACKNOWLEDGED {
            Some(SwarmError::new(SwarmCode::Overloaded, "too many messages wait for their acknowledgement"))
        } else {
            None
        };
        if let Some(error) = refused {
            self.calls.push(Box::new(move || told(Err(error))));
            return;
        }
        self.last_request += 1;
        self.messages += 1;
        let header = Publish {
            topic: topic.to_owned(),
            from: String::new(),
            content: Content::Generic.into(),
            message_id: self.messages,
        };
        let request = self.last_request;
        let sent = self.out.as_ref().map(|out| out.send(FrameKind::Publish, request, &header, payload));
        match sent {
            // A burst of messages is no reason to give up the connection, and the tasks with it.
            Some(Err(error)) => {
                let error =
                    SwarmError::new(SwarmCode::Overloaded, format!("the message was not sent: {error}"));
                self.calls.push(Box::new(move || told(Err(error))));
            }
            Some(Ok(())) | None => drop(self.published.insert(request, told)),
        }
    }

    pub(in crate::swarm::agent) fn published(&mut self, request: u64, error: Option<SwarmError>) {
        if let Some(told) = self.published.remove(&request) {
            self.calls.push(Box::new(move || told(error.map_or(Ok(()), Err))));
        }
    }

    pub(in crate::swarm::agent) fn subscribe(&mut self, topic: &str) {
        if self.topics.insert(Arc::from(topic)) {
            self.send(FrameKind::Subscribe, 0, &Subscribe { topic: topic.to_owned() }, &Bytes::new());
        }
    }

    pub(in crate::swarm::agent) fn unsubscribe(&mut self, topic: &str) {
        if self.topics.remove(topic) {
            self.send(FrameKind::Unsubscribe, 0, &Unsubscribe { topic: topic.to_owned() }, &Bytes::new());
        }
    }

    pub(in crate::swarm::agent) fn drain(&mut self, told: Told) {
        if self.closing.is_some() {
            self.calls.push(Box::new(move || told(Err(SwarmError::closed("agent")))));
            return;
        }
        if !self.draining {
            self.draining = true;
            self.state = AgentState::Draining;
            self.offer();
        }
        self.drained.push(told);
    }

    /// Asks for the end; the network thread sees to it.
    pub(in crate::swarm::agent) fn close(
        &mut self,
        error: Option<SwarmError>,
        closed: Option<Box<dyn FnOnce() + Send>>,
    ) {
        if self.state == AgentState::Closed {
            self.calls.extend(closed);
            return;
        }
        self.closed.extend(closed);
        if self.closing.is_none() {
            self.closing = Some(error);
            // What is done is handed in before the goodbye; what is not is given back by it.
            self.bench.abandon();
        }
    }

    /// Every result has been acknowledged.
    pub(in crate::swarm::agent) fn is_done(&self) -> bool {
        self.bench.is_idle()
    }

    pub(in crate::swarm::agent) fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// The end.
    pub(in crate::swarm::agent) fn end(&mut self, error: Option<SwarmError>) {
        let asked = self.closing.take();
        let by_request = asked.is_some();
        let error = error.or(asked.flatten());
        self.closing = Some(None);
        self.state = AgentState::Closed;
        self.disconnected();
        self.bench.close_down();
        for told in std::mem::take(&mut self.drained) {
            self.calls.push(Box::new(move || told(Err(SwarmError::closed("agent")))));
        }
        if let Some(connected) = self.connected.take() {
            let error = error.clone().unwrap_or_else(|| SwarmError::closed("agent"));
            self.calls.push(Box::new(move || connected(Err(error))));
        } else {
            self.events.push(AgentEvent::Closed(if by_request { None } else { error }));
        }
        self.calls.append(&mut self.closed);
    }
}
