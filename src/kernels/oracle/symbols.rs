//! Edit distance and common subsequences, cell by cell.

use crate::series::Series;

/// The lengths of the longest common subsequences of all prefixes, `(n+1) x (m+1)` row-major.
pub fn common_subsequence_table(n: usize, m: usize, matches: impl Fn(usize, usize) -> bool) -> Vec<usize> {
    let width = m + 1;
    let mut table = vec![0; (n + 1) * width];
    for i in 0..n {
        for j in 0..m {
            table[(i + 1) * width + j + 1] = if matches(i, j) {
                table[i * width + j] + 1
            } else {
                table[i * width + j + 1].max(table[(i + 1) * width + j])
            };
        }
    }
    table
}

/// The length of the longest common subsequence.
pub fn lcs_length(a: &[u32], b: &[u32]) -> usize {
    *common_subsequence_table(a.len(), b.len(), |i, j| a[i] == b[j]).last().expect("at least one entry")
}

/// The position pairs of one longest common subsequence.
pub fn lcs_align(a: &[u32], b: &[u32]) -> Vec<(u32, u32)> {
    let table = common_subsequence_table(a.len(), b.len(), |i, j| a[i] == b[j]);
    let width = b.len() + 1;
    let (mut i, mut j) = (a.len(), b.len());
    let mut pairs = Vec::new();
    while i > 0 && j > 0 {
        let here = table[i * width + j];
        if table[(i - 1) * width + j] == here {
            i -= 1;
        } else if table[i * width + j - 1] == here {
            j -= 1;
        } else {
            (i, j) = (i - 1, j - 1);
            pairs.push((i as u32, j as u32));
        }
    }
    pairs.reverse();
    pairs
}

/// The fewest insertions, deletions and substitutions that turn `a` into `b`.
pub fn levenshtein(a: &[u32], b: &[u32]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let up = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != y)).min(up + 1).min(row[j] + 1);
            diagonal = up;
        }
    }
    row[b.len()]
}

/// The length of the longest common subsequence of values that lie within `epsilon`, at most `window` steps apart.
pub fn lcss_length(a: Series<'_>, b: Series<'_>, epsilon: f64, window: Option<usize>) -> usize {
    let (a, b) = (a.values(), b.values());
    let matches =
        |i: usize, j: usize| (a[i] - b[j]).abs() <= epsilon && window.is_none_or(|w| i.abs_diff(j) <= w);
    *common_subsequence_table(a.len(), b.len(), matches).last().expect("at least one entry")
}
