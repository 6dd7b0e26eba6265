//! Why a task of a built-in kind failed.

use crate::kernels::KernelError;
use crate::protocol::value::ValueError;
use crate::search::library::LibraryError;
use crate::series::InputError;
use std::any::Any;
use std::fmt;

/// The codes of `MidstreamerError` that built-in kinds fail with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureCode {
    /// A field of the payload is missing, unknown or wrong.
    InvalidArgument,
    /// A series without a value.
    EmptySeries,
    /// NaN or an infinity.
    NonFinite,
    /// Lengths that do not fit each other.
    LengthMismatch,
    /// Beyond a limit, or beyond the memory of this machine.
    TooLarge,
    /// A shard or a kind that is not here.
    NotFound,
    /// The job was cancelled.
    Aborted,
    /// A fault of this package.
    Internal,
}

impl FailureCode {
    /// `error.code` in JavaScript.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::EmptySeries => "EMPTY_SERIES",
            Self::NonFinite => "NON_FINITE",
            Self::LengthMismatch => "LENGTH_MISMATCH",
            Self::TooLarge => "TOO_LARGE",
            Self::NotFound => "NOT_FOUND",
            Self::Aborted => "ABORTED",
            Self::Internal => "INTERNAL",
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A task that gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KindFailure {
    /// Which kind of failure.
    pub code: FailureCode,
    /// Names the field and its value.
    pub message: String,
    /// Whether the same payload could succeed another time or elsewhere: bad input never does.
    pub retryable: bool,
}

impl KindFailure {
    fn new(code: FailureCode, message: String, retryable: bool) -> Self {
        Self { code, message, retryable }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(FailureCode::InvalidArgument, message.into(), false)
    }

    pub(super) fn length_mismatch(message: String) -> Self {
        Self::new(FailureCode::LengthMismatch, message, false)
    }

    pub(super) fn non_finite(message: String) -> Self {
        Self::new(FailureCode::NonFinite, message, false)
    }

    pub(super) fn too_large(message: String) -> Self {
        Self::new(FailureCode::TooLarge, message, false)
    }

    /// What is not here does not come by trying again: somebody has to bring it.
    pub(super) fn not_found(message: String) -> Self {
        Self::new(FailureCode::NotFound, message, false)
    }

    pub(super) fn internal(message: String) -> Self {
        Self::new(FailureCode::Internal, message, true)
    }

    pub(super) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = (panic.downcast_ref::<&str>().copied())
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::internal(format!("the kernel panicked: {}", text.unwrap_or("without a message")))
    }
}

impl From<KernelError> for KindFailure {
    fn from(error: KernelError) -> Self {
        let (code, retryable) = match error {
            KernelError::Interrupted => (FailureCode::Aborted, true),
            KernelError::TooLarge { .. } => (FailureCode::TooLarge, false),
            // Another machine may have it.
            KernelError::OutOfMemory { .. } => (FailureCode::TooLarge, true),
        };
        Self::new(code, error.to_string(), retryable)
    }
}

impl From<InputError> for KindFailure {
    fn from(error: InputError) -> Self {
        let code = match error {
            InputError::Empty { .. } => FailureCode::EmptySeries,
            InputError::NonFinite { .. } => FailureCode::NonFinite,
            InputError::Ragged { .. } => FailureCode::LengthMismatch,
        };
        Self::new(code, error.to_string(), false)
    }
}

impl From<LibraryError> for KindFailure {
    fn from(error: LibraryError) -> Self {
        match error {
            LibraryError::Input(error) => error.into(),
            LibraryError::WrongLength { .. } => Self::length_mismatch(error.to_string()),
            LibraryError::OutOfMemory { .. } => Self::new(FailureCode::TooLarge, error.to_string(), true),
        }
    }
}

impl From<ValueError> for KindFailure {
    fn from(error: ValueError) -> Self {
        Self::invalid(format!("payload cannot be read: {error}"))
    }
}
