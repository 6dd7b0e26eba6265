//! Up to [`MAX_ROWS`] patterns of one shape, append-only, as a structure of arrays: one run of memory a column.
//!
//! Everything that a search reads is derived here, in [`Segment::push`], so that a search prepares its query alone.
//! Allocations are exact where a segment is full and at most twice what is used where it is not.

use super::{Form, LibraryError, Row};
use crate::kernels::normalize::Normalize;
use crate::search::cascade::{CHUNK, Columns, Mask};
use std::array;

/// The most patterns of one segment: a search that holds a segment makes a change copy it, so it must be small, and
/// a few hundred patterns already fill every vector.
pub(super) const MAX_ROWS: usize = CHUNK;

/// Long patterns share a segment with fewer others, so that a copy stays in the order of 4 MiB.
const MAX_VALUES: usize = 1 << 19;

/// Patterns in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub(super) struct Segment {
    /// Values as they were added, row-major; empty when the library does not normalise: then `normalized` has them.
    pub(super) raw: Vec<f64>,
    /// What is compared: the values after the library's normalisation.
    pub(super) normalized: Vec<f64>,
    /// Epoch milliseconds of each pattern's last sample; NaN where it is not known.
    pub(super) ends_at: Vec<f64>,
    /// What bounds are made from; empty when the library's patterns are not screened.
    pub(super) columns: Columns,
    /// Ascending; unique in the library.
    pub(super) ordinals: Vec<u64>,
    /// Rows that were not removed.
    pub(super) alive: Mask,
}

impl Segment {
    /// The most patterns of this form that one segment takes.
    pub(super) fn capacity(form: &Form) -> usize {
        (MAX_VALUES / form.shape.row()).clamp(MAX_ROWS / 16, MAX_ROWS)
    }

    /// Rows, removed ones included.
    pub(super) fn rows(&self) -> usize {
        self.ordinals.len()
    }

    /// Rows that were not removed.
    pub(super) fn live(&self) -> usize {
        self.alive.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Makes room for `more` rows in one step: twice what there was, at most a full segment.
    pub(super) fn reserve(&mut self, form: &Form, more: usize) -> Result<(), LibraryError> {
        let (rows, row) = (self.rows(), form.shape.row());
        let needed = rows + more;
        if self.ordinals.capacity() >= needed && self.normalized.capacity() >= needed * row {
            return Ok(());
        }
        let room = needed.max((2 * rows).min(Self::capacity(form))) - rows;
        let raw = if form.shape.normalize == Normalize::None { 0 } else { room * row };
        let columns = form.plan.as_ref().map_or(0, |plan| room * plan.bytes());
        let bytes = (raw + room * row) * size_of::<f64>() + columns;
        let reserved = (self.raw.try_reserve_exact(raw))
            .and_then(|()| self.normalized.try_reserve_exact(room * row))
            .and_then(|()| self.ends_at.try_reserve_exact(room))
            .and_then(|()| self.ordinals.try_reserve_exact(room))
            .and_then(|()| match &form.plan {
                Some(plan) => self.columns.try_reserve_exact(plan, room),
                None => Ok(()),
            });
        reserved.map_err(|_| LibraryError::OutOfMemory { bytes })
    }

    /// Appends a checked pattern with everything that is derived from it. Ordinals must ascend.
    pub(super) fn push(&mut self, form: &Form, ordinal: u64, pattern: Row<'_>) {
        debug_assert_eq!(pattern.values.len(), form.shape.row());
        debug_assert!(self.ordinals.last().is_none_or(|&last| last < ordinal));
        let row = self.rows();
        let start = self.normalized.len();
        self.normalized.extend_from_slice(pattern.values);
        if form.shape.normalize != Normalize::None {
            self.raw.extend_from_slice(pattern.values);
            form.shape.normalize.apply_in_place(&mut self.normalized[start..], form.shape.channels);
        }
        if let Some(plan) = &form.plan {
            self.columns.push(plan, &self.normalized[start..]);
        }
        self.ends_at.push(if pattern.ends_at.is_finite() { pattern.ends_at } else { f64::NAN });
        self.ordinals.push(ordinal);
        self.alive[row / 64] |= 1 << (row % 64);
    }

    /// The row of a pattern that was not removed.
    pub(super) fn find(&self, ordinal: u64) -> Option<usize> {
        self.ordinals.binary_search(&ordinal).ok().filter(|&row| self.alive[row / 64] >> (row % 64) & 1 == 1)
    }

    /// Removes a row from every later search.
    pub(super) fn kill(&mut self, row: usize) {
        self.alive[row / 64] &= !(1 << (row % 64));
    }

    /// The values of a row as they were added.
    pub(super) fn raw_row(&self, form: &Form, row: usize) -> &[f64] {
        let column = if form.shape.normalize == Normalize::None { &self.normalized } else { &self.raw };
        &column[row * form.shape.row()..][..form.shape.row()]
    }

    /// The values of a row as they are compared.
    pub(super) fn normalized_row(&self, form: &Form, row: usize) -> &[f64] {
        &self.normalized[row * form.shape.row()..][..form.shape.row()]
    }

    /// The rows that a search looks at: those not removed and, with `as_of`, known to end by then.
    pub(super) fn eligible(&self, as_of: Option<f64>) -> Mask {
        let Some(as_of) = as_of else { return self.alive };
        let mut mask = self.alive;
        for (word, ends_at) in mask.iter_mut().zip(self.ends_at.chunks(64)) {
            // NaN is never at or before anything.
            let ended = (ends_at.iter().enumerate())
                .fold(0, |ended, (bit, &ends_at)| ended | u64::from(ends_at <= as_of) << bit);
            *word &= ended;
        }
        mask
    }

    /// The patterns of `parts` that were not removed, in their order, in one segment of exactly their size.
    pub(super) fn gather(form: &Form, parts: &[&Self]) -> Result<Self, LibraryError> {
        let mut gathered = Self::default();
        gathered.reserve(form, parts.iter().map(|part| part.live()).sum())?;
        for part in parts {
            for row in rows_of(part.alive) {
                let pattern = Row { values: part.raw_row(form, row), ends_at: part.ends_at[row] };
                gathered.push(form, part.ordinals[row], pattern);
            }
        }
        Ok(gathered)
    }
}

/// The rows whose bits are set, ascending.
pub(super) fn rows_of(mask: Mask) -> impl Iterator<Item = usize> {
    let words: [(usize, u64); MAX_ROWS / 64] = array::from_fn(|word| (word * 64, mask[word]));
    words.into_iter().flat_map(|(start, word)| {
        let mut rest = word;
        std::iter::from_fn(move || {
            let bit = rest.trailing_zeros() as usize;
            // Clears the lowest bit that is set; at 64 there was none.
            (bit < 64).then(|| rest &= rest - 1).map(|()| start + bit)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::super::Shape;
    use super::*;
    use crate::kernels::dtw::Metric;

    fn form(steps: usize, normalize: Normalize) -> Form {
        let shape = Shape { steps, channels: 1, window: None, metric: Metric::Absolute, normalize };
        Form { shape, plan: None }
    }

    fn filled(form: &Form, rows: usize, at_once: usize) -> Segment {
        let mut segment = Segment::default();
        let values = vec![1.5; form.shape.row()];
        for start in (0..rows).step_by(at_once) {
            segment.reserve(form, at_once).unwrap();
            for row in start..start + at_once {
                segment.push(form, 3 * row as u64, Row { values: &values, ends_at: row as f64 });
            }
        }
        segment
    }

    #[test]
    fn a_full_segment_has_no_room_to_spare() {
        let form = form(128, Normalize::Zscore);
        for at_once in [1, 2, 64, 256] {
            let segment = filled(&form, 256, at_once);
            let room = (segment.raw.capacity(), segment.normalized.capacity());
            assert_eq!(room, (256 * 128, 256 * 128), "{at_once} at once");
            assert_eq!((segment.ordinals.capacity(), segment.ends_at.capacity()), (256, 256));
        }
        // One that is not full: twice at most, and never beyond a full one.
        for rows in 1..256 {
            let capacity = filled(&form, rows, 1).normalized.capacity() / 128;
            assert!(rows <= capacity && capacity <= (2 * rows).min(256), "{rows} rows, room for {capacity}");
        }
        assert_eq!(filled(&self::form(8, Normalize::None), 16, 16).raw.capacity(), 0);
    }

    #[test]
    fn long_patterns_share_a_segment_with_fewer() {
        let capacity = |steps| Segment::capacity(&form(steps, Normalize::None));
        assert_eq!([1, 128, 2048, 4096, 1 << 15, 1 << 30].map(capacity), [256, 256, 256, 128, 16, 16]);
        let mut endless = form(usize::MAX, Normalize::None);
        endless.shape.channels = usize::MAX;
        assert_eq!(Segment::capacity(&endless), 16);
    }

    #[test]
    fn eligible_rows_are_alive_and_have_ended() {
        let form = form(1, Normalize::None);
        let mut segment = filled(&form, 200, 1);
        let dead = [0, 63, 64, 100, 127, 128, 199];
        dead.iter().for_each(|&row| segment.kill(row));
        let rows = |as_of| rows_of(segment.eligible(as_of)).collect::<Vec<_>>();
        let alive = |end: usize| (0..end).filter(|row| !dead.contains(row)).collect::<Vec<_>>();
        assert_eq!(rows(None), alive(200));
        for end in [0, 1, 63, 64, 65, 128, 199] {
            assert_eq!(rows(Some(end as f64)), alive(end + 1), "as of {end}");
        }
        assert_eq!(rows(Some(-1.0)), Vec::<usize>::new());
        assert_eq!(segment.live(), 193);
        assert_eq!(
            (segment.find(3 * 62), segment.find(3 * 63), segment.find(3 * 62 + 1)),
            (Some(62), None, None)
        );

        let gathered = Segment::gather(&form, &[&segment, &filled(&form, 0, 1)]).unwrap();
        assert_eq!((gathered.rows(), gathered.live(), gathered.normalized.capacity()), (193, 193, 193));
        assert!(gathered.ordinals.iter().zip(alive(200)).all(|(&ordinal, row)| ordinal == 3 * row as u64));
    }
}
