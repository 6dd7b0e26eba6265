//! For how long an agent may start work.
//!
//! The agent counts from when it sent what was acknowledged, the coordinator from when it received it, which is later; and
//! the agent stops a tenth earlier, for clocks that do not run alike. So an agent that is cut off has stopped starting work
//! before the coordinator gives the work to another. What was started before is told by its fence.

use super::{SessionError, invalid};
use crate::protocol::Millis;
use std::collections::VecDeque;

/// Heartbeats that wait for their acknowledgement; the eldest is forgotten for another. Forgetting shortens the lease.
const MAX_WAITING: usize = 64;

/// The agent's clock. Knows no time but that of its caller, which must never go back.
#[derive(Debug, Clone)]
pub struct LeaseClock {
    agent_timeout_ms: u64,
    /// When that was sent which the coordinator has last acknowledged.
    acknowledged_at: Millis,
    /// Numbers and times of the heartbeats that were sent since.
    waiting: VecDeque<(u64, Millis)>,
    last_seq: u64,
}

impl LeaseClock {
    /// The Welcome has acknowledged the Hello that was sent at `hello_at`.
    pub fn new(agent_timeout_ms: u64, hello_at: Millis) -> Self {
        Self { agent_timeout_ms, acknowledged_at: hello_at, waiting: VecDeque::new(), last_seq: 0 }
    }

    /// After so long without a word the coordinator takes the agent for lost.
    pub fn agent_timeout_ms(&self) -> u64 {
        self.agent_timeout_ms
    }

    /// The number of a heartbeat that is sent at `now`. To be called before it is handed to the network, which may wait.
    pub fn heartbeat(&mut self, now: Millis) -> u64 {
        self.last_seq += 1;
        if self.waiting.len() == MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back((self.last_seq, now));
        self.last_seq
    }

    /// A HeartbeatAck has come. It acknowledges the heartbeats before it too.
    pub fn acknowledge(&mut self, seq: u64) -> Result<(), SessionError> {
        if seq == 0 || seq > self.last_seq {
            return Err(invalid(format!("heartbeat {seq} is acknowledged, and {} were sent", self.last_seq)));
        }
        while let Some(&(first, sent_at)) = self.waiting.front().filter(|(first, _)| *first <= seq) {
            // A number that was forgotten acknowledges nothing.
            if first == seq {
                self.acknowledged_at = sent_at;
            }
            self.waiting.pop_front();
        }
        Ok(())
    }

    /// From here on no work may be started, unless a heartbeat is acknowledged.
    pub fn ends_at(&self) -> Millis {
        self.acknowledged_at.saturating_add(self.agent_timeout_ms - self.agent_timeout_ms.div_ceil(10))
    }

    /// Whether work may be started.
    pub fn holds(&self, now: Millis) -> bool {
        now < self.ends_at()
    }
}
