//! Lets agents in: what the [`Door`] decides is carried out here, and each identity has so many connections and no more.

use super::Shared;
use super::audited;
use super::connection;
use super::door::{Called, Door, End, Place, Verdict};
use super::hub::Life;
use crate::protocol::messages::Code;
use crate::security::Refusal;
use crate::swarm::dial_errors;
use quinn::{ConnectionError, Incoming};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::Instrument;

/// The longest that a peer may take for its TLS handshake, in which it holds one of the places. A lost packet would
/// otherwise hold it for a minute and a half.
const TLS: Duration = Duration::from_secs(3);

/// How often those in line are looked at while no place becomes free: buckets leak, and patience ends.
const LINE_TICK: Duration = Duration::from_millis(100);

/// Connections of one identity that are not welcomed yet, and in all: its session, and those that it has replaced and that
/// have a few seconds to say goodbye.
const MAX_UNWELCOMED: usize = 4;
const MAX_CONNECTIONS: usize = 16;

/// Lets agents in, as long as the endpoint is open.
pub(super) async fn accept(endpoint: quinn::Endpoint, shared: Arc<Shared>) {
    let gate = Arc::new(Gate {
        door: Mutex::new(Door::new()),
        freed: Notify::new(),
        turn: tokio::sync::Mutex::new(()),
        shared,
    });
    let attendance = Attendance::default();
    loop {
        let has_line = gate.lock().has_line();
        tokio::select! {
            incoming = endpoint.accept() => {
                let Some(incoming) = incoming else { return };
                gate.clone().knock(incoming, &attendance);
            }
            () = gate.freed.notified() => {}
            () = tokio::time::sleep(LINE_TICK), if has_line => {}
        }
        loop {
            let called = gate.lock().next(gate.shared.clock.now());
            match called {
                Some(Called::Begin(incoming, place)) => {
                    gate.shared.metrics.knocked("delayed");
                    gate.clone().begin(incoming, place, &attendance);
                }
                Some(Called::Forget(incoming)) => {
                    gate.shared.metrics.knocked("ignored");
                    incoming.ignore();
                }
                None => break,
            }
        }
    }
}

/// The door, and whom it serves.
struct Gate {
    door: Mutex<Door<Incoming>>,
    /// A place is free.
    freed: Notify,
    /// Handshakes begin one after the other.
    turn: tokio::sync::Mutex<()>,
    shared: Arc<Shared>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Door<Incoming>> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what the door decides.
    fn knock(self: Arc<Self>, incoming: Incoming, attendance: &Attendance) {
        let metrics = &self.shared.metrics;
        if self.shared.lock().life == Life::Closed {
            return incoming.refuse();
        }
        let (from, proven) = (incoming.remote_address().ip(), incoming.remote_address_validated());
        let verdict = self.lock().arrived(incoming, from, proven, self.shared.clock.now());
        match verdict {
            Verdict::Accept(incoming, place) => {
                metrics.knocked("accepted");
                self.begin(incoming, place, attendance);
            }
            Verdict::Retry(incoming) => {
                metrics.knocked("retried");
                // Whoever has not proved its address has not been asked to yet.
                if let Err(error) = incoming.retry() {
                    error.into_incoming().ignore();
                }
            }
            Verdict::Refuse(incoming) => {
                metrics.knocked("refused");
                incoming.refuse();
            }
            Verdict::Ignore(incoming) => {
                metrics.knocked("ignored");
                incoming.ignore();
            }
            Verdict::Wait => {}
        }
    }

    fn begin(self: Arc<Self>, incoming: Incoming, place: Place, attendance: &Attendance) {
        let span = self.shared.span.clone();
        let mut held = Held { gate: self, place: Some(place) };
        let attendance = attendance.clone();
        let from = incoming.remote_address();
        let entering = async move {
            let shared = held.gate.shared.clone();
            let computed = async {
                let turn = held.gate.turn.lock().await;
                let connecting = incoming.accept();
                // The sockets are looked at in between: a burst of handshakes would otherwise hold up every task by the time
                // that all of them take.
                tokio::task::yield_now().await;
                drop(turn);
                connecting?.await
            };
            let connection = match timeout(TLS, computed).await {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => {
                    held.end(if is_proof(&error) { End::Refused } else { End::Failed });
                    if let Some(entry) = audited::refused_in_handshake(&error, from) {
                        shared.audit.note(entry);
                    }
                    return shared.metrics.handshake_failed(&error);
                }
                Err(_) => {
                    held.end(End::Failed);
                    return shared.metrics.handshake_timed_out();
                }
            };
            held.end(End::Admitted);
            let gate = held.gate.clone();
            drop(held);
            if let Some(code) = connection::serve(connection, &shared, &attendance).await
                && matches!(code, Code::Unauthenticated | Code::Forbidden | Code::Protocol)
            {
                gate.lock().turned_away(from.ip(), shared.clock.now());
            }
        };
        tokio::spawn(entering.instrument(span));
    }
}

/// Whether only somebody at its address can have caused it: certificates travel under keys that take both sides' packets.
fn is_proof(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::TransportError(error) => {
            dial_errors::alert(error.code.into()).is_some_and(|alert| Refusal::of_alert(alert).is_some())
        }
        _ => false,
    }
}

/// A place that is given back whatever happens.
struct Held {
    gate: Arc<Gate>,
    place: Option<Place>,
}

impl Held {
    fn end(&mut self, end: End) {
        let Some(place) = self.place.take() else { return };
        self.gate.lock().ended(place, end, self.gate.shared.clock.now());
        self.gate.freed.notify_one();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end(End::Failed);
    }
}

/// How many connections each identity has.
#[derive(Debug, Clone, Default)]
pub(super) struct Attendance(Arc<Mutex<HashMap<Arc<str>, Present>>>);

#[derive(Debug, Default)]
struct Present {
    unwelcomed: usize,
    all: usize,
}

/// One of an identity's connections, counted until this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    attendance: Attendance,
    id: Arc<str>,
    welcomed: bool,
}

impl Attendance {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Present>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more that is not welcomed yet.
    ///
    /// # Errors
    /// What there are too many of.
    pub(super) fn enter(&self, id: Arc<str>) -> Result<Ticket, (Code, String)> {
        let mut present = self.lock();
        let counts = present.entry(id.clone()).or_default();
        for (count, limit, what) in [
            (counts.unwelcomed, MAX_UNWELCOMED, "connections that have not logged in"),
            (counts.all, MAX_CONNECTIONS, "connections"),
        ] {
            if count >= limit {
                return Err((Code::Overloaded, format!("{id} has {count} {what} already")));
            }
        }
        counts.unwelcomed += 1;
        counts.all += 1;
        drop(present);
        Ok(Ticket { attendance: self.clone(), id, welcomed: false })
    }
}

impl Ticket {
    /// It has logged in.
    pub(super) fn welcomed(&mut self) {
        if !std::mem::replace(&mut self.welcomed, true)
            && let Some(counts) = self.attendance.lock().get_mut(&self.id)
        {
            counts.unwelcomed -= 1;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut present = self.attendance.lock();
        let Some(counts) = present.get_mut(&self.id) else { return };
        counts.all -= 1;
        counts.unwelcomed -= usize::from(!self.welcomed);
        if counts.all == 0 {
            present.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_so_many_connections_and_no_more() {
        let attendance = Attendance::default();
        let enter = |id: &str| attendance.enter(Arc::from(id));
        let mut silent: Vec<_> = (0..MAX_UNWELCOMED).map(|_| enter("a").unwrap()).collect();
        let (code, message) = enter("a").unwrap_err();
        assert_eq!(
            (code, message.as_str()),
            (Code::Overloaded, "a has 4 connections that have not logged in already")
        );
        assert!(enter("b").is_ok(), "another one has nothing to do with it");
        silent.pop();
        let mut inside = Vec::new();
        while inside.len() + silent.len() < MAX_CONNECTIONS {
            let mut ticket = enter("a").unwrap();
            ticket.welcomed();
            ticket.welcomed();
            inside.push(ticket);
        }
        assert!(enter("a").unwrap_err().1.contains("16 connections already"));
        drop((silent, inside));
        assert!(attendance.lock().is_empty());
        assert!(enter("a").is_ok());
    }
}
