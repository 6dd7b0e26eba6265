//! The k best of what a search has seen.

use std::collections::BinaryHeap;

/// A total and the candidate that has it, ordered by total, then by candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranked {
    pub(super) key: f64,
    pub(super) id: u32,
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.total_cmp(&other.key).then(self.id.cmp(&other.id))
    }
}

/// The `k` smallest, and what the next one must not exceed.
#[derive(Debug)]
pub(super) struct Best {
    k: usize,
    heap: BinaryHeap<Ranked>,
    bound: f64,
}

impl Best {
    /// Nothing seen; what is above `limit` is not wanted.
    pub(super) fn new(k: usize, limit: f64) -> Self {
        Self { k, heap: BinaryHeap::new(), bound: limit }
    }

    /// A candidate above this is not among the k best. Only ever falls.
    pub(super) fn bound(&self) -> f64 {
        self.bound
    }

    pub(super) fn offer(&mut self, key: f64, id: u32) {
        if key > self.bound {
            return;
        }
        self.heap.push(Ranked { key, id });
        if self.heap.len() > self.k {
            self.heap.pop();
        }
        if self.heap.len() == self.k
            && let Some(worst) = self.heap.peek()
        {
            self.bound = self.bound.min(worst.key);
        }
    }

    pub(super) fn into_sorted(self) -> Vec<Ranked> {
        self.heap.into_sorted_vec()
    }
}
