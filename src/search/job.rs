//! A long computation seen from outside: how far it is, and how to end it.

use crate::kernels::Interrupt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared between the threads that compute and whoever waits for them.
#[derive(Debug, Default)]
pub struct Job {
    cancelled: AtomicBool,
    done: AtomicU64,
}

impl Job {
    /// Not cancelled, nothing done.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every kernel of this job to stop. Takes effect within milliseconds.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Units of work finished so far: candidates of a batch, pairs of a matrix. Never decreases.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Counts finished units.
    pub(crate) fn advance(&self, units: usize) {
        self.done.fetch_add(units as u64, Ordering::Relaxed);
    }

    /// For the kernels of this job.
    pub(crate) fn interrupt(&self) -> Interrupt<'_> {
        Interrupt::when(&self.cancelled)
    }
}

/// Runs `work` on the thread pool and returns at once.
pub fn spawn(work: impl FnOnce() + Send + 'static) {
    rayon::spawn(work);
}

/// Threads of the pool.
pub fn threads() -> usize {
    rayon::current_num_threads()
}
