//! The numbers of refusals, failures and reasons. A number that is not known reads as the one with the value 0, so a
//! later version can add.

/// Why a session was refused or ended, and the error code of the QUIC connection that is closed for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Code {
    /// No reason was given, or one that this version does not know. Not final.
    Unspecified = 0,
    /// What was sent is not the protocol. Final.
    Protocol = 1,
    /// No certificate that is trusted. Final.
    Unauthenticated = 2,
    /// The certificate is trusted, and what was asked for is not allowed. Final.
    Forbidden = 3,
    /// A later login of the same agent id has taken over. Final.
    SessionReplaced = 4,
    /// Too many agents or handshakes at the moment.
    Overloaded = 5,
    /// The coordinator takes nobody any more; another one may.
    Draining = 6,
    /// The program asked for the end.
    Closed = 7,
    /// The other side did not say in time what it had to say.
    Timeout = 8,
    /// The store failed.
    Store = 9,
    /// Something is wrong in the program that says so.
    Internal = 10,
    /// What was asked for is not here. Final for the link that it was asked on.
    NotFound = 11,
}

impl Code {
    /// Whether dialling again is pointless.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Protocol | Self::Unauthenticated | Self::Forbidden | Self::SessionReplaced)
    }
}

/// Why an agent has no result for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum FailureReason {
    /// No reason that this version knows: as a handler that threw.
    Unspecified = 0,
    /// The handler threw, or a kernel refused its payload. Uses an attempt.
    Handler = 1,
    /// The result is larger than a message may be. Uses an attempt.
    TooLarge = 2,
    /// The attempt took longer than its own limit. Uses an attempt.
    AttemptTimeout = 3,
    /// It was cancelled and has ended.
    Cancelled = 4,
    /// It was not started, or was given up: no such handler, no session, cancelled meanwhile. Uses an attempt if it still had one.
    Declined = 5,
}

/// Why a coordinator cancels an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum CancelReason {
    /// No reason that this version knows.
    Unspecified = 0,
    /// Somebody cancelled the task.
    Cancelled = 1,
    /// The task's time ran out.
    Deadline = 2,
    /// The attempt took longer than its own limit.
    AttemptTimeout = 3,
    /// No progress was reported for too long.
    Stalled = 4,
    /// The task belongs to somebody else by now, or has its outcome.
    Superseded = 5,
}

/// What a published message is about. The payload is opaque to the swarm whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Content {
    /// Whatever the programs agreed on.
    Generic = 0,
    /// The result of a pattern match.
    PatternMatch = 1,
    /// How strategies correlate.
    StrategyCorrelation = 2,
    /// An experience for the learning loop.
    ReasoningExperience = 3,
    /// Gradients of a neural network.
    NeuralGradients = 4,
}

/// A stream of frames of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum Lane {
    /// The first bidirectional stream, of the highest priority.
    Control = 0,
    /// Tasks, results and topics.
    Task = 1,
    /// AgentDB sync, of the lowest priority.
    Sync = 2,
    /// The only stream of a connection for enrolment.
    Enrolment = 3,
}
