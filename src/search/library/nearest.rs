//! The k nearest patterns of a query, exactly: equal to sorting all distances by (distance, order of adding). The
//! rows of the segments in their order are the candidates of a [`cascade`](crate::search::cascade).

use super::Snapshot;
use crate::kernels::KernelError;
use crate::kernels::dtw::DtwOptions;
use crate::kernels::normalize::Normalize;
use crate::search::Job;
use crate::search::best::Ranked;
use crate::search::cascade::{self, CHUNK, Columns, Mask, Plan, Pool, SearchStats};
use crate::series::Series;

/// A pattern near the query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// What [`super::Library::add`] named the pattern by.
    pub ordinal: u64,
    /// Its distance.
    pub distance: f64,
}

impl Snapshot {
    /// The `k` nearest patterns, nearest first, ties by order of adding; those beyond `max_distance` are left out and,
    /// with `as_of` (epoch milliseconds), those not known to end by then. `hints` are ordinals of patterns that are
    /// likely to be near; they change the speed, never the answer. Progress counts patterns. Large libraries are
    /// searched by several threads: [`Self::uses_threads`].
    ///
    /// # Panics
    /// When the query does not have the shape of the patterns ([`super::Shape::series`] checks that).
    pub fn nearest(
        &self,
        query: Series<'_>,
        k: usize,
        max_distance: f64,
        as_of: Option<f64>,
        hints: &[u64],
        job: &Job,
    ) -> Result<(Vec<Found>, SearchStats), KernelError> {
        let shape = &self.form.shape;
        assert_eq!((query.steps(), query.channels()), (shape.steps, shape.channels), "the query's shape");
        let normalized = shape.normalize.apply(query);
        let query = Series::trusted(&normalized, shape.channels);
        let options = DtwOptions {
            metric: shape.metric,
            window: shape.window,
            normalize: Normalize::None,
            max_distance,
        };
        // Those that may not take part are left out by the cascade, which asks `eligible`.
        let hints: Vec<u32> = (hints.iter())
            .filter_map(|&hint| self.find(hint))
            .map(|(at, row)| {
                u32::try_from(at * CHUNK + row).expect("fewer than 2^32 patterns: they fill terabytes")
            })
            .collect();
        let pool = Eligible { snapshot: self, as_of };
        let (nearest, stats) = cascade::nearest(&pool, query, &options, k, &hints, self.uses_threads(), job)?;
        let found = |near: Ranked| {
            let segment = &self.segments[near.index / CHUNK];
            Found { ordinal: segment.ordinals[near.index % CHUNK], distance: near.key }
        };
        Ok((nearest.into_iter().map(found).collect(), stats))
    }

    /// Whether a search takes long enough for several threads: then it should be called on one of the pool's.
    pub fn uses_threads(&self) -> bool {
        cascade::uses_threads(self.size, self.form.shape.row())
    }
}

/// The patterns that a search looks at.
struct Eligible<'a> {
    snapshot: &'a Snapshot,
    as_of: Option<f64>,
}

impl Pool for Eligible<'_> {
    fn plan(&self) -> Option<&Plan> {
        self.snapshot.form.plan.as_ref()
    }

    fn chunks(&self) -> usize {
        self.snapshot.segments.len()
    }

    fn columns(&self, chunk: usize) -> &Columns {
        &self.snapshot.segments[chunk].columns
    }

    fn eligible(&self, chunk: usize) -> Mask {
        self.snapshot.segments[chunk].eligible(self.as_of)
    }

    fn series(&self, index: usize) -> Series<'_> {
        let form = &self.snapshot.form;
        let segment = &self.snapshot.segments[index / CHUNK];
        Series::trusted(segment.normalized_row(form, index % CHUNK), form.shape.channels)
    }
}
