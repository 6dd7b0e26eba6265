//! The time that the state machines are told.

use crate::protocol::Millis;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Epoch milliseconds that advance with the monotonic clock: a wall clock that is set changes nothing inside one life.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    epoch: Millis,
}

impl Clock {
    pub(super) fn new() -> Self {
        // A clock before 1970 counts from there.
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self { started: Instant::now(), epoch: u64::try_from(epoch).unwrap_or(Millis::MAX / 2) }
    }

    pub(super) fn now(&self) -> Millis {
        self.epoch + self.uptime_ms()
    }

    pub(super) fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }

    /// The monotonic instant of a time, for timers.
    pub(super) fn instant(&self, at: Millis) -> Instant {
        self.started + std::time::Duration::from_millis(at.saturating_sub(self.epoch))
    }
}
