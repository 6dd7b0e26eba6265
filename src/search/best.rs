//! The k best of what several threads see, and what the next one has to beat.

use std::collections::BinaryHeap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A candidate and what it is ranked by: least first, ties in the order of the candidates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranked {
    pub(super) key: f64,
    pub(super) index: usize,
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.total_cmp(&other.key).then(self.index.cmp(&other.index))
    }
}

/// The `k` first of all that were offered. Which those are does not depend on who offers them when.
#[derive(Debug)]
pub(super) struct Best {
    k: usize,
    heap: Mutex<BinaryHeap<Ranked>>,
    /// Bits of the bound: non-negative f64 keep their order as integers. Only ever falls.
    bound: AtomicU64,
}

impl Best {
    /// Nothing seen yet; a key above `limit` is not wanted.
    pub(super) fn new(k: usize, limit: f64) -> Self {
        Self { k, heap: Mutex::new(BinaryHeap::new()), bound: AtomicU64::new(limit.to_bits()) }
    }

    /// A key above this is not among the best.
    pub(super) fn bound(&self) -> f64 {
        f64::from_bits(self.bound.load(Ordering::Relaxed))
    }

    /// Takes a candidate, unless its key is above the bound.
    pub(super) fn offer(&self, key: f64, index: usize) {
        if key > self.bound() {
            return;
        }
        let mut heap = self.heap.lock().expect("no thread panics while it holds the heap");
        heap.push(Ranked { key, index });
        if heap.len() > self.k {
            heap.pop();
        }
        if heap.len() == self.k
            && let Some(worst) = heap.peek()
        {
            self.bound.fetch_min(worst.key.to_bits(), Ordering::Relaxed);
        }
    }

    /// Best first.
    pub(super) fn into_sorted(self) -> Vec<Ranked> {
        self.heap.into_inner().expect("no thread panics while it holds the heap").into_sorted_vec()
    }
}
