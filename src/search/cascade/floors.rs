//! What no candidate's total is below, from its summary: found for all of them at once, and taken lowest first.

use super::sweeps::by_floor;
use super::{CHUNK, Mask, Pool};
use crate::kernels::screen::{SummaryBounds, Target};
use crate::kernels::simd::{Level, WIDTH};
use rayon::prelude::*;

/// Groups of a chunk, a vector each.
const GROUPS: usize = CHUNK / WIDTH;

/// Lower bounds in the scaled units of a target.
pub(super) struct Floors {
    /// By index; infinite for a candidate that takes no part, or was taken already.
    floors: Vec<[f32; WIDTH]>,
    /// The least of each vector, of those that were not taken when it was made.
    least: Vec<f32>,
    candidates: usize,
    /// Eligible candidates of which the columns say nothing.
    unscreened: Vec<u32>,
}

impl Floors {
    pub(super) fn new<P: Pool>(pool: &P, target: &Target, level: Level, threads: bool) -> Self {
        let chunks = pool.chunks();
        // Once a search: with `asOf` it is a look at every end.
        let eligible: Vec<Mask> = (0..chunks).map(|chunk| pool.eligible(chunk)).collect();
        let mut floors = vec![[f32::INFINITY; WIDTH]; chunks * GROUPS];
        let of_chunk = |(chunk, floors): (usize, &mut [[f32; WIDTH]])| {
            let columns = pool.columns(chunk);
            let floors = &mut floors[..columns.rows().div_ceil(WIDTH)];
            level.run_singles(SummaryBounds { target, summaries: columns.summaries(), floors });
            let (eligible, screened) = (eligible[chunk], columns.screened_rows());
            for (group, floors) in floors.iter_mut().enumerate() {
                let lanes = (eligible[group / 8] & screened[group / 8]) >> (group % 8 * WIDTH) & 0xff;
                if lanes != 0xff {
                    for (lane, floor) in floors.iter_mut().enumerate() {
                        if lanes >> lane & 1 == 0 {
                            *floor = f32::INFINITY;
                        }
                    }
                }
            }
        };
        if threads {
            floors.par_chunks_exact_mut(GROUPS).enumerate().for_each(of_chunk);
        } else {
            floors.chunks_exact_mut(GROUPS).enumerate().for_each(of_chunk);
        }

        let (mut candidates, mut unscreened) = (0, Vec::new());
        for (chunk, eligible) in eligible.iter().enumerate() {
            let screened = pool.columns(chunk).screened_rows();
            for (word, eligible) in eligible.iter().enumerate() {
                candidates += eligible.count_ones() as usize;
                let mut rest = eligible & !screened[word];
                while rest != 0 {
                    unscreened.push(index(chunk * GROUPS + word * 8, rest.trailing_zeros() as usize));
                    rest &= rest - 1;
                }
            }
        }
        let least = floors.iter().map(least_of).collect();
        Self { floors, least, candidates, unscreened }
    }

    /// Eligible candidates, screened or not.
    pub(super) fn candidates(&self) -> usize {
        self.candidates
    }

    pub(super) fn unscreened(&self) -> &[u32] {
        &self.unscreened
    }

    /// Takes one candidate; none when it takes no part or was taken.
    pub(super) fn take(&mut self, index: u32) -> Option<(f32, u32)> {
        let floor = self.floors.get_mut(index as usize / WIDTH)?.get_mut(index as usize % WIDTH)?;
        let taken = std::mem::replace(floor, f32::INFINITY);
        (taken < f32::INFINITY).then_some((taken, index))
    }

    /// Takes about `count` candidates with the lowest floors, lowest first.
    pub(super) fn take_lowest(&mut self, count: usize) -> Vec<(f32, u32)> {
        // As many vectors hold at least as many candidates that are not above the worst of the vectors' best.
        let mut least = self.least.clone();
        let limit = match least.len() {
            len if len > count => *least.select_nth_unstable_by(count - 1, f32::total_cmp).1,
            _ => f32::INFINITY,
        };
        let mut lowest = self.up_to(limit);
        if count < lowest.len() {
            lowest.select_nth_unstable_by(count, by_floor);
            lowest.truncate(count);
        }
        lowest.sort_unstable_by(by_floor);
        for &(_, index) in &lowest {
            self.take(index);
        }
        lowest
    }

    /// Those not taken whose floors are at most `limit`, by index.
    pub(super) fn up_to(&self, limit: f32) -> Vec<(f32, u32)> {
        let mut found = Vec::new();
        for (group, (floors, &least)) in self.floors.iter().zip(&self.least).enumerate() {
            if least > limit {
                continue;
            }
            // Every lane is written, and the next one over it if it was not wanted: no branch to guess.
            let (mut wanted, mut count) = ([(0.0, 0); WIDTH], 0);
            for (lane, &floor) in floors.iter().enumerate() {
                wanted[count] = (floor, index(group, lane));
                count += usize::from(floor <= limit && floor < f32::INFINITY);
            }
            found.extend_from_slice(&wanted[..count]);
        }
        found
    }
}

fn index(group: usize, lane: usize) -> u32 {
    u32::try_from(group * WIDTH + lane).expect("a pool has fewer than 2^32 candidates: they fill terabytes")
}

fn least_of(floors: &[f32; WIDTH]) -> f32 {
    floors.iter().fold(f32::INFINITY, |least, &floor| least.min(floor))
}
