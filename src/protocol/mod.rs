//! The swarm as state machines. Nothing here opens a socket, reads a clock, starts a thread or rolls dice: bytes, events
//! and the time come in as arguments, and what should happen comes out as values. A test can therefore run years of a
//! swarm, with every message lost, in a second. The wire is specified in docs/protocol.md.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`frame`] | how a stream of bytes is cut into frames, and what is refused |
//! | [`messages`] | what frames carry, kind by kind |
//! | [`session`] | how two sides become a session, stay one and part |
//! | [`direct`] | what two nodes say to each other without a coordinator |
//! | [`enrolment`] | how a machine without an identity gets one |
//! | [`tasks`] | what the coordinator knows of tasks: accepted, leased, finished; retention and idempotency |
//! | [`work`] | what an agent has to do and has done: starts, results, leases |
//! | [`value`] | encoded values: JSON with typed arrays as raw bytes |

pub mod direct;
pub mod enrolment;
pub mod frame;
pub mod messages;
pub mod session;
pub mod tasks;
pub mod value;
pub mod work;

use std::fmt;
use std::sync::Arc;

/// Milliseconds since the Unix epoch. Inside one life of a process it advances with a monotonic clock, so that a wall
/// clock that is set neither ends leases nor prolongs them.
pub type Millis = u64;

/// The name of an agent, from its certificate.
pub type AgentId = Arc<str>;

/// A task's number in its store, given at acceptance and never used again by that store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u64);

/// Which of the logins of one agent id: a later login has a larger one, and only the largest is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// Tells one execution of a task from every other. Grows with every attempt and with every start of a coordinator on
/// the same store, so a side effect that remembers the largest fence it saw refuses what comes late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence {
    /// Starts of a coordinator on this store, this one included.
    pub epoch: u64,
    /// Dispatches of this task, this one included, counted from 1 over all epochs.
    pub attempt: u32,
}

impl fmt::Display for Fence {
    /// Fixed width, so that fences compare as strings too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}-{:08x}", self.epoch, self.attempt)
    }
}
