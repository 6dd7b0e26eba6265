//! Hybrid logical clocks: Kulkarni, Demirbas, Madappa, Avva, Leone, "Logical Physical Clocks", OPODIS 2014. 48 bits of
//! milliseconds since 1970, 16 bits of a counter. A stamp is greater than all that its node had seen, and stays within
//! [`MAX_SKEW_MS`] of real time, since stamps from further in the future are not adopted.

/// How far ahead of this node's time a stamp may be and still be believed.
pub const MAX_SKEW_MS: u64 = 60_000;

/// A point in hybrid time. Zero is before all others: rows that were there before replication began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The first one of this millisecond.
    #[must_use]
    pub const fn at(ms: u64) -> Self {
        Self(ms << 16)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0 >> 16
    }

    /// Eight bytes that sort as the times do: a number of JavaScript would round it.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The reverse of [`Hlc::to_bytes`]; `None` for another length.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(u64::from_be_bytes(bytes)))
    }
}

/// The clock of one node.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    last: Hlc,
    /// What the hub's time is ahead of ours, where it is more than [`MAX_SKEW_MS`] off; else 0.
    correction_ms: i64,
}

impl Clock {
    /// A clock that has seen `last`.
    #[must_use]
    pub const fn resume(last: Hlc) -> Self {
        Self { last, correction_ms: 0 }
    }

    /// The greatest stamp that was given or seen.
    #[must_use]
    pub const fn last(&self) -> Hlc {
        self.last
    }

    /// This node's time as the others would have it.
    #[must_use]
    pub const fn corrected_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add_signed(self.correction_ms)
    }

    /// What was measured against a hub (its time less ours): a node that is further off than [`MAX_SKEW_MS`] stamps with the
    /// hub's time from here on. Says whether that changed anything.
    pub const fn measured(&mut self, offset_ms: i64) -> bool {
        let correction = if offset_ms.unsigned_abs() > MAX_SKEW_MS { offset_ms } else { 0 };
        let changed = correction != self.correction_ms;
        self.correction_ms = correction;
        changed
    }

    /// A new stamp, greater than all before it.
    pub fn stamp(&mut self, now_ms: u64) -> Hlc {
        let now = Hlc::at(self.corrected_ms(now_ms));
        self.last = now.max(Hlc(self.last.0 + 1));
        self.last
    }

    /// Whether a stamp of another node is believable.
    #[must_use]
    pub const fn believes(&self, stamp: Hlc, now_ms: u64) -> bool {
        stamp.ms() <= self.corrected_ms(now_ms).saturating_add(MAX_SKEW_MS)
    }

    /// A believable stamp of another node was seen: those given from now on are greater.
    pub fn saw(&mut self, stamp: Hlc) {
        self.last = self.last.max(stamp);
    }
}
