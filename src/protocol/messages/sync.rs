//! Messages of the sync lane, which carries the messages of AgentDB sync; used when both sides have announced
//! [`SYNC`](crate::protocol::session::SYNC). What those messages say is nothing to the swarm.

/// The agent wants a link for one of its databases. Each has a number of its own, larger than all before it on the connection,
/// so that what was still on the way for a link that is closed is never taken for another's.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SyncOpen {
    /// From 1.
    #[prost(uint32, tag = "1")]
    pub link: u32,
    /// The name under which the database is replicated.
    #[prost(string, tag = "2")]
    pub database: String,
}

/// The link is open: messages may follow both ways.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SyncOpened {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub link: u32,
}

/// The link is closed, or was never opened. What comes for it afterwards is passed over.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SyncClosed {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub link: u32,
    /// Why. After a final code the agent does not open the database again.
    #[prost(enumeration = "super::Code", tag = "2")]
    pub code: i32,
    /// In words.
    #[prost(string, tag = "3")]
    pub message: String,
}

/// One message of AgentDB sync: the payload.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct SyncMessage {
    /// Of which link.
    #[prost(uint32, tag = "1")]
    pub link: u32,
}
