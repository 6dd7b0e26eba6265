//! The stable codes that `MidstreamerError.code` carries.

use crate::calls::refusal::{self, Refusal};
use crate::swarm::SwarmCode;
use napi::{Error, Status};

/// `error.code` of what this layer throws or rejects with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// One that is not of the swarm alone.
    Plain(refusal::Code),
    /// What the swarm says.
    Swarm(SwarmCode),
}

impl Code {
    pub(super) const INVALID_ARGUMENT: Self = Self::Plain(refusal::Code::InvalidArgument);
    pub(super) const TOO_LARGE: Self = Self::Plain(refusal::Code::TooLarge);
    pub(super) const NOT_FOUND: Self = Self::Plain(refusal::Code::NotFound);
    pub(super) const EXPIRED: Self = Self::Plain(refusal::Code::Expired);
    pub(super) const FORBIDDEN: Self = Self::Plain(refusal::Code::Forbidden);
    pub(super) const STORE: Self = Self::Plain(refusal::Code::Store);
    pub(super) const CORRUPT: Self = Self::Plain(refusal::Code::Corrupt);
    pub(super) const SCHEMA: Self = Self::Plain(refusal::Code::Schema);
    pub(super) const DECRYPT: Self = Self::Plain(refusal::Code::Decrypt);
    pub(super) const INTERNAL: Self = Self::Plain(refusal::Code::Internal);
}

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        match self {
            Self::Plain(code) => code.as_str(),
            Self::Swarm(code) => code.as_str(),
        }
    }
}

/// What napi itself reports, such as a failed allocation, is nothing that a caller could have passed better.
impl From<Status> for Code {
    fn from(_: Status) -> Self {
        Self::INTERNAL
    }
}

impl From<Refusal> for Error<Code> {
    fn from(Refusal { code, message }: Refusal) -> Self {
        Self::new(Code::Plain(code), message)
    }
}

/// A broken promise of the facade: what its checks should have refused.
pub(super) fn invalid(reason: impl Into<String>) -> Error<Code> {
    refusal::invalid(reason).into()
}
