//! Runs of sweeps over candidates in the order of their floors, and the threshold that they share.

use super::super::best::Best;
use super::{Job, Pool};
use crate::kernels::KernelError;
use crate::kernels::screen::{Meeting, Meetings, Met, Screened, Target};
use crate::kernels::simd::{Level, WIDTH};
use rayon::prelude::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What the sweeps of one search share.
pub(super) struct Sweeps<'a, P> {
    pool: &'a P,
    target: &'a Target,
    level: Level,
    /// By totals that the candidates' own are not above.
    best: Best,
    /// Candidates that may be among the best, by floor.
    met: Mutex<Vec<(f32, u32)>>,
    swept: AtomicUsize,
    job: &'a Job,
}

impl<'a, P: Pool> Sweeps<'a, P> {
    pub(super) fn new(pool: &'a P, target: &'a Target, level: Level, best: Best, job: &'a Job) -> Self {
        Self { pool, target, level, best, met: Mutex::default(), swept: AtomicUsize::new(0), job }
    }

    /// A floor above this is above the k-th best total.
    pub(super) fn threshold(&self) -> f32 {
        self.target.threshold(self.best.bound())
    }

    /// Candidates that were compared at all.
    pub(super) fn swept(&self) -> usize {
        self.swept.load(Ordering::Relaxed)
    }

    /// Sweeps candidates, given with their floors. These must ascend: the first one above the threshold ends the run.
    pub(super) fn run(&self, order: &[(f32, u32)], threads: bool) -> Result<(), KernelError> {
        if threads {
            // Whole vectors, several shares a thread, and not so many that a share is nothing but its set-up.
            let even = order.len().div_ceil(4 * rayon::current_num_threads());
            let share = even.clamp(1, 16 * WIDTH).next_multiple_of(WIDTH);
            order.par_chunks(share).for_each(|share| self.one(share));
        } else {
            self.one(order);
        }
        self.job.interrupt().check()
    }

    fn one(&self, order: &[(f32, u32)]) {
        let mut run = Run { sweeps: self, order, met: Vec::new() };
        self.level.run_singles(Meetings {
            target: self.target,
            meeting: &mut run,
            interrupt: self.job.interrupt(),
        });
        self.met.lock().expect("no thread panics while it holds the list").append(&mut run.met);
    }

    /// The candidates that may be among the best, lowest first.
    pub(super) fn into_left(self) -> Vec<u32> {
        let threshold = self.threshold();
        let mut left = self.met.into_inner().expect("no thread panics while it holds the list");
        left.retain(|&(floor, _)| floor <= threshold);
        left.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        left.into_iter().map(|(_, index)| index).collect()
    }
}

/// One thread's part.
struct Run<'s, 'a, P> {
    sweeps: &'s Sweeps<'a, P>,
    /// What is still to be swept.
    order: &'s [(f32, u32)],
    met: Vec<(f32, u32)>,
}

impl<P: Pool> Meeting for Run<'_, '_, P> {
    fn next(&mut self, group: &mut [u32; WIDTH]) -> usize {
        let Some(&(lowest, _)) = self.order.first() else { return 0 };
        if lowest > self.sweeps.threshold() || self.sweeps.job.interrupt().check().is_err() {
            return 0;
        }
        let (now, later) = self.order.split_at(self.order.len().min(WIDTH));
        for (id, &(_, index)) in group.iter_mut().zip(now) {
            *id = index;
        }
        self.order = later;
        self.sweeps.swept.fetch_add(now.len(), Ordering::Relaxed);
        self.sweeps.job.advance(now.len());
        now.len()
    }

    fn candidate(&self, index: u32) -> Screened<'_> {
        let (chunk, row) = (index as usize / super::CHUNK, index as usize % super::CHUNK);
        self.sweeps.pool.columns(chunk).screened(row)
    }

    fn bound(&self) -> f64 {
        self.sweeps.best.bound()
    }

    fn met(&mut self, index: u32, met: Met) {
        self.sweeps.best.offer(met.total_at_most, index as usize);
        self.met.push((met.floor, index));
    }
}
