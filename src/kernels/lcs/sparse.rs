//! Hunt and Szymanski: the matches alone, as a longest increasing subsequence of their rows.

use super::super::alphabet::Numbered;
use super::super::{Interrupt, KernelError};

/// The rows of every kind, ascending.
struct Occurrences {
    rows: Vec<u32>,
    /// `rows[starts[kind]..starts[kind + 1]]`
    starts: Vec<u32>,
}

impl Occurrences {
    fn new(numbered: &Numbered) -> Self {
        let mut starts = vec![0_u32; numbered.kinds + 2];
        for &kind in &numbered.rows {
            starts[kind as usize + 1] += 1;
        }
        for kind in 1..starts.len() {
            starts[kind] += starts[kind - 1];
        }
        let mut next = starts.clone();
        let mut rows = vec![0; numbered.rows.len()];
        for (row, &kind) in numbered.rows.iter().enumerate() {
            let at = &mut next[kind as usize];
            rows[*at as usize] = row as u32;
            *at += 1;
        }
        Self { rows, starts }
    }

    fn of(&self, kind: u32) -> &[u32] {
        let kind = kind as usize;
        &self.rows[self.starts[kind] as usize..self.starts[kind + 1] as usize]
    }
}

/// The length of the longest common subsequence, in time `matches * log(length)`.
pub(super) fn length(numbered: &Numbered, interrupt: Interrupt<'_>) -> Result<usize, KernelError> {
    let occurrences = Occurrences::new(numbered);
    // ends[k]: the first row that ends a common subsequence of length k + 1.
    let mut ends: Vec<u32> = Vec::new();
    let mut matches = 0;
    for &kind in &numbered.columns {
        let rows = occurrences.of(kind);
        // From the last row up, so that no two matches of one column follow each other.
        for &row in rows.iter().rev() {
            let k = ends.partition_point(|&end| end < row);
            match ends.get_mut(k) {
                Some(end) => *end = row,
                None => ends.push(row),
            }
        }
        matches += rows.len();
        if matches > 1 << 16 {
            matches = 0;
            interrupt.check()?;
        }
    }
    Ok(ends.len())
}
