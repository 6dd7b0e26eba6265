//! Exact kernels: slices in, numbers out. No thread, no file, no clock, no allocation that outlives a call.
//!
//! Each measure lives in a file of its own and names its paper. The floating-point kernels are written once over a
//! private vector trait ([`simd`]) and instantiated for every [`simd::Level`]; all levels give the same bits,
//! because every cell is computed by the same IEEE operations in the same order (a product and a sum stay two
//! roundings; `docs/decisions/0001-no-fused-multiply-add.md`).

mod alphabet;
pub mod band;
pub mod dtw;
pub mod elastic;
mod envelope;
pub mod lcs;
pub mod lcss;
pub mod levenshtein;
pub mod normalize;
#[cfg(any(test, feature = "oracle"))]
pub mod oracle;
pub(crate) mod rolling;
pub(crate) mod screen;
pub mod simd;
mod wavefront;
pub(crate) mod window_bounds;

use std::sync::atomic::{AtomicBool, Ordering};

/// Why a kernel gave no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The caller asked it to stop.
    #[error("the operation was aborted")]
    Interrupted,
    /// The work is beyond a documented limit.
    #[error("{cells} cells are more than the limit of {limit}")]
    TooLarge {
        /// Cells of the dynamic programming matrix that were asked for.
        cells: u128,
        /// The most that are accepted.
        limit: u64,
    },
    /// The operating system has no room for a result.
    #[error("{bytes} bytes of memory could not be had")]
    OutOfMemory {
        /// What was asked for.
        bytes: usize,
    },
}

/// Lets a caller end a long computation. Kernels poll it every few thousand to few million cells.
#[derive(Debug, Clone, Copy, Default)]
pub struct Interrupt<'a>(Option<&'a AtomicBool>);

impl<'a> Interrupt<'a> {
    /// Runs to the end.
    pub const NEVER: Interrupt<'static> = Interrupt(None);

    /// Stops soon after the flag turns true.
    pub fn when(flag: &'a AtomicBool) -> Self {
        Self(Some(flag))
    }

    /// `Err(Interrupted)` once the flag is raised.
    #[inline]
    pub(crate) fn check(self) -> Result<(), KernelError> {
        match self.0 {
            Some(flag) if flag.load(Ordering::Relaxed) => Err(KernelError::Interrupted),
            _ => Ok(()),
        }
    }
}
