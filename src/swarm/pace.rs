//! How slowly a frame may arrive: the decision alone, in ticks that somebody else counts.
//!
//! A frame that has begun holds memory at the receiver, up to its limit, until it is whole. A peer that never finishes any
//! costs that memory for as long as its connection lives, for a few bytes now and then. So a frame that is not whole stays
//! for another agent timeout only if its connection has brought at least [`FLOOR`] bytes a second in the last one, on all
//! streams together.
//!
//! All streams together, because an honest peer's large payload stands still while more urgent lanes use up a slow link. A
//! link of 1 Mbit/s carries 122 KiB a second, thirty times the floor; one of 64 kbit/s carries twice the floor. Such links
//! are never idle while a frame is unfinished: the peer sends as fast as they take it.
//!
//! Time is counted in quarters of the agent timeout that were really waited. A receiver that was itself stopped for a
//! minute finds one tick gone, and the packets of that minute in its socket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes a second that a connection has to bring, over an agent timeout, while a frame of it is unfinished.
pub(super) const FLOOR: u64 = 4096;

/// Ticks that an agent timeout has.
const TICKS: u32 = 4;

/// What a connection's unfinished frames are held to. Clones are of the same connection.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    tick: Duration,
    brought: Arc<AtomicU64>,
}

/// An unfinished frame, and the agent timeout that it is in.
#[derive(Debug)]
pub(super) struct Begun {
    brought_before: u64,
    ticks: u32,
}

impl Pace {
    /// Of a new connection.
    pub(super) fn new(agent_timeout: Duration) -> Self {
        Self { tick: agent_timeout / TICKS, brought: Arc::new(AtomicU64::new(0)) }
    }

    /// After so long without being whole a frame is to be looked at.
    pub(super) fn tick(&self) -> Duration {
        self.tick
    }

    /// So many bytes have come, on whatever stream.
    pub(super) fn brought(&self, bytes: usize) {
        self.brought.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The first bytes of a frame are there, and others are missing.
    pub(super) fn begin(&self) -> Begun {
        Begun { brought_before: self.brought.load(Ordering::Relaxed), ticks: 0 }
    }

    /// One tick more has passed, and it is not whole. Returns whether that has been too slow.
    pub(super) fn is_stalled(&self, begun: &mut Begun) -> bool {
        begun.ticks += 1;
        if begun.ticks < TICKS {
            return false;
        }
        let now = self.begin();
        let brought = now.brought_before.saturating_sub(begun.brought_before);
        let waited_ms = (self.tick * TICKS).as_millis();
        *begun = now;
        u128::from(brought) * 1000 < u128::from(FLOOR) * waited_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many ticks a frame is given up whose connection brings `rate` bytes a second; at most `limit`.
    fn given_up(agent_timeout: Duration, rate: u64, limit: u32) -> Option<u32> {
        let pace = Pace::new(agent_timeout);
        let mut begun = pace.begin();
        (1..=limit).find(|_| {
            pace.brought((u128::from(rate) * pace.tick().as_millis() / 1000) as usize);
            pace.is_stalled(&mut begun)
        })
    }

    #[test]
    fn what_stands_still_has_one_agent_timeout() {
        assert_eq!(given_up(Duration::from_secs(10), 0, 100), Some(TICKS));
        // A byte now and then, and heartbeats, make no difference.
        assert_eq!(given_up(Duration::from_secs(10), 20, 100), Some(TICKS));
        assert_eq!(given_up(Duration::from_secs(1), FLOOR - 100, 100), Some(TICKS));
    }

    #[test]
    fn slow_links_are_links() {
        // 64 kbit/s for as long as the largest payload of the default configuration takes there.
        let ticks = (64 << 20) / 8000 * 4 / 10;
        for rate in [8000, 125_000] {
            assert_eq!(given_up(Duration::from_secs(10), rate, ticks), None);
        }
    }

    #[test]
    fn what_was_brought_before_does_not_count() {
        let pace = Pace::new(Duration::from_secs(4));
        let mut begun = pace.begin();
        pace.brought(64 << 20);
        let ticks = (1..100).find(|_| pace.is_stalled(&mut begun));
        assert_eq!(ticks, Some(2 * TICKS));
        // The next frame starts anew.
        assert!(!pace.is_stalled(&mut pace.begin()));
    }
}
