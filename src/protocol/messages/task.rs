//! Messages of the task lane: the second bidirectional stream, opened by the agent.

/// Which lane a stream is; its first frame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct LaneOpen {
    /// The lane.
    #[prost(enumeration = "super::Lane", tag = "1")]
    pub lane: i32,
}

/// A task for the agent. The payload of the frame is that of the task, an encoded value.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Assign {
    /// The task.
    #[prost(uint64, tag = "1")]
    pub task: u64,
    /// The fence of this execution.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The fence of this execution.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// Which handler.
    #[prost(string, tag = "4")]
    pub kind: String,
    /// The idempotency key, if there is one.
    #[prost(string, optional, tag = "5")]
    pub key: Option<String>,
    /// Until the task's time runs out, from sending.
    #[prost(uint64, optional, tag = "6")]
    pub deadline_ms: Option<u64>,
    /// The longest that this execution may take.
    #[prost(uint64, optional, tag = "7")]
    pub attempt_timeout_ms: Option<u64>,
    /// The longest that it may report no progress.
    #[prost(uint64, optional, tag = "8")]
    pub progress_timeout_ms: Option<u64>,
    /// Attempts that were used up before this one.
    #[prost(uint32, tag = "9")]
    pub used_attempts: u32,
}

/// The result of a task. The payload of the frame is the encoded value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Complete {
    /// The task.
    #[prost(uint64, tag = "1")]
    pub task: u64,
    /// The fence of the execution.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The fence of the execution.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// How long it ran, by the agent's clock.
    #[prost(uint64, tag = "4")]
    pub run_ms: u64,
}

/// A task that has no result.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct TaskError {
    /// The task.
    #[prost(uint64, tag = "1")]
    pub task: u64,
    /// The fence of the execution.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The fence of the execution.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// What happened.
    #[prost(enumeration = "super::FailureReason", tag = "4")]
    pub reason: i32,
    /// In words: the handler's message.
    #[prost(string, tag = "5")]
    pub message: String,
    /// The `code` of the error that the handler threw.
    #[prost(string, optional, tag = "6")]
    pub code: Option<String>,
    /// Another attempt may succeed.
    #[prost(bool, tag = "7")]
    pub retryable: bool,
    /// How long it ran, by the agent's clock.
    #[prost(uint64, tag = "8")]
    pub run_ms: u64,
}

/// A message on a topic. The payload of the frame is an encoded value.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Publish {
    /// The topic.
    #[prost(string, tag = "1")]
    pub topic: String,
    /// Who published it: set by the coordinator from the certificate; what an agent writes here is ignored.
    #[prost(string, tag = "2")]
    pub from: String,
    /// What it is about.
    #[prost(enumeration = "super::Content", tag = "3")]
    pub content: i32,
    /// The publisher's number for it, from 1.
    #[prost(uint64, tag = "4")]
    pub message_id: u64,
}

/// The answer to Publish, when its frame has a request number.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct PublishAck {
    /// To how many agents it was sent.
    #[prost(uint32, tag = "1")]
    pub reached: u32,
    /// Unspecified: it was sent. Otherwise why not.
    #[prost(enumeration = "super::Code", tag = "2")]
    pub code: i32,
    /// In words.
    #[prost(string, tag = "3")]
    pub message: String,
}

/// A command to adapt. The payload of the frame is an encoded value.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Adapt {
    /// What to adapt, in the words of the application.
    #[prost(string, tag = "1")]
    pub command: String,
}
