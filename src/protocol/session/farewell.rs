//! The end of a session that loses nothing. To close a QUIC connection throws away what the other side has not read, so only
//! the last receiver may close it.
//!
//! Who wants to end sends what it has to send, finishes its other streams, and says GOODBYE; then it only listens. The other
//! side reads all streams to their end, sends what it has to send, finishes its own, and answers with GOODBYE_ACK; then it
//! waits for the connection to be closed. Who receives GOODBYE_ACK closes it. When both say GOODBYE at once, both answer,
//! and the agent closes.

use super::SessionError;
use crate::protocol::messages::FrameKind;

/// Which side of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that dialled.
    Agent,
    /// The one that listens.
    Coordinator,
}

/// Where the parting of a session is, from one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Farewell {
    side: Side,
    said: bool,
    heard: bool,
    answered: bool,
    acknowledged: bool,
}

impl Farewell {
    /// Nobody has said anything.
    pub fn new(side: Side) -> Self {
        Self { side, said: false, heard: false, answered: false, acknowledged: false }
    }

    /// GOODBYE is sent: `true`, unless it was before, or the other side has said it and is being answered.
    pub fn say(&mut self) -> bool {
        let first = !self.said && !self.heard;
        self.said |= first;
        first
    }

    /// Whether anything but GOODBYE_ACK may still be sent.
    pub fn may_send(&self) -> bool {
        !self.said && !self.answered
    }

    /// GOODBYE has come. An answer is owed as soon as all is read and sent.
    pub fn hear(&mut self) -> Result<(), SessionError> {
        if self.heard || self.acknowledged {
            return Err(SessionError::Unexpected { kind: FrameKind::Goodbye, place: "after the end" });
        }
        self.heard = true;
        Ok(())
    }

    /// GOODBYE_ACK is sent: `true`, unless it was before or nobody said GOODBYE.
    pub fn answer(&mut self) -> bool {
        let first = self.heard && !self.answered;
        self.answered |= first;
        first
    }

    /// GOODBYE_ACK has come.
    pub fn acknowledge(&mut self) -> Result<(), SessionError> {
        if !self.said || self.acknowledged {
            return Err(SessionError::Unexpected { kind: FrameKind::GoodbyeAck, place: "without a Goodbye" });
        }
        self.acknowledged = true;
        Ok(())
    }

    /// Whether this side has received the last there is, and is to close the connection.
    pub fn closes(&self) -> bool {
        self.acknowledged && (!self.heard || self.answered && self.side == Side::Agent)
    }

    /// Whether a connection that the other side closes now has lost nothing.
    pub fn is_complete(&self) -> bool {
        self.answered || self.acknowledged
    }
}
