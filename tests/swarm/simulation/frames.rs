//! What travels between the processes of the simulation, and how: connections with two lanes, each in order, neither
//! in step with the other.

use bytes::Bytes;
use midstreamer::protocol::tasks::{Failure, Held, TaskRecord};
use midstreamer::protocol::work::Welcome;
use midstreamer::protocol::{Fence, Generation, Millis, TaskId};
use std::sync::Arc;

/// A process that runs an agent: its place in the list of all there ever were.
pub(super) type ProcessId = usize;

/// A connection: its place in the list of all there ever were.
pub(super) type ConnectionId = usize;

#[derive(Debug, Clone)]
pub(super) enum Frame {
    // agent to coordinator
    Hello { kinds: Vec<Arc<str>>, slots: u32, resume: Vec<Held>, sent_at: Millis },
    Heartbeat { sent_at: Millis },
    Offer { kinds: Vec<Arc<str>>, slots: u32 },
    Completed { task: TaskId, fence: Fence, value: Bytes },
    Failed { task: TaskId, fence: Fence, failure: Failure, retryable: bool },
    Stopped { task: TaskId, fence: Fence },
    Progress { task: TaskId, fence: Fence },
    ReplacedAcknowledged,
    Goodbye,
    // coordinator to agent
    Welcome { welcome: Welcome, hello_sent_at: Millis },
    HeartbeatAck { sent_at: Millis },
    Assign { fence: Fence, task: Arc<TaskRecord> },
    Acknowledge { task: TaskId, fence: Fence },
    Cancel { task: TaskId, fence: Fence },
    Replaced,
}

impl Frame {
    /// The lane that it takes: 0 control, 1 tasks.
    pub(super) fn lane(&self) -> usize {
        let tasks = matches!(
            self,
            Self::Assign { .. }
                | Self::Completed { .. }
                | Self::Failed { .. }
                | Self::Acknowledge { .. }
                | Self::Progress { .. }
        );
        usize::from(tasks)
    }

    /// Whether the simulated network may deliver it twice. QUIC does not, but a state machine that needed that would
    /// not survive another transport.
    pub(super) fn may_repeat(&self) -> bool {
        self.lane() == 1 || matches!(self, Self::Cancel { .. } | Self::Stopped { .. })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Coordinator,
    Agent,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) process: ProcessId,
    /// Both ends think that it is there; one may know better.
    pub(super) open: [bool; 2],
    /// Nothing arrives any more.
    pub(super) cut: bool,
    pub(super) generation: Option<Generation>,
    /// When the last frame of each direction and lane arrives.
    pub(super) last: [[u64; 2]; 2],
    /// Frames that a partition holds back.
    pub(super) stalled: Vec<(Side, Frame)>,
    /// Frames of the task lane that arrived before the Welcome.
    pub(super) early: Vec<Frame>,
    pub(super) welcomed: bool,
}

impl Connection {
    pub(super) fn new(process: ProcessId) -> Self {
        Self {
            process,
            open: [true; 2],
            cut: false,
            generation: None,
            last: [[0; 2]; 2],
            stalled: Vec::new(),
            early: Vec::new(),
            welcomed: false,
        }
    }
}
