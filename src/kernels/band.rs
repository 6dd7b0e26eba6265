//! The Sakoe-Chiba band: which cells of the warping matrix a path may use.
//!
//! Sakoe and Chiba, "Dynamic programming algorithm optimization for spoken word recognition", 1978.

use std::ops::Range;

/// Row `i` may use the columns `i - below ..= i + above`.
///
/// For a radius `w` and lengths `n`, `m` that is `-w - max(0, n-m) <= j - i <= w + max(0, m-n)`: the band is widened
/// by the difference of the lengths on the side where it is needed, so the two corners are always inside
/// (the convention of tslearn and, shifted by one, dtaidistance).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Band {
    /// How far a column may lie before its row.
    pub below: usize,
    /// How far a column may lie after its row.
    pub above: usize,
}

impl Band {
    /// The band of radius `window` (none: every cell) for a matrix of `n` rows and `m` columns.
    pub fn new(window: Option<usize>, n: usize, m: usize) -> Self {
        let Some(w) = window else { return Self { below: n, above: m } };
        Self {
            below: w.saturating_add(n.saturating_sub(m)).min(n),
            above: w.saturating_add(m.saturating_sub(n)).min(m),
        }
    }

    /// Whether every cell of an `n x m` matrix is inside.
    pub fn is_full(self, n: usize, m: usize) -> bool {
        self.below + 1 >= n && self.above + 1 >= m
    }

    /// The columns of row `i` in a matrix of `m` columns. Never empty for a row of the matrix it was made for.
    #[inline]
    pub fn columns(self, i: usize, m: usize) -> Range<usize> {
        i.saturating_sub(self.below)..(i + self.above + 1).min(m)
    }

    /// The rows of column `j` in a matrix of `n` rows: those whose columns include it.
    #[inline]
    pub fn rows(self, j: usize, n: usize) -> Range<usize> {
        Self { below: self.above, above: self.below }.columns(j, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_inequality_of_the_convention() {
        for n in 1_usize..12 {
            for m in 1_usize..12 {
                for w in 0..14 {
                    let band = Band::new(Some(w), n, m);
                    let (n_, m_, w_) = (n as i64, m as i64, w as i64);
                    for i in 0..n {
                        let columns = band.columns(i, m);
                        for j in 0..m {
                            let d = j as i64 - i as i64;
                            let inside = -w_ - (n_ - m_).max(0) <= d && d <= w_ + (m_ - n_).max(0);
                            assert_eq!(columns.contains(&j), inside, "n {n} m {m} w {w} i {i} j {j}");
                            assert_eq!(band.rows(j, n).contains(&i), inside, "n {n} m {m} w {w} i {i} j {j}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_wide_window_is_no_band() {
        assert!(Band::new(None, 5, 9).is_full(5, 9));
        assert!(Band::new(Some(usize::MAX), 5, 9).is_full(5, 9));
        assert!(Band::new(Some(8), 5, 9).is_full(5, 9));
        assert!(!Band::new(Some(3), 5, 9).is_full(5, 9));
        assert!(Band::new(Some(4), 5, 9).is_full(5, 9));
    }
}
