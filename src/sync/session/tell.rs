//! What a peer is told: who speaks, what it lacks, what was taken.

use super::Session;
use super::config::{Budget, Progress, Role, SessionError};
use super::state::Mine;
use crate::sync::identity::Origin;
use crate::sync::store::{LIVES, Limit, OriginState, Store, StoreError};
use crate::sync::wire::{Ack, Have, Hello, Message, OVERHEAD_BYTES};

/// Origins in one message: with all their lives they fit into a packet.
const ORIGINS_IN_MESSAGE: usize = 192 * 1024 / (35 + 16 * LIVES);
/// Components in one message; beside their bodies they fit into what a message may have beside one body.
pub(super) const COMPONENTS_IN_MESSAGE: usize = 512;
/// Bytes of bodies in one message, as far as one is not longer: a packet, mostly.
pub(super) const BYTES_IN_MESSAGE: usize = 192 * 1024;

impl Session {
    /// Hello, and how far this side is with every origin.
    pub(super) fn greet(&mut self, mine: &Mine, now_ms: u64) {
        self.state.greeted = true;
        self.state.greeted_as = mine.own;
        self.state.greeted_with = mine.sealing;
        let epoch = match self.role {
            Role::Node => None,
            Role::Relay { epoch } => Some(epoch),
        };
        let database = self.config.database.clone();
        let (own, sealing) = (mine.own, mine.sealing);
        self.say(&Message::Hello(Hello { database, own, epoch, now_ms, capabilities: 0, sealing }));
        let states: Vec<OriginState> = mine.states.values().cloned().collect();
        let pages = states.chunks(ORIGINS_IN_MESSAGE).count().max(1);
        for page in 0..pages {
            let from = page * ORIGINS_IN_MESSAGE;
            let states = states[from..states.len().min(from + ORIGINS_IN_MESSAGE)].to_vec();
            for state in &states {
                self.told(state);
            }
            self.say(&Message::Have(Have { exact: true, last: page + 1 == pages, states }));
        }
    }

    fn told(&mut self, state: &OriginState) {
        let theirs = self.state.theirs.entry(state.origin).or_default();
        theirs.told_head = state.head;
        theirs.told_floor = state.floor;
        theirs.told_life = state.lineage.last().map(|life| life.incarnation);
    }

    /// Deltas of what the peer lacks, then what it may not know of this side.
    pub(super) fn tell(
        &mut self,
        store: &mut dyn Store,
        mine: &Mine,
        budget: Budget,
        progress: &mut Progress,
    ) -> Result<(), SessionError> {
        self.state.backlog = false;
        if !self.state.below_floor {
            self.push(store, mine, budget, progress)?;
        }
        if self.has_debts() {
            self.pay_debts(store, budget, progress)?;
        }
        self.acknowledge(mine);
        Ok(())
    }

    /// One delta of each origin in turn, as long as there is room.
    fn push(
        &mut self,
        store: &mut dyn Store,
        mine: &Mine,
        budget: Budget,
        progress: &mut Progress,
    ) -> Result<(), SessionError> {
        let behind = |session: &Self, state: &OriginState| {
            let sent = session.state.theirs.get(&state.origin).map_or(0, |theirs| theirs.sent);
            // What the peer publishes itself it has, or is about to find out that it is a copy.
            state.head > sent && Some(state.origin) != session.state.peer_own
        };
        let most = self.state.status.sent.saturating_add(budget.components.max(1) as u64);
        loop {
            let turn = self.state.turn;
            let after = mine.states.values().filter(|state| turn.is_none_or(|turn| state.origin > turn));
            let next = after.chain(mine.states.values()).find(|state| behind(self, state));
            let Some(state) = next else { return Ok(()) };
            let components =
                usize::try_from(most.saturating_sub(self.state.status.sent)).unwrap_or(usize::MAX);
            if !self.has_room() || progress.bytes >= budget.bytes || components == 0 {
                self.state.backlog = true;
                return Ok(());
            }
            let limit = Limit {
                components: components.min(COMPONENTS_IN_MESSAGE),
                bytes: (budget.bytes - progress.bytes).min(BYTES_IN_MESSAGE),
            };
            self.push_delta(store, state.origin, limit, progress)?;
            self.state.turn = Some(state.origin);
        }
    }

    fn push_delta(
        &mut self,
        store: &mut dyn Store,
        origin: Origin,
        limit: Limit,
        progress: &mut Progress,
    ) -> Result<(), SessionError> {
        let after = self.state.theirs.get(&origin).map_or(0, |theirs| theirs.sent);
        let mut delta = store.read(origin, after, limit)?;
        let before = delta.components.len();
        delta.components.retain(|component| {
            component.body.as_ref().is_none_or(|body| body.len() <= self.config.component_bytes)
        });
        self.state.status.oversized += (before - delta.components.len()) as u64;
        let theirs = self.state.theirs.entry(origin).or_default();
        if delta.to <= after {
            return Err(StoreError::Corrupt("a head without the versions below it").into());
        }
        theirs.sent = delta.to;
        theirs.told_head = theirs.told_head.max(delta.to);
        self.state.status.sent += delta.components.len() as u64;
        progress.bytes += self.say(&Message::Delta(delta));
        Ok(())
    }

    /// Heads that the peer does not hear of by a delta, and bytes that were taken; floors and lives.
    fn acknowledge(&mut self, mine: &Mine) {
        let mut heads = Vec::new();
        let mut news = Vec::new();
        let mut back = Vec::new();
        for state in mine.states.values() {
            let theirs = self.state.theirs.entry(state.origin).or_default();
            if state.head < theirs.told_head {
                // Another history of this origin has prevailed.
                theirs.told_head = state.head;
                back.push(state.clone());
            }
            if state.head > theirs.told_head && theirs.head >= state.head {
                theirs.told_head = state.head;
                heads.push((state.origin, state.head));
            }
            let life = state.lineage.last().map(|life| life.incarnation);
            let known = theirs.told_life == life || theirs.life == life;
            if !known || theirs.told_floor < state.floor && theirs.floor < state.floor {
                news.push(state.clone());
            }
        }
        for states in news.chunks(ORIGINS_IN_MESSAGE) {
            for state in states {
                let told_head = self.state.theirs.get(&state.origin).map_or(0, |theirs| theirs.told_head);
                self.told(state);
                // What a delta that still waits will say is not said twice, and what none will say is said here.
                let theirs = self.state.theirs.entry(state.origin).or_default();
                theirs.told_head = theirs.told_head.max(told_head);
            }
            self.say(&Message::Have(Have { exact: false, last: false, states: states.to_vec() }));
        }
        for states in back.chunks(ORIGINS_IN_MESSAGE) {
            self.say(&Message::Have(Have { exact: true, last: false, states: states.to_vec() }));
        }
        let taken = self.parts_taken + self.state.finished;
        if !heads.is_empty() || taken > self.state.told_taken {
            self.state.told_taken = taken;
            self.say(&Message::Ack(Ack { taken, heads }));
        }
    }

    /// What is sent in answer to a question, or unasked in a repair, in the room that is left.
    fn pay_debts(
        &mut self,
        store: &mut dyn Store,
        budget: Budget,
        progress: &mut Progress,
    ) -> Result<(), SessionError> {
        while self.has_debts() {
            if !self.has_room() || progress.bytes >= budget.bytes {
                self.state.backlog = true;
                return Ok(());
            }
            progress.bytes += self.pay(store)?;
        }
        Ok(())
    }

    /// The longest message that a peer with the same settings takes.
    pub(super) const fn longest_message(&self) -> usize {
        self.config.component_bytes + OVERHEAD_BYTES
    }
}
