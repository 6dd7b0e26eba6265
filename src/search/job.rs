//! A long computation seen from outside: how far it is, and how to end it.

use crate::kernels::Interrupt;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared between the threads that compute and whoever waits for them.
#[derive(Debug, Default)]
pub struct Job {
    cancelled: AtomicBool,
    done: AtomicU64,
    told: Option<fn(u64)>,
}

impl Job {
    /// Not cancelled, nothing done.
    pub fn new() -> Self {
        Self::default()
    }

    /// One that calls `tell` with what [`done`](Self::done) has become, each time it grows: where nobody else runs who
    /// could ask.
    pub fn told(tell: fn(u64)) -> Self {
        Self { told: Some(tell), ..Self::default() }
    }

    /// Asks every kernel of this job to stop. Kernels look at it between runs of cells
    /// that take milliseconds, longer for millions of columns.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Units of work finished so far: candidates of a batch, pairs of a matrix. Never decreases.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Counts finished units.
    pub(crate) fn advance(&self, units: usize) {
        let before = self.done.fetch_add(units as u64, Ordering::Relaxed);
        if let Some(tell) = self.told {
            tell(before + units as u64);
        }
    }

    /// For the kernels of this job.
    pub(crate) fn interrupt(&self) -> Interrupt<'_> {
        Interrupt::when(&self.cancelled)
    }
}

/// Runs `work` on the threads for batches and matrices, and returns at once.
pub fn spawn(work: impl FnOnce() + Send + 'static) {
    rayon::spawn(work);
}

/// Runs `work` on one pair or in a pattern library, on threads of its own, and returns at once: a pool looks at new
/// work only when it is done with what it has, and what takes a millisecond must not wait for a matrix.
pub fn spawn_pair(work: impl FnOnce() + Send + 'static) {
    static PAIRS: OnceLock<Option<ThreadPool>> = OnceLock::new();
    match pool(&PAIRS) {
        Some(pool) => pool.spawn(work),
        None => rayon::spawn(work),
    }
}

/// Runs `work` that waits for files, on threads where nothing computes, and returns at once.
pub fn spawn_waiting(work: impl FnOnce() + Send + 'static) {
    static WAITING: OnceLock<Option<ThreadPool>> = OnceLock::new();
    match pool(&WAITING) {
        Some(pool) => pool.spawn(work),
        None => rayon::spawn(work),
    }
}

/// Runs `work`, a batch, for a caller that waits for it, on threads that nothing else holds for long.
pub fn blocking<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    static WAITED_FOR: OnceLock<Option<ThreadPool>> = OnceLock::new();
    match pool(&WAITED_FOR) {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// A pool as large as the global one, made when it is first needed; none where no more threads can be had.
fn pool(cell: &'static OnceLock<Option<ThreadPool>>) -> Option<&'static ThreadPool> {
    cell.get_or_init(|| ThreadPoolBuilder::new().num_threads(threads()).build().ok()).as_ref()
}

/// Threads of the pool that batches and matrices use.
pub fn threads() -> usize {
    rayon::current_num_threads()
}
