//! The databases of one agent, over all its connections.

use super::links::Inner;
use crate::swarm::error::{SwarmCode, SwarmError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Databases of one agent: as many as a coordinator lets one connection open.
pub(in crate::swarm) const MOST_DATABASES: usize = 64;

/// See the module.
#[derive(Default)]
pub(in crate::swarm) struct Databases {
    state: Mutex<State>,
    /// For the task of the sync lane, of which there is at most one: something is to be opened or closed.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct State {
    attached: Vec<Attached>,
    /// The agent has ended.
    ended: bool,
}

struct Attached {
    links: Arc<Inner>,
    /// The coordinator will not have it, whatever the connection.
    refused: bool,
}

impl Databases {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn attach(&self, links: &Arc<Inner>) -> Result<(), SwarmError> {
        let mut state = self.lock();
        if state.ended {
            return Err(SwarmError::closed("agent"));
        }
        let database = &links.database;
        if state.attached.iter().any(|attached| attached.links.database == *database) {
            let message = format!("the agent has links for a database {database:?} already");
            return Err(SwarmError::new(SwarmCode::InvalidArgument, message));
        }
        if state.attached.len() >= MOST_DATABASES {
            let message = format!("the agent has links for {MOST_DATABASES} databases already");
            return Err(SwarmError::new(SwarmCode::Overloaded, message));
        }
        state.attached.push(Attached { links: links.clone(), refused: false });
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    pub(super) fn detach(&self, links: &Arc<Inner>) {
        self.lock().attached.retain(|attached| !Arc::ptr_eq(&attached.links, links));
        self.changed.notify_one();
    }

    /// Those that links are wanted for.
    pub(super) fn wanted(&self) -> Vec<Arc<Inner>> {
        let state = self.lock();
        let wanted = state.attached.iter().filter(|attached| !attached.refused);
        wanted.map(|attached| attached.links.clone()).collect()
    }

    /// No link is wanted for this one any more: it would be refused again.
    pub(super) fn refuse(&self, links: &Arc<Inner>) {
        let mut state = self.lock();
        let found = state.attached.iter_mut().find(|attached| Arc::ptr_eq(&attached.links, links));
        if let Some(attached) = found {
            attached.refused = true;
        }
    }

    /// The agent has ended; without an error it was closed.
    pub(in crate::swarm) fn end(&self, error: Option<&SwarmError>) {
        let attached = {
            let mut state = self.lock();
            state.ended = true;
            std::mem::take(&mut state.attached)
        };
        for Attached { links, refused } in attached {
            if !refused {
                links.refused(error.cloned().unwrap_or_else(|| SwarmError::closed("agent")));
            }
        }
    }
}
