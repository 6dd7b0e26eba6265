//! The end of a JavaScript environment: a worker thread is terminated, or the process exits. Coordinators and agents
//! that are still open then have nobody left to talk to. They are closed, and for a moment the environment waits, so
//! that their peers hear of it now and need not miss them for a timeout.

use super::super::errors::Code;
use napi::{Env, Error};
use std::cell::RefCell;
use std::collections::HashMap;
use std::mem;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long the end of an environment may take. Peers of whoever is not done by then find out by their timeouts.
const PATIENCE: Duration = Duration::from_millis(500);

/// What has to end with the environment.
pub(in crate::node) trait Ends: Send + Sync {
    /// Closes it, tells JavaScript nothing any more, and calls `done` (or drops it) when it is closed.
    fn end(&self, done: Box<dyn FnOnce() + Send>);
}

#[derive(Default)]
struct Open {
    entries: HashMap<u64, Weak<dyn Ends>>,
    last: u64,
    hooked: bool,
}

thread_local! {
    static OPEN: RefCell<Open> = RefCell::default();
}

/// Until [`leave`] is called with the ticket, the end of the environment ends `what`.
pub(in crate::node) fn enter(env: &Env, what: Weak<dyn Ends>) -> Result<u64, Error<Code>> {
    let (ticket, hooked) = OPEN.with_borrow_mut(|open| {
        open.last += 1;
        open.entries.insert(open.last, what);
        (open.last, mem::replace(&mut open.hooked, true))
    });
    if !hooked {
        // One for all: napi does not free what belongs to a hook that is removed.
        env.add_env_cleanup_hook((), |()| end_all())
            .map_err(|error| Error::new(Code::INTERNAL, error.reason.clone()))?;
    }
    Ok(ticket)
}

pub(in crate::node) fn leave(ticket: u64) {
    OPEN.with_borrow_mut(|open| open.entries.remove(&ticket));
}

fn end_all() {
    let entries: Vec<Arc<dyn Ends>> =
        OPEN.take().entries.into_values().filter_map(|entry| entry.upgrade()).collect();
    if entries.is_empty() {
        return;
    }
    let (sender, receiver) = channel::<()>();
    for entry in entries {
        let sender = sender.clone();
        entry.end(Box::new(move || drop(sender)));
    }
    drop(sender);
    // Nothing is ever sent: this returns when the last sender is dropped, or when the time is up.
    let _: Result<(), RecvTimeoutError> = receiver.recv_timeout(PATIENCE);
}
