//! The stable codes that `MidstreamerError.code` carries.

use crate::kernels::KernelError;
use crate::search::Candidates;
use crate::series::InputError;
use crate::swarm::SwarmCode;
use napi::{Error, Status};

/// `error.code` of what this layer throws or rejects with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    InvalidArgument,
    EmptySeries,
    NonFinite,
    LengthMismatch,
    TooLarge,
    Aborted,
    NotFound,
    Expired,
    Forbidden,
    Store,
    Corrupt,
    Schema,
    Decrypt,
    /// What the swarm says.
    Swarm(SwarmCode),
    Internal,
}

impl AsRef<str> for Code {
    fn as_ref(&self) -> &str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::EmptySeries => "EMPTY_SERIES",
            Self::NonFinite => "NON_FINITE",
            Self::LengthMismatch => "LENGTH_MISMATCH",
            Self::TooLarge => "TOO_LARGE",
            Self::Aborted => "ABORTED",
            Self::NotFound => "NOT_FOUND",
            Self::Expired => "EXPIRED",
            Self::Forbidden => "FORBIDDEN",
            Self::Store => "STORE",
            Self::Corrupt => "CORRUPT",
            Self::Schema => "SCHEMA",
            Self::Decrypt => "DECRYPT",
            Self::Swarm(code) => code.as_str(),
            Self::Internal => "INTERNAL",
        }
    }
}

/// What napi itself reports, such as a failed allocation, is nothing that a caller could have passed better.
impl From<Status> for Code {
    fn from(_: Status) -> Self {
        Self::Internal
    }
}

/// A broken promise of the facade: a number that its checks should have refused.
pub(super) fn invalid(reason: impl Into<String>) -> Error<Code> {
    Error::new(Code::InvalidArgument, reason.into())
}

/// Memory for what a caller passed, which the system refused: nothing that may end the process.
pub(super) fn no_memory(name: &str, bytes: usize) -> Error<Code> {
    Error::new(Code::TooLarge, format!("{name}: {bytes} bytes could not be had"))
}

pub(super) fn input(error: InputError) -> Error<Code> {
    let code = match error {
        InputError::Empty { .. } => Code::EmptySeries,
        InputError::NonFinite { .. } => Code::NonFinite,
        InputError::Ragged { .. } => Code::LengthMismatch,
    };
    Error::new(code, error.to_string())
}

/// What two of the series of a call were refused for, with their places and lengths.
pub(super) fn pair(
    series: &Candidates,
    window: Option<usize>,
    ([a, b], error): ([usize; 2], KernelError),
) -> Error<Code> {
    let (n, m) = (series.get(a).steps(), series.get(b).steps());
    let band = window.map_or(String::new(), |w| format!(", in window {w}"));
    let names =
        if a == b { format!("series[{a}] with itself") } else { format!("series[{a}] and series[{b}]") };
    let error = kernel(error);
    Error::new(error.status, format!("{names}: {n} x {m}{band}: {}", error.reason))
}

pub(super) fn kernel(error: KernelError) -> Error<Code> {
    let code = match error {
        KernelError::Interrupted => Code::Aborted,
        KernelError::TooLarge { .. } | KernelError::OutOfMemory { .. } => Code::TooLarge,
    };
    Error::new(code, error.to_string())
}
