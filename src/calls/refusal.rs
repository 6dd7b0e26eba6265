//! Why a call was refused, under the stable codes that `MidstreamerError.code` carries.

use crate::kernels::KernelError;
use crate::search::Candidates;
use crate::series::InputError;

/// The codes of what is not of the swarm alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(target_family = "wasm", expect(dead_code, reason = "some need files, keys or peers"))]
// The addon names it in the types of what it exports.
#[allow(unreachable_pub)]
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
    Internal,
}

impl Code {
    pub(crate) fn as_str(self) -> &'static str {
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
            Self::Internal => "INTERNAL",
        }
    }
}

/// A call that was not made, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// A broken promise of the facade: a number that its checks should have refused.
pub(crate) fn invalid(reason: impl Into<String>) -> Refusal {
    Refusal::new(Code::InvalidArgument, reason)
}

/// Memory for what a caller passed, which the system refused: nothing that may end the process.
pub(crate) fn no_memory(name: &str, bytes: usize) -> Refusal {
    Refusal::new(Code::TooLarge, format!("{name}: {bytes} bytes could not be had"))
}

pub(crate) fn input(error: InputError) -> Refusal {
    let code = match error {
        InputError::Empty { .. } => Code::EmptySeries,
        InputError::NonFinite { .. } => Code::NonFinite,
        InputError::Ragged { .. } => Code::LengthMismatch,
    };
    Refusal::new(code, error.to_string())
}

/// What two of the series of a call were refused for, with their places and lengths.
pub(crate) fn pair(
    series: &Candidates,
    window: Option<usize>,
    ([a, b], error): ([usize; 2], KernelError),
) -> Refusal {
    let (n, m) = (series.get(a).steps(), series.get(b).steps());
    let band = window.map_or(String::new(), |w| format!(", in window {w}"));
    let names =
        if a == b { format!("series[{a}] with itself") } else { format!("series[{a}] and series[{b}]") };
    let error = kernel(error);
    Refusal::new(error.code, format!("{names}: {n} x {m}{band}: {}", error.message))
}

pub(crate) fn kernel(error: KernelError) -> Refusal {
    let code = match error {
        KernelError::Interrupted => Code::Aborted,
        KernelError::TooLarge { .. } | KernelError::OutOfMemory { .. } => Code::TooLarge,
    };
    Refusal::new(code, error.to_string())
}
