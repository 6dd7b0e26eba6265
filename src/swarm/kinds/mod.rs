//! Kinds of tasks that every agent runs by itself, on the pools of [`search`](crate::search), without a look into
//! JavaScript. Payloads and results are encoded values ([`value`](crate::protocol::value)); what the public ones hold is
//! documented in index.d.ts at `Agent.handle`. Those with the prefix `midstreamer.` are for the coordinator's own use:
//! tiles of matrices, and shards of a pattern library.
//!
//! | module | what it knows |
//! | --- | --- |
//! | [`failure`] | why a task failed, and whether another try could help |
//! | [`fields`] | objects of a payload: every name known, every value checked |
//! | [`series`] | series and candidates of a payload, and options of DTW |
//! | [`symbols`] | sequences of symbols of a payload |
//! | [`compare`] | pairs, nearest neighbours, matrices and tiles |
//! | [`library`] | patterns that come with their query |
//! | [`shards`] | patterns that stay here between searches |

mod compare;
mod failure;
mod fields;
mod library;
mod series;
mod shards;
mod symbols;

pub use failure::{FailureCode, KindFailure};

use crate::protocol::value::{Item, Value, ValueError, encode};
use crate::search::{self, Job};
use bytes::Bytes;
use fields::Fields;
use shards::Shards;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The names of all kinds.
pub const KINDS: &[&str] = &[
    "dtw",
    "dtw.nearest",
    "dtw.matrix",
    "lcs",
    "lcs.matrix",
    "library.search",
    "midstreamer.dtw.tile",
    "midstreamer.lcs.tile",
    "midstreamer.library.put",
    "midstreamer.library.search",
    "midstreamer.library.drop",
];

/// What an agent accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an encoded result.
    pub result_bytes: usize,
    /// Bytes of all shards of libraries together, about.
    pub held_bytes: usize,
}

impl Default for Limits {
    /// Results that fit into a message; 2 GiB of shards.
    fn default() -> Self {
        Self { result_bytes: 65 << 20, held_bytes: 2 << 30 }
    }
}

/// The kinds of one agent, and what they keep.
#[derive(Debug, Clone, Default)]
pub struct Kinds {
    limits: Limits,
    shards: Arc<Shards>,
}

/// What a kind works with.
struct Task<'a> {
    kind: &'a str,
    payload: &'a Value,
    limits: &'a Limits,
    job: &'a Job,
}

type Run = fn(&Task<'_>, &Shards) -> Result<Bytes, KindFailure>;

/// Where a task waits for its turn.
#[derive(Clone, Copy)]
enum Pool {
    /// Behind nothing that takes long.
    Pairs,
    /// With batches and matrices, where all threads share the work.
    Batches,
}

impl Kinds {
    /// With limits of its own, and nothing kept.
    pub fn new(limits: Limits) -> Self {
        Self { limits, shards: Arc::default() }
    }

    /// Runs a task of one of [`KINDS`] on the pools and returns at once. `done` is called exactly once, on one of their
    /// threads, also when the work panics; it must not panic itself. `job.cancel()` ends the task with
    /// [`FailureCode::Aborted`].
    pub fn start(
        &self,
        kind: &str,
        payload: Bytes,
        job: Arc<Job>,
        done: impl FnOnce(Result<Bytes, KindFailure>) + Send + 'static,
    ) {
        let Some((name, pool, run)) = find(kind) else {
            let failure = KindFailure::not_found(format!("no kind {kind:?} is built in"));
            return search::spawn_pair(move || done(Err(failure)));
        };
        let Self { limits, shards } = self.clone();
        let work = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                job.interrupt().check()?;
                let payload = Value::decode(&payload)?;
                run(&Task { kind: name, payload: &payload, limits: &limits, job: &job }, &shards)
            }));
            done(outcome.unwrap_or_else(|panic| Err(KindFailure::panicked(&*panic))));
        };
        match pool {
            Pool::Pairs => search::spawn_pair(work),
            Pool::Batches => search::spawn(work),
        }
    }

    /// Forgets all shards: those of a coordinator that is no longer served.
    pub fn clear(&self) {
        self.shards.clear();
    }
}

fn find(kind: &str) -> Option<(&'static str, Pool, Run)> {
    let (pool, run): (Pool, Run) = match kind {
        "dtw" => (Pool::Pairs, compare::dtw),
        "dtw.nearest" => (Pool::Batches, compare::dtw_nearest),
        "dtw.matrix" => (Pool::Batches, compare::dtw_matrix),
        "lcs" => (Pool::Pairs, compare::lcs),
        "lcs.matrix" => (Pool::Batches, compare::lcs_matrix),
        "library.search" => (Pool::Batches, library::search),
        "midstreamer.dtw.tile" => (Pool::Batches, compare::dtw_tile),
        "midstreamer.lcs.tile" => (Pool::Batches, compare::lcs_tile),
        "midstreamer.library.put" => (Pool::Batches, shards::put),
        "midstreamer.library.search" => (Pool::Pairs, shards::search),
        "midstreamer.library.drop" => (Pool::Pairs, shards::drop_shard),
        _ => return None,
    };
    let name = KINDS.iter().find(|name| **name == kind)?;
    Some((name, pool, run))
}

impl<'a> Task<'a> {
    /// The fields of the payload, all of them among `known`.
    fn fields(&self, known: &[&str]) -> Result<Fields<'a>, KindFailure> {
        Fields::required("payload", self.payload.root(), known, self.kind)
    }

    /// The options that stand in the payload under `name`, none when it is absent.
    fn options(&self, path: &str, name: &str, known: &[&str]) -> Result<Fields<'a>, KindFailure> {
        let node = self.payload.root().and_then(|root| root.get(name));
        Fields::optional(path, node, known, self.kind)
    }

    fn reply(&self, result: &Item<'_>) -> Result<Bytes, KindFailure> {
        encode(result, self.limits.result_bytes).map_err(|error| match error {
            ValueError::TooLarge { .. } => {
                KindFailure::too_large(format!("the result of {:?} is {error}", self.kind))
            }
            other => KindFailure::internal(other.to_string()),
        })
    }

    /// Refuses a result of so many numbers before they are computed.
    fn check_result(&self, numbers: u128) -> Result<(), KindFailure> {
        let (bytes, limit) = (numbers * size_of::<f64>() as u128, self.limits.result_bytes);
        if bytes <= limit as u128 {
            return Ok(());
        }
        let kind = self.kind;
        Err(KindFailure::too_large(format!(
            "the result of {kind:?} would have {bytes} bytes, at most {limit} are allowed"
        )))
    }
}
