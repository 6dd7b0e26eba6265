//! Who may begin a handshake now: the decision alone, without sockets, clocks or dice.
//!
//! A handshake costs about a millisecond of the one thread that also carries every agent's heartbeats, and a place until
//! it ends. The peer pays nothing before it is verified, so what it may cause is bounded here:
//!
//! - **Unproven.** Whoever has not shown that it is at its address (RFC 9000, section 8.1) gets a place only while few
//!   are taken and few of its like have failed; otherwise it is asked to come back with a token, which costs neither
//!   memory nor a signature (section 8.1.2). A failure is held against an address only when the peer has proved to be
//!   there: nobody gets others into trouble by using their addresses.
//! - **One source**, an IPv4 address or an IPv6 network of 64 bits, has a part of the places. Each failure fills its
//!   bucket, which leaks. From a few on it is *watched*: it has to prove its address, and its bucket with what it has
//!   begun may not go beyond a limit. So its failures are paced by the leak, while handshakes that succeed, a thousand of
//!   them behind one NAT, are not paced at all.
//! - **Strangers**, sources from which nobody was let in lately, share another bucket and leave places free: many
//!   addresses at once do not keep out those whose agents come back.
//! - Who has to wait does so in the line of its source, and the sources take turns.
//!
//! What is remembered is bounded by the buckets: a source is forgotten when its own is empty, and all strangers together
//! cannot fill more of them than their common one lets fail. Membership costs a certificate, and nothing is evicted to
//! make room for it.

use crate::protocol::Millis;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};

/// Handshakes that are computed at once.
pub(super) const PLACES: u64 = 64;

/// Those that strangers may have, all together and from one source; and those that one source with members may have.
const STRANGERS_AT_ONCE: u64 = 48;
const STRANGER_AT_ONCE: u64 = 32;
const MEMBER_AT_ONCE: u64 = 56;

/// A failure, in the unit of buckets.
const FAILURE: u64 = 1000;

/// Failures from which a source is watched, and beyond which it waits; one of them is forgotten each second.
const WATCHED: u64 = 4 * FAILURE;
const SOURCE: Bucket = Bucket { limit: 16 * FAILURE, leak_per_s: FAILURE };

/// The same for those who have not proved their address, taken together: beyond it they have to.
const UNPROVEN: Bucket = Bucket { limit: 16 * FAILURE, leak_per_s: 16 * FAILURE };

/// The same for all strangers: about a sixteenth of the thread's time.
const STRANGERS: Bucket = Bucket { limit: 256 * FAILURE, leak_per_s: 64 * FAILURE };

/// How long a source is remembered for somebody who was let in, and how many are.
const MEMBERSHIP_MS: Millis = 3_600_000;
const MAX_MEMBERS: usize = 4096;
const SWEEP_MS: Millis = 60_000;

/// Who may wait: in all, from one source, from one that is watched; and how long. An agent gives a dial up after that time.
const LINE: usize = 2048;
const SOURCE_LINE: usize = 1024;
const WATCHED_LINE: usize = 16;
const PATIENCE_MS: Millis = 1500;

/// Sources that are looked at in one go, so that a long line costs no time: where it goes on is remembered.
const LOOKS: usize = 32;

/// How a bucket leaks, and what it holds.
struct Bucket {
    limit: u64,
    leak_per_s: u64,
}

/// How full a bucket was, and when.
#[derive(Debug, Clone, Copy, Default)]
struct Level {
    filled: u64,
    at: Millis,
}

impl Bucket {
    fn level(&self, level: Level, now: Millis) -> u64 {
        let leaked = now.saturating_sub(level.at).saturating_mul(self.leak_per_s) / 1000;
        level.filled.saturating_sub(leaked)
    }

    /// One failure more. What does not fit runs over: being bad for long does not make it last longer.
    fn fill(&self, level: &mut Level, now: Millis) {
        let filled = (self.level(*level, now) + FAILURE).min(self.limit);
        *level = Level { filled, at: now };
    }
}

/// What becomes of somebody who has knocked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<T> {
    /// Begin the handshake; tell [`Door::ended`] how it went.
    Accept(T, Place),
    /// Ask for a proof of the address.
    Retry(T),
    /// There is no room, and there will not be soon: say so.
    Refuse(T),
    /// Say nothing. An honest peer sends its packet again, an attacker waits.
    Ignore(T),
    /// The door keeps it, for [`Door::next`].
    Wait,
}

/// One that has waited.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Called<T> {
    /// It is its turn.
    Begin(T, Place),
    /// It has waited for too long, or its source has lost the right to wait.
    Forget(T),
}

/// A handshake that was begun.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    source: IpAddr,
    proven: bool,
    stranger: bool,
}

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With a certificate that is good.
    Admitted,
    /// With something that only a peer at its address can have sent: a bad certificate, or none.
    Refused,
    /// With nothing that proves anything: silence, nonsense.
    Failed,
}

#[derive(Debug)]
struct Source<T> {
    begun: u64,
    failures: Level,
    /// Somebody was let in, and this is remembered until then.
    member_until: Millis,
    line: VecDeque<(T, Millis)>,
}

impl<T> Default for Source<T> {
    fn default() -> Self {
        Self { begun: 0, failures: Level::default(), member_until: 0, line: VecDeque::new() }
    }
}

impl<T> Source<T> {
    fn failures(&self, now: Millis) -> u64 {
        SOURCE.level(self.failures, now)
    }

    fn is_watched(&self, now: Millis) -> bool {
        self.failures(now) >= WATCHED
    }

    /// One that fails again and again is treated as a stranger, whoever was let in there.
    fn is_stranger(&self, now: Millis) -> bool {
        now >= self.member_until || self.is_watched(now)
    }

    fn is_forgotten(&self, now: Millis) -> bool {
        self.begun == 0 && self.line.is_empty() && self.failures(now) == 0 && now >= self.member_until
    }
}

/// Everything that is remembered of those who knock with a `T`.
#[derive(Debug)]
pub(super) struct Door<T> {
    sources: HashMap<IpAddr, Source<T>>,
    /// Sources with somebody in line, each once, the next one first.
    turns: VecDeque<IpAddr>,
    begun: u64,
    strangers_begun: u64,
    waiting: usize,
    members: usize,
    unproven: Level,
    strangers: Level,
    /// At so many sources those to be forgotten are looked for.
    sweep_at: usize,
    /// When that was last done: a full table of members is looked through now and then.
    swept_at: Millis,
}

/// What counts as one source. Whoever has an IPv6 address has a network of 2^64 of them.
fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

impl<T> Door<T> {
    pub(super) fn new() -> Self {
        Self {
            sources: HashMap::new(),
            turns: VecDeque::new(),
            begun: 0,
            strangers_begun: 0,
            waiting: 0,
            members: 0,
            unproven: Level::default(),
            strangers: Level::default(),
            sweep_at: 1024,
            swept_at: 0,
        }
    }

    /// Somebody knocks from `address`, `proven` when it has shown that it is there.
    pub(super) fn arrived(&mut self, who: T, address: IpAddr, proven: bool, now: Millis) -> Verdict<T> {
        let key = source_of(address);
        let known = self.sources.get(&key);
        let watched = known.is_some_and(|source| source.is_watched(now));
        let in_line = known.map_or(0, |source| source.line.len());
        if !proven {
            let load = self.begun * FAILURE + UNPROVEN.level(self.unproven, now);
            if watched || load + FAILURE > UNPROVEN.limit || in_line > 0 || !self.has_room(key, now) {
                return Verdict::Retry(who);
            }
            return Verdict::Accept(who, self.begin(key, false, now));
        }
        if in_line == 0 && self.has_room(key, now) {
            return Verdict::Accept(who, self.begin(key, true, now));
        }
        if watched && in_line >= WATCHED_LINE || in_line >= SOURCE_LINE {
            return Verdict::Ignore(who);
        }
        if self.waiting >= LINE {
            return Verdict::Refuse(who);
        }
        if in_line == 0 {
            self.turns.push_back(key);
        }
        self.source(key, now).line.push_back((who, now));
        self.waiting += 1;
        Verdict::Wait
    }

    /// Whether somebody waits, so that [`next`](Door::next) has to be asked again, also when nothing happens.
    pub(super) fn has_line(&self) -> bool {
        self.waiting > 0
    }

    /// The next one in line who need not wait any longer.
    pub(super) fn next(&mut self, now: Millis) -> Option<Called<T>> {
        for _ in 0..self.turns.len().min(LOOKS) {
            let key = self.turns.pop_front()?;
            let room = self.has_room(key, now);
            let source = self.sources.get_mut(&key)?;
            let too_many = source.is_watched(now) && source.line.len() > WATCHED_LINE;
            let late =
                source.line.front().is_some_and(|(_, since)| now.saturating_sub(*since) >= PATIENCE_MS);
            // Whoever came last has waited the least.
            let called = match (late || room, too_many) {
                (true, _) => source.line.pop_front(),
                (false, true) => source.line.pop_back(),
                (false, false) => None,
            };
            if !source.line.is_empty() {
                self.turns.push_back(key);
            }
            let Some((who, _)) = called else { continue };
            self.waiting -= 1;
            if late || !room {
                return Some(Called::Forget(who));
            }
            return Some(Called::Begin(who, self.begin(key, true, now)));
        }
        None
    }

    /// A handshake has ended.
    pub(super) fn ended(&mut self, place: Place, end: End, now: Millis) {
        self.begun -= 1;
        self.strangers_begun -= u64::from(place.stranger);
        let room = self.members < MAX_MEMBERS;
        let Some(source) = self.sources.get_mut(&place.source) else { return };
        source.begun -= 1;
        let (mut joined, mut failed) = (false, false);
        match end {
            End::Admitted => {
                joined = source.member_until == 0;
                if !joined || room {
                    source.member_until = now + MEMBERSHIP_MS;
                }
            }
            End::Failed if !place.proven => UNPROVEN.fill(&mut self.unproven, now),
            End::Refused | End::Failed => {
                failed = true;
                SOURCE.fill(&mut source.failures, now);
            }
        }
        self.members += usize::from(joined && room);
        if source.is_forgotten(now) {
            self.members -= usize::from(source.member_until != 0);
            self.sources.remove(&place.source);
        }
        if failed && place.stranger {
            STRANGERS.fill(&mut self.strangers, now);
        }
    }

    /// Somebody at this address has a certificate that is good, and was turned away all the same: it costs as much as one
    /// without.
    pub(super) fn turned_away(&mut self, address: IpAddr, now: Millis) {
        let source = self.source(source_of(address), now);
        SOURCE.fill(&mut source.failures, now);
    }

    /// Whether one more handshake of this source may begin.
    fn has_room(&self, key: IpAddr, now: Millis) -> bool {
        if self.begun >= PLACES {
            return false;
        }
        let source = self.sources.get(&key);
        let begun = source.map_or(0, |source| source.begun);
        let failures = source.map_or(0, |source| source.failures(now));
        if failures >= WATCHED && failures + (begun + 1) * FAILURE > SOURCE.limit {
            return false;
        }
        if source.is_none_or(|source| source.is_stranger(now)) {
            let all = STRANGERS.level(self.strangers, now) + (self.strangers_begun + 1) * FAILURE;
            begun < STRANGER_AT_ONCE && self.strangers_begun < STRANGERS_AT_ONCE && all <= STRANGERS.limit
        } else {
            begun < MEMBER_AT_ONCE
        }
    }

    fn begin(&mut self, key: IpAddr, proven: bool, now: Millis) -> Place {
        let source = self.source(key, now);
        source.begun += 1;
        let stranger = source.is_stranger(now);
        self.begun += 1;
        self.strangers_begun += u64::from(stranger);
        Place { source: key, proven, stranger }
    }

    fn source(&mut self, key: IpAddr, now: Millis) -> &mut Source<T> {
        let full = self.members >= MAX_MEMBERS && now.saturating_sub(self.swept_at) >= SWEEP_MS;
        if full || self.sources.len() >= self.sweep_at {
            self.swept_at = now;
            self.sources.retain(|_, source| !source.is_forgotten(now));
            self.members = self.sources.values().filter(|source| source.member_until != 0).count();
            self.sweep_at = (2 * self.sources.len()).max(1024);
        }
        self.sources.entry(key).or_default()
    }
}

#[cfg(test)]
mod tests;
