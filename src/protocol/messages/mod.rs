//! The messages that frames carry: protobuf headers, and what their kinds are.
//!
//! The schema for other languages stands in docs/protocol.md, and a test keeps the two together. Later versions add
//! fields and kinds; numbers are never used for anything else. What a message claims is not what is true: a session
//! checks sizes ([`super::session`]), and who the sender is comes from its certificate alone.
//!
//! | module | what it is |
//! | --- | --- |
//! | `kind` | the numbers of the frames, their lanes and their senders |
//! | `code` | the numbers of refusals, failures and reasons |
//! | `control` | handshake, heartbeats, credit, cancellation, goodbye |
//! | `enrolment` | a join token for a certificate |
//! | `renewal` | new certificates for agents |
//! | `sync` | links for the messages of AgentDB sync |
//! | `task` | tasks, results, topics |

mod code;
mod control;
mod enrolment;
mod kind;
mod renewal;
mod sync;
mod task;

pub use code::{CancelReason, Code, Content, FailureReason, Lane};
pub use control::{
    Cancel, Goodbye, GoodbyeAck, Heartbeat, HeartbeatAck, Held, Hello, Offer, Progress, Refuse, ResultAck,
    Resume, Subscribe, SubscribeAck, Unsubscribe, Welcome,
};
pub use enrolment::{Enrol, Enrolled};
pub use kind::{FrameKind, Sender};
pub use renewal::{Renew, RenewalKept, Renewed};
pub use sync::{SyncClosed, SyncMessage, SyncOpen, SyncOpened};
pub use task::{Adapt, Assign, Complete, LaneOpen, Publish, PublishAck, TaskError};
