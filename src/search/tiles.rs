//! Tiles of a matrix of all pairs: some rows against some columns. Together they hold the same bits as the matrix that
//! [`dtw_matrix`](super::dtw_matrix) or [`lcs_matrix`](super::lcs_matrix) fills at once.

use super::symbols::{GROUPED_LENGTH, LcsRatio};
use super::{Candidates, Job, check_tile_size, filled};
use crate::kernels::KernelError;
use crate::kernels::dtw::{self, DtwOptions};
use crate::kernels::lcs::{self, FewKinds};
use crate::kernels::normalize::Normalize;
use crate::kernels::simd::Level;
use crate::series::Series;
use rayon::prelude::*;

/// Columns that a thread takes at once, of one row: whole vectors at every level.
const COLUMNS_PER_TASK: usize = 32;

/// The distance of each row to each column, row-major; infinity beyond `options.max_distance`. Progress counts pairs.
/// More than [`super::MAX_MATRIX_VALUES`] values: `TooLarge`.
///
/// # Panics
/// When the channels differ.
pub fn dtw_tile(
    rows: &Candidates,
    columns: &Candidates,
    options: &DtwOptions,
    job: &Job,
) -> Result<Vec<f64>, KernelError> {
    let mut out = tile(rows.len(), columns.len())?;
    if out.is_empty() {
        return Ok(out);
    }
    let (rows, columns) = (&*rows.normalized(options.normalize)?, &*columns.normalized(options.normalize)?);
    let options = &DtwOptions { normalize: Normalize::None, ..*options };
    let columns: Vec<Series<'_>> = (0..columns.len()).map(|index| columns.get(index)).collect();
    out.par_chunks_mut(columns.len()).enumerate().try_for_each(|(row, out)| {
        let pieces = columns.par_chunks(COLUMNS_PER_TASK).zip(out.par_chunks_mut(COLUMNS_PER_TASK));
        pieces.try_for_each(|(columns, out)| {
            dtw::batch(Level::best(), rows.get(row), columns, options, out, job.interrupt())?;
            job.advance(columns.len());
            Ok(())
        })
    })?;
    Ok(out)
}

/// The longest common subsequence of each row with each column, scaled, row-major. Progress counts pairs. More than
/// [`super::MAX_MATRIX_VALUES`] values: `TooLarge`.
pub fn lcs_tile(
    rows: &[Vec<u32>],
    columns: &[Vec<u32>],
    ratio: LcsRatio,
    job: &Job,
) -> Result<Vec<f64>, KernelError> {
    let mut out = tile(rows.len(), columns.len())?;
    if out.is_empty() {
        return Ok(out);
    }
    let all = || rows.iter().chain(columns);
    let level = Level::best();
    let short = all().all(|sequence| sequence.len() <= GROUPED_LENGTH);
    let few = short.then(|| FewKinds::new(&all().cloned().collect::<Vec<_>>())).flatten();
    let Some(few) = few else {
        out.par_chunks_mut(columns.len()).zip(rows).try_for_each(|(out, row)| {
            out.par_iter_mut().zip(columns).try_for_each(|(value, column)| {
                let length = lcs::length(level, row, column, job.interrupt())?;
                *value = ratio.apply(length, row.len(), column.len());
                job.advance(1);
                Ok(())
            })
        })?;
        return Ok(out);
    };
    // The longer side is cut into groups of a lane each: there are more of them for the threads to share.
    let (n, m) = (rows.len(), columns.len());
    let by_rows = n >= m;
    let (mut grouped, single): (Vec<usize>, Vec<usize>) = if by_rows {
        ((0..n).collect(), (n..n + m).collect())
    } else {
        ((n..n + m).collect(), (0..n).collect())
    };
    grouped.sort_by_key(|&index| few.sequence(index).len());
    let group = |members: &[usize]| {
        let sequences: Vec<&[u8]> = members.iter().map(|&index| few.sequence(index)).collect();
        let mut lengths = Vec::with_capacity(members.len() * single.len());
        let found = |_: usize, all: &[usize]| {
            lengths.extend_from_slice(all);
            job.advance(all.len());
        };
        let others = single.iter().map(|&index| few.sequence(index));
        few.lengths(level, &sequences, others, found, job.interrupt())?;
        Ok(lengths)
    };
    let groups: Vec<Vec<usize>> =
        grouped.par_chunks(lcs::lanes(level)).map(group).collect::<Result<_, KernelError>>()?;
    for (members, lengths) in grouped.chunks(lcs::lanes(level)).zip(&groups) {
        let pairs = single.iter().flat_map(|&other| members.iter().map(move |&member| (other, member)));
        for ((other, member), &length) in pairs.zip(lengths) {
            let (row, column) = if by_rows { (member, other - n) } else { (other, member - n) };
            out[row * m + column] = ratio.apply(length, rows[row].len(), columns[column].len());
        }
    }
    Ok(out)
}

/// Zeros, or an error where there are too many or no memory for them.
fn tile(rows: usize, columns: usize) -> Result<Vec<f64>, KernelError> {
    check_tile_size(rows, columns)?;
    filled(rows * columns, 0.0)
}
