//! A library of patterns of one shape, prepared when they are added and searched many times.
//!
//! Patterns live in segments of at most a few hundred, each behind an `Arc`. A [`Snapshot`] shares the segments: a
//! search sees the library as it was when the snapshot was taken, and a change meanwhile copies only the segment that
//! it touches. So neither waits for the other.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`segment`] | the columns of a few hundred patterns |
//! | [`nearest`] | the k nearest patterns of a query |
//! | [`windows`] | the same for every window of a series |
//! | [`file`] | a library in a file |

pub mod file;
mod nearest;
mod segment;
mod windows;

pub use crate::search::cascade::SearchStats;
pub use nearest::Found;
pub use windows::Answer;

use crate::kernels::dtw::Metric;
use crate::kernels::normalize::Normalize;
use crate::search::cascade::Plan;
use crate::series::{InputError, Series, check_finite};
use rayon::prelude::*;
use segment::Segment;
use std::ops::Range;
use std::sync::Arc;

/// What all patterns of a library have in common, and how they are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Time steps of a pattern, at least 1.
    pub steps: usize,
    /// Values per time step, at least 1.
    pub channels: usize,
    /// Sakoe-Chiba radius in samples; none: every cell.
    pub window: Option<usize>,
    /// Local cost and root.
    pub metric: Metric,
    /// Done to the query and to each pattern first.
    pub normalize: Normalize,
}

impl Shape {
    /// Values of one pattern.
    pub fn row(&self) -> usize {
        // No pattern has more values than an address space, so one of a saturated length is never accepted.
        self.steps.saturating_mul(self.channels)
    }

    /// Checks that `values` have this shape; `argument` is the name used in errors.
    pub fn series<'a>(&self, argument: &str, values: &'a [f64]) -> Result<Series<'a>, LibraryError> {
        self.check_length(|| argument.to_owned(), values)?;
        Ok(Series::new(argument, values, self.channels)?)
    }

    /// How patterns that look like `values` are screened.
    fn plan(&self, values: &[f64]) -> Option<Plan> {
        Plan::new(self.normalize, Series::trusted(values, self.channels), self.steps)
    }

    fn check_length(&self, argument: impl Fn() -> String, values: &[f64]) -> Result<(), LibraryError> {
        match values.len() {
            0 => Err(InputError::Empty { argument: argument() }.into()),
            found if found == self.row() => Ok(()),
            found => {
                Err(LibraryError::WrongLength { argument: argument(), values: found, expected: self.row() })
            }
        }
    }
}

/// Why a library refused something.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LibraryError {
    /// Empty, NaN or infinite.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Not as long as the library's patterns.
    #[error("{argument} holds {values} values, the library's patterns have {expected}")]
    WrongLength {
        /// The argument as the caller named it.
        argument: String,
        /// How many values there are.
        values: usize,
        /// How many a pattern has: steps times channels.
        expected: usize,
    },
    /// The operating system has no room for the patterns.
    #[error("{bytes} bytes of memory could not be had")]
    OutOfMemory {
        /// What was asked for.
        bytes: usize,
    },
}

/// A pattern to be added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'a> {
    /// `steps * channels` finite values, row-major.
    pub values: &'a [f64],
    /// Epoch milliseconds of the last sample; not finite: not known.
    pub ends_at: f64,
}

/// How errors name the values of the patterns that are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names<'a> {
    /// A single pattern: `pattern.values[17]`.
    One(&'a str),
    /// A list of patterns: `patterns[3].values[17]`.
    List(&'a str),
    /// Rows of one block: `data[401]`.
    Block(&'a str),
}

impl Names<'_> {
    fn row(self, index: usize) -> String {
        match self {
            Self::One(name) => format!("{name}.values"),
            Self::List(name) => format!("{name}[{index}].values"),
            Self::Block(name) => name.to_owned(),
        }
    }

    fn first_value(self, index: usize, shape: &Shape) -> usize {
        if matches!(self, Self::Block(_)) { index * shape.row() } else { 0 }
    }
}

/// From this many patterns at once, all threads share the work of adding them.
const ADDED_IN_PARALLEL: usize = 256;

/// What is the same for all segments of a library.
#[derive(Debug, Clone, Copy)]
struct Form {
    shape: Shape,
    /// How patterns are screened, chosen for the first of them; none: they are not.
    plan: Option<Plan>,
}

/// Patterns in the order in which they were added, which is the order of ties.
#[derive(Debug, Clone)]
pub struct Library {
    form: Form,
    segments: Arc<Vec<Arc<Segment>>>,
    next_ordinal: u64,
    size: usize,
}

/// A library as it was at one moment. Cheap to take and to hold.
#[derive(Debug, Clone)]
pub struct Snapshot {
    form: Form,
    segments: Arc<Vec<Arc<Segment>>>,
    size: usize,
}

impl Library {
    /// Without patterns.
    ///
    /// # Panics
    /// When the shape has no steps or no channels.
    pub fn new(shape: Shape) -> Self {
        assert!(shape.steps > 0 && shape.channels > 0, "a pattern has at least one value");
        let form = Form { shape, plan: None };
        Self { form, segments: Arc::default(), next_ordinal: 0, size: 0 }
    }

    /// What the patterns have in common.
    pub fn shape(&self) -> &Shape {
        &self.form.shape
    }

    /// Patterns that were added and not removed.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Adds all of `rows` or, on an error, none. The patterns are known by consecutive ordinals from now on, which are
    /// returned and never used again.
    pub fn add(&mut self, names: Names<'_>, rows: &[Row<'_>]) -> Result<Range<u64>, LibraryError> {
        self.check(names, rows)?;
        if self.segments.is_empty()
            && let Some(pattern) = rows.first()
        {
            self.form.plan = self.form.shape.plan(pattern.values);
        }
        let (form, first) = (&self.form, self.next_ordinal);
        let capacity = Segment::capacity(form);
        let segments = Arc::make_mut(&mut self.segments);
        // Whatever can fail comes before the first change that could be seen.
        let free = segments.last().map_or(0, |last| capacity - last.rows().min(capacity));
        let (here, beyond) = rows.split_at(free.min(rows.len()));
        if let Some(last) = segments.last_mut()
            && !here.is_empty()
        {
            Arc::make_mut(last).reserve(form, here.len())?;
        }
        let fill = |(index, rows): (usize, &[Row<'_>])| {
            let mut segment = Segment::default();
            segment.reserve(form, rows.len())?;
            let ordinals = first + (here.len() + index * capacity) as u64..;
            ordinals.zip(rows).for_each(|(ordinal, &row)| segment.push(form, ordinal, row));
            Ok(Arc::new(segment))
        };
        let chunks: Vec<(usize, &[Row<'_>])> = beyond.chunks(capacity).enumerate().collect();
        let new: Vec<Arc<Segment>> = if rows.len() < ADDED_IN_PARALLEL {
            chunks.into_iter().map(fill).collect::<Result<_, LibraryError>>()?
        } else {
            chunks.into_par_iter().map(fill).collect::<Result<_, LibraryError>>()?
        };
        if let Some(last) = segments.last_mut()
            && !here.is_empty()
        {
            let last = Arc::make_mut(last);
            (first..).zip(here).for_each(|(ordinal, &row)| last.push(form, ordinal, row));
        }
        segments.extend(new);
        self.next_ordinal += rows.len() as u64;
        self.size += rows.len();
        Ok(first..self.next_ordinal)
    }

    /// The first wrong length or value among `rows`.
    fn check(&self, names: Names<'_>, rows: &[Row<'_>]) -> Result<(), LibraryError> {
        let one = |(index, row): (usize, &Row<'_>)| {
            self.form.shape.check_length(|| names.row(index), row.values)?;
            check_finite("", row.values).map_err(|error| match error {
                InputError::NonFinite { index: at, value, .. } => InputError::NonFinite {
                    argument: names.row(index),
                    index: names.first_value(index, &self.form.shape) + at,
                    value,
                },
                other => other,
            })?;
            Ok(())
        };
        let first: Option<LibraryError> = if rows.len() < ADDED_IN_PARALLEL {
            rows.iter().enumerate().find_map(|row| one(row).err())
        } else {
            rows.par_iter().enumerate().find_map_first(|row| one(row).err())
        };
        first.map_or(Ok(()), Err)
    }

    /// Removes a pattern; false when there is none of this ordinal. Memory comes back once more than half of a segment
    /// is removed.
    pub fn remove(&mut self, ordinal: u64) -> bool {
        let Some((at, row)) = find(&self.segments, ordinal) else { return false };
        let segment = &mut Arc::make_mut(&mut self.segments)[at];
        Arc::make_mut(segment).kill(row);
        self.size -= 1;
        if 2 * segment.live() < segment.rows() {
            self.compact(at);
        }
        true
    }

    /// Leaves the removed patterns of a segment behind, and joins it with a neighbour where both are small.
    fn compact(&mut self, at: usize) {
        let form = &self.form;
        let segments = Arc::make_mut(&mut self.segments);
        let together = |range: Range<usize>| segments[range].iter().map(|part| part.live()).sum::<usize>();
        let small = |range: Range<usize>| {
            range.end <= segments.len() && 2 * together(range) <= Segment::capacity(form)
        };
        let start = if at > 0 && small(at - 1..at + 1) { at - 1 } else { at };
        let end = if small(start..at + 2) { at + 2 } else { at + 1 };
        let parts: Vec<&Segment> = segments[start..end].iter().map(|part| &**part).collect();
        // Without memory for the copy everything stays as it is: larger than it could be, and right.
        if let Ok(gathered) = Segment::gather(form, &parts) {
            let gathered = (gathered.rows() > 0).then(|| Arc::new(gathered));
            segments.splice(start..end, gathered);
        }
    }

    /// The values of a pattern as they were added.
    pub fn values(&self, ordinal: u64) -> Option<&[f64]> {
        let (at, row) = find(&self.segments, ordinal)?;
        Some(self.segments[at].raw_row(&self.form, row))
    }

    /// The library as it is now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { form: self.form, segments: self.segments.clone(), size: self.size }
    }
}

impl Snapshot {
    /// What the patterns have in common.
    pub fn shape(&self) -> &Shape {
        &self.form.shape
    }

    /// How many patterns there are.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The values of every pattern as they were added, in order.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.segments
            .iter()
            .flat_map(|segment| segment::rows_of(segment.alive).map(|row| segment.raw_row(&self.form, row)))
    }

    fn find(&self, ordinal: u64) -> Option<(usize, usize)> {
        find(&self.segments, ordinal)
    }
}

/// The segment and the row of a pattern that was not removed.
fn find(segments: &[Arc<Segment>], ordinal: u64) -> Option<(usize, usize)> {
    let at = segments.partition_point(|segment| segment.ordinals[0] <= ordinal).checked_sub(1)?;
    Some((at, segments[at].find(ordinal)?))
}
