//! Deltas and repairs that came, merged a bounded number of components at a time.

use super::Session;
use super::config::{Budget, Progress, SessionError};
use super::state::Mine;
use crate::sync::clock::Hlc;
use crate::sync::component::{Component, Slot};
use crate::sync::identity::Origin;
use crate::sync::store::{Applied, Delta, Store};
use crate::sync::wire::{Have, Message, Reply, Resting};

/// What one piece of work did.
struct Done {
    /// Components of the message that were dealt with, all of them: nothing is left of it.
    to: usize,
    whole: bool,
}

impl Session {
    /// Merges of what waits. Says whether the store has changed.
    pub(super) fn merge(
        &mut self,
        store: &mut dyn Store,
        mine: &mut Mine,
        budget: Budget,
        now_ms: u64,
        progress: &mut Progress,
    ) -> Result<bool, SessionError> {
        let mut wrote = false;
        while progress.components < budget.components.max(1) {
            let Some(queued) = self.bulk.get_mut(self.state.merged) else { break };
            // Taken out while it is worked on, and put back: a rollback needs it again.
            let bytes = queued.bytes as u64;
            let message = std::mem::replace(queued.message.open()?, Message::Ping { now_ms: 0 });
            let room = budget.components.max(1) - progress.components;
            let done = self.merge_message(store, mine, &message, room, now_ms, progress);
            if let Some(queued) = self.bulk.get_mut(self.state.merged) {
                queued.message = Resting::Open(message);
            }
            let done = done?;
            wrote = true;
            if done.whole {
                self.state.merged += 1;
                self.state.within = 0;
                self.state.finished += bytes;
            } else {
                self.state.within = done.to;
            }
        }
        Ok(wrote)
    }

    fn merge_message(
        &mut self,
        store: &mut dyn Store,
        mine: &mut Mine,
        message: &Message,
        room: usize,
        now_ms: u64,
        progress: &mut Progress,
    ) -> Result<Done, SessionError> {
        match message {
            Message::Delta(delta) => self.merge_delta(store, mine, delta, room, now_ms, progress),
            Message::Mend { reply, components } => {
                let from = self.state.within;
                let to = components.len().min(from.saturating_add(room));
                let some = &components[from..to];
                let applied = store.mend(some, now_ms)?;
                self.applied(applied, some, now_ms, progress);
                let whole = to == components.len();
                if whole && *reply == Reply::Last {
                    self.answered(now_ms)?;
                }
                Ok(Done { to, whole })
            }
            Message::Have(have) => {
                self.compare_heads(store, mine, have.clone(), now_ms, progress)?;
                Ok(Done { to: 0, whole: true })
            }
            _ => Err(SessionError::Unexpected("bulk of another kind")),
        }
    }

    fn merge_delta(
        &mut self,
        store: &mut dyn Store,
        mine: &mut Mine,
        delta: &Delta,
        room: usize,
        now_ms: u64,
        progress: &mut Progress,
    ) -> Result<Done, SessionError> {
        let passed_over = Done { to: 0, whole: true };
        let of_peer = Some(delta.origin) == self.state.peer_own;
        if Some(delta.origin) == mine.own
            || of_peer && (self.state.peer_forked || self.is_copy(mine, delta.to))
        {
            return Ok(passed_over);
        }
        let head = mine.head(delta.origin);
        let from = self.state.within;
        let after = if from == 0 { delta.after } else { delta.components[from - 1].stamp.version };
        if after > head {
            // It was told of a head that is no more: what it sent since then comes again.
            self.deny(mine, delta.origin);
            return Ok(passed_over);
        }
        let count = delta.components.len();
        let to = count.min(from.saturating_add(room));
        let whole = to == count;
        let known = self.state.theirs.entry(delta.origin).or_default();
        let before = known.head;
        known.head = known.head.max(delta.to);
        known.sent = known.sent.max(delta.to);
        let (applied, reached) = if from == 0 && whole {
            (store.apply(delta, now_ms)?, delta.to)
        } else {
            let reached = if whole { delta.to } else { delta.components[to - 1].stamp.version };
            let components = delta.components[from..to].to_vec();
            let part = Delta { origin: delta.origin, after, to: reached, components };
            (store.apply(&part, now_ms)?, reached)
        };
        if before < delta.to {
            // It sends what it has committed.
            store.acknowledged(&self.config.peer, delta.origin, delta.to, now_ms)?;
        }
        if reached > head {
            mine.states.entry(delta.origin).or_insert_with(|| blank(delta.origin)).head = reached;
            self.state.status.done = self.state.status.total.min(self.state.status.done + (reached - head));
            progress.advanced = true;
        }
        self.applied(applied, &delta.components[from..to], now_ms, progress);
        Ok(Done { to, whole })
    }

    /// Tells the peer which head it is to go on from.
    fn deny(&mut self, mine: &Mine, origin: Origin) {
        let state = mine.states.get(&origin).cloned().unwrap_or_else(|| blank(origin));
        self.say(&Message::Have(Have { exact: true, last: false, states: vec![state] }));
    }

    fn applied(&mut self, applied: Applied, components: &[Component], now_ms: u64, progress: &mut Progress) {
        for sum in [&mut progress.applied, &mut self.state.status.applied] {
            sum.rows += applied.rows;
            sum.conflicts += applied.conflicts;
            sum.parked += applied.parked;
        }
        // An empty message is work as well.
        progress.components += components.len().max(1);
        // A share of the baseline has a count in place of its time.
        let timed = components.iter().filter(|component| component.slot != Slot::Share(Origin::BASELINE));
        if let Some(newest) = timed.map(|component| component.stamp.hlc).max().filter(|hlc| *hlc > Hlc(0)) {
            self.state.status.last_applied_ms = now_ms;
            self.state.status.lag_ms = now_ms.saturating_sub(newest.ms());
        }
    }
}

fn blank(origin: Origin) -> crate::sync::store::OriginState {
    crate::sync::store::OriginState { origin, head: 0, floor: 0, lineage: Vec::new() }
}
