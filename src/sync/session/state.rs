//! What a session knows of its peer: it goes back when the transaction does in which it changed.

use super::config::Status;
use super::repair::{Debts, Repair};
use crate::sync::identity::{Incarnation, Origin};
use crate::sync::seal::Sealing;
use crate::sync::store::{Lineage, OriginState, Store, StoreError};
use std::collections::BTreeMap;

/// What is known of one origin on the other side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Theirs {
    /// What it has committed.
    pub(super) head: u64,
    pub(super) floor: u64,
    pub(super) life: Option<Incarnation>,
    /// What it has committed or was sent.
    pub(super) sent: u64,
    /// What it was told of this side.
    pub(super) told_head: u64,
    pub(super) told_floor: u64,
    pub(super) told_life: Option<Incarnation>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// This side has said Hello, under the origin that it has.
    pub(super) greeted: bool,
    pub(super) greeted_as: Option<Origin>,
    pub(super) greeted_with: Option<Sealing>,
    /// The peer has.
    pub(super) introduced: bool,
    pub(super) peer_own: Option<Origin>,
    pub(super) peer_sealing: Option<Sealing>,
    /// The lives of that, as it says.
    pub(super) peer_lives: Lineage,
    /// The peer has said how far it is with every origin.
    pub(super) complete: bool,
    /// The peer writes under an origin of which it is a copy: what it publishes is passed over until it has noticed.
    pub(super) peer_forked: bool,
    pub(super) theirs: BTreeMap<Origin, Theirs>,
    pub(super) repair: Repair,
    pub(super) debts: Debts,
    /// Nothing is pushed before what was deleted meanwhile is found.
    pub(super) below_floor: bool,
    /// All that the peer is known to have is here.
    pub(super) pulled: bool,
    /// There is more to tell than there was room for.
    pub(super) backlog: bool,
    /// The origin whose turn it was last.
    pub(super) turn: Option<Origin>,
    /// Messages of the queues that were dealt with in this transaction, and components of the next one.
    pub(super) heard: usize,
    pub(super) merged: usize,
    pub(super) within: usize,
    /// Bytes of bulk that was dealt with, and what the peer was told of it.
    pub(super) finished: u64,
    pub(super) told_taken: u64,
    pub(super) status: Status,
}

impl State {
    /// Puts the numbers together that depend on both sides.
    pub(super) fn count(&mut self, mine: &Mine) {
        let (mut behind, mut missing) = (0, 0);
        for (origin, state) in &mine.states {
            behind += state.head.saturating_sub(self.theirs.get(origin).map_or(0, |theirs| theirs.head));
        }
        for (origin, theirs) in &self.theirs {
            missing += theirs.head.saturating_sub(mine.head(*origin));
        }
        self.pulled = missing == 0;
        self.status.ready = self.complete;
        self.status.behind = behind;
        self.status.missing = missing;
        self.status.acknowledged =
            mine.own.and_then(|own| self.theirs.get(&own)).map_or(0, |theirs| theirs.head);
    }
}

/// How far this side is.
#[derive(Debug)]
pub(super) struct Mine {
    pub(super) own: Option<Origin>,
    pub(super) sealing: Option<Sealing>,
    pub(super) states: BTreeMap<Origin, OriginState>,
}

impl Mine {
    pub(super) fn read(store: &mut dyn Store) -> Result<Self, StoreError> {
        let states = store.states()?.into_iter().map(|state| (state.origin, state)).collect();
        Ok(Self { own: store.own(), sealing: store.sealing()?, states })
    }

    pub(super) fn head(&self, origin: Origin) -> u64 {
        self.states.get(&origin).map_or(0, |state| state.head)
    }

    pub(super) fn floor(&self, origin: Origin) -> u64 {
        self.states.get(&origin).map_or(0, |state| state.floor)
    }

    /// Whether there is nothing here of anybody.
    pub(super) fn is_empty(&self) -> bool {
        self.states.values().all(|state| state.head == 0)
    }
}
