//! What is done with what a peer says, deltas and repairs aside.

use super::config::{Progress, SessionError};
use super::state::Mine;
use super::{Session, repair::Repair};
use crate::sync::identity::Origin;
use crate::sync::lineage::{self, Relation};
use crate::sync::seal::Sealing;
use crate::sync::store::{OriginState, Store};
use crate::sync::wire::{Have, Hello, Message};

/// Origins of one database.
const MOST_ORIGINS: usize = 1 << 16;

impl Session {
    /// `mine` is what the store has afterwards.
    pub(super) fn listen(
        &mut self,
        store: &mut dyn Store,
        mine: &mut Mine,
        message: Message,
        now_ms: u64,
        progress: &mut Progress,
    ) -> Result<(), SessionError> {
        match message {
            Message::Hello(hello) => self.meet(store, mine, hello, now_ms),
            _ if !self.state.introduced => Err(SessionError::Unexpected("a message before its Hello")),
            Message::Have(have) => self.compare_heads(store, mine, have, now_ms, progress),
            _ if !self.state.complete => {
                Err(SessionError::Unexpected("a message before the end of its heads"))
            }
            Message::Ack(ack) => {
                for (origin, version) in ack.heads {
                    let theirs = self.state.theirs.entry(origin).or_default();
                    if version > theirs.head {
                        theirs.head = version;
                        theirs.sent = theirs.sent.max(version);
                        self.note(store, mine, origin, version, now_ms)?;
                    }
                }
                self.bounded()
            }
            Message::Reach { origin, version } => {
                if Some(origin) == mine.own {
                    self.state.status.reach = self.state.status.reach.max(version.min(mine.head(origin)));
                }
                Ok(())
            }
            message => {
                if self.listen_repair(store, mine, message, now_ms)? {
                    *mine = Mine::read(store)?;
                }
                Ok(())
            }
        }
    }

    fn meet(
        &mut self,
        store: &mut dyn Store,
        mine: &mut Mine,
        hello: Hello,
        now_ms: u64,
    ) -> Result<(), SessionError> {
        if hello.database != self.config.database {
            return Err(SessionError::Database(hello.database));
        }
        let again = hello.own == self.state.peer_own && hello.sealing == self.state.peer_sealing;
        if self.state.introduced && again {
            return Err(SessionError::Unexpected("the same Hello again"));
        }
        if let Some(theirs) = hello.sealing {
            if !store.meets(theirs, now_ms)? {
                let before = mine.sealing.unwrap_or(Sealing::Plain);
                return Err(SessionError::Sealing(before.against(Some(theirs))));
            }
            *mine = Mine::read(store)?;
        }
        self.state.peer_sealing = hello.sealing;
        self.state.introduced = true;
        self.state.peer_own = hello.own;
        self.state.peer_forked = false;
        self.state.peer_lives.clear();
        self.state.status.epoch = hello.epoch;
        Ok(())
    }

    /// Of what this side publishes, only what the peer has of its present life says that the peer has accepted that.
    fn note(
        &self,
        store: &mut dyn Store,
        mine: &Mine,
        origin: Origin,
        version: u64,
        now_ms: u64,
    ) -> Result<(), SessionError> {
        let own = mine.states.get(&origin).filter(|_| mine.own == Some(origin));
        if own.is_none_or(|own| own.lineage.last().is_none_or(|life| version > life.start)) {
            store.acknowledged(&self.config.peer, origin, version, now_ms)?;
        }
        Ok(())
    }

    fn bounded(&self) -> Result<(), SessionError> {
        if self.state.theirs.len() > MOST_ORIGINS { Err(SessionError::TooMany) } else { Ok(()) }
    }

    pub(super) fn compare_heads(
        &mut self,
        store: &mut dyn Store,
        mine: &mut Mine,
        have: Have,
        now_ms: u64,
        progress: &mut Progress,
    ) -> Result<(), SessionError> {
        let mut wrote = false;
        for state in &have.states {
            if Some(state.origin) == mine.own {
                wrote |= self.compare_own(store, mine, state, now_ms, progress)?;
            } else {
                wrote |= self.compare_other(store, mine, state)?;
            }
            let theirs = self.state.theirs.entry(state.origin).or_default();
            theirs.floor = theirs.floor.max(state.floor);
            theirs.life = state.lineage.last().map(|life| life.incarnation);
            if have.exact {
                (theirs.head, theirs.sent) = (state.head, state.head);
            } else {
                theirs.head = theirs.head.max(state.head);
                theirs.sent = theirs.sent.max(state.head);
            }
            self.note(store, mine, state.origin, state.head, now_ms)?;
        }
        self.bounded()?;
        if wrote {
            *mine = Mine::read(store)?;
        }
        if have.last && !self.state.complete {
            self.state.complete = true;
            let missing = |(origin, theirs): (&_, &super::state::Theirs)| {
                theirs.head.saturating_sub(mine.head(*origin))
            };
            self.state.status.total = self.state.theirs.iter().map(missing).sum();
            let below = self.state.theirs.iter().any(|(origin, theirs)| mine.head(*origin) < theirs.floor);
            if below && !mine.is_empty() {
                self.state.below_floor = true;
                self.state.repair = Repair::Wanted;
            }
        }
        Ok(())
    }

    /// What the peer knows of the origin under which this side writes: more than this side does is a sign of a copy.
    fn compare_own(
        &mut self,
        store: &mut dyn Store,
        mine: &mut Mine,
        state: &OriginState,
        now_ms: u64,
        progress: &mut Progress,
    ) -> Result<bool, SessionError> {
        let Some(own) = mine.states.get(&state.origin) else { return Ok(false) };
        let Relation::Forked { agreed, restored } =
            lineage::of_own(&own.lineage, own.head, &state.lineage, state.head)
        else {
            return Ok(false);
        };
        progress.forked = Some(store.fork(agreed, restored, now_ms)?);
        progress.advanced = true;
        *mine = Mine::read(store)?;
        self.state.greeted = false;
        self.state.status.reach = 0;
        Ok(true)
    }

    fn compare_other(
        &mut self,
        store: &mut dyn Store,
        mine: &Mine,
        state: &OriginState,
    ) -> Result<bool, SessionError> {
        let known = mine.states.get(&state.origin).map_or(&[][..], |known| &known.lineage[..]);
        if Some(state.origin) == self.state.peer_own {
            self.state.peer_lives.clone_from(&state.lineage);
            if self.is_copy(mine, state.head) {
                return Ok(false);
            }
        }
        if state.lineage.is_empty() || state.lineage == known {
            return Ok(false);
        }
        store.learn(state.origin, &state.lineage)?;
        Ok(true)
    }

    /// Whether the peer writes under an origin with another history than is known of it here. Then it is told what that is, and
    /// what it publishes is passed over until it goes on under another origin.
    pub(super) fn is_copy(&mut self, mine: &Mine, their_head: u64) -> bool {
        let Some(state) = self.state.peer_own.and_then(|own| mine.states.get(&own)) else { return false };
        let relation = lineage::compare(&state.lineage, state.head, &self.state.peer_lives, their_head);
        let forked = matches!(relation, Relation::Forked { .. });
        if forked && !self.state.peer_forked {
            self.state.peer_forked = true;
            self.say(&Message::Have(Have { exact: true, last: false, states: vec![state.clone()] }));
        }
        forked
    }

    /// What the peer has collected, this side need not keep either: all who are to know of it do. Without that the two would
    /// differ for good.
    pub(super) fn adopt_floors(&mut self, store: &mut dyn Store, mine: &Mine) -> Result<bool, SessionError> {
        let mut collected = false;
        for (origin, theirs) in &self.state.theirs {
            if theirs.floor > mine.floor(*origin) && mine.head(*origin) >= theirs.floor {
                store.collect(*origin, theirs.floor)?;
                collected = true;
            }
        }
        Ok(collected)
    }
}
