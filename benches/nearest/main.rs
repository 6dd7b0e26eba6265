//! The nearest patterns of a library of 10,000 x 128, single thread: `cargo bench --bench nearest`.
//!
//! Groups: `nearest` (k of 1 and 10, no band and a band of 10 %, six kinds of data; one iteration is one search, the
//! queries take turns), `library` (adding 10,000 patterns and loading them from a file, all threads).
//!
//! Then, unless a filter other than `eap` is given, a table: ours and the early abandoning and pruning of [`eap`] in
//! turns, round by round, as medians and ratios. Before anything is timed the two must give the same answers.

mod data;
mod eap;

use criterion::{BenchmarkId, Criterion, Throughput};
use data::Kind;
use midstreamer::kernels::dtw::Metric;
use midstreamer::kernels::normalize::Normalize;
use midstreamer::search::Job;
use midstreamer::search::library::file::{self, Saved};
use midstreamer::search::library::{Library, Names, Row, Shape, Snapshot};
use std::hint::black_box;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{env, fs, process};

const LENGTH: usize = 128;
const SIZE: usize = 10_000;
const QUERIES: usize = 4;
const BANDS: [(&str, Option<usize>); 2] = [("no band", None), ("band 10 %", Some(13))];
const COUNTS: [usize; 2] = [1, 10];
const ROUNDS: usize = 5;

fn shape(window: Option<usize>, normalize: Normalize) -> Shape {
    Shape { steps: LENGTH, channels: 1, window, metric: Metric::Squared, normalize }
}

fn library(shape: Shape, values: &[f64]) -> Library {
    let mut library = Library::new(shape);
    let rows: Vec<Row<'_>> =
        values.chunks_exact(LENGTH).map(|values| Row { values, ends_at: f64::NAN }).collect();
    library.add(Names::Block("values"), &rows).expect("finite rows of the library's length");
    library
}

/// A library, its values as one block, and queries of the same kind.
struct Workload {
    kind: Kind,
    window: Option<usize>,
    band: &'static str,
    values: Vec<f64>,
    queries: Vec<f64>,
    snapshot: Snapshot,
}

impl Workload {
    fn new(kind: Kind, (band, window): (&'static str, Option<usize>)) -> Self {
        let values = kind.rows(SIZE, LENGTH, 1);
        let queries = kind.rows(QUERIES, LENGTH, 2);
        let snapshot = library(shape(window, Normalize::None), &values).snapshot();
        assert!(!snapshot.uses_threads(), "one thread against one thread");
        let workload = Self { kind, window, band, values, queries, snapshot };
        workload.agree();
        workload
    }

    fn queries(&self) -> impl Iterator<Item = &[f64]> + Clone {
        self.queries.chunks_exact(LENGTH)
    }

    fn ours(&self, query: &[f64], k: usize) -> Vec<(u64, f64)> {
        let query = self.snapshot.shape().series("query", query).expect("finite, and as long as a pattern");
        let found = self.snapshot.nearest(query, k, f64::INFINITY, None, &[], &Job::new());
        let (found, _) = found.expect("a search that nobody cancels");
        found.iter().map(|found| (found.ordinal, found.distance)).collect()
    }

    fn eap(&self, query: &[f64], k: usize) -> Vec<(u64, f64)> {
        eap::nearest(query, &self.values, self.window.unwrap_or(LENGTH), k)
    }

    /// Bit for bit: both add up the costs of a path in its order.
    fn agree(&self) {
        for (k, query) in COUNTS.iter().flat_map(|&k| self.queries().map(move |query| (k, query))) {
            let (name, band) = (self.kind.name(), self.band);
            assert_eq!(self.ours(query, k), self.eap(query, k), "{name}, {band}, {k} nearest");
        }
    }
}

fn nearest(c: &mut Criterion) {
    let mut group = c.benchmark_group("nearest");
    group.throughput(Throughput::Elements(SIZE as u64));
    for kind in Kind::ALL {
        for band in BANDS {
            let workload = Workload::new(kind, band);
            for k in COUNTS {
                let mut queries = workload.queries().cycle();
                let id = BenchmarkId::new(format!("{}/{}", kind.name(), band.0), k);
                group.bench_function(id, |bench| {
                    bench.iter(|| queries.next().map(|query| workload.ours(black_box(query), k)));
                });
            }
        }
    }
    group.finish();
}

fn changes(c: &mut Criterion) {
    let values = Kind::RawWalks.rows(SIZE, LENGTH, 1);
    let mut group = c.benchmark_group("library");
    group.throughput(Throughput::Elements(SIZE as u64));
    for (name, normalize) in [("none", Normalize::None), ("z-score", Normalize::Zscore)] {
        let shape = shape(Some(13), normalize);
        group.bench_function(BenchmarkId::new("add", name), |bench| {
            bench.iter_with_large_drop(|| library(shape, black_box(&values)));
        });
        let file = Stored::new(shape, &values);
        group.bench_function(BenchmarkId::new("load", name), |bench| {
            bench.iter_with_large_drop(|| file.load(shape));
        });
    }
    group.finish();
}

/// A library in a file that ends with this value.
struct Stored(PathBuf);

impl Stored {
    fn new(shape: Shape, values: &[f64]) -> Self {
        let Shape { steps, channels, window, metric, normalize } = shape;
        let size = values.len() / LENGTH;
        let ids = (0..size).map(|row| row.to_string()).collect();
        let meta = vec![None; size];
        let values = values.to_vec();
        let saved = Saved { length: steps, channels, window, metric, normalize, ids, meta, values };
        let path = env::temp_dir().join(format!("nearest-{}.library", process::id()));
        file::write(&path, &saved).expect("a temporary directory with room for ten megabytes");
        Self(path)
    }

    fn load(&self, shape: Shape) -> Library {
        let saved = file::read(&self.0).expect("the file that was just written");
        library(shape, &saved.values)
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        // A file that cannot be removed is the temporary directory's to clean up.
        let _ = fs::remove_file(&self.0);
    }
}

/// Milliseconds of one search, from one after another with all queries.
fn time(workload: &Workload, search: impl Fn(&Workload, &[f64]) -> Vec<(u64, f64)>) -> f64 {
    let start = Instant::now();
    for query in workload.queries() {
        black_box(search(workload, black_box(query)));
    }
    start.elapsed().as_secs_f64() * 1e3 / QUERIES as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Ours and EAP in turns; ratios are medians of the ratios within a round.
fn compare(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "Nearest of {SIZE} x {LENGTH}, milliseconds a search, one thread")?;
    writeln!(
        out,
        "{:<18}{:<11}{:>8}{:>9}{:>9}{:>10}{:>8}{:>10}{:>9}",
        "data", "band", "1", "EAP", "x ours", "10", "x one", "EAP", "x ours"
    )?;
    for kind in Kind::ALL {
        for band in BANDS {
            let workload = Workload::new(kind, band);
            // The other contender has had the caches: ours runs twice, and the second time counts.
            let ours = |k: usize| {
                time(&workload, |workload, query| workload.ours(query, k));
                time(&workload, |workload, query| workload.ours(query, k))
            };
            let eap = |k: usize| time(&workload, |workload, query| workload.eap(query, k));
            let rounds: Vec<[f64; 4]> = (0..ROUNDS).map(|_| [ours(1), eap(1), ours(10), eap(10)]).collect();
            let of = |at: usize| median(rounds.iter().map(|round| round[at]).collect());
            let ratio =
                |at: usize, to: usize| median(rounds.iter().map(|round| round[at] / round[to]).collect());
            writeln!(
                out,
                "{:<18}{:<11}{:>8.2}{:>9.2}{:>9.1}{:>10.2}{:>8.2}{:>10.2}{:>9.1}",
                kind.name(),
                band.0,
                of(0),
                of(1),
                ratio(1, 0),
                of(2),
                ratio(2, 0),
                of(3),
                ratio(3, 2)
            )?;
            out.flush()?;
        }
    }
    Ok(())
}

/// Criterion's command line: what is not an option is the filter, and without `--bench` everything runs once as a test.
fn table_is_wanted() -> bool {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let filters = arguments.iter().filter(|argument| !argument.starts_with('-')).collect::<Vec<_>>();
    has("--bench") && !has("--test") && !has("--list") && filters.iter().all(|filter| *filter == "eap")
}

fn main() -> io::Result<()> {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .sample_size(10)
        .configure_from_args();
    nearest(&mut criterion);
    changes(&mut criterion);
    criterion.final_summary();
    if table_is_wanted() { compare(&mut io::stdout().lock()) } else { Ok(()) }
}
