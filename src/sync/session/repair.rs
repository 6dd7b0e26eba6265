//! Comparing what both sides have, bucket by bucket, and putting right what differs. It finds what should not be (a store that
//! was damaged, an error in this program) and what cannot be found otherwise: rows that were deleted while a node was away for
//! so long that their tombstones are gone.
//!
//! The side that asks does all the comparing; the other one answers. Whatever changes meanwhile is left out by the heads: a
//! state above the head of the side that lacks it, and not above the head of the side that has it, comes by a delta. (One that
//! is above both is left of a history that did not prevail, and is put right as well.)

use super::Session;
use super::config::{Role, SessionError};
use super::state::Mine;
use super::tell::{BYTES_IN_MESSAGE, COMPONENTS_IN_MESSAGE};
use crate::sync::component::Slot;
use crate::sync::identity::{Gid, Origin};
use crate::sync::store::{Known, Store};
use crate::sync::wire::{Bucket, Key, Message, Reply};
use aws_lc_rs::digest::{Context, SHA256};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// States in one page of a bucket: they fit into a packet.
const PAGE: usize = 2_500;
/// After a comparison that could not be made since heads differed.
const AGAIN_MS: u64 = 5_000;
/// Components picked at once, with bodies of unknown length.
const PICKED: usize = 16;

/// What this side does to compare.
#[derive(Clone, Debug, Default)]
pub(super) enum Repair {
    /// Nothing.
    #[default]
    Idle,
    /// It is to compare as soon as all that the peer has is here, whatever the heads are.
    Wanted,
    /// It has sent its digest.
    Asked,
    /// It has asked for a page.
    Reading(Walk),
    /// It has asked for components of a page.
    Mending(Walk),
}

/// Where a comparison is.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    /// Buckets that are to come, the current one first.
    buckets: VecDeque<u8>,
    after: Option<Key>,
}

/// Components that the peer is to get.
#[derive(Clone, Debug, Default)]
pub(super) struct Debts {
    /// It asked for these.
    asked: VecDeque<Key>,
    /// An answer is owed, though it may be empty.
    owed: bool,
    /// It lacks these, or has older states.
    unasked: VecDeque<Key>,
}

impl Session {
    pub(super) fn continue_repair(
        &mut self,
        store: &mut dyn Store,
        mine: &Mine,
        now_ms: u64,
    ) -> Result<(), SessionError> {
        let forced = match self.state.repair {
            Repair::Wanted => {
                if self.state.theirs.iter().any(|(origin, theirs)| mine.head(*origin) < theirs.head) {
                    return Ok(());
                }
                true
            }
            Repair::Idle if self.role == Role::Node && now_ms >= self.next_digest_ms => {
                self.next_digest_ms = now_ms.saturating_add(AGAIN_MS.min(self.config.digest_ms));
                if mine.states.values().any(|state| self.peer_head(state.origin) != state.head) {
                    return Ok(());
                }
                false
            }
            _ => return Ok(()),
        };
        let sums = store.digest()?;
        self.state.repair = Repair::Asked;
        self.say(&Message::Digest { forced, heads: hash_of_heads(mine), sums });
        Ok(())
    }

    pub(super) fn listen_repair(
        &mut self,
        store: &mut dyn Store,
        mine: &Mine,
        message: Message,
        now_ms: u64,
    ) -> Result<bool, SessionError> {
        match message {
            Message::Digest { forced, heads, sums } => {
                let differ = if forced || heads == hash_of_heads(mine) {
                    Some(differing(&store.digest()?, &sums))
                } else {
                    None
                };
                self.say(&Message::Differ(differ));
                Ok(false)
            }
            Message::Differ(differ) => {
                if !matches!(self.state.repair, Repair::Asked) {
                    return Err(SessionError::Unexpected("an answer to a digest that was not sent"));
                }
                match differ {
                    None => {
                        self.state.repair = Repair::Idle;
                        self.next_digest_ms = now_ms.saturating_add(AGAIN_MS.min(self.config.digest_ms));
                    }
                    Some(bits) => {
                        let buckets = (0..=u8::MAX)
                            .filter(|bucket| bits[usize::from(bucket / 8)] >> (bucket % 8) & 1 == 1)
                            .collect();
                        self.walk(Walk { buckets, after: None }, now_ms);
                    }
                }
                Ok(false)
            }
            Message::Ask { bucket, after } => {
                let page = page(store.bucket(bucket)?, bucket, after);
                self.say(&Message::Bucket(page));
                Ok(false)
            }
            Message::Bucket(page) => self.compare_page(store, mine, page, now_ms),
            Message::Want(keys) => {
                if self.state.debts.owed {
                    return Err(SessionError::Unexpected("a second question before the answer to the first"));
                }
                self.state.debts.asked = keys.into();
                self.state.debts.owed = true;
                Ok(false)
            }
            _ => Err(SessionError::Unexpected("a message of another kind")),
        }
    }

    /// Asks for the next page, or ends.
    fn walk(&mut self, walk: Walk, now_ms: u64) {
        if let Some(&bucket) = walk.buckets.front() {
            self.say(&Message::Ask { bucket, after: walk.after });
            self.state.repair = Repair::Reading(walk);
            return;
        }
        self.state.repair = Repair::Idle;
        self.state.below_floor = false;
        self.state.status.compared += 1;
        self.next_digest_ms = now_ms.saturating_add(self.config.digest_ms);
    }

    fn compare_page(
        &mut self,
        store: &mut dyn Store,
        mine: &Mine,
        page: Bucket,
        now_ms: u64,
    ) -> Result<bool, SessionError> {
        let walk = match std::mem::take(&mut self.state.repair) {
            Repair::Reading(walk)
                if walk.buckets.front() == Some(&page.bucket) && walk.after == page.after =>
            {
                walk
            }
            _ => return Err(SessionError::Unexpected("a page that was not asked for")),
        };
        let end = page.known.last().filter(|_| page.more).map(|last| (last.gid, last.slot));
        let inside = |known: &Known| {
            let key = (known.gid, known.slot);
            page.after.is_none_or(|after| key > after) && end.is_none_or(|end| key <= end)
        };
        let here = store.bucket(page.bucket)?;
        let here = here.into_iter().filter(inside).map(|known| ((known.gid, known.slot), known)).collect();
        let found = self.differences(mine, &here, &page.known);
        let mut walk = walk;
        self.state.status.repaired += found.unexpected + found.deleted.len() as u64;
        let wrote = !found.deleted.is_empty();
        if wrote {
            let deleted: Vec<Gid> = found.deleted.into_iter().collect();
            store.forget(&deleted, now_ms)?;
        }
        self.state.debts.unasked.extend(found.lacking);
        walk.after = end;
        if end.is_none() {
            walk.buckets.pop_front();
        }
        if found.wanted.is_empty() {
            self.walk(walk, now_ms);
        } else {
            self.say(&Message::Want(found.wanted));
            self.state.repair = Repair::Mending(walk);
        }
        Ok(wrote)
    }

    fn differences(&self, mine: &Mine, here: &BTreeMap<Key, Known>, there: &[Known]) -> Differences {
        let mut found = Differences::default();
        let theirs = |origin: Origin| self.state.theirs.get(&origin).copied().unwrap_or_default();
        let there: BTreeMap<Key, &Known> =
            there.iter().map(|known| ((known.gid, known.slot), known)).collect();
        for (key, known) in &there {
            let stamp = known.stamp;
            let newer = here.get(key).is_none_or(|here| here.stamp < stamp);
            // Below the floor, what is not here was deleted.
            let deleted = !here.contains_key(key) && stamp.version <= mine.floor(stamp.origin);
            let head = mine.head(stamp.origin);
            let comes = stamp.version > head && stamp.version <= theirs(stamp.origin).head;
            if newer && !deleted && !comes {
                found.unexpected += u64::from(stamp.version <= head);
                found.wanted.push(*key);
            }
        }
        for (key, known) in here {
            let stamp = known.stamp;
            let head = theirs(stamp.origin).head;
            let goes = stamp.version > head && stamp.version <= mine.head(stamp.origin);
            match there.get(key) {
                Some(there) if there.stamp >= stamp => {}
                _ if goes => {}
                None if key.1 == Slot::Row && stamp.version <= theirs(stamp.origin).floor => {
                    found.deleted.insert(key.0);
                }
                _ => {
                    found.unexpected += u64::from(stamp.version <= head);
                    found.lacking.push(*key);
                }
            }
        }
        // Shares go with their rows.
        let deleted = &found.deleted;
        found.lacking.retain(|(gid, _)| !deleted.contains(gid));
        found
    }

    /// The answer to a question for components is here.
    pub(super) fn answered(&mut self, now_ms: u64) -> Result<(), SessionError> {
        match std::mem::take(&mut self.state.repair) {
            Repair::Mending(walk) => {
                self.walk(walk, now_ms);
                Ok(())
            }
            _ => Err(SessionError::Unexpected("components that were not asked for")),
        }
    }

    pub(super) fn has_debts(&self) -> bool {
        self.state.debts.owed || !self.state.debts.unasked.is_empty()
    }

    /// Sends some of what the peer is to get; says how many bytes.
    pub(super) fn pay(&mut self, store: &mut dyn Store) -> Result<usize, SessionError> {
        let owed = self.state.debts.owed;
        let mut components = Vec::new();
        let mut bytes = 0;
        let longest = self.config.component_bytes;
        loop {
            let keys = if owed { &mut self.state.debts.asked } else { &mut self.state.debts.unasked };
            // One at a time once a long one has come: together they may be more than a message holds.
            let some: Vec<Key> = keys.drain(..keys.len().min(PICKED)).collect();
            let picked = store.pick(&some)?;
            let mut picked: VecDeque<_> = picked
                .into_iter()
                .filter(|component| component.body.as_ref().is_none_or(|body| body.len() <= longest))
                .collect();
            while let Some(component) = picked.pop_front() {
                let length = component.body.as_ref().map_or(0, Vec::len);
                if !components.is_empty() && bytes + length > self.longest_message() / 2 {
                    picked.push_front(component);
                    break;
                }
                bytes += length;
                components.push(component);
            }
            let keys = if owed { &mut self.state.debts.asked } else { &mut self.state.debts.unasked };
            for component in picked.into_iter().rev() {
                keys.push_front((component.gid, component.slot));
            }
            if keys.is_empty()
                || bytes >= BYTES_IN_MESSAGE
                || components.len() + PICKED > COMPONENTS_IN_MESSAGE
            {
                break;
            }
        }
        let reply = match (owed, self.state.debts.asked.is_empty()) {
            (false, _) => Reply::Unasked,
            (true, false) => Reply::More,
            (true, true) => {
                self.state.debts.owed = false;
                Reply::Last
            }
        };
        self.state.status.sent += components.len() as u64;
        Ok(self.say(&Message::Mend { reply, components }))
    }
}

/// What a page has shown.
#[derive(Default)]
struct Differences {
    /// Newer there.
    wanted: Vec<Key>,
    /// Newer here.
    lacking: Vec<Key>,
    /// Deleted there, and the tombstone collected.
    deleted: BTreeSet<Gid>,
    /// Of the first two, what the heads say that both have.
    unexpected: u64,
}

fn page(mut known: Vec<Known>, bucket: u8, after: Option<Key>) -> Bucket {
    known.retain(|known| after.is_none_or(|after| (known.gid, known.slot) > after));
    known.sort_unstable_by_key(|known| (known.gid, known.slot));
    let more = known.len() > PAGE;
    known.truncate(PAGE);
    Bucket { bucket, after, more, known }
}

fn differing(mine: &[[u8; 16]], theirs: &[[u8; 16]]) -> [u8; 32] {
    let mut bits = [0; 32];
    for (bucket, _) in mine.iter().zip(theirs).enumerate().filter(|(_, (mine, theirs))| mine != theirs) {
        bits[bucket / 8] |= 1 << (bucket % 8);
    }
    bits
}

/// Of all origins of which there is anything, in their order.
fn hash_of_heads(mine: &Mine) -> [u8; 16] {
    let mut context = Context::new(&SHA256);
    for state in mine.states.values().filter(|state| state.head > 0) {
        context.update(&state.origin.0);
        context.update(&state.head.to_le_bytes());
    }
    let digest = context.finish();
    let mut first = [0; 16];
    first.copy_from_slice(&digest.as_ref()[..16]);
    first
}
