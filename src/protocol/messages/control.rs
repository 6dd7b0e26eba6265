//! Messages of the control lane: the first bidirectional stream, opened by the agent.

use bytes::Bytes;
use std::collections::BTreeMap;

/// The first frame of an agent. Its id is not in it: that is in its certificate.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Hello {
    /// The version, which is also that of the ALPN.
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    /// One bit a feature that the agent can use.
    #[prost(uint64, tag = "2")]
    pub features: u64,
    /// 16 random bytes, the same for every login of one Agent object: tells a reconnection from another process.
    #[prost(bytes = "bytes", tag = "3")]
    pub instance: Bytes,
    /// What it is for, in the words of the application: "pattern-matcher".
    #[prost(string, tag = "4")]
    pub agent_type: String,
    /// What tasks may require.
    #[prost(string, repeated, tag = "5")]
    pub capabilities: Vec<String>,
    /// The kinds of tasks that it has handlers for.
    #[prost(string, repeated, tag = "6")]
    pub kinds: Vec<String>,
    /// How many tasks it runs at a time.
    #[prost(uint32, tag = "7")]
    pub slots: u32,
    /// Whatever the application wants to be known.
    #[prost(btree_map = "string, string", tag = "8")]
    pub metadata: BTreeMap<String, String>,
    /// Name and version of the program, for logs.
    #[prost(string, tag = "9")]
    pub software: String,
    /// Which store the held tasks come from: 16 bytes of an earlier Welcome, empty when nothing is held.
    #[prost(bytes = "bytes", tag = "10")]
    pub store: Bytes,
    /// Tasks that it has not got rid of.
    #[prost(message, repeated, tag = "11")]
    pub resume: Vec<Held>,
    /// A Resume frame follows with more of them; the Welcome waits for it.
    #[prost(bool, tag = "12")]
    pub more: bool,
}

/// More held tasks, right after Hello, when one frame is too short for all.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resume {
    /// Tasks that the agent has not got rid of.
    #[prost(message, repeated, tag = "1")]
    pub resume: Vec<Held>,
    /// Another Resume frame follows.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// An execution that an agent has: running, or finished and not acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Held {
    /// The task.
    #[prost(uint64, tag = "1")]
    pub task: u64,
    /// Its fence.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Its fence.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// It has a result or an error, which will be sent again after the Welcome.
    #[prost(bool, tag = "4")]
    pub finished: bool,
}

/// The agent is accepted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Welcome {
    /// The coordinator's name, from its certificate.
    #[prost(string, tag = "1")]
    pub coordinator: String,
    /// Number of this login.
    #[prost(uint64, tag = "2")]
    pub generation: u64,
    /// The store's name for ever, 16 bytes. What is held of another store is void.
    #[prost(bytes = "bytes", tag = "3")]
    pub store: Bytes,
    /// Starts on this store.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// An agent not heard of for so long is lost; also the idle timeout of the connection.
    #[prost(uint64, tag = "5")]
    pub agent_timeout_ms: u64,
    /// The longest payload of a frame, in both directions.
    #[prost(uint64, tag = "6")]
    pub max_message_bytes: u64,
    /// The features of Hello that the coordinator can use too.
    #[prost(uint64, tag = "7")]
    pub features: u64,
    /// Pause between heartbeats.
    #[prost(uint64, tag = "8")]
    pub heartbeat_ms: u64,
}

/// The agent is not accepted; the connection ends.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Refuse {
    /// Why.
    #[prost(enumeration = "super::Code", tag = "1")]
    pub code: i32,
    /// In words.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// Alive, and how busy.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Heartbeat {
    /// Counts up from 1 in every session.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// Tasks in execution.
    #[prost(uint32, tag = "2")]
    pub running: u32,
    /// 0 idle, 1 all cores busy; above when work queues up.
    #[prost(float, tag = "3")]
    pub load: f32,
    /// Resident memory of the process.
    #[prost(uint64, tag = "4")]
    pub memory_bytes: u64,
    /// Tasks completed by this Agent object.
    #[prost(uint64, tag = "5")]
    pub completed: u64,
    /// Tasks failed by this Agent object.
    #[prost(uint64, tag = "6")]
    pub failed: u64,
}

/// A heartbeat was heard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct HeartbeatAck {
    /// Which.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
}

/// What the agent takes from now on; replaces what Hello or the Offer before said.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Offer {
    /// All kinds that it has handlers for.
    #[prost(string, repeated, tag = "1")]
    pub kinds: Vec<String>,
    /// How many tasks it runs at a time; 0 while it drains.
    #[prost(uint32, tag = "2")]
    pub slots: u32,
}

/// Stop working on a task.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Cancel {
    /// The task.
    #[prost(uint64, tag = "1")]
    pub task: u64,
    /// The fence of the execution.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The fence of the execution.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// Why.
    #[prost(enumeration = "super::CancelReason", tag = "4")]
    pub reason: i32,
}

/// The store has the outcome (after its commit), or never wants this result: the agent forgets it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct ResultAck {
    /// The task.
    #[prost(uint64, tag = "1")]
    pub task: u64,
    /// The fence of the execution.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The fence of the execution.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
}

/// How far a task is.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Progress {
    /// The task.
    #[prost(uint64, tag = "1")]
    pub task: u64,
    /// The fence of the execution.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// The fence of the execution.
    #[prost(uint32, tag = "3")]
    pub attempt: u32,
    /// 0 to 1.
    #[prost(double, tag = "4")]
    pub fraction: f64,
}

/// Messages on a topic are wanted.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Subscribe {
    /// The topic, exactly.
    #[prost(string, tag = "1")]
    pub topic: String,
}

/// Whether they will come.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SubscribeAck {
    /// The topic.
    #[prost(string, tag = "1")]
    pub topic: String,
    /// Unspecified: they will. Otherwise why not.
    #[prost(enumeration = "super::Code", tag = "2")]
    pub code: i32,
    /// In words.
    #[prost(string, tag = "3")]
    pub message: String,
}

/// Messages on a topic are wanted no more.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Unsubscribe {
    /// The topic, exactly.
    #[prost(string, tag = "1")]
    pub topic: String,
}

/// Nothing but GoodbyeAck will follow from this side.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Goodbye {
    /// Why.
    #[prost(enumeration = "super::Code", tag = "1")]
    pub code: i32,
    /// In words.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// The goodbye has arrived, and nothing will follow from this side either.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct GoodbyeAck {}
