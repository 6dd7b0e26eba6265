//! Runs over candidates: projections, which raise their floors, then sweeps in the order of these; and the threshold that
//! all of them share.

use super::super::best::Best;
use super::{Job, Plan, Pool};
use crate::kernels::KernelError;
use crate::kernels::screen::{Groups, Meeting, Meetings, Met, Projecting, Projections, Screened, Target};
use crate::kernels::simd::{Level, WIDTH};
use rayon::prelude::*;
use std::cmp::Ordering;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Candidates that show whether projections pay.
const TRIAL: usize = 16 * WIDTH;

/// What the sweeps of one search share.
pub(super) struct Sweeps<'a, P> {
    pool: &'a P,
    plan: &'a Plan,
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
    pub(super) fn new(
        pool: &'a P,
        plan: &'a Plan,
        target: &'a Target,
        level: Level,
        best: Best,
        job: &'a Job,
    ) -> Self {
        Self { pool, plan, target, level, best, met: Mutex::default(), swept: AtomicUsize::new(0), job }
    }

    /// A floor above this is above the k-th best total.
    pub(super) fn threshold(&self) -> f32 {
        self.target.threshold(self.best.bound())
    }

    /// Candidates that were compared at all.
    pub(super) fn swept(&self) -> usize {
        self.swept.load(Relaxed)
    }

    /// Sweeps candidates that are likely to be among the best, in whatever order they are given, once projections have raised
    /// their floors.
    pub(super) fn seed(&self, candidates: &[(f32, u32)], threads: bool) -> Result<(), KernelError> {
        let mut near = self.near(candidates, threads)?;
        near.sort_unstable_by(by_floor);
        self.run(&near, threads)
    }

    /// The same for any candidates. Where projections leave most of the first [`TRIAL`], which without a band they
    /// often do, the others are swept by the floors they came with.
    pub(super) fn rest(&self, candidates: &[(f32, u32)], threads: bool) -> Result<(), KernelError> {
        let (trial, others) = candidates.split_at(candidates.len().min(TRIAL));
        let mut near = self.near(trial, false)?;
        if near.len() * 3 > trial.len() * 2 {
            near.extend_from_slice(others);
        } else {
            near.append(&mut self.near(others, threads)?);
        }
        near.sort_unstable_by(by_floor);
        self.run(&near, threads)
    }

    /// Those of the candidates that projections leave, with their floors.
    fn near(&self, candidates: &[(f32, u32)], threads: bool) -> Result<Vec<(f32, u32)>, KernelError> {
        let near = Mutex::new(Vec::new());
        self.shared(candidates, threads, |share| {
            let mut run = ProjectRun { sweeps: self, rest: share, near: Vec::new() };
            self.level.run_singles(Projections { target: self.target, projecting: &mut run });
            near.lock().expect("no thread panics while it holds the list").append(&mut run.near);
        })?;
        Ok(near.into_inner().expect("no thread panics while it holds the list"))
    }

    /// Sweeps candidates, given with their floors. These must ascend: the first one above the threshold ends the run.
    pub(super) fn run(&self, order: &[(f32, u32)], threads: bool) -> Result<(), KernelError> {
        self.shared(order, threads, |share| {
            let mut run = Run { sweeps: self, rest: share, met: Vec::new() };
            self.level.run_singles(Meetings {
                target: self.target,
                meeting: &mut run,
                interrupt: self.job.interrupt(),
            });
            self.met.lock().expect("no thread panics while it holds the list").append(&mut run.met);
        })
    }

    /// Runs over all candidates, divided among the threads if it is to be.
    fn shared(
        &self,
        candidates: &[(f32, u32)],
        threads: bool,
        run: impl Fn(&[(f32, u32)]) + Send + Sync,
    ) -> Result<(), KernelError> {
        if threads {
            // Whole vectors, several shares a thread, and not so many that a share is nothing but its set-up.
            let even = candidates.len().div_ceil(4 * rayon::current_num_threads());
            let share = even.clamp(1, 16 * WIDTH).next_multiple_of(WIDTH);
            candidates.par_chunks(share).for_each(run);
        } else {
            run(candidates);
        }
        self.job.interrupt().check()
    }

    #[inline]
    fn screened(&self, index: u32) -> Screened<'a> {
        let (chunk, row) = (index as usize / super::CHUNK, index as usize % super::CHUNK);
        self.pool.columns(chunk).screened(self.plan, row)
    }

    /// The candidates that may be among the best, lowest first.
    pub(super) fn into_left(self) -> Vec<u32> {
        let threshold = self.threshold();
        let mut left = self.met.into_inner().expect("no thread panics while it holds the list");
        left.retain(|&(floor, _)| floor <= threshold);
        left.sort_unstable_by(by_floor);
        left.into_iter().map(|(_, index)| index).collect()
    }
}

/// Lowest floors first, ties by index.
pub(super) fn by_floor(a: &(f32, u32), b: &(f32, u32)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// Moves the first candidates of `rest` into `group`; how many.
fn take(rest: &mut &[(f32, u32)], group: &mut [u32; WIDTH]) -> usize {
    let (now, later) = rest.split_at(rest.len().min(WIDTH));
    for (id, &(_, index)) in group.iter_mut().zip(now) {
        *id = index;
    }
    *rest = later;
    now.len()
}

/// One thread's part of the sweeps.
struct Run<'s, 'a, P> {
    sweeps: &'s Sweeps<'a, P>,
    /// What is still to be swept.
    rest: &'s [(f32, u32)],
    met: Vec<(f32, u32)>,
}

impl<'a, P: Pool> Groups<'a> for Run<'_, 'a, P> {
    fn next(&mut self, group: &mut [u32; WIDTH]) -> usize {
        let Some(&(lowest, _)) = self.rest.first() else { return 0 };
        if lowest > self.sweeps.threshold() || self.sweeps.job.interrupt().check().is_err() {
            return 0;
        }
        let count = take(&mut self.rest, group);
        self.sweeps.swept.fetch_add(count, Relaxed);
        self.sweeps.job.advance(count);
        count
    }

    fn candidate(&self, index: u32) -> Screened<'a> {
        self.sweeps.screened(index)
    }

    fn bound(&self) -> f64 {
        self.sweeps.best.bound()
    }
}

impl<'a, P: Pool> Meeting<'a> for Run<'_, 'a, P> {
    fn met(&mut self, index: u32, met: Met) {
        self.sweeps.best.offer(met.total_at_most, index as usize);
        self.met.push((met.floor, index));
    }
}

/// One thread's part of the projections.
struct ProjectRun<'s, 'a, P> {
    sweeps: &'s Sweeps<'a, P>,
    /// What is still to be projected.
    rest: &'s [(f32, u32)],
    near: Vec<(f32, u32)>,
}

impl<'a, P: Pool> Groups<'a> for ProjectRun<'_, 'a, P> {
    fn next(&mut self, group: &mut [u32; WIDTH]) -> usize {
        if self.sweeps.job.interrupt().check().is_err() {
            return 0;
        }
        take(&mut self.rest, group)
    }

    fn candidate(&self, index: u32) -> Screened<'a> {
        self.sweeps.screened(index)
    }

    fn bound(&self) -> f64 {
        self.sweeps.best.bound()
    }
}

impl<'a, P: Pool> Projecting<'a> for ProjectRun<'_, 'a, P> {
    fn projected(&mut self, index: u32, floor: f32) {
        self.near.push((floor, index));
    }
}
