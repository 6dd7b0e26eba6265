//! k-medoids: the `k` series that represent the others best.
//!
//! FasterPAM (Schubert and Rousseeuw, "Fast and eager k-medoids clustering: O(k) runtime improvement of the PAM, CLARA,
//! and CLARANS algorithms", 2021) on the matrix of all DTW distances: of every series in turn it is computed, in one
//! pass over the others, what each of the k exchanges with a medoid would change, and the best one is made as soon as it
//! is found. It ends where no exchange of one medoid lowers the inertia, the sum of the distances of all series to
//! their medoids. That is a local optimum, so there are several starts, each drawn like k-means++ (Arthur and
//! Vassilvitskii, "k-means++: the advantages of careful seeding", 2007) but by the distance, not its square.
//!
//! A distance beyond `max_distance` is infinite: more than any sum of others. As few series as possible are out of reach
//! of their medoid, and among such choices the sum of the rest is minimised.

use super::matrix::dtw_matrix;
use super::{Candidates, Job};
use crate::kernels::dtw::DtwOptions;
use crate::kernels::{Interrupt, KernelError};
use rayon::prelude::*;
use std::ops::{AddAssign, Sub};

/// `k` representatives and who belongs to them.
#[derive(Debug, Clone, PartialEq)]
pub struct Medoids {
    /// Indices of the representatives, ascending.
    pub medoids: Vec<u32>,
    /// For each series the position of its medoid in `medoids`: the nearest, of equally near ones the first; a medoid
    /// is its own.
    pub assignment: Vec<u32>,
    /// The sum of the distances of the series, in order, to their medoids; infinity when one is beyond `max_distance`.
    pub inertia: f64,
}

/// How often the search starts; the best end counts, of equally good ones the first.
const STARTS: u64 = 8;

/// `k` medoids of `series`. The same `seed` gives the same answer for any number of threads. Progress counts pairs of
/// the matrix. `TooLarge` as for [`dtw_matrix`].
///
/// # Panics
/// When `k` is 0 or above the number of series.
pub fn medoids(
    series: &Candidates,
    k: usize,
    options: &DtwOptions,
    seed: u64,
    job: &Job,
) -> Result<Medoids, KernelError> {
    assert!((1..=series.len()).contains(&k), "k is 1 to the number of series");
    let mut distances = dtw_matrix(series, options, job)?;
    let n = series.len();
    let shrunk = keep_sums_finite(&mut distances);
    let distances = Distances { values: &distances, n };
    let chosen = if k == 1 {
        vec![most_central(distances.values, n)]
    } else if k == n {
        (0..n).collect()
    } else {
        let ends: Vec<(Cost, Vec<usize>)> = (0..STARTS)
            .into_par_iter()
            .map(|start| faster_pam(distances, k, &mut Random::new(seed, start), job.interrupt()))
            .collect::<Result<_, KernelError>>()?;
        // A fold and not a minimum by comparison: the first of equals stays.
        ends.into_iter()
            .reduce(|best, end| if end.0 < best.0 { end } else { best })
            .map_or(Vec::new(), |end| end.1)
    };
    Ok(distances.assigned(&chosen, shrunk))
}

/// The index of the smallest row sum, where infinite distances count before finite ones; of equal sums the first.
pub(super) fn most_central(distances: &[f64], n: usize) -> usize {
    let sums = distances.chunks_exact(n).map(|row| Cost::total(row.iter().copied()));
    let best = sums.enumerate().reduce(|best, row| if row.1 < best.1 { row } else { best });
    best.map_or(0, |(index, _)| index)
}

/// Distances so large that their sum overflows are divided by this.
const SHRINK: f64 = (1_u64 << 40) as f64;

/// Divides by a power of two where sums would overflow, and returns by which.
fn keep_sums_finite(distances: &mut [f64]) -> f64 {
    let largest = distances.iter().filter(|d| d.is_finite()).fold(0.0_f64, |largest, d| largest.max(*d));
    if largest < f64::MAX / SHRINK {
        return 1.0;
    }
    distances.iter_mut().for_each(|d| *d /= SHRINK);
    SHRINK
}

/// A sum of distances of which some may be infinite. Those are counted, so that differences exist.
#[derive(Debug, Clone, Copy, Default, PartialEq, PartialOrd)]
struct Cost {
    // Compared first.
    infinite: i64,
    finite: f64,
}

impl Cost {
    fn of(distance: f64) -> Self {
        if distance == f64::INFINITY {
            Self { infinite: 1, finite: 0.0 }
        } else {
            Self { infinite: 0, finite: distance }
        }
    }

    fn total(distances: impl Iterator<Item = f64>) -> Self {
        let mut total = Self::default();
        distances.for_each(|distance| total += Self::of(distance));
        total
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.infinite += other.infinite;
        self.finite += other.finite;
    }
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { infinite: self.infinite - other.infinite, finite: self.finite - other.finite }
    }
}

/// The matrix of all pairs.
#[derive(Clone, Copy)]
struct Distances<'a> {
    values: &'a [f64],
    n: usize,
}

impl<'a> Distances<'a> {
    /// From one series to all.
    fn row(self, index: usize) -> &'a [f64] {
        &self.values[index * self.n..][..self.n]
    }

    /// The result, of distances that were divided by `shrunk`.
    fn assigned(self, chosen: &[usize], shrunk: f64) -> Medoids {
        let mut medoids = chosen.to_vec();
        medoids.sort_unstable();
        let mut nearest = vec![(f64::INFINITY, 0_u32); self.n];
        for (position, &medoid) in medoids.iter().enumerate() {
            for (near, &distance) in nearest.iter_mut().zip(self.row(medoid)) {
                if distance < near.0 {
                    *near = (distance, position as u32);
                }
            }
        }
        for (position, &medoid) in medoids.iter().enumerate() {
            nearest[medoid] = (0.0, position as u32);
        }
        Medoids {
            medoids: medoids.iter().map(|&medoid| medoid as u32).collect(),
            assignment: nearest.iter().map(|near| near.1).collect(),
            inertia: nearest.iter().map(|near| near.0 * shrunk).sum(),
        }
    }
}

/// A medoid, by its position among the chosen, and how far it is.
#[derive(Debug, Clone, Copy)]
struct Near {
    slot: usize,
    distance: f64,
}

/// The two nearest medoids of every series.
#[derive(Clone)]
struct State {
    medoids: Vec<usize>,
    nearest: Vec<[Near; 2]>,
}

impl State {
    fn new(distances: Distances<'_>, medoids: Vec<usize>) -> Self {
        let nearest = (0..distances.n).map(|index| two_nearest(distances.row(index), &medoids)).collect();
        Self { medoids, nearest }
    }

    fn cost(&self) -> Cost {
        Cost::total(self.nearest.iter().map(|near| near[0].distance))
    }

    /// What taking each medoid away adds to the cost.
    fn losses(&self) -> Vec<Cost> {
        let mut losses = vec![Cost::default(); self.medoids.len()];
        for [first, second] in &self.nearest {
            losses[first.slot] += Cost::of(second.distance) - Cost::of(first.distance);
        }
        losses
    }

    /// The slot whose exchange for the series with distances `row` changes the cost most favourably, and the change.
    /// `losses` are those of this state; `changes` is room for them.
    fn best_exchange(&self, row: &[f64], losses: &[Cost], changes: &mut Vec<Cost>) -> (usize, Cost) {
        changes.clear();
        changes.extend_from_slice(losses);
        let mut gain = Cost::default();
        for ([first, second], &distance) in self.nearest.iter().zip(row) {
            if distance < first.distance {
                gain += Cost::of(distance) - Cost::of(first.distance);
                changes[first.slot] += Cost::of(first.distance) - Cost::of(second.distance);
            } else if distance < second.distance {
                changes[first.slot] += Cost::of(distance) - Cost::of(second.distance);
            }
        }
        let mut best = 0;
        for slot in 1..changes.len() {
            if changes[slot] < changes[best] {
                best = slot;
            }
        }
        gain += changes[best];
        (best, gain)
    }

    fn exchange(&mut self, slot: usize, candidate: usize, distances: Distances<'_>) {
        self.medoids[slot] = candidate;
        for (index, (near, &distance)) in self.nearest.iter_mut().zip(distances.row(candidate)).enumerate() {
            let new = Near { slot, distance };
            if near[0].slot == slot || near[1].slot == slot {
                *near = two_nearest(distances.row(index), &self.medoids);
            } else if distance < near[0].distance {
                *near = [new, near[0]];
            } else if distance < near[1].distance {
                near[1] = new;
            }
        }
    }
}

/// Of two medoids or more; of equally near ones the first.
fn two_nearest(row: &[f64], medoids: &[usize]) -> [Near; 2] {
    let near = |slot: usize| Near { slot, distance: row[medoids[slot]] };
    let mut two = if near(1).distance < near(0).distance { [near(1), near(0)] } else { [near(0), near(1)] };
    for new in (2..medoids.len()).map(near) {
        if new.distance < two[0].distance {
            two = [new, two[0]];
        } else if new.distance < two[1].distance {
            two[1] = new;
        }
    }
    two
}

/// From a random start to a local optimum: its cost and its medoids.
fn faster_pam(
    distances: Distances<'_>,
    k: usize,
    random: &mut Random,
    interrupt: Interrupt<'_>,
) -> Result<(Cost, Vec<usize>), KernelError> {
    let mut state = State::new(distances, drawn(distances, k, random));
    let (mut cost, mut losses, mut changes) = (state.cost(), state.losses(), Vec::with_capacity(k));
    // Series in a row that no medoid was exchanged for.
    let mut refused = 0;
    for candidate in (0..distances.n).cycle() {
        if refused == distances.n {
            break;
        }
        interrupt.check()?;
        refused += 1;
        if state.medoids.contains(&candidate) {
            continue;
        }
        let (slot, change) = state.best_exchange(distances.row(candidate), &losses, &mut changes);
        if change >= Cost::default() {
            continue;
        }
        let before = state.clone();
        state.exchange(slot, candidate, distances);
        let after = state.cost();
        // The change is a sum of differences. What it rounds away must not be chased in circles.
        if after < cost {
            (cost, losses, refused) = (after, state.losses(), 0);
        } else {
            state = before;
        }
    }
    Ok((cost, state.medoids))
}

/// `k` different series: the first evenly, each next with a probability proportional to its distance to the nearest
/// of those before it.
fn drawn(distances: Distances<'_>, k: usize, random: &mut Random) -> Vec<usize> {
    let mut medoids = Vec::with_capacity(k);
    let mut taken = vec![false; distances.n];
    let mut weights = vec![f64::INFINITY; distances.n];
    while medoids.len() < k {
        let medoid = weighted(&weights, random).unwrap_or_else(|| evenly(&taken, |taken| !taken, random));
        // Its own distance of 0 keeps it from being drawn by weight again.
        for (weight, &distance) in weights.iter_mut().zip(distances.row(medoid)) {
            *weight = weight.min(distance);
        }
        taken[medoid] = true;
        medoids.push(medoid);
    }
    medoids
}

/// An index with a probability proportional to its weight; one of the infinite weights when there are any, none when
/// all are 0.
fn weighted(weights: &[f64], random: &mut Random) -> Option<usize> {
    if weights.contains(&f64::INFINITY) {
        return Some(evenly(weights, |&weight| weight == f64::INFINITY, random));
    }
    let mut left = random.unit() * weights.iter().sum::<f64>();
    let mut last = None;
    for (index, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        if left < weight {
            return Some(index);
        }
        left -= weight;
        // Rounding can leave a little over after all of them.
        last = Some(index);
    }
    last
}

/// One of the indices that `fits`, of which there must be one.
fn evenly<T>(items: &[T], fits: impl Fn(&T) -> bool, random: &mut Random) -> usize {
    let open: Vec<usize> = (0..items.len()).filter(|&index| fits(&items[index])).collect();
    open[(random.unit() * open.len() as f64) as usize]
}

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
struct Random(u64);

impl Random {
    /// Another sequence for every start.
    fn new(seed: u64, start: u64) -> Self {
        let mut seeds = Self(seed);
        let mixed = seeds.next();
        Self(mixed.wrapping_add(start.wrapping_mul(0xD1B5_4A32_D192_ED03)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Evenly in `[0, 1)`.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
