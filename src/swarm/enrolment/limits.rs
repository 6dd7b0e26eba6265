//! How often an address may try to enrol. Addresses have been validated by QUIC's Retry before they are counted, so
//! nobody fills the table, or somebody else's bucket, with addresses that he does not have.
//!
//! A secret of 128 bits is not guessed, whatever the rate; the limits keep the work of those who try away from those who
//! are waited for, and the audit log readable.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Attempts of one address at once, and how fast they come back. A rack of machines behind one address may start at
/// once.
const ATTEMPTS: Bucket = Bucket { size: 128.0, per_second: 16.0 };

/// The same for attempts that failed.
const FAILURES: Bucket = Bucket { size: 20.0, per_second: 1.0 / 3.0 };

/// Attempts of one address that are under way. Each may take its time, and all share the places of the endpoint.
const MOST_UNDER_WAY: u32 = 16;

/// Addresses that are remembered. One that did nothing for a minute has all of its tokens again and can be forgotten.
const MOST_ADDRESSES: usize = 4096;

/// A token bucket: `size` at once, `per_second` in the long run.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    size: f64,
    per_second: f64,
}

/// What is left of a bucket, at an instant.
#[derive(Debug, Clone, Copy)]
struct Level {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(self, now: Instant) -> Level {
        Level { left: self.size, at: now }
    }

    fn refill(self, level: &mut Level, now: Instant) {
        let passed = now.saturating_duration_since(level.at).as_secs_f64();
        *level = Level { left: (level.left + passed * self.per_second).min(self.size), at: now };
    }

    fn time_to_fill(self) -> Duration {
        Duration::from_secs_f64(self.size / self.per_second)
    }
}

#[derive(Debug)]
struct Address {
    attempts: Level,
    failures: Level,
    under_way: u32,
    /// The last attempt was refused for the limits.
    limited: bool,
}

/// Whether an address may try now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may.
    Go,
    /// It may not. The first time is worth an entry in a log; a flood of them is not.
    Stop {
        /// The attempt before was not refused.
        first: bool,
    },
}

/// All addresses. An IPv6 address stands for its /64, which is what one subscriber has.
#[derive(Debug, Default)]
pub(super) struct Limits(HashMap<IpAddr, Address>);

impl Limits {
    /// Somebody comes. What is let go has to be followed by [`ended`](Self::ended).
    pub(super) fn attempt(&mut self, address: IpAddr, now: Instant) -> Verdict {
        let address = self.address(address, now);
        ATTEMPTS.refill(&mut address.attempts, now);
        FAILURES.refill(&mut address.failures, now);
        let limited = address.attempts.left < 1.0 || address.failures.left < 1.0;
        if limited || address.under_way >= MOST_UNDER_WAY {
            return Verdict::Stop { first: !std::mem::replace(&mut address.limited, true) };
        }
        address.attempts.left -= 1.0;
        address.limited = false;
        address.under_way += 1;
        Verdict::Go
    }

    /// And goes. `failed`: it came to nothing, by his own doing.
    pub(super) fn ended(&mut self, address: IpAddr, failed: bool, now: Instant) {
        // Not there: forgotten meanwhile, among too many others.
        let Some(address) = self.0.get_mut(&subscriber(address)) else { return };
        address.under_way = address.under_way.saturating_sub(1);
        if !failed {
            return;
        }
        FAILURES.refill(&mut address.failures, now);
        // Attempts that were under way together may all fail: no more than what is there is taken.
        address.failures.left = (address.failures.left - 1.0).max(0.0);
    }

    fn address(&mut self, address: IpAddr, now: Instant) -> &mut Address {
        let key = subscriber(address);
        if self.0.len() >= MOST_ADDRESSES && !self.0.contains_key(&key) {
            self.forget(now);
        }
        self.0.entry(key).or_insert_with(|| Address {
            attempts: ATTEMPTS.full(now),
            failures: FAILURES.full(now),
            under_way: 0,
            limited: false,
        })
    }

    /// Those that have all of their tokens; or else the one that has been silent for longest.
    fn forget(&mut self, now: Instant) {
        let longest = ATTEMPTS.time_to_fill().max(FAILURES.time_to_fill());
        self.0.retain(|_, address| {
            address.under_way > 0 || now.saturating_duration_since(address.attempts.at) < longest
        });
        if self.0.len() >= MOST_ADDRESSES {
            let silent = self.0.iter().min_by_key(|(_, address)| address.attempts.at);
            if let Some(silent) = silent.map(|(&key, _)| key) {
                self.0.remove(&silent);
            }
        }
    }
}

/// Whose address it is.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::from((u128::from(address) >> 64 << 64).to_be_bytes()),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn v4(last: u32) -> IpAddr {
        IpAddr::from(Ipv4Addr::from(0x0a00_0000 + last))
    }

    /// So many attempts, one after the other. Returns how many were let go.
    fn come(limits: &mut Limits, address: IpAddr, times: usize, fail: bool, now: Instant) -> usize {
        let mut gone = 0;
        for _ in 0..times {
            if limits.attempt(address, now) == Verdict::Go {
                limits.ended(address, fail, now);
                gone += 1;
            }
        }
        gone
    }

    #[test]
    fn so_many_at_once_and_so_many_in_the_long_run() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        assert_eq!(come(&mut limits, v4(1), 128, false, now), 128);
        assert_eq!(limits.attempt(v4(1), now), Verdict::Stop { first: true });
        assert_eq!(limits.attempt(v4(1), now), Verdict::Stop { first: false });
        assert_eq!(limits.attempt(v4(2), now), Verdict::Go);
        assert_eq!(come(&mut limits, v4(1), 100, false, now + Duration::from_secs(1)), 16);
    }

    #[test]
    fn nobody_takes_all_the_places() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        for _ in 0..MOST_UNDER_WAY {
            assert_eq!(limits.attempt(v4(1), now), Verdict::Go);
        }
        assert_eq!(limits.attempt(v4(1), now), Verdict::Stop { first: true });
        assert_eq!(limits.attempt(v4(2), now), Verdict::Go);
        limits.ended(v4(1), false, now);
        assert_eq!(limits.attempt(v4(1), now), Verdict::Go);
    }

    #[test]
    fn failures_are_forgiven_slowly() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        assert_eq!(come(&mut limits, v4(1), 19, true, now), 19);
        // Several that are under way at once: what is not there is not owed.
        for _ in 0..5 {
            assert_eq!(limits.attempt(v4(1), now), Verdict::Go);
        }
        for _ in 0..5 {
            limits.ended(v4(1), true, now);
        }
        assert_eq!(limits.attempt(v4(1), now + Duration::from_secs(2)), Verdict::Stop { first: true });
        assert_eq!(limits.attempt(v4(1), now + Duration::from_secs(4)), Verdict::Go);
    }

    #[test]
    fn a_subscriber_of_ipv6_has_one_bucket() {
        let address =
            |high: u64, low: u64| IpAddr::from(Ipv6Addr::from(u128::from(high) << 64 | u128::from(low)));
        let (mut limits, now) = (Limits::default(), Instant::now());
        for host in 0..20 {
            assert_eq!(come(&mut limits, address(0x2001_0db8_0000_0001, host), 1, true, now), 1);
        }
        assert_eq!(limits.attempt(address(0x2001_0db8_0000_0001, 99), now), Verdict::Stop { first: true });
        assert_eq!(limits.attempt(address(0x2001_0db8_0000_0002, 99), now), Verdict::Go);
        // One that comes from IPv4 is itself, on whatever socket it arrives.
        let mapped = IpAddr::from(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped());
        assert_eq!((subscriber(mapped), subscriber(v4(1))), (v4(1), v4(1)));
    }

    #[test]
    fn the_table_does_not_grow_and_remembers_who_is_busy() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        come(&mut limits, v4(0), 20, true, now);
        for at in 1..6_000_u32 {
            let now = now + Duration::from_millis(u64::from(at) / 10);
            come(&mut limits, v4(at), 1, false, now);
            // Who keeps trying is not the one that is forgotten.
            assert!(matches!(limits.attempt(v4(0), now), Verdict::Stop { .. }), "{at}");
            assert!(limits.0.len() <= MOST_ADDRESSES);
        }
        come(&mut limits, v4(50_000), 1, false, now + Duration::from_secs(600));
        assert!(limits.0.len() < 3, "{}", limits.0.len());
    }
}
