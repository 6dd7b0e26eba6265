//! The numbers of the frames.

use super::Lane;
use std::fmt;

/// Who sends frames of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// The side that dialled.
    Agent,
    /// The side that listens.
    Coordinator,
    /// Both.
    Either,
}

/// One row a kind: name, number, lane and sender.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $lane:ident, $sender:ident;)*) => {
        /// What a frame is.
        ///
        /// 0x01 to 0x3f belong to the control lane (of these 0x20 to 0x3f to the renewal of identities),
        /// 0x40 to 0x7f to the task lane, 0x80 to 0xbf to AgentDB sync, 0xc0 to 0xc7 to enrolment. 0xf0 to 0xff are for experiments and
        /// never get a meaning. The rest is free.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum FrameKind {
            $($(#[$doc])* $name = $number,)*
        }

        impl FrameKind {
            /// Every kind, by number.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The kind with this number.
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// Its number.
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// The lane on which it travels. One of the task lane may also stand alone on a stream of its own.
            pub const fn lane(self) -> Lane {
                match self {
                    $(Self::$name => Lane::$lane,)*
                }
            }

            /// Who sends it.
            pub const fn sender(self) -> Sender {
                match self {
                    $(Self::$name => Sender::$sender,)*
                }
            }
        }

        impl fmt::Display for FrameKind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$name => stringify!($name),)*
                })
            }
        }
    };
}

kinds! {
    /// The first frame: who dials, and what it can do.
    Hello = 0x01, Control, Agent;
    /// From an agent: more of the tasks that Hello began to list. From a coordinator, before the Welcome: those of them that go on.
    Resume = 0x02, Control, Either;
    /// Accepted.
    Welcome = 0x03, Control, Coordinator;
    /// Not accepted.
    Refuse = 0x04, Control, Coordinator;
    /// Alive, and how busy.
    Heartbeat = 0x05, Control, Agent;
    /// Heard of.
    HeartbeatAck = 0x06, Control, Coordinator;
    /// What the agent takes from now on: kinds and credit.
    Offer = 0x07, Control, Agent;
    /// Stop working on a task.
    Cancel = 0x08, Control, Coordinator;
    /// An outcome is kept; forget the result.
    ResultAck = 0x09, Control, Coordinator;
    /// How far a task is.
    Progress = 0x0a, Control, Agent;
    /// Messages on a topic are wanted.
    Subscribe = 0x0b, Control, Agent;
    /// Whether they will come.
    SubscribeAck = 0x0c, Control, Coordinator;
    /// They are wanted no more.
    Unsubscribe = 0x0d, Control, Agent;
    /// Nothing will follow from this side; the other may finish.
    Goodbye = 0x0e, Control, Either;
    /// The goodbye has arrived and nothing will follow from this side either.
    GoodbyeAck = 0x0f, Control, Either;
    /// A new certificate is wanted.
    Renew = 0x20, Control, Agent;
    /// The certificate, or why there is none.
    Renewed = 0x21, Control, Coordinator;
    /// The session goes on under the new certificate.
    RenewalKept = 0x22, Control, Agent;
    /// The first frame of every lane but the control lane: which one it is.
    LaneOpen = 0x40, Task, Agent;
    /// A task for the agent.
    Assign = 0x41, Task, Coordinator;
    /// Its result.
    Complete = 0x42, Task, Agent;
    /// It has no result.
    TaskError = 0x43, Task, Agent;
    /// A message on a topic.
    Publish = 0x44, Task, Either;
    /// How many it reached.
    PublishAck = 0x45, Task, Coordinator;
    /// A command to adapt.
    Adapt = 0x46, Task, Coordinator;
    /// A link is wanted for a database.
    SyncOpen = 0x80, Sync, Agent;
    /// Messages may follow.
    SyncOpened = 0x81, Sync, Coordinator;
    /// A link is closed, or was not opened.
    SyncClosed = 0x82, Sync, Either;
    /// A message of AgentDB sync.
    SyncMessage = 0x83, Sync, Either;
    /// A join token, and a request for a certificate.
    Enrol = 0xc0, Enrolment, Agent;
    /// The certificate.
    Enrolled = 0xc1, Enrolment, Coordinator;
}
